package smtpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
)

const (
	hello     = "S: 220 mx.test ESMTP\nC= EHLO client.test\n"
	plain     = hello + "S: 250 mx.test\n"
	pipelined = hello + "S: 250-mx.test\nS: 250-8BITMIME\nS: 250 PIPELINING\n"
	chunking  = hello + "S: 250-mx.test\nS: 250-8BITMIME\nS: 250-CHUNKING\nS: 250 PIPELINING\n"
	quit      = "\nC= QUIT\nS: 221 2.0.0 bye\nEND"
)

func options() Options {
	return Options{Hello: "client.test", Timeouts: Timeouts{Quit: time.Second}}
}

// connection is one to s, which the test closes.
func connection(t testing.TB, s *smtptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open makes a client of a server that follows script.
func open(t testing.TB, script string) *Client {
	t.Helper()
	return openWith(t, script, options())
}

func openWith(t testing.TB, script string, o Options) *Client {
	t.Helper()
	c, err := New(t.Context(), connection(t, smtptest.Serve(t, nil, script)), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close) // before the server's end waits for it
	return c
}

// openTLS makes a client that is under TLS; script goes on from there.
func openTLS(t testing.TB, script string) *Client {
	t.Helper()
	a := smtptest.NewAuthority(t)
	s := smtptest.Serve(t, a.Server(false, "mx.test"), "TLS\n"+script)
	c, err := New(t.Context(), tls.Client(connection(t, s), &tls.Config{RootCAs: a.Pool, ServerName: "mx.test"}), options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// wantError is an *Error during something, with a reply of a code or none.
func wantError(t testing.TB, err error, during string, code int, unknown bool) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.During != during || e.Reply.Code != code || e.Unknown != unknown {
		t.Fatalf("%+v (%v); wanted %s, %d, %v", err, err, during, code, unknown)
	}
}

func TestGreetingAndExtensions(t *testing.T) {
	c := open(t, `
		S: 220-mx.test ESMTP
		S: 220 at your service
		C= EHLO client.test
		S: 250-mx.test greets you
		S: 250-size 1000
		S: 250-AUTH=LOGIN
		S: 250-AUTH PLAIN XOAUTH2
		S: 250-
		S: 250 PipeLining`+quit)
	want := map[string]string{"SIZE": "1000", "AUTH": "LOGIN PLAIN XOAUTH2", "PIPELINING": ""}
	if !maps.Equal(c.extensions, want) || c.Name() != "mx.test" {
		t.Errorf("%q of %s", c.extensions, c.Name())
	}
	if _, secure := c.TLS(); secure || c.Has("STARTTLS") || c.Err() != nil {
		t.Error("what is not there")
	}
	c.Quit(t.Context())
	if c.Err() == nil {
		t.Error("a closed client can be used")
	}
}

func TestHELOWhereEHLOIsUnknown(t *testing.T) {
	c := open(t, hello+"S: 502 5.5.1 what?\nC= HELO client.test\nS: 250 mx.test"+quit)
	if len(c.extensions) != 0 || c.Name() != "mx.test" {
		t.Errorf("%q of %s", c.extensions, c.Name())
	}
	c.Quit(t.Context())
}

// Every way in which a server may not let a connection begin.
func TestRefusedAtTheBeginning(t *testing.T) {
	for _, c := range []struct {
		script, during string
		code           int
	}{
		{"S: 554 no service here", Greeting, 554},
		{"S: 450 try later", Greeting, 450},
		{"S: 421 4.3.2 too busy", Greeting, 421},
		{"S: 354 go on", Greeting, 354},
		{"S: hello", Greeting, 0},
		{"", Greeting, 0},
		{hello + "RESET", "EHLO", 0},
		{hello + "S: 450 not now", "EHLO", 450},
		{hello + "S: 421 not now", "EHLO", 421},
		{hello + "S: 550 no\nC= HELO client.test\nS: 550 no", "EHLO", 550},
		{hello + "S: 550 no\nC= HELO client.test\nS: 421 no", "HELO", 421},
		{hello, "EHLO", 0},
		{hello + "S: 354 go on", "EHLO", 354},
	} {
		_, err := New(t.Context(), connection(t, smtptest.Serve(t, nil, c.script)), options())
		wantError(t, err, c.during, c.code, false)
	}
}

// Replies that are none, in the place of an answer to RSET.
func TestGarbage(t *testing.T) {
	long := strings.Repeat("x", maxReplyLine)
	for _, answer := range []string{
		"S: hello", "S: 25", "S: 250x", "S: 25x ok", "S: 150 ok", "S: 600 ok", "S: 999 ok", "S>\"\\r\\n\"", "S: 250-a\nS: 251 b", "S: 250-a\nS: b",
		"S: 250 " + long, // a long line
		"S> \"250 " + strings.Repeat("x", 3*maxReplyLine) + "\"\nHANG",          // a line without an end
		strings.Repeat("S: 250-more\n", maxReplyLines) + "S: 250 end",           // many lines
		strings.Repeat("S: 250-"+long[:1000]+"\n", 20) + "S: 250 end",           // many bytes
		"S> \"" + strings.Repeat(`250-more\r\n`, 10*maxReplyLines) + "\"\nHANG", // a reply without an end
	} {
		answer = strings.ReplaceAll(answer, "S>\"", "S> \"")
		c := open(t, plain+"C= RSET\n"+answer)
		wantError(t, c.Reset(t.Context()), "RSET", 0, false)
		if err := c.Reset(t.Context()); err == nil || c.Err() == nil {
			t.Errorf("after %.40q the connection can be used", answer)
		}
		c.Quit(t.Context()) // says nothing more
	}
}

func TestResetThatIsRefusedEndsTheConnection(t *testing.T) {
	c := open(t, plain+"C= RSET\nS: 250\nC= RSET\nS: 500 what?\nEND")
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.Reset(t.Context()), "RSET", 500, false)
	c.Quit(t.Context())
}

func TestStartTLS(t *testing.T) {
	a := smtptest.NewAuthority(t)
	s := smtptest.Serve(t, a.Server(false, "mx.test"), hello+`
		S: 250-mx.test
		S: 250-STARTTLS
		S: 250 PIPELINING
		C= STARTTLS
		S: 220 2.0.0 go ahead
		TLS
		C= EHLO client.test
		S: 250-mx.test
		S: 250 SIZE`+quit)
	c, err := New(t.Context(), connection(t, s), options())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(t.Context(), &tls.Config{RootCAs: a.Pool, ServerName: "mx.test"}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(c.extensions, map[string]string{"SIZE": ""}) {
		t.Errorf("what was offered in the clear is remembered: %q", c.extensions)
	}
	if state, secure := c.TLS(); !secure || state.PeerCertificates[0].DNSNames[0] != "mx.test" {
		t.Error("not under TLS")
	}
	c.Quit(t.Context())
}

// CVE-2011-0411: an answer that somebody in between sent behind that to STARTTLS must not be taken for one under TLS.
func TestStartTLSInjection(t *testing.T) {
	for _, injected := range []string{`250 injected\r\n`, `250-half`, ` `} {
		c := open(t, hello+"S: 250-mx.test\nS: 250 STARTTLS\nC= STARTTLS\nS> \"220 go ahead\\r\\n"+injected+"\"\nEND")
		err := c.StartTLS(t.Context(), &tls.Config{InsecureSkipVerify: true}) // so that no certificate is what keeps it from TLS
		wantError(t, err, "STARTTLS", 0, false)
		if !errors.Is(err, ErrInjected) {
			t.Error(err)
		}
		c.Close()
	}
}

func TestStartTLSThatIsRefusedLeavesTheConnection(t *testing.T) {
	c := open(t, hello+"S: 250 STARTTLS\nC= STARTTLS\nS: 454 4.7.0 no certificate"+quit)
	wantError(t, c.StartTLS(t.Context(), &tls.Config{}), "STARTTLS", 454, false)
	if c.Err() != nil {
		t.Error(c.Err())
	}
	c.Quit(t.Context())
}

func TestHandshakeThatFails(t *testing.T) {
	a := smtptest.NewAuthority(t)
	for _, server := range []string{"FAIL", "RESET", "HANG"} {
		s := smtptest.Serve(t, nil, hello+"S: 250 STARTTLS\nC= STARTTLS\nS: 220 go\n"+server)
		o := options()
		o.Timeouts.Handshake = 50 * time.Millisecond
		c, err := New(t.Context(), connection(t, s), o)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, c.StartTLS(t.Context(), &tls.Config{RootCAs: a.Pool, ServerName: "mx.test"}), Handshake, 0, false)
		if _, secure := c.TLS(); secure || c.Err() == nil {
			t.Error("as if it had not")
		}
		c.Close()
	}
	s := smtptest.Serve(t, nil, "FAIL")
	// It never comes to a certificate.
	_, err := New(t.Context(), tls.Client(connection(t, s), &tls.Config{InsecureSkipVerify: true}), options())
	wantError(t, err, Handshake, 0, false)
}

func TestAuth(t *testing.T) {
	long := strings.Repeat("p", 600)
	for _, c := range []struct{ offered, script, password string }{
		{"AUTH LOGIN PLAIN", "C= AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 2.7.0 welcome", "secret"},
		{"AUTH CRAM-MD5 LOGIN", "C= AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC= YW5u\nS: 334 UGFzc3dvcmQ6\nC= c2VjcmV0\nS: 235 2.7.0 welcome", "secret"},
		{"AUTH PLAIN", "C= AUTH PLAIN\nS: 334\nC: AGFubgBwcHBwcHBw\nS: 235 welcome", long},
	} {
		client := openTLS(t, hello+"S: 250-mx.test\nS: 250 "+c.offered+"\n"+c.script+quit)
		if err := client.Auth(t.Context(), "ann", c.password); err != nil {
			t.Errorf("%s: %v", c.offered, err)
		}
		client.Quit(t.Context())
	}
}

func TestAuthThatFails(t *testing.T) {
	client := openTLS(t, hello+"S: 250-mx.test\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 535 5.7.8 no"+quit)
	wantError(t, client.Auth(t.Context(), "ann", "secret"), "AUTH", 535, false)
	client.Quit(t.Context())

	client = openTLS(t, hello+"S: 250-mx.test\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 334 more\nEND")
	wantError(t, client.Auth(t.Context(), "ann", "secret"), "AUTH", 334, false)
	client.Close()

	client = openTLS(t, hello+"S: 250-mx.test\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 421 no\nEND")
	wantError(t, client.Auth(t.Context(), "ann", "secret"), "AUTH", 421, false)
	client.Close()

	client = openTLS(t, hello+"S: 250-mx.test\nS: 250 AUTH CRAM-MD5"+quit)
	wantRefusal(t, client.Auth(t.Context(), "ann", "secret"), "5.7.4")
	client.Quit(t.Context())
}

func TestNoSecretInTheClear(t *testing.T) {
	c := open(t, hello+"S: 250-mx.test\nS: 250 AUTH PLAIN"+quit)
	wantRefusal(t, c.Auth(t.Context(), "ann", "secret"), "5.7.11")
	c.Quit(t.Context())
}

func wantRefusal(t testing.TB, err error, status string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Status != status {
		t.Fatalf("%v, wanted a refusal with %s", err, status)
	}
}

// What takes a server longer than it may, at each place.
func TestSlowServers(t *testing.T) {
	message := "From: a@b.test\r\n\r\nx\r\n"
	mail := "C: MAIL\nS: 250\nC: RCPT\nS: 250\nC: DATA\n"
	for _, c := range []struct {
		during, script string
		set            func(*Timeouts)
		unknown        bool
	}{
		{"EHLO", hello + "HANG", func(t *Timeouts) { t.Command = 1 }, false},
		{"MAIL", plain + "HANG", func(t *Timeouts) { t.Command = 1 }, false},
		{"DATA", plain + mail + "HANG", func(t *Timeouts) { t.Data = 1 }, false},
		{Message, plain + mail + "S: 354\nMESSAGE\nHANG", func(t *Timeouts) { t.Final = 1 }, true},
		{"BDAT", chunking + "C: MAIL\nC: RCPT\nS: 250\nS: 250\nHANG", func(t *Timeouts) { t.Final = time.Second }, true}, // the first two answers come within it
		{"MAIL", chunking + "C: MAIL\nHANG", func(t *Timeouts) { t.Final = 1 }, true},
		{"MAIL", plain + "S> \"2\"\nHANG", func(t *Timeouts) { t.Command = 1 }, false}, // half an answer
	} {
		t.Run(c.during, func(t *testing.T) {
			o := options()
			client, err := New(t.Context(), connection(t, smtptest.Serve(t, nil, c.script)), slow(o, c.during == "EHLO", c.set))
			if err == nil {
				c.set(&client.timeouts)
				hurry(&client.timeouts)
				_, err = send(t.Context(), client, message, "ann@example.com")
				client.Close()
			}
			wantError(t, err, c.during, 0, c.unknown)
			if !strings.Contains(err.Error(), "took too long") {
				t.Error(err)
			}
		})
	}
	_, err := New(t.Context(), connection(t, smtptest.Serve(t, nil, "HANG")), Options{Timeouts: Timeouts{Greeting: 20 * time.Millisecond}})
	wantError(t, err, Greeting, 0, false)
}

// slow sets the time-outs at once where the beginning is what is slow.
func slow(o Options, now bool, set func(*Timeouts)) Options {
	if now {
		set(&o.Timeouts)
		hurry(&o.Timeouts)
	}
	return o
}

// hurry makes what is 1 something in which nothing arrives that does not come.
func hurry(t *Timeouts) {
	for _, d := range []*time.Duration{&t.Command, &t.Data, &t.Final} {
		if *d == 1 {
			*d = 30 * time.Millisecond
		}
	}
}

// A reply's time does not begin anew with each of its bytes.
func TestServerThatDripsItsAnswer(t *testing.T) {
	near, far := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := io.WriteString(far, "220-x\r\n"[0:1]); err != nil {
				return
			}
		}
	})
	_, err := New(t.Context(), near, Options{Timeouts: Timeouts{Greeting: 20 * time.Millisecond}})
	_ = near.Close()
	wg.Wait()
	wantError(t, err, Greeting, 0, false)
}

// A server that stops reading holds the client no longer than a block may take.
func TestServerThatDoesNotRead(t *testing.T) {
	near, far := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		in := make([]byte, 1000)
		for _, answer := range []string{"220 x", "250-x\r\n250-8BITMIME\r\n250 PIPELINING", "250\r\n250\r\n354"} {
			if answer != "220 x" {
				if _, err := far.Read(in); err != nil {
					t.Error(err)
				}
			}
			if _, err := io.WriteString(far, answer+"\r\n"); err != nil {
				t.Error(err)
			}
		}
	})
	o := options()
	o.Timeouts.Block = time.Second // in which what comes before is read
	c, err := New(t.Context(), near, o)
	if err != nil {
		t.Fatal(err)
	}
	replies, err := send(t.Context(), c, strings.Repeat("x", 100<<10), "ann@example.com")
	wg.Wait()
	c.Close()
	wantError(t, err, Message, 0, false)
	if replies[0].Code != 0 {
		t.Error(replies)
	}
}

// A context that ends breaks off whatever is waited for, and the connection is of no use then.
func TestContextThatEnds(t *testing.T) {
	for _, script := range []string{
		plain + "HANG", plain + "C: MAIL\nS: 250\nHANG", plain + "C: MAIL\nS: 250\nC: RCPT\nS: 250\nC: DATA\nS: 354\nMESSAGE\nHANG",
	} {
		s := smtptest.Serve(t, nil, script)
		c, err := New(t.Context(), connection(t, s), options())
		if err != nil {
			t.Fatal(err)
		}
		replies, err := send(s.Hangs(t.Context()), c, "x\r\n", "ann@example.com")
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || e.Unknown != strings.Contains(script, "MESSAGE") || replies[0].Code != 0 {
			t.Errorf("%v, %v", err, replies)
		}
		if c.Err() == nil {
			t.Error("the connection can be used")
		}
		c.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := open(t, plain+"END")
	if err := c.Reset(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.Close()
	_, err := New(ctx, connection(t, smtptest.Serve(t, nil, "S: 220\nHANG")), options())
	wantError(t, err, Greeting, 0, false)
}

// recorder remembers each write.
type recorder struct {
	net.Conn
	mu     sync.Mutex
	writes []string
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, string(p))
	return r.Conn.Write(p)
}

func (r *recorder) after(verb string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.writes, func(s string) bool { return strings.HasPrefix(s, verb) })
	return r.writes[max(i, 0):]
}

// send sends message from sender@b.test.
func send(ctx context.Context, c *Client, message string, to ...string) ([]Reply, error) {
	e := &Envelope{From: "sender@b.test"}
	for _, a := range to {
		e.Recipients = append(e.Recipients, Recipient{Address: a})
	}
	return c.Send(ctx, e, bytes.NewReader([]byte(message)), int64(len(message)))
}

// What goes wrong is told to senders.
func TestWordsForSenders(t *testing.T) {
	for want, err := range map[string]error{
		"the server answered MAIL with 550 5.7.1 no":                 &Error{During: "MAIL", Reply: Reply{550, "5.7.1", "5.7.1 no"}},
		"the server closed the connection at the greeting":           &Error{During: Greeting, Err: io.EOF},
		"the server took too long over the message":                  &Error{During: Message, Err: context.DeadlineExceeded},
		"the attempt was broken off":                                 &Error{During: Message, Err: context.Canceled},
		"EHLO failed: that is no SMTP reply":                         &Error{During: "EHLO", Err: errNoReply},
		"5.6.3 no":                                                   &Refusal{"5.6.3", "no"},
		"the message can't be read: unexpected EOF":                  &BodyError{io.ErrUnexpectedEOF},
		"STARTTLS failed: more than an answer came before TLS began": &Error{During: "STARTTLS", Err: ErrInjected},
	} {
		if err.Error() != want {
			t.Errorf("%q, wanted %q", err, want)
		}
	}
}
