package dsn

import (
	"strings"
	"testing"
)

func TestXtext(t *testing.T) {
	for _, c := range []struct{ plain, encoded string }{
		{"QQ314159", "QQ314159"},
		{"", ""},
		{"Bob@Example.COM", "Bob@Example.COM"},
		{"a+b=c", "a+2Bb+3Dc"},
		{"two words", "two+20words"},
		{"\r\n\x00\x7f\xff", "+0D+0A+00+7F+FF"},
		{`"quoted \" local"@x`, `"quoted+20\"+20local"@x`},
	} {
		if got := EncodeXtext(c.plain); got != c.encoded {
			t.Errorf("%q becomes %q, want %q", c.plain, got, c.encoded)
		}
		if got, ok := DecodeXtext(c.encoded); !ok || got != c.plain {
			t.Errorf("%q reads as %q, %v, want %q", c.encoded, got, ok, c.plain)
		}
	}
	if got, ok := DecodeXtext("a+2bb"); !ok || got != "a+b" {
		t.Errorf("digits in lower case: %q, %v", got, ok)
	}
	for _, s := range []string{"+", "+2", "a+", "+GG", "+ 2", "+-2", "a=b", "a b", "ä", "\x00", "+2B+"} {
		if got, ok := DecodeXtext(s); ok {
			t.Errorf("%q reads as %q", s, got)
		}
	}
}

func TestUTF8Address(t *testing.T) {
	for _, c := range []struct{ plain, encoded string }{
		{"bob@example.com", "bob@example.com"},
		{"δοκιμή@παράδειγμα.test", `\x{3B4}\x{3BF}\x{3BA}\x{3B9}\x{3BC}\x{3AE}@\x{3C0}\x{3B1}\x{3C1}\x{3AC}\x{3B4}\x{3B5}\x{3B9}\x{3B3}\x{3BC}\x{3B1}.test`},
		{"a+b@ex", `a\x{2B}b@ex`},
		{`"a \" b"@ex`, `"a\x{20}\x{5C}"\x{20}b"@ex`},
		{"😀@ex", `\x{1F600}@ex`},
	} {
		if got := EncodeUTF8Address(c.plain); got != c.encoded {
			t.Errorf("%q becomes %q, want %q", c.plain, got, c.encoded)
		}
		if got, ok := DecodeUTF8Address(c.encoded); !ok || got != c.plain {
			t.Errorf("%q reads as %q, %v, want %q", c.encoded, got, ok, c.plain)
		}
	}
	if got, ok := DecodeUTF8Address(`δ\x{2B}b+c@ex`); !ok || got != "δ+b+c@ex" {
		t.Errorf("unitext reads as %q, %v", got, ok)
	}
	for _, s := range []string{`\`, `\x`, `\x{`, `\x{}`, `\x{3}`, `\x{3B4`, `\x{D800}`, `\x{110000}`, `\x{0000041}`, `\x{-1}`, `\y{41}`, "a b", "a=b", "a\x00", "\xff"} {
		if got, ok := DecodeUTF8Address(s); ok {
			t.Errorf("%q reads as %q", s, got)
		}
	}
}

func TestDecodeOriginal(t *testing.T) {
	for _, c := range []struct{ in, kind, address string }{
		{"rfc822;Bob@Example.COM", "rfc822", "Bob@Example.COM"},
		{"RFC822;a+2Bb@c", "rfc822", "a+b@c"},
		{"x400;/c+3Dus/", "x400", "/c=us/"},
		{`utf-8;\x{3B4}@c`, "utf-8", "δ@c"},
		{"utf-8;δ@c", "utf-8", "δ@c"},
		{"rfc822;", "", ""},
		{"rfc822", "", ""},
		{";a@b", "", ""},
		{"rf c;a@b", "", ""},
		{"rfc822;a+0D+0Ab", "", ""},
		{"rfc822;+C3+A4@b", "", ""},
		{`utf-8;\x{0A}`, "", ""},
		{`utf-8;a\x{2028}`, "", ""},
	} {
		if kind, address, ok := DecodeOriginal(c.in); ok != (c.kind != "") || kind != c.kind || address != c.address {
			t.Errorf("%q reads as %q, %q, %v", c.in, kind, address, ok)
		}
	}
}

func FuzzXtext(f *testing.F) {
	for _, s := range []string{"a+2Bb=", "\r\n", `\x{3B4}δ`, "rfc822;a+20b", "utf-8;é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := EncodeXtext(s)
		if got, ok := DecodeXtext(encoded); !ok || got != s {
			t.Fatalf("%q becomes %q, which reads as %q, %v", s, encoded, got, ok)
		}
		encoded = EncodeUTF8Address(s)
		if strings.ContainsAny(encoded, " +=\r\n") || !isASCII(encoded) {
			t.Fatalf("%q becomes %q", s, encoded)
		}
		if got, ok := DecodeUTF8Address(encoded); !ok || got != string([]rune(s)) {
			t.Fatalf("%q becomes %q, which reads as %q, %v", s, encoded, got, ok)
		}
		if plain, ok := DecodeXtext(s); ok && len(plain) > len(s) {
			t.Fatalf("%q reads as %q", s, plain)
		}
		if kind, address, ok := DecodeOriginal(s); ok && (kind == "" || address == "" || strings.ContainsAny(address, "\r\n\x00")) {
			t.Fatalf("%q reads as %q, %q", s, kind, address)
		}
	})
}
