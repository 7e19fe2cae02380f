package smtp

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// real starts a server on a real core.
func real(w *transporttest.World, change func(*Config)) *testServer {
	return serve(w.T, func(c *Config) {
		c.Begin, c.Clock = Over(w.Transport), w.Clock
		if change != nil {
			change(c)
		}
	})
}

func TestInboundOverTheCore(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann, full := w.User("ann"), w.User("full")
		w.SetQuota(full, 10)
		w.Group("team", ann)
		ts := real(w, nil)
		c := ts.play(`
			S: 220
			C: EHLO client.test
			S* 250
			C: MAIL FROM:<sender@other.test> SIZE=100
			S: 250
			C: RCPT TO:<someone@elsewhere.test>
			S: 550 5.7.1
			C: RCPT TO:<nobody@acme.awsapps.com>
			S: 550 5.1.1
			C: RCPT TO:<full@acme.awsapps.com>
			S: 552 5.2.2
			C: RCPT TO:<postmaster>
			S: 550 5.1.1
			C: RCPT TO:<Ann+tag@ACME.awsapps.com>
			S: 250
			C: RCPT TO:<team@acme.awsapps.com>
			S: 250
			C: DATA
			S: 354
			C: Subject: hello
			C:
			C: body
			C: .
			S: 250 2.0.0
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<ann@acme.awsapps.com>
			S: 250
			C: DATA
			S: 354`)
		if _, err := io.WriteString(c.conn, strings.Repeat("Received: from x\r\n", 51)+"\r\n.\r\n"); err != nil {
			t.Fatal(err)
		}
		c.play("S: 554 5.4.6\nC: QUIT\nS: 221\nEND")
		got := w.Inbox(ann)
		if len(got) != 1 || !strings.HasPrefix(got[0].Text, "Return-Path: <sender@other.test>\r\nDelivered-To: Ann+tag@ACME.awsapps.com\r\nReceived: from client.test") ||
			!strings.HasSuffix(got[0].Text, "+0000\r\nSubject: hello\r\n\r\nbody\r\n") {
			t.Errorf("ann has %+v", got)
		}
	})
}

// forged finds that every message is not from strict.example, which asks that it is refused.
type forged struct{ client mailauth.Client }

func (f *forged) Check(_ context.Context, c mailauth.Client, _ []byte) *mailauth.Verdict {
	f.client = c
	return &mailauth.Verdict{Client: c, DMARC: mailauth.DMARC{
		Result: dkim.Fail, From: "strict.example", Domain: "strict.example", Policy: mailauth.PolicyReject, Record: &mailauth.Record{Policy: mailauth.PolicyReject},
	}}
}

// TestAForgedMessageIsRefused with 550 where all recipients' organisations enforce DMARC, and taken where one does not, for its users.
func TestAForgedMessageIsRefused(t *testing.T) {
	checker := &forged{}
	transporttest.OnBoth(t, func(o *transport.Options) { o.Auth = checker }, func(w *transporttest.World) {
		ann, lax := w.User("ann"), w.Organization("lax")
		lea := w.UserOf(lax, "lea")
		w.Write(func(ctx context.Context, tx *db.Tx) error { return w.Policy.EnforceDMARCTx(ctx, tx, lax, false) })
		const message = "C: DATA\nS: 354\nC: From: x@strict.example\nC:\nC: .\n"
		real(w, nil).play(`
			S: 220
			C: EHLO client.test
			S* 250
			C: MAIL FROM:<x@evil.example>
			S: 250
			C: RCPT TO:<ann@acme.awsapps.com>
			S: 250
			` + message + `
			S: 550 5.7.1 DMARC: strict.example
			C: MAIL FROM:<x@evil.example>
			S: 250
			C: RCPT TO:<ann@acme.awsapps.com>
			S: 250
			C: RCPT TO:<lea@lax.awsapps.com>
			S: 250
			` + message + `
			S: 250
			C: QUIT
			S: 221
			END`)
		if a, l := len(w.Inbox(ann)), len(w.InboxOf(lax, lea)); a != 0 || l != 1 {
			t.Errorf("ann has %d messages, lea %d", a, l)
		}
		if c := checker.client; c.Hello != "client.test" || !c.Address.IsLoopback() || c.From.Domain != "evil.example" {
			t.Errorf("the client was %+v", c)
		}
	})
}

func TestFiveHundredRecipients(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		ts := real(w, nil)
		c := ts.play("S: 220\nC: EHLO a\nS* 250\nC: MAIL FROM:<>\nS: 250")
		c.play(strings.Repeat("C: RCPT TO:<ann@acme.awsapps.com>\n", 501) + strings.Repeat("S: 250\n", 500) + "S: 452 4.5.3\nC: DATA\nS: 354\nC: .\nS: 250")
		if got := w.Inbox(ann); len(got) != 1 {
			t.Errorf("ann has %d copies", len(got))
		}
	})
}

// realSubmission starts a server for submission on a real core.
func realSubmission(w *transporttest.World) *testServer {
	door := identity.NewDoor(w.Directory, w.Policy, nil, w.Audit, w.Feed, w.Clock, nil, identity.Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- door.Run(ctx) }()
	w.T.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.T.Error(err)
		}
	})
	return real(w, func(c *Config) { c.Authenticate = Through(door) })
}

func TestSubmissionOverTheCore(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann, bob := w.UserWithPassword("ann"), w.User("bob")
		ts := realSubmission(w)
		c := ts.play(secured + `
			C: AUTH PLAIN ` + b64("\x00ann@acme.awsapps.com\x00wrong") + `
			S: 535 5.7.8
			C: AUTH PLAIN ` + b64("\x00ANN@acme.awsapps.com\x00"+transporttest.Password) + `
			S: 235
			C: MAIL FROM:<bob@acme.awsapps.com>
			S: 550 5.7.1
			C: MAIL FROM:<ann@acme.awsapps.com>
			S: 250
			C: RCPT TO:<friend@elsewhere.test>
			S: 550 5.7.1 mail for friend@elsewhere.test goes to another server
			C: RCPT TO:<bob@acme.awsapps.com>
			S: 250
			C: DATA
			S: 354
			C: From: bob@acme.awsapps.com
			C: Subject: forged
			C:
			C: .
			S: 550 5.7.1
			C: MAIL FROM:<ann@acme.awsapps.com>
			C: RCPT TO:<bob@acme.awsapps.com>
			S: 250
			S: 250
			C: BDAT 62 LAST
			C> "From: ann@acme.awsapps.com\r\nBcc: x@y.test\r\nSubject: s\r\n\r\nbdy\r\n"
			S: 250`)
		got := w.Inbox(bob)
		if len(got) != 1 || strings.Contains(got[0].Text, "Bcc") || !strings.HasSuffix(got[0].Text, "From: ann@acme.awsapps.com\r\nSubject: s\r\n\r\nbdy\r\n") {
			t.Fatalf("bob has %+v", got)
		}
		start := time.Now()
		password := "another Pa$$w0rd"
		w.Must(w.Directory.SetPassword(t.Context(), transporttest.Admin, w.Acme.ID, string(ann), password, directory.Narrow{}))
		c.play("S: 421 4.7.0\nEND")
		if waited := time.Since(start); waited > 20*time.Second { // a second is promised; the machine may be busy
			t.Errorf("the session went on for %v", waited)
		}
	})
}

// The limit is told at RCPT where it is reached already, and for the whole message where others used it up meanwhile; the
// next day all is well again.
func TestLimitOfADayOverTheCore(t *testing.T) {
	change := func(o *transport.Options) { o.Daily = transport.Daily{UserExternal: 2} }
	transporttest.OnBoth(t, change, func(w *transporttest.World) {
		w.UserWithPassword("ann")
		bob, other := w.User("bob"), w.Organization("other")
		eve := w.UserOf(other, "eve")
		ts := realSubmission(w)
		signedIn := func() *client {
			return ts.play(secured + "C: AUTH PLAIN " + b64("\x00ann@acme.awsapps.com\x00"+transporttest.Password) + "\nS: 235")
		}
		const (
			mail = `
				C: MAIL FROM:<ann@acme.awsapps.com>
				S: 250
				C: RCPT TO:<eve@other.awsapps.com>
				S: 250`
			data = `
				C: DATA
				S: 354
				C: From: ann@acme.awsapps.com
				C:
				C: .
				S: `
			refusal = "454 4.7.1 the limit of 2 external recipients per user and day leaves no room for this; the next day begins at 2026-11-24T00:00:00Z"
		)
		one, two := signedIn(), signedIn()
		one.play(mail + data + "250")
		two.play(mail + `
			C: RCPT TO:<bob@acme.awsapps.com>
			S: 250
			C: RCPT TO:<eve@other.awsapps.com>
			S: ` + refusal)
		one.play(mail + data + "250")
		two.play(data + refusal)
		one.play(`
			C: MAIL FROM:<ann@acme.awsapps.com>
			S: 250
			C: RCPT TO:<eve@other.awsapps.com>
			S: ` + refusal + `
			C: RCPT TO:<bob@acme.awsapps.com>
			S: 250` + data + "250")
		w.Clock.Advance(12 * time.Hour)
		two.play(mail + data + "250")
		if b, e := len(w.Inbox(bob)), len(w.InboxOf(other, eve)); b != 1 || e != 3 {
			t.Errorf("bob has %d messages and eve %d, want 1 and 3", b, e)
		}
	})
}
