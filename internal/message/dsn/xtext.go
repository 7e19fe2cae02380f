package dsn

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/message"
)

// EncodeXtext encodes a text as xtext (RFC 3461 section 4), the form of ENVID and ORCPT.
func EncodeXtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isXchar(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}

// DecodeXtext decodes xtext; hexadecimal digits may be of either case. ok is false for what is none.
func DecodeXtext(s string) (text string, ok bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isXchar(c):
			out = append(out, c)
		case c == '+' && i+2 < len(s):
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			out = append(out, byte(n))
			i += 2
		default:
			return "", false
		}
	}
	return string(out), true
}

// isXchar reports whether c stands for itself in xtext.
func isXchar(c byte) bool { return '!' <= c && c <= '~' && c != '+' && c != '=' }

// EncodeUTF8Address encodes an address as utf-8-addr-xtext (RFC 6533 section 3): in ASCII, and fit for ORCPT.
func EncodeUTF8Address(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf && r != '\\' && isXchar(byte(r)) {
			b.WriteByte(byte(r))
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// DecodeUTF8Address decodes utf-8-addr-xtext and utf-8-addr-unitext, which has characters beyond ASCII as they are. ok is false
// for what is neither. A "+" that is not encoded is let pass.
func DecodeUTF8Address(s string) (address string, ok bool) {
	var b strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1, r == ' ', r == '=', unicode.IsControl(r):
			return "", false
		case r == '\\':
			digits, rest, closed := strings.Cut(s[1:], "}")
			digits, opened := strings.CutPrefix(digits, "x{")
			n, err := strconv.ParseUint(digits, 16, 32)
			if !opened || !closed || len(digits) < 2 || len(digits) > 6 || err != nil || !utf8.ValidRune(rune(n)) {
				return "", false
			}
			b.WriteRune(rune(n))
			s = rest
		default:
			b.WriteString(s[:size])
			s = s[size:]
		}
	}
	return b.String(), true
}

// DecodeOriginal parts an ORCPT (RFC 3461 section 4.2) into its address type, in lower case, and the address, decoded. ok is
// false where its form is wrong, or the address is empty or has characters that can't be printed.
func DecodeOriginal(orcpt string) (addressType, address string, ok bool) {
	addressType, encoded, ok := strings.Cut(orcpt, ";")
	addressType = strings.ToLower(addressType)
	switch {
	case !ok || !isAtom(addressType):
		return "", "", false
	case addressType == utf8Type:
		address, ok = DecodeUTF8Address(encoded)
	default:
		address, ok = DecodeXtext(encoded)
	}
	if !ok || address == "" || !IsPrintable(address) || addressType != utf8Type && !isASCII(address) {
		return "", "", false
	}
	return addressType, address, true
}

// EncodeOriginal returns the address as ORCPT has it.
func EncodeOriginal(a message.Address) string {
	if a.IsASCII() {
		return rfc822Type + ";" + EncodeXtext(a.String())
	}
	return utf8Type + ";" + EncodeUTF8Address(a.String())
}

// The address types of RFC 3461 and RFC 6533.
const (
	rfc822Type = "rfc822"
	utf8Type   = "utf-8"
)

// IsPrintable reports whether s is UTF-8 without control characters.
func IsPrintable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, isBreaking) < 0
}

// isBreaking reports whether a reader could take r for more than a character of its line.
func isBreaking(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

func isAtom(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 127 || strings.IndexByte(`()<>[]:;@\,."`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
