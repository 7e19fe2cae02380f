package mailbox

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// StoreResult is what StoreFlags did.
type StoreResult struct {
	// Changed are the items whose flags are new, ascending by UID.
	Changed []FlagUpdate
	// Items are the ids of Changed, in its order.
	Items []ItemID
	// Same are the items that had these flags already: their ModSeq stays.
	Same []FlagUpdate
	// Failed are the items left alone because they were changed after unchangedSince: RFC 7162's MODIFIED.
	Failed UIDSet
}

// FlagUpdate is an item's flags.
type FlagUpdate struct {
	UID    UID
	Flags  Flags
	ModSeq ModSeq
}

// Always is what StoreFlags takes for unchangedSince when nothing was said about it.
const Always ModSeq = -1

// StoreFlags changes the flags of the items of set that exist. Items changed after unchangedSince are left alone, unless it
// is Always (0 leaves all alone, as RFC 7162 section 3.1.3 has it). Sets of more than BatchRows items are several
// transactions; after an error the result says what was done before it. Faults: NotFound Mailbox and Folder, State Mailbox.
func (s *Store) StoreFlags(ctx context.Context, id ID, f FolderID, set UIDSet, c FlagChange, unchangedSince ModSeq) (StoreResult, error) {
	var all StoreResult
	pieces, err := s.pieces(ctx, id, f, set)
	if err != nil {
		return all, err
	}
	c.Add &= AllFlags
	for _, piece := range pieces {
		var r StoreResult
		var number ModSeq
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			r, err = s.storePiece(ctx, tx, id, f, piece, c, unchangedSince, &number)
			return err
		})
		if err != nil {
			return all, err
		}
		all.Changed = append(all.Changed, r.Changed...)
		all.Items = append(all.Items, r.Items...)
		all.Same = append(all.Same, r.Same...)
		for _, u := range r.Failed {
			all.Failed.addRange(u)
		}
	}
	return all, nil
}

func (s *Store) storePiece(ctx context.Context, tx *db.Tx, id ID, f FolderID, set UIDSet, c FlagChange, unchangedSince ModSeq, number *ModSeq) (r StoreResult, err error) {
	l, rows, err := s.lockRows(ctx, tx, id, f, set, number)
	if err != nil {
		return r, err
	}
	var t tally
	var marked Filed
	for _, w := range rows {
		flags := c.Apply(w.flags)
		switch {
		case unchangedSince != Always && w.changed > unchangedSince:
			r.Failed.add(w.uid)
		case flags == w.flags:
			r.Same = append(r.Same, FlagUpdate{w.uid, flags, w.changed})
		default:
			t.highest = l.change + ModSeq(len(r.Changed))
			t.mark(-1, w.flags)
			t.mark(1, flags)
			r.Changed = append(r.Changed, FlagUpdate{w.uid, flags, t.highest})
			r.Items = append(r.Items, w.item)
			marked.add(c.Add, w.flags, FiledItem{w.email, w.uid})
		}
	}
	if len(r.Changed) == 0 {
		return r, s.mustExist(ctx, tx, id, f)
	}
	if err := s.writeFlags(ctx, tx, id, f, c, r.Changed); err != nil {
		return r, fmt.Errorf("store flags in folder %d of mailbox %s: %w", f, id, err)
	}
	if err := recount(ctx, tx, id, f, &t); err != nil {
		return r, err
	}
	return r, s.tellMarked(ctx, tx, l, f, marked)
}

// storeSingle is for the change of one item alone: without the rows of a bulk to join, it takes two thirds of the steps.
const storeSingle = `UPDATE item SET flags = $4, changed = $5, modified = $6 WHERE mailbox = $1 AND folder = $2 AND uid = $3`

// longRun is from how many neighbours on a range is cheaper than single rows.
const longRun = 3

const storeRun = `UPDATE item SET flags = (flags & $5) | $6, changed = uid + $7, modified = $8
WHERE mailbox = $1 AND folder = $2 AND uid BETWEEN $3 AND $4`

// writeFlags writes what c made of the items: a run of UIDs without gaps with one statement, as their numbers have none either.
func (s *Store) writeFlags(ctx context.Context, tx *db.Tx, id ID, f FolderID, c FlagChange, changed []FlagUpdate) error {
	now := micros(s.clock.Now())
	if len(changed) == 1 {
		u := changed[0]
		_, err := tx.Exec(ctx, storeSingle, int64(id), int64(f), int64(u.UID), int64(u.Flags), int64(u.ModSeq), now)
		return err
	}
	var single []int64
	for len(changed) > 0 {
		n := 1
		for n < len(changed) && changed[n].UID == changed[0].UID+UID(n) {
			n++
		}
		first, last := changed[0], changed[n-1]
		if n >= longRun {
			_, err := tx.Exec(ctx, storeRun, int64(id), int64(f), int64(first.UID), int64(last.UID), int64(AllFlags&^c.Remove),
				int64(c.Add), int64(first.ModSeq)-int64(first.UID), now)
			if err != nil {
				return err
			}
		} else {
			for _, u := range changed[:n] {
				single = append(single, int64(u.UID), int64(u.Flags), int64(u.ModSeq))
			}
		}
		changed = changed[n:]
	}
	_, err := s.bulk.flags.exec(ctx, tx, []any{int64(id), int64(f), now}, single)
	return err
}

// mustExist returns the fault of a folder that isn't there.
func (s *Store) mustExist(ctx context.Context, tx *db.Tx, id ID, f FolderID) error {
	_, err := folderRow(ctx, tx, id, f)
	return err
}
