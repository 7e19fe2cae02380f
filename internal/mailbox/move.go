package mailbox

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// Move moves the items of set that exist to another folder of the mailbox; they keep ItemID, flags and dates (RFC 6851). Each
// item is at every moment in exactly one of the folders. Sets of more than BatchRows items are several transactions; after an
// error the result says what was moved before it. Faults as Copy, but for the quota.
func (s *Store) Move(ctx context.Context, id ID, from FolderID, set UIDSet, to FolderID) (Copied, error) {
	var all Copied
	pieces, err := s.pieces(ctx, id, from, set)
	if err != nil {
		return all, err
	}
	for _, piece := range pieces {
		var c Copied
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			c, err = s.movePiece(ctx, tx, id, from, piece, to)
			return err
		})
		if err != nil {
			return all, err
		}
		all.add(c)
	}
	return all, nil
}

func (s *Store) movePiece(ctx context.Context, tx *db.Tx, id ID, from FolderID, set UIDSet, to FolderID) (c Copied, err error) {
	l, err := s.lock(ctx, tx, id, s.most(set), 0, 0)
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
	// One number stands for both ends of an item's move.
	highest := l.change + ModSeq(len(rows)) - 1
	leave := tally{departed: len(rows), highest: highest}
	arrive := tally{arrived: len(rows), highest: highest}
	for _, w := range rows {
		leave.count(-1, w.flags, w.size)
		arrive.count(1, w.flags, w.size)
	}
	uid, validity, err := s.apply(ctx, tx, id, to, &arrive)
	if err != nil {
		return c, err
	}
	if _, _, err := s.apply(ctx, tx, id, from, &leave); err != nil {
		return c, err
	}
	c.UIDValidity = validity
	var moves, gone []int64
	for i, w := range rows {
		change := int64(l.change) + int64(i)
		moves = append(moves, int64(w.uid), int64(uid)+int64(i), change)
		gone = append(gone, change, int64(w.uid), int64(w.item))
		c.From, c.To = append(c.From, w.uid), append(c.To, uid+UID(i))
		c.Items = append(c.Items, w.item)
	}
	now := micros(s.clock.Now())
	if _, err := s.bulk.move.exec(ctx, tx, []any{int64(id), int64(from), int64(to), now}, moves); err != nil {
		return c, fmt.Errorf("move items to folder %d of mailbox %s: %w", to, id, err)
	}
	if _, err := s.bulk.vanish.exec(ctx, tx, []any{int64(id), int64(from)}, gone); err != nil {
		return c, fmt.Errorf("remember moved items of mailbox %s: %w", id, err)
	}
	return c, s.filed(ctx, tx, l, from, to, rows, c.To)
}
