package smtp

import (
	"context"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/principal"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// secured is the beginning of a submission session, up to AUTH.
const secured = `
	S: 220
	C: EHLO client.test
	S* 250
	C: STARTTLS
	S: 220 2.0.0
	TLS
	C: EHLO client.test
	S* 250
`

var annPlain = b64("\x00ann@example.com\x00secret")

func TestSignInAndSubmit(t *testing.T) {
	for name, exchange := range map[string]string{
		"PLAIN with initial response": "C: AUTH PLAIN " + annPlain + "\nS: 235 2.7.0",
		"PLAIN with challenge":        "C: auth plain\nS= 334 \nC: " + annPlain + "\nS: 235 2.7.0",
		"PLAIN as oneself":            "C: AUTH PLAIN " + b64("ANN@example.com\x00ann@example.com\x00secret") + "\nS: 235",
		"LOGIN":                       "C: AUTH LOGIN\nS= 334 VXNlcm5hbWU6\nC: " + b64("ann@example.com") + "\nS= 334 UGFzc3dvcmQ6\nC: " + b64("secret") + "\nS: 235",
		"LOGIN with initial response": "C: AUTH LOGIN " + b64("ann@example.com") + "\nS= 334 UGFzc3dvcmQ6\nC: " + b64("secret") + "\nS: 235",
	} {
		t.Run(name, func(t *testing.T) {
			ts := submission(t, nil)
			ts.play(secured + exchange + `
				C: AUTH PLAIN
				S: 503
				C: MAIL FROM:<ann@example.com> AUTH=<>
				C: RCPT TO:<bob@example.com>
				C: RCPT TO:<cyd@example.com>
				C: DATA
				S: 250
				S: 250
				S: 250
				S: 354
				C: hello
				C: .
				S: 250 2.0.0 stored`)
			ts.wantBodies("hello\r\n")
			got := ts.core.stored[0]
			if !got.sender.Submitted || got.sender.Principal.Kind != principal.User || got.sender.Principal.ID != "ann" || !got.sender.Principal.Address.IsLoopback() {
				t.Errorf("sender %+v", got.sender)
			}
			if !strings.Contains(got.trace, "with ESMTPSA id") || !strings.Contains(got.trace, "(using TLS 1.3 TLS_") || strings.Contains(got.trace, "for <") {
				t.Errorf("trace %q", got.trace)
			}
		})
	}
}

func TestNothingBeforeTLSAndSignIn(t *testing.T) {
	submission(t, nil).play(`
		S: 220
		C: EHLO client.test
		S* 250
		C: AUTH PLAIN ` + annPlain + `
		S: 530 5.7.0 say STARTTLS first
		C: AUTH LOGIN
		S: 530 5.7.0
		C: MAIL FROM:<ann@example.com>
		S: 530 5.7.0 say STARTTLS first
		C: STARTTLS
		S: 220
		TLS
		C: AUTH PLAIN ` + annPlain + `
		S: 503 5.5.1 say EHLO first
		C: MAIL FROM:<ann@example.com>
		S: 503 5.5.1 say EHLO first
		C: EHLO client.test
		S* 250
		C: MAIL FROM:<ann@example.com>
		S: 530 5.7.0 sign in first
		C: STARTTLS
		S: 503 5.5.1`)
}

func TestRefusedSignIns(t *testing.T) {
	for name, exchange := range map[string]string{
		"wrong password":       "C: AUTH PLAIN " + b64("\x00ann@example.com\x00wrong") + "\nS: 535 5.7.8",
		"unknown user":         "C: AUTH PLAIN " + b64("\x00bob@example.com\x00wrong") + "\nS: 535 5.7.8",
		"for another":          "C: AUTH PLAIN " + b64("bob@example.com\x00ann@example.com\x00secret") + "\nS: 535 5.7.8",
		"cancelled PLAIN":      "C: AUTH PLAIN\nS: 334\nC: *\nS: 501 5.7.0",
		"cancelled LOGIN":      "C: AUTH LOGIN\nS: 334\nC: " + b64("ann@example.com") + "\nS: 334\nC: *\nS: 501 5.7.0",
		"not base64":           "C: AUTH PLAIN !!!\nS: 501 5.5.2",
		"base64 with a tail":   "C: AUTH PLAIN " + annPlain + " x\nS: 501 5.5.2",
		"empty response":       "C: AUTH PLAIN =\nS: 501 5.5.2",
		"no name":              "C: AUTH PLAIN " + b64("\x00\x00secret") + "\nS: 501 5.5.2",
		"too many NULs":        "C: AUTH PLAIN " + b64("\x00a\x00b\x00c") + "\nS: 501 5.5.2",
		"empty LOGIN":          "C: AUTH LOGIN =\nS: 334\nC:\nS: 501 5.5.2",
		"unknown mechanism":    "C: AUTH CRAM-MD5\nS: 504 5.5.4",
		"no mechanism":         "C: AUTH\nS: 504 5.5.4",
		"response too long":    "C: AUTH PLAIN\nS: 334\nC: " + strings.Repeat("A", authLimit) + "\nS: 500 5.5.6",
		"a long line, no AUTH": "C: NOOP " + strings.Repeat("A", commandLimit) + "\nS: 500 5.5.2",
		"bare LF in response":  "C: AUTH PLAIN\nS: 334\nC> \"abcd\\n\"\nS: 500 5.5.2",
		"server trouble":       "C: AUTH PLAIN " + b64("\x00broken\x00x") + "\nS= 454 4.7.0 sign-in is not possible now; try again later",
		"queue full":           "C: AUTH PLAIN " + b64("\x00busy\x00x") + "\nS: 454 4.7.0",
	} {
		t.Run(name, func(t *testing.T) {
			submission(t, nil).play(secured + exchange + "\nC: MAIL FROM:<ann@example.com>\nS: 530\nC: AUTH PLAIN " + annPlain + "\nS: 235")
		})
	}
}

func TestGuessingEndsTheSession(t *testing.T) {
	wrong := "C: AUTH PLAIN " + b64("\x00ann@example.com\x00wrong") + "\n"
	submission(t, nil).play(secured + wrong + "S: 535\n" + wrong + "S: 535\n" + wrong + "S: 421 4.7.0\nEND")
}

func TestWhoDoesNotSignInIsNotWaitedFor(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		ts := start((&door{}).guard(func(c *Config) { c.Timeouts.SignIn = time.Minute }))
		c := ts.play("S: 220")
		for range 5 { // commands do not put it off
			<-time.After(11 * time.Second)
			c.play("C: NOOP\nS: 250")
		}
		c.play("S: 421 4.4.2\nEND")
	})
}

func TestSTARTTLSForgetsAMessage(t *testing.T) {
	ts := serve(t, nil)
	ts.play(begun + `
		C: STARTTLS
		S: 220
		TLS
		C: DATA
		S: 503
		C: EHLO again.test
		S* 250
		C: RCPT TO:<ann@example.com>
		S: 503
		C: QUIT
		S: 221
		END`)
}

func TestBrokenHandshakeEndsTheSession(t *testing.T) {
	serve(t, nil).play("S: 220\nC: EHLO a\nS* 250\nC: STARTTLS\nS: 220\nC: MAIL FROM:<a@b.test>\nEND")
}

func TestTheEndOfASignInEndsTheSession(t *testing.T) {
	for name, script := range map[string]string{
		"waiting for a command": "",
		"inside a message":      "C: MAIL FROM:<ann@example.com>\nS: 250\nC: RCPT TO:<bob@example.com>\nS: 250\nC: DATA\nS: 354\nC: half",
	} {
		t.Run(name, func(t *testing.T) {
			ts := submission(t, nil)
			c := ts.play(secured + "C: AUTH PLAIN " + annPlain + "\nS: 235\n" + script)
			start := time.Now()
			close(ts.door.ended)
			c.play("S: 421 4.7.0 the sign-in has ended\nEND")
			if waited := time.Since(start); waited > 20*time.Second { // a second is promised; the machine may be busy
				t.Errorf("it took %v", waited)
			}
			ts.wantBodies()
		})
	}
}

func TestNothingBufferedIsDoneAfterASignInEnded(t *testing.T) {
	var ts *testServer
	ts = submission(t, func(c *Config) {
		begin := c.Begin
		c.Begin = func(ctx context.Context, s Sender) (Transaction, error) {
			close(ts.door.ended)
			for !ts.broken() && ctx.Err() == nil {
				runtime.Gosched()
			}
			return begin(ctx, s)
		}
	})
	ts.play(secured + "C: AUTH PLAIN " + annPlain + `
		S: 235
		C: MAIL FROM:<ann@example.com>
		C> "RCPT TO:<bob@example.com>\r\nBDAT 4 LAST\r\na: b"
		S: 250
		S: 421 4.7.0 the sign-in has ended
		END`)
	ts.wantBodies()
}

// broken reports whether a session was interrupted.
func (ts *testServer) broken() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for c := range ts.sessions {
		if c.wire.isBroken() {
			return true
		}
	}
	return false
}
