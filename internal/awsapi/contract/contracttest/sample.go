package contracttest

import (
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// Sample returns a value that keeps all of a shape's constraints: of a structure the required members only, or all.
func Sample(t testing.TB, shape *schema.Shape, all bool) any {
	switch shape.Type {
	case schema.Structure:
		members := map[string]any{}
		for _, m := range shape.Members {
			if (m.Required || all) && !m.InPath {
				members[m.Name] = Sample(t, m.Shape, all)
			}
		}
		return members
	case schema.List:
		list := []any{}
		for range max(1, bound(shape.Min, 0)) {
			list = append(list, Sample(t, shape.Element, all))
		}
		return list
	case schema.String:
		if len(shape.Enum) > 0 {
			return shape.Enum[0]
		}
		for n := max(1, bound(shape.Min, 0)); n < 200; n++ {
			if s, ok := Text(t, shape, n); ok {
				return s
			}
		}
		t.Fatalf("%s: no valid sample up to 200 characters", shape.Name)
	case schema.Boolean:
		return true
	case schema.Integer, schema.Long:
		return max(1, bound(shape.Min, 0))
	case schema.Double:
		return 1.5
	case schema.Timestamp:
		return 1522693605.468
	case schema.Blob:
		return "YmxvYg=="
	}
	return nil
}

func bound(b *int64, otherwise int) int {
	if b == nil {
		return otherwise
	}
	return int(*b)
}

// Text returns a string of exactly n characters that matches the shape's pattern, if there is one.
func Text(t testing.TB, shape *schema.Shape, n int) (string, bool) {
	if shape.Pattern == nil {
		return strings.Repeat("é", n), true
	}
	return exactly(parsed(t, shape.Pattern), n)
}

// parsed reads a pattern for sampling, without what Go can't read: the lookahead (no sample begins with "d-") and the
// repetitions beyond 1,000 (other parts of those patterns have no bound, so that every length can be had).
func parsed(t testing.TB, p *schema.Pattern) *syntax.Regexp {
	s := strings.NewReplacer(`(?!d-)`, ``, `{0,1023}`, `{0,999}`, `{1,1024}`, `{1,999}`, `\u0020`, `\x20`, `\u00FF`, `\xFF`).Replace(p.String())
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		t.Fatalf("pattern %s: %v", p, err)
	}
	return re
}

const endless = 1 << 20

// lengths returns the shortest and longest match of re in characters.
func lengths(re *syntax.Regexp) (int, int) {
	low, high := 0, 0
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune), len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, 1
	case syntax.OpCapture:
		return lengths(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			a, b := lengths(sub)
			low, high = low+a, min(endless, high+b)
		}
	case syntax.OpAlternate:
		low = endless
		for _, sub := range re.Sub {
			a, b := lengths(sub)
			low, high = min(low, a), max(high, b)
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		a, b := lengths(re.Sub[0])
		least, most := repetitions(re)
		return a * least, min(endless, b*most)
	}
	return low, high
}

func repetitions(re *syntax.Regexp) (int, int) {
	switch re.Op {
	case syntax.OpStar:
		return 0, endless
	case syntax.OpPlus:
		return 1, endless
	case syntax.OpQuest:
		return 0, 1
	}
	if re.Max < 0 {
		return re.Min, endless
	}
	return re.Min, re.Max
}

// exactly returns a match of re with n characters, if there is one.
func exactly(re *syntax.Regexp, n int) (string, bool) {
	if low, high := lengths(re); n < low || n > high {
		return "", false
	}
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune), true
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return pick(re), true
	case syntax.OpCapture:
		return exactly(re.Sub[0], n)
	case syntax.OpConcat:
		return inRow(re.Sub, n)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if s, ok := exactly(sub, n); ok {
				return s, true
			}
		}
		return "", false
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		least, most := repetitions(re)
		low, high := lengths(re.Sub[0])
		for k := least; k <= most && k*low <= n; k++ {
			if k*high < n {
				continue
			}
			row := make([]*syntax.Regexp, k)
			for i := range row {
				row[i] = re.Sub[0]
			}
			if s, ok := inRow(row, n); ok {
				return s, true
			}
		}
		return "", false
	}
	return "", n == 0
}

func inRow(row []*syntax.Regexp, n int) (string, bool) {
	if len(row) == 0 {
		return "", n == 0
	}
	restLow, restHigh := lengths(&syntax.Regexp{Op: syntax.OpConcat, Sub: row[1:]})
	low, high := lengths(row[0])
	for l := max(low, n-restHigh); l <= min(high, n-restLow); l++ {
		first, ok := exactly(row[0], l)
		if !ok {
			continue
		}
		if rest, ok := inRow(row[1:], n-l); ok {
			return first + rest, true
		}
	}
	return "", false
}

// pick takes a character of a class, one of two bytes where there is one, so that characters are not mistaken for bytes.
func pick(re *syntax.Regexp) string {
	for _, r := range "éa7A-" {
		if re.Op != syntax.OpCharClass || inClass(re, r) {
			return string(r)
		}
	}
	return string(re.Rune[0])
}

func inClass(re *syntax.Regexp, r rune) bool {
	for i := 0; i < len(re.Rune); i += 2 {
		if re.Rune[i] <= r && r <= re.Rune[i+1] {
			return true
		}
	}
	return false
}

// knows tells whether a character occurs in any match of re at all.
func knows(re *syntax.Regexp, r rune) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return strings.ContainsRune(string(re.Rune), r)
	case syntax.OpCharClass:
		return inClass(re, r)
	case syntax.OpAnyChar:
		return true
	case syntax.OpAnyCharNotNL:
		return r != '\n'
	}
	for _, sub := range re.Sub {
		if knows(sub, r) {
			return true
		}
	}
	return false
}
