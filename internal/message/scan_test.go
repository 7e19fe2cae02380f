package message

import (
	"fmt"
	"strings"
	"testing"
)

// crlf turns the line feeds of a readable test message into the line breaks of mail.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// show writes a structure as one line per part: its depth, type, body and lines.
func show(b []byte, s *Structure) string {
	var out strings.Builder
	for _, p := range s.Parts {
		depth := 0
		for up := p.Parent; up >= 0; up = s.Parts[up].Parent {
			depth++
		}
		body := string(b[p.BodyStart:p.End])
		if len(p.Children) > 0 {
			body = "…"
		}
		fmt.Fprintf(&out, "%s%s/%s %d %q\n", strings.Repeat(" ", depth), p.Type, p.Subtype, p.Lines, body)
	}
	return out.String()
}

// Each case is a message and the parts that must be found in it.
var scanCases = []struct{ name, in, want string }{
	{"empty", "", `text/plain 0 ""` + "\n"},
	{"no header", "\nbody\n", `text/plain 1 "body\r\n"` + "\n"},
	{"no body", "Subject: x\n", `text/plain 0 ""` + "\n"},
	{"no colon and an mbox line", "From ann@example.com Mon Jan  1 00:00:00 2026\nbroken\nContent-Type: text/html\n\nx", `text/html 0 "x"` + "\n"},
	{"a folded first line", " folded\nContent-Type: text/html\n\nx\n", `text/html 1 "x\r\n"` + "\n"},
	{"RFC 2046 5.1.1", `Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

It DOES end with a linebreak.

--simple boundary--

This is the epilogue.
`, `multipart/mixed 14 "…"
 text/plain 1 "This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak."
 text/plain 1 "It DOES end with a linebreak.\r\n"
`},
	{"nested, inner end missing", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\n1\n--b\n\n2\n--a\n\n3\n--a--\n", `multipart/mixed 13 "…"
 multipart/alternative 5 "…"
  text/plain 0 "1"
  text/plain 0 "2"
 text/plain 0 "3"
`},
	{"boundary that begins with another", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a-\n\n--a-\n\n1\n--a---\n--a\n\n2\n--a--\n", `multipart/mixed 11 "…"
 multipart/mixed 3 "…"
  text/plain 0 "1"
 text/plain 0 "2"
`},
	{"same boundary inside", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a--\n--a\n\n2\n--a--\n", `multipart/mixed 11 "…"
 multipart/mixed 3 "…"
  text/plain 0 "1"
 text/plain 0 "2"
`},
	{"no boundary parameter", "Content-Type: multipart/mixed\n\n--a\n\n1\n--a--\n", `multipart/mixed 4 "…"
 text/plain 4 "--a\r\n\r\n1\r\n--a--\r\n"
`},
	{"boundary never seen", "Content-Type: multipart/mixed; boundary=zzz\n\nhello\n", `multipart/mixed 1 "…"
 text/plain 1 "hello\r\n"
`},
	{"white space after the delimiter", "Content-Type: multipart/mixed; boundary=a\n\n--a \t\n\n1\n--a-- \n", `multipart/mixed 4 "…"
 text/plain 0 "1"
`},
	{"more after the delimiter is text", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--ab\n--a--x\n", `multipart/mixed 5 "…"
 text/plain 3 "1\r\n--ab\r\n--a--x\r\n"
`},
	{"message inside", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: in\nContent-Type: text/html\n\nx\ny\n--a--\n", `multipart/mixed 9 "…"
 message/rfc822 4 "…"
  text/html 1 "x\r\ny"
`},
	{"digest", "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: 1\n\none\n--a\nContent-Type: text/plain\n\ntwo\n--a--\n", `multipart/digest 10 "…"
 message/rfc822 2 "…"
  text/plain 0 "one"
 text/plain 0 "two"
`},
	{"header ended by a delimiter", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n--a\nContent-Type: message/rfc822\n--a--\n", `multipart/mixed 5 "…"
 text/html 0 ""
 message/rfc822 0 "…"
  text/plain 0 ""
`},
	{"end without beginning", "Content-Type: multipart/mixed; boundary=a\n\n--a--\nrest\n", `multipart/mixed 2 "…"
 text/plain 2 "--a--\r\nrest\r\n"
`},
	{"8-bit boundary and a quoted one never closed", "Content-Type: multipart/mixed; boundary=\"\xff(b\n\n--\"\xff(b\n\n1\n--\"\xff(b--\n", `multipart/mixed 4 "…"
 text/plain 4 "--\"\xff(b\r\n\r\n1\r\n--\"\xff(b--\r\n"
`},
}

func TestScanFindsParts(t *testing.T) {
	for _, c := range scanCases {
		t.Run(c.name, func(t *testing.T) {
			b := crlf(c.in)
			if got := show(b, Scan(b)); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}
