package sieve

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRelational(t *testing.T) {
	f := fixture{message: lines( // RFC 5231 section 6
		"received: a", "received: b", "subject: example", "to: foo@example.com, baz@example.com", "cc: qux@example.com",
		"x-priority: 2", "x-huge: 000100000000000000000000000001", "", "")}
	f.holds(t,
		`address :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] ["3"]`,
		`header :count "ge" :comparator "i;ascii-numeric" ["received", "subject"] ["3"]`,
		`header :value "lt" :comparator "i;ascii-numeric" ["x-priority"] ["3"]`,
		`header :value "lt" :comparator "i;ascii-numeric" "x-priority" "10"`,
		`header :value "gt" "x-priority" "10"`,
		`header :value "gt" :comparator "i;ascii-numeric" "subject" "10"`,
		`header :is :comparator "i;ascii-numeric" "x-huge" "100000000000000000000000001 and more"`,
		`header :value "ge" "subject" "EXAMPLE"`, `header :value "le" "subject" "EXAMPLE"`, `header :value "eq" "subject" "EXAMPLE"`,
		`header :value "ne" :comparator "i;octet" "subject" "EXAMPLE"`, `header :value "gt" :comparator "i;octet" "subject" "EXAMPLE"`,
		`string :count "eq" ["", "a", "b"] "2"`,
		`string :value "gt" "_" "a"`, // i;ascii-casemap compares upper case
	)
	f.holdsNot(t,
		`anyof (address :count "ge" :comparator "i;ascii-numeric" ["to"] ["3"], address :count "ge" :comparator "i;ascii-numeric" ["cc"] ["3"])`,
		`header :count "ge" :comparator "i;ascii-numeric" ["received"] ["3"]`,
		`header :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] ["3"]`,
		`header :value "eq" "missing" ""`, `header :count "gt" "missing" "0"`,
	)
}

func TestMatches(t *testing.T) {
	f := fixture{message: lines("Subject: [acme-users] [fwd] version 1.0 is out", "To: coyote@ACME.Example.COM", "List-Id: A <list@dom>", "X: a*b?c\\d", "", "")}
	f.holds(t,
		`string :matches "" ""`, `string :matches "" "*"`, `string :matches "" "**"`, `string :matches "abc" "a?c"`, `string :matches "abc" "???"`,
		`string :matches "abc" "*?"`, `string :matches "aXbXc" "a*b*c"`, `string :matches "abab" "*ab"`, `string :matches "aab" "*ab"`,
		`string :matches "xaxb" "*?x?"`, `header :matches "x" "a\\*b\\?c\\\\d"`, `string :matches "a" "\\a"`, `string :matches "a\\" "a\\"`,
		`string :matches "frop frop" "*frop*frop*"`, `string :matches "ü" "??"`,
	)
	f.holdsNot(t,
		`string :matches "" "?"`, `string :matches "abc" "ab"`, `string :matches "abc" "????"`, `string :matches "ab" "a*b*b"`, `string :matches "abc" "a\\*c"`,
		`string :matches "aba" "ab*ba"`,
	)
	for test, want := range map[string]string{
		`header :matches "Subject" "[*] *"`:                               "[acme-users] [fwd] version 1.0 is out|acme-users|[fwd] version 1.0 is out||",
		`address :matches ["To", "Cc"] ["coyote@**.com", "wile@**.com"]`:  "coyote@ACME.Example.COM||ACME.Example||",
		`header :matches "List-ID" "*<*@*"`:                               "A <list@dom>|A |list|dom>|",
		`string :matches "abcdef" "?b*?f"`:                                "abcdef|a|cd|e|",
		`string :matches "foo-bar-baz" "*-*"`:                             "foo-bar-baz|foo|bar-baz||",
		`anyof (true, string :matches "x" "*")`:                           "||||",
		`anyof (string :matches "x" "*", string :matches "y" "*")`:        "x|x|||",
		`allof (string :matches "x" "*", not string :matches "y" "z")`:    "x|x|||",
		`allof (string :matches "x" "*", string :is "y" "y")`:             "x|x|||",
		`string :matches ["no", "yes"] ["x*", "y*"]`:                      "yes|es|||",
		`allof (string :matches "x" "*", body :contains "", true)`:        "x|x|||",
		`allof (string :matches "x" "*", body :raw :matches "*", true)`:   "x|x|||",
		`allof (string :matches "ab" "??", string :matches "cd" "*x*")`:   "NOT",
		`not allof (string :matches "ab" "??", string :matches "cd" "x")`: "ab|a|b||",
	} {
		got := f.act(t, all+`if `+test+` { fileinto "${0}|${1}|${02}|${3}|${4}"; } else { fileinto "NOT"; }`)
		if got != "fileinto "+want {
			t.Errorf("%s\n\tgot  %s\n\twant fileinto %s", test, got, want)
		}
	}
}

func TestVariables(t *testing.T) {
	f := fixture{message: "Subject: x\r\n\r\n"}
	for command, want := range map[string]string{ // RFC 5229 section 4.1
		`set "b" "${a}";`:                                       "juMBlEd lETteRS",
		`set :length "b" "${a}";`:                               "15",
		`set :lower "b" "${A}";`:                                "jumbled letters",
		`set :upperfirst "b" "${a}";`:                           "JuMBlEd lETteRS",
		`set :upperfirst :lower "b" "${a}";`:                    "Jumbled letters",
		`set :quotewildcard "b" "Rock*";`:                       `Rock\*`,
		`set :quotewildcard :length "B" "*?\\ü";`:               "7",
		`set :lowerfirst :upper "b" "${a}";`:                    "jUMBLED LETTERS",
		`set :lowerfirst "b" "x${nothing}";`:                    "x",
		`set "b" "1"; set "b" "${b}2"; set :UPPER "b" "${b}ü";`: "12ü",
	} {
		f.check(t, [2]string{"fileinto =" + want, all + `set "a" "juMBlEd lETteRS"; ` + command + ` fileinto "=${b}";`})
	}
	half := fixture{message: "Subject: \xc3\xbc\r\n\r\n"} // "?" is one byte of it
	half.check(t, [2]string{"fileinto =3", all + `if header :matches "subject" "?*" { set :quotewildcard :length "b" "*${2}"; } fileinto "=${b}";`})
	f.holds(t, `string :is "${unknown}" ""`, `string " a " " a "`, `string :contains ["a", "bc"] ["x", "C"]`)
	f.holdsNot(t, `string " a" "a"`)

	small := fixture{message: f.message, limits: Limits{Value: 4, Variables: 2}}
	small.check(t,
		[2]string{"fileinto xaüb", `require ["variables", "fileinto"]; set "a" "aüb"; fileinto "x${a}";`},
		[2]string{"fileinto xaü", `require ["variables", "fileinto"]; set "a" "aüb"; set "b" "x${a}${a}"; fileinto "${b}";`},
		[2]string{"fileinto \\*\\*", `require ["variables", "fileinto"]; set :quotewildcard "b" "****"; fileinto "${b}";`},
		[2]string{`compile: line 1, column 30: the value has 5 bytes, and a variable holds 4`, `require "variables"; set "a" "12345";`},
		[2]string{`compile: line 1, column 62: "c" is one variable too many: a script has up to 2`, `require "variables"; set "a" ""; set "B" ""; set "A" ""; set "c" "";`},
	)
}

func TestFlags(t *testing.T) {
	f := fixture{message: "Subject: x\r\n\r\n"}
	f.check(t,
		[2]string{`keep (\Seen $x)`, all + `setflag "\\seen"; addflag ["$x", "", " $X  \\SEEN "];`},
		[2]string{`keep ($x)`, all + `addflag "$y $x"; removeflag "$Y"; keep;`},
		[2]string{`keep`, all + `addflag ["\\Recent", "\\Other", "ünicode", "a(b", "a%", "\\"];`},
		[2]string{`fileinto a (\Flagged); keep`, all + `fileinto :copy :flags ["\\flagged"] "a";`},
		[2]string{`fileinto a ($v); keep ($i)`, all + `addflag "v" "$v"; addflag "$i"; fileinto :flags "${v}" "a"; keep;`},
		[2]string{`fileinto a ($2)`, all + `fileinto :flags "$1" "a"; fileinto :flags "$2" "a";`},
		[2]string{`keep ($2)`, all + `keep :flags "$1"; addflag "$2"; keep;`},
		[2]string{`keep ($2)`, all + `addflag "$2"; fileinto :copy "INBOX";`},
	)
	for condition, want := range map[string]string{ // RFC 5232 section 4
		`hasflag :is "b A"`:                                                         "discard",
		`hasflag ["b", "A"]`:                                                        "discard",
		`hasflag :contains "MyVar" "Junk"`:                                          "discard",
		`hasflag :contains "MyVar" "forward"`:                                       "discard",
		`hasflag :contains "MyVar" ["label", "forward"]`:                            "discard",
		`hasflag :contains "MyVar" "junk forward"`:                                  "discard",
		`hasflag :contains "MyVar" "label"`:                                         "keep",
		`hasflag :contains "MyVar" ["label1", "label2"]`:                            "keep",
		`hasflag :count "eq" :comparator "i;ascii-numeric" "MyVar" "8"`:             "discard",
		`hasflag :count "ge" :comparator "i;ascii-numeric" ["MyVar", "MyVar"] "16"`: "discard",
		`hasflag :matches "MyVar" "gnus-*"`:                                         "discard",
	} {
		got := f.act(t, all+`setflag "A B"; set "MyVar" "NonJunk Junk gnus-forward $Forwarded NotJunk JunkRecorded $Junk $NotJunk"; if `+condition+
			` { discard; } else { setflag ""; }`)
		if got != want {
			t.Errorf("%s: got %s, want %s", condition, got, want)
		}
	}
}

func TestCopyRejectAndConflicts(t *testing.T) {
	f := fixture{message: messageA}
	f.check(t,
		[2]string{"redirect a@example.com; keep", all + `redirect :copy "a@example.com";`},
		[2]string{"fileinto a; redirect a@example.com", all + `fileinto :copy "a"; redirect "a@example.com";`},
		[2]string{"reject no\r\nmore", all + "reject \"no\nmore\";"},
		[2]string{"ereject no", all + `discard; ereject "no";`},
	)
	const beside = ` can't be done with this message beside what the script did before: it is either rejected, once, or delivered and answered`
	f.check(t,
		[2]string{`run: line 2, column 7: "reject"` + beside, all + `keep; reject "a";`},
		[2]string{`run: line 2, column 13: "ereject"` + beside, all + `reject "a"; ereject "b";`},
		[2]string{`run: line 2, column 13: "keep"` + beside, all + `reject "a"; keep;`},
		[2]string{`run: line 2, column 13: "redirect"` + beside, all + `reject "a"; redirect "a@example.com";`},
		[2]string{`run: line 2, column 13: "vacation"` + beside, all + `reject "a"; vacation "b";`},
		[2]string{`run: line 2, column 15: "reject"` + beside, all + `vacation "b"; reject "a";`},
		[2]string{`run: line 2, column 15: a second "vacation" on this message: a run of the script can answer once`, all + `vacation "b"; vacation "a";`},
		[2]string{`run: line 2, column 19: "nobody" is no address`, all + `set "a" "nobody"; redirect "${a}";`},
		[2]string{`run: line 2, column 1: a mailbox has a name`, all + `fileinto "${a}";`},
		[2]string{`run: line 1, column 101: the script redirects this message more than 4 times`, `redirect "1@example.com";redirect "2@example.com";redirect "3@example.com";redirect "4@example.com";redirect "5@example.com";`},
		[2]string{
			`redirect 1@example.com; redirect 2@example.com; redirect 3@example.com; redirect 4@example.com`,
			`redirect "1@example.com";redirect "2@example.com";redirect "3@example.com";redirect "4@example.com";redirect "1@example.com";`,
		},
	)
	fixture{message: messageA, limits: Limits{Actions: 1}}.check(t,
		[2]string{"run: line 1, column 35: the script takes more than 1 actions on this message", `require "fileinto"; fileinto "a"; fileinto "b";`})
}

func TestEditHeader(t *testing.T) {
	const original = "Received: a\r\nX-Hello: 1\r\nSubject: s\r\nX-Hello: 2\r\n folded\r\nbroken line\r\nX-hello : 3\r\nAuto-Submitted: no\r\n\r\nbody\r\n"
	f := fixture{message: original}
	for commands, want := range map[string]string{
		`addheader "X-New" "v";`:                                                                           "X-New: v\r\n" + original,
		`addheader :last "X-New" "v";`:                                                                     strings.Replace(original, "\r\n\r\n", "\r\nX-New: v\r\n\r\n", 1),
		`deleteheader "x-hello";`:                                                                          "Received: a\r\nSubject: s\r\nbroken line\r\nAuto-Submitted: no\r\n\r\nbody\r\n",
		`deleteheader "received"; deleteheader "AUTO-SUBMITTED";`:                                          "",
		`deleteheader "none"; deleteheader :index 4 "x-hello";`:                                            "",
		`deleteheader :index 1 "X-Hello"; deleteheader :index 2 "X-Hello";`:                                "Received: a\r\nSubject: s\r\nX-Hello: 2\r\n folded\r\nbroken line\r\nAuto-Submitted: no\r\n\r\nbody\r\n",
		`deleteheader :index 1 :last "X-Hello";`:                                                           strings.Replace(original, "X-hello : 3\r\n", "", 1),
		`deleteheader :contains "X-Hello" "FOLD";`:                                                         strings.Replace(original, "X-Hello: 2\r\n folded\r\n", "", 1),
		`deleteheader :index 1 :contains "X-Hello" "FOLD";`:                                                "",
		`deleteheader :comparator "i;octet" :contains "X-Hello" "FOLD";`:                                   "",
		`addheader "X-Hello" "World"; deleteheader :index 1 "X-Hello";`:                                    original,
		`if header "x-new" "v" { discard; } addheader "X-New" "v"; if not header "x-new" "v" { discard; }`: "X-New: v\r\n" + original,
		"addheader \"Subject\" \"Grüße,\r\nBcc: everybody@example.com\";":                                  "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe,_Bcc:_everybody@example.com?=\r\n" + original,
		`addheader "X" "` + strings.Repeat("word ", 30) + `";`:                                             "X:" + strings.Repeat(" word", 15) + "\r\n" + strings.Repeat(" word", 15) + "\r\n" + original,
	} {
		s, err := Compile([]byte(all+commands), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Run(t.Context(), f.env, []byte(original))
		if err != nil || len(r.Actions) != 1 {
			t.Fatalf("%s: %v %v", commands, r, err)
		}
		if got := r.Actions[0].(*Keep).Message; string(got) != want {
			t.Errorf("%s\n\tgot  %q\n\twant %q", commands, got, want)
		}
	}
	f.check(t,
		[2]string{"fileinto a; fileinto b edited; keep edited", all + `fileinto "a"; addheader "X" "y"; fileinto "b"; keep;`},
		[2]string{"keep edited", all + `keep; addheader "X" "y"; keep;`},
	)
	var many strings.Builder
	for i := range 5 {
		many.WriteString(`addheader "X" "y"; fileinto "` + itoa(i) + `";`)
	}
	if got := f.act(t, all+many.String()); !strings.Contains(got, "more than 4 versions") {
		t.Error(got)
	}
	f.message = "X: y\r\n"
	f.check(t, [2]string{"keep edited", all + `deleteheader "x";`}) // nothing is left
	for headerOnly, want := range map[string]string{"X: y": "X: y\r\nZ: 1\r\n", "": "Z: 1\r\n", "\r\nbody": "Z: 1\r\n\r\nbody"} {
		s, _ := Compile([]byte(`require "editheader"; addheader :last "Z" "1";`), Limits{})
		r, err := s.Run(t.Context(), f.env, []byte(headerOnly))
		if err != nil || string(r.Actions[0].(*Keep).Message) != want {
			t.Errorf("%q became %q", headerOnly, r.Actions[0].(*Keep).Message)
		}
	}
}

// TestProtectedFields has edits of a message's author and way: they do nothing, whoever signs the message then.
func TestProtectedFields(t *testing.T) {
	f := fixture{message: "Delivered-To: me@example.com\r\nFrom: a@example.com\r\nAuto-Submitted: auto-replied\r\n\r\n"}
	for _, name := range []string{
		"From", "SENDER", "Resent-From", "resent-sender", "Return-Path", "Delivered-To", "Authentication-Results", "ARC-Seal",
		"ARC-Authentication-Results", "DKIM-Signature", "Received",
	} {
		f.check(t, [2]string{"keep", all + `set "a" "` + name + `"; deleteheader "${a}"; addheader "${a}" "boss@example.com"; addheader :last "` + name + `" "x";`})
	}
	f.check(t, [2]string{"keep", all + `deleteheader "auto-submitted"; deleteheader "delivered-to"; deleteheader :matches "from" "*";`})
}

func TestLongWordsOfAddedFields(t *testing.T) {
	for _, value := range []string{strings.Repeat("a", 5000), "a " + strings.Repeat("b", 800) + " c"} {
		s, err := Compile([]byte(all+`addheader "X" "`+value+`";`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Run(t.Context(), Environment{}, []byte("\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		made := r.Actions[0].(*Keep).Message
		for line := range bytes.SplitSeq(made, []byte("\r\n")) {
			if len(line) > 998 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		if got := newMail(made).header()[0].read(); got != value {
			t.Errorf("%q became %q", value, got)
		}
	}
}

func TestDates(t *testing.T) {
	f := fixture{env: envelope("", ""), message: lines(
		"Received: from a (b; c); Mon, 1 Jan 2024 23:30:00 -0500",
		"Received: from x; Sat, 30 Dec 2023 10:00:00 +0000",
		"Date: Tue, 2 Jan 2024 05:06:07 +0200",
		"X-Bad: 32 Jan 2024 00:00:00 +0000", "", "")}
	f.holds(t,
		`date :originalzone "date" "hour" "05"`, `date "date" "hour" "04"`, `date :zone "-0130" "date" "time" "01:36:07"`,
		`date "received" "weekday" "2"`, `date :originalzone "received" "weekday" "1"`, `date :originalzone "received" "date" "2024-01-01"`,
		`date :index 2 "received" "day" "30"`, `date :index 1 :last "received" "year" "2023"`,
		`date :originalzone "date" "iso8601" "2024-01-02T05:06:07+02:00"`, `date :zone "+0000" "date" "iso8601" "2024-01-02T03:06:07Z"`,
		`date :zone "+0000" "date" "std11" "Tue, 02 Jan 2024 03:06:07 +0000"`, `date :zone "+0000" "date" "zone" "+0000"`, `date "date" "zone" "+0100"`,
		`date "date" "JULIAN" "60311"`, `date "date" "minute" "06"`, `date "date" "second" "07"`, `date "date" "month" "01"`,
		`date :count "eq" "date" "year" "1"`, `date :count "eq" "x-bad" "year" "0"`, `date :count "eq" "none" "year" "0"`,
		`currentdate "iso8601" "2026-11-26T14:05:09+01:00"`, `currentdate :zone "+0000" "hour" "13"`, `currentdate :value "ge" "date" "2026-11-26"`,
		`currentdate "weekday" "4"`, `currentdate :count "eq" "year" "1"`,
	)
	f.holdsNot(t, `date :matches "x-bad" "year" "*"`, `date :matches "none" "year" "*"`, `date :matches :index 3 "received" "year" "*"`)
	f.check(t, [2]string{"fileinto 11-2026", all + `if currentdate :matches "month" "*" { set "month" "${1}"; }
		if currentdate :matches "year"  "*" { set "year"  "${1}"; } fileinto "${month}-${year}";`})
}

func TestIndex(t *testing.T) {
	f := fixture{message: lines("To: a@example.com, b@example.com", "Cc: c@example.com", "To: d@example.com", "", "")}
	f.holds(t, `address :index 2 "to" "d@example.com"`, `address :index 3 ["to", "cc"] "c@example.com"`, `header :index 1 :last ["cc", "to"] "d@example.com"`,
		`address :index 1 :count "eq" "to" "2"`)
	f.holdsNot(t, `address :index 1 "to" "d@example.com"`, `address :index 0 "to" "d@example.com"`, `header :contains :index 4 "to" ""`)
}

func TestBody(t *testing.T) {
	f := fixture{message: lines( // RFC 5173 section 5.2
		"From: Whomever", "Content-Type: multipart/mixed; boundary=outer", "",
		"& This is a multi-part message in MIME format.", "&",
		"--outer", "Content-Type: multipart/alternative; boundary=inner", "",
		"& This is a nested multi-part message in MIME format.", "&",
		"--inner", `Content-Type: text/plain; charset="us-ascii"`, "",
		"$ Hello", "$",
		"--inner", `Content-Type: text/html; charset="us-ascii"`, "",
		"% <html><body>He<b>llo</b></body></html>", "%",
		"--inner--", "&", "& This is the end of the inner MIME multipart.", "&",
		"--outer", "Content-Type: message/rfc822", "",
		"! From: Someone Else", "! Subject: hello request", "",
		"$ Please say Hello", "$",
		"--outer", "Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: base64", "", "R3L832U=",
		"--outer", "Content-Type: application/x-thing", "Content-Transfer-Encoding: quoted-printable", "", "thing =3D =FF",
		"--outer--", "&", "& This is the end of the outer MIME multipart.",
	)}
	f.holds(t,
		`body :content "multipart" :contains "MIME"`, `body :content "multipart" :contains "end of the outer"`, `body :content "multipart" :contains "end of the inner"`,
		`body :content "multipart/alternative" :is "& This is a nested multi-part message in MIME format.`+"\r\n&\"",
		`body :content "text/plain" :contains "Hello"`, `body :content "text" :contains "say Hello"`, `body :content "text/html" :contains "<b>llo"`,
		`body :content "message/rfc822" :contains "Hello request"`,
		`body :text :contains "Hello"`, `body :contains "Grüße"`, `body :content "text" :is "Grüße"`, `body :content "" :contains "thing ="`,
		`body :content "application/x-thing" :contains "thing = ${hex:ff}"`, `body :raw :contains "R3L832U="`, `body :raw :matches "*--outer--*"`,
		`body :count "eq" :content "text/plain" "3"`, `body :content ["image", "application"] :contains ""`,
	)
	f.holdsNot(t,
		`body :content "text" :contains "MIME"`, `body :content "text/html" :contains "Hello"`, `body :content "message/rfc822" :contains "say"`,
		`body :content "text/" :contains ""`, `body :content "/plain" :contains ""`, `body :content "text/plain/x" :contains ""`, `body :content "image" :contains ""`,
		`body :raw :contains "Whomever"`, `body :contains "<b>"`, `body :content "multipart" :contains "--inner"`,
	)
	fixture{message: "X: y\r\n"}.holdsNot(t, `body :raw :is ""`, `body :contains ""`)
	fixture{message: "X: y\r\n\r\n"}.holds(t, `body :raw :is ""`, `body :is ""`)
}

func TestMailboxesAndEnvironment(t *testing.T) {
	f := fixture{message: messageA, env: envelope("a@example.com", "b@example.com")}
	f.env.Exists = func(_ context.Context, name string) (bool, error) { return name == "Partners" || name == "INBOX", nil }
	f.env.Uses = func(_ context.Context, name string, uses []string) (bool, error) {
		return (name == "" || name == "Partners") && len(uses) == 1 && strings.EqualFold(uses[0], `\Junk`), nil
	}
	f.env.Items = map[string]string{"remote-ip": "192.0.2.1"}
	f.holds(t,
		`mailboxexists "Partners"`, `mailboxexists ["INBOX", "Partners"]`, `specialuse_exists "\\Junk"`, `specialuse_exists "Partners" ["\\junk"]`,
		`environment "name" "pennypost"`, `environment :contains "Location" "m"`, `environment "remote-ip" "192.0.2.1"`,
	)
	f.holdsNot(t,
		`mailboxexists ["Partners", "None"]`, `specialuse_exists ["\\Junk", "\\Sent"]`, `specialuse_exists "None" "\\Junk"`, `specialuse_exists "INBOX" "\\Junk"`,
		`environment :contains "unknown" ""`,
	)
	f.check(t,
		[2]string{`fileinto Spam \Junk create (x)`, all + `fileinto :create :specialuse "\\Junk" :flags "x" "Spam";`},
		[2]string{`fileinto INBOX \Junk; keep`, all + `fileinto :specialuse "\\Junk" "INBOX"; keep;`},
	)
	broken := errors.New("no database")
	f.env.Exists = func(context.Context, string) (bool, error) { return false, broken }
	f.env.Seen = func(context.Context, string) (bool, error) { return false, broken }
	f.check(t, [2]string{"error: no database", all + `if mailboxexists "x" {}`}, [2]string{"error: no database", all + `if not duplicate :uniqueid "x" {}`})
}

func TestDuplicate(t *testing.T) {
	f := fixture{message: lines("Message-ID: <1@example.com>", "X-Event: one", "", "")}
	run := func(seen map[string]bool, script string) (*Result, bool) {
		t.Helper()
		s, err := Compile([]byte(all+script), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		env := envelope("", "")
		env.Seen = func(_ context.Context, id string) (bool, error) { return seen[id], nil }
		r, err := s.Run(t.Context(), env, []byte(f.message))
		if err != nil {
			t.Fatal(err)
		}
		return r, describe(r) == "discard"
	}
	const script = `if duplicate { discard; }`
	r, seen := run(nil, script)
	if seen || len(r.Duplicates) != 1 || !r.Duplicates[0].Until.Equal(envelope("", "").Now.Add(7*24*time.Hour)) {
		t.Fatal(r.Duplicates, seen)
	}
	memory := map[string]bool{r.Duplicates[0].ID: true}
	for script, want := range map[string]struct {
		seen       bool
		remembered int
	}{
		script: {true, 0},
		`if duplicate :header "message-id" { discard; }`:                                        {true, 0},
		`if header :matches "message-id" "*" { if duplicate :uniqueid "${0}" { discard; } }`:    {true, 0},
		`if duplicate :last { discard; }`:                                                       {true, 1},
		`if duplicate :handle "x" { discard; }`:                                                 {false, 1},
		`if duplicate :seconds 0 { discard; }`:                                                  {false, 0},
		`if duplicate :header "none" { discard; }`:                                              {false, 0},
		`if duplicate :header "not a name" { discard; }`:                                        {false, 0},
		`if duplicate :header "x-event" { discard; } if duplicate :uniqueid "one" { discard; }`: {false, 1},
		`if duplicate :uniqueid "<1@EXAMPLE.com>" { discard; }`:                                 {false, 1},
		`if anyof (true, duplicate) { keep; }`:                                                  {false, 0},
	} {
		if r, seen := run(memory, script); seen != want.seen || len(r.Duplicates) != want.remembered {
			t.Errorf("%s: seen %t, remembered %v", script, seen, r.Duplicates)
		}
	}
}
