package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
)

// Changes is what happened in a folder after a number.
type Changes struct {
	// Folder is the folder as it stands, without Path and HasChildren; its Highest is the number to ask with next time.
	Folder Folder
	// Changed are the items that arrived or changed and are still there, ascending by UID. Those that arrived have UIDs from
	// the UIDNext the caller knows.
	Changed []FlagUpdate
	// Vanished are the UIDs that left, expunged or moved away, even if they arrived after since too; unless Forgotten.
	Vanished UIDSet
	// Forgotten says that since lies below Folder.Floor, so that Vanished is not known: every UID below UIDNext that isn't in
	// the folder (UIDList) may have left since.
	Forgotten bool
}

// Changes returns what happened in a folder after since, from one snapshot: one row is read when nothing did, and else about
// as many as there are changes. Sessions that a notice wakes together share one reading, so the caller must not change what it
// is given. Faults: NotFound Folder when it was deleted.
func (s *Store) Changes(ctx context.Context, id ID, f FolderID, since ModSeq) (Changes, error) {
	version, listened := s.feed.Version(Topic(id))
	if !listened {
		return s.changes(ctx, id, f, since)
	}
	return s.together.changes(question{id, f, since, version}, func() (Changes, error) { return s.changes(ctx, id, f, since) })
}

func (s *Store) changes(ctx context.Context, id ID, f FolderID, since ModSeq) (c Changes, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		c = Changes{}
		if c.Folder, err = folderRow(ctx, tx, id, f); err != nil {
			return err
		}
		if c.Folder.Highest <= since {
			return nil
		}
		if c.Changed, err = changedItems(ctx, tx, id, f, since); err != nil {
			return err
		}
		if c.Forgotten = since < c.Folder.Floor; c.Forgotten {
			return nil
		}
		c.Vanished, err = vanishedUIDs(ctx, tx, id, f, since, c.Folder.Highest)
		return err
	})
	return c, err
}

const readNewest = `SELECT uid, flags, changed FROM item WHERE mailbox = $1 AND folder = $2 AND uid < $3 ORDER BY uid DESC LIMIT $4`

// The index item_changed holds only items that changed after they came, so that a delivery need not write to it.
const readChanged = `SELECT uid, flags, changed FROM item WHERE mailbox = $1 AND folder = $2 AND changed > $3 AND changed > created`

// changedItems returns the items of a folder that arrived or changed after since, ascending by UID. Items that came after
// since are the newest UIDs, because numbers rise with UIDs when items come: reading down from the top may stop at the first
// item that neither came nor changed since. The others that changed are in the index.
func changedItems(ctx context.Context, tx *db.Tx, id ID, f FolderID, since ModSeq) ([]FlagUpdate, error) {
	var out []FlagUpdate
	for below, page := int64(MaxUID)+1, 8; ; page = min(page*8, 4096) {
		n, done := 0, false
		err := tx.Each(ctx, func(r db.Row) error {
			var uid, flags, changed int64
			err := r.Scan(&uid, &flags, &changed)
			n, below = n+1, uid
			if done = done || changed <= int64(since); !done {
				out = append(out, FlagUpdate{UID(uid), Flags(flags), ModSeq(changed)})
			}
			return err
		}, readNewest, int64(id), int64(f), below, page)
		if err != nil {
			return nil, fmt.Errorf("read the newest items of folder %d of mailbox %s: %w", f, id, err)
		}
		if done || n < page {
			break
		}
	}
	slices.Reverse(out)
	top := MaxUID
	if len(out) > 0 {
		top = out[0].UID - 1
	}
	newest := len(out)
	err := tx.Each(ctx, func(r db.Row) error {
		var uid, flags, changed int64
		err := r.Scan(&uid, &flags, &changed)
		if UID(uid) <= top {
			out = append(out, FlagUpdate{UID(uid), Flags(flags), ModSeq(changed)})
		}
		return err
	}, readChanged, int64(id), int64(f), int64(since))
	if err != nil {
		return nil, fmt.Errorf("read the changes of folder %d of mailbox %s: %w", f, id, err)
	}
	if len(out) > newest {
		slices.SortFunc(out, func(a, b FlagUpdate) int { return cmp.Compare(a.UID, b.UID) })
	}
	return out, nil
}

// vanishedUIDs returns the UIDs that left a folder after since, up to the number upTo.
func vanishedUIDs(ctx context.Context, tx *db.Tx, id ID, f FolderID, since, upTo ModSeq) (UIDSet, error) {
	var uids []UID
	err := tx.Each(ctx, func(r db.Row) error {
		var uid int64
		err := r.Scan(&uid)
		uids = append(uids, UID(uid))
		return err
	}, `SELECT uid FROM vanished WHERE mailbox = $1 AND folder = $2 AND change > $3 AND change <= $4`,
		int64(id), int64(f), int64(since), int64(upTo))
	if err != nil {
		return nil, fmt.Errorf("read what left folder %d of mailbox %s: %w", f, id, err)
	}
	return UIDs(uids...), nil
}
