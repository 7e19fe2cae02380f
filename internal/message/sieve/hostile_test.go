package sieve

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/message"
	"pgregory.net/rapid"
)

// allocated returns how many bytes fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestRunsAreBounded has what could take long or grow: each ends by its result or by a limit, with few bytes made.
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
		"long types": {
			"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + strings.Repeat("--a\r\nContent-Type: text/"+long[:20_000]+"\r\n\r\nx\r\n", 10),
			`if body :content ["` + strings.Repeat(`x","`, 15_000) + `y"] :contains "x" {}`,
		},
		"words of addresses": {"From: " + strings.Repeat("a ", 1<<17) + "\r\n\r\n", strings.Repeat(`if address "from" "c" {}`, 1_000)},
		"dates":              {"Date: x" + strings.Repeat("\r\n ", 50_000) + "\r\n\r\n", strings.Repeat(`if date "date" "year" "1" {}`, 1_000)},
		"large bodies":       {"X: y\r\n\r\n" + long, strings.Repeat(`if body :raw :is :comparator "i;octet" "x" {}`, 1_000)},
		"numbers":            {"X: " + strings.Repeat("0", 1<<18) + "\r\n\r\n", `if header :comparator "i;ascii-numeric" "x" ["` + strings.Repeat(`2","`, 15_000) + `c"] {}`},
	} {
		s, err := Compile([]byte(all+c.script), Limits{Steps: 5_000}) // few, as the race detector makes it slow
		if err != nil {
			t.Fatal(name, err)
		}
		made := allocated(func() { _, err = s.Run(t.Context(), envelope("a@example.com", "b@example.com"), []byte(c.message)) })
		if most := uint64(3 * 5_000 * bytesPerStep); made > most {
			t.Errorf("%s makes %d bytes, and may make %d: %.100v", name, made, most, err)
		}
	}
}

// TestPrices has what takes long for its size: it costs so many steps at least, and nearly all of them the first time alone.
func TestPrices(t *testing.T) {
	long := strings.Repeat("a ", 1<<18)
	for script, c := range map[string]struct{ header, least, again int }{
		`if address "to" "b" {}`:                         {header: len(long), least: 2_000, again: 200},
		`if date "to" "year" "1" {}`:                     {header: len(long), least: 64, again: 70},
		`if duplicate :header "to" {}`:                   {header: len(long), least: 600, again: 700},
		`if string :matches "" "` + long[:8_000] + `"{}`: {least: 30, again: 40},
	} {
		raw := []byte("To: " + long[:c.header] + "\r\n\r\n")
		steps := func(script string) int {
			s, err := Compile([]byte(all+script), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			r := newRun(t.Context(), s, Environment{}, raw)
			if err := r.block(t.Context(), s.commands); err != nil {
				t.Fatal(err)
			}
			return r.work / bytesPerStep
		}
		once := steps(script)
		if twice := steps(script + script); once < c.least || c.again > 0 && twice-once > c.again {
			t.Errorf("%.40s costs %d steps, then %d; want %d at least, then %d", script, once, twice-once, c.least, c.again)
		}
	}
}

// errContext ends when it was asked a number of times.
type errContext struct {
	context.Context
	left int
}

func (c *errContext) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestATestEndsWithItsContext has one test that looks at much.
func TestATestEndsWithItsContext(t *testing.T) {
	s, err := Compile([]byte(`if header :contains "x" ["`+strings.Repeat(`b","`, 15_000)+`c"] { discard; }`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := &errContext{t.Context(), 4} // before the run, the command and the test it is asked too
	if _, err := s.Run(ctx, Environment{}, []byte("X: "+strings.Repeat("a", 1<<16)+"\r\n\r\n")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestCompilingMakesLittle(t *testing.T) {
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
		script := all + c.before + strings.Repeat(c.repeated, (defaultScript-len(all)-len(c.before)-len(c.after))/len(c.repeated)) + c.after
		var err error
		if made := allocated(func() { _, err = Compile([]byte(script), Limits{}) }); made > 150*defaultScript {
			t.Errorf("%s makes %d bytes: %v", name, made, err)
		}
	}
}

// TestSizes holds what a script says that it takes against what it does take.
func TestSizes(t *testing.T) {
	for name, src := range map[string]string{
		"commands":   strings.Repeat("keep;", 2000),
		"blocks":     strings.Repeat("if true{}", 2000),
		"tests":      `if anyof(` + strings.Repeat("true,", 2000) + `true){}`,
		"strings":    `if exists [` + strings.Repeat(`"",`, 3000) + `""]{}`,
		"values":     strings.Repeat(`redirect "a@b";`, 1000),
		"references": `if exists "` + strings.Repeat("${a}", 3000) + `"{}`,
		"pieces":     `if exists "` + strings.Repeat("a${0}", 3000) + `"{}`,
		"tags":       strings.Repeat(`keep :flags "";`, 1000),
		"many tags":  strings.Repeat(`vacation :days 3 :subject "" :from "a@b" :addresses "" :mime :handle "" "";`, 500),
	} {
		var kept [4]*Script
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range kept {
			var err error
			if kept[i], err = Compile([]byte(all+src), Limits{}); err != nil {
				t.Fatal(name, err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		takes := int(after.HeapAlloc-before.HeapAlloc) / len(kept)
		if size := kept[0].Size(); takes > size*4/3 {
			t.Errorf("%s: says %d, takes %d", name, size, takes)
		}
		runtime.KeepAlive(&kept)
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

func TestDuplicatesOfARunAreFew(t *testing.T) {
	f := fixture{message: messageA}
	test := `if duplicate :uniqueid "x" {}`
	f.check(t, [2]string{"keep", all + strings.Repeat(test, 16)})
	if got := f.act(t, all+strings.Repeat(test, 17)); !strings.HasSuffix(got, `the script takes more than 16 tests "duplicate" on this message`) {
		t.Error(got)
	}
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
