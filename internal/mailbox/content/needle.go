package content

import "strings"

// needle is a text that is looked for without regard to case.
type needle struct {
	text  string // in lower case
	plain bool   // short, and ASCII: found without a copy of what is searched
}

// maxPlain is the longest plain needle. Each place where one might begin is compared to its end, so that a long one, of
// the same letter for example, would cost its length times that of the text.
const maxPlain = 64

func newNeedle(s string) needle {
	n := needle{text: strings.ToLower(s), plain: len(s) <= maxPlain}
	for i := range len(n.text) {
		n.plain = n.plain && n.text[i] < 0x80
	}
	return n
}

// in reports whether s contains the needle.
func (n needle) in(s string) bool {
	if !n.plain {
		return strings.Contains(strings.ToLower(s), n.text)
	}
	if n.text == "" {
		return true
	}
	low := n.text[0]
	high := low
	if 'a' <= low && low <= 'z' {
		high -= 'a' - 'A'
	}
	// The two places where the first letter stands next, as small or as capital, are kept, so that each byte of s is looked
	// at a few times at most.
	nextLow, nextHigh := strings.IndexByte(s, low), strings.IndexByte(s, high)
	for {
		at := nextLow
		if at < 0 || nextHigh >= 0 && nextHigh < at {
			at = nextHigh
		}
		if at < 0 || len(s)-at < len(n.text) {
			return false
		}
		if equalFoldASCII(s[at:at+len(n.text)], n.text) {
			return true
		}
		if at == nextLow {
			nextLow = indexFrom(s, low, at+1)
		}
		if at == nextHigh {
			nextHigh = indexFrom(s, high, at+1)
		}
	}
}

func indexFrom(s string, c byte, from int) int {
	if i := strings.IndexByte(s[from:], c); i >= 0 {
		return from + i
	}
	return -1
}

// equalFoldASCII compares without the case of ASCII letters; low is in lower case, and both have the same length.
func equalFoldASCII(s, low string) bool {
	for i := range len(low) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != low[i] {
			return false
		}
	}
	return true
}
