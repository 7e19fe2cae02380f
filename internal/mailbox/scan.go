package mailbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
)

const readUIDs = `SELECT uid FROM item WHERE mailbox = $1 AND folder = $2 AND uid >= $3 ORDER BY uid`

// scanUIDs hands the folder's UIDs at or above from to add, ascending.
func scanUIDs(ctx context.Context, tx *db.Tx, id ID, f FolderID, from UID, add func(UID)) error {
	var uid num
	return forRows(ctx, tx, func(r scanner) error {
		err := r.Scan(&uid)
		add(UID(uid))
		return err
	}, readUIDs, int64(id), int64(f), int64(from))
}

const readByFlags = `SELECT uid FROM item WHERE mailbox = $1 AND folder = $2 AND uid BETWEEN $3 AND $4 AND flags & $5 = $6
ORDER BY uid LIMIT $7`

// scanFlags returns the UIDs of set whose flags under mask are want.
func (s *Store) scanFlags(ctx context.Context, id ID, f FolderID, set UIDSet, mask, want Flags) (UIDSet, error) {
	const limit = 10_000
	var out UIDSet
	set = slices.Clone(set)
	for len(set) > 0 {
		span, _ := (&pager{set: set}).span()
		covered := span.Last
		err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			covered = span.Last
			n := 0
			var uid num
			err := forRows(ctx, tx, func(r scanner) error {
				err := r.Scan(&uid)
				if set.Contains(UID(uid)) {
					out.add(UID(uid))
				}
				if n++; n == limit {
					covered = UID(uid)
				}
				return err
			}, readByFlags, int64(id), int64(f), int64(span.First), int64(span.Last), int64(mask), int64(want), limit)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the flags of folder %d of mailbox %s: %w", f, id, err)
		}
		set = set.above(covered)
	}
	return out, nil
}
