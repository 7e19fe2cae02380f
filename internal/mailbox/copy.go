package mailbox

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// Copied pairs the UIDs of items with those they got in the target folder, as COPYUID does: From[i] became To[i].
type Copied struct {
	UIDValidity uint32 // of the target folder
	From, To    []UID
	// Items are the ids of From, and Copies those of To; where items were moved they keep theirs, and there are no Copies.
	Items, Copies []ItemID
}

func (c *Copied) add(more Copied) {
	c.UIDValidity = more.UIDValidity
	c.From = append(c.From, more.From...)
	c.To = append(c.To, more.To...)
	c.Items = append(c.Items, more.Items...)
	c.Copies = append(c.Copies, more.Copies...)
}

// Copy copies the items of set that exist to a folder of the same mailbox, which may be the same folder; flags, dates and the
// EmailID go along. Sets of more than BatchRows items are several transactions; RFC 3501 section 6.4.7 wants all or nothing, so when one
// fails the copies made before it are expunged again (only a crash in the middle leaves them). Faults: OverQuota Mailbox, NotFound
// Folder, Unsupported Folder (to holds no items), State Mailbox.
func (s *Store) Copy(ctx context.Context, id ID, from FolderID, set UIDSet, to FolderID) (Copied, error) {
	var all Copied
	pieces, err := s.pieces(ctx, id, from, set)
	if err != nil {
		return all, err
	}
	for _, piece := range pieces {
		var c Copied
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			c, err = s.copyPiece(ctx, tx, id, from, piece, to)
			return err
		})
		if err != nil {
			return Copied{}, s.undoCopy(context.WithoutCancel(ctx), id, to, all, err)
		}
		all.add(c)
	}
	return all, nil
}

func (s *Store) undoCopy(ctx context.Context, id ID, to FolderID, made Copied, cause error) error {
	if len(made.To) == 0 {
		return cause
	}
	if _, err := s.Expunge(ctx, id, to, UIDs(made.To...), false); err != nil {
		s.log.WarnContext(ctx, "copies of a COPY that failed could not be taken back", "mailbox", id, "folder", to, "copies", len(made.To),
			"error", err)
	}
	return cause
}

func (s *Store) copyPiece(ctx context.Context, tx *db.Tx, id ID, from FolderID, set UIDSet, to FolderID) (c Copied, err error) {
	l, err := s.lock(ctx, tx, id, s.most(set), s.most(set), 0)
	if err != nil {
		return c, err
	}
	rows, err := readRows(ctx, tx, id, from, set, s.batch)
	if err != nil {
		return c, err
	}
	if len(rows) == 0 {
		return c, s.bothExist(ctx, tx, id, from, to)
	}
	t := tally{arrived: len(rows), highest: l.change + ModSeq(len(rows)) - 1}
	for _, w := range rows {
		t.count(1, w.flags, w.size)
	}
	if err := s.resize(ctx, tx, id, t.bytes); err != nil {
		return c, err
	}
	uid, validity, err := s.apply(ctx, tx, id, to, &t)
	if err != nil {
		return c, err
	}
	c.UIDValidity = validity
	var items, metas []int64
	for i, w := range rows {
		item := int64(l.item) + int64(i)
		items = append(items, int64(w.uid), int64(uid)+int64(i), item, int64(l.change)+int64(i))
		metas = append(metas, int64(w.item), item)
		c.From, c.To = append(c.From, w.uid), append(c.To, uid+UID(i))
		c.Items, c.Copies = append(c.Items, w.item), append(c.Copies, ItemID(item))
	}
	now := micros(s.clock.Now())
	if _, err := s.bulk.copyItem.exec(ctx, tx, []any{int64(id), int64(from), int64(to), now}, items); err != nil {
		return c, fmt.Errorf("copy items to folder %d of mailbox %s: %w", to, id, err)
	}
	if _, err := s.bulk.copyMeta.exec(ctx, tx, []any{int64(id)}, metas); err != nil {
		return c, fmt.Errorf("copy what is known of items of mailbox %s: %w", id, err)
	}
	if _, err := s.bulk.share.exec(ctx, tx, nil, countBodies(rows)); err != nil {
		return c, fmt.Errorf("share bodies in mailbox %s: %w", id, err)
	}
	return c, s.filed(ctx, tx, l, from, to, rows, c.To)
}

// bothExist returns the fault that copying nothing from a folder to another deserves.
func (s *Store) bothExist(ctx context.Context, tx *db.Tx, id ID, from, to FolderID) error {
	if err := s.mustExist(ctx, tx, id, from); err != nil {
		return err
	}
	f, err := folderRow(ctx, tx, id, to)
	if err == nil && !f.Selectable() {
		return fault.New(fault.Unsupported, fault.Folder, "this folder is only a name above others and holds no messages")
	}
	return err
}
