package content

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pennypost/pennypost/internal/mailbox"
)

type inMemory struct {
	*bytes.Reader
	whole []byte
}

func (m inMemory) Close() error  { return nil }
func (m inMemory) Bytes() []byte { return m.whole }

const prefix = "Delivered-To: a@example.com\r\n"

const mail = "From: =?utf-8?q?J=C3=BCrgen?= Smith <j.smith@example.org>\r\nTo: Friends: a@b.example, c@d.example;\r\nCc: \r\n" +
	"Subject: =?iso-8859-1?q?Caf=E9?=\r\n am Abend\r\nDate: Mon, 7 Feb 2022 23:30:00 -0500\r\nX-Note: hidden Treasure\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZSBhdXMgS8O2bG4=\r\n" + // Grüße aus Köln
	"--b\r\nContent-Type: text/html\r\n\r\n<p>two <b>wo</b>rds</p>\r\n" +
	"--b\r\nContent-Type: application/octet-stream\r\n\r\nattached\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner song\r\n\r\nla la\r\n--b--\r\n"

func TestMatcher(t *testing.T) {
	m := Message([]byte(mail), mailbox.Source{Bytes: []byte(mail)})
	whole := []byte(prefix + mail)
	header := func(field, text string) mailbox.Criterion {
		return mailbox.Criterion{Op: mailbox.HeaderHas, Field: field, Text: text}
	}
	text := func(s string) mailbox.Criterion { return mailbox.Criterion{Op: mailbox.TextHas, Text: s} }
	body := func(s string) mailbox.Criterion { return mailbox.Criterion{Op: mailbox.BodyHas, Text: s} }
	sent := func(op mailbox.Op, d int) mailbox.Criterion {
		return mailbox.Criterion{Op: op, Time: time.Date(2022, 2, d, 0, 0, 0, 0, time.UTC)}
	}
	for _, c := range []struct {
		c        mailbox.Criterion
		want     bool
		envelope bool // the envelope alone answers
	}{
		{header("FROM", "jürgen smith"), true, true},
		{header("from", "SMITH@EXAMPLE"), true, true},
		{header("From", "utf-8"), false, true},
		{header("TO", "d.example"), true, true},
		{header("TO", "friends"), true, true},
		{header("Cc", ""), true, false},
		{header("Bcc", ""), false, false},
		{header("SUBJECT", "CAFÉ am"), true, true},
		{header("Subject", "tea"), false, true},
		{header("X-Note", "treasure"), true, false},
		{header("X-None", ""), false, false},
		{header("Delivered-To", "a@example"), true, false},
		{sent(mailbox.SentFrom, 7), true, true},
		{sent(mailbox.SentFrom, 8), false, true},
		{sent(mailbox.SentBefore, 7), false, true},
		{sent(mailbox.SentBefore, 8), true, true},
		{body("grüsse"), false, false},
		{body("GRÜßE AUS"), true, false},
		{body("two words"), true, false},
		{body("attached"), false, false},
		{body("inner song"), true, false},
		{body("la LA"), true, false},
		{body("treasure"), false, false},
		{text("treasure"), true, false},
		{text("x-note: hidden"), true, false},
		{text("köln"), true, false},
		{text("nothing such"), false, false},
	} {
		match, known := Matcher{}.MatchEnvelope(&c.c, m.Envelope)
		if known != c.envelope || known && match != c.want {
			t.Errorf("%+v from the envelope: %v, known %v", c.c, match, known)
		}
		for _, b := range []inMemory{{bytes.NewReader(whole), whole}, {bytes.NewReader(whole), nil}} {
			if match, err := (Matcher{}).Message(m.Structure, b, len(prefix)).Match(&c.c); err != nil || match != c.want {
				t.Errorf("%+v from the message: %v, %v", c.c, match, err)
			}
		}
	}
}

// countingReads is a message behind a prefix whose reads are counted.
type countingReads struct {
	inMemory
	reads int
}

func (c *countingReads) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.inMemory.ReadAt(p, off)
}

// TestManyQuestionsReadAMessageOnce asks as much as a hostile SEARCH may of a message of many parts.
func TestManyQuestionsReadAMessageOnce(t *testing.T) {
	const parts = 300
	whole := []byte("Subject: many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\npart\r\n", parts) + "--b--\r\n")
	m := Message(whole, mailbox.Source{Bytes: whole})
	b := &countingReads{inMemory: inMemory{Reader: bytes.NewReader(whole)}}
	opened := Matcher{}.Message(m.Structure, b, 0)
	for range 100 {
		for _, op := range []mailbox.Op{mailbox.HeaderHas, mailbox.TextHas, mailbox.BodyHas} {
			if match, err := opened.Match(&mailbox.Criterion{Op: op, Field: "subject", Text: "absent"}); match || err != nil {
				t.Fatal(match, err)
			}
		}
	}
	if b.reads > parts+1 {
		t.Errorf("the message was read %d times, which has a header and %d parts", b.reads, parts)
	}
}

func TestNeedleFindsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.StringOfN(rapid.SampledFrom([]rune("aAbBé1")), 0, 8, -1)
		s, n := gen.Draw(t, "s"), rapid.StringOfN(rapid.SampledFrom([]rune("aAbBÉ1")), 0, 3, -1).Draw(t, "needle")
		if got, want := newNeedle(n).in(s), strings.Contains(strings.ToLower(s), strings.ToLower(n)); got != want {
			t.Fatalf("%q in %q: %v", n, s, got)
		}
	})
}
