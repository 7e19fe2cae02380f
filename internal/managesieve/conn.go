package managesieve

import (
	"bufio"
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
)

// conn is one connection. Its fields belong to the goroutine of serve, but for stopping.
type conn struct {
	s       *Server
	raw     net.Conn // as it was accepted: for stop
	nc      net.Conn // raw, or TLS on it
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
	cancel       context.CancelFunc
	stopping     atomic.Pointer[goodbye]
}

// goodbye is why the server ends a connection.
type goodbye struct {
	code, text string
	now        bool // without waiting for the command that runs
}

// The limits of patience with one connection.
const (
	maxBad     = 10 // commands in a row that are not understood
	maxRefused = 5  // refused sign-ins
)

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, raw: nc, nc: nc, address: remoteAddress(nc), id: rand.Text()[:10], deadline: time.Now().Add(s.SignInTime)}
	c.log = s.Log.With("connection", c.id, "address", c.address)
	c.w = bufio.NewWriter(timedWriter{c})
	c.r = newReader(timedReader{c})
	return c
}

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	// Commands end with the connection, not with the server, which lets them finish.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer c.watchers.Wait()
	defer cancel()
	c.cancel = cancel
	stop := context.AfterFunc(ctx, func() {
		c.stop(goodbye{code: "TRYLATER", text: "the server is shutting down"})
		hard := time.AfterFunc(c.s.Grace, func() { c.stop(goodbye{code: "TRYLATER", text: "the server is shutting down", now: true}) })
		context.AfterFunc(work, func() { hard.Stop() })
	})
	defer stop()
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
	err := c.w.Flush()
	if t, ok := c.nc.(*tls.Conn); ok && err != nil {
		_ = t.NetConn().Close() // TLS would wait for a client that reads nothing, to say goodbye
	}
	_ = c.nc.Close() // the client may be gone already
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
	if b := c.stopping.Load(); b != nil && b.now { // its context was cancelled under it
		c.bye(b.code, b.text)
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
	if b := c.stopping.Load(); b != nil {
		c.bye(b.code, b.text)
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
	b := c.stopping.Load()
	var timeout net.Error
	switch {
	case b != nil:
		c.bye(b.code, b.text)
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

// stop ends the connection from another goroutine: as soon as it waits for the client, or at once.
func (c *conn) stop(b goodbye) {
	c.stopping.Store(&b)
	if b.now {
		c.cancel()
		_ = c.raw.SetWriteDeadline(time.Now().Add(lastWords))
	}
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // wakes the read that waits
}

// lastWords is how long the client has to read what is on its way when its session is ended.
const lastWords = 500 * time.Millisecond

// startTLS protects the connection. What the client sent behind STARTTLS came unprotected, perhaps from somebody else, and is forgotten
// (CVE-2011-0411).
func (c *conn) startTLS(ctx context.Context) bool {
	if n := c.r.in.Buffered(); n > 0 {
		c.log.WarnContext(ctx, "bytes behind STARTTLS were thrown away", "bytes", n)
	}
	if c.w.Flush() != nil {
		return false
	}
	t := tls.Server(c.nc, c.s.TLS)
	c.nc = t
	if t.SetDeadline(c.deadline) != nil || c.stopping.Load() != nil {
		return false
	}
	if err := t.HandshakeContext(ctx); err != nil {
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
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	// stop sets stopping first and the deadline then, this the other way round: one of the two sees the other.
	if c.stopping.Load() != nil {
		return 0, errStopping
	}
	n, err := c.nc.Read(p)
	c.inCommand = true
	return n, err
}

var errStopping = errors.New("the connection is being ended")

// timedWriter writes to the client, which must take it in time.
type timedWriter struct{ c *conn }

func (t timedWriter) Write(p []byte) (int, error) {
	patience := t.c.s.WriteTime
	if b := t.c.stopping.Load(); b != nil && b.now {
		patience = min(patience, lastWords)
	}
	if err := t.c.nc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return t.c.nc.Write(p)
}
