package mailbox

import (
	"context"
	"fmt"
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
	var has [flagBits]uidListBuilder
	for _, u := range updates {
		touched.add(u.UID)
		for m := uint64(u.Flags); m != 0; m &= m - 1 {
			has[bits.TrailingZeros64(m)].add(u.UID)
		}
	}
	changed := touched.done()
	for bit := range out.by {
		if out.by[bit].Len() > 0 || has[bit].some {
			out.by[bit] = out.by[bit].Minus(changed).Or(has[bit].done())
		}
	}
	return out
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
	if old == nil || int64(f.Highest-old.at) > f.Messages/4+100 {
		updates, err := readFlagged(ctx, tx, id, f.ID)
		return new(flagLists).with(updates, f.Highest), err
	}
	if f.Highest == old.at {
		return old, nil
	}
	updates, err := changedItems(ctx, tx, id, f.ID, old.at)
	return old.with(updates, f.Highest), err
}

const readFlaggedRows = `SELECT uid, flags FROM item WHERE mailbox = $1 AND folder = $2 AND flags <> 0 ORDER BY uid`

// readFlagged returns the items of a folder that have flags, ascending.
func readFlagged(ctx context.Context, tx *db.Tx, id ID, f FolderID) ([]FlagUpdate, error) {
	var out []FlagUpdate
	var uid, flags num
	err := tx.Each(ctx, func(r db.Row) error {
		err := r.Scan(&uid, &flags)
		out = append(out, FlagUpdate{UID: UID(uid), Flags: Flags(flags)})
		return err
	}, readFlaggedRows, int64(id), int64(f))
	if err != nil {
		return nil, fmt.Errorf("read the flags of folder %d of mailbox %s: %w", f, id, err)
	}
	return out, nil
}
