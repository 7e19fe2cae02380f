package journal

import (
	"bytes"
	"mime"
	"mime/multipart"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/secret"
)

func address(s string) message.Address {
	a, err := message.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

var rule = &Rule{To: address("archive@far.example"), Failures: address("it@acme.example"), From: address("amazonjournaling@acme.awsapps.com")}

var date = time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)

func wrap(r *Report, original string) []byte { return slices.Concat(r.Wrap([]byte(original))...) }

// TestReportIsExchanges is the form that archives read, byte for byte.
func TestReportIsExchanges(t *testing.T) {
	r := Report{
		ID: "unique.mark@journal.report.generator", Rule: rule, Date: date, Sender: "ann@acme.example", OnBehalfOf: "sales@acme.example",
		Subject: "Offer", MessageID: "<1@acme.example>",
		Recipients: []Recipient{
			{Kind: To, Address: "bob@acme.example"},
			{Kind: Cc, Address: "cyd@acme.example", Expanded: "team@acme.example"},
			{Kind: Bcc, Address: "dan@old.example", Forwarded: "dan@acme.example"},
			{Kind: RecipientKind, Address: "eve@far.example"},
		},
	}
	const want = `From: <amazonjournaling@acme.awsapps.com>
To: <archive@far.example>
Subject: Offer
Date: Thu, 26 Nov 2026 04:00:00 +0000
Message-ID: <unique.mark@journal.report.generator>
X-MS-Journal-Report:
X-MS-Exchange-Parent-Message-Id: <1@acme.example>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: multipart/mixed;
	boundary="B"

--B
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Sender: ann@acme.example
On-Behalf-Of: sales@acme.example
Subject: Offer
Message-Id: <1@acme.example>
To: bob@acme.example
Cc: cyd@acme.example, Expanded: team@acme.example
Bcc: dan@old.example, Forwarded: dan@acme.example
Recipient: eve@far.example

--B
Content-Type: message/rfc822
Content-Transfer-Encoding: 7bit

Subject: Offer

body

--B--
`
	got := regexp.MustCompile(`=_[-0-9a-f]{36}`).ReplaceAll(wrap(&r, "Subject: Offer\r\n\r\nbody\r\n"), []byte("B"))
	if string(got) != strings.ReplaceAll(want, "\n", "\r\n") {
		t.Errorf("the report is\n%s", got)
	}
}

// TestReportHoldsAnything: the message comes out as it went in, whatever its bytes are, and no text breaks the lines of the first part.
func TestReportHoldsAnything(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for name, c := range map[string]struct {
		original, subject, id string
		encoding              string // of the message
		line                  string // of the first part
	}{
		"plain":                   {"a: b\r\n\r\nc\r\n", "s", "<i@x>", "", "Subject: s"},
		"no subject, no id":       {"a: b\r\n\r\nc\r\n", "", "", "", "Message-Id:"},
		"no line end":             {"a: b\r\n\r\nc", "s", "<i@x>", "", "Subject: s"},
		"8 bit":                   {"a: b\r\n\r\nc\xe4\r\n", "Grüße aus Köln", "<i@x>", "8bit", "Subject: Grüße aus Köln"},
		"a long line":             {"a: b\r\n\r\n" + long + "\r\n", long, "<i@x>", "binary", "Subject: " + long[:900]},
		"bare LF and NUL":         {"a: b\n\nc\x00\r\n", "s", "<i@x>", "binary", "Subject: s"},
		"a bare CR":               {"a: b\r\n\r\nc\rd\r\n", "s", "<i@x>", "binary", "Subject: s"},
		"a boundary":              {"a: b\r\n\r\n--=_\r\n--\r\n", "s", "<i@x>", "", "Subject: s"},
		"a subject of two lines":  {"a: b\r\n\r\nc\r\n", "s\r\nRecipient: eve@x\u2028y", "<i@x>", "", "Subject: s  Recipient: eve@x y"},
		"an encoded-looking one":  {"a: b\r\n\r\nc\r\n", "=?utf-8?q?x?=", "<i@x>", "", "Subject: =?utf-8?q?x?="},
		"an id of two lines":      {"a: b\r\n\r\nc\r\n", "s", "<i\r\nTo: y@x>", "", "Message-Id: <iTo:y@x>"},
		"broken UTF-8, cut":       {"a: b\r\n\r\nc\r\n", strings.Repeat("x", 899) + "ä\xff", "<i@x>", "", "Subject: " + long[:899]},
		"nothing in it":           {"", "s", "<i@x>", "", "Subject: s"},
		"a part of another":       {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx", "s", "<i@x>", "", "Subject: s"},
		"a header without a body": {"a: b\r\n", "s", "<i@x>", "", "Subject: s"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Report{ID: "u@journal.report.generator", Rule: rule, Date: date, Sender: "ann@x.example", Subject: c.subject, MessageID: c.id, Recipients: []Recipient{{Kind: To, Address: "bob@x.example"}}}
			whole := wrap(&r, c.original)
			m, err := mail.ReadMessage(bytes.NewReader(whole))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Header.Get("Content-Transfer-Encoding"); got != c.encoding {
				t.Errorf("the report is %q, want %q", got, c.encoding)
			}
			head, _, _ := bytes.Cut(whole, []byte("\r\n\r\n"))
			for line := range bytes.Lines(head) {
				if len(line) > 998 || bytes.ContainsFunc(line, func(r rune) bool { return r >= 128 }) {
					t.Errorf("the header has the line %q", line)
				}
			}
			_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
			if err != nil {
				t.Fatal(err)
			}
			parts := multipart.NewReader(m.Body, params["boundary"])
			first, err := parts.NextPart() // which decodes quoted-printable
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if _, err := text.ReadFrom(first); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(text.String(), "\r\n")
			if len(lines) != 5 || !strings.Contains(text.String(), c.line+"\r\n") {
				t.Errorf("the first part is %q", text.String())
			}
			second, err := parts.NextRawPart()
			if err != nil {
				t.Fatal(err)
			}
			var original bytes.Buffer
			if _, err := original.ReadFrom(second); err != nil || original.String() != c.original {
				t.Errorf("the message is %q, %v", original.String(), err)
			}
		})
	}
}

// TestReturnedReportsAreKnown: an organisation's own, for a while, also in another server's report, and no others.
func TestReturnedReportsAreKnown(t *testing.T) {
	const org = 7
	now := clock.NewFake(date)
	service := func() *Service { return New(Options{Root: secret.Ephemeral(), Clock: now}) }
	s, other := service(), service()
	id := s.NewID(org)
	report := wrap(&Report{ID: id, Rule: rule, Date: date}, "a: b\r\n\r\nc\r\n")
	nested := wrap(&Report{ID: other.NewID(org), Rule: rule, Date: date, MessageID: "<" + id + ">"}, string(report))
	for name, c := range map[string]struct {
		m    []byte
		want bool
	}{
		"its own":                {report, true},
		"passed on":              {append([]byte("Received: x\r\n"), report...), true},
		"in another's":           {nested, true},
		"another's":              {wrap(&Report{ID: other.NewID(org), Rule: rule, Date: date}, "a: b\r\n\r\nc\r\n"), false},
		"another organisation's": {wrap(&Report{ID: s.NewID(org + 1), Rule: rule, Date: date}, "a: b\r\n\r\nc\r\n"), false},
		"made up":                {[]byte("X-MS-Journal-Report:\r\nMessage-ID: <" + strings.Repeat("0", 36) + ".00000000." + strings.Repeat("0", 20) + "@journal.report.generator>\r\n\r\n"), false},
		"short":                  {[]byte("X-MS-Journal-Report:\r\n@journal.report.generator@journal.report.generator"), false},
		"an answer to it":        {[]byte("In-Reply-To: <" + id + ">\r\n\r\n"), false},
		"forwarded as a message": {append([]byte("Content-Type: message/rfc822\r\n\r\n"), report...), false},
	} {
		if got := s.IsReturned(org, c.m); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	now.Advance(returnsFor)
	if s.IsReturned(org, report) {
		t.Error("an old one is known")
	}
}
