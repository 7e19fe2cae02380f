package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// PurgeBatch removes a closed mailbox some hundred items at a time and returns true when nothing is left of it; calling it
// for a mailbox that isn't there is done at once. The first call frees the owner for a new mailbox. It does not look at the
// purge time: when to purge is the caller's decision. Faults: State Mailbox when it is open.
func (s *Store) PurgeBatch(ctx context.Context, id ID) (done bool, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		done, err = s.purgePiece(ctx, tx, id)
		return err
	})
	return done, err
}

func (s *Store) purgePiece(ctx context.Context, tx *db.Tx, id ID) (done bool, err error) {
	l, err := s.lockAny(ctx, tx, id, 0, 0, 0)
	switch {
	case fault.Is(err, fault.NotFound, fault.Mailbox):
		return true, nil
	case err != nil:
		return false, err
	case l.state == Open:
		return false, fault.New(fault.State, fault.Mailbox, "mailbox %s is open; only a closed one can be purged", id)
	case l.state == Closed:
		// A name no entity has: ids of entities hold no blank.
		_, err := tx.Exec(ctx, `UPDATE mailbox SET state = $2, owner = owner || ' purged ' || CAST(id AS TEXT) WHERE id = $1`, int64(id), Purged)
		return false, err
	}
	var f FolderID
	err = tx.QueryRow(ctx, `SELECT folder FROM item WHERE mailbox = $1 ORDER BY folder, uid LIMIT 1`, int64(id)).Scan(&f)
	if errors.Is(err, sql.ErrNoRows) {
		return s.purgeRest(ctx, tx, id)
	}
	if err != nil {
		return false, fmt.Errorf("purge mailbox %s: %w", id, err)
	}
	rows, err := readRows(ctx, tx, id, f, AllUIDs(), s.batch)
	if err != nil {
		return false, err
	}
	return false, s.dropRows(ctx, tx, id, f, rows)
}

// dropRows removes items of a mailbox nobody will look at again: nothing is remembered of them.
func (s *Store) dropRows(ctx context.Context, tx *db.Tx, id ID, f FolderID, rows []row) error {
	var uids, items []int64
	var t tally
	for _, r := range rows {
		uids, items = append(uids, int64(r.uid)), append(items, int64(r.item))
		t.count(-1, r.flags, r.size)
	}
	if _, err := s.bulk.deleteItem.exec(ctx, tx, []any{int64(id), int64(f)}, uids); err != nil {
		return fmt.Errorf("purge mailbox %s: %w", id, err)
	}
	if _, err := s.bulk.deleteMeta.exec(ctx, tx, []any{int64(id)}, items); err != nil {
		return fmt.Errorf("purge mailbox %s: %w", id, err)
	}
	var gone bool
	err := tx.QueryRow(ctx, `UPDATE folder SET messages = messages + $3, unseen = unseen + $4, deleted = deleted + $5, bytes = bytes + $6
WHERE mailbox = $1 AND id = $2 RETURNING gone`, int64(id), int64(f), t.messages, t.unseen, t.deleted, t.bytes).Scan(&gone)
	if err != nil {
		return fmt.Errorf("purge mailbox %s: %w", id, err)
	}
	if !gone { // a deleted folder's bytes were given back when it was deleted
		if err := s.resize(ctx, tx, id, t.bytes); err != nil {
			return err
		}
	}
	return s.release(ctx, tx, rows)
}

// purgeRest removes what is left of a mailbox without items.
func (s *Store) purgeRest(ctx context.Context, tx *db.Tx, id ID) (done bool, err error) {
	if n, err := s.dropRecoverable(ctx, tx, id); err != nil || n > 0 {
		return false, err
	}
	if forget := s.limits.Forget; forget != nil {
		if n, err := forget(ctx, tx, id, s.batch); err != nil || n == s.batch {
			return false, err
		}
	}
	var f FolderID
	err = tx.QueryRow(ctx, `SELECT id FROM folder WHERE mailbox = $1 AND departures > 0 LIMIT 1`, int64(id)).Scan(&f)
	if err == nil {
		return false, s.forgetOldest(ctx, tx, id, f)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("purge mailbox %s: %w", id, err)
	}
	for _, text := range []string{
		`DELETE FROM folder WHERE mailbox = $1`,
		`DELETE FROM subscription WHERE mailbox = $1`,
		`DELETE FROM keyword WHERE mailbox = $1`,
		`DELETE FROM mailbox WHERE id = $1`,
	} {
		if _, err := tx.Exec(ctx, text, int64(id)); err != nil {
			return false, fmt.Errorf("purge mailbox %s: %w", id, err)
		}
	}
	return true, nil
}
