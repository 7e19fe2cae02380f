package managesieve

import (
	"bufio"
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
)

// conn is one connection. Its fields belong to the goroutine of serve, but for stopping.
type conn struct {
	s       *Server
	nc      *accept.Conn
	address netip.Addr
	id      string
	log     *slog.Logger
	r       *reader
	w       *bufio.Writer

	protected bool      // TLS
	deadline  time.Time // for signing in
	inCommand bool      // some of a command was read

	user    *SignedIn // nil before sign-in
	signOut func()    // ends the watch over the user's session

	bad, refused int
	watchers     sync.WaitGroup
}

// The limits of patience with one connection.
const (
	maxBad     = 10 // commands in a row that are not understood
	maxRefused = 5  // refused sign-ins
)

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: accept.NewConn(nc, s.WriteTime), address: accept.Address(nc), id: rand.Text()[:10], deadline: time.Now().Add(s.SignInTime)}
	c.log = s.Log.With("connection", c.id, "address", c.address)
	c.w = bufio.NewWriter(c.nc)
	c.r = newReader(timedReader{c})
	return c
}

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	work, end := c.nc.Begin(ctx, c.s.Grace, accept.Goodbye{Code: "TRYLATER", Text: "the server is shutting down"})
	defer c.watchers.Wait()
	defer end()
	defer c.close()
	defer func() {
		if p := recover(); p != nil {
			c.log.ErrorContext(ctx, "ManageSieve connection failed", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	c.capabilities()
	c.say(ok("", "Pennypost ready"))
	for c.step(work) {
	}
}

// close ends what the connection holds.
func (c *conn) close() {
	c.nc.Close(c.w.Flush() != nil)
	c.forgetUser()
}

// step reads and runs one command. It returns false at the connection's end.
func (c *conn) step(ctx context.Context) bool {
	words, err := c.read()
	var syntax *syntaxError
	if err != nil && !errors.As(err, &syntax) {
		c.lost(ctx, err)
		return false
	}
	var answer reply
	if syntax != nil {
		answer = misunderstood(syntax.text)
	} else {
		answer = c.run(ctx, words)
	}
	if b := c.nc.Ending(); b != nil && b.Now { // its context was cancelled under it
		c.bye(b.Code, b.Text)
		return false
	}
	if answer.status == "" { // nothing more can be said
		return false
	}
	if c.bad++; !answer.misunderstood {
		c.bad = 0
	}
	c.say(answer)
	switch {
	case answer.status == "BYE" || answer.last:
		return false
	case c.bad >= maxBad:
		c.bye("", "this is a ManageSieve server")
		return false
	case answer.startTLS:
		return c.startTLS(ctx)
	}
	if b := c.nc.Ending(); b != nil {
		c.bye(b.Code, b.Text)
		return false
	}
	return true
}

// read reads a command or a response.
func (c *conn) read() ([]word, error) {
	c.inCommand = false
	return c.r.words()
}

// lost ends a connection from which nothing more can be read, with BYE where that can still be heard.
func (c *conn) lost(ctx context.Context, err error) {
	b := c.nc.Ending()
	var timeout net.Error
	switch {
	case b != nil:
		c.bye(b.Code, b.Text)
	case errors.Is(err, errTooMuch):
		c.bye("", "that was too much")
	case errors.Is(err, errBareEnd):
		c.bye("", "lines end with CR LF, and neither stands alone")
	case errors.Is(err, errAsks):
		c.bye("", "a literal is announced as {size+}, and not asked for")
	case errors.As(err, &timeout) && timeout.Timeout():
		c.bye("", "you said nothing for too long")
	case !errors.Is(err, io.EOF):
		c.log.DebugContext(ctx, "ManageSieve connection lost", "error", err)
	}
}

// bye says why the connection ends.
func (c *conn) bye(code, text string) {
	c.say(reply{status: "BYE", code: code, text: text})
	_ = c.w.Flush() // it ends either way
}

// startTLS protects the connection. What the client sent behind STARTTLS came unprotected, perhaps from somebody else, and is forgotten
// (CVE-2011-0411).
func (c *conn) startTLS(ctx context.Context) bool {
	if n := c.r.in.Buffered(); n > 0 {
		c.log.WarnContext(ctx, "bytes behind STARTTLS were thrown away", "bytes", n)
	}
	if c.w.Flush() != nil {
		return false
	}
	if err := c.nc.StartTLS(ctx, c.s.TLS, c.deadline); err != nil {
		c.log.DebugContext(ctx, "TLS handshake failed", "error", err)
		return false
	}
	c.protected = true
	c.r = newReader(timedReader{c})
	c.capabilities() // RFC 5804 section 2.2: what was said before may have been somebody else's words
	c.say(ok("", "protected"))
	return true
}

// timedReader reads from the client. Before it waits, it sends what waits to be sent.
type timedReader struct{ c *conn }

func (t timedReader) Read(p []byte) (int, error) {
	c := t.c
	if err := c.w.Flush(); err != nil {
		return 0, err
	}
	deadline := c.deadline
	if c.user != nil {
		pause := c.s.AutoLogout
		if c.inCommand {
			pause = c.s.ReadTime
		}
		deadline = time.Now().Add(pause)
	}
	n, err := c.nc.ReadBy(p, deadline)
	c.inCommand = true
	return n, err
}
