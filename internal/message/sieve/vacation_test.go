package sieve

import (
	"strings"
	"testing"
)

func TestVacation(t *testing.T) {
	f := fixture{env: envelope("tim@example.com", "ann+x@example.org"), message: lines("From: Tim <tim@example.com>", "To: Ann <ann@example.org>", "Subject: lunch?", "", "")}
	f.env.Own = []string{"Ann@Example.org", "a.nn@example.org"}
	const plain = `vacation 168h0m0s "" "" "away" mime=false; keep`
	f.check(t,
		[2]string{plain, all + `vacation "away";`},
		[2]string{`vacation 168h0m0s "" "" "away" mime=false`, all + `vacation "away"; discard;`},
		[2]string{`vacation 24h0m0s "" "" "away" mime=false; keep`, all + `vacation :days 0 "away";`},
		[2]string{`vacation 2160h0m0s "" "" "away" mime=false; keep`, all + `vacation :days 9999999999999 "away";`},
		[2]string{`vacation 1s "" "" "away" mime=false; keep`, all + `vacation :seconds 0 "away";`},
		[2]string{
			`vacation 30m0s "Re: lunch? Bcc: x@example.com" "\"Ann\" <a.nn@example.org>" "away" mime=false; keep`,
			all + `if header :matches "subject" "*" { vacation :seconds 1800 :subject "Re: ${1}` + "\n" + `Bcc: x@example.com" :from "\"Ann\" <a.nn@example.org>" "away"; }`,
		},
		[2]string{`vacation 168h0m0s "" "" "Content-Type: text/html\r\n\r\n<p>away\r\n" mime=true; keep`, all + "vacation :mime text:\nContent-Type: text/html\n\n<p>away\n.\n;"},
		[2]string{
			`compile: line 2, column 16: the header of the text behind ":mime" holds characters that are not ASCII; or it has no header, and the empty line behind it is missing`,
			all + `vacation :mime "ü";`,
		},
	)
	replace := func(old, by string) fixture {
		g := f
		g.message = strings.Replace(f.message, old, by, 1)
		return g
	}
	for _, to := range []string{"a.NN@example.org", "ann+other@example.org", "x@example.net, Friends: ann@example.org;"} {
		replace("To: Ann <ann@example.org>", "Resent-Cc: "+to).check(t, [2]string{plain, all + `vacation "away";`})
	}
	replace("To: Ann", "List-Id: <l.example.com>\r\nPrecedence: list\r\nTo: Ann").check(t,
		[2]string{"keep edited", all + `deleteheader "list-id"; deleteheader "precedence"; vacation "away";`})
	replace("To: Ann", "To: undisclosed-recipients:;\r\nX-To: ann").check(t,
		[2]string{"keep", all + `vacation "away";`})
	replace("ann@example.org", "other@example.org").check(t,
		[2]string{"keep", all + `vacation "away";`},
		[2]string{plain, all + `vacation :addresses ["x@example.org", "Other@example.org"] "away";`})
	for _, field := range []string{ // RFC 5230 section 4.6
		"List-Id: <x.example.com>", "List-Unsubscribe: <mailto:x@example.com>", "Auto-Submitted: auto-generated", "Auto-Submitted: auto-replied; x=y",
		"Precedence: Bulk", "Precedence: list", "X-Auto-Response-Suppress: DR, OOF, AutoReply",
	} {
		replace("Subject:", field+"\r\nSubject:").check(t, [2]string{"keep", all + `vacation "away";`})
	}
	for _, field := range []string{"Auto-Submitted: no (a person)", "Precedence: first-class", "X-Auto-Response-Suppress: DR, RN"} {
		replace("Subject:", field+"\r\nSubject:").check(t, [2]string{plain, all + `vacation "away";`})
	}
	for sender, want := range map[string]string{
		"": "keep", "MAILER-DAEMON@example.com": "keep", "owner-list@example.com": "keep", "list-request@example.com": "keep", "NoReply@example.com": "keep",
		"list-bounces+ann=example.org@example.com": "keep", "noreply-123@example.com": "keep", "ann@example.org": "keep", "ann+y@example.org": "keep",
		"nobody": "keep", "postmaster@example.com": plain, "request@example.com": plain, "owner@example.com": plain,
	} {
		g := f
		g.env.From = sender
		g.check(t, [2]string{want, all + `vacation "away";`})
	}
	// "vacation" looks at the header as it was edited (RFC 5293 section 7), and as it arrived.
	f.check(t, [2]string{"keep edited", all + `addheader "List-Id" "x"; vacation "away";`})
}

func TestVacationHandles(t *testing.T) {
	handle := func(subject, script string) string {
		t.Helper()
		s, err := Compile([]byte(all+script), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Run(t.Context(), envelope("a@example.com", "b@example.com"), []byte("To: b@example.com\r\nSubject: "+subject+"\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return r.Actions[0].(*Vacation).Handle
	}
	same := func(a, b string, want bool) {
		t.Helper()
		if (a == b) != want {
			t.Errorf("%s, %s", a, b)
		}
	}
	plain := handle("x", `vacation "away";`)
	same(plain, handle("y", `vacation :days 3 :addresses "c@example.com" "away";`), true)
	same(plain, handle("x", `vacation "gone";`), false)
	same(plain, handle("x", `vacation :subject "away" "away";`), false)
	same(handle("x", `vacation :subject "a" "away";`), handle("x", `vacation :from "a@example.com" "away";`), false)
	same(plain, handle("x", "vacation :mime \"\n\naway\";"), false)
	same(handle("x", `vacation :handle "h" "away";`), handle("x", `vacation :handle "h" "gone";`), true)
	// Not what variables are put into (RFC 5230 section 4.2).
	const script = `if header :matches "subject" "*" { vacation :subject "Re: ${1}" "away"; }`
	same(handle("x", script), handle("y", script), true)
}
