package sieve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// all requires every extension.
var all = `require ["` + strings.Join(extensions, `", "`) + "\"];\n"

// fixture is what a script is run on.
type fixture struct {
	env     Environment
	message string
	limits  Limits
}

// lines makes a message of lines, with CRLF.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n" }

var messageA = lines( // RFC 5228 section 9
	"Date: Tue, 1 Apr 1997 09:06:31 -0800 (PST)",
	"From: coyote@desert.example.org",
	"To: roadrunner@acme.example.com",
	"Subject: I have a present for you",
	"",
	"Look, I'm sorry about the whole anvil thing.",
)

var messageB = lines(
	"From: youcouldberich!@reply-by-postal-mail.invalid",
	"Sender: b1ff@de.res.example.com",
	"To: rube@landru.example.com",
	"Date: Mon, 31 Mar 1997 18:26:10 -0800",
	"Subject: $$$ YOU, TOO, CAN BE A MILLIONAIRE! $$$",
	"",
	"YOU MAY HAVE ALREADY WON TEN MILLION DOLLARS",
)

func envelope(from, to string) Environment {
	return Environment{From: from, To: to, Now: time.Date(2026, time.November, 26, 14, 5, 9, 0, time.FixedZone("", 3600))}
}

// act runs a script and writes what it decided, an action a line; an error begins with "error: ".
func (f fixture) act(t testing.TB, script string) string {
	t.Helper()
	s, err := Compile([]byte(script), f.limits)
	if err != nil {
		return "compile: " + err.Error()
	}
	r, err := s.Run(context.Background(), f.env, []byte(f.message))
	var fault *Error
	if errors.As(err, &fault) {
		if len(r.Actions) != 1 || describe(r) != "keep" {
			t.Errorf("an error keeps the message; got %s", describe(r))
		}
		return "run: " + err.Error()
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return describe(r)
}

func describe(r *Result) string {
	var out []string
	flags := func(list []string) string {
		if list == nil {
			return ""
		}
		return " (" + strings.Join(list, " ") + ")"
	}
	edited := func(m []byte) string {
		if m == nil {
			return ""
		}
		return " edited"
	}
	for _, a := range r.Actions {
		switch a := a.(type) {
		case *Keep:
			out = append(out, "keep"+flags(a.Flags)+edited(a.Message))
		case *FileInto:
			s := "fileinto " + a.Mailbox
			if a.SpecialUse != "" {
				s += " " + a.SpecialUse
			}
			if a.Create {
				s += " create"
			}
			out = append(out, s+flags(a.Flags)+edited(a.Message))
		case *Redirect:
			out = append(out, "redirect "+a.To+edited(a.Message))
		case *Reject:
			word := "reject "
			if a.Extended {
				word = "ereject "
			}
			out = append(out, word+a.Reason)
		case *Vacation:
			out = append(out, fmt.Sprintf("vacation %s %q %q %q mime=%t", a.Again, a.Subject, a.From, a.Reason, a.MIME))
		}
	}
	if out == nil {
		return "discard"
	}
	return strings.Join(out, "; ")
}

// check runs scripts on the fixture, each given as what is to come out and the script.
func (f fixture) check(t *testing.T, cases ...[2]string) {
	t.Helper()
	for _, c := range cases {
		if got := f.act(t, c[1]); got != c[0] {
			t.Errorf("%s\n\tgot  %s\n\twant %s", strings.TrimPrefix(c[1], all), got, c[0])
		}
	}
}

// holds and holdsNot run tests on the fixture, with every extension required.
func (f fixture) holds(t *testing.T, tests ...string)    { t.Helper(); f.tests(t, "discard", tests) }
func (f fixture) holdsNot(t *testing.T, tests ...string) { t.Helper(); f.tests(t, "keep", tests) }

func (f fixture) tests(t *testing.T, want string, tests []string) {
	t.Helper()
	for _, test := range tests {
		if got := f.act(t, all+"if "+test+" { discard; }"); got != want {
			t.Errorf("%s\n\tgot  %s\n\twant %s", test, got, want)
		}
	}
}

func itoa(n int) string { return fmt.Sprint(n) }
