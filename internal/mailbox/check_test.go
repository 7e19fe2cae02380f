package mailbox

import (
	"context"
	"errors"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
)

// The checker must see what is wrong, or the tests that end with it show nothing.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		r.many(id, 4, text("x"))
		r.put(id, InboxID, "y", 0)
		_, err := r.Expunge(t.Context(), id, InboxID, UIDs(1), false)
		r.ok(err)
		r.put(id, DraftsID, "recoverable", 0)
		r.clock.Advance(2 * day)
		r.retain(id, r.rule(Drafts, 1, true))
		r.check()
		for _, damage := range []string{
			`UPDATE folder SET messages = messages + 1 WHERE id = 1`,
			`UPDATE folder SET unseen = 0 WHERE id = 1`,
			`UPDATE folder SET bytes = 1 WHERE id = 1`,
			`UPDATE mailbox SET bytes = bytes + 5`,
			`UPDATE folder SET uidnext = 2 WHERE id = 1`,
			`UPDATE folder SET highest = 1 WHERE id = 1`,
			`UPDATE mailbox SET change = 2`,
			`UPDATE item SET changed = 5`,
			`UPDATE item SET item = 1`,
			`UPDATE item SET changed = 100 - uid`,
			`DELETE FROM folder WHERE id = 1`,
			`DELETE FROM body`,
			`UPDATE body SET size = size + 1`,
			`UPDATE body SET org = 99`,
			`UPDATE body_share SET extra = extra + 1`,
			`DELETE FROM body_share`,
			`INSERT INTO body_share (body, extra) VALUES (5, 1)`,
			`DELETE FROM meta WHERE item = 2`,
			`INSERT INTO meta (mailbox, item, parser, envelope, structure) SELECT mailbox, 99, parser, envelope, structure FROM meta WHERE item = 2`,
			`DELETE FROM vanished`,
			`UPDATE vanished SET uid = 2`,
			`UPDATE folder SET parent = 77 WHERE id = 3`,
			`UPDATE folder SET kind = 1 WHERE id = 1`,
			`UPDATE mailbox SET next_folder = 3`,
			`UPDATE folder SET kept_below = 4 WHERE id = 1`,
			`DELETE FROM recoverable`,
			`UPDATE recoverable SET item = 2`,
			`UPDATE recoverable SET item = 99`,
			`UPDATE recoverable SET mailbox = 99`,
			`UPDATE recoverable SET due = 1`,
			`UPDATE recoverable SET size = 1`,
			`DELETE FROM meta WHERE item = (SELECT item FROM recoverable)`,
			`DELETE FROM body WHERE id = (SELECT body FROM recoverable)`,
			`UPDATE body SET org = 99 WHERE id = (SELECT body FROM recoverable)`,
		} {
			t.Run(damage, func(t *testing.T) {
				undo := errors.New("undo the damage")
				err := r.db.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
					if _, err := tx.Exec(ctx, damage); err != nil {
						return err
					}
					found := 0
					for _, c := range checks {
						if err := checkRows(ctx, tx, c.query, func([]any) { found++ }); err != nil {
							return err
						}
					}
					if found == 0 {
						t.Error("Check sees nothing")
					}
					return undo
				})
				if !errors.Is(err, undo) {
					t.Error(err)
				}
			})
		}
	})
}

func TestCheckFindsBodiesThatAreWrong(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		_, err := r.Deliver(t.Context(), Message{Source: Source{Bytes: randomBytes(3 << 20)}}, Target{Mailbox: id})
		r.ok(err)
		r.put(id, InboxID, "small", 0)
		r.check()
		var key string
		for k := range r.blobs.m {
			key = k
		}
		whole := r.blobs.m[key]
		for name, wrong := range map[string]func(){
			"a blob that is gone":  func() { delete(r.blobs.m, key) },
			"a blob that is short": func() { r.blobs.m[key] = whole[:100] },
		} {
			wrong()
			faults, err := r.Check(t.Context())
			if err != nil || len(faults) != 1 {
				t.Errorf("%s: %q, %v", name, faults, err)
			}
			r.blobs.m[key] = whole
		}
	})
}
