package directory

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"pgregory.net/rapid"
)

func TestCheckUserName(t *testing.T) {
	for _, c := range []struct {
		name string
		want fault.Kind // Internal means that it passes
	}{
		{"a", fault.Internal},
		{"Ann.Lee-3_x", fault.Internal},
		{"ann@corp.example", fault.Internal},
		{strings.Repeat("a", 64), fault.Internal},
		{strings.Repeat("a", 65), fault.Invalid},
		{"", fault.Invalid},
		{"ann lee", fault.Invalid},
		{"änn", fault.Invalid},
		{"ann@", fault.Invalid},
		{"@corp.example", fault.Invalid},
		{"ann@corp", fault.Invalid},
		{"ann@corp.x", fault.Invalid},
		{"ann@.ex", fault.Invalid},
		{"ann\n", fault.Invalid},
		{"Administrator", fault.Reserved},
		{"KRBTGT", fault.Reserved},
		{"guest@corp.example", fault.Reserved},
		{"amazonjournaling", fault.Reserved},
	} {
		if got := kindOrPass(checkUserName(c.name, "user", 64)); got != c.want {
			t.Errorf("%q: got %v, want %v", c.name, got, c.want)
		}
	}
	if checkUserName(strings.Repeat("a", 21), "user", 20) == nil {
		t.Error("an external directory takes a name of 21 characters")
	}
}

// kindOrPass is the kind of a fault, Internal for no error at all.
func kindOrPass(err error) fault.Kind {
	if err == nil {
		return fault.Internal
	}
	return fault.KindOf(err)
}

func TestCheckGroupName(t *testing.T) {
	for _, c := range []struct {
		name string
		want fault.Kind
	}{
		{"All of us", fault.Internal},
		{"Élèves & Co", fault.Internal},
		{strings.Repeat("é", 256), fault.Internal},
		{strings.Repeat("é", 257), fault.Invalid},
		{"", fault.Invalid},
		{"   ", fault.Invalid},
		{"tab\there", fault.Invalid},
		{"Łódź", fault.Invalid},
		{"GUEST", fault.Reserved},
	} {
		if got := kindOrPass(checkGroupName(c.name)); got != c.want {
			t.Errorf("%q: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for _, good := range []string{
		"a@b.cd", "Ann.O_Neil+x%y-z@Sub.Example.COM", strings.Repeat("l", 64) + "@example.com", "1@2.de",
	} {
		a, err := ParseAddress(good)
		if err != nil || a.Text != good || a.Key != strings.ToLower(good) || "@"+a.Domain != a.Key[strings.Index(a.Key, "@"):] {
			t.Errorf("%q: %+v, %v", good, a, err)
		}
	}
	for _, bad := range []string{
		"", "a", "@example.com", "a@", "a@b", "a@b.c", "a b@example.com", "a@exa mple.com", "a@b@example.com", "ä@example.com",
		"a@-b.com", "a@b-.com", "a@b..com", "a@.com", "a@1.2.3.4", "a@example.com\n", strings.Repeat("l", 65) + "@example.com",
		"a@" + strings.Repeat("x", 64) + ".com", "a@" + strings.Repeat("x.", 126) + "com", "AmazonJournaling@example.com",
	} {
		if _, err := ParseAddress(bad); !fault.Is(err, fault.Invalid, fault.Address) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"a@b.cd", "Ann+tag@example.com", "@", "a@1.2.3.4", "é@example.com", "a@b@c.de", "\x00@b.cd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if !fault.Is(err, fault.Invalid, fault.Address) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := ParseAddress(a.Key)
		if err != nil || again.Key != a.Key || again.Domain != a.Domain || len(s) > addressLimit {
			t.Fatalf("%q is %+v, and folded %+v, %v", s, a, again, err)
		}
	})
}

func TestUntag(t *testing.T) {
	for address, want := range map[string]string{
		"ann+shop@example.com": "ann@example.com",
		"ann+a+b@example.com":  "ann@example.com",
		"ann+@example.com":     "ann@example.com",
		"ann@example.com":      "",
		"+shop@example.com":    "",
		"ann@exa+mple.com":     "",
		"ann+shop":             "",
	} {
		if base, ok := Untag(address); base != want || ok != (want != "") {
			t.Errorf("%q: %q, %t", address, base, ok)
		}
	}
}

func TestPrefixRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringN(1, 8, -1).Draw(t, "prefix")
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.String(), func(s string) string { return prefix + s })).Draw(t, "text")
		from, to := prefixRange(prefix)
		key := Fold(text)
		if in, want := from <= key && key < to, strings.HasPrefix(key, from); in != want && !strings.Contains(key, "\U0010FFFF") {
			t.Fatalf("%q begins with %q: %t, in [%q, %q): %t", key, from, want, from, to, in)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	for _, good := range []string{
		"examplePa$$w0rd", "TestTest1234!", "abcDEF12", "abc DEF 12", strings.Repeat("aA1", 21), "éééééA1x", "passwordÉ1",
	} {
		if err := CheckPassword(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "aA1!aA1", "abcdefgh", "abcdefg1", "ABCDEFG1", "12345678", strings.Repeat("aA1!", 16), "abcDEF12€", "abcDEF12\t", "abcd×÷abc",
		"abcDEF12\x7f",
	} {
		err := CheckPassword(bad)
		if !fault.Is(err, fault.BadPassword, fault.Entity) {
			t.Errorf("%q: %v", bad, err)
		} else if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q is repeated in %q", bad, err)
		}
	}
}

func TestCheckProviderUser(t *testing.T) {
	const uuid = "aaaaaaaa-BBBB-cccc-DDDD-eeeeeeeeeeee"
	for _, good := range []string{"", uuid, "0123456789-" + uuid} {
		if err := checkProviderUser(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"x", uuid + "0", "012345678-" + uuid, "0123456789" + uuid, "ABCDEF6789-" + uuid, uuid + "\n", "----"} {
		if checkProviderUser(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
