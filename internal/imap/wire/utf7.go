package wire

import (
	"encoding/base64"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7Encoding is base64 with "," for "/" and without padding (RFC 3501 section 5.1.3). It refuses stray bits behind the
// last character: each name has one encoding, so that none can be smuggled past a comparison. It is made when first asked for.
func utf7Encoding() *base64.Encoding {
	utf7.once.Do(func() {
		utf7.encoding = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
			WithPadding(base64.NoPadding).Strict()
	})
	return utf7.encoding
}

var utf7 struct {
	once     sync.Once
	encoding *base64.Encoding
}

// EncodeUTF7 writes a mailbox name in modified UTF-7. Bytes that are not UTF-8 become U+FFFD.
func EncodeUTF7(s string) string { return string(AppendUTF7(nil, s)) }

// AppendUTF7 appends s in modified UTF-7 to dst.
func AppendUTF7(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f {
			dst = append(dst, c)
			if c == '&' {
				dst = append(dst, '-')
			}
			i++
			continue
		}
		start := i
		for i < len(s) && (s[i] < ' ' || s[i] >= 0x7f) {
			i++
		}
		var units []byte
		for _, u := range utf16.Encode([]rune(s[start:i])) {
			units = append(units, byte(u>>8), byte(u))
		}
		dst = append(dst, '&')
		dst = utf7Encoding().AppendEncode(dst, units)
		dst = append(dst, '-')
	}
	return dst
}

// DecodeUTF7 reads modified UTF-7. It reports false where s is none: bytes outside of printable ASCII, bad base64, half
// of a surrogate pair, printable ASCII in base64, or two encoded runs side by side.
func DecodeUTF7(s string) (string, bool) {
	amp := false
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return "", false
		}
		amp = amp || s[i] == '&'
	}
	if !amp {
		return s, true
	}
	var out []byte
	afterRun := false
	for i := 0; i < len(s); {
		if s[i] != '&' {
			out, afterRun = append(out, s[i]), false
			i++
			continue
		}
		end := i + 1
		for end < len(s) && s[end] != '-' {
			end++
		}
		if end == len(s) {
			return "", false
		}
		if end == i+1 {
			out, afterRun, i = append(out, '&'), false, end+1
			continue
		}
		var ok bool
		if out, ok = appendUTF7Run(out, s[i+1:end]); !ok || afterRun {
			return "", false
		}
		afterRun, i = true, end+1
	}
	return string(out), true
}

func appendUTF7Run(out []byte, run string) ([]byte, bool) {
	b, err := utf7Encoding().DecodeString(run)
	if err != nil || len(b)%2 != 0 {
		return nil, false
	}
	for i := 0; i < len(b); i += 2 {
		c := rune(b[i])<<8 | rune(b[i+1])
		if utf16.IsSurrogate(c) {
			if i+3 >= len(b) {
				return nil, false
			}
			c = utf16.DecodeRune(c, rune(b[i+2])<<8|rune(b[i+3]))
			if i += 2; c == utf8.RuneError {
				return nil, false
			}
		}
		if c >= ' ' && c < 0x7f {
			return nil, false
		}
		out = utf8.AppendRune(out, c)
	}
	return out, true
}
