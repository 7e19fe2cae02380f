package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// folderColumns are those of scanFolder, of a table that must be called f.
const folderColumns = `f.id, f.parent, f.name, f.kind, f.special, f.is_default, f.subscribed, f.uidvalidity, f.uidnext,
f.highest, f.floor, f.properties_changed, f.counts_changed, f.messages, f.unseen, f.deleted, f.bytes`

// scanFolder reads folderColumns; Path and HasChildren are the tree's to fill.
func scanFolder(row db.Row, f *Folder, more ...any) error {
	dest := []any{
		&f.ID, &f.Parent, &f.Name, &f.Kind, &f.Use, &f.Default, &f.Subscribed, &f.UIDValidity, &f.UIDNext,
		&f.Highest, &f.Floor, &f.PropertiesChanged, &f.CountsChanged, &f.Messages, &f.Unseen, &f.DeletedMarked, &f.Bytes,
	}
	return row.Scan(append(dest, more...)...)
}

const readFolderRow = `SELECT ` + folderColumns + ` FROM folder f WHERE f.mailbox = $1 AND f.id = $2 AND NOT f.gone`

// folderRow reads one folder, without Path and HasChildren.
func folderRow(ctx context.Context, tx *db.Tx, id ID, fid FolderID) (Folder, error) {
	var f Folder
	err := scanFolder(tx.QueryRow(ctx, readFolderRow, int64(id), int64(fid)), &f)
	if errors.Is(err, sql.ErrNoRows) {
		return f, noFolder(fid)
	}
	if err != nil {
		return f, fmt.Errorf("read folder %d of mailbox %s: %w", fid, id, err)
	}
	return f, nil
}

// tally is what a write did to the items of one folder.
type tally struct {
	arrived                          int // UIDs taken
	departed                         int // rows added to vanished
	messages, unseen, deleted, bytes int64
	highest                          ModSeq
}

// count adds n items with the flags and the size.
func (t *tally) count(n int64, flags Flags, size int64) {
	t.messages += n
	t.bytes += n * size
	t.mark(n, flags)
}

// mark adds n to the counts that flags decide.
func (t *tally) mark(n int64, flags Flags) {
	if !flags.Has(Seen) {
		t.unseen += n
	}
	if flags.Has(Deleted) {
		t.deleted += n
	}
}

// updateCounts is updateFolder for what neither came nor left.
const updateCounts = `UPDATE folder SET highest = $3, counts_changed = $3, unseen = unseen + $4, deleted = deleted + $5
WHERE mailbox = $1 AND id = $2 AND NOT gone`

// recount is apply for items whose flags alone changed.
func recount(ctx context.Context, tx *db.Tx, id ID, f FolderID, t *tally) error {
	n, err := tx.Exec(ctx, updateCounts, int64(id), int64(f), int64(t.highest), t.unseen, t.deleted)
	switch {
	case err != nil:
		return fmt.Errorf("update the counts of folder %d of mailbox %s: %w", f, id, err)
	case n == 0:
		return noFolder(f)
	}
	return nil
}

const updateFolder = `UPDATE folder SET uidnext = uidnext + $3, highest = $4, counts_changed = $4, messages = messages + $5,
unseen = unseen + $6, deleted = deleted + $7, bytes = bytes + $8, departures = departures + $9
WHERE mailbox = $1 AND id = $2 AND NOT gone RETURNING uidnext, uidvalidity, kind, departures`

// apply adds a tally to its folder and returns the first of the UIDs taken and the folder's UIDVALIDITY. Faults: NotFound
// Folder; Unsupported Folder when items arrive in one that holds none; Limit Folder when the UIDs are used up.
func (s *Store) apply(ctx context.Context, tx *db.Tx, id ID, f FolderID, t *tally) (UID, uint32, error) {
	var next, departures int64
	var validity uint32
	var kind Kind
	err := tx.QueryRow(ctx, updateFolder, int64(id), int64(f), t.arrived, int64(t.highest), t.messages, t.unseen, t.deleted,
		t.bytes, t.departed).Scan(&next, &validity, &kind, &departures)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, 0, noFolder(f)
	case err != nil:
		return 0, 0, fmt.Errorf("update folder %d of mailbox %s: %w", f, id, err)
	case t.arrived > 0 && kind == NoItems:
		return 0, 0, fault.New(fault.Unsupported, fault.Folder, "this folder is only a name above others and holds no messages")
	case next > int64(MaxUID):
		return 0, 0, fault.New(fault.Limit, fault.Folder, "this folder has used all its %d message numbers; make a new one", MaxUID)
	}
	if t.departed > 0 {
		err = s.forget(ctx, tx, id, f, departures)
	}
	return UID(next - int64(t.arrived)), validity, err
}
