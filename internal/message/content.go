package message

import "strings"

// readHeader fills in what a part's header says about its body (RFC 2045).
func (p *Part) readHeader(header []byte) {
	var seen [8]bool
	first := func(i int) bool {
		was := seen[i]
		seen[i] = true
		return !was
	}
	for f := range Fields(header) {
		if len(f.Name) < 10 || !equalFold(f.Name[:8], "content-") {
			continue
		}
		switch {
		case f.Is("content-type") && first(0):
			p.setType(cut(f.Value(), MaxValue))
		case f.Is("content-transfer-encoding") && first(1):
			if e := token(cut(f.Value(), 64)); e != "" {
				p.Encoding = e
			}
		case f.Is("content-id") && first(2):
			p.ID = cut(f.Value(), MaxValue)
		case f.Is("content-description") && first(3):
			p.Description = cut(f.Value(), MaxValue)
		case f.Is("content-disposition") && first(4):
			v, params := ParseParams(cut(f.Value(), MaxValue))
			p.Disposition, p.DispositionParams = token(v), params
		case f.Is("content-language") && first(5):
			for tag := range strings.SplitSeq(cut(f.Value(), MaxValue), ",") {
				if tag = strings.TrimSpace(tag); tag != "" && len(p.Language) < 100 {
					p.Language = append(p.Language, tag)
				}
			}
		case f.Is("content-location") && first(6):
			p.Location = cut(f.Value(), MaxValue)
		case f.Is("content-md5") && first(7):
			p.MD5 = cut(f.Value(), MaxValue)
		}
	}
}

// setType reads the value of Content-Type. One that names no type leaves the default in place (RFC 2045 section 5.2), with
// its parameters: mail from broken senders often has a usable charset behind a broken type.
func (p *Part) setType(value string) {
	mediaType, params := ParseParams(value)
	typ, subtype, _ := strings.Cut(mediaType, "/")
	typ, subtype = token(typ), token(subtype)
	p.Params = params
	switch {
	case typ == "" && subtype == "":
	case subtype == "" && typ == "text": // "Content-Type: text", as old mailers wrote it
		p.Type, p.Subtype = "text", "plain"
	case subtype == "" && typ == "multipart":
		p.Type, p.Subtype = "multipart", "mixed"
	case typ == "" || subtype == "":
		p.Type, p.Subtype = "application", "octet-stream"
	default:
		p.Type, p.Subtype = typ, subtype
	}
}

// token returns the first word of s that holds only characters of a token (RFC 2045 section 5.1), in lower case.
func token(s string) string {
	s = strings.TrimLeft(s, " \t\"")
	end := 0
	for end < len(s) && isTokenChar(s[end]) {
		end++
	}
	return lowerASCII(s[:end])
}

func isTokenChar(c byte) bool {
	return c > ' ' && c < 127 && !strings.ContainsRune(`()<>@,;:\"/[]?=`, rune(c))
}

// maxParams is how many parameters of one field are read.
const maxParams = 200

// ParseParams splits a value such as `text/plain; charset="utf-8"` in what stands before the first semicolon, without
// comments and white space around it, and the parameters. It reads what senders really write: values with spaces and
// no quotes, a missing closing quote, semicolons too many.
func ParseParams(value string) (main string, params []Param) {
	for i, piece := range splitParams(value) {
		if i == 0 {
			main = strings.TrimSpace(piece)
			continue
		}
		name, v, ok := strings.Cut(piece, "=")
		if name = token(name); ok && name != "" {
			params = append(params, Param{Name: name, Value: unquoteParam(v)})
		}
	}
	return main, params
}

// splitParams cuts s at the semicolons outside quotes and comments, and leaves the comments out. A quote that never closes
// is a character like others. A "(" begins a comment only behind white space and when some ")" follows: unquoted
// file names like a(1).pdf are common.
func splitParams(s string) []string {
	var pieces []string
	var piece []byte
	lastClose := strings.LastIndexByte(s, ')')
	quotes, comment := true, 0
	for i := 0; i < len(s) && len(pieces) <= maxParams; i++ {
		c := s[i]
		switch {
		case comment > 0:
			switch c {
			case '\\':
				i++
			case '(':
				comment++
			case ')':
				comment--
			}
			continue
		case c == '"' && quotes:
			end := quotedEnd(s, i)
			if end < 0 {
				quotes = false
				break
			}
			piece = append(piece, s[i:end]...)
			i = end - 1
			continue
		case c == '(' && i < lastClose && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t' || s[i-1] == ')'):
			comment = 1
			continue
		case c == ';':
			pieces = append(pieces, string(piece))
			piece = piece[:0]
			continue
		}
		piece = append(piece, c)
	}
	return append(pieces, string(piece))
}

// quotedEnd returns the offset behind the quoted string that begins at i, or -1 where it does not end.
func quotedEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// unquoteParam returns the value of a parameter without its quotes.
func unquoteParam(v string) string {
	v = strings.Trim(v, " \t")
	if !strings.HasPrefix(v, `"`) {
		return v
	}
	return unquote(v[1:])
}

// unquote returns the content of a quoted string, given from behind its opening quote.
func unquote(v string) string {
	var out []byte
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c == '"' {
			break
		}
		if c == '\\' && i+1 < len(v) {
			i++
			c = v[i]
		}
		out = append(out, c)
	}
	return string(out)
}
