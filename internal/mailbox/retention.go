package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// Rule is what a retention policy says of one folder. With Trash it holds for the folders below too: that is where clients move a
// folder that is thrown away. With the others it does not: what lies below them was put there by its owner.
type Rule struct {
	Use Use
	// Before is the moment from which, or from before which, the age of an item must count. The age counts from the newest
	// of: when the item came into its folder, and when its flags changed last.
	Before time.Time
	// Recoverable keeps what is removed for Options.KeepRecoverable, where Recover finds it.
	Recoverable bool
}

// Due is a folder that holds items a rule removes.
type Due struct {
	Folder FolderID
	Rule   Rule
}

// OpenMailboxes returns up to limit open mailboxes of an organisation in the order of their owners, those behind the owner after.
func (s *Store) OpenMailboxes(ctx context.Context, org OrgKey, after string, limit int) (list []Details, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		list = nil
		return tx.Each(ctx, func(r db.Row) error {
			d, err := scanDetails(r)
			list = append(list, d)
			return err
		}, openMailboxes, int64(org), after, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list the mailboxes of an organisation: %w", err)
	}
	return list, nil
}

const openMailboxes = detailColumns + `WHERE org = $1 AND owner > $2 AND state = 0 ORDER BY owner LIMIT $3`

// DueFolders returns the folders of a mailbox where rules have something to remove. Of each folder that a rule names it reads a
// few rows, however many the folder has.
func (s *Store) DueFolders(ctx context.Context, id ID, rules []Rule) (due []Due, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		due = nil
		ruled, err := ruledFolders(ctx, tx, id, rules)
		if err != nil {
			return err
		}
		for _, d := range ruled {
			p := passage{id: id, folder: d.Folder, before: micros(d.Rule.Before), limit: probe}
			if err := p.read(ctx, tx); err != nil {
				return err
			}
			if len(p.rows) > 0 || p.more {
				due = append(due, d)
			}
		}
		return nil
	})
	return due, err
}

// probe is how many rows of a folder DueFolders looks at, twice.
const probe = 16

// ruledFolders returns the folders of a mailbox that rules are about, each with its rule.
func ruledFolders(ctx context.Context, tx *db.Tx, id ID, rules []Rule) ([]Due, error) {
	var ruled []Due
	below := map[FolderID][]FolderID{}
	err := tx.Each(ctx, func(r db.Row) error {
		var f, parent FolderID
		var use Use
		err := r.Scan(&f, &parent, &use)
		below[parent] = append(below[parent], f)
		for _, rule := range rules {
			if rule.Use == use && use != NoUse {
				ruled = append(ruled, Due{f, rule})
			}
		}
		return err
	}, `SELECT id, parent, special FROM folder WHERE mailbox = $1 AND NOT gone`, int64(id))
	if err != nil {
		return nil, fmt.Errorf("read the folders of mailbox %s: %w", id, err)
	}
	named := map[FolderID]bool{}
	for _, d := range ruled {
		named[d.Folder] = true
	}
	for i := 0; i < len(ruled); i++ { // which grows
		if ruled[i].Rule.Use != Trash {
			continue
		}
		for _, f := range below[ruled[i].Folder] {
			if !named[f] {
				ruled = append(ruled, Due{f, ruled[i].Rule})
			}
		}
	}
	return ruled, nil
}

// RetainTx removes up to BatchRows items of a folder that are due, and returns how many went and whether there may be more.
// It is all that retention does to a mailbox at a time: no more than this stands between two looks at the policy. Faults:
// NotFound Mailbox and Folder, State Mailbox.
func (s *Store) RetainTx(ctx context.Context, tx *db.Tx, id ID, d Due) (removed int, more bool, err error) {
	l, err := s.lock(ctx, tx, id, s.batch, 0, 0)
	if err != nil {
		return 0, false, err
	}
	p := passage{id: id, folder: d.Folder, before: micros(d.Rule.Before), limit: s.batch}
	if err := p.read(ctx, tx); err != nil {
		return 0, false, err
	}
	if p.next != p.from {
		_, err := tx.Exec(ctx, `UPDATE folder SET kept_below = $3 WHERE mailbox = $1 AND id = $2`, int64(id), int64(d.Folder), int64(p.next))
		if err != nil {
			return 0, false, fmt.Errorf("retain in mailbox %s: %w", id, err)
		}
	}
	if len(p.rows) == 0 {
		return 0, p.more, nil
	}
	remove := s.removeRows
	if d.Rule.Recoverable {
		remove = s.retireRows
	}
	t, err := remove(ctx, tx, l, d.Folder, p.rows)
	if err != nil {
		return 0, false, err
	}
	if err := s.resize(ctx, tx, id, t.bytes); err != nil {
		return 0, false, err
	}
	_, _, err = s.apply(ctx, tx, id, d.Folder, &t)
	return len(p.rows), p.more, err
}

// passage is one look for the items of a folder that are due, at most limit of them.
//
// Most items stay as they came. Their UIDs rise with the time they came, so the oldest have the lowest, and the look ends
// with a page where none is due. (A page, because clocks are set back, and a large message may wait for its body.) Items whose
// flags changed since, and moved ones, are in the index item_changed, in the order of their changes. So neither way reads a folder
// from end to end, and a delivery has no index to write.
//
// Changed items with low UIDs would be read again each time: next is the UID up to which only such are left.
type passage struct {
	id         ID
	folder     FolderID
	before     int64
	limit      int
	rows       []row
	from, next UID
	more       bool
}

const readOldestChanged = `SELECT uid, item, flags, changed, size, body, created, saved, modified FROM item
WHERE mailbox = $1 AND folder = $2 AND changed > created ORDER BY changed LIMIT $3`

const readOldest = `SELECT uid, item, flags, changed, size, body, created, saved, modified FROM item
WHERE mailbox = $1 AND folder = $2 AND uid >= $3 ORDER BY uid LIMIT $4`

// agedRow is a row and what its age counts from.
type agedRow struct {
	row
	created ModSeq
	since   int64
}

func scanAged(r db.Row) (a agedRow, err error) {
	var saved, modified int64
	err = r.Scan(&a.uid, &a.item, &a.flags, &a.changed, &a.size, &a.body, &a.created, &saved, &modified)
	a.since = max(saved, modified)
	return a, err
}

func (p *passage) read(ctx context.Context, tx *db.Tx) error {
	err := tx.QueryRow(ctx, `SELECT kept_below FROM folder WHERE mailbox = $1 AND id = $2 AND NOT gone`, int64(p.id), int64(p.folder)).
		Scan(&p.from)
	if errors.Is(err, sql.ErrNoRows) {
		return noFolder(p.folder)
	}
	if err != nil {
		return fmt.Errorf("read folder %d of mailbox %s: %w", p.folder, p.id, err)
	}
	p.next = p.from
	err = tx.Each(ctx, func(r db.Row) error {
		a, err := scanAged(r)
		if a.since <= p.before {
			p.rows = append(p.rows, a.row)
		}
		return err
	}, readOldestChanged, int64(p.id), int64(p.folder), p.limit)
	if err != nil {
		return fmt.Errorf("look for old items of mailbox %s: %w", p.id, err)
	}
	seen, stays := 0, false // stays: an item as it came that is left where it is
	err = tx.Each(ctx, func(r db.Row) error {
		a, err := scanAged(r)
		seen++
		asItCame := a.changed == a.created
		if asItCame && a.since <= p.before && len(p.rows) < p.limit {
			p.rows = append(p.rows, a.row)
		} else {
			stays = stays || asItCame
		}
		if !stays {
			p.next = a.uid + 1
		}
		return err
	}, readOldest, int64(p.id), int64(p.folder), int64(p.from), p.limit)
	if err != nil {
		return fmt.Errorf("look for old items of mailbox %s: %w", p.id, err)
	}
	p.more = len(p.rows) > 0 || seen == p.limit && !stays
	return nil
}
