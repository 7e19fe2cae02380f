package imap

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/accept"
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// conn is one connection. Its fields belong to the goroutine of serve, but for stopping.
type conn struct {
	s       *Server
	nc      *accept.Conn
	address netip.Addr
	id      string
	log     *slog.Logger
	r       *wire.Reader
	w       *wire.Writer

	protected bool // TLS
	deadline  time.Time
	pause     time.Duration // how long a read may take after sign-in
	idling    bool          // the reader runs beside the writer, so that reading must not flush

	user      *SignedIn // nil before sign-in
	box       mailbox.ID
	sel       *selected // nil while no folder is selected
	condStore bool      // the client knows mod-sequences (RFC 7162 section 3.1)
	qresync   bool
	touched   touched
	agent     string         // what the client calls itself, if it did
	saved     mailbox.UIDSet // the result of the last SEARCH that was saved (RFC 5182)

	torn                   bool   // a response was broken off in the middle: nothing said now would be understood
	tag                    string // of the command that runs
	commands, bad, refused int
	watchers               sync.WaitGroup // wait for the end of the work's context
}

// The limits of patience with one connection.
const (
	maxBad     = 10 // commands in a row that are not understood, before sign-in
	maxRefused = 5  // refused sign-ins
)

func newConn(s *Server, nc net.Conn, address netip.Addr) *conn {
	c := &conn{s: s, nc: accept.NewConn(nc, s.WriteTime), address: address, id: rand.Text()[:10], deadline: time.Now().Add(s.SignInTime), pause: s.AutoLogout}
	c.log = s.Log.With("connection", c.id, "address", address)
	c.protected = c.nc.TLS() != nil
	c.w = wire.NewWriter(c.nc, s.buffer, s.release)
	c.reset()
	return c
}

// reset begins to read afresh. What the client sent before is forgotten.
func (c *conn) reset() {
	c.r = wire.NewReader(timedReader{c}, c.limits(), c.invite)
}

func (c *conn) limits() wire.Limits {
	if c.user != nil {
		return wire.AfterSignIn()
	}
	l := wire.BeforeSignIn()
	l.NoSecrets = !c.protected
	return l
}

func (c *conn) invite() error {
	c.pause = c.s.LiteralTime
	c.w.Raw("+ go on\r\n")
	return c.w.Flush()
}

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	work, end := c.nc.Begin(ctx, c.s.Grace, accept.Goodbye{Code: "UNAVAILABLE", Text: "the server is shutting down"})
	defer c.watchers.Wait()
	defer end()
	defer c.close()
	defer func() {
		if p := recover(); p != nil {
			c.log.ErrorContext(ctx, "IMAP connection failed", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if c.nc.TLS() != nil && !c.handshaken(work, c.nc.Handshake(work, c.deadline)) {
		return
	}
	c.w.Status("*", "OK", "CAPABILITY "+c.capabilities(), "Pennypost ready")
	for c.step(work) {
	}
}

// close ends what the connection holds.
func (c *conn) close() {
	c.nc.Close(c.w.Flush() != nil)
	c.unselect()
	if c.user != nil {
		c.user.Close()
		c.log.Info("IMAP connection ended", "organization", c.user.Organization, "commands", c.commands, "sent", c.w.Sent())
	}
}

// step reads and runs one command. It returns false at the connection's end.
func (c *conn) step(ctx context.Context) bool {
	c.pause = c.s.AutoLogout
	cmd, err := c.r.ReadCommand()
	var syntax *wire.SyntaxError
	if errors.As(err, &syntax) {
		return c.misunderstood(syntax)
	}
	if err != nil {
		c.lost(ctx, err)
		return false
	}
	c.bad = 0
	c.commands++
	c.tag = cmd.Tag
	if !c.run(ctx, cmd) || c.w.Err() != nil {
		return false
	}
	if b := c.nc.Ending(); b != nil {
		c.bye(b.Code, b.Text)
		return false
	}
	return true
}

func (c *conn) misunderstood(e *wire.SyntaxError) bool {
	status := "BAD"
	if e.No {
		status = "NO"
	}
	c.w.Status(e.Tag, status, e.Code, e.Message)
	if c.bad++; c.user == nil && c.bad >= maxBad {
		c.bye("", "this is an IMAP server")
		return false
	}
	return true
}

// lost ends a connection from which nothing more can be read, with BYE where that can still be heard.
func (c *conn) lost(ctx context.Context, err error) {
	b := c.nc.Ending()
	switch {
	case b != nil:
		c.bye(b.Code, b.Text)
	case errors.Is(err, wire.ErrTooMuch):
		c.bye("", "that was too much")
	case isTimeout(err):
		c.bye("", "you said nothing for too long")
	case !errors.Is(err, io.EOF):
		c.log.DebugContext(ctx, "IMAP connection lost", "error", err)
	}
}

// bye says why the connection ends, unless it would become part of a literal.
func (c *conn) bye(code, text string) {
	if c.torn {
		return
	}
	c.w.Status("*", "BYE", code, text)
	_ = c.w.Flush() // it ends either way
}

// timedReader reads from the client. Before it waits, it sends what waits to be sent.
type timedReader struct{ c *conn }

func (t timedReader) Read(p []byte) (int, error) {
	c := t.c
	if !c.idling {
		if err := c.w.Flush(); err != nil {
			return 0, err
		}
	}
	deadline := c.deadline
	if c.user != nil {
		deadline = time.Now().Add(c.pause)
	}
	return c.nc.ReadBy(p, deadline)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
