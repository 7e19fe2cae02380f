// Package contracttest makes, of the shape of an operation's input, what a test of its constraints hands to it: for every member,
// those inside structures and lists too, values just inside and just outside each constraint, of every wrong type, null, and absent.
package contracttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// Kind says what a case tries.
type Kind string

// The kinds.
const (
	Inside    Kind = "just inside"
	Outside   Kind = "just outside"
	WrongType Kind = "wrong type"
	Missing   Kind = "missing"
	Null      Kind = "null"
)

// Case is one document for an operation, and how it must be taken.
type Case struct {
	// Path is the member that the case is about: "rules.1.member.name".
	Path string
	Kind Kind
	// InPath is the value of the member that stands in the URL's path, for operations that have one.
	InPath string
	// Document is JSON that is valid but for the one member.
	Document []byte
	// Breach is the whole message of the breach that must be told, "" where no constraint is broken.
	Breach string
	// Unreadable documents are JSON of another type than the member's.
	Unreadable bool
}

// Wrong says what is wrong with an answer to the case, "" for nothing. breachCode is the operation's exception for breaches.
func (c Case) Wrong(status int, body []byte, breachCode string) string {
	var answer struct {
		Type    string `json:"__type"`
		Message string // or "message": names are read without their case
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Sprintf("%d %s: %v", status, body, err)
	}
	switch {
	case c.Unreadable:
		if status != 400 || answer.Type != "SerializationException" || !strings.Contains(answer.Message, "'"+c.Path) {
			return fmt.Sprintf("%d %s; want 400 SerializationException about %s", status, body, c.Path)
		}
	case c.Breach != "":
		if status != 400 || answer.Type != breachCode || answer.Message != c.Breach {
			return fmt.Sprintf("%d %s; want 400 %s %s", status, body, breachCode, c.Breach)
		}
	case strings.Contains(answer.Message, "validation error"), answer.Type == "SerializationException":
		return fmt.Sprintf("%d %s; every constraint is kept", status, body)
	}
	return ""
}

// Cases makes the cases for an input. Where base has a member of the input, it takes the place of a made up one.
func Cases(t testing.TB, input *schema.Shape, base map[string]any) []Case {
	t.Helper()
	g := &generator{t: t, base: base}
	for _, m := range input.Members {
		if m.InPath {
			g.inPath = Sample(t, m.Shape, false).(string)
		}
	}
	for _, p := range g.places(input, "", func(v any) any { return v }) {
		if !p.inPath {
			g.presence(p)
			g.types(p)
		}
		switch p.shape.Type {
		case schema.String:
			g.strings(p)
		case schema.List:
			g.lists(p)
		case schema.Integer, schema.Long:
			g.numbers(p)
		}
	}
	return g.cases
}

type generator struct {
	t      testing.TB
	base   map[string]any
	inPath string
	cases  []Case
}

// place is one member or element of an input: where it is, and how to make a document that is valid but for it.
type place struct {
	path     string
	shape    *schema.Shape
	required bool
	element  bool
	inPath   bool
	// document returns the input with value at the place.
	document func(value any) any
}

// absentValue leaves a place out, as opposed to null.
type absentValue struct{}

// places lists every place of a structure, also those inside structures and lists.
func (g *generator) places(shape *schema.Shape, path string, wrap func(any) any) []place {
	var all []place
	members := Sample(g.t, shape, false).(map[string]any)
	for name := range members {
		if known, ok := g.base[name]; ok && path == "" {
			members[name] = known
		}
	}
	for _, m := range shape.Members {
		p := place{path: path + strings.ToLower(m.Name[:1]) + m.Name[1:], shape: m.Shape, required: m.Required, inPath: m.InPath}
		p.document = func(value any) any {
			if m.InPath {
				return wrap(members)
			}
			with := maps.Clone(members)
			with[m.Name] = value
			if value == (absentValue{}) {
				delete(with, m.Name)
			}
			return wrap(with)
		}
		all = append(all, g.inside(p)...)
	}
	return all
}

// inside lists a place and those within it.
func (g *generator) inside(p place) []place {
	all := []place{p}
	switch p.shape.Type {
	case schema.Structure:
		all = append(all, g.places(p.shape, p.path+".", p.document)...)
	case schema.List:
		all = append(all, g.inside(place{
			path: p.path + ".1.member", shape: p.shape.Element, element: true,
			document: func(value any) any { return p.document([]any{value}) },
		})...)
	}
	return all
}

func (g *generator) add(kind Kind, p place, value any) *Case {
	document, err := json.Marshal(p.document(value))
	if err != nil {
		g.t.Fatal(err)
	}
	c := Case{Path: p.path, Kind: kind, InPath: g.inPath, Document: document, Unreadable: kind == WrongType}
	if p.inPath {
		c.InPath = value.(string)
	}
	g.cases = append(g.cases, c)
	return &g.cases[len(g.cases)-1]
}

func (g *generator) accepts(p place, value any) { g.add(Inside, p, value) }

// refuses wants the constraints told, each with the value, unless that is sensitive.
func (g *generator) refuses(p place, value any, constraints ...string) {
	told := make([]string, len(constraints))
	for i, constraint := range constraints {
		who := fmt.Sprintf("Value '%s' at", shown(p.shape, value))
		if p.shape.Sensitive {
			who = "Value at"
		}
		told[i] = fmt.Sprintf("%s '%s' failed to satisfy constraint: %s", who, p.path, constraint)
	}
	errors := "error"
	if len(told) > 1 {
		errors = "errors"
	}
	g.add(Outside, p, value).Breach = fmt.Sprintf("%d validation %s detected: %s", len(told), errors, strings.Join(told, "; "))
}

// shown is a value as a message repeats it: the elements of a list that are allowed, where they are strings, else their number; 256
// characters at most.
func shown(shape *schema.Shape, value any) string {
	text := fmt.Sprint(value)
	if list, ok := value.([]any); ok {
		allowed := list
		if shape.Max != nil {
			allowed = list[:min(int(*shape.Max), len(list))]
		}
		text = "[" + strings.Trim(strings.ReplaceAll(fmt.Sprintf("%q", allowed), `" "`, ", "), `[]"`) + "]"
		if shape.Element.Type != schema.String || shape.Element.Sensitive {
			text = fmt.Sprintf("%d elements", len(list))
		}
	}
	text = strings.ReplaceAll(text, "\x00", "␀")
	if utf8.RuneCountInString(text) > 256 {
		return string([]rune(text)[:256]) + "…"
	}
	return text
}

func (g *generator) presence(p place) {
	kinds := map[Kind]any{Null: nil, Missing: absentValue{}}
	if p.element {
		delete(kinds, Missing)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		c := g.add(kind, p, kinds[kind])
		if p.required || p.element {
			c.Breach = fmt.Sprintf("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", p.path)
		}
	}
	g.accepts(p, Sample(g.t, p.shape, true))
}

// types hands the place one value of every JSON type: all but its own are refused.
func (g *generator) types(p place) {
	own := map[schema.Type]string{
		schema.Structure: "object", schema.List: "list", schema.String: "string", schema.Blob: "string", schema.Boolean: "boolean",
		schema.Integer: "number", schema.Long: "number", schema.Double: "number", schema.Timestamp: "number",
	}[p.shape.Type]
	values := map[string]any{"object": map[string]any{}, "list": []any{}, "string": "7", "boolean": true, "number": 7}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name != own {
			g.add(WrongType, p, values[name])
		}
	}
}

func (g *generator) numbers(p place) {
	g.add(WrongType, p, 1.5)
	g.add(WrongType, p, json.RawMessage("9223372036854775808"))
	if p.shape.Type == schema.Integer {
		g.add(WrongType, p, json.RawMessage("2147483648"))
	}
	if p.shape.Min != nil {
		g.accepts(p, *p.shape.Min)
		g.refuses(p, *p.shape.Min-1, fmt.Sprintf("Member must have value greater than or equal to %d", *p.shape.Min))
	}
	if p.shape.Max != nil {
		g.accepts(p, *p.shape.Max)
		g.refuses(p, *p.shape.Max+1, fmt.Sprintf("Member must have value less than or equal to %d", *p.shape.Max))
	}
}

func (g *generator) lists(p place) {
	of := func(length int64) []any {
		list := make([]any, length)
		for i := range list {
			list[i] = Sample(g.t, p.shape.Element, false)
		}
		return list
	}
	if p.shape.Min != nil {
		g.accepts(p, of(*p.shape.Min))
		if *p.shape.Min > 0 {
			g.refuses(p, of(*p.shape.Min-1), fmt.Sprintf("Member must have length greater than or equal to %d", *p.shape.Min))
		}
	}
	if p.shape.Max != nil {
		g.accepts(p, of(*p.shape.Max))
		g.refuses(p, of(*p.shape.Max+1), fmt.Sprintf("Member must have length less than or equal to %d", *p.shape.Max))
	}
}

func (g *generator) strings(p place) {
	if len(p.shape.Enum) > 0 {
		set := "Member must satisfy enum value set: [" + strings.Join(p.shape.Enum, ", ") + "]"
		for _, v := range p.shape.Enum {
			g.accepts(p, v)
		}
		for _, v := range []string{"", strings.ToLower(p.shape.Enum[0]), p.shape.Enum[0] + "\n", p.shape.Enum[0] + "X"} {
			g.refuses(p, v, set)
		}
		return
	}
	if p.shape.Min != nil && *p.shape.Min > 0 {
		g.lengths(p, *p.shape.Min, *p.shape.Min-1, fmt.Sprintf("Member must have length greater than or equal to %d", *p.shape.Min))
	}
	if p.shape.Max != nil {
		g.lengths(p, *p.shape.Max, *p.shape.Max+1, fmt.Sprintf("Member must have length less than or equal to %d", *p.shape.Max))
	}
	if p.shape.Pattern != nil {
		g.pattern(p)
		return
	}
	g.refuses(p, strings.Repeat("x", max(12, bound(p.shape.Min, 0)))+"\x00", "Member must not contain the character U+0000")
}

// lengths tries the lengths just inside and just outside a bound. Where the pattern does not let a string have one of the lengths, a
// string of that length breaks both.
func (g *generator) lengths(p place, inside, outside int64, constraint string) {
	if s, ok := Text(g.t, p.shape, int(inside)); ok {
		g.accepts(p, s)
	}
	if s, ok := Text(g.t, p.shape, int(outside)); ok {
		g.refuses(p, s, constraint)
		return
	}
	g.refuses(p, strings.Repeat("\u00fe", int(outside)), constraint, patternText(p.shape))
}

func patternText(s *schema.Shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern.String()
}

// pattern puts characters that the pattern does not know before, behind and into a valid value.
func (g *generator) pattern(p place) {
	re := parsed(g.t, p.shape.Pattern)
	good := Sample(g.t, p.shape, false).(string)
	if longer, ok := Text(g.t, p.shape, utf8.RuneCountInString(good)+1); ok && p.shape.Max != nil && utf8.RuneCountInString(longer) < int(*p.shape.Max) {
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
			g.refuses(p, string(bad), patternText(p.shape))
		}
		if p.shape.Max == nil || len(runes) < int(*p.shape.Max) {
			g.refuses(p, good+string(r), patternText(p.shape))
			g.refuses(p, string(r)+good, patternText(p.shape))
		}
	}
}
