package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
)

// row is what a write needs to know of an item.
type row struct {
	uid     UID
	item    ItemID
	flags   Flags
	changed ModSeq
	size    int64
	body    BodyID
	email   EmailID
}

const readRowsRange = `SELECT uid, item, flags, changed, size, body, email FROM item
WHERE mailbox = $1 AND folder = $2 AND uid BETWEEN $3 AND $4 ORDER BY uid LIMIT $5`

// readRows reads at most limit items of set, ascending.
func readRows(ctx context.Context, tx *db.Tx, id ID, f FolderID, set UIDSet, limit int) ([]row, error) {
	var rows []row
	for _, r := range set {
		if len(rows) == limit {
			break
		}
		err := tx.Each(ctx, func(sc db.Row) error {
			var w row
			err := sc.Scan(&w.uid, &w.item, &w.flags, &w.changed, &w.size, &w.body, &w.email)
			rows = append(rows, w)
			return err
		}, readRowsRange, int64(id), int64(f), int64(r.First), int64(r.Last), limit-len(rows))
		if err != nil {
			return nil, fmt.Errorf("read items of folder %d of mailbox %s: %w", f, id, err)
		}
	}
	return rows, nil
}

// bulks are the statements over many rows.
type bulks struct {
	flags, move, copyItem, copyMeta, deleteItem, deleteMeta, vanish, share, release, unshare, deleteBody bulk
	retire, deleteRecoverable, deleteEnvelope                                                            bulk
}

func newBulks() bulks {
	return bulks{
		flags: newBulk(`UPDATE item SET flags = v.column4, changed = v.column5, modified = $3 FROM (VALUES) AS v
WHERE item.mailbox = v.column1 AND item.folder = v.column2 AND item.uid = v.column3`, 3, 2, 3),
		move: newBulk(`UPDATE item SET folder = $3, uid = v.column4, changed = v.column5, saved = $4 FROM (VALUES) AS v
WHERE item.mailbox = v.column1 AND item.folder = v.column2 AND item.uid = v.column3`, 4, 2, 3),
		copyItem: newBulk(`INSERT INTO item (mailbox, folder, uid, item, flags, changed, created, size, received, saved, email, thread,
body, prefix) SELECT i.mailbox, CAST($3 AS BIGINT), v.column4, v.column5, i.flags, v.column6, v.column6, i.size, i.received,
CAST($4 AS BIGINT), i.email, i.thread, i.body, i.prefix
FROM (VALUES) AS v CROSS JOIN item i WHERE i.mailbox = v.column1 AND i.folder = v.column2 AND i.uid = v.column3`, 4, 2, 4),
		copyMeta: newBulk(`INSERT INTO meta (mailbox, item, parser, envelope, structure)
SELECT m.mailbox, v.column3, m.parser, m.envelope, m.structure
FROM (VALUES) AS v CROSS JOIN meta m WHERE m.mailbox = v.column1 AND m.item = v.column2`, 1, 1, 2),
		deleteItem: newBulk(`DELETE FROM item WHERE (mailbox, folder, uid) IN (VALUES)`, 2, 2, 1),
		deleteMeta: newBulk(`DELETE FROM meta WHERE (mailbox, item) IN (VALUES)`, 1, 1, 1),
		vanish: newBulk(`INSERT INTO vanished (mailbox, folder, change, uid, item)
SELECT v.column1, v.column2, v.column3, v.column4, v.column5 FROM (VALUES) AS v`, 2, 2, 3),
		share: newBulk(`INSERT INTO body_share (body, extra) SELECT v.column1, v.column2 FROM (VALUES) AS v WHERE TRUE
ON CONFLICT (body) DO UPDATE SET extra = body_share.extra + excluded.extra`, 0, 0, 2),
		release: newBulk(`UPDATE body_share SET extra = extra - v.column2 FROM (VALUES) AS v
WHERE body_share.body = v.column1 RETURNING body, extra`, 0, 0, 2),
		unshare:    newBulk(`DELETE FROM body_share WHERE extra <= 0 AND body IN (VALUES)`, 0, 0, 1),
		deleteBody: newBulk(`DELETE FROM body WHERE id IN (VALUES) RETURNING store, ref`, 0, 0, 1),
		retire: newBulk(`INSERT INTO recoverable (mailbox, item, folder, flags, size, received, email, thread, body, prefix, removed, due)
SELECT i.mailbox, i.item, i.folder, i.flags, i.size, i.received, i.email, i.thread, i.body, i.prefix, CAST($3 AS BIGINT), CAST($4 AS BIGINT)
FROM (VALUES) AS v CROSS JOIN item i WHERE i.mailbox = v.column1 AND i.folder = v.column2 AND i.uid = v.column3`, 4, 2, 1),
		deleteRecoverable: newBulk(`DELETE FROM recoverable WHERE (mailbox, item) IN (VALUES) RETURNING mailbox, item, body`, 0, 0, 2),
		deleteEnvelope:    newBulk(`DELETE FROM meta WHERE (mailbox, item) IN (VALUES)`, 0, 0, 2),
	}
}

// countBodies returns, ascending by body so that transactions lock them in one order, how often each body occurs in rows.
func countBodies(rows []row) (pairs []int64) {
	n := map[BodyID]int64{}
	for _, r := range rows {
		n[r.body]++
	}
	bodies := make([]BodyID, 0, len(n))
	for b := range n {
		bodies = append(bodies, b)
	}
	slices.SortFunc(bodies, func(a, b BodyID) int { return cmp.Compare(a, b) })
	for _, b := range bodies {
		pairs = append(pairs, int64(b), n[b])
	}
	return pairs
}

// removeRows deletes items of a folder of a locked mailbox, remembers that they vanished with numbers from l.change on, and
// lets their bodies go. The caller applies the tally to the folder, and the bytes to the mailbox.
func (s *Store) removeRows(ctx context.Context, tx *db.Tx, l locked, f FolderID, rows []row) (tally, error) {
	t := tally{departed: len(rows), highest: l.change + ModSeq(len(rows)) - 1}
	var uids, items, gone []int64
	for i, r := range rows {
		t.count(-1, r.flags, r.size)
		uids = append(uids, int64(r.uid))
		items = append(items, int64(r.item))
		gone = append(gone, int64(l.change)+int64(i), int64(r.uid), int64(r.item))
	}
	mailbox, folder := int64(l.id), int64(f)
	if _, err := s.bulk.deleteItem.exec(ctx, tx, []any{mailbox, folder}, uids); err != nil {
		return t, fmt.Errorf("delete items of folder %d of mailbox %s: %w", f, l.id, err)
	}
	if _, err := s.bulk.deleteMeta.exec(ctx, tx, []any{mailbox}, items); err != nil {
		return t, fmt.Errorf("delete what is known of items of mailbox %s: %w", l.id, err)
	}
	if _, err := s.bulk.vanish.exec(ctx, tx, []any{mailbox, folder}, gone); err != nil {
		return t, fmt.Errorf("remember vanished items of mailbox %s: %w", l.id, err)
	}
	return t, s.release(ctx, tx, rows)
}

// release takes the rows' references from their bodies and removes the bodies that have none left.
func (s *Store) release(ctx context.Context, tx *db.Tx, rows []row) error {
	pairs := countBodies(rows)
	kept := map[int64]bool{}
	shared := false
	err := s.bulk.release.query(ctx, tx, nil, pairs, func(r db.Row) error {
		var body, extra int64
		err := r.Scan(&body, &extra)
		kept[body] = extra >= 0
		shared = true
		return err
	})
	if err != nil {
		return fmt.Errorf("let bodies go: %w", err)
	}
	var all, dead []int64
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i])
		if !kept[pairs[i]] {
			dead = append(dead, pairs[i])
		}
	}
	if shared {
		if _, err := s.bulk.unshare.exec(ctx, tx, nil, all); err != nil {
			return fmt.Errorf("let bodies go: %w", err)
		}
	}
	now := s.clock.Now()
	var files []string
	err = s.bulk.deleteBody.query(ctx, tx, nil, dead, func(r db.Row) error {
		var store bodyStore
		var ref string
		err := r.Scan(&store, &ref)
		if store == inBlobs {
			files = append(files, ref)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete bodies: %w", err)
	}
	for _, ref := range files {
		if err := addGarbage(ctx, tx, ref, now); err != nil {
			return err
		}
	}
	return nil
}
