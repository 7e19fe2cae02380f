package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// EncodeWords returns text without control characters as a header's value: as it is where it is ASCII that nobody takes for encoded, or
// else in encoded words (RFC 2047), one on a line.
func EncodeWords(text string) string {
	if isASCII(text) && !strings.Contains(text, "=?") {
		return text
	}
	return EncodedWords(text)
}

// EncodedWords returns text as encoded words, whatever it is, one on a line.
func EncodedWords(text string) string {
	var words []string
	const most = 42 // bytes in a word: 75 characters with the rest
	text = strings.ToValidUTF8(text, "\uFFFD")
	for text != "" {
		end := min(most, len(text))
		for end < len(text) && !utf8.RuneStart(text[end]) {
			end--
		}
		words = append(words, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(text[:end]))+"?=")
		text = text[end:]
	}
	return strings.Join(words, "\r\n ")
}

// DecodeWords returns a header value with its encoded words (RFC 2047) decoded, as valid UTF-8. It decodes them wherever
// they stand, also in quotes or against other text, because senders put them there; words that are broken stay as written.
// White space between two encoded words goes, and a character may be cut in two by their border.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return decodeUnknown([]byte(s))
	}
	var out strings.Builder
	var charset string // of pending
	var pending []byte // decoded bytes of the words before pos that may go on in the next
	flush := func() {
		if pending != nil {
			out.WriteString(DecodeCharset(charset, pending))
			pending = nil
		}
	}
	pos := 0
	for pos < len(s) {
		next := strings.Index(s[pos:], "=?")
		if next < 0 {
			break
		}
		word, ok := parseWord(s[pos+next:])
		if !ok { // not a word: the text up to its "=?" is plain
			flush()
			out.WriteString(decodeUnknown([]byte(s[pos : pos+next+2])))
			pos += next + 2
			continue
		}
		between := s[pos : pos+next]
		if pending == nil || strings.Trim(between, " \t\r\n") != "" {
			flush()
			out.WriteString(decodeUnknown([]byte(between)))
		} else if charset != word.charset {
			flush()
		}
		charset = word.charset
		pending = append(pending, word.text...)
		if pending == nil {
			pending = []byte{}
		}
		pos += next + word.length
	}
	flush()
	out.WriteString(decodeUnknown([]byte(s[pos:])))
	return out.String()
}

// encodedWord is one decoded "=?charset?Q?text?=".
type encodedWord struct {
	charset string // lower case, without a language (RFC 2231 section 5)
	text    []byte
	length  int // how long it is in its source
}

// parseWord reads the encoded word at the beginning of s.
func parseWord(s string) (encodedWord, bool) {
	const (
		maxCharset = 64
		maxWord    = 4 << 10 // RFC 2047 section 2 allows 75; the bound keeps unfinished words from costing much
	)
	q := strings.IndexByte(cut(s[2:], maxCharset), '?')
	if q <= 0 || 2+q+3 > len(s) || s[2+q+2] != '?' {
		return encodedWord{}, false
	}
	charset := s[2 : 2+q]
	if strings.ContainsAny(charset, " \t\r\n=") {
		return encodedWord{}, false
	}
	charset, _, _ = strings.Cut(charset, "*")
	encoding := s[2+q+1]
	text := s[2+q+3:]
	// A Q word may not hold "?", yet some do; and "=?=" as its end may begin with the "=" of a broken escape.
	end := strings.Index(cut(text, maxWord), "?=")
	if end < 0 {
		return encodedWord{}, false
	}
	w := encodedWord{charset: lowerASCII(charset), length: 2 + q + 3 + end + 2}
	switch encoding {
	case 'q', 'Q':
		w.text = decodeQ(text[:end])
	case 'b', 'B':
		w.text = DecodeBase64([]byte(text[:end]))
	default:
		return encodedWord{}, false
	}
	return w, true
}

func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(s):
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				c = byte(hi<<4 | lo)
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}
