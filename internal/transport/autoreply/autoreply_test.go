package autoreply

import (
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

func TestAnswerable(t *testing.T) {
	ann := message.Address{Local: "ann", Domain: "a.example"}
	for header, want := range map[string]bool{
		"":                                     true,
		"Auto-Submitted: no; x=y\r\n":          true,
		"Auto-Submitted: auto-replied\r\n":     false,
		"List-Unsubscribe: <x>\r\n":            false,
		"Precedence: Bulk\r\n":                 false,
		"Precedence: first-class\r\n":          true,
		"X-Auto-Response-Suppress: DR, OOF":    false,
		"X-Auto-Response-Suppress: DR, RN\r\n": true,
		"Content-Type: multipart/report; x=y":  false,
		"Content-Type: text/plain\r\n":         true,
	} {
		if Answerable([]byte(header+"\r\n\r\n"), ann) != want {
			t.Errorf("%q: not %v", header, want)
		}
	}
	for local, want := range map[string]bool{"": false, "MAILER-DAEMON": false, "x-request": false, "owner-x": false, "no-reply": false, "request": true} {
		a := message.Address{Local: local, Domain: "a.example"}
		if local == "" {
			a = message.Address{}
		}
		if Answerable(nil, a) != want {
			t.Errorf("%q: not %v", local, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"away <soon>\n & back": "away <soon>\n & back",
		" <html><head><style>p{}</style><title>x</title></head><body><p>Hi,</p><p>I&#39;m <b>a</b>way<br/>till 5 &lt; 6</p>\n<!-- <p>no</p> --><script>alert('</p>')</script></body></html>": "Hi,\nI'm away\ntill 5 < 6",
	} {
		if got := Plain(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestCompose(t *testing.T) {
	r := &Reply{
		From: `"Ann" <ann@a.example>`, To: message.Address{Local: "b b", Domain: "b.example"}, ID: "1@a.example", Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Subject: Subject("Auto: ", []byte("Subject: a\r\n\tb\r\n\r\n")), About: []byte("Message-ID: <m\xff@b.example>\r\n\r\n"), Text: "one\ntwo =\r\n",
	}
	want := "From: \"Ann\" <ann@a.example>\r\nTo: <\"b b\"@b.example>\r\nSubject: Auto: a b\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@a.example>\r\n" +
		"Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n"
	if got := string(Compose(r)); got != want+"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\none\r\ntwo =3D\r\n\r\n" {
		t.Errorf("the reply is %s", got)
	}
	r.Entity, r.Text = true, "Bcc: x@y.example\nContent-Type: text/html\n\n<p>one</p>\n"
	if got := string(Compose(r)); got != want+"Content-Type: text/html\r\n\r\n<p>one</p>\r\n" {
		t.Errorf("the reply is %s", got)
	}
	r.Subject = strings.Repeat("ü", 1000) + "\r\nBcc: x"
	for line := range strings.Lines(string(Compose(r))) {
		if len(line) > 100 || strings.HasPrefix(line, "Bcc") {
			t.Errorf("a line is %q", line)
		}
	}
}
