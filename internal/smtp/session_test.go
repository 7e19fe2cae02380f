package smtp

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
)

// begun is the beginning of a message, up to DATA.
const begun = `
	S: 220 mail.test ESMTP
	C: EHLO client.test
	S* 250
	C: MAIL FROM:<sender@other.test>
	S: 250 2.1.0
	C: RCPT TO:<ann@example.com>
	S: 250 2.1.5
`

func TestMessageIsTakenIn(t *testing.T) {
	ts := serve(t, nil)
	ts.play(begun + `
		C: DATA
		S: 354
		C: Subject: x
		C:
		C: ..dot
		C: .
		S: 250 2.0.0 stored as
		C: QUIT
		S: 221 2.0.0
		END`)
	ts.wantBodies("Subject: x\r\n\r\n.dot\r\n")
	got := ts.core.stored[0]
	if got.sender.From != (message.Address{Local: "sender", Domain: "other.test"}) || got.sender.Submitted || got.sender.Principal.Kind != principal.System {
		t.Errorf("sender %+v", got.sender)
	}
	if !slices.Equal(got.to, []string{"ann@example.com"}) {
		t.Errorf("recipients %v", got.to)
	}
	want := "Received: from client.test ([127.0.0.1])\r\n\tby mail.test with ESMTP id "
	if !strings.HasPrefix(got.trace, want) || !strings.HasSuffix(got.trace, "\r\n\tfor <ann@example.com>;\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n") {
		t.Errorf("trace %q", got.trace)
	}
}

func TestGreeting(t *testing.T) {
	all := []string{"mail.test greets you", "PIPELINING", "SIZE 41943040", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"}
	with := func(more ...string) []string { return slices.Concat(all, more) }
	c := serve(t, nil).play("S: 220\nC: EHLO a.test")
	if got := c.reply("250"); !slices.Equal(got, with("STARTTLS")) {
		t.Errorf("inbound, plain: %q", got)
	}
	c.play("C: STARTTLS\nS: 220 2.0.0\nTLS\nC: EHLO a.test")
	if got := c.reply("250"); !slices.Equal(got, with("REQUIRETLS")) {
		t.Errorf("inbound, TLS: %q", got)
	}
	c = submission(t, nil).play("S: 220\nC: EHLO a.test")
	if got := c.reply("250"); !slices.Equal(got, with("DSN", "STARTTLS")) {
		t.Errorf("submission, plain: %q", got)
	}
	c.play("C: STARTTLS\nS: 220 2.0.0\nTLS\nC: EHLO a.test")
	if got := c.reply("250"); !slices.Equal(got, with("DSN", "REQUIRETLS", "AUTH PLAIN LOGIN")) {
		t.Errorf("submission, TLS: %q", got)
	}
	c.play("C: HELO a.test\nS= 250 mail.test")
}

// Each line is refused as it says, and the session goes on.
func TestRefusedCommands(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Errors = 1000; c.TLS = nil })
	ts.core.refuse["nobody@example.com"] = fault.New(fault.NotFound, fault.Address, "nobody@example.com is not known here")
	ts.play(`
		S: 220
		C: MAIL FROM:<a@b.test>
		S: 503 5.5.1
		C: RCPT TO:<a@b.test>
		S: 503 5.5.1
		C: DATA
		S: 503 5.5.1
		C: EHLO
		S: 501 5.5.4
		C: EHLO two words
		S: 501 5.5.4
		C: EHLO x<y
		S: 501 5.5.4
		C: NONSENSE
		S: 500 5.5.1
		C:
		S: 500 5.5.1
		C: STARTTLS
		S: 502 5.5.1
		C: AUTH PLAIN
		S: 502 5.5.1
		C: EXPN list
		S: 502 5.5.1
		C: RSET now
		S: 501 5.5.4
		C: QUIT now
		S: 501 5.5.4
		C> "NOOP \x00\r\n"
		S: 500 5.5.2
		C> "NOOP\n"
		S: 500 5.5.2
		C> "NO\rOP\r\n"
		S: 500 5.5.2
		C> "NOOP\r\r\n"
		S: 500 5.5.2
		C: NOOP anything goes
		S: 250 2.0.0
		C: VRFY ann
		S: 252 2.5.2
		C: HELP
		S: 214 2.0.0
		C: EHLO client.test
		S* 250
		C: MAIL
		S: 501 5.5.4
		C: MAIL TO:<a@b.test>
		S: 501 5.5.4
		C: MAIL FROM:a@b.test
		S: 501 5.1.3
		C: MAIL FROM:<a@b.test
		S: 501 5.1.3
		C: MAIL FROM:<a>
		S: 501 5.1.3
		C: MAIL FROM:<a@b.test>SIZE=1
		S: 501 5.5.4
		C: MAIL FROM:<a@b.test> SIZE=x
		S: 501 5.5.4
		C: MAIL FROM:<a@b.test> SIZE=-1
		S: 501 5.5.4
		C: MAIL FROM:<a@b.test> SIZE=41943041
		S: 552 5.3.4
		C: MAIL FROM:<a@b.test> SIZE=99999999999999999999999
		S: 552 5.3.4
		C: MAIL FROM:<a@b.test> SIZE=
		S: 501 5.5.4
		C: MAIL FROM:<a@b.test> SIZE=1 SIZE=1
		S: 501 5.5.4
		C: MAIL FROM:<a@b.test> BODY=BINARYMIME
		S: 501 5.5.4
		C: MAIL FROM:<a@b.test> MT-PRIORITY=3
		S= 555 5.5.4 the parameter MT-PRIORITY is not known here
		C: MAIL FROM:<a@b.test> BY=120;R
		S: 555 5.5.4
		C: MAIL FROM:<a@b.test> AUTH=<>
		S: 555 5.5.4
		C: MAIL FROM:<a@b.test> SMTPUTF8=1
		S: 555 5.5.4
		C> "MAIL FROM:<\u00e4@b.test>\r\n"
		S: 553 5.6.7
		C> "MAIL FROM:<\xe4@b.test> SMTPUTF8\r\n"
		S: 501 5.1.3
		C: MAIL FROM:<> SIZE=41943040 BODY=8bitmime
		S: 250 2.1.0
		C: MAIL FROM:<>
		S: 503 5.5.1
		C: RCPT FROM:<a@b.test>
		S: 501 5.5.4
		C: RCPT TO:<>
		S: 501 5.1.3
		C: RCPT TO:<a@b.test> RRVS=2026-11-25T00:00:00Z
		S: 555 5.5.4
		C> "RCPT TO:<\u00e4@b.test>\r\n"
		S: 553 5.6.7
		C: RCPT TO:<nobody@example.com>
		S= 550 5.1.1 nobody@example.com is not known here
		C: DATA
		S: 554 5.5.1
		C: RCPT TO:<Postmaster>
		S: 250 2.1.5
		C: RCPT TO: <ann@example.com>
		S: 250 2.1.5
		C: DATA now
		S: 501 5.5.4
		C: RSET
		S: 250 2.0.0
		C: RCPT TO:<ann@example.com>
		S: 503 5.5.1
		C: QUIT
		S: 221
		END`)
	ts.wantBodies()
}

func TestUTF8AddressesAreTaken(t *testing.T) {
	ts := serve(t, nil)
	ts.play(`
		S: 220
		C: EHLO client.test
		S* 250
		C> "MAIL FROM:<δ@παράδειγμα.test> SMTPUTF8\r\nRCPT TO:<\u00e4@example.com>\r\nDATA\r\n"
		S: 250
		S: 250
		S: 354
		C: x
		C: .
		S: 250`)
	if got := ts.core.stored[0]; got.sender.From.Local != "δ" || got.to[0] != "ä@example.com" || !strings.Contains(got.trace, "with UTF8SMTP id") {
		t.Errorf("%+v", got)
	}
}

func TestPipelinedRepliesComeInOneWrite(t *testing.T) {
	ts := serve(t, nil)
	c := ts.play(`
		S: 220
		C: EHLO client.test
		S* 250
		C: MAIL FROM:<a@b.test>
		C: RCPT TO:<ann@example.com>
		C: RCPT TO:<bob@example.com>
		C: DATA
	`)
	buf := make([]byte, 4096)
	n, err := c.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(buf[:n]), "\r\n"); got != 4 || !strings.Contains(string(buf[:n]), "354") {
		t.Errorf("the first read has %q, wanted all four replies", buf[:n])
	}
	c.play(`
		C: one
		C: .
		C: MAIL FROM:<a@b.test>
		C: RCPT TO:<ann@example.com>
		C: DATA
		S: 250 2.0.0 stored
		S: 250 2.1.0
		S: 250 2.1.5
		S: 354
		C: two
		C: .
		C: QUIT
		S: 250 2.0.0 stored
		S: 221
		END`)
	ts.wantBodies("one\r\n", "two\r\n")
}

func TestTooManyErrorsEndTheSession(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Errors = 2 })
	ts.play("S: 220\nC: A\nC: B\nC: C\nS: 500\nS: 500\nS: 421 4.7.0\nEND")
}

func TestTooManyRefusedRecipientsEndTheSession(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Refused = 1 })
	ts.core.refuse["x@example.com"] = fault.New(fault.NotFound, fault.Address, "x")
	ts.play(begun + `
		C: RCPT TO:<x@example.com>
		S: 550
		C: RCPT TO:<x@example.com>
		S: 421 4.7.0
		END`)
}

func TestTooManyMessagesEndTheSession(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Messages = 1 })
	ts.play(begun + `
		C: DATA
		S: 354
		C: .
		S: 250
		C: MAIL FROM:<>
		S: 421 4.7.0
		END`)
}

func TestTooManyIdleCommandsEndTheSession(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Commands = 4 })
	ts.play(begun + `
		C: RCPT TO:<bob@example.com>
		S: 250
		C: DATA
		S: 354
		C: .
		S: 250
		# a message makes room for more
		C: NOOP
		C: RSET
		C: HELP
		C: VRFY x
		C: NOOP
		S: 250
		S: 250
		S: 214
		S: 252
		S: 421 4.7.0
		END`)
}

func TestLongCommandLines(t *testing.T) {
	ts := serve(t, nil)
	c := ts.play("S: 220")
	for _, n := range []int{commandLimit - 2, commandLimit - 1, readBuffer - 1, readBuffer, readBuffer + 1, 100_000} {
		c.play("C: " + strings.Repeat("x", n))
		if want := "500 5.5.2"; n == commandLimit-2 {
			c.play("S: 500 5.5.1")
		} else {
			c.play("S: " + want)
		}
	}
	c.play("C: NOOP\nS: 250")
	ts.play("S: 220\nC: " + strings.Repeat("x", 2<<20) + "\nEND")
}

func TestTooManyConnections(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Connections = 2 })
	first := ts.play("S: 220")
	ts.play("S: 220")
	ts.play("S: 421 4.3.2 mail.test too many connections, try again later\nEND")
	first.play("C: QUIT\nS: 221\nEND")
	// The place is free once the session has let go of it.
	ts.waitForSessions(1)
	ts.play("S: 220")
}

// waitForSessions returns when at most n sessions are left.
func (ts *testServer) waitForSessions(n int) {
	ts.t.Helper()
	for ts.t.Context().Err() == nil {
		ts.mu.Lock()
		left := len(ts.sessions)
		ts.mu.Unlock()
		if left <= n {
			return
		}
		runtime.Gosched()
	}
	ts.t.Fatal("sessions did not end")
}
