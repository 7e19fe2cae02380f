package mailbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// checks are questions whose rows are each a contradiction in the store: what it is, and the numbers that show it. All numbers
// come from one statement, so that a running server doesn't confuse them.
var checks = []struct{ what, query string }{
	{
		"folder counts differ from its items (mailbox, folder, messages, unseen, deleted, bytes kept; then counted)",
		`SELECT f.mailbox, f.id, f.messages, f.unseen, f.deleted, f.bytes, COALESCE(i.n, 0), COALESCE(i.unseen, 0), COALESCE(i.deleted, 0),
COALESCE(i.bytes, 0) FROM folder f LEFT JOIN (SELECT mailbox, folder, COUNT(*) AS n, SUM(CASE WHEN flags & 1 = 0 THEN 1 ELSE 0 END)
AS unseen, SUM(CASE WHEN flags & 8 <> 0 THEN 1 ELSE 0 END) AS deleted, SUM(size) AS bytes FROM item GROUP BY mailbox, folder) i
ON i.mailbox = f.mailbox AND i.folder = f.id WHERE f.messages <> COALESCE(i.n, 0) OR f.unseen <> COALESCE(i.unseen, 0)
OR f.deleted <> COALESCE(i.deleted, 0) OR f.bytes <> COALESCE(i.bytes, 0)`,
	},
	{
		"mailbox bytes differ from its folders' (mailbox, kept, counted)",
		`SELECT m.id, m.bytes, COALESCE(f.bytes, 0) FROM mailbox m LEFT JOIN (SELECT mailbox, SUM(bytes) AS bytes FROM folder
WHERE NOT gone GROUP BY mailbox) f ON f.mailbox = m.id WHERE m.bytes <> COALESCE(f.bytes, 0)`,
	},
	{
		"a UID is not below its folder's next one (mailbox, folder, UID, next)",
		`SELECT i.mailbox, i.folder, i.uid, f.uidnext FROM item i JOIN folder f ON f.mailbox = i.mailbox AND f.id = i.folder
WHERE i.uid >= f.uidnext OR i.uid < 1`,
	},
	{
		"an item's number lies above its folder's highest, or was created after it changed (mailbox, folder, UID, created, changed, highest)",
		`SELECT i.mailbox, i.folder, i.uid, i.created, i.changed, f.highest FROM item i JOIN folder f ON f.mailbox = i.mailbox AND f.id = i.folder
WHERE i.changed > f.highest OR i.created > i.changed OR i.created < 1`,
	},
	{
		"a folder's numbers lie above its mailbox's counter (mailbox, folder, highest, properties, counts, counter)",
		`SELECT f.mailbox, f.id, f.highest, f.properties_changed, f.counts_changed, m.change FROM folder f JOIN mailbox m ON m.id = f.mailbox
WHERE f.highest > m.change OR f.properties_changed > m.change OR f.counts_changed > m.change OR f.floor > m.change`,
	},
	{
		"two items of a mailbox have the same number (mailbox, number, items)",
		`SELECT mailbox, changed, COUNT(*) FROM item GROUP BY mailbox, changed HAVING COUNT(*) > 1`,
	},
	{
		"an item id is used twice, or was never given out (mailbox, item, items, next)",
		`SELECT i.mailbox, i.item, COUNT(*), MAX(m.next_item) FROM item i JOIN mailbox m ON m.id = i.mailbox GROUP BY i.mailbox, i.item
HAVING COUNT(*) > 1 OR i.item >= MAX(m.next_item)`,
	},
	{
		"UIDs and numbers of arrival run against each other (mailbox, folder, UID, number)",
		`SELECT mailbox, folder, uid, changed FROM (SELECT mailbox, folder, uid, changed, created,
MAX(created) OVER (PARTITION BY mailbox, folder ORDER BY uid ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM item) o
WHERE changed < before`,
	},
	{
		"an item has no folder (mailbox, folder, UID)",
		`SELECT i.mailbox, i.folder, i.uid FROM item i LEFT JOIN folder f ON f.mailbox = i.mailbox AND f.id = i.folder WHERE f.id IS NULL`,
	},
	{
		"an item has no body (mailbox, folder, UID, body)",
		`SELECT i.mailbox, i.folder, i.uid, i.body FROM item i LEFT JOIN body b ON b.id = i.body WHERE b.id IS NULL`,
	},
	{
		"an item's size is not that of its prefix and body (mailbox, folder, UID, size, prefix, body)",
		`SELECT i.mailbox, i.folder, i.uid, i.size, COALESCE(LENGTH(i.prefix), 0), b.size FROM item i JOIN body b ON b.id = i.body
WHERE i.size <> COALESCE(LENGTH(i.prefix), 0) + b.size`,
	},
	{
		"a body belongs to another organisation than an item of it (mailbox, folder, UID, body)",
		`SELECT i.mailbox, i.folder, i.uid, i.body FROM item i JOIN body b ON b.id = i.body JOIN mailbox m ON m.id = i.mailbox WHERE b.org <> m.org`,
	},
	{
		"a body's references are counted wrong (body, kept, counted)",
		`SELECT b.id, COALESCE(s.extra, 0) + 1, COALESCE(i.n, 0) FROM body b LEFT JOIN body_share s ON s.body = b.id
LEFT JOIN (SELECT body, COUNT(*) AS n FROM (SELECT body FROM item UNION ALL SELECT body FROM recoverable) a GROUP BY body) i ON i.body = b.id WHERE COALESCE(s.extra, 0) + 1 <> COALESCE(i.n, 0)`,
	},
	{
		"a share has no body, or shares nothing (body, extra)",
		`SELECT s.body, s.extra FROM body_share s LEFT JOIN body b ON b.id = s.body WHERE b.id IS NULL OR s.extra < 1`,
	},
	{
		"an item has no envelope (mailbox, folder, UID, item)",
		`SELECT i.mailbox, i.folder, i.uid, i.item FROM item i LEFT JOIN meta m ON m.mailbox = i.mailbox AND m.item = i.item WHERE m.item IS NULL`,
	},
	{
		"an envelope has no item (mailbox, item)",
		`SELECT mailbox, item FROM meta EXCEPT SELECT mailbox, item FROM item EXCEPT SELECT mailbox, item FROM recoverable`,
	},
	{
		"an item that is as it came has a UID below those that retention has passed (mailbox, folder, UID, passed)",
		`SELECT i.mailbox, i.folder, i.uid, f.kept_below FROM item i JOIN folder f ON f.mailbox = i.mailbox AND f.id = i.folder
WHERE i.uid < f.kept_below AND i.changed = i.created`,
	},
	{
		"a recoverable item has no mailbox or a number never given out, is an item too, or was removed after its time (mailbox, item)",
		`SELECT r.mailbox, r.item FROM recoverable r LEFT JOIN mailbox m ON m.id = r.mailbox
LEFT JOIN item i ON i.mailbox = r.mailbox AND i.item = r.item
WHERE m.id IS NULL OR r.item >= m.next_item OR i.item IS NOT NULL OR r.due < r.removed`,
	},
	{
		"a recoverable item has no envelope, or no body of its size in its organisation (mailbox, item, body)",
		`SELECT r.mailbox, r.item, r.body FROM recoverable r JOIN mailbox m ON m.id = r.mailbox
LEFT JOIN meta e ON e.mailbox = r.mailbox AND e.item = r.item LEFT JOIN body b ON b.id = r.body
WHERE e.item IS NULL OR b.id IS NULL OR b.org <> m.org OR r.size <> COALESCE(LENGTH(r.prefix), 0) + b.size`,
	},
	{
		"a departure is at or below the floor, above the highest, or of an item that is there (mailbox, folder, number, UID)",
		`SELECT v.mailbox, v.folder, v.change, v.uid FROM vanished v JOIN folder f ON f.mailbox = v.mailbox AND f.id = v.folder
LEFT JOIN item i ON i.mailbox = v.mailbox AND i.folder = v.folder AND i.uid = v.uid
WHERE v.change <= f.floor OR v.change > f.highest OR i.uid IS NOT NULL OR v.uid >= f.uidnext`,
	},
	{
		"a folder's departures are counted wrong (mailbox, folder, kept, counted)",
		`SELECT f.mailbox, f.id, f.departures, COALESCE(v.n, 0) FROM folder f LEFT JOIN (SELECT mailbox, folder, COUNT(*) AS n FROM vanished
GROUP BY mailbox, folder) v ON v.mailbox = f.mailbox AND v.folder = f.id WHERE f.departures <> COALESCE(v.n, 0)`,
	},
	{
		"a folder has no mailbox or no parent, or an id never given out (mailbox, folder, parent)",
		`SELECT f.mailbox, f.id, f.parent FROM folder f LEFT JOIN mailbox m ON m.id = f.mailbox
LEFT JOIN folder p ON p.mailbox = f.mailbox AND p.id = f.parent AND NOT p.gone
WHERE m.id IS NULL OR f.id >= m.next_folder OR (NOT f.gone AND f.parent <> 0 AND p.id IS NULL)`,
	},
	{
		"a name without items has items (mailbox, folder, messages)",
		`SELECT mailbox, id, messages FROM folder WHERE kind = 1 AND messages <> 0`,
	},
}

// maxFaults is how many contradictions of one sort Check lists.
const maxFaults = 20

// Check looks for contradictions in the store and returns a line for each, at most 20 of a sort: counts against items, sizes,
// UIDs and change numbers against what was given out, bodies against the items that refer to them, large bodies against
// Blobs. It reads everything, and may run beside a working server.
func (s *Store) Check(ctx context.Context) (faults []string, err error) {
	for _, c := range checks {
		err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			return checkRows(ctx, tx, c.query, func(numbers []any) {
				faults = append(faults, fmt.Sprintf("mailbox: %s: %v", c.what, numbers))
			})
		})
		if err != nil {
			return nil, fmt.Errorf("check whether %s: %w", c.what, err)
		}
	}
	bodies, err := s.checkBodies(ctx)
	return append(faults, bodies...), err
}

func checkRows(ctx context.Context, tx *db.Tx, query string, report func([]any)) error {
	rows, err := tx.Query(ctx, query+" LIMIT 20")
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		numbers, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range dest {
			dest[i] = &numbers[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		report(numbers)
	}
	return rows.Err()
}

// checkBodies reads all bodies in pages and makes sure that their bytes are there and of the right length.
func (s *Store) checkBodies(ctx context.Context) (faults []string, err error) {
	after := int64(0)
	for len(faults) < maxFaults {
		var ids []int64
		var refs []bodyRef
		err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			ids, refs = nil, nil
			return tx.Each(ctx, func(r db.Row) error {
				var id int64
				var b bodyRef
				err := r.Scan(&id, &b.size, &b.store, &b.ref, &b.codec, &b.data)
				ids, refs = append(ids, id), append(refs, b)
				return err
			}, `SELECT id, size, store, ref, codec, data FROM body WHERE id > $1 ORDER BY id LIMIT 64`, after)
		})
		if err != nil {
			return faults, fmt.Errorf("check the bodies: %w", err)
		}
		if len(ids) == 0 {
			return faults, nil
		}
		for i, b := range refs {
			fault := s.checkBody(ctx, &b)
			if fault == nil {
				continue
			}
			// Its last item may have gone since the page was read, and its blob with it.
			still, err := s.ids(ctx, `SELECT id FROM body WHERE id = $1`, ids[i])
			if err != nil {
				return faults, err
			}
			if len(still) > 0 {
				faults = append(faults, fmt.Sprintf("mailbox: body %d: %v", ids[i], fault))
			}
		}
		after = ids[len(ids)-1]
	}
	return faults, nil
}

func (s *Store) checkBody(ctx context.Context, b *bodyRef) error {
	if b.store == inline {
		data, err := s.zip.unpack(nil, b.data, b.codec, b.size)
		if err == nil && int64(len(data)) != b.size {
			err = fmt.Errorf("it has %d bytes where %d were stored", len(data), b.size)
		}
		return err
	}
	blob, err := s.blobs.Open(ctx, b.ref)
	if err != nil {
		return fmt.Errorf("its bytes under %s: %w", b.ref, err)
	}
	if blob.Size() != b.size {
		err = fmt.Errorf("its bytes under %s are %d where %d were stored", b.ref, blob.Size(), b.size)
	}
	return errors.Join(err, blob.Close())
}
