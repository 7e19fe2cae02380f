package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
)

// locked is a mailbox whose row this transaction has locked by raising its counters, and what it got by that.
type locked struct {
	id       ID
	org      OrgKey
	state    State
	change   ModSeq // the first of the numbers taken
	item     ItemID // the first of the item ids taken
	validity uint32 // the last UIDVALIDITY given out
	// used and quota are in bytes, after the lock took room.
	used, quota int64
}

const lockMailbox = `UPDATE mailbox SET change = change + $2, next_item = next_item + $3, bytes = bytes + $4
WHERE id = $1 RETURNING org, state, change, next_item, bytes, quota, uidvalidity`

// lock is the first statement of every write to a mailbox: it takes the row lock, a range of change numbers and of item
// ids, and room for bytes, which may be negative. Several mailboxes are locked in ascending id. The mailbox must be open.
func (s *Store) lock(ctx context.Context, tx *db.Tx, id ID, changes, items int, bytes int64) (locked, error) {
	l, err := s.lockAny(ctx, tx, id, changes, items, bytes)
	if err == nil && l.state != Open {
		return l, fault.New(fault.State, fault.Mailbox, "mailbox %s is closed", id)
	}
	return l, err
}

// lockAny is lock for a mailbox in any state.
func (s *Store) lockAny(ctx context.Context, tx *db.Tx, id ID, changes, items int, bytes int64) (locked, error) {
	s.spares.drop(id) // the numbers taken now are higher
	l := locked{id: id}
	err := tx.QueryRow(ctx, lockMailbox, int64(id), changes, items, bytes).
		Scan(&l.org, &l.state, &l.change, &l.item, &l.used, &l.quota, &l.validity)
	if errors.Is(err, sql.ErrNoRows) {
		return l, noMailbox(id)
	}
	if err != nil {
		return l, fmt.Errorf("lock mailbox %s: %w", id, err)
	}
	if bytes > 0 && l.used > l.quota {
		return l, overQuota(l.used-bytes, l.quota, bytes)
	}
	l.change -= ModSeq(changes) - 1
	l.item -= ItemID(items)
	s.publish(tx, id)
	return l, nil
}

// HoldTx keeps a mailbox open, and others from changing it, until the transaction ends. It is for those who keep rows of their own about
// mailboxes: after a purge none can come. Faults: NotFound Mailbox; State Mailbox when it is closed.
func (s *Store) HoldTx(ctx context.Context, tx *db.Tx, id ID) (o Owner, err error) {
	var state State
	err = tx.QueryRow(ctx, `UPDATE mailbox SET change = change WHERE id = $1 RETURNING org, owner, state`, int64(id)).Scan(&o.Org, &o.Entity, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return o, noMailbox(id)
	case err != nil:
		return o, fmt.Errorf("hold mailbox %s: %w", id, err)
	case state != Open:
		return o, fault.New(fault.State, fault.Mailbox, "mailbox %s is closed", id)
	}
	return o, nil
}

// resize changes the bytes a locked mailbox uses, and checks the quota when they grow.
func (s *Store) resize(ctx context.Context, tx *db.Tx, id ID, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	var used, quota int64
	err := tx.QueryRow(ctx, `UPDATE mailbox SET bytes = bytes + $2 WHERE id = $1 RETURNING bytes, quota`, int64(id), bytes).
		Scan(&used, &quota)
	if err != nil {
		return fmt.Errorf("resize mailbox %s: %w", id, err)
	}
	if bytes > 0 && used > quota {
		return overQuota(used-bytes, quota, bytes)
	}
	return s.grown(ctx, tx, id, used, quota, bytes, false)
}

// publish tells the mailbox's listeners after the commit.
func (s *Store) publish(tx *db.Tx, id ID) {
	tx.OnCommit(func() { s.feed.Publish(Topic(id)) })
}

// Topic is what a listener to a mailbox's changes passes to feed.Listen.
func Topic(id ID) feed.Topic { return feed.Topic{Kind: "mailbox", Key: id.String()} }

func noMailbox(id ID) error {
	return fault.New(fault.NotFound, fault.Mailbox, "there is no mailbox %s", id)
}

func noFolder(f FolderID) error {
	return fault.New(fault.NotFound, fault.Folder, "there is no folder %d (any more)", f)
}

func overQuota(used, quota, more int64) error {
	return fault.New(fault.OverQuota, fault.Mailbox,
		"the mailbox is full: it holds %d of %d bytes, and %d more do not fit", used, quota, more)
}

// micros is how a time is stored: microseconds since 1970 UTC, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the time stored as v.
func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}
