package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The classes of characters of RFC 3501 section 9.
const (
	classAtom   = 1 << iota // ATOM-CHAR
	classAstr               // ASTRING-CHAR: ATOM-CHAR and "]"
	classList               // list-char: ATOM-CHAR, "]", "%" and "*"
	classTag                // ASTRING-CHAR without "+"
	classQuoted             // what may stand in a quoted string as it is
)

// classes returns those that a byte is of.
func classes(c byte) uint8 {
	switch {
	case c == 0 || c == '\r' || c == '\n' || c == '"' || c == '\\':
		return 0
	case c <= ' ' || c >= 127 || c == '(' || c == ')' || c == '{':
		return classQuoted // above 127 UTF-8 is required, which is checked where it matters
	case c == '%' || c == '*':
		return classQuoted | classList
	case c == ']':
		return classQuoted | classList | classAstr | classTag
	case c == '+':
		return classQuoted | classList | classAstr | classAtom
	default:
		return classQuoted | classList | classAstr | classAtom | classTag
	}
}

// peek returns the next byte of the line, 0 at its end and after an error.
func (r *Reader) peek() byte {
	if r.err != nil || r.pos >= len(r.line) {
		return 0
	}
	return r.line[r.pos]
}

// accept passes over c if it is next.
func (r *Reader) accept(c byte) bool {
	if r.peek() != c || c == 0 {
		return false
	}
	r.pos++
	return true
}

// expect passes over c, which must be next.
func (r *Reader) expect(c byte) {
	if r.err != nil || r.accept(c) {
		return
	}
	what := strconv.QuoteRune(rune(c))
	if c == ' ' {
		what = "a space"
	}
	r.fail(what + " is expected " + r.where())
}

func (r *Reader) where() string {
	if r.pos >= len(r.line) {
		return "where the line ends"
	}
	return "where " + strconv.QuoteRuneToASCII(rune(r.line[r.pos])) + " stands"
}

func (r *Reader) space() { r.expect(' ') }

// end checks that nothing is left of the command. Spaces before the end are forgiven: clients send them.
func (r *Reader) end() {
	for r.accept(' ') {
	}
	if r.err == nil && r.pos < len(r.line) {
		r.fail("the command should end " + r.where())
	}
}

// run takes the bytes of the class that are next, as a view into the line.
func (r *Reader) run(class uint8) []byte {
	if r.err != nil {
		return nil
	}
	start := r.pos
	for r.pos < len(r.line) && classes(r.line[r.pos])&class != 0 {
		r.pos++
	}
	return r.line[start:r.pos]
}

func (r *Reader) tag() (string, bool) {
	tag := r.run(classTag)
	if len(tag) == 0 || len(tag) > 256 || r.pos < len(r.line) && r.line[r.pos] != ' ' {
		return "", false
	}
	return string(tag), true
}

// atom takes an atom in upper case; what names it in the error.
func (r *Reader) atom(what string) string {
	b := r.run(classAtom)
	if len(b) == 0 {
		r.fail(what + " is expected " + r.where())
		return ""
	}
	return upper(b)
}

// word takes a run of letters, digits, "-", "." and "_" in upper case: a keyword that "[" or "(" may follow.
func (r *Reader) word(what string) string {
	start := r.pos
	for r.err == nil && r.pos < len(r.line) {
		c := r.line[r.pos]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			break
		}
		r.pos++
	}
	if r.err == nil && r.pos == start {
		r.fail(what + " is expected " + r.where())
	}
	if r.err != nil {
		return ""
	}
	return upper(r.line[start:r.pos])
}

func upper(b []byte) string {
	for _, c := range b {
		if 'a' <= c && c <= 'z' {
			return strings.ToUpper(string(b)) // atoms are ASCII
		}
	}
	return string(b)
}

// number takes a number of 32 bits.
func (r *Reader) number() uint32 { return uint32(r.digits(1<<32 - 1)) }

// number64 takes a number of 63 bits: a mod-sequence (RFC 7162 section 7).
func (r *Reader) number64() uint64 { return r.digits(1<<63 - 1) }

func (r *Reader) digits(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	start, n := r.pos, uint64(0)
	for r.pos < len(r.line) && '0' <= r.line[r.pos] && r.line[r.pos] <= '9' {
		d := uint64(r.line[r.pos] - '0')
		if n > (limit-d)/10 {
			r.fail("a number is larger than " + strconv.FormatUint(limit, 10))
			return 0
		}
		n = n*10 + d
		r.pos++
	}
	if r.pos == start {
		r.fail("a number is expected " + r.where())
	}
	return n
}

// quoted takes a quoted string.
func (r *Reader) quoted() string {
	r.expect('"')
	if r.err != nil {
		return ""
	}
	start := r.pos
	if b := r.run(classQuoted); r.accept('"') {
		return string(b)
	}
	r.pos = start
	var out []byte
	for {
		out = append(out, r.run(classQuoted)...)
		switch c := r.peek(); c {
		case '"':
			r.pos++
			return string(out)
		case '\\':
			r.pos++
			if c = r.peek(); c != '"' && c != '\\' {
				r.fail(`in a quoted string a backslash stands before " or \ only`)
				return ""
			}
			out = append(out, c)
			r.pos++
		default:
			r.fail("a quoted string has no end")
			return ""
		}
	}
}

// str takes a string: quoted or a literal.
func (r *Reader) str() string {
	switch r.peek() {
	case '"':
		return r.quoted()
	case '{':
		return r.literal()
	}
	r.fail("a string is expected " + r.where())
	return ""
}

// nstring takes a string or NIL.
func (r *Reader) nstring() (s string, ok bool) {
	if c := r.peek(); c == 'N' || c == 'n' {
		if r.atom("NIL") != "NIL" {
			r.fail("a string or NIL is expected")
		}
		return "", false
	}
	return r.str(), true
}

// astring takes an atom or a string.
func (r *Reader) astring() string {
	if c := r.peek(); c == '"' || c == '{' {
		return r.str()
	}
	b := r.run(classAstr)
	if len(b) == 0 {
		r.fail("a word or string is expected " + r.where())
	}
	return string(b)
}

// mailbox takes the name of a mailbox and returns it in UTF-8, INBOX in capitals.
func (r *Reader) mailbox() string {
	raw := r.astring()
	if r.err != nil {
		return ""
	}
	if len(raw) > MaxName {
		r.refuse("LIMIT", "a mailbox name may have "+strconv.Itoa(MaxName)+" bytes")
		return ""
	}
	name, ok := decodeName(raw)
	if !ok {
		r.refuse("CANNOT", "a mailbox name is not valid modified UTF-7 (RFC 3501 section 5.1.3) or UTF-8")
		return ""
	}
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// decodeName reads a mailbox name or pattern. Modified UTF-7 is plain ASCII; a client that sends bytes above 127 means
// UTF-8 (RFC 9051 section 5.1), in which "&" has no meaning of its own.
func decodeName(raw string) (string, bool) {
	for i := range len(raw) {
		if raw[i] >= 0x80 {
			return raw, utf8.ValidString(raw)
		}
	}
	return DecodeUTF7(raw)
}

// list calls item for each item of a list in parentheses, which may be empty if mayBeEmpty.
func (r *Reader) list(mayBeEmpty bool, item func()) {
	r.expect('(')
	if !r.enter() {
		return
	}
	defer r.leave()
	if mayBeEmpty && r.accept(')') {
		return
	}
	for n := 1; r.err == nil; n++ {
		if n > r.limits.Items {
			r.refuse("LIMIT", "a list here may have "+strconv.Itoa(r.limits.Items)+" items")
			return
		}
		item()
		if r.accept(')') {
			return
		}
		r.space()
	}
}

// enter counts a level of nesting; leave must follow where it returns true.
func (r *Reader) enter() bool {
	if r.err != nil {
		return false
	}
	if r.depth++; r.depth > r.limits.Nesting {
		r.refuse("LIMIT", "the command is nested deeper than "+strconv.Itoa(r.limits.Nesting)+" levels")
		r.depth--
		return false
	}
	return true
}

func (r *Reader) leave() { r.depth-- }
