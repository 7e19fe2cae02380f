package message

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]Address{
		"ann@example.com":                      {"ann", "example.com"},
		"Ann.Lee+tag@Example.COM":              {"Ann.Lee+tag", "Example.COM"},
		`"a b\"c"@example.com`:                 {`a b"c`, "example.com"},
		`"ann"@example.com`:                    {"ann", "example.com"},
		"a@[192.0.2.1]":                        {"a", "[192.0.2.1]"},
		"a@[IPv6:2001:db8::1]":                 {"a", "[IPv6:2001:db8::1]"},
		"a@b":                                  {"a", "b"},
		"a@example.com.":                       {"a", "example.com"},
		"δοκιμή@παράδειγμα.gr":                 {"δοκιμή", "παράδειγμα.gr"},
		"a..b.@docomo.example":                 {"a..b.", "docomo.example"},
		"SRS0=x=y=sender.example=a@example.ne": {"SRS0=x=y=sender.example=a", "example.ne"},
		"a@_x.example.com":                     {"a", "_x.example.com"},
	} {
		got, err := ParseAddress(in)
		if err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "a", "@example.com", "a@", "a@b@c", "a b@example.com", "a@exa mple.com", `"a@example.com`, `""@example.com`, "a@[1.2.3]",
		"a@[IPv6:1.2.3.4]", "a@[::1]", "a@[fe80::1%eth0]", "a@-b.com", "a@b-.com", "a@b..com", "a@.com", "a\x00@b.com", "\"a\x00\"@b.com", "a\xff@b.com",
		"a@\xff.com", "<a@b.com>", "a@b.com>", "a@" + strings.Repeat("x", 64) + ".com", strings.Repeat("a", 256) + "@b.com",
		"a@" + strings.Repeat("abcdefg.", 40) + "com", "a@b.com\r\n",
	} {
		if got, err := ParseAddress(in); err == nil {
			t.Errorf("ParseAddress(%q) = %+v, want an error", in, got)
		}
	}
}

func TestParsePath(t *testing.T) {
	for in, want := range map[string]struct {
		a    Address
		rest string
	}{
		"<>":                              {Address{}, ""},
		"<> SIZE=1":                       {Address{}, " SIZE=1"},
		"<a@b.com>":                       {Address{"a", "b.com"}, ""},
		`<"x>y"@b.com> BODY=7BIT`:         {Address{"x>y", "b.com"}, " BODY=7BIT"},
		"<@one.example,@two.example:a@b>": {Address{"a", "b"}, ""},
	} {
		a, rest, err := ParsePath(in)
		if err != nil || a != want.a || rest != want.rest {
			t.Errorf("ParsePath(%q) = %+v, %q, %v", in, a, rest, err)
		}
	}
	for _, in := range []string{"", "a@b.com", "<a@b.com", "<a>", "<@x>", "<@x y:a@b>", "< a@b.com>", "<a@b.com >"} {
		if a, _, err := ParsePath(in); err == nil {
			t.Errorf("ParsePath(%q) = %+v, want an error", in, a)
		}
	}
}

func TestAddressForms(t *testing.T) {
	for in, want := range map[Address]string{
		{}:                       "",
		{"a", "b.com"}:           "a@b.com",
		{"a b", "b.com"}:         `"a b"@b.com`,
		{`q"\`, "b.com"}:         `"q\"\\"@b.com`,
		{"a..b", "b.com"}:        `"a..b"@b.com`,
		{"postmaster", ""}:       "postmaster",
		{"a", "[192.0.2.1]"}:     "a@[192.0.2.1]",
		{"δοκιμή", "example.gr"}: "δοκιμή@example.gr",
	} {
		if got := in.String(); got != want {
			t.Errorf("%+v.String() = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[Address]Address{
		{"Ann", "Example.COM"}:      {"ann", "example.com"},
		{"ANN", "Bücher.example"}:   {"ann", "xn--bcher-kva.example"},
		{"E\u0301", "x.y."}:         {"\u00e9", "x.y"},
		{"STRASSE", "[192.0.2.1]"}:  {"strasse", "[192.0.2.1]"},
		{"a", "xn--BCHER-KVA.test"}: {"a", "xn--bcher-kva.test"},
	} {
		if got := in.Fold(); got != want {
			t.Errorf("%+v.Fold() = %+v, want %+v", in, got, want)
		}
	}
	base, tag, ok := Address{"ann+a+b", "c"}.Subaddress()
	if base != (Address{"ann", "c"}) || tag != "a+b" || !ok {
		t.Errorf("Subaddress = %+v, %q, %v", base, tag, ok)
	}
	for _, a := range []Address{{"ann", "c"}, {"+x", "c"}} {
		if _, _, ok := a.Subaddress(); ok {
			t.Errorf("%v has a tag", a)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b.com", `"a b"@c`, "a@[IPv6:::1]", "δ@παράδειγμα.gr", "a..@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again != a {
			t.Fatalf("%q reads as %+v, written %q, which reads as %+v, %v", s, a, a.String(), again, err)
		}
		if once := a.Fold(); once.Fold() != once {
			t.Fatalf("folding %+v twice gives another address", a)
		}
	})
}
