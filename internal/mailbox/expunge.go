package mailbox

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
)

// Expunged are the items that Expunge removed.
type Expunged struct {
	UIDs    UIDSet
	Items   []ItemID // by UID
	Highest ModSeq   // the highest change number they got; 0 if none went
}

// Expunge removes the items of set that exist, only those marked Deleted if onlyDeleted. Sets of more than BatchRows items are several transactions; after an error
// the result says what went before it. Faults: NotFound Mailbox and Folder, State Mailbox.
func (s *Store) Expunge(ctx context.Context, id ID, f FolderID, set UIDSet, onlyDeleted bool) (gone Expunged, err error) {
	if onlyDeleted {
		// Usually few of many: find them first.
		marked, err := s.marked(ctx, id, f, set)
		if err != nil {
			return gone, err
		}
		set = marked
	}
	pieces, err := s.pieces(ctx, id, f, set)
	if err != nil {
		return gone, err
	}
	for _, piece := range pieces {
		var went []row
		var t tally
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			went, t, err = s.expungePiece(ctx, tx, id, f, piece, onlyDeleted)
			return err
		})
		if err != nil {
			return gone, err
		}
		for _, w := range went {
			gone.UIDs.add(w.uid)
			gone.Items = append(gone.Items, w.item)
		}
		gone.Highest = max(gone.Highest, t.highest)
	}
	return gone, nil
}

func (s *Store) expungePiece(ctx context.Context, tx *db.Tx, id ID, f FolderID, set UIDSet, onlyDeleted bool) (rows []row, t tally, err error) {
	l, err := s.lock(ctx, tx, id, s.most(set), 0, 0)
	if err != nil {
		return nil, t, err
	}
	found, err := readRows(ctx, tx, id, f, set, s.batch)
	if err != nil {
		return nil, t, err
	}
	for _, w := range found {
		if !onlyDeleted || w.flags.Has(Deleted) {
			rows = append(rows, w)
		}
	}
	if len(rows) == 0 {
		return nil, t, s.mustExist(ctx, tx, id, f)
	}
	if t, err = s.removeRows(ctx, tx, l, f, rows); err != nil {
		return nil, t, err
	}
	if err := s.resize(ctx, tx, id, t.bytes); err != nil {
		return nil, t, err
	}
	_, _, err = s.apply(ctx, tx, id, f, &t)
	return rows, t, err
}

// marked returns the UIDs of set whose items are marked Deleted.
func (s *Store) marked(ctx context.Context, id ID, f FolderID, set UIDSet) (UIDSet, error) {
	folder, err := s.FolderByID(ctx, id, f)
	if err != nil || folder.DeletedMarked == 0 {
		return nil, err
	}
	return s.flagged(ctx, id, &folder, set, Deleted, Deleted)
}
