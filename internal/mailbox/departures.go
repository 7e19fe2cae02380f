package mailbox

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// forget keeps what a folder remembers of departures bounded: it removes a batch of the oldest once there are KeepDepartures and a
// batch more, and raises the folder's floor to the newest of them. departures is how many the folder remembers now.
func (s *Store) forget(ctx context.Context, tx *db.Tx, id ID, f FolderID, departures int64) error {
	if departures < int64(s.limits.KeepDepartures+s.forgetBatch()) {
		return nil
	}
	return s.forgetOldest(ctx, tx, id, f)
}

// forgetOldest removes a batch of what a folder remembers.
func (s *Store) forgetOldest(ctx context.Context, tx *db.Tx, id ID, f FolderID) error {
	var n, floor int64
	err := tx.QueryRow(ctx, `SELECT COUNT(*), COALESCE(MAX(change), 0) FROM (SELECT change FROM vanished
WHERE mailbox = $1 AND folder = $2 ORDER BY change LIMIT $3) AS oldest`, int64(id), int64(f), s.forgetBatch()).Scan(&n, &floor)
	if err != nil {
		return fmt.Errorf("forget departures of mailbox %s: %w", id, err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM vanished WHERE mailbox = $1 AND folder = $2 AND change <= $3`, int64(id), int64(f), floor); err != nil {
		return fmt.Errorf("forget departures of mailbox %s: %w", id, err)
	}
	_, err = tx.Exec(ctx, `UPDATE folder SET floor = $3, departures = departures - $4 WHERE mailbox = $1 AND id = $2`,
		int64(id), int64(f), floor, n)
	return err
}

// forgetBatch is how many departures are forgotten at a time: more than one write adds, so that they can't pile up.
func (s *Store) forgetBatch() int { return 2 * s.batch }
