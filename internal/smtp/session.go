package smtp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/accept"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
)

// session is one connection. Everything but interrupt belongs to the goroutine of run.
type session struct {
	srv    *Server
	cfg    *Config
	raw    net.Conn // the network's side, also under TLS
	wire   *wire
	remote netip.Addr
	id     string
	begun  time.Time
	// ctx ends when the session is interrupted: for what it waits for that is no message.
	ctx    context.Context
	cancel context.CancelFunc
	visit  Visit // nil where everybody is let in

	secure   bool   // under TLS
	tlsText  string // for Received
	hello    string // the client's name for itself, "" before EHLO or HELO
	extended bool   // it said EHLO
	signIn   *SignIn
	signedIn chan struct{}  // closed when the session ends, so that the watcher of signIn does
	watcher  sync.WaitGroup // of signIn
	mail     *mail          // between MAIL and the end of its message
	errors   int
	refused  int
	failures int // of AUTH
	messages int
	commands int // since the last message
	quit     bool

	mu       sync.Mutex
	farewell *reply // why interrupt was called
}

func newSession(srv *Server, conn net.Conn) *session {
	c := &session{
		srv: srv, cfg: &srv.cfg, raw: conn, wire: newWire(conn, srv.cfg.Timeouts.Write),
		remote: accept.Address(conn), id: id.UUID()[:13], begun: time.Now(), signedIn: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(srv.ctx)
	return c
}

// submission reports whether this is a server for users.
func (c *session) submission() bool { return c.cfg.Authenticate != nil }

// user is the id of who has signed in; empty for nobody.
func (c *session) user() string {
	if c.signIn == nil {
		return ""
	}
	return c.signIn.Principal.ID
}

// refuse answers a connection that has no place here, and closes it.
func (c *session) refuse(enhanced, why string, implicitTLS bool) {
	defer c.cancel()
	defer c.raw.Close()
	if implicitTLS { // a handshake for a refusal would cost more than a session
		return
	}
	c.sayf(421, enhanced, "%s %s", c.cfg.Hostname, why)
	_ = c.wire.out.Flush()
}

// interrupt ends the session from outside, with a last reply: when it next waits for a command, or with inMessageToo at once.
func (c *session) interrupt(code int, enhanced, text string, inMessageToo bool) {
	c.mu.Lock()
	if c.farewell == nil {
		c.farewell = &reply{code, enhanced, text}
	}
	c.mu.Unlock()
	c.wire.interrupt(inMessageToo)
	c.cancel()
}

func (c *session) interruption() reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.farewell
}

// run is the session from its first byte to its last.
func (c *session) run(implicitTLS bool) {
	defer c.end()
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Log.Error("a session failed", "session", c.id, "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if !c.admitted(implicitTLS) || implicitTLS && !c.startTLS() {
		return
	}
	c.say(reply{220, "", c.cfg.Hostname + " ESMTP ready"})
	for !c.quit {
		c.wire.expectCommand(c.cfg.Timeouts.Command, c.signInBy())
		line, err := c.wire.line(c.lineLimit())
		switch {
		case err == nil:
			c.command(string(line))
		case errors.Is(err, errLineTooLong):
			c.protocolError(500, "5.5.2", "the line is too long")
		case errors.Is(err, errBareBreak):
			c.protocolError(500, "5.5.2", "a line ends with CR LF, and neither stands alone")
		default:
			c.lost(err)
			return
		}
	}
}

// admitted asks whether the client may come in, and waits until it may be greeted.
func (c *session) admitted(implicitTLS bool) bool {
	if c.cfg.Admit == nil {
		return true
	}
	visit, err := c.cfg.Admit(c.ctx, c.remote)
	if err != nil {
		why := "has a problem; try again later"
		if f := fault.As(err); f != nil {
			why = f.Message
		} else {
			c.cfg.Log.Error("a client could not be let in", "session", c.id, "remote", c.remote, "error", err)
		}
		c.refuse("4.7.0", why, implicitTLS)
		return false
	}
	c.visit = visit
	quiet := visit.Quiet()
	if quiet <= 0 || implicitTLS { // under TLS the client speaks first
		return true
	}
	c.wire.expectCommand(quiet, time.Time{})
	_, err = c.wire.in.Peek(1)
	var timeout net.Error
	switch {
	case err == nil:
		c.say(reply{554, "5.5.1", c.cfg.Hostname + " " + visit.Spoke().Error()})
		return false
	case errors.As(err, &timeout) && timeout.Timeout():
		return true
	}
	c.lost(err)
	return false
}

// signInBy is when a client of submission must have signed in; zero for others.
func (c *session) signInBy() time.Time {
	if !c.submission() || c.signIn != nil {
		return time.Time{}
	}
	return c.begun.Add(c.cfg.Timeouts.SignIn)
}

func (c *session) lineLimit() int {
	if c.submission() && c.signIn == nil {
		return authLimit
	}
	return commandLimit
}

// lost ends the session after a read that failed.
func (c *session) lost(err error) {
	var timeout net.Error
	switch {
	case errors.Is(err, errInterrupted):
		c.say(c.interruption())
	case errors.As(err, &timeout) && timeout.Timeout():
		c.sayf(421, "4.4.2", "%s waited too long", c.cfg.Hostname)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	default:
		c.cfg.Log.Debug("a connection was lost", "session", c.id, "remote", c.remote, "error", err)
	}
	c.quit = true
}

// end lets go of everything the session holds. The last replies go out first.
func (c *session) end() {
	c.reset()
	_ = c.wire.out.Flush()
	if c.secure {
		// Says good-bye to TLS and closes; a client that does not listen any more does not matter.
		_ = c.wire.conn.Close()
	}
	_ = c.raw.Close()
	close(c.signedIn)
	c.cancel()
	if c.visit != nil {
		c.visit.Close()
	}
	if c.signIn != nil {
		c.signIn.Close()
	}
	c.watcher.Wait()
}

// protocolError refuses a command for its form or order, and ends the session after too many.
func (c *session) protocolError(code int, enhanced, text string) {
	if c.errors++; c.errors > c.cfg.Limits.Errors {
		c.hangUp("4.7.0", "too many errors")
		return
	}
	c.say(reply{code, enhanced, text})
}

// hangUp ends the session with 421.
func (c *session) hangUp(enhanced, why string) {
	c.sayf(421, enhanced, "%s %s", c.cfg.Hostname, why)
	c.quit = true
}

// reset forgets the message that was begun.
func (c *session) reset() {
	if c.mail == nil {
		return
	}
	if err := c.mail.close(); err != nil {
		c.cfg.Log.Error("a spool can't be closed", "session", c.id, "error", err)
	}
	c.mail = nil
}
