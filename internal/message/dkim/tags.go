package dkim

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
)

// maxTags is how many tags a list can have. RFC 6376 has 14 for a signature.
const maxTags = 64

// Tags is a tag list (RFC 6376 section 3.2) in the order in which it was written.
type Tags []Tag

// Tag is one of them. White space inside of the value stands as it was written, that around it is gone.
type Tag struct{ Name, Value string }

// ParseTags reads a tag list. Bytes above 127 are let pass (RFC 8616); control characters are not, so that what is shown of a tag can't break
// a line.
func ParseTags(s string) (Tags, error) {
	var tags Tags
	for rest, more := s, true; more; {
		var spec string
		spec, rest, more = strings.Cut(rest, ";")
		name, value, ok := strings.Cut(spec, "=")
		name, value = trim(name), trim(value)
		switch {
		case !ok && name == "" && !more:
			continue
		case !ok || !isTagName(name):
			return nil, errors.New("a tag has no name")
		case !isTagValue(value):
			return nil, errors.New("a tag has a control character in it")
		case len(tags) == maxTags:
			return nil, errors.New("there are too many tags")
		}
		if _, twice := tags.Get(name); twice {
			return nil, errors.New("a tag is there twice")
		}
		tags = append(tags, Tag{name, value})
	}
	return tags, nil
}

// Get returns the value of a tag.
func (t Tags) Get(name string) (value string, ok bool) {
	for i := range t {
		if t[i].Name == name {
			return t[i].Value, true
		}
	}
	return "", false
}

// Text returns the value of a tag without any white space; "" where there is none.
func (t Tags) Text(name string) string {
	value, _ := t.Get(name)
	return withoutSpace(value)
}

// Number returns the value of a tag of digits, and -1 where there is none. What has more than twelve digits is no number (RFC 6376
// section 3.5 lets times end there).
func (t Tags) Number(name string) (n int64, err error) {
	value, ok := t.Get(name)
	if !ok {
		return -1, nil
	}
	if value == "" || len(value) > 12 {
		return 0, errors.New(name + "= is no number")
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return 0, errors.New(name + "= is no number")
		}
		n = n*10 + int64(value[i]-'0')
	}
	return n, nil
}

// Bytes returns what a tag has in base64 (RFC 6376 section 3.5: white space is ignored).
func (t Tags) Bytes(name string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(t.Text(name))
	if err != nil {
		return nil, errors.New(name + "= is not base64")
	}
	return b, nil
}

// list returns the value of a tag that is a list with colons, each element without white space and in lower case.
func (t Tags) list(name string) (elements []string, ok bool) {
	value, ok := t.Get(name)
	if !ok {
		return nil, false
	}
	return strings.Split(strings.ToLower(withoutSpace(value)), ":"), true
}

// signed returns the value of a signature field as it is signed: without what stands in b=, white space included, and without the line
// break at its end (RFC 6376 section 3.7). The field has one b= at most, as ParseTags let it pass.
func signed(raw []byte) (before, after []byte) {
	raw = bytes.TrimSuffix(raw, []byte("\n"))
	raw = bytes.TrimSuffix(raw, []byte("\r"))
	for pos := 0; pos < len(raw); {
		end := len(raw)
		if i := bytes.IndexByte(raw[pos:], ';'); i >= 0 {
			end = pos + i
		}
		if eq := bytes.IndexByte(raw[pos:end], '='); eq >= 0 && trim(string(raw[pos:pos+eq])) == "b" {
			return raw[:pos+eq+1], raw[end:]
		}
		pos = end + 1
	}
	return raw, nil
}

func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if letter := 'a' <= c && c <= 'z'; !letter && (i == 0 || s[i] != '_' && (s[i] < '0' || s[i] > '9')) {
			return false
		}
	}
	return s != ""
}

// isTagValue lets the line breaks of folding pass, which values are read without.
func isTagValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && !isSpace(s[i]) || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trim(s string) string { return strings.Trim(s, " \t\r\n") }

func withoutSpace(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isSpace(byte(r)) {
			return -1
		}
		return r
	}, s)
}
