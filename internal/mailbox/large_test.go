package mailbox

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// fillAtOnce makes a mailbox with n messages of one body in its inbox, with a gap before the last, by SQL alone.
func (r *rig) fillAtOnce(entity string, n int) ID {
	r.t.Helper()
	id := r.mailbox(entity)
	r.put(id, InboxID, "one of many", 0)
	const numbers = ` FROM (WITH RECURSIVE v (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM v WHERE n < $2) SELECT n FROM v) AS v CROSS JOIN `
	r.write(func(ctx context.Context, tx *db.Tx) error {
		for _, statement := range []string{
			`INSERT INTO meta (mailbox, item, parser, envelope, structure) SELECT m.mailbox, m.item + v.n, m.parser, m.envelope, m.structure` +
				numbers + `meta m WHERE m.mailbox = $1`,
			`INSERT INTO body_share (body, extra) SELECT body, $2 - 1 FROM item WHERE mailbox = $1`,
			`INSERT INTO item (mailbox, folder, uid, item, flags, changed, created, size, received, saved, email, thread, body)
SELECT i.mailbox, i.folder, v.n + v.n / $2, i.item + v.n, i.flags, i.changed + v.n, i.created + v.n, i.size, i.received, i.saved, i.email + v.n,
i.thread + v.n, i.body` + numbers + `item i WHERE i.mailbox = $1`,
			`UPDATE folder SET messages = $2, unseen = $2, bytes = bytes * $2, uidnext = $2 + 2, highest = highest + $2 WHERE mailbox = $1 AND messages > 0`,
			`UPDATE mailbox SET change = change + $2, next_item = next_item + $2, bytes = bytes * $2 WHERE id = $1`,
		} {
			if _, err := tx.Exec(ctx, statement, int64(id), int64(n)); err != nil {
				return err
			}
		}
		return nil
	})
	return id
}

// pagesRead is how many pages' worth of bytes this process has read from files.
func (r *rig) pagesRead() (n int) {
	r.t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	r.ok(err)
	_, err = fmt.Sscanf(string(text), "rchar: %d", &n)
	r.ok(err)
	return n / 8192
}

// TestALargeFolderIsNoDifferentFromASmallOne counts the pages that SQLite reads, right after a write, which empties the readers' caches.
func TestALargeFolderIsNoDifferentFromASmallOne(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t, Migrations()))
	ctx := t.Context()
	const many = 50_000
	sizes := map[ID]int{r.fillAtOnce("small", 500): 500, r.fillAtOnce("large", many): many}
	for id := range sizes {
		f := r.get(id, InboxID)
		before := r.pagesRead()
		_, err := r.snapshot(ctx, id, &f, true)
		r.ok(err)
		if read := r.pagesRead() - before; sizes[id] == many && read < 300 { // what happens once
			t.Errorf("%d pages were counted for all rows of %d messages", read, many)
		}
	}
	one := func(n int) UIDSet { return UIDs(UID(n / 2)) }
	for _, c := range []struct {
		name string
		do   func(id ID, n int) error
	}{
		{"status", func(id ID, _ int) error { _, err := r.Folder(ctx, id, "INBOX"); return err }},
		{"folders", func(id ID, _ int) error { _, err := r.Folders(ctx, id); return err }},
		{"deliver", func(id ID, _ int) error { _, err := r.Deliver(ctx, text("new"), Target{Mailbox: id}); return err }},
		{"fetch one", func(id ID, n int) error {
			for _, err := range r.Fetch(ctx, id, InboxID, one(n), WantMeta|WantBody, 0) {
				return err
			}
			return nil
		}},
		{"flag one", func(id ID, n int) error {
			_, err := r.StoreFlags(ctx, id, InboxID, one(n), FlagChange{Add: Flagged}, Always)
			return err
		}},
		{"changes", func(id ID, n int) error {
			f := r.get(id, InboxID)
			_, err := r.Changes(ctx, id, InboxID, f.Highest-1)
			return err
		}},
		{"copy one", func(id ID, n int) error { _, err := r.Copy(ctx, id, InboxID, one(n), TrashID); return err }},
		{"move one", func(id ID, n int) error { _, err := r.Move(ctx, id, InboxID, UIDs(UID(n/3)), TrashID); return err }},
		{"expunge one", func(id ID, n int) error { _, err := r.Expunge(ctx, id, InboxID, UIDs(UID(n/4)), false); return err }},
		{"list", func(id ID, _ int) error { f := r.get(id, InboxID); _, err := r.UIDList(ctx, id, &f); return err }},
		{"unseen", func(id ID, _ int) error {
			_, err := r.Search(ctx, id, InboxID, &Criterion{Op: FlagsAre, Mask: Seen, Flags: Seen}, nil, false)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := map[int]int{}
			for id, n := range sizes {
				r.put(id, DraftsID, "empties the readers' caches", 0)
				before := r.pagesRead()
				r.ok(c.do(id, n))
				read[n] = r.pagesRead() - before
			}
			if read[many] > read[500]+6 { // a tree may be a level or two higher
				t.Errorf("in a folder of 500 messages and of %d it read %d and %d pages", many, read[500], read[many])
			}
		})
	}
}
