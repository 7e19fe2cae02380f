package message

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// DecodeCharset turns text in the charset to valid UTF-8. Text in a charset that nobody knows is read as UTF-8 where it is
// that, and as Windows-1252 where it is not. Bytes that mean nothing become U+FFFD.
func DecodeCharset(charset string, text []byte) string {
	charset = lowerASCII(strings.Trim(charset, " \t\"'"))
	switch charset {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968", "utf-8", "utf8", "unknown-8bit", "8bit", "x-unknown":
		return decodeUnknown(text)
	}
	enc := findEncoding(charset)
	if enc == nil {
		return decodeUnknown(text)
	}
	out, err := enc.NewDecoder().Bytes(text)
	if err != nil {
		return decodeUnknown(text)
	}
	return strings.TrimPrefix(strings.ToValidUTF8(string(out), "\uFFFD"), "\uFEFF")
}

// findEncoding knows the names of the WHATWG's list, and those that mail has besides.
func findEncoding(charset string) encoding.Encoding {
	switch charset {
	case "hz-gb-2312", "hz":
		return simplifiedchinese.HZGB2312
	case "cp850", "ibm850":
		return charmap.CodePage850
	case "cp437", "ibm437":
		return charmap.CodePage437
	case "cp858", "ibm858", "ibm00858":
		return charmap.CodePage858
	}
	if n, ok := strings.CutPrefix(charset, "cp125"); ok {
		charset = "windows-125" + n
	}
	if n, ok := strings.CutPrefix(charset, "ansi-125"); ok {
		charset = "windows-125" + n
	}
	enc, err := htmlindex.Get(charset)
	if err != nil || enc == encoding.Replacement {
		return nil
	}
	return enc
}

// decodeUnknown returns UTF-8 as it is and everything else read as Windows-1252.
func decodeUnknown(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(text)
	if err != nil {
		return strings.ToValidUTF8(string(text), "\uFFFD")
	}
	return string(out)
}
