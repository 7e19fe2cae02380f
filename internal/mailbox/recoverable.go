package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// RecoverableItem is what a retention policy removed from a mailbox and its owner may still have back. It is in no folder, no
// protocol's folder list shows it, and it doesn't count towards the quota.
type RecoverableItem struct {
	ID       ItemID   // as it was, and will be again
	Folder   FolderID // where it was
	Flags    Flags
	Size     int64
	Received time.Time
	Email    EmailID
	Envelope []byte
	Removed  time.Time
	Expires  time.Time // from when on it is gone for good
}

// Recoverable returns up to limit recoverable items of a mailbox, those behind after, the lowest ids first.
func (s *Store) Recoverable(ctx context.Context, id ID, after ItemID, limit int) (items []RecoverableItem, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		items = nil
		return tx.Each(ctx, func(r db.Row) error {
			var it RecoverableItem
			var received, removed, due int64
			err := r.Scan(&it.ID, &it.Folder, &it.Flags, &it.Size, &received, &it.Email, &removed, &due, &it.Envelope)
			it.Received, it.Removed, it.Expires = fromMicros(received), fromMicros(removed), fromMicros(due)
			items = append(items, it)
			return err
		}, `SELECT r.item, r.folder, r.flags, r.size, r.received, r.email, r.removed, r.due, m.envelope FROM recoverable r
JOIN meta m ON m.mailbox = r.mailbox AND m.item = r.item WHERE r.mailbox = $1 AND r.item > $2 ORDER BY r.item LIMIT $3`,
			int64(id), int64(after), limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list the recoverable items of mailbox %s: %w", id, err)
	}
	return items, nil
}

// Recover puts recoverable items back: into the folder to or, with 0, each into the folder it was in, or into the inbox where that
// was deleted. They keep ItemID, dates and flags but for Deleted; their age begins anew. More than BatchRows items are several
// transactions; after an error the result says what came back before it. Faults: NotFound Message (an item that can't be
// recovered, or not any more), OverQuota Mailbox, NotFound and State Mailbox, NotFound and Unsupported Folder (to).
func (s *Store) Recover(ctx context.Context, id ID, items []ItemID, to FolderID) ([]Stored, error) {
	items = slices.Clone(items)
	slices.Sort(items)
	var all []Stored
	for piece := range slices.Chunk(slices.Compact(items), s.batch) {
		var out []Stored
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			out, err = s.recoverPiece(ctx, tx, id, piece, to)
			return err
		})
		if err != nil {
			return all, err
		}
		all = append(all, out...)
	}
	return all, nil
}

func (s *Store) recoverPiece(ctx context.Context, tx *db.Tx, id ID, items []ItemID, to FolderID) ([]Stored, error) {
	l, err := s.lock(ctx, tx, id, len(items), 0, 0)
	if err != nil {
		return nil, err
	}
	var out []Stored
	bytes, gone := int64(0), map[FolderID]bool{}
	for i, item := range items {
		st, size, err := s.recoverOne(ctx, tx, id, item, to, l.change+ModSeq(i), gone)
		if err != nil {
			return nil, err
		}
		out, bytes = append(out, st), bytes+size
	}
	return out, s.resize(ctx, tx, id, bytes)
}

const (
	readRecoverable = `SELECT folder, flags, size, email FROM recoverable WHERE mailbox = $1 AND item = $2`

	insertRecovered = `INSERT INTO item (mailbox, folder, uid, item, flags, changed, created, size, received, saved, email, thread, body, prefix)
SELECT mailbox, CAST($3 AS BIGINT), CAST($4 AS BIGINT), item, CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($6 AS BIGINT), size, received,
CAST($7 AS BIGINT), email, thread, body, prefix FROM recoverable WHERE mailbox = $1 AND item = $2`
)

func (s *Store) recoverOne(ctx context.Context, tx *db.Tx, id ID, item ItemID, to FolderID, change ModSeq, gone map[FolderID]bool) (st Stored, size int64, err error) {
	st = Stored{Mailbox: id, ID: item, ModSeq: change}
	var from FolderID
	var flags Flags
	err = tx.QueryRow(ctx, readRecoverable, int64(id), int64(item)).Scan(&from, &flags, &size, &st.Email)
	if errors.Is(err, sql.ErrNoRows) {
		return st, 0, notRecoverable(item)
	}
	if err != nil {
		return st, 0, fmt.Errorf("recover in mailbox %s: %w", id, err)
	}
	flags &^= Deleted
	st.Folder = to
	if to == 0 {
		if st.Folder, err = s.folderOr(ctx, tx, id, from, gone); err != nil {
			return st, 0, err
		}
	}
	t := tally{arrived: 1, highest: change}
	t.count(1, flags, size)
	if st.UID, st.UIDValidity, err = s.apply(ctx, tx, id, st.Folder, &t); err != nil {
		return st, 0, err
	}
	_, err = tx.Exec(ctx, insertRecovered, int64(id), int64(item), int64(st.Folder), int64(st.UID), int64(flags), int64(change), micros(s.clock.Now()))
	if err != nil {
		return st, 0, fmt.Errorf("recover in mailbox %s: %w", id, err)
	}
	n, err := tx.Exec(ctx, `DELETE FROM recoverable WHERE mailbox = $1 AND item = $2`, int64(id), int64(item))
	if err == nil && n == 0 {
		err = notRecoverable(item) // it expired meanwhile
	}
	return st, size, err
}

func notRecoverable(item ItemID) error {
	return fault.New(fault.NotFound, fault.Message, "item %d can't be recovered (any more)", item)
}

// folderOr returns f, or the inbox where f was deleted, and remembers that in gone.
func (s *Store) folderOr(ctx context.Context, tx *db.Tx, id ID, f FolderID, gone map[FolderID]bool) (FolderID, error) {
	lost, known := gone[f]
	if !known {
		err := s.mustExist(ctx, tx, id, f)
		if err != nil && !fault.Is(err, fault.NotFound, fault.Folder) {
			return 0, err
		}
		lost = err != nil
		gone[f] = lost
	}
	if lost {
		return InboxID, nil
	}
	return f, nil
}

// retireRows is removeRows for items that can be recovered: their envelopes and bodies stay.
func (s *Store) retireRows(ctx context.Context, tx *db.Tx, l locked, f FolderID, rows []row) (tally, error) {
	t := tally{departed: len(rows), highest: l.change + ModSeq(len(rows)) - 1}
	var uids, gone []int64
	for i, r := range rows {
		t.count(-1, r.flags, r.size)
		uids = append(uids, int64(r.uid))
		gone = append(gone, int64(l.change)+int64(i), int64(r.uid), int64(r.item))
	}
	now := s.clock.Now()
	place := []any{int64(l.id), int64(f)}
	if _, err := s.bulk.retire.exec(ctx, tx, append(place, micros(now), micros(now.Add(s.limits.KeepRecoverable))), uids); err != nil {
		return t, fmt.Errorf("make items of folder %d of mailbox %s recoverable: %w", f, l.id, err)
	}
	if _, err := s.bulk.deleteItem.exec(ctx, tx, place, uids); err != nil {
		return t, fmt.Errorf("delete items of folder %d of mailbox %s: %w", f, l.id, err)
	}
	if _, err := s.bulk.vanish.exec(ctx, tx, place, gone); err != nil {
		return t, fmt.Errorf("remember vanished items of mailbox %s: %w", l.id, err)
	}
	return t, nil
}

// Expired returns how many recoverable items this process removed because their time was over.
func (s *Store) Expired() uint64 { return s.expired.Load() }

const expiredRecoverable = `SELECT mailbox, item FROM recoverable WHERE due <= $1 ORDER BY due LIMIT $2`

// sweepRecoverable removes a batch of the recoverable items whose time is over.
func (s *Store) sweepRecoverable(ctx context.Context) (more bool, err error) {
	now := micros(s.clock.Now())
	// Most looks find nothing, and need not trouble the writer.
	due, err := s.ids(ctx, `SELECT due FROM recoverable WHERE due <= $1 ORDER BY due LIMIT 1`, now)
	if err != nil || len(due) == 0 {
		return false, err
	}
	var n int
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if n, err = s.drop(ctx, tx, expiredRecoverable, now, s.batch); err == nil {
			tx.OnCommit(func() { s.expired.Add(uint64(n)) })
		}
		return err
	})
	return n > 0, err
}

// dropRecoverable removes a batch of a mailbox's recoverable items and returns how many.
func (s *Store) dropRecoverable(ctx context.Context, tx *db.Tx, id ID) (int, error) {
	return s.drop(ctx, tx, `SELECT mailbox, item FROM recoverable WHERE mailbox = $1 ORDER BY item LIMIT $2`, int64(id), s.batch)
}

// drop removes the recoverable items that query names, with their envelopes and bodies. It needs no mailbox's lock: whoever
// deletes a row of recoverable has the item.
func (s *Store) drop(ctx context.Context, tx *db.Tx, query string, args ...any) (int, error) {
	var keys, metas []int64
	var rows []row
	err := tx.Each(ctx, func(r db.Row) error {
		var mailbox, item int64
		err := r.Scan(&mailbox, &item)
		keys = append(keys, mailbox, item)
		return err
	}, query, args...)
	if err != nil {
		return 0, fmt.Errorf("read recoverable items: %w", err)
	}
	err = s.bulk.deleteRecoverable.query(ctx, tx, nil, keys, func(r db.Row) error {
		var mailbox, item int64
		var w row
		err := r.Scan(&mailbox, &item, &w.body)
		metas, rows = append(metas, mailbox, item), append(rows, w)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("remove recoverable items: %w", err)
	}
	if _, err := s.bulk.deleteEnvelope.exec(ctx, tx, nil, metas); err != nil {
		return 0, fmt.Errorf("remove recoverable items: %w", err)
	}
	return len(rows), s.release(ctx, tx, rows)
}
