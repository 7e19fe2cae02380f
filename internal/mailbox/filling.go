package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// Filling is a mailbox that holds nine tenths of its quota or more.
type Filling struct {
	Mailbox ID
	// Crossed says that it held less before; where it is not so, Brought is.
	Crossed bool
	// Brought says that it grew by messages that are brought from elsewhere, of which more may come.
	Brought bool
}

// NearlyFull reports whether the mailbox holds nine tenths of its quota or more.
func (d Details) NearlyFull() bool { return nearlyFull(d.Bytes, d.Quota) }

func nearlyFull(used, quota int64) bool { return used >= quota-quota/10 }

// grown tells that a locked mailbox grew, if it is nearly full by that. It costs the usual write a comparison.
func (s *Store) grown(ctx context.Context, tx *db.Tx, id ID, used, quota, by int64, brought bool) error {
	if s.limits.Filling == nil || by <= 0 || !nearlyFull(used, quota) {
		return nil
	}
	f := Filling{Mailbox: id, Crossed: !nearlyFull(used-by, quota), Brought: brought}
	if !f.Crossed && !f.Brought {
		return nil
	}
	return s.limits.Filling(ctx, tx, f)
}

// Warned returns when the mailbox's owner was last told that it is nearly full; zero for never. Faults: NotFound Mailbox.
func (s *Store) Warned(ctx context.Context, id ID) (time.Time, error) {
	var at int64
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT warned FROM mailbox WHERE id = $1`, int64(id)).Scan(&at)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, noMailbox(id)
	case err != nil:
		return time.Time{}, fmt.Errorf("look when the owner of mailbox %s was told: %w", id, err)
	}
	return fromMicros(at), nil
}

// WarnedTx notes that the mailbox's owner is told that it is nearly full, and reports whether it is.
func (s *Store) WarnedTx(ctx context.Context, tx *db.Tx, id ID, at time.Time) (bool, error) {
	var used, quota int64
	err := tx.QueryRow(ctx, `UPDATE mailbox SET warned = $2 WHERE id = $1 RETURNING bytes, quota`, int64(id), micros(at)).Scan(&used, &quota)
	if err != nil {
		return false, fmt.Errorf("note that the owner of mailbox %s is told: %w", id, err)
	}
	return nearlyFull(used, quota), nil
}
