package wire

import (
	"strconv"
	"strings"
)

// maxQuoted is the longest string that is sent quoted. Longer ones, and those with a line break, NUL or a byte above 127,
// are sent as literals, which every client reads as they are.
const maxQuoted = 1000

// AppendString appends s as a string: quoted if it can be, else a literal. NUL can stand in neither and is left out.
func AppendString(dst []byte, s string) []byte {
	escape := false
	quotable := len(s) <= maxQuoted
	for i := 0; i < len(s) && quotable; i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			escape = true
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80:
			quotable = false
		}
	}
	if !quotable {
		if strings.IndexByte(s, 0) >= 0 {
			s = strings.ReplaceAll(s, "\x00", "")
		}
		dst = AppendLiteralHead(dst, int64(len(s)))
		return append(dst, s...)
	}
	dst = append(dst, '"')
	if !escape {
		dst = append(dst, s...)
		return append(dst, '"')
	}
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// AppendNString appends s as a string, or NIL where it is empty.
func AppendNString(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s)
}

// AppendLiteralHead appends the announcement of a literal of n bytes, with its line break.
func AppendLiteralHead(dst []byte, n int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '}', '\r', '\n')
}

// AppendMailbox appends a mailbox name, which is UTF-8, in modified UTF-7 as a word or string.
func AppendMailbox(dst []byte, name string) []byte {
	if isAString(name) && strings.IndexByte(name, '&') < 0 {
		return append(dst, name...)
	}
	return AppendString(dst, EncodeUTF7(name))
}

// isAString reports whether s can be sent as a word. NIL can't: some clients would take it for none.
func isAString(s string) bool {
	for i := range len(s) {
		if classes(s[i])&classAstr == 0 {
			return false
		}
	}
	return s != "" && len(s) <= maxQuoted && !strings.EqualFold(s, "NIL")
}

// AppendText appends human-readable text of a response: without line breaks and NUL, bytes above 127 as "?", and never
// beginning like a response code.
func AppendText(dst []byte, s string) []byte {
	if s == "" || s[0] == '[' {
		dst = append(dst, '-', ' ')
	}
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}
