package mailbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// writeErr runs fn in a write transaction and returns its error.
func (r *rig) writeErr(fn func(context.Context, *db.Tx) error) error {
	return r.db.Write(context.Background(), fn)
}

func TestTheLifeOfAMailbox(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.batch = 2
		o := Owner{7, "a"}
		closeBox := func(ctx context.Context, tx *db.Tx) error {
			_, err := r.CloseTx(ctx, tx, o, testStart.Add(30*24*time.Hour))
			return err
		}
		reopen := func(ctx context.Context, tx *db.Tx) error { _, err := r.ReopenTx(ctx, tx, o); return err }
		create := func(ctx context.Context, tx *db.Tx) error { _, err := r.CreateTx(ctx, tx, o, 5000); return err }
		setQuota := func(ctx context.Context, tx *db.Tx) error { return r.SetQuotaTx(ctx, tx, o, 7000) }

		_, err := r.ByOwner(ctx, o)
		wantFault(t, err, fault.NotFound, fault.Mailbox)
		for _, verb := range []func(context.Context, *db.Tx) error{closeBox, reopen, setQuota} {
			wantFault(t, r.writeErr(verb), fault.NotFound, fault.Mailbox)
		}
		r.ok(r.writeErr(create))
		wantFault(t, r.writeErr(create), fault.Exists, fault.Mailbox)
		wantFault(t, r.writeErr(reopen), fault.State, fault.Mailbox)
		d, err := r.ByOwner(ctx, o)
		r.ok(err)
		id := d.ID
		for i := range 5 {
			r.put(id, InboxID, fmt.Sprint("message ", i), 0)
		}
		r.ok(r.writeErr(setQuota))
		if d, err := r.Details(ctx, id); err != nil || d.Quota != 7000 || d.Bytes != 5*26 || d.Owner != o || d.State != Open || !d.PurgeTime.IsZero() {
			t.Errorf("details are %+v: %v", d, err)
		}
		_, err = r.PurgeBatch(ctx, id)
		wantFault(t, err, fault.State, fault.Mailbox)

		r.ok(r.writeErr(closeBox))
		wantFault(t, r.writeErr(closeBox), fault.State, fault.Mailbox)
		wantFault(t, r.writeErr(create), fault.Exists, fault.Mailbox)
		if d, err := r.ByOwner(ctx, o); err != nil || d.State != Closed || !d.PurgeTime.Equal(testStart.Add(30*24*time.Hour)) {
			t.Errorf("closed mailbox is %+v: %v", d, err)
		}
		for name, err := range map[string]error{
			"StoreFlags":   second(r.StoreFlags(ctx, id, InboxID, AllUIDs(), FlagChange{Add: Seen}, Always)),
			"Copy":         second(r.Copy(ctx, id, InboxID, AllUIDs(), TrashID)),
			"Move":         second(r.Move(ctx, id, InboxID, AllUIDs(), TrashID)),
			"CreateFolder": second(r.CreateFolder(ctx, id, "x", Mail, NoUse)),
			"Subscribe":    r.Subscribe(ctx, id, "x", true),
			"Define":       second(r.DefineKeywords(ctx, id, []string{"x"})),
		} {
			if !fault.Is(err, fault.State, fault.Mailbox) {
				t.Errorf("%s in a closed mailbox: %v", name, err)
			}
		}
		r.ok(r.writeErr(reopen))
		if n := len(r.items(id, InboxID, WantFlags)); n != 5 {
			t.Errorf("%d items came back with the mailbox", n)
		}
		r.purge(t, id, o, closeBox, create)
	})
}

func second[T any](_ T, err error) error { return err }

// purge removes a mailbox of five messages while its owner gets another.
func (r *rig) purge(t *testing.T, id ID, o Owner, closeBox, create func(context.Context, *db.Tx) error) {
	ctx := t.Context()
	_, err := r.Expunge(ctx, id, InboxID, UIDs(2), false)
	r.ok(err)
	_, err = r.DefineKeywords(ctx, id, []string{"x"})
	r.ok(err)
	r.ok(r.Subscribe(ctx, id, "nowhere", true))
	r.ok(r.writeErr(closeBox))
	for steps, done := 0, false; !done; steps++ {
		done, err = r.PurgeBatch(ctx, id)
		r.ok(err)
		r.check()
		if steps == 0 {
			r.ok(r.writeErr(create))
		}
		if steps > 10 {
			t.Fatal("purging does not end")
		}
	}
	if done, err := r.PurgeBatch(ctx, id); err != nil || !done {
		t.Errorf("purging what is gone: %v, %v", done, err)
	}
	_, err = r.Details(ctx, id)
	wantFault(t, err, fault.NotFound, fault.Mailbox)
	for _, table := range []string{"item", "meta", "body", "vanished", "keyword", "subscription"} {
		if n := r.count("SELECT COUNT(*) FROM " + table); n != 0 {
			t.Errorf("%d rows of %s are left of a purged mailbox", n, table)
		}
	}
	if d, err := r.ByOwner(ctx, o); err != nil || d.ID == id || d.State != Open {
		t.Errorf("the owner's new mailbox is %+v: %v", d, err)
	}
}

func TestAPurgeThatACrashCutShortIsFinished(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		o := Owner{7, "a"}
		id := r.mailbox("a")
		r.put(id, InboxID, "x", 0)
		r.write(func(ctx context.Context, tx *db.Tx) error { _, err := r.CloseTx(ctx, tx, o, testStart); return err })
		_, err := r.Sweep(ctx)
		r.ok(err)
		if _, err := r.Details(ctx, id); err != nil {
			t.Fatalf("a closed mailbox was swept away: %v", err)
		}
		_, err = r.PurgeBatch(ctx, id)
		r.ok(err)
		for more := true; more; {
			more, err = r.Sweep(ctx)
			r.ok(err)
		}
		_, err = r.Details(ctx, id)
		wantFault(t, err, fault.NotFound, fault.Mailbox)
	})
}

func TestQuotaCountsCopies(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.batch = 2
		id := r.mailboxOf(Owner{7, "a"}, 26*7)
		for i := range 4 {
			r.put(id, InboxID, fmt.Sprint("message ", i), 0)
		}
		// Two pieces of two: the first fits, the second does not, and nothing stays.
		_, err := r.Copy(ctx, id, InboxID, AllUIDs(), TrashID)
		wantFault(t, err, fault.OverQuota, fault.Mailbox)
		if n := len(r.items(id, TrashID, WantFlags)); n != 0 {
			t.Errorf("%d copies are left of a COPY that failed", n)
		}
		_, err = r.Copy(ctx, id, InboxID, NewUIDSet(UIDRange{1, 3}), TrashID)
		r.ok(err)
		_, err = r.Deliver(ctx, text("message x"), Target{Mailbox: id})
		wantFault(t, err, fault.OverQuota, fault.Mailbox)
		_, err = r.Move(ctx, id, InboxID, AllUIDs(), TrashID) // needs no room
		r.ok(err)
		_, err = r.Expunge(ctx, id, TrashID, UIDs(3), false) // 1 and 2 were the copies taken back
		r.ok(err)
		r.put(id, InboxID, "message x", 0)
	})
}
