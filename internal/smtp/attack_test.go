package smtp

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

// What somebody in between put behind STARTTLS is neither answered nor remembered, with other servers and with users.
func TestSTARTTLSInjection(t *testing.T) {
	for name, start := range map[string]func(testing.TB, func(*Config)) *testServer{"inbound": serve, "submission": submission} {
		for attack, injected := range map[string]string{
			"commands":     "C: EHLO injected.test\nC: NONSENSE\nC: QUIT",
			"a message":    "C: EHLO injected.test\nC: MAIL FROM:<a@b.test>\nC: RCPT TO:<ann@example.com>\nC: DATA\nC: forged\nC: .",
			"half a line":  `C> "RSET\r\nMAIL FR"`,
			"a BDAT":       `C> "BDAT 1000\r\nMAIL FROM"`,
			"much of both": "C: " + strings.Repeat("x", 3*readBuffer) + "\nC: EHLO injected.test",
		} {
			t.Run(name+", "+attack, func(t *testing.T) {
				if attack == "much of both" { // what is not read when the handshake begins is no handshake
					start(t, nil).play("S: 220\nC: EHLO client.test\nS* 250\nC: STARTTLS\n" + injected + "\nS: 220 2.0.0\nEND")
					return
				}
				ts := start(t, nil)
				ts.play("S: 220\nC: EHLO client.test\nS* 250\nC: STARTTLS\n" + injected + `
					S: 220 2.0.0
					TLS
					C: MAIL FROM:<ann@example.com>
					S: 503 5.5.1 say EHLO first
					C: NOOP
					S: 250
					C: EHLO again.test
					S* 250
					C: RCPT TO:<ann@example.com>
					S: 503`)
				ts.wantBodies()
			})
		}
	}
}

// What a client sends without waiting is done in its order, or not at all: nothing is taken for a command that is text, nothing is done
// behind an end, and no answer is waited for that nobody reads.
func TestPipeliningAbuse(t *testing.T) {
	for name, script := range map[string]string{
		"the text of a message whose DATA is refused": `
			C: MAIL FROM:<a@b.test>
			C: RCPT TO:<nobody@example.com>
			C: DATA
			C: Subject: forged
			C: MAIL FROM:<admin@example.com>
			C: RCPT TO:<ann@example.com>
			C: DATA
			C: forged
			C: .
			S: 250
			S: 550
			S: 554 5.5.1
			S: 421 4.7.0 mail.test heard another protocol than SMTP
			END`,
		"the text of a message behind DATA, before 354": `
			C: MAIL FROM:<a@b.test>
			C: RCPT TO:<ann@example.com>
			C: DATA
			C: QUIT
			C: .
			C: NOOP
			S: 250
			S: 250
			S: 354
			S: 250 2.0.0 stored
			S: 250 2.0.0 nothing done`,
		"commands behind QUIT": `
			C: QUIT
			C: MAIL FROM:<a@b.test>
			C: RCPT TO:<ann@example.com>
			C: DATA
			C: forged
			C: .
			S: 221
			END`,
		"commands behind BDAT without a size": `
			C: MAIL FROM:<a@b.test>
			C: RCPT TO:<ann@example.com>
			C: BDAT x LAST
			C: RCPT TO:<bob@example.com>
			S: 250
			S: 250
			S: 501 5.5.4
			END`,
		"a chunk that nobody wants": `
			C> "BDAT 45 LAST\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<ann@example.co"
			C: NOOP
			S: 503
			S: 250 2.0.0 nothing done`,
		"a chunk that is too large": `
			C: BDAT 99999999999
			C: MAIL FROM:<a@b.test>
			S: 552 5.3.4
			END`,
		"a second message before the first is answered": `
			C: MAIL FROM:<a@b.test>
			C: MAIL FROM:<c@d.test>
			C: RCPT TO:<ann@example.com>
			S: 250
			S: 503
			S: 250`,
	} {
		t.Run(name, func(t *testing.T) {
			ts := serve(t, nil)
			ts.core.refuse["nobody@example.com"] = fault.New(fault.NotFound, fault.Address, "nobody")
			ts.play("S: 220\nC: EHLO client.test\nS* 250\n" + script)
			for _, s := range ts.core.stored {
				if s.sender.From.Local == "admin" || strings.Contains(s.body, "forged") {
					t.Errorf("stored %+v", s)
				}
			}
		})
	}
}

// Who floods the server with what brings nothing is hung up on, however much of it is under way.
func TestPipelinedFloods(t *testing.T) {
	for name, flood := range map[string]struct{ begin, again, answers string }{
		"commands":   {"", "NOOP\r\n", strings.Repeat("S: 250\n", 9) + "S: 421 4.7.0 mail.test took enough commands\nEND"},
		"errors":     {"", "X\r\n", strings.Repeat("S: 500\n", 5) + "S: 421 4.7.0 mail.test too many errors\nEND"},
		"recipients": {"MAIL FROM:<>\r\n", "RCPT TO:<nobody@example.com>\r\n", "S: 250\n" + strings.Repeat("S: 550\n", 30) + "S: 421 4.7.0 mail.test refused too many recipients\nEND"},
		"messages": {
			"", "MAIL FROM:<>\r\nRCPT TO:<ann@example.com>\r\nBDAT 0 LAST\r\n",
			strings.Repeat("S: 250\n", 3*5) + "S: 421 4.7.0 mail.test took enough messages\nEND",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ts := serve(t, func(c *Config) {
				c.Limits.Commands, c.Limits.Errors, c.Limits.Refused, c.Limits.Messages = 10, 5, 30, 5
			})
			ts.core.refuse["nobody@example.com"] = fault.New(fault.NotFound, fault.Address, "nobody")
			c := ts.play("S: 220\nC: EHLO client.test\nS* 250")
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() { _, _ = io.WriteString(c.conn, flood.begin+strings.Repeat(flood.again, 10_000)) }) // cut off by the server
			c.play(flood.answers)
		})
	}
}

// A browser can be made to post what looks like SMTP; its own lines come first.
func TestOtherProtocolsAreHungUpOn(t *testing.T) {
	const inside = "MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\nforged\r\n.\r\n"
	for name, first := range map[string]string{
		"HTTP": "POST / HTTP/1.1\r\nHost: mail.test:25\r\nContent-Length: 1000\r\n\r\nEHLO a\r\n", "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"CONNECT": "CONNECT mail.test:25 HTTP/1.1\r\n\r\n", "a header": "Subject: x\r\n", "in small letters": "get / HTTP/1.0\r\n",
	} {
		ts := serve(t, nil)
		ts.play(fmt.Sprintf("S: 220\nC> %q\nS= 421 4.7.0 mail.test heard another protocol than SMTP\nEND", first+inside))
		if len(ts.core.bodies()) > 0 {
			t.Errorf("%s: a message was stored", name)
		}
	}
}

// extensions are a session with each that EHLO announces, with users under TLS.
var extensions = map[string]string{
	"PIPELINING":          "C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.com>\nC: DATA\nS: 250\nS: 250\nS: 354\nC: .\nS: 250",
	"SIZE":                "C: MAIL FROM:<ann@example.com> SIZE=100\nS: 250 2.1.0\nC: RSET\nS: 250\nC: MAIL FROM:<ann@example.com> SIZE=41943041\nS: 552 5.3.4",
	"8BITMIME":            "C: MAIL FROM:<ann@example.com> BODY=8BITMIME\nS: 250 2.1.0\nC: RSET\nS: 250\nC: MAIL FROM:<ann@example.com> BODY=BINARYMIME\nS: 501 5.5.4",
	"SMTPUTF8":            "C> \"MAIL FROM:<\u00e4@example.com> SMTPUTF8\\r\\n\"\nS: 250 2.1.0\nC: RSET\nS: 250\nC> \"MAIL FROM:<\u00e4@example.com>\\r\\n\"\nS: 553 5.6.7",
	"CHUNKING":            "C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.com>\nC> \"BDAT 3\\r\\na\\r\\nBDAT 0 LAST\\r\\n\"\nS: 250\nS: 250\nS: 250 2.0.0 3 bytes\nS: 250 2.0.0 stored",
	"ENHANCEDSTATUSCODES": "C: NOOP\nS: 250 2.0.0\nC: X\nS: 500 5.5.1",
	"DSN": "C: MAIL FROM:<ann@example.com> RET=HDRS ENVID=QQ314159\nS: 250\nC: RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@example.com\nS: 250\n" +
		"C: RCPT TO:<bob@example.com> NOTIFY=NEVER,DELAY\nS: 501 5.5.4",
	"REQUIRETLS": "C: MAIL FROM:<ann@example.com> REQUIRETLS\nS: 250 2.1.0",
	"STARTTLS":   "C: STARTTLS\nS: 503 5.5.1 TLS is on already",
	"AUTH":       "C: AUTH PLAIN AA==\nS: 503 5.5.1 you are signed in already\nC: MAIL FROM:<ann@example.com> AUTH=<>\nS: 250",
}

// TestEveryExtension holds that what is announced is there, and that what there is is tested.
func TestEveryExtension(t *testing.T) {
	played := map[string]bool{}
	ts := submission(t, nil)
	c := ts.play("S: 220\nC: EHLO a.test")
	announced := c.reply("250")[1:]
	c.play("C: STARTTLS\nS: 220\nTLS\nC: EHLO a.test")
	announced = append(announced, c.reply("250")[1:]...)
	for _, line := range announced {
		name, _, _ := strings.Cut(line, " ")
		script, ok := extensions[name]
		if !ok {
			t.Errorf("no test plays %s", name)
		}
		if played[name] {
			continue
		}
		played[name] = true
		t.Run(name, func(t *testing.T) {
			ts.t = t
			ts.play(secured + "C: AUTH PLAIN " + annPlain + "\nS: 235\n" + script)
		})
	}
	if len(played) != len(extensions) {
		t.Errorf("%d of %d extensions are announced", len(played), len(extensions))
	}
}
