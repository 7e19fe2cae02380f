package imaptest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Conn is a connection of a client. What it can't say or hear fails the test, which shows the conversation.
type Conn struct {
	net.Conn
	In  *bufio.Reader
	Log bytes.Buffer // the conversation
	t   testing.TB
}

// NewConn makes a Conn of a connection, with a minute for what comes next.
func NewConn(t testing.TB, nc net.Conn) *Conn {
	c := &Conn{Conn: nc, In: bufio.NewReader(nc), t: t}
	c.Wait()
	return c
}

// Wait gives the server another minute.
func (c *Conn) Wait() { _ = c.SetDeadline(time.Now().Add(time.Minute)) }

// Send sends bytes as they are.
func (c *Conn) Send(raw string) {
	c.t.Helper()
	c.Log.WriteString("> " + raw)
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatalf("send %.100q: %v", raw, err)
	}
}

// Line reads a line, without its line break.
func (c *Conn) Line() string {
	c.t.Helper()
	s, err := c.In.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v after %q; the conversation was\n%s", err, s, c.Log.String())
	}
	c.Log.WriteString("< " + s)
	return strings.TrimSuffix(s, "\r\n")
}

// Ended reports whether the server closed the connection, instead of saying more or nothing.
func (c *Conn) Ended() bool {
	_, err := c.In.ReadByte()
	timeout, ok := err.(net.Error)
	return err != nil && !(ok && timeout.Timeout())
}
