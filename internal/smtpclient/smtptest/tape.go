package smtptest

import (
	"bytes"
	"io"
	"net"
	"time"
)

// Tape is a connection that plays what the other side sent and records what is said to it. Addresses are those of a client and a server.
type Tape struct {
	In  io.Reader
	Out bytes.Buffer
}

// Read plays.
func (c *Tape) Read(p []byte) (int, error) { return c.In.Read(p) }

// Write records.
func (c *Tape) Write(p []byte) (int, error) { return c.Out.Write(p) }

// Close does nothing, as do the other methods of net.Conn.
func (c *Tape) Close() error { return nil }

// LocalAddr is one of loopback.
func (c *Tape) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// RemoteAddr is one of elsewhere.
func (c *Tape) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 12345} }

// SetDeadline does nothing.
func (c *Tape) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *Tape) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *Tape) SetWriteDeadline(time.Time) error { return nil }
