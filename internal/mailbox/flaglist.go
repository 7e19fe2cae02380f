package mailbox

import (
	"context"
	"fmt"
	"iter"
	"math/bits"

	"github.com/pennypost/pennypost/internal/db"
)

// flagLists tells of a folder which items have a flag: one list of UIDs for each flag in use. It is immutable. UIDs that have left
// the folder may still be in it, since they never come again: what it says is meant of the folder's own UIDs.
type flagLists struct {
	at ModSeq // the folder's Highest
	by [flagBits]*UIDList
}

// flagBits is how many bits Flags has.
const flagBits = 64

// find returns the UIDs of all whose flags under mask are want.
func (l *flagLists) find(all *UIDList, mask, want Flags) *UIDList {
	for m := uint64(mask); m != 0; m &= m - 1 {
		bit := bits.TrailingZeros64(m)
		if want&(1<<bit) != 0 {
			all = all.And(l.by[bit])
		} else {
			all = all.Minus(l.by[bit])
		}
	}
	return all
}

// with returns the lists as they are after the updates, which ascend by UID.
func (l *flagLists) with(updates []FlagUpdate, at ModSeq) *flagLists {
	out := &flagLists{at: at, by: l.by}
	if len(updates) == 0 {
		return out
	}
	var touched uidListBuilder
	var has flagListsBuilder
	for _, u := range updates {
		touched.add(u.UID)
		has.add(u.UID, u.Flags)
	}
	changed := touched.done()
	for bit := range out.by {
		if out.by[bit].Len() > 0 || has[bit].some {
			out.by[bit] = out.by[bit].Minus(changed).Or(has[bit].done())
		}
	}
	return out
}

// flagListsBuilder makes lists of items that come in ascending order.
type flagListsBuilder [flagBits]uidListBuilder

func (b *flagListsBuilder) add(u UID, f Flags) {
	for m := uint64(f); m != 0; m &= m - 1 {
		b[bits.TrailingZeros64(m)].add(u)
	}
}

func (b *flagListsBuilder) done(at ModSeq) *flagLists {
	out := &flagLists{at: at}
	for bit := range b {
		if b[bit].some {
			out.by[bit] = b[bit].done()
		}
	}
	return out
}

// of goes through the UIDs of set, which must be the folder's own, and their flags.
func (l *flagLists) of(set UIDSet) iter.Seq2[UID, Flags] {
	return func(yield func(UID, Flags) bool) {
		w := flagWindow{key: 1<<32 - 1} // of no UID
		for u := range set.All() {
			if key := uint32(u >> blockBits); key != w.key {
				w.load(l, key)
			}
			if !yield(u, w.of(u)) {
				return
			}
		}
	}
}

// flagWindow is the flags of the UIDs of one window.
type flagWindow struct {
	key   uint32
	flags []Flags // those that any has
	words [][blockWords]uint64
}

func (w *flagWindow) load(l *flagLists, key uint32) {
	w.key, w.flags, w.words = key, w.flags[:0], w.words[:0]
	for bit, list := range l.by {
		if b := list.block(key); b != nil {
			w.flags = append(w.flags, 1<<bit)
			w.words = append(w.words, b.words())
		}
	}
}

func (w *flagWindow) of(u UID) (f Flags) {
	word, bit := u%blockSize/64, u%64
	for i := range w.words {
		if w.words[i][word]>>bit&1 != 0 {
			f |= w.flags[i]
		}
	}
	return f
}

// Bytes returns about how much memory the lists take.
func (l *flagLists) Bytes() int {
	if l == nil {
		return 0
	}
	n := 8 + 8*flagBits
	for _, list := range l.by {
		n += list.Bytes()
	}
	return n
}

// flagsOf returns the UIDs of set that are in the folder and the flags of all its items, as they stand now or stood when it was called
// or between; nil flags where the items of set are read more cheaply than the lists are renewed.
func (s *Store) flagsOf(ctx context.Context, id ID, fid FolderID, set UIDSet) (UIDSet, *flagLists, error) {
	f, err := s.FolderByID(ctx, id, fid)
	if err != nil {
		return nil, nil, err
	}
	if snap := s.snaps.kept(snapshotKey{id, fid}); (snap == nil || snap.flags.stale(&f)) && set.Len() < f.Messages/2 {
		return nil, nil, nil
	}
	snap, err := s.snapshot(ctx, id, &f, true)
	if err != nil {
		return nil, nil, err
	}
	return snap.uids.Within(set), snap.flags, nil
}

// flagged returns the UIDs of set whose flags under mask are want, as they stand now or stood when f was read or between.
func (s *Store) flagged(ctx context.Context, id ID, f *Folder, set UIDSet, mask, want Flags) (UIDSet, error) {
	snap, err := s.snapshot(ctx, id, f, true)
	if err != nil {
		return nil, err
	}
	return snap.flags.find(snap.uids, mask, want).Within(set), nil
}

// renewFlags brings the lists of a folder (nil: none) up to date, from what changed or, when that may be much, from all items.
func renewFlags(ctx context.Context, tx *db.Tx, id ID, f *Folder, old *flagLists) (*flagLists, error) {
	if old.stale(f) {
		return readFlagged(ctx, tx, id, f)
	}
	if f.Highest == old.at {
		return old, nil
	}
	updates, err := changedItems(ctx, tx, id, f.ID, old.at)
	return old.with(updates, f.Highest), err
}

// stale reports whether so much may have changed since the lists (nil: none) that all items are read.
func (l *flagLists) stale(f *Folder) bool {
	return l == nil || int64(f.Highest-l.at) > f.Messages/4+100
}

const readFlaggedRows = `SELECT uid, flags FROM item WHERE mailbox = $1 AND folder = $2 AND flags <> 0 ORDER BY uid`

// readFlagged reads the lists from the items that have flags.
func readFlagged(ctx context.Context, tx *db.Tx, id ID, f *Folder) (*flagLists, error) {
	var lists flagListsBuilder
	var uid, flags num
	err := tx.Each(ctx, func(r db.Row) error {
		err := r.Scan(&uid, &flags)
		lists.add(UID(uid), Flags(flags))
		return err
	}, readFlaggedRows, int64(id), int64(f.ID))
	if err != nil {
		return nil, fmt.Errorf("read the flags of folder %d of mailbox %s: %w", f.ID, id, err)
	}
	return lists.done(f.Highest), nil
}
