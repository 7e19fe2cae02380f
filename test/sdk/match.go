package sdk

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// minutes is how far a time that means now may be from the test's clock, in seconds.
const minutes = 600

// difference says where got, which a client handed over as JSON, is not as want describes it; empty means nowhere. Where a
// client cannot tell an absent member from an empty one, both sides are compared without their empty members.
func difference(path string, want, got any, absentIsEmpty bool) string {
	if absentIsEmpty && empty(want) && empty(got) {
		return ""
	}
	switch want := want.(type) {
	case object:
		return objectDifference(path, want, got, absentIsEmpty)
	case list:
		items, ok := got.(list)
		if !ok || len(items) != len(want) {
			return fmt.Sprintf("%s is %v, want %d items: %v", path, got, len(want), want)
		}
		for i := range want {
			if d := difference(fmt.Sprintf("%s[%d]", path, i), want[i], items[i], absentIsEmpty); d != "" {
				return d
			}
		}
		return ""
	case string:
		return textDifference(path, want, got)
	case int:
		if n, ok := got.(float64); !ok || n != float64(want) {
			return fmt.Sprintf("%s is %v, want %d", path, got, want)
		}
		return ""
	default:
		if !reflect.DeepEqual(want, got) {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
		return ""
	}
}

func objectDifference(path string, want object, got any, absentIsEmpty bool) string {
	if _, ok := want["~"]; ok {
		return ""
	}
	if item, ok := want["~containing"]; ok {
		items, _ := got.(list)
		last := "it is empty"
		for _, candidate := range items {
			if last = difference(path, item, candidate, absentIsEmpty); last == "" {
				return ""
			}
		}
		return fmt.Sprintf("%s has no %v (%s): %v", path, item, last, got)
	}
	members, ok := got.(object)
	if !ok {
		return fmt.Sprintf("%s is %v, want %v", path, got, want)
	}
	for name, value := range want {
		if _, there := members[name]; !there && (!absentIsEmpty || !empty(value)) {
			return fmt.Sprintf("%s lacks %s: %v", path, name, members)
		}
		if d := difference(path+"."+name, value, members[name], absentIsEmpty); d != "" {
			return d
		}
	}
	for name, value := range members {
		if _, wanted := want[name]; !wanted && (!absentIsEmpty || !empty(value)) {
			return fmt.Sprintf("%s has %s = %v, which is not expected", path, name, value)
		}
	}
	return ""
}

func textDifference(path, want string, got any) string {
	if want == anything {
		return ""
	}
	if want == now {
		if seconds, ok := got.(float64); !ok || math.Abs(seconds-float64(time.Now().Unix())) > minutes {
			return fmt.Sprintf("%s is %v, want a time of now", path, got)
		}
		return ""
	}
	text, ok := got.(string)
	if pattern, is := strings.CutPrefix(want, "~"); is && ok && regexp.MustCompile(pattern).MatchString(text) || ok && text == want {
		return ""
	}
	return fmt.Sprintf("%s is %v, want %s", path, got, want)
}

// empty reports whether a value is what some clients show for an absent member.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case float64:
		return v == 0
	case int:
		return v == 0
	case list:
		return len(v) == 0
	case object:
		return len(v) == 0
	}
	return false
}

// filled puts saved values for "{name}" into every text of v.
func filled(v any, saved map[string]string) any {
	switch v := v.(type) {
	case string:
		for name, value := range saved {
			v = strings.ReplaceAll(v, "{"+name+"}", value)
		}
		return v
	case object:
		out := object{}
		for k, item := range v {
			out[k] = filled(item, saved)
		}
		return out
	case list:
		out := list{}
		for _, item := range v {
			out = append(out, filled(item, saved))
		}
		return out
	}
	return v
}
