package mailbox

import (
	"context"
	"slices"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
)

// TestFiledTellsWhatUsersSayOfItems does what users do, and what they don't say anything by.
func TestFiledTellsWhatUsersSayOfItems(t *testing.T) {
	var told []Filed
	hook := func(o *Options) {
		told = nil
		o.Filed = func(_ context.Context, tx *db.Tx, f Filed) error {
			f.Items = slices.Clone(f.Items)
			tx.OnCommit(func() { told = append(told, f) })
			return nil
		}
	}
	onBoth(t, func(t *testing.T, r *rig) {
		ctx, box := t.Context(), r.mailbox("a")
		put := func(f FolderID, flags Flags, byUser bool) Stored {
			t.Helper()
			out, err := r.Deliver(ctx, text("x"), Target{Mailbox: box, Folder: f, Flags: flags, ByUser: byUser})
			if err != nil {
				t.Fatal(err)
			}
			return out[0]
		}
		// says does something and wants to be told exactly this; an item of no Email is any.
		says := func(what string, want []Filed, do func() error) {
			t.Helper()
			told = nil
			if err := do(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if !slices.EqualFunc(told, want, func(a, b Filed) bool {
				return a.Mailbox == box && a.Org == 7 && a.From == b.From && a.To == b.To && a.Junk == b.Junk && a.NotJunk == b.NotJunk && a.Brought == b.Brought && slices.EqualFunc(a.Items, b.Items, func(a, b FiledItem) bool { return a == b || b.Email == 0 && a.Email != 0 })
			}) {
				t.Errorf("%s: told %+v, want %+v", what, told, want)
			}
		}
		one := func(s Stored, uid UID) []FiledItem { return []FiledItem{{Email: s.Email, UID: uid}} }

		m := put(0, 0, false)
		move := func(from FolderID, uid UID, to FolderID) func() error {
			return func() error { _, err := r.Move(ctx, box, from, UIDs(uid), to); return err }
		}
		says("into junk", []Filed{{From: InboxID, To: JunkID, Items: one(m, 1)}}, move(InboxID, m.UID, JunkID))
		says("out again", []Filed{{From: JunkID, To: InboxID, Items: one(m, 2)}}, move(JunkID, 1, InboxID))
		says("elsewhere", nil, move(InboxID, 2, TrashID))
		says("a copy into junk", []Filed{{From: TrashID, To: JunkID, Items: one(m, 2)}}, func() error {
			_, err := r.Copy(ctx, box, TrashID, UIDs(1), JunkID)
			return err
		})
		says("a copy within junk", nil, func() error { _, err := r.Copy(ctx, box, JunkID, UIDs(2), JunkID); return err })
		store := func(uid UID, add Flags) func() error {
			return func() error {
				_, err := r.StoreFlags(ctx, box, InboxID, UIDs(uid), FlagChange{Add: add}, Always)
				return err
			}
		}
		n := put(0, 0, false)
		says("a flag that means nothing here", nil, store(n.UID, Seen))
		says("marked", []Filed{{To: InboxID, Junk: true, Items: one(n, n.UID)}}, store(n.UID, Junk))
		says("marked again", nil, store(n.UID, Junk|Flagged))
		says("both marks", nil, store(n.UID, Junk|NotJunk|Draft))
		says("delivered to junk", nil, func() error { put(JunkID, 0, false); return nil })
		says("put into the inbox", nil, func() error { put(InboxID, Seen, true); return nil })
		says("put into junk", []Filed{{To: JunkID, Items: []FiledItem{{}}}}, func() error { put(JunkID, Seen, true); return nil })
		says("put somewhere with a mark", []Filed{{To: SentID, NotJunk: true, Items: []FiledItem{{}}}}, func() error { put(SentID, NotJunk, true); return nil })
		bring := func(f FolderID, flags ...Flags) func() error {
			return func() error {
				var all []Arrival
				for _, f := range flags {
					all = append(all, Arrival{Message: text("y"), Flags: f})
				}
				_, err := r.DeliverAll(ctx, box, f, all, func(context.Context, *db.Tx, []Stored) error { return nil })
				return err
			}
		}
		says("brought to the inbox", nil, bring(InboxID, 0, Seen, Junk|NotJunk))
		says("brought with marks", []Filed{{To: InboxID, Junk: true, Brought: true, Items: []FiledItem{{}, {}}}, {To: InboxID, NotJunk: true, Brought: true, Items: []FiledItem{{}}}}, bring(InboxID, Junk, 0, NotJunk, Junk))
		says("brought to junk", []Filed{{To: JunkID, NotJunk: true, Brought: true, Items: []FiledItem{{}}}, {To: JunkID, Brought: true, Items: []FiledItem{{}, {}}}}, bring(JunkID, 0, NotJunk, Seen))
	}, hook)
}
