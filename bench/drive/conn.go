package drive

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// patience is how long one answer may take before a server counts as hanging.
const patience = 60 * time.Second

// conn is a connection with a buffered reader and a deadline per exchange.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// dial opens a connection, over TLS when config is not nil, and finishes the handshake.
func dial(ctx context.Context, address string, config *tls.Config, buffer int) (*conn, error) {
	return dialFrom(ctx, nil, address, config, buffer)
}

// dialFrom is dial from an address of this machine, nil for any.
func dialFrom(ctx context.Context, from net.IP, address string, config *tls.Config, buffer int) (*conn, error) {
	d := net.Dialer{Timeout: patience}
	if from != nil {
		d.LocalAddr = &net.TCPAddr{IP: from}
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if config != nil {
		t := tls.Client(c, config)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS with %s: %w", address, err), c.Close())
		}
		c = t
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, buffer)}, nil
}

// begin starts an exchange: whatever it reads and writes has to be over in time.
func (c *conn) begin() error { return broken(c.SetDeadline(time.Now().Add(patience))) }

// line reads a line without its CRLF, which is valid until the next read. Of a line longer than the buffer it keeps the
// beginning and throws away the middle; tail is the last part read, so that a literal's announcement is always seen.
func (c *conn) line() (head, tail []byte, err error) {
	part, err := c.r.ReadSlice('\n')
	if err == nil {
		head = trim(part)
		return head, head, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, nil, broken(err)
	}
	head = append([]byte(nil), part...)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = c.r.ReadSlice('\n')
	}
	if err != nil {
		return nil, nil, broken(err)
	}
	return head, trim(part), nil
}

func trim(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}

func (c *conn) send(b []byte) error {
	_, err := c.Write(b)
	return broken(err)
}

// skip throws n bytes away.
func (c *conn) skip(n int64) error {
	if n <= int64(c.r.Buffered()) {
		_, err := c.r.Discard(int(n))
		return broken(err)
	}
	_, err := io.CopyN(io.Discard, c.r, n)
	return broken(err)
}
