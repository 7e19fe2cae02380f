package imapsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/spool"
)

// fetched is what the source says of a message. Its bytes, where they were asked for, come after all else.
type fetched struct {
	uid      uint32
	flags    []string
	received time.Time
	size     int64 // that the source says
	literal  imap.LiteralReader
	broken   bool // the connection was lost within the bytes
	data     *imapclient.FetchMessageData
}

// read copies the bytes to w and takes in what the source says behind them.
func (m *fetched) read(w io.Writer) error {
	for m.literal != nil {
		l := m.literal
		m.literal = nil
		n, err := io.Copy(w, l)
		var failed writeError
		switch {
		case errors.As(err, &failed):
			return failed.error
		case err != nil:
			m.broken = true
			return lostError{fmt.Errorf("read a message: %s", short(err.Error()))}
		case n != l.Size():
			m.broken = true
			return lostError{fmt.Errorf("read a message: %d bytes came of %d", n, l.Size())}
		}
		m.scan()
	}
	return nil
}

// writeError is a failure of our own side.
type writeError struct{ error }

// scan takes items in until the bytes come.
func (m *fetched) scan() {
	for item := m.data.Next(); item != nil; item = m.data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			m.uid = uint32(item.UID)
		case imapclient.FetchItemDataFlags:
			m.flags = make([]string, 0, len(item.Flags))
			for _, f := range item.Flags {
				m.flags = append(m.flags, string(f))
			}
		case imapclient.FetchItemDataInternalDate:
			m.received = item.Time
		case imapclient.FetchItemDataRFC822Size:
			m.size = item.Size
		case imapclient.FetchItemDataBodySection:
			if item.Literal != nil {
				m.literal = item.Literal
				return
			}
		}
	}
}

// fetch asks for messages and hands each to fn, which must read it.
func (p *passage) fetch(uids []uint32, options *imap.FetchOptions, fn func(*fetched) error) error {
	var set imap.UIDSet
	for _, r := range setOf(uids) {
		set = append(set, imap.UIDRange{Start: imap.UID(r.First), Stop: imap.UID(r.Last)})
	}
	return p.fetchSet(set, options, fn)
}

func (p *passage) fetchSet(set imap.UIDSet, options *imap.FetchOptions, fn func(*fetched) error) error {
	cmd := p.c.client.Fetch(set, options)
	for data := cmd.Next(); data != nil; data = cmd.Next() {
		m := &fetched{data: data}
		m.scan()
		if err := fn(m); err != nil {
			_ = p.c.raw.Close() // else all that was asked for would have to be read
			if !m.broken {
				_ = cmd.Close() // the client's reader may wait for us; where it broke, both would read what is left
			}
			p.drop()
			return err
		}
	}
	return judge("read messages", cmd.Close())
}

// The bounds of what is handed to the core at once.
const (
	batchMessages = 100
	batchBytes    = 2 << 20
)

// sender hands messages on in batches, the next one being read while one is stored.
type sender struct {
	p       *passage
	next    *outgoing
	batches chan *outgoing
	ended   chan struct{}

	mu  sync.Mutex
	sum migration.MailTaken // guarded by mu
	err error               // the first one; guarded by mu
}

// outgoing is a batch.
type outgoing struct {
	heads  []migration.MessageHead
	spools []*spool.Spool
	bytes  int64
}

func (b *outgoing) close() {
	for _, s := range b.spools {
		_ = s.Close() // what it held is stored, or will be read again
	}
}

func (p *passage) newSender(ctx context.Context) *sender {
	s := &sender{p: p, next: &outgoing{}, batches: make(chan *outgoing), ended: make(chan struct{})}
	go s.work(ctx)
	return s
}

func (s *sender) work(ctx context.Context) {
	defer close(s.ended)
	for b := range s.batches {
		if s.failed() == nil {
			taken, err := s.store(ctx, b)
			s.mu.Lock()
			s.sum.Messages, s.sum.Bytes, s.sum.Full = s.sum.Messages+taken.Messages, s.sum.Bytes+taken.Bytes, s.sum.Full || taken.Full
			s.sum.Left, s.sum.Dropped = append(s.sum.Left, taken.Left...), append(s.sum.Dropped, taken.Dropped...)
			s.err = err
			s.mu.Unlock()
		}
		b.close()
	}
}

// failed returns what went wrong with an earlier batch.
func (s *sender) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// full reports whether the mailbox had no room for a message.
func (s *sender) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum.Full
}

// take reads a message into the next batch, and says whether there was one to read.
func (s *sender) take(m *fetched) (bool, error) {
	if m.literal == nil {
		return false, nil
	}
	if size := m.literal.Size(); size > s.p.opened.MaxMessage {
		s.p.leave(tooLarge(s.p.opened.MaxMessage), m.uid)
		return true, m.read(io.Discard)
	}
	sp := spool.New("", 0)
	err := m.read(ours{sp})
	var head []byte
	if err == nil {
		head, err = headOf(sp)
	}
	if err != nil {
		_ = sp.Close() // nothing of it is wanted any more
		return false, err
	}
	if m.size == 0 {
		m.size = sp.Size()
	}
	s.next.spools = append(s.next.spools, sp)
	s.next.heads = append(s.next.heads, migration.MessageHead{
		UID: m.uid, Size: sp.Size(), Flags: m.flags, Received: m.received, Identity: migration.Identity(head, m.size, m.received),
	})
	if s.next.bytes += sp.Size(); s.next.bytes >= batchBytes || len(s.next.heads) >= batchMessages {
		return true, s.flush()
	}
	return true, nil
}

// headOf returns as much of a message as its header may have.
func headOf(sp *spool.Spool) ([]byte, error) {
	if !sp.OnDisk() {
		return sp.Bytes()
	}
	r, err := sp.Reader()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, message.MaxHeader))
}

// ours marks failures to write.
type ours struct{ io.Writer }

func (w ours) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil {
		err = writeError{err}
	}
	return n, err
}

func (s *sender) flush() error {
	b := s.next
	s.next = &outgoing{}
	if len(b.heads) > 0 {
		s.batches <- b
	}
	return s.failed()
}

// close hands the last batch on, waits for the end and writes what was done into the report. Messages that came whole before a
// connection was lost are stored too.
func (s *sender) close() error {
	_ = s.flush() // its error is that of the end
	close(s.batches)
	<-s.ended
	r := s.p.report
	r.New, r.Bytes = r.New+s.sum.Messages, r.Bytes+s.sum.Bytes
	for _, l := range s.sum.Left {
		s.p.leave(l.Reason, l.UID)
	}
	s.p.dropped(s.sum.Dropped)
	if s.sum.Full {
		s.p.full = true
		s.p.task.report.note("the mailbox is full, at %d bytes: give it a larger quota (UpdateMailboxQuota) and run again", s.p.opened.Quota)
	}
	if s.sum.Messages > 0 {
		s.p.to.Known += s.sum.Messages // on another connection their flags may be others
		s.p.reached()
	}
	return s.err
}

func (s *sender) store(ctx context.Context, b *outgoing) (migration.MailTaken, error) {
	readers := make([]io.Reader, 0, len(b.spools))
	for _, sp := range b.spools {
		r, err := sp.Reader()
		if err != nil {
			return migration.MailTaken{}, err
		}
		readers = append(readers, r)
	}
	batch := migration.MailBatch{Mailbox: s.p.opened.Mailbox, Key: s.p.to.Key, Messages: b.heads}
	return s.p.core.DeliverMail(ctx, batch, io.MultiReader(readers...))
}
