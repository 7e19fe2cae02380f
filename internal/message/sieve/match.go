package sieve

import (
	"slices"
	"strconv"
	"strings"
)

type matchKind uint8

const (
	matchIs matchKind = iota
	matchContains
	matchMatches
	matchValue
	matchCount
)

type comparator uint8

const (
	asciiCasemap comparator = iota
	octet
	asciiNumeric
)

var comparators = [...]string{asciiCasemap: "i;ascii-casemap", octet: "i;octet", asciiNumeric: "i;ascii-numeric"}

// match is how a test compares (RFC 5228 section 2.7, RFC 5231).
type match struct {
	kind       matchKind
	comparator comparator
	relation   string // of matchValue and matchCount: "gt" and the like
}

var defaultMatch = match{}

// setMatch reads the tags that say how and which part of an address is compared.
func (c *compiler) setMatch(n *node) error {
	for word, kind := range map[string]matchKind{
		"is": matchIs, "contains": matchContains, "matches": matchMatches, "value": matchValue, "count": matchCount,
	} {
		v, ok := n.tags[word]
		if !ok || n.signature.tags[0].name != "comparator" {
			continue
		}
		n.match.kind = kind
		if kind == matchValue || kind == matchCount {
			t := v.texts[0]
			if n.match.relation = t.raw; !t.constant() || !slices.Contains([]string{"gt", "ge", "lt", "le", "eq", "ne"}, t.raw) {
				return t.at.errorf(`%s is no relation: there are "gt", "ge", "lt", "le", "eq" and "ne"`, show(t.raw))
			}
		}
	}
	for _, part := range partTags {
		if n.has(part.name) && part.argument == nothing {
			n.part = part.name
		}
	}
	v, ok := n.tags["comparator"]
	if !ok {
		return nil
	}
	t := v.texts[0]
	i := slices.Index(comparators[:], t.raw)
	if i < 0 || !t.constant() {
		return t.at.errorf(`there is no comparator %s; there are "i;ascii-casemap", "i;octet" and "i;ascii-numeric"`, show(t.raw))
	}
	if n.match.comparator = comparator(i); n.match.comparator != asciiNumeric {
		return nil
	}
	if !c.required["comparator-i;ascii-numeric"] {
		return t.at.errorf(`this comparator belongs to an extension: write require "comparator-i;ascii-numeric"; at the beginning of the script`)
	}
	if n.match.kind == matchContains || n.match.kind == matchMatches {
		return t.at.errorf(`"i;ascii-numeric" compares whole numbers: it can't stand beside ":contains" or ":matches"`)
	}
	return nil
}

// noNumber is what asciiNumeric reads in a string that begins with no digit.
const noNumber = "x"

// fold returns s as the comparator reads it, for compare. It has as many bytes as s where match variables may be cut out of s.
func (c comparator) fold(s string) string {
	switch c {
	case asciiCasemap:
		return upper(s)
	case asciiNumeric:
		end := 0
		for end < len(s) && isDigit(s[end]) {
			end++
		}
		if end == 0 {
			return noNumber
		}
		return strings.TrimLeft(s[:end], "0")
	}
	return s
}

// compare orders two strings (RFC 4790 section 9) that were folded. What is no number is larger than all numbers.
func (c comparator) compare(a, b string) int {
	if c == asciiNumeric && a != b {
		switch {
		case a == noNumber:
			return 1
		case b == noNumber:
			return -1
		case len(a) != len(b):
			return len(a) - len(b)
		}
	}
	return strings.Compare(a, b)
}

// holds reports whether the order of two strings, as compare says it, is the relation.
func (m match) holds(order int) bool {
	switch m.relation {
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	case "le":
		return order <= 0
	case "ne":
		return order != 0
	}
	return order == 0
}

// compare reports whether one of the values is to one of the keys as the node says. count is what ":count" counts. capture lets a
// match of ":matches" set the match variables.
func (r *run) compare(n *node, values []string, count int, keys value, capture bool) (bool, error) {
	return r.compareKeys(n, values, count, r.expandAll(keys), capture)
}

func (r *run) compareKeys(n *node, values []string, count int, keys []string, capture bool) (bool, error) {
	if n.match.kind == matchCount {
		values = []string{strconv.Itoa(count)}
	}
	c := n.match.comparator
	folded := make([]string, len(keys))
	patterns := make([]pattern, len(keys))
	for i, key := range keys {
		cost := len(key)
		if n.match.kind == matchMatches {
			cost *= 32
		}
		if err := r.spend(n, cost); err != nil {
			return false, err
		}
		folded[i] = c.fold(key)
		if n.match.kind == matchMatches {
			patterns[i] = newPattern(folded[i])
		}
	}
	for _, v := range values {
		if err := r.spend(n, len(v)); err != nil {
			return false, err
		}
		text := c.fold(v)
		for i, key := range keys {
			if err := r.spend(n, len(v)+len(key)); err != nil {
				return false, err
			}
			ok := false
			switch n.match.kind {
			case matchIs:
				ok = text == folded[i]
			case matchContains:
				ok = strings.Contains(text, folded[i])
			case matchMatches:
				var ends []span
				var work int
				ends, work, ok = patterns[i].match(text, r.left())
				if err := r.spend(n, work); err != nil {
					return false, err
				}
				if ok && capture {
					r.capture(v, ends)
				}
			default:
				ok = n.match.holds(c.compare(text, folded[i]))
			}
			if ok {
				return true, nil
			}
		}
	}
	return false, nil
}

// capture sets the match variables (RFC 5229 section 3.2).
func (r *run) capture(v string, wildcards []span) {
	if !r.script.required["variables"] {
		return
	}
	r.match = append(r.match[:0], v)
	for _, w := range wildcards {
		r.match = append(r.match, v[w.start:w.end])
	}
}

// pattern is a key of ":matches": what stands between stars. It is found in time linear in the value, where the segments have no "?".
type pattern struct{ segments []segment }

// segment is a sequence of bytes; those that any holds are "?".
type segment struct {
	bytes []byte
	any   []bool // nil for none
	// literal is the longest part without "?", which begins at offset.
	literal string
	offset  int
}

// span is what a wildcard stands for.
type span struct{ start, end int }

func newPattern(key string) pattern {
	var p pattern
	var s segment
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case c == '*':
			p.segments = append(p.segments, s.finish())
			s = segment{}
			continue
		case c == '?':
			if s.any == nil {
				s.any = make([]bool, len(s.bytes))
			}
			s.bytes, s.any = append(s.bytes, c), append(s.any, true)
			continue
		case c == '\\' && i+1 < len(key):
			i++
			c = key[i]
		}
		s.bytes = append(s.bytes, c)
		if s.any != nil {
			s.any = append(s.any, false)
		}
	}
	p.segments = append(p.segments, s.finish())
	return p
}

func (s segment) finish() segment {
	if s.any == nil {
		s.literal = string(s.bytes)
		return s
	}
	start := 0
	for i := 0; i <= len(s.bytes); i++ {
		if i == len(s.bytes) || s.any[i] {
			if i-start > len(s.literal) {
				s.literal, s.offset = string(s.bytes[start:i]), start
			}
			start = i + 1
		}
	}
	return s
}

// at reports whether the segment stands at the beginning of text.
func (s *segment) at(text string) bool {
	if len(text) < len(s.bytes) {
		return false
	}
	for i, c := range s.bytes {
		if text[i] != c && !s.any[i] {
			return false
		}
	}
	return true
}

// find returns where the segment stands first in text, -1 for nowhere, and how many bytes it looked at.
func (s *segment) find(text string, budget int) (at, work int) {
	if s.any == nil {
		return strings.Index(text, s.literal), 0
	}
	for from := 0; from+len(s.bytes) <= len(text) && work <= budget; from++ {
		i := strings.Index(text[from+s.offset:], s.literal)
		if i < 0 {
			return -1, work
		}
		from += i
		work += len(s.bytes)
		if s.at(text[from:]) {
			return from, work
		}
	}
	return -1, work
}

// perSegment is what it takes to look for a segment that isn't there.
const perSegment = 16

// match reports whether the pattern is all of text, with what the first wildcards stand for, each as little as possible. Work is how
// many bytes were looked at besides once all of text; it gives up beyond the budget.
func (p pattern) match(text string, budget int) (wildcards []span, work int, ok bool) {
	pos := 0
	for i := range p.segments {
		s := &p.segments[i]
		start := pos
		switch last := i == len(p.segments)-1; {
		case i == 0 && last:
			ok = len(text) == len(s.bytes)
		case i == 0:
			ok = true
		case last:
			start = len(text) - len(s.bytes)
			ok = start >= pos
		default:
			work += perSegment
			var at, w int
			at, w = s.find(text[pos:], budget-work)
			work += w
			ok = at >= 0
			start += at
		}
		if ok && (i == 0 || i == len(p.segments)-1) {
			work += len(s.bytes)
			ok = s.any == nil && strings.HasPrefix(text[start:], s.literal) || s.any != nil && s.at(text[start:])
		}
		if !ok {
			return nil, work, false
		}
		if i > 0 && len(wildcards) < maxMatch {
			wildcards = append(wildcards, span{pos, start})
		}
		for j := 0; j < len(s.any) && len(wildcards) < maxMatch; j++ {
			if s.any[j] {
				wildcards = append(wildcards, span{start + j, start + j + 1})
			}
		}
		pos = start + len(s.bytes)
	}
	return wildcards, work, true
}
