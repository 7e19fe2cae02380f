package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
)

// spoolAbove is the size in bytes above which a message goes to a file while it arrives.
const spoolAbove = 512 << 10

// append answers APPEND. Whether the message may come is decided before it is invited.
func (c *conn) append(ctx context.Context, a wire.Append) (result, error) {
	folder, err := c.admit(ctx, a)
	if err != nil {
		return result{}, c.finish(a, err)
	}
	c.pause = c.s.LiteralTime
	if err := a.Literal.Accept(); err != nil {
		return result{}, reading(err)
	}
	m, cleanUp, err := c.receive(ctx, a.Literal)
	defer cleanUp()
	if err := c.finish(a, err); err != nil {
		return result{}, err
	}
	flags, err := c.flagBits(ctx, a.Flags)
	if err != nil {
		return result{}, err
	}
	stored, err := c.s.Mailboxes.Deliver(ctx, m, mailbox.Target{Mailbox: c.box, Folder: folder.ID, Flags: flags, Received: a.Date, ByUser: true})
	if err != nil {
		return result{}, tryCreate(err)
	}
	c.touched.folder, c.touched.items = folder.ID, []mailbox.ItemID{stored[0].ID}
	code := "APPENDUID " + strconv.FormatUint(uint64(stored[0].UIDValidity), 10) + " " + strconv.FormatUint(uint64(stored[0].UID), 10)
	return result{code: code}, nil
}

// admit says why a message may not come, or into which folder it goes.
func (c *conn) admit(ctx context.Context, a wire.Append) (mailbox.Folder, error) {
	f, err := c.s.Mailboxes.Folder(ctx, c.box, canonical(a.Mailbox))
	switch {
	case err != nil:
		return f, tryCreate(err)
	case !f.Selectable(): // CREATE makes it a folder that holds messages
		return f, no("TRYCREATE", strconv.Quote(a.Mailbox)+" holds no messages, only folders")
	case a.Literal.Size == 0:
		return f, no("CANNOT", "a message has at least one byte")
	case a.Literal.Size > c.s.MaxMessage:
		return f, no("TOOBIG", "a message may have "+strconv.FormatInt(c.s.MaxMessage, 10)+" bytes")
	}
	return f, c.s.Mailboxes.CheckRoom(ctx, c.box, a.Literal.Size)
}

// finish reads an APPEND to its end, whatever became of it, and returns err, or what went wrong with that.
func (c *conn) finish(a wire.Append, err error) error {
	e := a.Literal.Finish()
	if e == nil || err != nil && isSyntax(e) {
		return err
	}
	if lost := new(connectionError); errors.As(reading(e), &lost) {
		lost.answer = err
		return lost
	}
	return e
}

func isSyntax(err error) bool {
	var s *wire.SyntaxError
	return errors.As(err, &s)
}

// receive reads the message, a large one into a file, so that a slow client costs no memory. cleanUp is never nil.
func (c *conn) receive(ctx context.Context, l *wire.Literal) (m mailbox.Message, cleanUp func(), err error) {
	cleanUp = func() {}
	if l.Size <= spoolAbove {
		var b bytes.Buffer
		if _, err := io.Copy(&b, l); err != nil {
			return m, cleanUp, reading(err)
		}
		return content.Message(b.Bytes(), mailbox.Source{Bytes: b.Bytes(), Size: l.Size}), cleanUp, nil
	}
	f, err := os.CreateTemp(c.s.Spool, "append-*")
	if err != nil {
		return m, cleanUp, fmt.Errorf("spool a message: %w", err)
	}
	cleanUp = func() {
		if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
			c.log.WarnContext(ctx, "a spooled message was not removed", "error", err)
		}
	}
	if err := spool(f, l); err != nil {
		return m, cleanUp, err
	}
	select { // few large messages are in memory at once
	case c.s.large <- struct{}{}:
	case <-ctx.Done():
		return m, cleanUp, ctx.Err()
	}
	defer func() { <-c.s.large }()
	whole, err := os.ReadFile(f.Name())
	if err != nil {
		return m, cleanUp, fmt.Errorf("read a spooled message: %w", err)
	}
	open := func() (io.ReadCloser, error) { return os.Open(f.Name()) }
	return content.Message(whole, mailbox.Source{Open: open, Size: l.Size}), cleanUp, nil
}

// spool writes the literal to f. It tells failures of the connection from those of the disk.
func spool(f *os.File, l *wire.Literal) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := l.Read(buf)
		if _, werr := f.Write(buf[:n]); werr != nil {
			return fmt.Errorf("spool a message: %w", werr)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return reading(err)
		}
	}
}
