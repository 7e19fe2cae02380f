package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeWords(t *testing.T) {
	for in, want := range map[string]string{
		// RFC 2047 section 8
		"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>":     "Keith Moore <moore@cs.utk.edu>",
		"=?ISO-8859-1?Q?Andr=E9?= Pirard":                   "André Pirard",
		"(=?ISO-8859-1?Q?a?=)":                              "(a)",
		"(=?ISO-8859-1?Q?a?= b)":                            "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)":           "(ab)",
		"(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)":       "(ab)",
		"(=?ISO-8859-1?Q?a_b?=)":                            "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)":          "(a b)",
		"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=": "If you can read this yo",
		// RFC 2231 section 5
		"=?US-ASCII*EN?Q?Keith_Moore?=": "Keith Moore",
		// what senders do
		"=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=":            "é", // a character cut in two
		"a=?utf-8?Q?=C3=A9?=b":                       "aéb",
		"\"=?utf-8?Q?a?=\"":                          "\"a\"",
		"=?utf-8?Q?a b?=":                            "a b",
		"=?utf-8?Q?broken":                           "=?utf-8?Q?broken",
		"=?utf-8?X?a?=":                              "=?utf-8?X?a?=",
		"=?no-such-charset?Q?=E9?=":                  "é",
		"=?gb2312?B?xOO6ww==?=":                      "你好",
		"=?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?=": "こんにちは",
		"=?utf-8?Q??= x":                             " x",
		"raw \xe9":                                   "raw é",
		"raw é":                                      "raw é",
		"=?=?=?utf-8?q?a?=":                          "=?=?a",
		"":                                           "",
	} {
		if got := DecodeWords(in); got != want {
			t.Errorf("DecodeWords(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzDecodeWords(f *testing.F) {
	f.Add("=?utf-8?Q?=C3?= =?utf-8?B?qQ==?=")
	f.Add("=?hz?Q?~{?=")
	f.Fuzz(func(t *testing.T, s string) {
		if out := DecodeWords(s); !utf8.ValidString(out) {
			t.Fatalf("%q decodes to %q", s, out)
		}
		BaseSubject(s)
	})
}

func TestDecodeTransfer(t *testing.T) {
	for _, c := range []struct{ encoding, in, want string }{
		{"base64", "aGVsbG8=", "hello"},
		{"base64", "aGVs\r\nbG8", "hello"},
		{"base64", "!aGVsbG8=\r\n\r\nd29ybGQ=", "helloworld"},
		{"base64", "-- not base64 --", "\x9e\x8b\x5b\x6a\xc7\xba"},
		{"base64", "a", ""},
		{"quoted-printable", "a=3Db=\r\nc  \r\nd=\nx=2", "a=bc\r\ndx=2"},
		{"quoted-printable", "=zz=e9", "=zz\xe9"},
		{"8bit", "=3D", "=3D"},
		{"x-unknown", "=3D", "=3D"},
	} {
		if got := string(DecodeTransfer(c.encoding, []byte(c.in))); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.encoding, c.in, got, c.want)
		}
	}
}

func TestDecodeCharset(t *testing.T) {
	for _, c := range []struct{ charset, in, want string }{
		{"utf-8", "é", "é"},
		{"UTF-8", "\xe9", "é"},
		{"", "\x80", "€"},
		{"cp1252", "\x80", "€"},
		{"ibm850", "\x82", "é"},
		{"koi8-r", "\xc1", "а"},
		{"iso-8859-15", "\xa4", "€"},
		{"hz-gb-2312", "~{VPND~}", "中文"},
		{"utf-16", "\xff\xfea\x00", "a"},
		{"iso-2022-kr", "abc", "abc"},
		{`"big5"`, "\xa4\xa4", "中"},
	} {
		if got := DecodeCharset(c.charset, []byte(c.in)); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.charset, c.in, got, c.want)
		}
	}
}

func TestEncodeWordsIsReadBack(t *testing.T) {
	for _, text := range []string{"", "plain", "=?utf-8?Q?not_a_word?=", "Grüße aus Köln an alle, die das hier lesen können", "你好，世界你好，世界你好，世界你好，世界"} {
		encoded := EncodeWords(text)
		for line := range strings.SplitSeq(encoded, "\r\n") {
			if len(line) > 76 || !isASCII(line) {
				t.Errorf("%q has the line %q", text, line)
			}
		}
		if got := DecodeWords(strings.ReplaceAll(encoded, "\r\n", "")); got != text {
			t.Errorf("%q is read back as %q", text, got)
		}
	}
}
