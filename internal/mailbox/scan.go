package mailbox

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
)

const readUIDs = `SELECT uid FROM item WHERE mailbox = $1 AND folder = $2 AND uid >= $3 ORDER BY uid`

// scanUIDs hands the folder's UIDs at or above from to add, ascending.
func scanUIDs(ctx context.Context, tx *db.Tx, id ID, f FolderID, from UID, add func(UID)) error {
	var uid num
	return tx.Each(ctx, func(r db.Row) error {
		err := r.Scan(&uid)
		add(UID(uid))
		return err
	}, readUIDs, int64(id), int64(f), int64(from))
}
