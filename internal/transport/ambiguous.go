package transport

import (
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// ambiguous reports whether a reader of mail could take a list of addresses to name others than message.ParseAddressList
// finds in it. That makes the best of everything, as a reader must; where a message says who it is from, another reader's
// best must not be somebody else. Refused are a second address in one place, text behind the brackets, quotes, comments
// and brackets that never end, square brackets around what others take for the end of an address, and a backslash before a mark outside
// of quotes. An address as the name of itself is let pass: clients write it.
func ambiguous(list string) bool {
	// What is outside the brackets of an entry and what is inside, without quoted strings and comments.
	var name, address strings.Builder
	brackets := 0 // of the entry so far
	for i := 0; i < len(list); i++ {
		c := list[i]
		switch {
		case c == '"' || c == '(':
			end := message.Closing(list, i)
			if end < 0 || c == '"' && brackets == 2 {
				return true
			}
			i = end
		case c == ')' || c == ';' || c == ':':
			return true
		case c == '[' && !encloses(list[i:]):
			return true
		case c == '\\' && i+1 < len(list) && strings.IndexByte(`,<>"()`, list[i+1]) >= 0:
			return true
		case c == '<' && brackets == 0, c == '>' && brackets == 1:
			brackets++
		case c == '<' || c == '>' || c == ',' && brackets == 1:
			return true
		case c == ',':
			if !namesOne(name.String(), address.String()) {
				return true
			}
			name.Reset()
			address.Reset()
			brackets = 0
		case brackets == 1:
			address.WriteByte(c)
		case brackets == 2 && c != ' ' && c != '\t':
			return true
		default:
			name.WriteByte(c)
		}
	}
	return brackets == 1 || !namesOne(name.String(), address.String())
}

// encloses reports whether the square bracket at the beginning of s is closed, without a mark before that.
func encloses(s string) bool {
	text, _, closed := strings.Cut(s, "]")
	return closed && !strings.ContainsAny(text, `,<>"(`)
}

// namesOne reports whether an entry has one address at most.
func namesOne(name, address string) bool {
	if address == "" {
		return strings.Count(name, "@") <= 1
	}
	return strings.Count(address, "@") <= 1 && (!strings.Contains(name, "@") || strings.EqualFold(strings.TrimSpace(name), address))
}
