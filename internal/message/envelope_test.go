package message

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// showEntries writes a list as name|local|domain, with route: before local where there is one, groups in braces.
func showEntries(list []Entry) string {
	var out []string
	for _, e := range list {
		switch e.Kind {
		case GroupStart:
			out = append(out, e.Name+"{")
		case GroupEnd:
			out = append(out, "}")
		default:
			if e.Route != "" {
				e.Local = e.Route + ":" + e.Local
			}
			out = append(out, e.Name+"|"+e.Local+"|"+e.Domain)
		}
	}
	return strings.Join(out, " ")
}

func TestParseAddressList(t *testing.T) {
	for in, want := range map[string]string{
		// RFC 5322 appendix A.1
		"John Doe <jdoe@machine.example>":                                  "John Doe|jdoe|machine.example",
		"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>":    "Mary Smith|mary|x.test |jdoe|example.org Who?|one|y.test",
		`<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>`:  `|boss|nil.test Giant; "Big" Box|sysservices|example.net`,
		"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;": "A Group{ Ed Jones|c|a.test |joe|where.test John|jdoe|one.test }",
		"Undisclosed recipients:;":                                         "Undisclosed recipients{ }",
		// appendix A.5 and A.6
		`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`:            "Pete|pete|silly.test",
		"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;":          "Hidden recipients{ }",
		"Joe Q. Public <john.q.public@example.com>":                                "Joe Q. Public|john.q.public|example.com",
		"Mary Smith <@node.test,@x.test:mary@example.net>, , jdoe@test  . example": "Mary Smith|@node.test,@x.test:mary|example.net |jdoe|test.example",
		// what senders do
		"ann@example.com (Ann Lee)":           "Ann Lee|ann|example.com",
		`"ann@example.com" <ann@example.com>`: "ann@example.com|ann|example.com",
		"=?utf-8?Q?A=C3=A9?= <a@b.com>":       "=?utf-8?Q?A=C3=A9?=|a|b.com",
		`"a b"@example.com`:                   "|a b|example.com",
		"a@b@c":                               "|a@b|c",
		"just words":                          "|just words|",
		"Lee, Ann <ann@example.com>":          "|Lee| Ann|ann|example.com",
		"<a@b.com":                            "|a|b.com",
		"A <a@b.com, C <c@d.com>":             "A|a|b.com C|c|d.com",
		"<>":                                  "||",
		"a@[192.0.2.1]":                       "|a|[192.0.2.1]",
		`"never closed <a@b.com>`:             "|never closed <a@b.com>|",
		"group: a@b.com":                      "group{ |a|b.com }",
		"a@b.com; c@d.com":                    "|a|b.com |c|d.com",
		"a@b.com>, c@d.com)":                  "|a|b.com |c|d.com",
		"\xe9t\xe9 <a@b.com>":                 "\xe9t\xe9|a|b.com",
		"":                                    "",
	} {
		if got := showEntries(ParseAddressList(in)); got != want {
			t.Errorf("%q\n got %s\nwant %s", in, got, want)
		}
	}
}

func FuzzParseAddressList(f *testing.F) {
	f.Add("A Group:Ed Jones <c@a.test>,joe@where.test;, \"x\\\"\" <@a,@b:c@d> (c(d)e)")
	f.Fuzz(func(t *testing.T, s string) {
		open := 0
		for _, e := range ParseAddressList(s) {
			switch e.Kind {
			case GroupStart:
				open++
			case GroupEnd:
				open--
			}
			if open < 0 || open > 1 {
				t.Fatalf("%q: groups do not nest", s)
			}
		}
		if open != 0 {
			t.Fatalf("%q: a group never ends", s)
		}
	})
}

func TestParseEnvelope(t *testing.T) {
	e := ParseEnvelope(crlf(`Date: Mon, 23 Nov 2026 14:05:06 +0100
Subject: Re: [list] =?utf-8?Q?Caf=C3=A9?=
  plans (fwd)
From: Ann <ann@example.com>
Sender: bob@example.com
To: a@x.com
To: <@y.com, @[192.0.2.1] : b@x.com>
Cc: Team: c@x.com;
Message-ID: <3@x>
In-Reply-To: <2@x> "old phrase"
References: <0@x>
	junk <1@x> <2@
 x>
Subject: second

From: not a header`))
	want := Envelope{
		Date: "Mon, 23 Nov 2026 14:05:06 +0100", Sent: time.Date(2026, 11, 23, 14, 5, 6, 0, time.FixedZone("", 3600)),
		Subject: "Re: [list] =?utf-8?Q?Caf=C3=A9?=  plans (fwd)",
		From:    []Entry{{Name: "Ann", Local: "ann", Domain: "example.com"}}, Sender: []Entry{{Local: "bob", Domain: "example.com"}},
		To:        []Entry{{Local: "a", Domain: "x.com"}, {Local: "b", Domain: "x.com", Route: "@y.com,@[192.0.2.1]"}},
		Cc:        []Entry{{Kind: GroupStart, Name: "Team"}, {Local: "c", Domain: "x.com"}, {Kind: GroupEnd}},
		InReplyTo: `<2@x> "old phrase"`, MessageID: "<3@x>", BaseSubject: "café plans", References: []string{"0@x", "1@x", "2@x"},
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
	coded := e.AppendBinary(nil)
	again, err := DecodeEnvelope(coded)
	if err != nil || !reflect.DeepEqual(*again, e) {
		t.Errorf("coded and read: %+v, %v", again, err)
	}
	for i := range coded {
		if _, err := DecodeEnvelope(coded[:i]); err == nil {
			t.Errorf("%d of %d bytes read as an envelope", i, len(coded))
		}
	}
	if _, err := DecodeEnvelope(append([]byte{99}, coded[1:]...)); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("an unknown version reads: %v", err)
	}
}

func TestLongListsOfReferencesKeepTheirEnds(t *testing.T) {
	var b strings.Builder
	b.WriteString("References:")
	for i := range 300 {
		fmt.Fprintf(&b, " <%d@x>", i)
	}
	refs := ParseEnvelope([]byte(b.String())).References
	if len(refs) != MaxReferences || refs[0] != "0@x" || refs[1] != "201@x" || refs[99] != "299@x" {
		t.Errorf("%d references: %v", len(refs), refs)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte("Date: Mon, 23 Nov 2026 14:05:06 +0100\r\nFrom: a <b@c>\r\nReferences: <1@x> <2\r\n\r\n"))
	f.Add([]byte("Date: 1 Jan 70 00:00:00 -9999\r\nTo: g: a, b;, c\r\nSubject: =?x?q?=\x00?=\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := ParseEnvelope(b)
		coded := e.AppendBinary(nil)
		again, err := DecodeEnvelope(coded)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.AppendBinary(nil), coded) || !again.Sent.Equal(e.Sent) {
			t.Fatalf("coded and read: %+v, want %+v", again, e)
		}
	})
}

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 21 Nov 1997 09:55:06 -0600":                       "1997-11-21T09:55:06-06:00",
		"Tue, 1 Jul 2003 10:52:37 +0200":                        "2003-07-01T10:52:37+02:00",
		"Thu, 13 Feb 1969 23:32 -0330":                          "1969-02-13T23:32:00-03:30",
		"Thu,\t13\tFeb 1969 23:32:54 -0330 (Newfoundland Time)": "1969-02-13T23:32:54-03:30",
		"21 Nov 97 09:55:06 GMT":                                "1997-11-21T09:55:06Z",
		"21 Nov 102 09:55:06 EST":                               "2002-11-21T09:55:06-05:00",
		"1 Jan 26 00:00:00 ZZZ":                                 "2026-01-01T00:00:00Z",
		"Mon Nov 23 12:00:00 2026":                              "2026-11-23T12:00:00Z",
		"Mon, 23-Nov-2026 12:00:00 UT":                          "2026-11-23T12:00:00Z",
		"Mon, 23 November 2026 12:00:00+0100":                   "2026-11-23T12:00:00+01:00",
		"23 Nov 2026":                                           "2026-11-23T00:00:00Z",
		"Mon, 23 Nov 2026 23:59:60 +0000":                       "2026-11-23T23:59:59Z",
		"Mon, 23 Nov 2026 12:00:00.123 +01:00":                  "2026-11-23T12:00:00+01:00",
	} {
		got, ok := ParseDate(in)
		if s := got.Format(time.RFC3339); !ok || s != want {
			t.Errorf("ParseDate(%q) = %s, %v; want %s", in, s, ok, want)
		}
	}
	for _, in := range []string{"", "yesterday", "31 Feb 2026 00:00:00 +0000", "1 Jan 2026 25:00:00 +0000", "1 Jan 2026 00:61 +0000", "Jan 2026", "99999999999 Jan 1"} {
		if got, ok := ParseDate(in); ok {
			t.Errorf("ParseDate(%q) = %v", in, got)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for in, want := range map[string]string{
		"Hello": "hello", "Re: Hello": "hello", "RE: re: Fwd: hello (fwd) (FWD)": "hello", "Re[2]: Hello": "hello", "[list] Hello": "hello",
		"[list] Re: [list] hello": "hello", "[fwd: Re: hello]": "hello", "Fw: [Fwd: hello] ": "hello", "[only]": "[only]", "Re:": "", "Re :a  b\tc": "a b c",
		"=?utf-8?Q?RE=3A_=C3=89t=C3=A9?=": "été", "Re: [a] [b] c": "c", "reply": "reply", "[[x]] y": "[[x]] y", "fwd [x]: y": "y", "a\x00b": "ab",
	} {
		if got := BaseSubject(in); got != want {
			t.Errorf("BaseSubject(%q) = %q, want %q", in, got, want)
		}
	}
	if got := BaseSubject(strings.Repeat("é", 1000)); got != strings.Repeat("é", 250) {
		t.Errorf("a long subject keeps %d bytes", len(got))
	}
}
