package imap

import (
	"context"
	"strings"
	"time"
)

// idle answers IDLE (RFC 2177): until the client says DONE, it hears of what happens in its folder at once. The reader
// waits beside, in a goroutine that ends before this returns.
func (c *conn) idle(ctx context.Context) (result, error) {
	c.w.Raw("+ idling\r\n")
	if c.sel != nil {
		if err := c.update(ctx, true, true); err != nil {
			return result{}, err
		}
	}
	if err := c.w.Flush(); err != nil {
		return result{}, reading(err)
	}
	c.idling = true
	line := make(chan []byte, 1)
	failed := make(chan error, 1)
	go func() {
		b, err := c.r.ReadContinuation(maxDone)
		if err != nil {
			failed <- err
			return
		}
		line <- b
	}()
	var notice <-chan struct{}
	if c.sel != nil {
		notice = c.sel.notice.C
	}
	still := time.NewTicker(c.s.IdleNotice)
	defer still.Stop()
	var err error // of telling; the reader is waited for all the same
	for {
		select {
		case b := <-line:
			c.idling = false
			if err == nil && !strings.EqualFold(string(b), "DONE") {
				err = bad("IDLE ends with DONE")
			}
			return result{}, err
		case e := <-failed:
			c.idling = false
			if err == nil {
				err = reading(e)
			}
			return result{}, err
		case <-notice:
			err = c.update(ctx, true, true)
		case <-still.C:
			c.w.Status("*", "OK", "", "still here")
		}
		if e := c.w.Flush(); err == nil && e != nil {
			err = reading(e)
		}
		if err != nil { // wakes the reader: the connection is at its end
			notice = nil
			still.Stop()
			c.stopReading()
		}
	}
}

// maxDone is the longest line that may end an IDLE.
const maxDone = 1000

// stopReading wakes the reader that waits.
func (c *conn) stopReading() { _ = c.raw.SetReadDeadline(time.Unix(1, 0)) }
