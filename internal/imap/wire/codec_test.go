package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUTF7(t *testing.T) {
	for plain, coded := range map[string]string{ // RFC 3501 section 5.1.3, RFC 2152
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "Entwürfe": "Entw&APw-rfe", "&": "&-", "a&b": "a&-b",
		"": "", "Hi Mom ☺!": "Hi Mom &Jjo-!", "💾": "&2D3cvg-", "\x7f": "&AH8-",
	} {
		if got := EncodeUTF7(plain); got != coded {
			t.Errorf("EncodeUTF7(%q) = %q, want %q", plain, got, coded)
		}
		if got, ok := DecodeUTF7(coded); !ok || got != plain {
			t.Errorf("DecodeUTF7(%q) = %q, %v, want %q", coded, got, ok, plain)
		}
	}
	for _, bad := range []string{"&", "&A", "&Jjo", "&Jjo!", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&2D0-", "&3L7YPQ-", "&Jjp-", "&Jj-", "\xff", "ü", "a\x01", "&Jjo=-"} {
		if got, ok := DecodeUTF7(bad); ok {
			t.Errorf("DecodeUTF7(%q) = %q, want none", bad, got)
		}
	}
}

func TestUTF7RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "name")
		if got, ok := DecodeUTF7(EncodeUTF7(s)); !ok || got != s {
			t.Fatalf("%q became %q, %v", s, got, ok)
		}
	})
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true},
		{"%", "a", true},
		{"%", "a/b", false},
		{"%/%", "a/b", true},
		{"%/%", "a/b/c", false},
		{"a/*", "a/b/c", true},
		{"a/*", "a", false},
		{"*c", "a/b/c", true},
		{"a%c", "abc", true},
		{"a%c", "a/c", false},
		{"inbox", "INBOX", true},
		{"In%", "INBOX", true},
		{"INBOX", "inbox2", false},
		{"foo", "Foo", false},
		{"", "", true},
		{"", "a", false},
		{"%*", "a/b", true},
		{"*%*%*x", "a/bx", true},
		{strings.Repeat("a", 100), strings.Repeat("a", 100), true},
		{strings.Repeat("a", 100), strings.Repeat("a", 99), false},
		{strings.Repeat("%a", 64), strings.Repeat("a", 64), true},
		{strings.Repeat("*a", 64), strings.Repeat("a", 63), false},
		{strings.Repeat("*a", 64) + "b", strings.Repeat("a", 1000), false}, // which none finds who tries one place after the other
	} {
		if got := CompilePattern(c.pattern, '/').Match(c.name); got != c.want {
			t.Errorf("pattern %q on %q: %v", c.pattern, c.name, got)
		}
	}
}

// slowMatch is the definition of LIST patterns.
func slowMatch(p, s string) bool {
	if p == "" {
		return s == ""
	}
	if p[0] == '*' || p[0] == '%' {
		return slowMatch(p[1:], s) || s != "" && (p[0] == '*' || s[0] != '/') && slowMatch(p, s[1:])
	}
	return s != "" && s[0] == p[0] && slowMatch(p[1:], s[1:])
}

func TestPatternMatchesItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringOfN(rapid.SampledFrom([]rune("ab/*%")), 0, 9, -1).Draw(t, "pattern")
		s := rapid.StringOfN(rapid.SampledFrom([]rune("ab/")), 0, 9, -1).Draw(t, "name")
		if got := CompilePattern(p, '/').Match(s); got != slowMatch(p, s) {
			t.Fatalf("pattern %q on %q: %v", p, s, got)
		}
	})
}

func BenchmarkPatternThatMakesOthersBacktrack(b *testing.B) {
	p, name := CompilePattern(strings.Repeat("*a", 500)+"b", '/'), strings.Repeat("a", 1000)
	for b.Loop() {
		p.Match(name)
	}
}

func TestNumSet(t *testing.T) {
	for _, c := range []struct {
		in      string
		highest uint32
		want    string
	}{
		{"2,4:7,9,12:*", 15, "2,4:7,9,12:15"},
		{"*:4,5:7", 10, "4:10"},
		{"3:1,2", 9, "1:3"},
		{"*", 0, ""},
		{"1:*", 0, ""},
		{"559:*", 5, "5:559"},
		{"1,2,3,5", 9, "1:3,5"},
		{"4294967295,1:*", 4294967295, "1:4294967295"},
	} {
		r := NewReader(strings.NewReader("a FETCH "+c.in+" FLAGS\r\n"), AfterSignIn(), nil)
		cmd, err := r.ReadCommand()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendRanges(nil, cmd.Args.(Fetch).Set.Resolve(c.highest))); got != c.want {
			t.Errorf("%s of %d messages: %s, want %s", c.in, c.highest, got, c.want)
		}
	}
}

func TestNumSetHoldsWhatItsRangesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set NumSet
		var want uint64 // bit n: n is in the set
		highest := rapid.Uint32Range(1, 40).Draw(t, "highest")
		for range rapid.IntRange(0, 6).Draw(t, "ranges") {
			a, b := rapid.Uint32Range(0, 40).Draw(t, "a"), rapid.Uint32Range(0, 40).Draw(t, "b")
			set.Ranges = append(set.Ranges, Range{a, b})
			if a == 0 {
				a = highest
			}
			if b == 0 {
				b = highest
			}
			for n := min(a, b); n <= max(a, b); n++ {
				want |= 1 << n
			}
		}
		ranges := set.Resolve(highest)
		var got uint64
		for i, g := range ranges {
			if i > 0 && g.First <= ranges[i-1].Last+1 {
				t.Fatalf("%v are not in order, with room between them", ranges)
			}
			for n := g.First; n <= g.Last; n++ {
				got |= 1 << n
			}
		}
		if got != want {
			t.Fatalf("%v hold %b, want %b", ranges, got, want)
		}
	})
}

func TestStrings(t *testing.T) {
	for in, want := range map[string]string{
		"": `""`, "abc": `"abc"`, `a"b\c`: `"a\"b\\c"`, "a\r\nb": "{4}\r\na\r\nb", "ü": "{2}\r\nü", "a\x00ü": "{3}\r\naü", "\xff": "{1}\r\n\xff",
		strings.Repeat("x", 1001): "{1001}\r\n" + strings.Repeat("x", 1001),
	} {
		if got := string(AppendString(nil, in)); got != want {
			t.Errorf("AppendString(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"INBOX": "INBOX", "Sent Items": `"Sent Items"`, "nil": `"nil"`, "a&b": `"a&-b"`, "": `""`, "ü/*": `"&APw-/*"`, "a]": "a]"} {
		if got := string(AppendMailbox(nil, in)); got != want {
			t.Errorf("AppendMailbox(%q) = %s, want %s", in, got, want)
		}
	}
	if got := string(AppendText(nil, "[ALERT] a\r\nb ü")); got != "- [ALERT] a??b ??" {
		t.Errorf("AppendText = %q", got)
	}
	if got := string(AppendDateTime(nil, time.Date(1996, 7, 7, 2, 44, 25, 0, time.FixedZone("", -7*3600)))); got != `"07-Jul-1996 02:44:25 -0700"` {
		t.Errorf("AppendDateTime = %s", got)
	}
}

func TestFetchItemNames(t *testing.T) {
	for _, name := range []string{
		"BODY[]", "BODY[1.2.3]", "BODY[HEADER]", "BODY[3.TEXT]", "BODY[2.MIME]", "BODY[HEADER.FIELDS (From X-Y)]", "BODY[1.HEADER.FIELDS.NOT (a)]<12>", "RFC822",
		"RFC822.HEADER", "RFC822.TEXT", "BINARY[1.1]<0>", "BINARY.SIZE[]",
	} {
		r := NewReader(strings.NewReader("a FETCH 1 ("+strings.ReplaceAll(name, ">", ".5>")+")\r\n"), AfterSignIn(), nil)
		cmd, err := r.ReadCommand()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(cmd.Args.(Fetch).Items[0].AppendName(nil)); got != name {
			t.Errorf("%s is answered as %s", name, got)
		}
	}
}

func TestWriterGathersAndKeepsItsError(t *testing.T) {
	var out bytes.Buffer
	lent := 0
	w := NewWriter(&out, func() []byte { lent++; return make([]byte, 0, BufferSize) }, func([]byte) { lent-- })
	w.Status("*", "OK", "", "hi")
	w.Raw("* ")
	w.Number(3)
	w.Raw(" EXISTS")
	w.End()
	if out.Len() != 0 {
		t.Error("a small response was sent at once")
	}
	w.Status("a", "NO", "TRYCREATE", "no such folder")
	if err := w.Flush(); err != nil || lent != 0 || w.Waiting() != 0 {
		t.Errorf("Flush: %v, %d buffers held", err, lent)
	}
	if got, want := out.String(), "* OK hi\r\n* 3 EXISTS\r\na NO [TRYCREATE] no such folder\r\n"; got != want || w.Sent() != int64(len(want)) {
		t.Errorf("sent %q (%d)", got, w.Sent())
	}
	big := bytes.Repeat([]byte("x"), BufferSize)
	w.Raw("y")
	if _, err := w.Write(big); err != nil || !bytes.HasSuffix(out.Bytes(), append([]byte("y"), big...)) {
		t.Errorf("a large literal did not follow what waited: %v", err)
	}
	broken := errors.New("broken pipe")
	w = NewWriter(failing{broken}, func() []byte { return nil }, func([]byte) {})
	w.Raw("x")
	if err := w.Flush(); !errors.Is(err, broken) {
		t.Errorf("Flush = %v", err)
	}
	if _, err := w.Write(big); !errors.Is(err, broken) || !errors.Is(w.Err(), broken) {
		t.Errorf("Write after an error = %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
