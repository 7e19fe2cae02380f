package accept

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// Conn is a connection that other goroutines may end. Everything but End and Ending belongs to one goroutine, which reads and writes; another may
// read beside it.
type Conn struct {
	raw       net.Conn // as it was accepted: for End
	nc        net.Conn // raw, or TLS on it
	writeTime time.Duration
	cancel    context.CancelFunc
	ending    atomic.Pointer[Goodbye]
}

// Goodbye is why the server ends a connection.
type Goodbye struct {
	Code, Text string
	Now        bool // without waiting for the command that runs
}

// ErrEnding is that of a read or handshake that was not begun, or broken off, because the connection is to end.
var ErrEnding = errors.New("the connection is being ended")

// writePiece is how many bytes must be taken in the time for writing.
const writePiece = 64 << 10

// NewConn returns nc, whose client must take each 64 KB within writeTime.
func NewConn(nc net.Conn, writeTime time.Duration) *Conn {
	return &Conn{raw: nc, nc: nc, writeTime: writeTime}
}

// Begin returns the context of the connection's work, which ends with the connection, by calling end, and not with the server: when ctx
// ends, the client hears goodbye as soon as no command runs, and after grace at once.
func (c *Conn) Begin(ctx context.Context, grace time.Duration, goodbye Goodbye) (work context.Context, end func()) {
	work, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		c.End(goodbye)
		goodbye.Now = true
		hard := time.AfterFunc(grace, func() { c.End(goodbye) })
		context.AfterFunc(work, func() { hard.Stop() })
	})
	return work, func() {
		stop()
		c.cancel()
	}
}

// End ends the connection from another goroutine, which has Begin behind it: as soon as it waits for the client, or at once.
func (c *Conn) End(g Goodbye) {
	c.ending.Store(&g)
	if g.Now {
		c.cancel()
		_ = c.raw.SetWriteDeadline(time.Now().Add(c.lastWords()))
	}
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // wakes the read that waits
}

// Ending is why the connection is to end, nil if it isn't.
func (c *Conn) Ending() *Goodbye { return c.ending.Load() }

// lastWords is how long the client has to read what is on its way when its session is ended.
func (c *Conn) lastWords() time.Duration { return min(500*time.Millisecond, c.writeTime) }

// ReadBy reads what the client sends before a time.
func (c *Conn) ReadBy(p []byte, deadline time.Time) (int, error) {
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	// End sets ending first and the deadline then, this the other way round: one of the two sees the other.
	if c.ending.Load() != nil {
		return 0, ErrEnding
	}
	return c.nc.Read(p)
}

// Write sends p to the client, which must take each piece in time.
func (c *Conn) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		err = c.nc.SetWriteDeadline(time.Now().Add(c.writeTime))
		if g := c.ending.Load(); g != nil && g.Now { // looked at after the deadline, as above
			err = c.nc.SetWriteDeadline(time.Now().Add(c.lastWords()))
		}
		if err != nil {
			return written, err
		}
		var n int
		n, err = c.nc.Write(p[:min(len(p), writePiece)])
		written += n
		p = p[n:]
	}
	return written, err
}

// TLS is the connection's TLS, nil where there is none yet.
func (c *Conn) TLS() *tls.Conn {
	t, _ := c.nc.(*tls.Conn)
	return t
}

// StartTLS puts TLS on the connection and finishes its handshake; see Handshake.
func (c *Conn) StartTLS(ctx context.Context, config *tls.Config, deadline time.Time) error {
	c.nc = tls.Server(c.nc, config)
	return c.Handshake(ctx, deadline)
}

// Handshake finishes TLS's handshake before a time.
func (c *Conn) Handshake(ctx context.Context, deadline time.Time) error {
	t := c.TLS()
	if err := t.SetDeadline(deadline); err != nil {
		return err
	}
	if c.ending.Load() != nil {
		return ErrEnding
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	return t.SetDeadline(time.Time{})
}

// Close closes the connection; lost says that the client took no more of what was written.
func (c *Conn) Close(lost bool) {
	if t := c.TLS(); t != nil && lost {
		_ = t.NetConn().Close() // TLS would wait for a client that reads nothing, to say goodbye
	}
	_ = c.nc.Close() // the client may be gone already
}
