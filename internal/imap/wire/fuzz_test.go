package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzReadCommand feeds the reader anything. It must end, without panic, and a good command behind a line that carries no
// literal must be found.
func FuzzReadCommand(f *testing.F) {
	for _, c := range commandTests {
		f.Add([]byte("a "+c.line+"\r\n"), true)
	}
	for _, s := range []string{"a APPEND x (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {3}\r\nabc\r\n", "a APPEND x ~{3+}\r\nabc\r\n", "a XYZZY {5+}\r\nhello\r\n", "{", "a SELECT {3"} {
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, signedIn bool) {
		limits := BeforeSignIn()
		if signedIn {
			limits = AfterSignIn()
		}
		limits.Skip = 1 << 20
		r := NewReader(bytes.NewReader(input), limits, func() error { return nil })
		for {
			cmd, err := r.ReadCommand()
			var syntax *SyntaxError
			if err != nil && !errors.As(err, &syntax) {
				break
			}
			if a, ok := cmd.Args.(Append); ok && err == nil {
				if a.Literal.Size%2 == 0 {
					if err := a.Literal.Accept(); err != nil {
						t.Fatal(err)
					}
				}
				if err := a.Literal.Finish(); err != nil && !errors.As(err, &syntax) {
					break
				}
			}
		}
		if bytes.ContainsAny(input, "{\n") {
			return
		}
		r = NewReader(io.MultiReader(bytes.NewReader(input), bytes.NewReader([]byte("\r\nzz NOOP\r\n"))), AfterSignIn(), func() error { return nil })
		var syntax *SyntaxError
		if _, err := r.ReadCommand(); err != nil && !errors.As(err, &syntax) {
			t.Fatal(err)
		}
		if cmd, err := r.ReadCommand(); err != nil || cmd.Tag != "zz" {
			t.Fatalf("behind %q comes %+v, %v", input, cmd, err)
		}
	})
}

// FuzzUTF7 checks that each name has one encoding.
func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "&-", "&Jjo-!", "&2D3cvg-", "&AGE-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if plain, ok := DecodeUTF7(s); ok && EncodeUTF7(plain) != s {
			t.Fatalf("%q means %q, which is written %q", s, plain, EncodeUTF7(plain))
		}
	})
}

// FuzzPattern compares matching with its definition on short inputs.
func FuzzPattern(f *testing.F) {
	f.Add("a%/*b", "ax/yb")
	f.Add("%%*", "INBOX")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := CompilePattern(pattern, '/').Match(name)
		if len(pattern) < 12 && len(name) < 12 && name != "INBOX" && got != slowMatch(pattern, name) {
			t.Fatalf("pattern %q on %q: %v", pattern, name, got)
		}
	})
}
