package sieve

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message"
	"pgregory.net/rapid"
)

// TestRunsAreBounded has what could take long or grow: each ends soon, by its result or by a limit.
func TestRunsAreBounded(t *testing.T) {
	long := strings.Repeat("a", 1<<18)
	for name, c := range map[string]struct{ message, script string }{
		"stars":                  {"X: " + long + "\r\n\r\n", `if header :matches "x" "` + strings.Repeat("*a", 10_000) + `*b" { discard; }`},
		"stars and marks":        {"X: " + long + "\r\n\r\n", `if header :matches "x" "` + strings.Repeat("*a?a", 5_000) + `b*" { discard; }`},
		"a mark before a miss":   {"X: " + long + "\r\n\r\n", `if header :matches "x" "*?` + strings.Repeat("a", 30_000) + `b*" { discard; }`},
		"marks alone":            {"X: " + long + "\r\n\r\n", `if header :matches "x" "*` + strings.Repeat("?", 60_000) + `b*" { discard; }`},
		"many keys":              {"X: " + long + "\r\n\r\n", `if header :contains "x" ["` + strings.Repeat(`b","`, 15_000) + `c"] { discard; }`},
		"many fields":            {strings.Repeat("X: a\r\n", 20_000) + "\r\n", `if header :contains ["x` + strings.Repeat(`","x`, 10_000) + `"] "b" { discard; }`},
		"many fields and counts": {strings.Repeat("X: a\r\n", 20_000) + "\r\n", strings.Repeat(`if exists ["y"] {discard;}`, 2_000)},
		"many addresses":         {"To: " + strings.Repeat("a@b,", 200_000) + "\r\n\r\n", strings.Repeat(`if address "to" "c" {}`, 2_000)},
		"body":                   {"X: y\r\n\r\n" + strings.Repeat(long, 8), `if body :raw :contains ["` + strings.Repeat(`b","`, 15_000) + `c"] { discard; }`},
		"growing variables": {
			"X: y\r\n\r\n", `set "a" "` + strings.Repeat("x", 1000) + `";` + strings.Repeat(`set "a" "${a}${a}${a}${a}";`, 1000) +
				`if string :contains "` + strings.Repeat("${a}", 7000) + `" "y" { discard; }`,
		},
		"many types": {
			"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + strings.Repeat("--a\r\n\r\nx\r\n", 10_000),
			`if body :content ["` + strings.Repeat(`x","`, 10_000) + `y"] :contains "x" {}`,
		},
		"many large keys": {
			"X: y\r\n\r\n", `set "a" "` + strings.Repeat("x", 15_000) + `"; if header "x" ["` + strings.Repeat(`${a}","`, 5_000) + `"] {}`,
		},
		"edits of many fields": {strings.Repeat("X: a\r\n", 20_000) + "\r\n", strings.Repeat(`addheader "x" "y"; if exists "y" {}`, 1_000)},
		"added fields":         {"X: y\r\n\r\n", `set "a" "` + strings.Repeat("x", 15_000) + `";` + strings.Repeat(`addheader "x" "${a}${a}";`, 1000)},
		"flags":                {"X: y\r\n\r\n", `addflag "` + strings.Repeat("ab ", 5000) + `";` + strings.Repeat(`addflag "a b c";`, 2000)},
		"nested parts":         {strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 5000), strings.Repeat(`if body :content "" :contains "x" {}`, 1000)},
		"empty pieces":         {"X: y\r\n\r\n", `set "a" "";` + strings.Repeat(`if string "${a}${a}${a}${a}${a}" "x" {}`, 1500)},
		"deep":                 {"X: y\r\n\r\n", "if " + strings.Repeat("not ", 15) + "true {}"},
		"html":                 {"Content-Type: text/html\r\n\r\n" + strings.Repeat("<a href=\"", 200_000), strings.Repeat(`if body :contains "x" {}`, 2_000)},
		"encoded words":        {"X: " + strings.Repeat("=?utf-8?Q?=C3?=\r\n ", 20_000) + "\r\n\r\n", strings.Repeat(`if header :contains "x" "b" {}`, 2_000)},
	} {
		start := time.Now() // a tenth of the usual steps, as the race detector makes it slow
		got := fixture{message: c.message, limits: Limits{Steps: 10_000}}.act(t, all+c.script)
		if strings.HasPrefix(got, "compile") {
			t.Errorf("%s: %s", name, got)
		}
		if spent := time.Since(start); spent > 4*time.Second {
			t.Errorf("%s took %s: %.100s", name, spent, got)
		}
	}
}

func TestCompilingTakesLittleTime(t *testing.T) {
	for name, c := range map[string]struct{ before, repeated, after string }{
		"references":         {`set "a" "`, `${`, `";`},
		"variables":          {`set "a" "`, `${a}`, `";`},
		"namespaces":         {`set "a" "`, `${a.`, `}";`},
		"encoded characters": {`set "a" "`, `${hex:`, `40}";`},
		"code points":        {`set "a" "`, `${unicode:4 `, `";`},
		"strings":            {`if exists ["`, `","`, `"] {}`},
		"strings without":    {`if exists [`, `"","`, ``},
		"tests":              {`if anyof (true`, `,true`, `) {}`},
		"open lists":         {``, `if anyof(`, ``},
		"open blocks":        {``, `if true {`, ``},
		"nots":               {`if `, `not `, `true {}`},
		"elsifs":             {`if true {}`, `elsif true {}`, ``},
		"comments":           {``, `/* `, ``},
		"hashes":             {``, "#\n", ``},
		"tags":               {`keep`, ` :flags "a"`, `;`},
		"texts":              {``, "keep; set \"a\" text:\n.\n;", ``},
		"one line":           {``, `keep;`, ``},
		"brackets":           {``, `[`, ``},
		"escapes":            {`set "a" "`, `\`, ``},
	} {
		start := time.Now()
		script := all + c.before + strings.Repeat(c.repeated, (defaultScript-len(all)-len(c.before)-len(c.after))/len(c.repeated)) + c.after
		_, err := Compile([]byte(script), Limits{})
		if spent := time.Since(start); spent > time.Second {
			t.Errorf("%s took %s: %v", name, spent, err)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s, err := Compile([]byte(`keep; discard;`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := s.Run(ctx, Environment{}, []byte(messageA)); !errors.Is(err, context.Canceled) || r != nil {
		t.Error(r, err)
	}
}

func TestRunsOfAScriptAtATime(t *testing.T) {
	s, err := Compile([]byte(all+`if header :matches "subject" "*e*" { set "a" "${1}"; addheader "X" "${a}"; fileinto "${a}"; }`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if r, err := s.Run(t.Context(), Environment{}, []byte(messageA)); err != nil || describe(r) != "fileinto I hav edited" {
				t.Error(r, err)
			}
		})
	}
	wait.Wait()
}

func TestScriptsHaveASize(t *testing.T) {
	if _, err := Compile([]byte(strings.Repeat("keep;", 20)), Limits{Script: 99}); err == nil || err.Error() != "line 1, column 1: the script has 100 bytes, and a script may have 99" {
		t.Error(err)
	}
}

// TestPatternsAgainstTheDefinition compares patterns with the shortest program that does what RFC 5228 and 5229 say.
func TestPatternsAgainstTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[ab*?]{0,8}(\\[*?a])?[ab*?]{0,4}`).Draw(t, "key")
		text := rapid.StringMatching(`[ab*]{0,12}`).Draw(t, "text")
		got, _, ok := newPattern(key).match(text, 1<<30)
		want, wantOK := glob(key, text, 0)
		if ok != wantOK || ok && len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%v %t, want %v %t", got, ok, want, wantOK)
		}
	})
}

// glob tries the shortest for each wildcard first.
func glob(key, text string, at int) ([]span, bool) {
	if key == "" {
		return nil, at == len(text)
	}
	switch c := key[0]; {
	case c == '*':
		for end := at; end <= len(text); end++ {
			if rest, ok := glob(key[1:], text, end); ok {
				return append([]span{{at, end}}, rest...), true
			}
		}
		return nil, false
	case at == len(text):
		return nil, false
	case c == '?':
		rest, ok := glob(key[1:], text, at+1)
		return append([]span{{at, at + 1}}, rest...), ok
	case c == '\\' && len(key) > 1:
		key = key[1:]
	}
	if key[0] != text[at] {
		return nil, false
	}
	return glob(key[1:], text, at+1)
}

// TestEditsAgainstAModel adds and deletes fields at random, and does the same to a list.
func TestEditsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type line struct{ name, value string }
		model := []line{{"A", "1"}, {"B", "2"}, {"A", "3"}}
		var script strings.Builder
		script.WriteString(all)
		for i := range rapid.IntRange(1, 6).Draw(t, "edits") {
			name := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "name")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				fmt.Fprintf(&script, "addheader %q \"n%d\";\n", name, i)
				model = append([]line{{name, fmt.Sprint("n", i)}}, model...)
			case 1:
				fmt.Fprintf(&script, "addheader :last %q \"n%d\";\n", name, i)
				model = append(model, line{name, fmt.Sprint("n", i)})
			case 2:
				index := rapid.IntRange(1, 3).Draw(t, "index")
				fmt.Fprintf(&script, "deleteheader :index %d %q;\n", index, name)
				for at, l := range model {
					if l.name == name {
						if index--; index == 0 {
							model = append(model[:at:at], model[at+1:]...)
							break
						}
					}
				}
			case 3:
				fmt.Fprintf(&script, "deleteheader %q;\n", name)
				var rest []line
				for _, l := range model {
					if l.name != name {
						rest = append(rest, l)
					}
				}
				model = rest
			}
		}
		s, err := Compile([]byte(script.String()), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		raw := []byte("A: 1\r\nB: 2\r\nA: 3\r\n\r\nbody")
		r, err := s.Run(context.Background(), Environment{}, raw)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Actions[0].(*Keep).Message
		if got == nil {
			got = raw
		}
		var want strings.Builder
		for _, l := range model {
			want.WriteString(l.name + ": " + l.value + "\r\n")
		}
		want.WriteString("\r\nbody")
		if string(got) != want.String() {
			t.Fatalf("%s\ngot  %q\nwant %q", script.String(), got, want.String())
		}
	})
}

// FuzzCompile compiles anything; what it takes it runs.
func FuzzCompile(f *testing.F) {
	f.Add(all + `if anyof (not header :matches :comparator "i;octet" ["a", "b"] text:` + "\nx\n..\n.\n" + `, size :over 3K) { fileinto :copy "x"; } elsif true {} else { stop; }`)
	f.Add(all + `set :upper "a" "${1}${unicode:fc}"; vacation :days 3 :mime "x"; deleteheader :index 1 :last "a"; addheader "x" "${a}";`)
	f.Add(all + `if allof (body :content "text" :count "ge" "1", date :zone "+0100" "date" "hour" "1", duplicate :handle "x", hasflag "a" "b") { addflag "a"; }`)
	f.Fuzz(func(t *testing.T, script string) {
		s, err := Compile([]byte(script), Limits{})
		var fault *Error
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("%T: %v", err, err)
		}
		if err == nil {
			checkRun(t, s, []byte(messageB))
		}
	})
}

// FuzzRun runs a script that looks at all of a message on any message.
func FuzzRun(f *testing.F) {
	s, err := Compile([]byte(all+`
		if header :matches ["subject", "from", "date"] "*?a*" { set "a" "${1}"; }
		if address :detail :matches ["from", "to", "cc"] "*" { addheader "X-Detail" "${1}"; }
		if body :content "" :contains ["a${a}", "\r\n"] { addflag "x"; }
		if body :matches "*a*" { addheader :last "X-Text" "${a}ü"; }
		if date :originalzone "date" "julian" "${1}" { deleteheader "date"; }
		if duplicate { keep; }
		deleteheader :matches "x-*" "*";
		vacation :subject "${1}" "x";
		fileinto :copy :create "a";`), Limits{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(messageA))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\r\n\r\nx\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n--a--\r\ny"))
	f.Add([]byte("a: b\nbroken\n c\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) { checkRun(t, s, raw) })
}

// checkRun runs a script and checks what holds of every result.
func checkRun(t *testing.T, s *Script, raw []byte) {
	before := string(raw)
	r, err := s.Run(t.Context(), envelope("a@example.com", "b@example.com"), raw)
	var fault *Error
	if err != nil && !errors.As(err, &fault) || r == nil {
		t.Fatalf("%v %v", r, err)
	}
	if before != string(raw) {
		t.Fatal("the message was written to")
	}
	for _, a := range r.Actions {
		var edited []byte
		switch a := a.(type) {
		case *Keep:
			edited = a.Message
		case *FileInto:
			edited = a.Message
		case *Redirect:
			edited = a.Message
			if _, err := message.ParseAddress(a.To); err != nil {
				t.Fatalf("redirect to %q", a.To)
			}
		}
		if body := raw[message.HeaderEnd(raw):]; edited != nil && !strings.HasSuffix(string(edited), string(body)) {
			t.Fatalf("the body became another: %q", edited)
		}
	}
}
