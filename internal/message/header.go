package message

import (
	"bytes"
	"iter"
	"slices"
	"strings"
)

// Field is one field of a header.
type Field struct {
	// Start and End bound the field in the header it was found in, with its folded lines and its last line break.
	Start, End int
	// Name is the field's name as written.
	Name []byte
	// Raw is what follows the colon, up to End.
	Raw []byte
}

// Is reports whether the field has the name, which must be in lower case.
func (f Field) Is(name string) bool { return equalFold(f.Name, name) }

// Value returns the value unfolded (RFC 5322 section 2.2.3), without CR, LF and NUL, which it can't hold in any other
// protocol, and without white space around it. Bytes above 127 stay as they are.
func (f Field) Value() string { return unfold(f.Raw) }

// Fields yields the fields of a header in order. Lines that are no field (an mbox "From " line, a line without colon, a
// name with a space in it) are passed over with what is folded under them. It ends at the first empty line.
func Fields(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for pos := 0; pos < len(header); {
			if isEmptyLine(header[pos:lineEnd(header, pos)]) {
				return
			}
			start, end := pos, fieldEnd(header, pos)
			pos = end
			colon, ok := fieldName(header[start:end])
			if !ok {
				continue
			}
			f := Field{Start: start, End: end, Raw: header[start+colon+1 : end]}
			f.Name = bytes.TrimRight(header[start:start+colon], " \t")
			if !yield(f) {
				return
			}
		}
	}
}

// fieldName returns where the colon after a field name stands. White space before it is obsolete, yet legal to read
// (RFC 5322 section 4.5.8).
func fieldName(line []byte) (colon int, ok bool) {
	nameEnd := -1
	for i, c := range line {
		switch {
		case c == ':':
			return i, i > 0 && nameEnd != 0
		case c == ' ' || c == '\t':
			if nameEnd < 0 {
				nameEnd = i
			}
		case c <= ' ' || c >= 127 || nameEnd >= 0:
			return 0, false
		}
	}
	return 0, false
}

// Hides reports whether a header has a line that Fields passes over and that is one of the fields with the names (lower case) to a reader that
// passes over what can't be seen in a name, or joins folded lines before it looks for the colon.
func Hides(header []byte, names ...string) bool {
	for pos := 0; pos < len(header); {
		start := pos
		pos = fieldEnd(header, pos)
		name, _, ok := bytes.Cut(header[start:pos], []byte(":"))
		if !ok {
			continue
		}
		name = bytes.TrimRight(name, " \t")
		seen := bytes.Map(func(r rune) rune {
			if r <= ' ' || r >= 127 {
				return -1
			}
			return r
		}, name)
		if len(seen) != len(name) && slices.ContainsFunc(names, func(n string) bool { return equalFold(seen, n) }) {
			return true
		}
	}
	return false
}

// FirstValue returns the unfolded value of the first field with the name (lower case).
func FirstValue(header []byte, name string) (value string, ok bool) {
	for f := range Fields(header) {
		if f.Is(name) {
			return f.Value(), true
		}
	}
	return "", false
}

// AppendFields appends to dst the fields of header whose names are among names (with not: are not among them), as they
// stand in the header, and the empty line that ends the result of IMAP's HEADER.FIELDS. Names compare without case.
func AppendFields(dst, header []byte, names []string, not bool) []byte {
	for f := range Fields(header) {
		named := false
		for _, name := range names {
			if len(name) == len(f.Name) && strings.EqualFold(name, string(f.Name)) {
				named = true
				break
			}
		}
		if named == not {
			continue
		}
		dst = append(dst, header[f.Start:f.End]...)
		if !bytes.HasSuffix(dst, []byte("\n")) { // a header cut off in the middle of its last line
			dst = append(dst, '\r', '\n')
		}
	}
	return append(dst, '\r', '\n')
}

// HeaderEnd returns the offset of the body of a message: behind the first empty line, or len(b) where there is none.
func HeaderEnd(b []byte) int {
	for pos := 0; pos < len(b); {
		end := lineEnd(b, pos)
		if isEmptyLine(b[pos:end]) {
			return end
		}
		pos = end
	}
	return len(b)
}

// lineEnd returns the offset behind the line feed that ends the line at pos, or len(b).
func lineEnd(b []byte, pos int) int {
	if i := bytes.IndexByte(b[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(b)
}

// fieldEnd returns the offset behind the line at pos and those folded under it.
func fieldEnd(b []byte, pos int) int {
	end := lineEnd(b, pos)
	for end < len(b) && (b[end] == ' ' || b[end] == '\t') {
		end = lineEnd(b, end)
	}
	return end
}

// isEmptyLine reports whether a line, with its line break, has nothing else.
func isEmptyLine(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

func unfold(raw []byte) string {
	if !bytes.ContainsAny(bytes.TrimRight(raw, "\r\n"), "\r\n\x00") {
		return string(bytes.Trim(raw, " \t\r\n"))
	}
	out := make([]byte, 0, len(raw))
	for _, c := range raw {
		if c != '\r' && c != '\n' && c != 0 {
			out = append(out, c)
		}
	}
	return string(bytes.Trim(out, " \t"))
}

// equalFold compares ASCII without case; lower must be in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// lowerASCII returns s with the ASCII letters in lower case.
func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// cut returns the first n bytes of s at most.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
