package sieve

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// text is a string of a script, with references of variables in it (RFC 5229 section 3).
type text struct {
	at     position
	raw    string // before variables are put in
	pieces []piece
}

// piece is a literal, a variable, or a match variable.
type piece struct {
	literal  string
	variable string // in lower case
	match    int    // index of a match variable where both are empty
}

// constant reports whether the text is the same in each run.
func (t *text) constant() bool { return t.pieces == nil }

// maxMatch is the highest index of a match variable.
const maxMatch = 32

// text reads encoded characters and references of variables in a string.
func (c *compiler) text(l literal) (text, error) {
	t := text{at: l.at, raw: l.value}
	if c.required["encoded-character"] {
		var err error
		if t.raw, err = decodeCharacters(l.at, l.value); err != nil {
			return text{}, err
		}
	}
	if !c.required["variables"] {
		return t, nil
	}
	// What no reference of a variable holds begins at start.
	start, pos := 0, 0
	add := func(end int) {
		if end > start {
			t.pieces = append(t.pieces, piece{literal: t.raw[start:end]})
		}
	}
	for {
		i := strings.Index(t.raw[pos:], "${")
		if i < 0 {
			break
		}
		pos += i
		name, length := reference(t.raw[pos:])
		if length == 0 {
			pos += len("${")
			continue
		}
		word := show(t.raw[pos : pos+length])
		if strings.Contains(name, ".") {
			return text{}, l.at.errorf("%s is a variable of a namespace, and no extension has it", word)
		}
		p := piece{variable: lower(name)}
		if isDigit(name[0]) {
			n, err := strconv.Atoi(name)
			if err != nil || n > maxMatch {
				return text{}, l.at.errorf("%s is too much: match variables go up to ${%d}", word, maxMatch)
			}
			p = piece{match: n}
		}
		add(pos)
		t.pieces = append(t.pieces, p)
		pos += length
		start = pos
	}
	if t.pieces != nil {
		add(len(t.raw))
	}
	return t, nil
}

// reference reads "${name}" at the beginning of s; length is 0 where there is none.
func reference(s string) (name string, length int) {
	end := 2
	for end < len(s) && (isLetter(s[end]) || isDigit(s[end]) || s[end] == '.') {
		end++
	}
	if end == len(s) || s[end] != '}' {
		return "", 0
	}
	name = s[2:end]
	first, rest, _ := strings.Cut(name, ".")
	if !isVariableName(first) || rest == "" && len(first) < len(name) || rest != "" && isDigit(first[0]) {
		return "", 0
	}
	for rest != "" {
		var part string
		more := false
		if part, rest, more = strings.Cut(rest, "."); !isVariableName(part) || more && rest == "" {
			return "", 0
		}
	}
	return name, end + 1
}

// isVariableName reports whether s is an identifier or a number.
func isVariableName(s string) bool {
	if s == "" {
		return false
	}
	number := isDigit(s[0])
	for i := range len(s) {
		if !isDigit(s[i]) && (number || !isLetter(s[i])) {
			return false
		}
	}
	return true
}

// decodeCharacters replaces ${hex:…} and ${unicode:…} (RFC 5228 section 2.4.2.4), in one pass.
func decodeCharacters(at position, s string) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			break
		}
		out.WriteString(s[:i])
		s = s[i:]
		decoded, length, err := encodedCharacters(s)
		if err != "" {
			return "", at.errorf("%s", err)
		}
		if length == 0 {
			decoded, length = "${", 2
		}
		out.WriteString(decoded)
		s = s[length:]
	}
	out.WriteString(s)
	return out.String(), nil
}

// encodedCharacters decodes the sequence at the beginning of s; length is 0 where there is none.
func encodedCharacters(s string) (decoded string, length int, fault string) {
	start, hex := len("${hex:"), true
	if !hasPrefixFold(s, "${hex:") {
		start, hex = len("${unicode:"), false
		if !hasPrefixFold(s, "${unicode:") {
			return "", 0, ""
		}
	}
	end := start
	for end < len(s) && strings.IndexByte("0123456789abcdefABCDEF \t\r\n", s[end]) >= 0 {
		end++
	}
	words := strings.Fields(s[start:end])
	if end == len(s) || s[end] != '}' || len(words) == 0 {
		return "", 0, ""
	}
	var out []byte
	for _, w := range words {
		n, err := strconv.ParseUint(w, 16, 32)
		switch {
		case hex && len(w) > 2:
			return "", 0, ""
		case hex:
			out = append(out, byte(n))
		case err != nil || !utf8.ValidRune(rune(min(n, 1<<30))):
			return "", 0, show(s[:end+1]) + " holds no character: Unicode has 0 to D7FF and E000 to 10FFFF"
		default:
			out = utf8.AppendRune(out, rune(n))
		}
	}
	return string(out), end + 1, ""
}

// hasPrefixFold compares ASCII without case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// lower returns s with the ASCII letters in lower case.
func lower(s string) string { return mapASCII(s, 'A', 'a') }

// upper returns s with the ASCII letters in upper case.
func upper(s string) string { return mapASCII(s, 'a', 'A') }

// mapASCII turns the 26 letters that begin with from into those that begin with to.
func mapASCII(s string, from, to byte) string {
	for i := range len(s) {
		if s[i]-from < 26 {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i]-from < 26 {
					b[i] += to - from
				}
			}
			return string(b)
		}
	}
	return s
}

// cutString returns the first n bytes of s at most, and no part of a character at the end of valid UTF-8.
func cutString(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}

// oneLine returns s as valid UTF-8 in one line: white space in a row, line breaks among it, is one space, and other control
// characters are gone.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == '\t' {
			return ' '
		}
		if r < ' ' || r == 127 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
}
