package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
)

const day = 24 * time.Hour

// rule removes what has been in a folder for some days.
func (r *rig) rule(use Use, days int, recoverable bool) Rule {
	return Rule{Use: use, Before: r.clock.Now().Add(-time.Duration(days) * day), Recoverable: recoverable}
}

// retain applies rules to a mailbox and returns how many items went.
func (r *rig) retain(id ID, rules ...Rule) (total int) {
	r.t.Helper()
	due, err := r.DueFolders(context.Background(), id, rules)
	r.ok(err)
	for _, d := range due {
		for more := true; more; {
			var n int
			r.write(func(ctx context.Context, tx *db.Tx) (err error) {
				n, more, err = r.RetainTx(ctx, tx, id, d)
				return err
			})
			total += n
		}
	}
	return total
}

func (r *rig) recoverable(id ID) []RecoverableItem {
	r.t.Helper()
	items, err := r.Recoverable(context.Background(), id, 0, 1000)
	r.ok(err)
	return items
}

func (r *rig) uids(id ID, f FolderID) (uids []UID) {
	r.t.Helper()
	for _, it := range r.items(id, f, WantFlags) {
		uids = append(uids, it.UID)
	}
	return uids
}

func TestAgeCountsFromTheLastOfArrivalMoveAndChange(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		ctx := t.Context()
		_, err := r.Deliver(ctx, text("old date"), Target{Mailbox: id, Received: testStart.Add(-1000 * day)}) // as APPEND with a date
		r.ok(err)
		for i := range 4 {
			r.put(id, InboxID, fmt.Sprint(i), 0)
		}
		if n := r.retain(id, r.rule(Inbox, 1, false)); n != 0 {
			t.Errorf("%d items went on the day they came", n)
		}
		r.clock.Advance(10 * day)
		_, err = r.StoreFlags(ctx, id, InboxID, UIDs(2), FlagChange{Add: Seen}, Always)
		r.ok(err)
		_, err = r.StoreFlags(ctx, id, InboxID, span(3, 5), FlagChange{Add: 0}, Always) // changes nothing
		r.ok(err)
		_, err = r.Move(ctx, id, InboxID, UIDs(3), TrashID)
		r.ok(err)
		_, err = r.Copy(ctx, id, InboxID, UIDs(4), TrashID)
		r.ok(err)
		r.clock.Advance(20*day - time.Microsecond)
		rules := func() []Rule { return []Rule{r.rule(Inbox, 30, false), r.rule(Trash, 30, false)} }
		if n := r.retain(id, rules()...); n != 0 {
			t.Errorf("%d items went too early", n)
		}
		before := r.get(id, InboxID)
		r.clock.Advance(time.Microsecond)
		if n := r.retain(id, rules()...); n != 3 {
			t.Errorf("%d items went, want 3", n)
		}
		if got := r.uids(id, InboxID); !slices.Equal(got, []UID{2}) {
			t.Errorf("the inbox holds %v, want the one that changed", got)
		}
		c, err := r.Changes(ctx, id, InboxID, before.Highest)
		if err != nil || c.Vanished.String() != "1,4:5" {
			t.Errorf("vanished are %s, %v", c.Vanished, err)
		}
		r.clock.Advance(10 * day)
		if n := r.retain(id, rules()...); n != 3 {
			t.Errorf("%d items went later, want 3", n)
		}
		if d, err := r.Details(ctx, id); err != nil || d.Bytes != 0 || len(r.recoverable(id)) != 0 {
			t.Errorf("left behind: %+v, %v", d, err)
		}
	})
}

// span is the set of a range.
func span(first, last UID) UIDSet { return NewUIDSet(UIDRange{first, last}) }

func TestRetentionOfSubfolders(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		thrown, filed := r.folder(id, "Deleted Items/Project/2025"), r.folder(id, "INBOX/Project")
		for _, f := range []FolderID{thrown.ID, filed.ID} {
			r.put(id, f, "x", 0)
		}
		r.clock.Advance(2 * day)
		r.retain(id, r.rule(Inbox, 1, false), r.rule(Trash, 1, false))
		if a, b := len(r.uids(id, thrown.ID)), len(r.uids(id, filed.ID)); a != 0 || b != 1 {
			t.Errorf("below Deleted Items %d items are left, below INBOX %d", a, b)
		}
	})
}

// A folder full of items that changed lately is read once, and not again each time.
func TestRetentionPassesWhatChanged(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.batch = 20
		id := r.mailbox("a")
		r.many(id, 100, text("x"))
		r.clock.Advance(9 * day)
		_, err := r.StoreFlags(t.Context(), id, InboxID, span(1, 90), FlagChange{Add: Seen}, Always)
		r.ok(err)
		r.clock.Advance(2 * day)
		if n := r.retain(id, r.rule(Inbox, 10, true)); n != 10 {
			t.Errorf("%d items went, want those that did not change", n)
		}
		if got := r.count(`SELECT kept_below FROM folder WHERE id = 1`); got != 101 {
			t.Errorf("the folder is passed up to %d, want 101", got)
		}
		r.put(id, InboxID, "new", 0)
		r.clock.Advance(8 * day)
		if n := r.retain(id, r.rule(Inbox, 10, true)); n != 90 {
			t.Errorf("%d items went, want 90", n)
		}
		if got := r.uids(id, InboxID); !slices.Equal(got, []UID{101}) {
			t.Errorf("left are %v", got)
		}
	})
}

func TestRetentionSurvivesClocksThatWereWrong(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		r.clock.Advance(500 * day)
		r.put(id, InboxID, "from the future", 0)
		r.clock.Advance(-500 * day)
		r.put(id, InboxID, "now", 0)
		r.clock.Advance(2 * day)
		if n := r.retain(id, r.rule(Inbox, 1, false)); n != 1 {
			t.Errorf("%d items went, want the one behind", n)
		}
	})
}

// What PutRetentionPolicy's action DELETE removes can be recovered, until its time is over.
func TestRecoverableItems(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		lost := r.folder(id, "Deleted Items/lost")
		a := r.put(id, InboxID, "a", Seen|Deleted)
		b := r.put(id, lost.ID, "b", Flagged)
		r.put(id, InboxID, "expires", 0)
		r.clock.Advance(2 * day)
		if n := r.retain(id, r.rule(Inbox, 1, true), r.rule(Trash, 1, true)); n != 3 {
			t.Fatalf("%d items went", n)
		}
		removed := r.clock.Now()
		items := r.recoverable(id)
		if len(items) != 3 || items[0].ID != a.ID || items[0].Folder != InboxID || items[0].Flags != Seen|Deleted || items[0].Removed != removed ||
			items[0].Expires != removed.Add(30*day) || string(items[0].Envelope) != "envelope of a" || items[0].Received != testStart {
			t.Errorf("recoverable are %+v", items)
		}
		if d, err := r.Details(ctx, id); err != nil || d.Bytes != 0 {
			t.Errorf("they count towards the quota: %+v, %v", d, err)
		}
		r.ok(r.DeleteFolder(ctx, id, "Deleted Items/lost", false))
		_, err := r.Recover(ctx, id, []ItemID{a.ID, 999}, 0)
		wantFault(t, err, fault.NotFound, fault.Message)
		_, err = r.Recover(ctx, id, []ItemID{a.ID}, 999)
		wantFault(t, err, fault.NotFound, fault.Folder)
		r.write(func(ctx context.Context, tx *db.Tx) error { return r.SetQuotaTx(ctx, tx, Owner{7, "a"}, 20) })
		_, err = r.Recover(ctx, id, []ItemID{a.ID, b.ID}, 0)
		wantFault(t, err, fault.OverQuota, fault.Mailbox)
		r.write(func(ctx context.Context, tx *db.Tx) error { return r.SetQuotaTx(ctx, tx, Owner{7, "a"}, testQuota) })

		before := r.get(id, InboxID)
		out, err := r.Recover(ctx, id, []ItemID{b.ID, a.ID, b.ID}, 0)
		r.ok(err)
		if len(out) != 2 || out[0].Folder != InboxID || out[1].Folder != InboxID {
			t.Errorf("recovered to %+v", out)
		}
		c, err := r.Changes(ctx, id, InboxID, before.Highest)
		if err != nil || len(c.Changed) != 2 || c.Changed[0].UID != before.UIDNext {
			t.Errorf("a client sees %+v, %v", c, err)
		}
		back := r.items(id, InboxID, WantMeta|WantBody)
		if len(back) != 2 || back[0].ID != a.ID || back[0].Flags != Seen || back[0].Received != testStart || back[0].Saved != removed ||
			back[1].ID != b.ID || back[1].Flags != Flagged || string(back[1].Envelope) != "envelope of b" ||
			!strings.HasSuffix(string(r.bytes(&back[1])), "\r\n\r\nb") {
			t.Errorf("recovered are %+v", back)
		}
		if n := r.retain(id, r.rule(Inbox, 1, true)); n != 0 {
			t.Error("the age of what was recovered did not begin anew")
		}
		r.check()

		r.clock.Advance(30*day - time.Microsecond)
		for more := true; more; {
			more, err = r.Sweep(ctx)
			r.ok(err)
		}
		if left := r.recoverable(id); len(left) != 1 {
			t.Errorf("before its time came %+v were left", left)
		}
		r.clock.Advance(time.Microsecond)
		_, err = r.Sweep(ctx)
		r.ok(err)
		if left := r.recoverable(id); len(left) != 0 || r.Expired() != 1 || r.count(`SELECT COUNT(*) FROM body`) != 2 {
			t.Errorf("%+v are left, %d expired", left, r.Expired())
		}
	})
}

func TestPurgeRemovesRecoverableItems(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.batch = 3
		id, other := r.mailbox("a"), r.mailbox("b")
		r.many(id, 10, text("x"))
		r.put(other, InboxID, "other", 0)
		r.clock.Advance(2 * day)
		r.retain(id, r.rule(Inbox, 1, true))
		r.retain(other, r.rule(Inbox, 1, true))
		r.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := r.CloseTx(ctx, tx, Owner{7, "a"}, r.clock.Now())
			return err
		})
		list, err := r.OpenMailboxes(t.Context(), 7, "", 10)
		if err != nil || len(list) != 1 || list[0].ID != other {
			t.Errorf("open are %+v, %v", list, err)
		}
		r.write(func(ctx context.Context, tx *db.Tx) error {
			_, _, err := r.RetainTx(ctx, tx, id, Due{InboxID, r.rule(Inbox, 1, true)})
			wantFault(t, err, fault.State, fault.Mailbox)
			return nil
		})
		for done := false; !done; {
			done, err = r.PurgeBatch(t.Context(), id)
			r.ok(err)
		}
		if n := r.count(`SELECT COUNT(*) FROM recoverable`); n != 1 {
			t.Errorf("%d recoverable items are left, want the other mailbox's", n)
		}
	})
}

// Retention must read by index and never sort, or its cost grows with the mailbox.
func TestRetentionFindsWhatIsDueByIndex(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t, Migrations()))
	b := newBulks()
	for text, want := range map[string]string{
		readOldest:                     "USING PRIMARY KEY (mailbox=? AND folder=? AND uid>?)",
		readOldestChanged:              "USING INDEX item_changed (mailbox=? AND folder=?)",
		expiredRecoverable:             "USING COVERING INDEX recoverable_due (due<?)",
		openMailboxes:                  "USING INDEX mailbox_owner (org=? AND owner>?)",
		b.retire.texts[0]():            "USING PRIMARY KEY (mailbox=? AND folder=? AND uid=?)",
		b.deleteRecoverable.texts[0](): "USING PRIMARY KEY (mailbox=? AND item=?)",
		b.deleteEnvelope.texts[0]():    "USING PRIMARY KEY (mailbox=? AND item=?)",
	} {
		plan := r.plan(text, strings.Count(text, "$"))
		if !strings.Contains(plan, want) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%.60s: the plan lacks %q or sorts:\n%s", text, want, plan)
		}
	}
}

// BenchmarkRetention removes what is due from a mailbox of 100,000 messages: first nothing, then 100, then the rest.
func BenchmarkRetention(b *testing.B) {
	for _, recoverable := range []bool{true, false} {
		b.Run(fmt.Sprintf("recoverable=%v", recoverable), func(b *testing.B) {
			onBothDurable(b, func(b *testing.B, r *rig) {
				const n = 100_000
				for b.Loop() {
					b.StopTimer()
					id := r.fill(100, 4<<10)
					r.clock.Advance(day)
					r.fillBox(id, n-100, 4<<10)
					timed := func(what string, want int, rule Rule) {
						begun := time.Now()
						if got := r.retain(id, rule); got != want {
							b.Fatalf("%d items went, want %d", got, want)
						}
						b.ReportMetric(float64(time.Since(begun).Microseconds())/1000, what)
					}
					b.StartTimer()
					timed("ms-none-due", 0, r.rule(Inbox, 2, recoverable))
					timed("ms-100-due", 100, r.rule(Inbox, 1, recoverable))
					begun := time.Now()
					timed("ms-rest", n-100, r.rule(Inbox, 0, recoverable))
					b.ReportMetric((n-100)/time.Since(begun).Seconds(), "messages/s")
				}
			})
		})
	}
}

// A store that the version before wrote: what lies there is as old as it is. (These verbs write only what was there before.)
func TestRetentionOfAStoreFromBefore(t *testing.T) {
	var id ID
	dbtest.Upgrade(t, Migrations()[:1], Migrations(), func(t *testing.T, d *db.DB) {
		r := newRig(quiet{t}, d)
		r.t = t
		id = r.mailbox("a")
		r.put(id, InboxID, "stays", 0)
		r.put(id, InboxID, "moves", 0)
		r.clock.Advance(5 * day)
		_, err := r.Move(t.Context(), id, InboxID, UIDs(2), TrashID)
		r.ok(err)
	}, func(t *testing.T, d *db.DB) {
		r := newRig(t, d)
		r.clock.Advance(12 * day)
		if n := r.retain(id, r.rule(Inbox, 10, true), r.rule(Trash, 10, true)); n != 1 || len(r.uids(id, TrashID)) != 1 {
			t.Errorf("%d items went", n)
		}
	})
}
