package scan

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Clamd is a virus scanner beside the server, asked by INSTREAM.
type Clamd struct {
	// Network and Address are where it listens, as for net.Dial: unix or tcp.
	Network, Address string
	// Timeout bounds one scan, with waiting for its turn; 0 means 60 seconds.
	Timeout time.Duration
	turns   *turns
}

const (
	scanTimeout = time.Minute
	dialTimeout = 5 * time.Second
	chunk       = 64 << 10
	maxReply    = 4 << 10
)

// NewClamd returns a scanner at an address: unix:/path, or host:port.
func NewClamd(address string) *Clamd {
	c := &Clamd{Network: "tcp", Address: address, turns: newTurns()}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		c.Network, c.Address = "unix", path
	}
	return c
}

var (
	// errTooLarge says that clamd takes no messages of this size (its StreamMaxLength).
	errTooLarge = errors.New("clamd takes no message of this size (StreamMaxLength)")
	// errDown says that clamd can't be reached, or ended the connection without a word. Time that runs out says nothing of the kind: whoever
	// sends enough, or what takes long enough, can bring that about.
	errDown = errors.New("clamd is down")
)

// scan returns the name of the virus in a message of a user, or else of a network; empty for none.
func (c *Clamd) scan(ctx context.Context, text []byte, submitted bool, from netip.Addr) (virus string, err error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = scanTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	back, err := c.turns.take(ctx, submitted, from)
	if err != nil {
		return "", err
	}
	defer back()
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, c.Network, c.Address)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", fmt.Errorf("clamd: %w", err)
	case err != nil:
		return "", fmt.Errorf("%w: %w", errDown, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends what runs
	defer stop()
	sent := send(conn, text)
	reply, err := io.ReadAll(io.LimitReader(conn, maxReply+1))
	if end := bytes.IndexByte(reply, 0); end >= 0 {
		return parseReply(string(reply[:end])) // one that was not sent all says so
	}
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("clamd: %w", ctx.Err())
	case len(reply) == 0:
		return "", fmt.Errorf("%w: %w", errDown, cmp.Or(sent, err, io.ErrUnexpectedEOF))
	case sent != nil:
		return "", fmt.Errorf("clamd: %w", sent)
	case err != nil:
		return "", fmt.Errorf("clamd: %w", err)
	}
	return "", fmt.Errorf("clamd: an answer of %d bytes without an end", len(reply))
}

// send sends the command and the message in chunks with their lengths in front, the last of which is 0.
func send(w io.Writer, text []byte) error {
	if _, err := io.WriteString(w, "zINSTREAM\x00"); err != nil {
		return err
	}
	var length [4]byte
	for {
		n := min(len(text), chunk)
		binary.BigEndian.PutUint32(length[:], uint32(n))
		b := net.Buffers{length[:], text[:n]}
		if _, err := b.WriteTo(w); err != nil || n == 0 {
			return err
		}
		text = text[n:]
	}
}

// parseReply reads an answer: "stream: OK", "stream: NAME FOUND", "… ERROR".
func parseReply(s string) (virus string, err error) {
	s = strings.TrimSpace(s)
	rest, found := strings.CutPrefix(s, "stream: ")
	switch {
	case found && rest == "OK":
		return "", nil
	case found && strings.HasSuffix(rest, " FOUND"):
		if virus = printable(strings.TrimSpace(strings.TrimSuffix(rest, " FOUND"))); virus == "" {
			virus = "a virus"
		}
		return virus, nil
	case strings.Contains(s, "size limit exceeded"):
		return "", errTooLarge
	}
	return "", fmt.Errorf("clamd answers %q", printable(s))
}

// maxName is how much of a name is told.
const maxName = 100

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > 126 {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxName)]
}
