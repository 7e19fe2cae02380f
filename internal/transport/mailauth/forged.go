package mailauth

import (
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// WithoutResults returns a header without the fields Authentication-Results that claim to be of host, and without those of which it
// can't be told whose they are (RFC 8601 section 5). It is the same slice where there is none.
func WithoutResults(header []byte, host string) []byte {
	out := header
	kept := -1 // what is copied of header; -1 while nothing is to be removed
	for f := range message.Fields(header) {
		if !f.Is("authentication-results") || !claims(f.Value(), host) {
			continue
		}
		if kept < 0 {
			out, kept = make([]byte, 0, len(header)), 0
		}
		out = append(out, header[kept:f.Start]...)
		kept = f.End
	}
	if kept < 0 {
		return header
	}
	return append(out, header[kept:]...)
}

// claims reports whether a value of Authentication-Results is of host, or of nobody.
func claims(value, host string) bool {
	id := authservID(value)
	return id == "" || strings.EqualFold(strings.TrimSuffix(id, "."), strings.TrimSuffix(host, "."))
}

// authservID returns whose results a value has: the first word, which may be quoted, behind any comments.
func authservID(value string) string {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case ' ', '\t':
		case '(':
			end := message.Closing(value, i)
			if end < 0 {
				return ""
			}
			i = end
		case '"':
			end := message.Closing(value, i)
			if end < 0 {
				return ""
			}
			return strings.TrimSpace(strings.ReplaceAll(value[i+1:end], `\`, ""))
		default:
			id := value[i:]
			if end := strings.IndexAny(id, " \t;(/"); end >= 0 {
				id = id[:end]
			}
			return id
		}
	}
	return ""
}
