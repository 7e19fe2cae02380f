package message

import (
	"html"
	"strings"
)

// PartText returns the body of a text part of the message b as valid UTF-8: transfer encoding and charset decoded. For a
// part that is no text it returns "".
func (s *Structure) PartText(b []byte, part int) string {
	p := &s.Parts[part]
	if p.Type != "text" {
		return ""
	}
	return DecodeCharset(p.Param("charset"), DecodeTransfer(p.Encoding, b[p.BodyStart:p.End]))
}

// SearchText returns the words of the message b for full-text search, about limit bytes at most: the decoded text of its
// text parts in order, HTML without its markup, and the subjects of messages inside it.
func (s *Structure) SearchText(b []byte, limit int) string {
	var out strings.Builder
	for i := range s.Parts {
		p := &s.Parts[i]
		var text string
		switch {
		case p.Envelope != nil:
			text = DecodeWords(p.Envelope.Subject)
		case p.Type == "text" && p.Subtype == "html":
			text = HTMLText(s.PartText(b, i))
		default:
			text = s.PartText(b, i)
		}
		if text == "" {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		if left := limit - out.Len(); len(text) > left {
			out.WriteString(strings.ToValidUTF8(text[:max(left, 0)], ""))
			break
		}
		out.WriteString(text)
	}
	return out.String()
}

// HTMLText returns the text of an HTML document for search: without tags, comments, scripts and styles, with character
// references decoded. It is no sanitiser: never show its result as HTML.
func HTMLText(s string) string {
	var out strings.Builder
	for s != "" {
		open := strings.IndexByte(s, '<')
		if open < 0 {
			out.WriteString(s)
			break
		}
		out.WriteString(s[:open])
		s = s[open:]
		if strings.HasPrefix(s, "<!--") {
			_, s, _ = strings.Cut(s, "-->")
			continue
		}
		name := tagName(s)
		if name == "" { // a "<" that begins no tag
			out.WriteByte('<')
			s = s[1:]
			continue
		}
		s = afterTag(s)
		if name == "script" || name == "style" {
			s = afterElement(s, name)
		}
		if !inline(name) {
			out.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(html.UnescapeString(out.String())), " ")
}

// inline reports whether a word may go on inside the element.
func inline(tag string) bool {
	switch tag {
	case "a", "b", "i", "u", "em", "strong", "span", "font", "small", "big", "sub", "sup", "s", "code", "wbr", "mark", "abbr", "o:p":
		return true
	}
	return false
}

// tagName returns the lower-case name of the tag at the beginning of s, "" where "<" begins none.
func tagName(s string) string {
	i := 1
	if i < len(s) && (s[i] == '/' || s[i] == '!' || s[i] == '?') {
		i++
	}
	start := i
	for i < len(s) && i-start < 32 && (s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' || s[i] >= '0' && s[i] <= ':' && i > start) {
		i++
	}
	return lowerASCII(s[start:i])
}

// afterTag returns what follows the tag at the beginning of s. A ">" in a quoted attribute does not end it, unless the quote
// never closes.
func afterTag(s string) string {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '>':
			return s[i+1:]
		case (c == '"' || c == '\'') && s[i-1] == '=':
			end := strings.IndexByte(s[i+1:], c)
			if end < 0 {
				_, rest, _ := strings.Cut(s[i:], ">")
				return rest
			}
			i += 1 + end
		}
	}
	return ""
}

// afterElement returns what follows the end tag of the element, or "" where it never ends.
func afterElement(s, name string) string {
	for {
		i := strings.Index(s, "</")
		if i < 0 {
			return ""
		}
		s = s[i:]
		if tagName(s) == name {
			return afterTag(s)
		}
		s = s[2:]
	}
}
