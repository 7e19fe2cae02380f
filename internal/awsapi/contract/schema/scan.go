package schema

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may be nested. The deepest request of WorkMail has four levels.
const maxDepth = 32

// SyntaxError says that a body is not the JSON that its operation expects: broken syntax, a value of the wrong type, a
// member given twice, too deep nesting.
type SyntaxError struct {
	// Offset in the body, in bytes from 0.
	Offset int
	// Path of the member in lowerCamelCase, "" outside any.
	Path string
	// Problem is what is wrong there. It repeats nothing of the body but member names.
	Problem string
}

// Error says what is wrong and where.
func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s (byte %d of the body)", e.Problem, e.Offset)
	}
	return fmt.Sprintf("%s at '%s' (byte %d of the body)", e.Problem, e.Path, e.Offset)
}

// scanner reads JSON (RFC 8259) strictly: valid UTF-8 only, no lone surrogates, no duplicate members.
type scanner struct {
	data  []byte
	pos   int
	depth int
	path  []step
}

// step is one step of a path: a member, or with an empty name the element at index.
type step struct {
	name  string
	index int
}

func (s *scanner) fail(offset int, format string, args ...any) *SyntaxError {
	return &SyntaxError{Offset: offset, Path: s.where(), Problem: fmt.Sprintf(format, args...)}
}

// where words the current path as messages do, with names in lowerCamelCase.
func (s *scanner) where() string { return s.words(lowerFirst) }

// words joins the current path, its names turned.
func (s *scanner) words(turn func(string) string) string {
	var b strings.Builder
	for i, p := range s.path {
		if i > 0 {
			b.WriteByte('.')
		}
		if p.name == "" {
			b.WriteString(strconv.Itoa(p.index))
			b.WriteString(".member")
			continue
		}
		b.WriteString(turn(shorten(p.name)))
	}
	return b.String()
}

func lowerFirst(name string) string {
	if name != "" && 'A' <= name[0] && name[0] <= 'Z' {
		return string(name[0]+'a'-'A') + name[1:]
	}
	return name
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// found names what stands at the current position, for error messages.
func (s *scanner) found() string {
	switch c := s.peek(); {
	case s.pos >= len(s.data):
		return "the end of the body"
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '"':
		return "a string"
	case c == '-' || isDigit(c):
		return "a number"
	case c == 't' || c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	default:
		return "something that is not JSON"
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (s *scanner) expect(c byte, what string) *SyntaxError {
	if s.peek() != c {
		return s.fail(s.pos, "expected %s, found %s", what, s.found())
	}
	s.pos++
	return nil
}

func (s *scanner) literal(word string) bool {
	s.peek()
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return false
	}
	s.pos += len(word)
	return true
}

func (s *scanner) enter() *SyntaxError {
	if s.depth++; s.depth > maxDepth {
		return s.fail(s.pos, "nested deeper than %d levels", maxDepth)
	}
	return nil
}

// object calls member for each member of an object, with the scanner before its value.
func (s *scanner) object(member func(name string, offset int) *SyntaxError) *SyntaxError {
	if err := s.expect('{', "an object"); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		s.peek()
		offset := s.pos
		name, err := s.text("a member's name")
		if err != nil {
			return err
		}
		if err := s.expect(':', "a colon"); err != nil {
			return err
		}
		s.path = append(s.path, step{name: name})
		if err := member(name, offset); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		if s.peek() == ',' {
			s.pos++
			continue
		}
		return s.expect('}', "a comma or the end of the object")
	}
}

// list calls element for each element of a list, counted from 0, with the scanner before it.
func (s *scanner) list(element func(i int) *SyntaxError) *SyntaxError {
	if err := s.expect('[', "a list"); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for i := 0; ; i++ {
		s.path = append(s.path, step{index: i + 1})
		if err := element(i); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		if s.peek() == ',' {
			s.pos++
			continue
		}
		return s.expect(']', "a comma or the end of the list")
	}
}

// text reads a string.
func (s *scanner) text(what string) (string, *SyntaxError) {
	if err := s.expect('"', what); err != nil {
		return "", err
	}
	start := s.pos
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			raw := s.data[start:s.pos]
			if !utf8.Valid(raw) {
				return "", s.fail(start, "a string that is not valid UTF-8")
			}
			s.pos++
			return string(raw), nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return "", s.fail(s.pos, "a control character inside a string")
		}
	}
	return "", s.fail(s.pos, "a string without end")
}

// escaped reads on a string that began at start and has its first backslash at the current position.
func (s *scanner) escaped(start int) (string, *SyntaxError) {
	out := append([]byte(nil), s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", s.fail(start, "a string that is not valid UTF-8")
			}
			s.pos++
			return string(out), nil
		case c < ' ':
			return "", s.fail(s.pos, "a control character inside a string")
		case c != '\\':
			out = append(out, c)
			s.pos++
		default:
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return "", s.fail(s.pos, "a string without end")
}

// simpleEscapes are the characters that an escape of one letter stands for.
var simpleEscapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape sequence, two for a pair of surrogates.
func (s *scanner) escape() (rune, *SyntaxError) {
	offset := s.pos
	if s.pos+1 < len(s.data) {
		if r := simpleEscapes[s.data[s.pos+1]]; r != 0 {
			s.pos += 2
			return r, nil
		}
	}
	r, ok := s.hexEscape()
	if !ok {
		return 0, s.fail(offset, "an unknown escape sequence")
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	low, ok := s.hexEscape()
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, s.fail(offset, "half of a surrogate pair")
	}
	return r, nil
}

func (s *scanner) hexEscape() (rune, bool) {
	if len(s.data)-s.pos < 6 || s.data[s.pos] != '\\' || s.data[s.pos+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.data[s.pos+2 : s.pos+6] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	s.pos += 6
	return r, true
}

// number reads a number's text; whole tells that it has neither fraction nor exponent.
func (s *scanner) number(what string) (text string, whole bool, err *SyntaxError) {
	if c := s.peek(); c != '-' && !isDigit(c) {
		return "", false, s.fail(s.pos, "expected %s, found %s", what, s.found())
	}
	start := s.pos
	if s.data[s.pos] == '-' {
		s.pos++
	}
	leading := s.pos
	if s.digits() == 0 || s.data[leading] == '0' && s.pos > leading+1 {
		return "", false, s.fail(start, "a number that is not JSON")
	}
	whole = true
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		whole = false
		s.pos++
		if s.digits() == 0 {
			return "", false, s.fail(start, "a number that is not JSON")
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		whole = false
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return "", false, s.fail(start, "a number that is not JSON")
		}
	}
	return string(s.data[start:s.pos]), whole, nil
}

func (s *scanner) digits() (n int) {
	for ; s.pos < len(s.data) && isDigit(s.data[s.pos]); s.pos++ {
		n++
	}
	return n
}

// skip reads over any value and checks that it is JSON.
func (s *scanner) skip() *SyntaxError {
	switch c := s.peek(); {
	case c == '{':
		seen := map[string]struct{}{}
		return s.object(func(name string, offset int) *SyntaxError {
			if _, twice := seen[name]; twice {
				return s.fail(offset, "a member given twice")
			}
			seen[name] = struct{}{}
			return s.skip()
		})
	case c == '[':
		return s.list(func(int) *SyntaxError { return s.skip() })
	case c == '"':
		_, err := s.text("a string")
		return err
	case s.literal("null"), s.literal("true"), s.literal("false"):
		return nil
	default:
		_, _, err := s.number("a value")
		return err
	}
}
