package imap

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/accept"
)

// maxDone is the longest line that may end an IDLE.
const maxDone = 1000

// idle answers IDLE (RFC 2177): until the client says DONE, it hears of what happens in its folder at once. The reader
// waits beside, in a goroutine that ends before this returns.
func (c *conn) idle(ctx context.Context) (result, error) {
	c.w.Raw("+ idling\r\n")
	if err := c.tellNews(ctx); err != nil {
		return result{}, err
	}
	var line string
	read := make(chan error, 1)
	c.idling = true
	go func() {
		b, err := c.r.ReadContinuation(maxDone)
		line = string(b)
		read <- err
	}()
	told, err := c.tellUntil(ctx, read)
	c.idling = false
	switch {
	case told != nil:
		return result{}, told
	case err != nil:
		return result{}, reading(err)
	case !strings.EqualFold(line, "DONE"):
		return result{}, bad("IDLE ends with DONE")
	}
	return result{}, nil
}

// tellUntil tells the client what is new until the reader is done, whose error it returns beside its own.
func (c *conn) tellUntil(ctx context.Context, read <-chan error) (told, err error) {
	var notice <-chan struct{}
	if c.sel != nil {
		notice = c.sel.notice.C
	}
	still := time.NewTicker(c.s.IdleNotice)
	defer still.Stop()
	for told == nil {
		select {
		case err := <-read:
			return nil, err
		case <-notice:
			told = c.tellNews(ctx)
		case <-still.C:
			c.w.Status("*", "OK", "", "still here")
			told = c.tellNews(ctx)
		}
	}
	c.nc.End(accept.Goodbye{Text: goodbyeText(told)}) // wakes the reader
	return told, <-read
}

// tellNews tells what is new in the folder and sends it. An error means that the connection is at its end.
func (c *conn) tellNews(ctx context.Context) error {
	if c.sel != nil {
		if err := c.update(ctx, true, true); endsConnection(err) {
			return err
		} else if err != nil { // the next notice, or the next command, tries again
			c.log.ErrorContext(ctx, "IMAP folder can't be looked at", "mailbox", c.box, "error", err)
		}
	}
	return reading(c.w.Flush())
}

func goodbyeText(err error) string {
	var h *hangUp
	if errors.As(err, &h) {
		return h.text
	}
	return "the connection is lost"
}
