package mailauth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/message"
)

func TestAuthors(t *testing.T) {
	for header, want := range map[string][]string{
		"From: a@one.example\r\n":                                {"one.example"},
		"from : Ann <a@ONE.example.>\r\n":                        {"one.example"},
		"From:\r\n Ann\r\n <a@one.example>\r\n":                  {"one.example"},
		"From: a@one.example, b@two.example, c@one.example\r\n":  {"one.example", "two.example"},
		"From: a@one.example\r\nX: y\r\nFrom: b@two.example\r\n": {"one.example", "two.example"},
		"From: us: a@one.example, b@two.example;\r\n":            {"one.example", "two.example"},
		"From: ann@b\u00fccher.example\r\n":                      {"xn--bcher-kva.example"},
		"From: \"a@one.example\" <b@two.example>\r\n":            {"two.example"}, // a name that looks like an address
		"From: (<a@one.example>) b@two.example\r\n":              {"two.example"},
		"From: <a@one.example> <b@two.example>\r\n":              {"one.example", "two.example"}, // readers differ
		"From: \"Bank <a@one.example>\r\n":                       {"one.example"},                // the quote never ends
		"From: ((( <a@one.example>\r\n":                          {"one.example"},
		"From: <@relay.example:a@one.example>\r\n":               {"one.example"},
		"From: <a@one .example>\r\n":                             {"one.example", "one .example"},
		"From: a@one.example..\r\n":                              {"one.example"},
		"From: <a@one.example...>, <b@two.example. .>\r\n":       {"one.example", "two.example"},
		"From: <a@b\u00fccher.example\u3002..>\r\n":              {"xn--bcher-kva.example"},
		"From: Ann\r\n": nil,
		"From:\r\n":     nil,
		"To: a@one.example\r\nResent-From: b@two.example\r\n":          nil,
		"Subject: x\r\n\r\nFrom: body@one.example\r\n":                 nil,
		"From: =?utf-8?q?a=40one.example?= <b@two.example>\r\n":        {"two.example"},
		"From: a@[192.0.2.1]\r\n":                                      {"[192.0.2.1]"},
		"From: \\<a@one.example> b@two.example\r\n":                    {"one.example", "two.example"},
		"From: Ann [x, a@one.example, y] <b@two.example>\r\n":          {"two.example", "one.example"},
		"From: Ann [team x] <b@two.example>\r\n":                       {"two.example"},
		"From: Ann \\\" , a@one.example, \" <b@two.example>\r\n":       {"two.example", "one.example"},
		"From: \"Ann \\\", a@one.example\\\\\" <b@two.example>\r\n":    {"two.example"},
		"From: Ann@[x, a@one.example, y] <b@two.example>\r\n":          {"two.example", "x", "one.example"},
		"From: \\\" ( \" [ , a@one.example, ] <b@two.example>\r\n":     {"two.example", "one.example"},
		"From: Ann \\( , a@one.example, ) <b@two.example>\r\n":         {"two.example", "one.example"},
		"From: [(] \\\" , a@one.example, \\\" [)] <b@two.example>\r\n": {"two.example", "one.example"},
		"From: [(] <b@two.example> <a@one.example> [)]\r\n":            {"two.example", "one.example"},
		"From: Ann \\\" \" <b@two.example> <a@one.example> \\\"\"\r\n": {"two.example", "one.example"},
		"From: <b@two.example>, a@one.example <\r\n":                   {"two.example", "one.example"},
		"From: <b@two.example> \"; a@one.example\r\n":                  {"two.example", "one.example"},
		"From: a@one.example Ann\r\n":                                  {"one.exampleann", "one.example"},
		"From: a@one.example b@two.example\r\n":                        {"two.example", "one.example"},
		"From: a@one.example <>\r\n":                                   {"one.example"},
		"From: a@one.example\\ \r\n":                                   {"one.example", "one.example\\"},
		"From: ann @ one . example (x)\r\n":                            {"one.example"},
		"From: Ann Lee \"the x\" (x) <b@two.example> y\r\n":            {"two.example"},
		"From: Ann [x <b@two.example>\r\n":                             {"two.example"},
		"From: Ann [x] <a@[192.0.2.1]>\r\n":                            {"[192.0.2.1]"},
		"Sender: s@three.example\r\nFROM:\ta@one.example(c)\r\nX: y":   {"one.example"},
	} {
		if got, complete := authors([]byte(header)); !slices.Equal(got, want) || !complete {
			t.Errorf("%q: %q, complete %v; want %q", header, got, complete, want)
		}
	}
	var many strings.Builder
	for i := range maxAuthors + 1 {
		fmt.Fprintf(&many, "From: a@%d.example\r\n", i)
	}
	if got, complete := authors([]byte(many.String())); len(got) != maxAuthors || complete {
		t.Errorf("%d domains, complete %v", len(got), complete)
	}
	if _, complete := authors([]byte("From: " + strings.Repeat("a@b.c,", 10_000) + "d@e.f\r\n")); complete {
		t.Error("From with an address behind those that are read is complete")
	}
	for _, hidden := range []string{"From\v: a@one.example\r\n", "From\r\n : a@one.example\r\n"} {
		if _, complete := authors([]byte(hidden + "From: b@two.example\r\n")); complete {
			t.Errorf("%q hides nobody", hidden)
		}
	}
	for _, words := range []string{"a ", `""`, "@", "<@r,"} {
		header := "From: " + strings.Repeat(words, message.MaxWords+1) + "a@one.example\r\n"
		if domains, complete := authors([]byte(header)); len(domains) == 0 && complete {
			t.Errorf("From with an address behind %d times %q names nobody and is complete", message.MaxWords+1, words)
		}
	}
	for _, bomb := range []string{"(", "\"", "<", "@[", "[]\\\"", "(\"<", "<@", "a@b,", "<a@b><"} {
		if _, complete := authors([]byte("From: " + strings.Repeat(bomb, 1<<20/len(bomb)))); complete {
			t.Errorf("a megabyte of %q is complete", bomb)
		}
		authors([]byte("From: " + strings.Repeat(bomb, (maxFrom-10)/len(bomb)))) // must not take long
	}
}

func FuzzAuthors(f *testing.F) {
	f.Add([]byte("From: \"x\" <a@one.example>, us: b@two.example;\r\n (c)\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		if domains, _ := authors(header); len(domains) > maxAuthors {
			t.Errorf("%d domains", len(domains))
		}
	})
}

func FuzzForgedResults(f *testing.F) {
	f.Add([]byte("Authentication-Results: (by) \"mx.example.com\" 1; spf=pass\r\nSubject: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		clean := WithoutResults(header, "mx.example.com")
		if len(clean) > len(header) || !slices.Equal(WithoutResults(clean, "mx.example.com"), clean) {
			t.Errorf("%q becomes %q", header, clean)
		}
	})
}

func TestForgedResults(t *testing.T) {
	const host = "mx.example.com"
	for value, goes := range map[string]bool{
		"mx.example.com; spf=pass":             true,
		"MX.Example.COM; none":                 true,
		"mx.example.com. 1; spf=pass":          true,
		"mx.example.com":                       true,
		"mx.example.com/1; spf=pass":           true,
		"(by) mx.example.com(us); spf=pass":    true,
		"(a (nested) one)\tmx.example.com;":    true,
		"\"mx.example.com\"; spf=pass":         true,
		"\"m\\x.example.com\"; spf=pass":       true,
		"\" mx.example.com \" 1; spf=pass":     true,
		"\r\n mx.example.com;\r\n spf=pass":    true,
		"; spf=pass":                           true, // of nobody
		"":                                     true,
		"(never closed mx.example.com":         true,
		"\"mx.example.com; spf=pass":           true,
		"mx2.example.com; spf=pass":            false,
		"example.com; spf=pass":                false,
		"mx.example.com.evil.example; dkim=ok": false,
		"other.example; x=mx.example.com":      false,
		"other.example (mx.example.com); none": false,
	} {
		header := "Received: a\r\nAuthentication-Results: " + value + "\r\nSubject: b\r\n\r\n"
		want := header
		if goes {
			want = "Received: a\r\nSubject: b\r\n\r\n"
		}
		if got := string(WithoutResults([]byte(header), host)); got != want {
			t.Errorf("%q goes: %v", value, got != header)
		}
	}
	for header, want := range map[string]string{
		"authentication-RESULTS : mx.example.com; x\r\nA: b\r\nAuthentication-Results: mx.example.com; y\r\n": "A: b\r\n",
		"ARC-Authentication-Results: i=1; mx.example.com; x\r\n":                                              "ARC-Authentication-Results: i=1; mx.example.com; x\r\n",
		"X-Authentication-Results: mx.example.com; x\r\n":                                                     "X-Authentication-Results: mx.example.com; x\r\n",
		"\r\nAuthentication-Results: mx.example.com; x\r\n":                                                   "\r\nAuthentication-Results: mx.example.com; x\r\n", // the body
	} {
		if got := string(WithoutResults([]byte(header), host)); got != want {
			t.Errorf("%q becomes %q", header, got)
		}
	}
}
