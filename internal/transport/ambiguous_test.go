package transport

import (
	"testing"

	"github.com/pennypost/pennypost/internal/message"
)

func TestAmbiguous(t *testing.T) {
	for list, want := range map[string]bool{
		"": false, "a@b": false, "<a@b>": false, "Ann <a@b>": false, `"Ann, x@y; <z@q>: (" <a@b>`: false, `"a \" <x@y>" <a@b>`: false,
		"a@b (Ann (of x@y))": false, "(x@y) a@b": false, "Ann <a@b> (x)": false, "a@b <A@B>": false, "a@b, Ann <c@d>,": false,
		`"a b"@c`: false, `<"a@x"@c>`: false, "=?utf-8?q?x=40y?= <a@b>": false, "O'Neil [x] <a@b>": false,
		"<a@b> <c@d>": true, "<a@b><c@d>": true, "<a@b> c@d": true, "c@d <a@b>": true, "<<a@b>": true, "<a@b>>": true, "a@b c@d": true,
		"a@b (": true, `"a" <a@b> "c"`: true, `"a@b`: true, "<a@b": true, "<a@b, c@d": true, "a@b;": true, "g: a@b": true, "a@b)": true,
		"<@x:a@b>": true, "<a@b@c>": true, "<a@b>, c@d <e@f>": true, `"a\"`: true,
		"Ann [x, c@d, y] <a@b>": true, "Ann [x <a@b>": true, `Ann \" , c@d, " <a@b>`: true, `CORP\ann <a@b>`: false,
		"a@[192.0.2.1] <a@[192.0.2.1]>": false, "a@[192.0.2.1] <b@[192.0.2.1]>": true, "<a@b> [x]": true, "<a@[x>]": true,
		"Ann@[x, c@d, y] <a@b>": true, `\" ( " [ , c@d, ] <a@b>`: true, `Ann \( , c@d, ) <a@b>`: true,
	} {
		if got := ambiguous(list); got != want {
			t.Errorf("%s: %v, want %v", list, got, want)
		}
	}
}

func FuzzAmbiguous(f *testing.F) {
	for _, s := range []string{"a@b", `"x" <a@b> (c), d@e`, "<a@b> <c@d>", `"\`, "((", "a <b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ambiguous(s) {
			return
		}
		for _, e := range message.ParseAddressList(s) {
			if e.Kind != message.Mailbox {
				t.Errorf("%q has a group", s)
			}
		}
	})
}
