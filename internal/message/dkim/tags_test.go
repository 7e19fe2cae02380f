package dkim

import (
	"fmt"
	"strings"
	"testing"
)

func TestTags(t *testing.T) {
	many := strings.Builder{}
	for i := range maxTags + 1 {
		fmt.Fprintf(&many, "t%d=1;", i)
	}
	for _, c := range []struct{ in, want string }{
		{"", "[]"},
		{" \r\n ", "[]"},
		{"a=b", "[{a b}]"},
		{"a=b;", "[{a b}]"},
		{" a = b c ;\r\n\td=\te=f ", "[{a b c} {d e=f}]"},
		{"a=", "[{a }]"},
		{"a=;;b=c", "a tag has no name"},
		{";a=b", "a tag has no name"},
		{"a=b; ;", "a tag has no name"},
		{"a_1=x", "[{a_1 x}]"},
		{"a=\xc3\xbc", "[{a ü}]"},
		{"A=1;a=2", "[{A 1} {a 2}]"},
		{"1a=x", "a tag has no name"},
		{"=x", "a tag has no name"},
		{"a", "a tag has no name"},
		{"a b=c", "a tag has no name"},
		{"a=1;a=1", "a tag is there twice"},
		{"a=\x00", "a tag has a control character in it"},
		{many.String(), "there are too many tags"},
	} {
		tags, err := ParseTags(c.in)
		got := fmt.Sprint([]Tag(tags))
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%.40q: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestTagValues(t *testing.T) {
	tags, err := ParseTags("n=12; big=9999999999999; word=x; space=1 2; b=aGk=; h= From :\r\n to")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"n": 12, "none": -1} {
		if n, err := tags.Number(name); err != nil || n != want {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	for _, name := range []string{"big", "word", "space"} {
		if n, err := tags.Number(name); err == nil {
			t.Errorf("%s is the number %d", name, n)
		}
	}
	if b, err := tags.Bytes("b"); string(b) != "hi" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if names, ok := tags.list("h"); !ok || strings.Join(names, ",") != "from,to" {
		t.Errorf("%q", names)
	}
}
