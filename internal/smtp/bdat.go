package smtp

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"time"
)

// bdat answers BDAT (RFC 3030). The bytes of a chunk follow the command whatever the answer is, so they are read first.
func (c *session) bdat(args string) {
	size, last, ok := parseBDAT(args)
	if !ok { // how many bytes follow is not known: what comes next may be text, so nothing more is read
		c.sayf(501, "5.5.4", "say BDAT <bytes> [LAST]")
		c.quit = true
		return
	}
	if c.mail != nil && !c.mail.chunked && len(c.mail.recipients) > 0 {
		c.mail.chunked, c.mail.begun = true, time.Now()
		if err := c.openSpool(); err != nil {
			r := replyTo(err)
			c.cfg.Log.Error("a message can't be spooled", "session", c.id, "error", err)
			c.mail.failed = &r
		}
	}
	if c.mail == nil || !c.mail.chunked {
		// Nobody waits for these bytes longer than for a command: whoever did not sign in can send them too.
		if c.skip(size) {
			c.protocolError(503, "5.5.1", "say MAIL and RCPT first")
		}
		return
	}
	if size == 0 && !last && c.idled() { // brings nothing forward
		return
	}
	m := c.mail
	c.wire.expectMessage(c.cfg.Timeouts.Data, c.cfg.Timeouts.Message-time.Since(m.begun))
	if !c.chunk(size) {
		return
	}
	if last && m.breaks.bare() && m.failed == nil {
		m.failed = &bareBreakReply
	}
	switch {
	case m.failed != nil:
		c.say(*m.failed)
	case last:
		c.store("BDAT")
	default:
		c.sayf(250, "2.0.0", "%d bytes taken", size)
	}
	if last {
		c.reset()
	}
}

// parseBDAT reads the arguments of BDAT.
func parseBDAT(args string) (size int64, last, ok bool) {
	number, rest, hasRest := strings.Cut(args, " ")
	n, err := strconv.ParseUint(number, 10, 62)
	if err != nil || len(number) > 19 || hasRest && !strings.EqualFold(rest, "LAST") {
		return 0, false, false
	}
	return int64(n), hasRest, true
}

// skip reads past a chunk that nobody wants. It reports whether the session can go on.
func (c *session) skip(size int64) bool {
	if size > c.cfg.Limits.Message {
		c.say(*tooLarge(c.cfg.Limits.Message))
		c.quit = true
		return false
	}
	if _, err := io.CopyN(io.Discard, c.wire.in, size); err != nil {
		c.lost(err)
		return false
	}
	return true
}

// chunk reads a chunk of the message. It reports whether the session can go on.
func (c *session) chunk(size int64) bool {
	for size > 0 {
		// One byte is waited for, then whatever is there is taken.
		if _, err := c.wire.in.Peek(1); err != nil {
			c.lost(err)
			c.reset()
			return false
		}
		b, err := c.wire.in.Peek(int(min(size, int64(c.wire.in.Buffered()))))
		if err != nil {
			c.lost(err)
			c.reset()
			return false
		}
		c.mail.breaks.check(b)
		c.keep(b)
		n, _ := c.wire.in.Discard(len(b)) // can't fail: they are buffered
		size -= int64(n)
		if c.enough() != nil {
			c.say(*tooLarge(c.cfg.Limits.Message))
			c.quit = true
			return false
		}
	}
	return true
}

// breakChecker looks for a CR or LF that stands alone in bytes that come in pieces.
type breakChecker struct {
	found bool
	cr    bool // the last piece ended in CR
}

func (k *breakChecker) check(b []byte) {
	for len(b) > 0 && !k.found {
		if k.cr {
			k.cr = false
			if b[0] != '\n' {
				k.found = true
				return
			}
			b = b[1:]
			continue
		}
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			return
		}
		if b[i] == '\n' {
			k.found = true
			return
		}
		k.cr = true
		b = b[i+1:]
	}
}

// bare reports whether one was found, at the end of the message.
func (k *breakChecker) bare() bool { return k.found || k.cr }
