package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/spool"
)

// data answers DATA (RFC 5321 section 4.1.1.4): it reads the message to its end, whatever is wrong with it, and gives one
// answer for all recipients.
func (c *session) data(args string) {
	switch {
	case c.mail == nil:
		c.protocolError(503, "5.5.1", "say MAIL and RCPT first")
		return
	case c.mail.chunked:
		c.protocolError(503, "5.5.1", "the message has been begun with BDAT")
		return
	case !c.without(args):
		return
	case len(c.mail.recipients) == 0:
		c.protocolError(554, "5.5.1", "no recipient was taken")
		return
	}
	if err := c.openSpool(); err != nil {
		c.fail("DATA", err)
		c.reset()
		return
	}
	c.say(reply{354, "", "send the message, and a line with a dot alone as its end"})
	c.wire.expectMessage(c.cfg.Timeouts.Data, c.cfg.Timeouts.Message)
	var refusal *reply
	bare, err := readData(c.wire.in, func(b []byte) error {
		refusal = c.keep(b)
		return c.enough()
	})
	switch {
	case errors.Is(err, errFlood):
		c.say(*tooLarge(c.cfg.Limits.Message))
		c.quit = true
	case err != nil:
		// The message never ended: nothing of it may be read as a command.
		c.lost(err)
	case bare:
		c.say(bareBreakReply)
	case refusal != nil:
		c.say(*refusal)
	default:
		c.store("DATA")
	}
	c.reset()
}

var bareBreakReply = reply{554, "5.6.0", "lines of a message end with CR LF, and neither stands alone"}

// openSpool makes the place for the message, and writes the trace to its top.
func (c *session) openSpool() error {
	m := c.mail
	m.spool = spool.New(c.cfg.SpoolDir, c.cfg.SpoolMemory)
	trace := c.received()
	m.trace = len(trace)
	_, err := m.spool.Write(trace)
	return err
}

// keep adds bytes to the message, or says why it is refused: it is too large, or there is no room for it. Once refused it
// keeps nothing more.
func (c *session) keep(b []byte) *reply {
	m := c.mail
	m.bytes += int64(len(b))
	if m.failed != nil {
		return m.failed
	}
	if m.bytes > c.cfg.Limits.Message {
		m.failed = tooLarge(c.cfg.Limits.Message)
		return m.failed
	}
	if _, err := m.spool.Write(b); err != nil {
		c.cfg.Log.Error("a message can't be spooled", "session", c.id, "error", err)
		m.failed = &reply{452, "4.3.1", "there is no room for the message; try again later"}
	}
	return m.failed
}

var errFlood = errors.New("far more came than a message can have")

// enough gives up on a client that goes on sending long after its message became too large.
func (c *session) enough() error {
	if c.mail.bytes > 2*c.cfg.Limits.Message+(1<<20) {
		return errFlood
	}
	return nil
}

// store hands the whole message over and answers. It returns once the message is stored for every recipient, or for none.
func (c *session) store(command string) {
	m := c.mail
	c.messages++
	started := time.Now()
	if err := m.core.Store(c.srv.ctx, m.spool, m.trace); err != nil {
		c.fail(command, err)
		return
	}
	c.commands = 0
	c.cfg.Log.Info("stored", "session", c.id, "message", c.messageID(), "trace", m.core.Trace(), "remote", c.remote, "from", m.from.String(), "recipients", len(m.recipients),
		"bytes", m.bytes, "took", time.Since(started))
	c.sayf(250, "2.0.0", "stored as %s", c.messageID())
}

// messageID names the message in the log, in Received and in the reply.
func (c *session) messageID() string { return fmt.Sprintf("%s.%d", c.id, c.messages) }

// readData reads the lines of DATA to the one with a dot alone, gives them to keep without the dots that were put before
// others (RFC 5321 section 4.5.2), and reports whether a CR or LF stood alone. Only CRLF ends a line: a dot behind a bare LF is
// text, and so is a dot before one. It gives up with the error of the reader or of keep; then the end was not seen.
func readData(in *bufio.Reader, keep func([]byte) error) (bare bool, err error) {
	fresh := true // at the beginning of a line
	cr := false   // the piece before ended in CR
	for {
		b, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return bare, err
		}
		whole := err == nil
		if fresh && len(b) > 0 && b[0] == '.' {
			if whole && string(b) == ".\r\n" {
				return bare, nil
			}
			b = b[1:]
		}
		text := b
		fresh = false
		if whole {
			switch n := len(b); {
			case n >= 2 && b[n-2] == '\r':
				text, fresh = b[:n-2], true
			case n == 1 && cr:
				text, fresh, cr = nil, true, false
			default:
				text, bare = b[:n-1], true
			}
		}
		if cr { // of the piece before, and no LF came behind it
			bare = true
		}
		cr = false
		if !whole && len(text) > 0 && text[len(text)-1] == '\r' {
			text, cr = text[:len(text)-1], true
		}
		bare = bare || bytes.IndexByte(text, '\r') >= 0
		if err := keep(b); err != nil {
			return bare, err
		}
	}
}
