package smtp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/gate"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// doorman answers as its fields say.
type doorman struct {
	admit, mail, recipient, answered error
	quiet                            time.Duration
	listed                           []string

	users    []string // who was asked about
	told     []error  // what became of recipients
	open     atomic.Int32
	holdsUp  bool          // Answered, until its context ends
	heldUp   chan struct{} // is closed when Answered does so
	admitted chan struct{} // Admit waits for it, or its context, where it is set
}

func (d *doorman) Admit(ctx context.Context, _ netip.Addr) (Visit, error) {
	if d.admitted != nil {
		select {
		case <-d.admitted:
		case <-ctx.Done():
		}
	}
	if d.admit != nil {
		return nil, d.admit
	}
	d.open.Add(1)
	return d, nil
}

func (d *doorman) Quiet() time.Duration        { return d.quiet }
func (d *doorman) Spoke() error                { return errors.New("wait for the greeting") }
func (d *doorman) Listed() []string            { return d.listed }
func (d *doorman) Close()                      { d.open.Add(-1) }
func (d *doorman) Mail(user string) error      { d.users = append(d.users, user); return d.mail }
func (d *doorman) Recipient(user string) error { d.users = append(d.users, user); return d.recipient }

func (d *doorman) Answered(ctx context.Context, _ string, err error) error {
	d.told = append(d.told, err)
	if d.holdsUp {
		close(d.heldUp)
		<-ctx.Done()
	}
	return d.answered
}

// guarded starts a server with a doorman.
func guarded(t *testing.T, d *doorman) *testServer {
	t.Cleanup(func() { // after the server's end
		if n := d.open.Load(); n != 0 {
			t.Errorf("%d visits were not closed", n)
		}
	})
	return serve(t, func(c *Config) { c.Admit = d.Admit })
}

func TestRefusedConnections(t *testing.T) {
	d := &doorman{admit: fault.New(fault.Limit, fault.Client, "too many\r\n220 connections")}
	guarded(t, d).play("S= 421-4.7.0 mail.test too many?\nS= 421 4.7.0 220 connections\nEND")
	d.admit = errors.New("secret detail")
	guarded(t, d).play("S= 421 4.7.0 mail.test has a problem; try again later\nEND")
	// Under implicit TLS nothing is said: the handshake would cost more than a session.
	ts := guarded(t, d)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts.addr = l.Addr().String()
	go func() { _ = ts.Serve(l, true) }() // ended by the shutdown of the test's server
	ts.play("END")
}

// A client that speaks before it was greeted is one that listens to nobody, or a browser that was made to post mail.
func TestEarlyTalkerIsRefused(t *testing.T) {
	d := &doorman{quiet: 10 * time.Second}
	ts := guarded(t, d)
	ts.play("C: EHLO client.test\nC: MAIL FROM:<a@b.test>\nS= 554 5.5.1 mail.test wait for the greeting\nEND")
	ts.play("C> \"\\x00\"\nS: 554 5.5.1\nEND")
	ts.play("C: POST / HTTP/1.1\nC: Host: mail.test\nC:\nS: 554 5.5.1\nEND")
	ts.wantBodies()
	// Also where it spoke while DNS was asked.
	d = &doorman{quiet: 10 * time.Second, admitted: make(chan struct{})}
	c := guarded(t, d).dial()
	if _, err := io.WriteString(c.conn, "EHLO client.test\r\n"); err != nil {
		t.Fatal(err)
	}
	close(d.admitted)
	c.play("S: 554 5.5.1\nEND")
}

func TestPatientClientsAreGreeted(t *testing.T) {
	ts := guarded(t, &doorman{quiet: time.Millisecond})
	ts.play(begun + "C: DATA\nS: 354\nC: .\nS: 250\nC: QUIT\nS: 221\nEND")
	ts.wantBodies("")
	c := ts.dial()
	if err := c.conn.Close(); err != nil { // who goes away before the greeting is gone
		t.Fatal(err)
	}
}

func TestGateAtMAILAndRCPT(t *testing.T) {
	fast := fault.New(fault.Limit, fault.Client, "too fast")
	d := &doorman{mail: fast, listed: []string{"junk.example"}}
	ts := guarded(t, d)
	ts.core.calls = make(chan Sender, 1)
	ts.core.refuse["nobody@example.com"] = fault.New(fault.NotFound, fault.Address, "nobody")
	c := ts.play("S: 220\nC: EHLO a.test\nS* 250\nC: MAIL FROM:<a@b.test>\nS= 450 4.7.1 too fast\nC: RCPT TO:<ann@example.com>\nS: 503")
	d.mail = nil
	c.play("C: MAIL FROM:<a@b.test>\nS: 250")
	if s := <-ts.core.calls; len(s.Listed) != 1 || s.Listed[0] != "junk.example" {
		t.Errorf("listed by %q", s.Listed)
	}
	d.recipient = fast
	c.play("C: RCPT TO:<ann@example.com>\nS= 450 4.7.1 too fast")
	d.recipient = fault.New(fault.Denied, fault.Client, "on a list")
	c.play("C: RCPT TO:<ann@example.com>\nS= 550 5.7.1 on a list\nC: DATA\nS: 554 5.5.1")
	d.recipient = nil
	c.play("C: RCPT TO:<nobody@example.com>\nS: 550 5.1.1")
	d.answered = fault.New(fault.Limit, fault.Client, "too many recipients were refused")
	c.play("C: RCPT TO:<nobody@example.com>\nS= 421 4.7.0 mail.test too many recipients were refused\nEND")
	if len(d.told) != 4 || fault.KindOf(d.told[3]) != fault.NotFound {
		t.Errorf("told of %v", d.told)
	}
	for _, user := range d.users {
		if user != "" {
			t.Errorf("asked about the user %q", user)
		}
	}
}

func TestGateIsToldWhoSubmits(t *testing.T) {
	d := &doorman{}
	submission(t, func(c *Config) { c.Admit = d.Admit }).play(`
		S: 220
		C: EHLO a.test
		S* 250
		C: STARTTLS
		S: 220
		TLS
		C: EHLO a.test
		S* 250
		C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=
		S: 235
		C: MAIL FROM:<ann@example.com>
		S: 250
		C: RCPT TO:<bob@example.com>
		S: 250
		C: QUIT
		S: 221
		END`)
	if len(d.users) != 2 || d.users[0] != "ann" || d.users[1] != "ann" {
		t.Errorf("asked about %q", d.users)
	}
}

// A session that is held up, or waits for DNS, does not hold up the end of the server.
func TestShutdownEndsWhatTheGateHoldsUp(t *testing.T) {
	for name, d := range map[string]*doorman{
		"tarpit": {holdsUp: true, heldUp: make(chan struct{})},
		"DNS":    {admitted: make(chan struct{})},
	} {
		t.Run(name, func(t *testing.T) {
			ts := serve(t, func(c *Config) { c.Admit = d.Admit })
			ts.core.refuse["nobody@example.com"] = fault.New(fault.NotFound, fault.Address, "nobody")
			var c *client
			if d.holdsUp {
				c = ts.play(begun + "C: RCPT TO:<nobody@example.com>")
				<-d.heldUp
			} else {
				c = ts.dial()
				for n := 0; n == 0; { // until it was accepted
					ts.mu.Lock()
					n = len(ts.sessions)
					ts.mu.Unlock()
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := ts.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			if d.holdsUp {
				c.play("S: 550 5.1.1")
			} else {
				c.play("S: 220")
			}
			c.play("S: 421 4.3.2 mail.test is shutting down\nEND")
		})
	}
}

// elsewhere is a listener whose connections come from an address.
type elsewhere struct {
	net.Listener
	from netip.Addr
}

func (l elsewhere) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return movedConn{c, l.from}, err
}

type movedConn struct {
	net.Conn
	from netip.Addr
}

func (c movedConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 4000))
}

// from serves on another listener as if its clients had the address, and returns what plays their scripts.
func (ts *testServer) from(address string) *testServer {
	ts.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		ts.t.Fatal(err)
	}
	go func() { _ = ts.Serve(elsewhere{l, netip.MustParseAddr(address)}, false) }() // ended by the shutdown of the test's server
	moved := *ts
	moved.addr = l.Addr().String()
	return &moved
}

// TestGateOverTheCore holds a server of the world, and not this machine, to a real gate's limits.
func TestGateOverTheCore(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		w.User("ann")
		ts := real(w, func(c *Config) {
			c.Admit = Past(gate.New(gate.Options{
				Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Quiet: time.Millisecond,
				Limits: gate.Limits{Connections: 1, Connects: 3, Messages: 2, Recipients: 2},
			}))
		})
		const hello = "S: 220\nC: EHLO a.test\nS* 250\n"
		const mail = "C: MAIL FROM:<a@b.test>\nS: 250\n"
		world := ts.from("192.0.2.1")
		c := world.play(hello + mail + `
			C: RCPT TO:<ann@acme.awsapps.com>
			S: 250
			C: RCPT TO:<ann@acme.awsapps.com>
			S: 250
			C: RCPT TO:<ann@acme.awsapps.com>
			S: 450 4.7.1 too many recipients from your address: 2 a minute; try again later
			C: RSET
			S: 250
			C: MAIL FROM:<a@b.test>
			S: 250
			C: RSET
			S: 250
			C: MAIL FROM:<a@b.test>
			S: 450 4.7.1 too many messages from your address: 2 a minute; try again later`)
		world.play("S: 421 4.7.0 mail.test too many connections from your address: 1 at once\nEND")
		ts.from("192.0.2.2").play(hello + mail)
		c.play("C: QUIT\nS: 221\nEND")
		for range 10 {
			ts.play(hello + mail + "C: QUIT\nS: 221\nEND")
		}
	})
}

// TestGreylistingOverTheCore: only what would be taken is written down and put off, and what was put off is taken later.
func TestGreylistingOverTheCore(t *testing.T) {
	var list *gate.Greylist
	change := func(o *transport.Options) {
		list = gate.NewGreylist(gate.GreylistOptions{
			DB: o.DB, Clock: o.Clock, Log: o.Log, SPF: func(context.Context, mailauth.Client) bool { return false },
		})
		o.Greylist = list
	}
	transporttest.OnBoth(t, change, func(w *transporttest.World) {
		w.User("ann")
		ts := real(w, nil)
		const hello = "S: 220\nC: EHLO a.test\nS* 250\nC: MAIL FROM:<a@b.test>\nS: 250\n"
		const letter = "C: RCPT TO:<ann@acme.awsapps.com>\nS: 250\nC: DATA\nS: 354\nC: Subject: x\nC:\nC: .\nS: 250\nC: QUIT\nS: 221\nEND"
		world := ts.from("192.0.2.1")
		c := world.play(hello + `
			C: RCPT TO:<nobody@acme.awsapps.com>
			S: 550 5.1.1
			C: RCPT TO:<someone@elsewhere.test>
			S: 550 5.7.1
			C: RCPT TO:<ann@acme.awsapps.com>
			S= 451 4.7.1 greylisted: you were not seen here before; try again in 300 seconds
			C: DATA
			S: 554 5.5.1`)
		if got := list.Stats().Deferred; got != 1 {
			t.Errorf("%d were put off", got)
		}
		ts.play(hello + letter) // from this machine
		w.Clock.Advance(5 * time.Minute)
		c.play(letter)
		ts.from("192.0.2.9").play(hello + letter)
	})
}

// TestMailOfAListedClientIsJunk, if that list does not refuse it.
func TestMailOfAListedClientIsJunk(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		d := &doorman{listed: []string{"junk.example"}}
		ts := real(w, func(c *Config) { c.Admit = d.Admit })
		const letter = "S: 220\nC: EHLO a.test\nS* 250\nC: MAIL FROM:<a@b.test>\nS: 250\nC: RCPT TO:<ann@acme.awsapps.com>\nS: 250\nC: DATA\nS: 354\nC: Subject: x\nC:\nC: .\nS: 250\nC: QUIT\nS: 221\nEND"
		ts.play(letter)
		if n, junk := len(w.Inbox(ann)), len(w.Junk(ann)); n != 0 || junk != 1 {
			t.Errorf("%d messages in the inbox, %d in Junk E-mail", n, junk)
		}
	})
}
