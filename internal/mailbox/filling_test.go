package mailbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// TestAMailboxThatFillsIsToldOf at the byte, once, whichever way it grows, and in the transaction that makes it so.
func TestAMailboxThatFillsIsToldOf(t *testing.T) {
	var told []Filling
	var refuse error
	onBoth(t, func(t *testing.T, r *rig) {
		ctx, o := t.Context(), Owner{7, "a"}
		told, refuse = nil, nil
		id := r.mailboxOf(o, 1000)
		want := func(what string, want ...Filling) {
			t.Helper()
			if !slices.Equal(told, want) {
				t.Errorf("%s: told of %+v, want %+v", what, told, want)
			}
			told = nil
		}
		body := func(size int) string { return strings.Repeat("x", size-len("Subject: test\r\n\r\n")) }
		gone := func(f FolderID) { second(r.Expunge(ctx, id, f, AllUIDs(), false)) }
		quota := func(n int64) {
			r.write(func(ctx context.Context, tx *db.Tx) error { return r.SetQuotaTx(ctx, tx, o, n) })
		}
		crossed, brought, more := Filling{id, true, false}, Filling{id, true, true}, Filling{id, false, true}

		r.put(id, InboxID, body(899), 0)
		want("just below")
		r.put(id, TrashID, body(20), 0)
		want("delivered", crossed)
		r.put(id, TrashID, body(20), 0)
		want("delivered when it is told")
		_, err := r.Deliver(ctx, text(body(200)), Target{Mailbox: id})
		wantFault(t, err, fault.OverQuota, fault.Mailbox)
		want("refused")
		gone(TrashID)
		r.bring(id, TrashID, body(20), body(20))
		r.bring(id, TrashID, body(20))
		want("brought", brought, more)
		gone(TrashID)
		r.put(id, TrashID, body(20), 0)
		want("again", crossed)
		quota(2000)
		gone(TrashID)
		second(r.Copy(ctx, id, InboxID, AllUIDs(), TrashID))
		want("a copy that leaves room")
		gone(TrashID)
		quota(1900)
		second(r.Copy(ctx, id, InboxID, AllUIDs(), TrashID))
		want("a copy", crossed)
		quota(5000)
		quota(1997)
		quota(1000)
		want("the quota", crossed)
		quota(1998)
		want("a larger one")

		quota(5000)
		_, err = r.Deliver(ctx, text(body(4000-1798)), Target{Mailbox: id}, Target{Mailbox: id, Folder: TrashID, Unwarned: true})
		wantFault(t, err, fault.OverQuota, fault.Mailbox)
		_, err = r.Deliver(ctx, text(body(4600-1798)), Target{Mailbox: id, Unwarned: true})
		r.ok(err)
		want("what tells of it itself")
		gone(InboxID)
		refuse = errors.New("no")
		if _, err := r.Deliver(ctx, text(body(4000)), Target{Mailbox: id}); !errors.Is(err, refuse) {
			t.Errorf("%v, want the failure of what was told", err)
		}
		refuse = nil
		if d, err := r.Details(ctx, id); err != nil || d.Bytes != 899 {
			t.Errorf("%+v, %v", d, err)
		}
		_, err = r.Warned(ctx, id+1)
		wantFault(t, err, fault.NotFound, fault.Mailbox)
		if at, err := r.Warned(ctx, id); err != nil || !at.IsZero() {
			t.Errorf("told at %v, %v", at, err)
		}
		for _, now := range []int64{5000, 100} {
			var still bool
			quota(now)
			r.write(func(ctx context.Context, tx *db.Tx) (err error) {
				still, err = r.WarnedTx(ctx, tx, id, testStart)
				return err
			})
			d, err := r.Details(ctx, id)
			r.ok(err)
			if at, err := r.Warned(ctx, id); err != nil || !at.Equal(testStart) || still != d.NearlyFull() || still != (now == 100) {
				t.Errorf("%+v, told at %v, still nearly full %v, %v", d, at, still, err)
			}
		}
	}, func(o *Options) {
		o.Filling = func(_ context.Context, tx *db.Tx, f Filling) error {
			tx.OnCommit(func() { told = append(told, f) })
			return refuse
		}
	})
}
