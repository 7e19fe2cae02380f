package mailbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// DeleteFolder deletes a folder and its items; with below, all folders below it too. Without, a folder that has others below
// leaves a name without items in its place (RFC 3501 section 6.3.4). The first transaction frees the name and the quota; the
// items of a large folder then go some hundred at a time, which Sweep finishes after a crash. A subscription stays.
// Faults: NotFound Folder; Invalid Folder; Unsupported Folder (default folders); InUse Folder (a name without items that has
// others below, without below).
func (s *Store) DeleteFolder(ctx context.Context, id ID, path string, below bool) error {
	names, err := splitPath(path)
	if err != nil {
		return err
	}
	err = s.changeTree(ctx, id, func(ctx context.Context, tx *db.Tx, w *forest) error {
		f, ok := w.find(names)
		if !ok {
			return fault.New(fault.NotFound, fault.Folder, "there is no folder %q", path)
		}
		if f.Default {
			return fault.New(fault.Unsupported, fault.Folder, "folder %q belongs to every mailbox and can't be deleted", f.Path)
		}
		under := w.below(f.ID)
		if below || len(under) == 0 {
			return w.bury(ctx, tx, append(under, f)...)
		}
		if f.Kind == NoItems {
			return fault.New(fault.InUse, fault.Folder, "%q is only a name, and there are folders below it", f.Path)
		}
		if err := w.bury(ctx, tx, f); err != nil {
			return err
		}
		subscribed, err := w.takeSubscription(ctx, tx, names)
		if err != nil {
			return err
		}
		name, err := w.plant(ctx, tx, Folder{Parent: f.Parent, Name: f.Name, Kind: NoItems, Subscribed: subscribed})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE folder SET parent = $3 WHERE mailbox = $1 AND parent = $2 AND NOT gone`,
			int64(id), int64(f.ID), int64(name.ID))
		return err
	})
	if err != nil {
		return err
	}
	for done := false; !done; {
		if done, err = s.emptyGone(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// bury takes folders out of the tree: their rows stay as a mark that they are gone, with their items until emptyGone.
func (w *forest) bury(ctx context.Context, tx *db.Tx, folders ...Folder) error {
	bytes := int64(0)
	for _, f := range folders {
		bytes += f.Bytes
		_, err := tx.Exec(ctx, `UPDATE folder SET gone = TRUE, parent = $3, name = '', key = '', special = 0, subscribed = FALSE,
properties_changed = $4 WHERE mailbox = $1 AND id = $2`, int64(w.id), int64(f.ID), -int64(f.ID), int64(w.change))
		if err != nil {
			return fmt.Errorf("delete folder %q of mailbox %s: %w", f.Path, w.id, err)
		}
		if f.Subscribed {
			if err := w.keepSubscription(ctx, tx, strings.Split(f.Path, Delimiter)); err != nil {
				return err
			}
		}
	}
	return w.store.resize(ctx, tx, w.id, -bytes)
}

// emptyGone removes a batch of the items of a mailbox's deleted folders and returns true when none are left.
func (s *Store) emptyGone(ctx context.Context, id ID) (done bool, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		done = false
		l, err := s.lockAny(ctx, tx, id, s.batch, 0, 0)
		if err != nil {
			return err
		}
		var f FolderID
		var rows []row
		err = tx.Each(ctx, func(r db.Row) error { return r.Scan(&f) },
			`SELECT id FROM folder WHERE mailbox = $1 AND gone AND messages > 0 ORDER BY id LIMIT 1`, int64(id))
		if err != nil || f == 0 {
			done = f == 0
			return err
		}
		if rows, err = readRows(ctx, tx, id, f, AllUIDs(), s.batch); err != nil {
			return err
		}
		t, err := s.removeRows(ctx, tx, l, f, rows)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE folder SET highest = $3, messages = messages + $4, unseen = unseen + $5, deleted = deleted + $6,
bytes = bytes + $7, departures = departures + $8 WHERE mailbox = $1 AND id = $2`,
			int64(id), int64(f), int64(t.highest), t.messages, t.unseen, t.deleted, t.bytes, t.departed)
		return err
	})
	return done, err
}
