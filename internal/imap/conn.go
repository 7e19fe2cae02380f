package imap

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// conn is one connection. Its fields belong to the goroutine of serve, but for stopping.
type conn struct {
	s       *Server
	raw     net.Conn // as it was accepted: for stop
	nc      net.Conn // raw, or TLS on it
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
	cancel                 context.CancelFunc
	watchers               sync.WaitGroup // wait for the end of cancel's context
	stopping               atomic.Pointer[goodbye]
}

// goodbye is why the server ends a connection.
type goodbye struct {
	code, text string
	now        bool // without waiting for the command that runs
}

// The limits of patience with one connection.
const (
	maxBad     = 10 // commands in a row that are not understood, before sign-in
	maxRefused = 5  // refused sign-ins
)

func newConn(s *Server, nc net.Conn, address netip.Addr) *conn {
	c := &conn{s: s, raw: nc, nc: nc, address: address, id: rand.Text()[:10], deadline: time.Now().Add(s.SignInTime), pause: s.AutoLogout}
	c.log = s.Log.With("connection", c.id, "address", address)
	_, c.protected = nc.(*tls.Conn)
	c.w = wire.NewWriter(timedWriter{c}, s.buffer, s.release)
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
	// Commands end with the connection, not with the server, which lets them finish.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer c.watchers.Wait()
	defer cancel()
	c.cancel = cancel
	stop := context.AfterFunc(ctx, func() {
		c.stop(goodbye{code: "UNAVAILABLE", text: "the server is shutting down"})
		hard := time.AfterFunc(c.s.Grace, func() { c.stop(goodbye{text: "the server is shutting down", now: true}) })
		context.AfterFunc(work, func() { hard.Stop() })
	})
	defer stop()
	defer c.close()
	defer func() {
		if p := recover(); p != nil {
			c.log.ErrorContext(ctx, "IMAP connection failed", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if t, ok := c.nc.(*tls.Conn); ok && !c.handshake(work, t) {
		return
	}
	c.w.Status("*", "OK", "CAPABILITY "+c.capabilities(), "Pennypost ready")
	for c.step(work) {
	}
}

// close ends what the connection holds.
func (c *conn) close() {
	err := c.w.Flush()
	if t, ok := c.nc.(*tls.Conn); ok && err != nil {
		_ = t.NetConn().Close() // TLS would wait for a client that reads nothing, to say goodbye
	}
	_ = c.nc.Close() // the client may be gone already
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
	if b := c.stopping.Load(); b != nil {
		c.bye(b.code, b.text)
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
	b := c.stopping.Load()
	switch {
	case b != nil:
		c.bye(b.code, b.text)
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

// stop ends the connection from another goroutine: as soon as it waits for the client, or at once.
func (c *conn) stop(b goodbye) {
	c.stopping.Store(&b)
	if b.now {
		c.cancel()
		_ = c.raw.SetWriteDeadline(time.Now().Add(c.lastWords()))
	}
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // wakes the read that waits
}

// lastWords is how long the client has to read what is on its way when its session is ended.
func (c *conn) lastWords() time.Duration { return min(500*time.Millisecond, c.s.WriteTime) }

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
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	// stop sets stopping first and the deadline then, this the other way round: one of the two sees the other.
	if c.stopping.Load() != nil {
		return 0, errStopping
	}
	return c.nc.Read(p)
}

var errStopping = errors.New("the connection is being ended")

// timedWriter writes to the client, which must take each piece in time.
type timedWriter struct{ c *conn }

// writePiece is how many bytes must be read in Config.WriteTime.
const writePiece = 64 << 10

func (t timedWriter) Write(p []byte) (written int, err error) {
	c := t.c
	for len(p) > 0 && err == nil {
		patience := c.s.WriteTime
		if b := c.stopping.Load(); b != nil && b.now {
			patience = c.lastWords()
		}
		if err := c.nc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return written, err
		}
		var n int
		n, err = c.nc.Write(p[:min(len(p), writePiece)])
		written += n
		p = p[n:]
	}
	return written, err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
