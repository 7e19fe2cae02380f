package mailbox

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// Place is where an item lies.
type Place struct {
	Folder FolderID
	UID    UID
	Item   ItemID
}

const (
	readTouchedFolders = `SELECT id FROM folder WHERE mailbox = $1 AND NOT gone AND highest > $2 ORDER BY id`
	readTouched        = `SELECT uid, item FROM item WHERE mailbox = $1 AND folder = $2 AND changed > $3 AND changed > created ORDER BY changed`
)

// Touched returns where, at one moment, up to limit items lie that were there before since and were moved after it, or changed
// with a higher number, but for those that known knows. Who has gone through all folders since then, one after the other, has missed no
// item that isn't among them, however items were moved meanwhile. known runs in the snapshot and must not wait.
func (s *Store) Touched(ctx context.Context, id ID, since ModSeq, known func(ItemID) bool, limit int) (places []Place, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		places = nil
		var folders []int64
		err := tx.Each(ctx, func(r db.Row) error {
			var f int64
			err := r.Scan(&f)
			folders = append(folders, f)
			return err
		}, readTouchedFolders, int64(id), int64(since))
		if err != nil {
			return fmt.Errorf("read the changed folders of mailbox %s: %w", id, err)
		}
		for _, f := range folders {
			err := tx.Each(ctx, func(r db.Row) error {
				p := Place{Folder: FolderID(f)}
				err := r.Scan(&p.UID, &p.Item)
				if err == nil && len(places) < limit && !known(p.Item) {
					places = append(places, p)
				}
				return err
			}, readTouched, int64(id), f, int64(since))
			if err != nil {
				return fmt.Errorf("read the changed items of folder %d of mailbox %s: %w", f, id, err)
			}
		}
		return nil
	})
	return places, err
}
