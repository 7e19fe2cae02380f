package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
)

// MailBatch is the head of messages of one folder that are brought together. Their bytes follow, one after the other.
type MailBatch struct {
	Mailbox  int64         `json:"mailbox"`
	Key      int64         `json:"key"`
	Messages []MessageHead `json:"messages"`
}

// MessageHead is what the source says of a message.
type MessageHead struct {
	UID      uint32    `json:"uid"`
	Size     int64     `json:"size"` // of the bytes that follow
	Flags    []string  `json:"flags"`
	Received time.Time `json:"received"` // INTERNALDATE
	Identity int64     `json:"identity"` // see Identity
}

// MailTaken says what became of a batch.
type MailTaken struct {
	// Messages of so many bytes were stored; those that are here already are not among them.
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
	// Left are those that can't be.
	Left []MessageLeft `json:"left,omitempty"`
	// Full says that the mailbox has no room for one of them.
	Full    bool     `json:"full"`
	Dropped []string `json:"dropped,omitempty"` // keywords that the mailbox can't have
}

// MessageLeft is a message that can't be stored.
type MessageLeft struct {
	UID    uint32 `json:"uid"`
	Reason string `json:"reason"`
}

// The bounds of a batch: in messages, and in bytes of those that stay in memory.
const (
	MaxBatch      = 200
	maxBatchBytes = 16 << 20
)

// Deliver stores a batch in one transaction, with where each message came from. A message that came here before is passed over, so that a
// batch may be repeated. Faults: NotFound and State Mailbox, NotFound Folder, Temporary; a batch that is too large is Invalid.
func (m *Mail) Deliver(ctx context.Context, p principal.Principal, r MailBatch, body io.Reader) (out MailTaken, err error) {
	if err := mayImport(p); err != nil {
		return out, err
	}
	small := int64(0)
	for _, h := range r.Messages {
		if h.Size < 0 || h.UID == 0 {
			return out, fault.New(fault.Invalid, fault.None, "a message has no UID or no size")
		}
		if h.Size <= spool.DefaultMemory {
			small += h.Size
		}
	}
	if len(r.Messages) > MaxBatch || small > maxBatchBytes {
		return out, fault.New(fault.Invalid, fault.None, "a batch has at most %d messages and %d bytes", MaxBatch, maxBatchBytes)
	}
	f, err := m.folder(ctx, r.Mailbox, r.Key)
	if err != nil {
		return out, err
	}
	known, err := m.known(ctx, &f, r.Messages)
	if err != nil {
		return out, err
	}
	b := batch{mail: m, folder: &f, words: m.words(f.mailbox), out: &out}
	defer b.close()
	for _, h := range r.Messages {
		if known[h.UID] {
			if _, err := io.CopyN(io.Discard, body, h.Size); err != nil {
				return out, fmt.Errorf("read a batch of messages: %w", err)
			}
			continue
		}
		if err := b.take(ctx, h, body); err != nil {
			return out, err
		}
	}
	err = b.store(ctx)
	out.Dropped = b.words.dropped
	return out, err
}

// known says which of the messages are here.
func (m *Mail) known(ctx context.Context, f *folderRow, heads []MessageHead) (known map[uint32]bool, err error) {
	err = m.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		known = map[uint32]bool{}
		for _, h := range heads {
			var n int64
			if err := tx.QueryRow(ctx, hasItem, f.key, int64(h.UID)).Scan(&n); err != nil {
				return fmt.Errorf("read what was imported: %w", err)
			}
			known[h.UID] = n > 0
		}
		return nil
	})
	return known, err
}

// batch is one call of Deliver.
type batch struct {
	mail     *Mail
	folder   *folderRow
	words    *words
	heads    []MessageHead
	flags    []mailbox.Flags
	arrivals []mailbox.Arrival
	spools   []*spool.Spool
	out      *MailTaken
}

func (b *batch) close() {
	for _, s := range b.spools {
		_ = s.Close() // nothing was written that anybody waits for
	}
}

// take reads a message.
func (b *batch) take(ctx context.Context, h MessageHead, body io.Reader) error {
	sp := spool.New(b.mail.Spool, 0)
	b.spools = append(b.spools, sp)
	if h.Size > b.mail.MaxMessage {
		b.out.Left = append(b.out.Left, MessageLeft{h.UID, fmt.Sprintf("it has %d bytes; at most %d are taken", h.Size, b.mail.MaxMessage)})
		_, err := io.CopyN(io.Discard, body, h.Size)
		return err
	}
	if _, err := io.CopyN(sp, body, h.Size); err != nil {
		return fmt.Errorf("read a batch of messages: %w", err)
	}
	msg, err := b.parse(ctx, sp)
	if err != nil {
		return err
	}
	flags, err := b.words.bits(ctx, h.Flags)
	if err != nil {
		return err
	}
	b.heads, b.flags = append(b.heads, h), append(b.flags, flags)
	b.arrivals = append(b.arrivals, mailbox.Arrival{Message: msg, Flags: flags, Received: h.Received})
	return nil
}

func (b *batch) parse(ctx context.Context, sp *spool.Spool) (msg mailbox.Message, err error) {
	if sp.OnDisk() {
		select {
		case b.mail.large <- struct{}{}:
		case <-ctx.Done():
			return msg, ctx.Err()
		}
		defer func() { <-b.mail.large }()
	}
	whole, err := sp.Bytes()
	if err != nil {
		return msg, err
	}
	source := mailbox.Source{Bytes: whole, Size: sp.Size()}
	if sp.OnDisk() {
		source = mailbox.Source{Size: sp.Size(), Open: func() (io.ReadCloser, error) {
			r, err := sp.Reader()
			return io.NopCloser(r), err
		}}
	}
	return content.Message(whole, source), nil
}

// store stores what was read: all of it together or, where that has no room or some of it came here meanwhile, one after the other.
func (b *batch) store(ctx context.Context) error {
	if len(b.arrivals) == 0 {
		return nil
	}
	err := b.deliver(ctx, 0, len(b.arrivals))
	if !fault.Is(err, fault.OverQuota, fault.Mailbox) && !errors.Is(err, errHere) {
		return err
	}
	for i := range b.arrivals {
		switch err := b.deliver(ctx, i, i+1); {
		case fault.Is(err, fault.OverQuota, fault.Mailbox):
			b.out.Full = true
			b.out.Left = append(b.out.Left, MessageLeft{b.heads[i].UID, MailboxFull})
		case err != nil && !errors.Is(err, errHere):
			return err
		}
	}
	return nil
}

// errHere says that a message was stored since it was looked for: a run that was killed may have sent it last.
var errHere = errors.New("the message is here already")

// MailboxFull is the reason of a message that has no room.
const MailboxFull = "the mailbox is full"

const insertItem = `INSERT INTO import_item (folder, uid, place, here, item, changed, flags, identity) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

func (b *batch) deliver(ctx context.Context, from, to int) error {
	f := b.folder
	_, err := b.mail.Mailboxes.DeliverAll(ctx, f.mailbox, f.folder, b.arrivals[from:to], func(ctx context.Context, tx *db.Tx, stored []mailbox.Stored) error {
		if _, err := folderTx(ctx, tx, int64(f.mailbox), f.key); err != nil {
			return err
		}
		for i, s := range stored {
			h := &b.heads[from+i]
			_, err := tx.Exec(ctx, insertItem, f.key, int64(h.UID), int64(s.Folder), int64(s.UID), int64(s.ID), int64(s.ModSeq),
				int64(b.flags[from+i]), h.Identity)
			if db.IsUnique(err) {
				return errHere
			}
			if err != nil {
				return fmt.Errorf("remember where a message came from: %w", err)
			}
		}
		return nil
	})
	if err == nil {
		b.out.Messages += int64(to - from)
		for _, h := range b.heads[from:to] {
			b.out.Bytes += h.Size
		}
	}
	return err
}
