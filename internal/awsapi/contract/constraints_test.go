package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// place is one member or element of an operation's input: where it is, and how to make a document that is valid but for it.
type place struct {
	path     string
	shape    *schema.Shape
	required bool
	element  bool
	// document returns the input with value at the place; value nil leaves it out.
	document func(value any) any
}

// absent leaves a place out, as opposed to null.
type absentValue struct{}

// places lists every place of a structure, also those inside structures and lists.
func places(t *testing.T, shape *schema.Shape, path string, wrap func(any) any) []place {
	var all []place
	base := sample(t, shape, false).(map[string]any)
	for _, m := range shape.Members {
		if m.InPath {
			continue
		}
		p := place{path: path + strings.ToLower(m.Name[:1]) + m.Name[1:], shape: m.Shape, required: m.Required}
		p.document = func(value any) any {
			members := maps.Clone(base)
			members[m.Name] = value
			if value == (absentValue{}) {
				delete(members, m.Name)
			}
			return wrap(members)
		}
		all = append(all, inside(t, p)...)
	}
	return all
}

// inside lists a place and those within it.
func inside(t *testing.T, p place) []place {
	all := []place{p}
	switch p.shape.Type {
	case schema.Structure:
		all = append(all, places(t, p.shape, p.path+".", p.document)...)
	case schema.List:
		all = append(all, inside(t, place{
			path: p.path + ".1.member", shape: p.shape.Element, element: true,
			document: func(value any) any { return p.document([]any{value}) },
		})...)
	}
	return all
}

// TestEveryConstraintOfEveryMember hands every operation values just inside and just outside each constraint.
func TestEveryConstraintOfEveryMember(t *testing.T) {
	cases := 0
	for _, op := range Operations() {
		for _, p := range places(t, op.Input, "", func(v any) any { return v }) {
			cases += checkPresence(t, op, p) + checkTypes(t, op, p)
			switch p.shape.Type {
			case schema.String:
				cases += checkStrings(t, op, p)
			case schema.List:
				cases += checkLists(t, op, p)
			case schema.Integer, schema.Long:
				cases += checkNumbers(t, op, p)
			}
		}
	}
	if cases < 5000 {
		t.Errorf("only %d cases were tried", cases)
	}
}

const (
	mustNotBeNull = "Member must not be null"
	accepted      = ""
	wrongType     = "wrong type"
)

// expect decodes the document and wants exactly the breaches given (as their constraint texts), all at the place's path.
func expect(t *testing.T, op *Op, p place, value any, want ...string) int {
	t.Helper()
	body, err := json.Marshal(p.document(value))
	if err != nil {
		t.Fatal(err)
	}
	_, unknown, err := op.Decode(body)
	var breaches schema.Breaches
	var syntax *schema.SyntaxError
	var got []string
	switch {
	case errors.As(err, &syntax):
		got = []string{wrongType}
	case errors.As(err, &breaches):
		for _, b := range breaches {
			got = append(got, b.Constraint)
			if b.Path != p.path {
				t.Errorf("%s %s: breach at %s, want %s", op.Name, body, b.Path, p.path)
			}
			if shown := strings.Contains(breaches.Error(), "Value '"); shown == (p.shape.Sensitive || b.Null) {
				t.Errorf("%s %s: the message must hide sensitive values only: %s", op.Name, body, breaches)
			}
		}
	case err != nil:
		t.Fatal(err)
	}
	if !slices.Equal(got, slices.DeleteFunc(want, func(w string) bool { return w == accepted })) {
		t.Errorf("%s %s at %s: got %q, want %q", op.Name, shortened(body), p.path, got, want)
	}
	if len(unknown) != 0 {
		t.Errorf("%s %s: unknown %q", op.Name, shortened(body), unknown)
	}
	return 1
}

func shortened(b []byte) []byte { return b[:min(len(b), 300)] }

func checkPresence(t *testing.T, op *Op, p place) int {
	want := accepted
	if p.required || p.element {
		want = mustNotBeNull
	}
	n := expect(t, op, p, nil, want)
	if !p.element {
		n += expect(t, op, p, absentValue{}, want)
	}
	return n + expect(t, op, p, sample(t, p.shape, true))
}

// checkTypes hands the place one value of every JSON type: all but its own are refused.
func checkTypes(t *testing.T, op *Op, p place) (n int) {
	own := map[schema.Type]string{
		schema.Structure: "object", schema.List: "list", schema.String: "string", schema.Blob: "string", schema.Boolean: "boolean",
		schema.Integer: "number", schema.Long: "number", schema.Double: "number", schema.Timestamp: "number",
	}[p.shape.Type]
	for name, value := range map[string]any{
		"object": map[string]any{}, "list": []any{}, "string": "7", "boolean": true, "number": 7,
	} {
		if name != own {
			n += expect(t, op, p, value, wrongType)
		}
	}
	return n
}

func checkNumbers(t *testing.T, op *Op, p place) (n int) {
	n += expect(t, op, p, 1.5, wrongType)
	n += expect(t, op, p, json.RawMessage("9223372036854775808"), wrongType)
	if p.shape.Type == schema.Integer {
		n += expect(t, op, p, json.RawMessage("2147483648"), wrongType)
	}
	if p.shape.Min != nil {
		n += expect(t, op, p, *p.shape.Min)
		n += expect(t, op, p, *p.shape.Min-1, fmt.Sprintf("Member must have value greater than or equal to %d", *p.shape.Min))
	}
	if p.shape.Max != nil {
		n += expect(t, op, p, *p.shape.Max)
		n += expect(t, op, p, *p.shape.Max+1, fmt.Sprintf("Member must have value less than or equal to %d", *p.shape.Max))
	}
	return n
}

func checkLists(t *testing.T, op *Op, p place) (n int) {
	of := func(length int64) []any {
		list := make([]any, length)
		for i := range list {
			list[i] = sample(t, p.shape.Element, false)
		}
		return list
	}
	if p.shape.Min != nil {
		n += expect(t, op, p, of(*p.shape.Min))
		if *p.shape.Min > 0 {
			n += expect(t, op, p, of(*p.shape.Min-1), fmt.Sprintf("Member must have length greater than or equal to %d", *p.shape.Min))
		}
	}
	if p.shape.Max != nil {
		n += expect(t, op, p, of(*p.shape.Max))
		n += expect(t, op, p, of(*p.shape.Max+1), fmt.Sprintf("Member must have length less than or equal to %d", *p.shape.Max))
	}
	return n
}

func checkStrings(t *testing.T, op *Op, p place) (n int) {
	if len(p.shape.Enum) > 0 {
		set := "Member must satisfy enum value set: [" + strings.Join(p.shape.Enum, ", ") + "]"
		for _, v := range p.shape.Enum {
			n += expect(t, op, p, v)
		}
		for _, v := range []string{"", strings.ToLower(p.shape.Enum[0]), p.shape.Enum[0] + "\n", p.shape.Enum[0] + "X"} {
			n += expect(t, op, p, v, set)
		}
		return n
	}
	if p.shape.Min != nil && *p.shape.Min > 0 {
		n += checkLength(t, op, p, *p.shape.Min, *p.shape.Min-1, fmt.Sprintf("Member must have length greater than or equal to %d", *p.shape.Min))
	}
	if p.shape.Max != nil {
		n += checkLength(t, op, p, *p.shape.Max, *p.shape.Max+1, fmt.Sprintf("Member must have length less than or equal to %d", *p.shape.Max))
	}
	if p.shape.Pattern != nil {
		return n + checkPattern(t, op, p)
	}
	return n + expect(t, op, p, strings.Repeat("x", max(12, bound(p.shape.Min, 0)))+"\x00", "Member must not contain the character U+0000")
}

// checkLength tries the lengths just inside and just outside a bound. Where the pattern does not let a string have one of
// the lengths, a string of that length breaks both.
func checkLength(t *testing.T, op *Op, p place, inside, outside int64, constraint string) (n int) {
	if s, ok := text(t, p.shape, int(inside)); ok {
		n += expect(t, op, p, s)
	}
	s, ok := text(t, p.shape, int(outside))
	if ok {
		return n + expect(t, op, p, s, constraint)
	}
	return n + expect(t, op, p, strings.Repeat("\u00fe", int(outside)), constraint, patternText(p.shape))
}

func patternText(s *schema.Shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern.String()
}

// checkPattern puts characters that the pattern does not know before, behind and into a valid value.
func checkPattern(t *testing.T, op *Op, p place) (n int) {
	re := parsed(t, p.shape.Pattern)
	good := sample(t, p.shape, false).(string)
	if longer, ok := text(t, p.shape, utf8.RuneCountInString(good)+1); ok && p.shape.Max != nil && utf8.RuneCountInString(longer) < int(*p.shape.Max) {
		good = longer
	}
	for _, r := range "\n\r\x01\x7f <>\\/☃٣" {
		if knows(re, r) {
			continue
		}
		runes := []rune(good)
		for _, at := range []int{0, 1, len(runes) - 1} {
			bad := slices.Clone(runes)
			bad[min(at, len(bad)-1)] = r
			n += expect(t, op, p, string(bad), patternText(p.shape))
		}
		if p.shape.Max == nil || len(runes) < int(*p.shape.Max) {
			n += expect(t, op, p, good+string(r), patternText(p.shape))
			n += expect(t, op, p, string(r)+good, patternText(p.shape))
		}
	}
	return n
}
