package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// bring stores messages by DeliverAll.
func (r *rig) bring(id ID, f FolderID, bodies ...string) []Stored {
	r.t.Helper()
	var all []Arrival
	for i, b := range bodies {
		all = append(all, Arrival{Message: text(b), Flags: Flags(i % 2), Received: testStart.Add(-time.Duration(i) * time.Hour)})
	}
	out, err := r.DeliverAll(context.Background(), id, f, all, func(context.Context, *db.Tx, []Stored) error { return nil })
	r.ok(err)
	return out
}

func TestDeliverAllKeepsTheOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		r.put(id, InboxID, "before", 0)
		large := string(bytes.Repeat([]byte("large "), 100_000)) // goes to Blobs
		bodies := []string{"one", large, "three"}
		stored := r.bring(id, InboxID, bodies...)
		items := r.items(id, InboxID, WantBody)
		if len(items) != 4 {
			t.Fatalf("%d items", len(items))
		}
		for i, it := range items[1:] {
			if it.UID != stored[i].UID || it.ID != stored[i].ID || it.ModSeq != stored[i].ModSeq || it.Flags != Flags(i%2) ||
				!it.Received.Equal(testStart.Add(-time.Duration(i)*time.Hour)) || !bytes.HasSuffix(r.bytes(&it), []byte(bodies[i])) {
				t.Errorf("item %d: %+v, stored %+v", i, it, stored[i])
			}
		}
	})
}

func TestDeliverAllIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailboxOf(Owner{7, "a"}, 100)
		all := []Arrival{{Message: text("one")}, {Message: text(string(make([]byte, 80)))}}
		_, err := r.DeliverAll(t.Context(), id, InboxID, all, func(context.Context, *db.Tx, []Stored) error { return nil })
		if !fault.Is(err, fault.OverQuota, fault.Mailbox) {
			t.Errorf("over the quota: %v", err)
		}
		refused := errors.New("refused")
		_, err = r.DeliverAll(t.Context(), id, InboxID, all[:1], func(context.Context, *db.Tx, []Stored) error { return refused })
		if !errors.Is(err, refused) {
			t.Errorf("with a refusal in its transaction: %v", err)
		}
		if f := r.get(id, InboxID); f.Messages != 0 || f.UIDNext != 1 {
			t.Errorf("something was stored: %+v", f)
		}
	})
}

func TestFollow(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		s := r.bring(id, InboxID, "stays", "is flagged here", "is moved here", "is read there", "goes")
		_, err := r.StoreFlags(t.Context(), id, InboxID, UIDs(s[1].UID), FlagChange{Add: Flagged}, Always)
		r.ok(err)
		_, err = r.Move(t.Context(), id, InboxID, UIDs(s[2].UID), JunkID)
		r.ok(err)
		follow := func(fn func(i int, f *Followed)) []Follow {
			t.Helper()
			var items []Followed
			for i, it := range s {
				f := Followed{UID: it.UID, Item: it.ID, Since: it.ModSeq}
				fn(i, &f)
				items = append(items, f)
			}
			var out []Follow
			r.write(func(ctx context.Context, tx *db.Tx) (err error) {
				out, err = r.FollowTx(ctx, tx, id, InboxID, items)
				return err
			})
			return out
		}
		out := follow(func(i int, f *Followed) { f.Change = FlagChange{Add: Seen, Remove: Flagged * Flags(i&1)} })
		// Those with an odd index were read before.
		for i, want := range []Fate{Changed, Changed, Absent, Same, Changed} {
			if out[i].Fate != want || out[i].Own != (i == 1) {
				t.Errorf("item %d: %+v, want fate %d", i, out[i], want)
			}
		}
		for i, it := range r.items(id, InboxID, WantModSeq) {
			at := []int{0, 1, 3, 4}[i]
			if it.Flags != Seen || it.ModSeq != out[at].ModSeq {
				t.Errorf("item %d: flags %b, number %d, told %+v", at, it.Flags, it.ModSeq, out[at])
			}
			s[at].ModSeq = it.ModSeq
		}
		s[1].ModSeq-- // it is still its owner's
		out = follow(func(i int, f *Followed) { f.Remove = i != 0 })
		for i, want := range []Fate{Same, Kept, Absent, Removed, Removed} {
			if out[i].Fate != want {
				t.Errorf("item %d: %+v, want fate %d", i, out[i], want)
			}
		}
		if f := r.get(id, InboxID); f.Messages != 2 || f.Unseen != 0 {
			t.Errorf("left: %+v", f)
		}
		c, err := r.Changes(t.Context(), id, InboxID, s[4].ModSeq)
		if r.ok(err); c.Vanished.String() != fmt.Sprintf("%d:%d", s[3].UID, s[4].UID) {
			t.Errorf("vanished: %s", c.Vanished)
		}
	})
}

func TestPurgeForgetsWhatOthersKeep(t *testing.T) {
	var store *Store
	rows, asked := 0, 0
	onBoth(t, func(t *testing.T, r *rig) {
		store, rows, asked = r.Store, 3*BatchRows/2, 0
		id := r.mailbox("a")
		r.put(id, InboxID, "one", 0)
		r.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := store.CloseTx(ctx, tx, Owner{7, "a"}, testStart)
			return err
		})
		for done := false; !done; {
			var err error
			done, err = store.PurgeBatch(t.Context(), id)
			r.ok(err)
		}
		if rows != 0 || asked != 2 {
			t.Errorf("%d rows are left after %d questions", rows, asked)
		}
	}, func(o *Options) {
		o.Forget = func(_ context.Context, _ *db.Tx, _ ID, limit int) (int, error) {
			n := min(rows, limit)
			rows, asked = rows-n, asked+1
			return n, nil
		}
	})
}
