package organization_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
)

const day = 24 * time.Hour

// box registers a user and returns its mailbox.
func (w *world) box(org directory.OrgID, name string) mailbox.ID {
	w.t.Helper()
	id := w.user(org, name)
	w.register(org, id, name+"@acme.awsapps.com")
	return mailbox.ID(w.describe(org, id).Mailbox)
}

// mail puts n messages into a folder.
func (w *world) mail(box mailbox.ID, f mailbox.FolderID, n int) {
	w.t.Helper()
	for n > 0 {
		k := min(n, 1000)
		m := mailbox.Message{Source: mailbox.Source{Bytes: []byte("Subject: x\r\n\r\nx\r\n")}}
		_, err := w.mailboxes.Deliver(w.ctx, m, slices.Repeat([]mailbox.Target{{Mailbox: box, Folder: f}}, k)...)
		w.ok(err)
		n -= k
	}
}

// holds says how many items a mailbox has in its inbox and in Deleted Items, and how many can be recovered.
func (w *world) holds(box mailbox.ID) string {
	w.t.Helper()
	inbox, err := w.mailboxes.FolderByID(w.ctx, box, mailbox.InboxID)
	w.ok(err)
	trash, err := w.mailboxes.FolderByID(w.ctx, box, mailbox.TrashID)
	w.ok(err)
	recoverable, err := w.mailboxes.Recoverable(w.ctx, box, 0, 10_000)
	w.ok(err)
	return fmt.Sprint(inbox.Messages, trash.Messages, len(recoverable))
}

func (w *world) wantHolds(when string, box mailbox.ID, want string) {
	w.t.Helper()
	if got := w.holds(box); got != want {
		w.t.Errorf("%s mailbox %s holds %s, want %s", when, box, got, want)
	}
}

// retentionRecords are what the audit trail says of runs.
func (w *world) retentionRecords(org directory.OrgID) (details []string) {
	w.t.Helper()
	records, err := w.audit.Read(w.ctx, audit.Query{Organization: string(org)})
	w.ok(err)
	for _, r := range records {
		if r.Operation == "ApplyRetentionPolicy" {
			details = append(details, r.Detail)
		}
	}
	return details
}

func (w *world) putRetention(org directory.OrgID, folders ...policy.RetentionFolder) {
	w.t.Helper()
	w.ok(w.policy.PutRetentionPolicy(w.ctx, admin, org, policy.RetentionPolicy{Name: "default", Folders: folders}))
}

func TestRetentionPolicyRemovesMail(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		ann, bob := w.box(org, "ann"), w.box(org, "bob")
		w.mail(ann, mailbox.InboxID, 3)
		w.mail(ann, mailbox.TrashID, 2)
		w.mail(bob, mailbox.TrashID, 1)
		w.mail(bob, mailbox.SentID, 1)
		w.pass(20 * day)
		w.mail(ann, mailbox.InboxID, 1)
		// Old mail is old, whenever the policy came.
		w.putRetention(org, policy.RetentionFolder{Folder: policy.RetainInbox, Action: policy.RetainDelete, Days: 10},
			policy.RetentionFolder{Folder: policy.RetainDeletedItems, Action: policy.RetainDeleteNow, Days: 20},
			policy.RetentionFolder{Folder: policy.RetainSentItems, Action: policy.RetainForever, Days: 1})
		w.pass(0)
		w.wantHolds("at once", ann, "1 0 3")
		w.wantHolds("at once", bob, "0 0 0")
		w.pass(9 * day)
		w.wantHolds("a day before its time", ann, "1 0 3")
		w.pass(day + 6*time.Hour)
		w.wantHolds("within six hours of its time", ann, "0 0 4")
		if s := w.Retention(); s.Recoverable != 4 || s.Removed != 3 || s.Finished != 3 || s.Mailboxes != 6 || s.Stopped != 0 {
			t.Errorf("counted are %+v", s)
		}
		if got := w.retentionRecords(org); !slices.Equal(got, []string{
			"2 mailboxes, 3 items made recoverable, 3 removed for good", "2 mailboxes, 1 items made recoverable, 0 removed for good",
		}) {
			t.Errorf("the audit trail says %q", got)
		}
		items, err := w.mailboxes.Recoverable(w.ctx, ann, 0, 10)
		w.ok(err)
		_, err = w.mailboxes.Recover(w.ctx, ann, []mailbox.ItemID{items[3].ID}, 0)
		w.ok(err)
		w.wantHolds("recovered", ann, "1 0 3")
		w.pass(20 * day)
		for more := true; more; {
			more, err = w.mailboxes.Sweep(w.ctx)
			w.ok(err)
		}
		w.wantHolds("thirty days later", ann, "0 0 1")

		// A closed mailbox is left alone, and goes with what is recoverable.
		w.ok(w.Deregister(w.ctx, admin, org, "ann"))
		w.pass(10 * day)
		w.wantHolds("closed", ann, "0 0 1")
		_, err = w.Delete(w.ctx, admin, org, organization.Deletion{Force: true})
		w.ok(err)
		w.untilState(org, directory.OrgDeleted)
		w.pass(7 * time.Hour)
		if list, err := job.List(w.ctx, w.db, 0, 100); err != nil || slices.ContainsFunc(list, func(p job.Pending) bool { return p.Kind == policy.RetentionJob }) {
			t.Errorf("after the end of the organisation jobs wait: %+v, %v", list, err)
		}
	})
}

// A policy that is changed or deleted in the middle of a run stops it: no more is removed, and the audit trail tells of what was.
func TestRetentionStopsWhenItsPolicyEnds(t *testing.T) {
	remove := func(w *world, org directory.OrgID) error {
		r, err := w.policy.RetentionPolicy(w.ctx, admin, org)
		w.ok(err)
		return w.policy.DeleteRetentionPolicy(w.ctx, admin, org, r.ID)
	}
	put := func(w *world, org directory.OrgID) error {
		return w.policy.PutRetentionPolicy(w.ctx, admin, org, policy.RetentionPolicy{Name: "other", Folders: []policy.RetentionFolder{
			{Folder: policy.RetainInbox, Action: policy.RetainDelete, Days: 700},
		}})
	}
	for name, c := range map[string]struct {
		change func(w *world, org directory.OrgID) error
		crash  bool // the run ends in the middle, and its policy while nothing runs
	}{"DeleteRetentionPolicy": {remove, false}, "PutRetentionPolicy": {put, false}, "PutRetentionPolicy after a crash": {put, true}} {
		t.Run(name, func(t *testing.T) {
			inBothWithoutJobs(t, func(w *world) {
				stop := w.startJobs()
				org := w.acme()
				boxes := []mailbox.ID{w.box(org, "ann"), w.box(org, "bob")}
				left := func() (n int64) {
					for _, box := range boxes {
						f, err := w.mailboxes.FolderByID(w.ctx, box, mailbox.InboxID)
						w.ok(err)
						n += f.Messages
					}
					return n
				}
				listener := w.feed.Listen(mailbox.Topic(boxes[0]))
				defer listener.Close()
				var n int64
				for range 10 { // on a busy machine a run may end before the change comes
					for _, box := range boxes {
						w.mail(box, mailbox.InboxID, 1500)
					}
					w.pass(2 * day)
					select {
					case <-listener.C: // of the mail that came
					default:
					}
					w.putRetention(org, policy.RetentionFolder{Folder: policy.RetainInbox, Action: policy.RetainDeleteNow, Days: 1})
					<-listener.C // the change comes while the first pieces are removed
					if c.crash {
						stop()
						stop = func() {}
					}
					w.ok(c.change(w, org))
					if n = left(); n > 0 {
						break
					}
					if c.crash {
						stop = w.startJobs()
					}
				}
				// Not one piece may be removed after the change.
				if c.crash {
					stop = w.startJobs()
				}
				w.pass(13 * time.Hour)
				defer stop()
				if got := left(); got != n || n == 0 {
					t.Errorf("%d items were left when the policy ended, and %d later", n, got)
				}
				want := fmt.Sprintf("%d removed for good", 3000-n)
				got := append([]string{""}, w.retentionRecords(org)...)
				if last := got[len(got)-1]; !strings.HasPrefix(last, "stopped") || !strings.HasSuffix(last, want) {
					t.Errorf("the audit trail says %q, want that %s", got, want)
				}
			})
		})
	}
}

// A run that is interrupted goes on where it was, and counts each item once.
func TestRetentionGoesOnAfterARestart(t *testing.T) {
	inBothWithoutJobs(t, func(w *world) {
		stop := w.startJobs()
		org := w.acme()
		ann, bob := w.box(org, "ann"), w.box(org, "bob")
		w.mail(ann, mailbox.InboxID, 1700)
		w.mail(bob, mailbox.InboxID, 1700)
		w.pass(2 * day)
		listener := w.feed.Listen(mailbox.Topic(ann))
		defer listener.Close()
		w.putRetention(org, policy.RetentionFolder{Folder: policy.RetainInbox, Action: policy.RetainDelete, Days: 1})
		for range 2 { // in the middle
			<-listener.C
			stop()
			stop = w.startJobs()
		}
		w.pass(0)
		stop()
		w.wantHolds("at the end", ann, "0 0 1700")
		w.wantHolds("at the end", bob, "0 0 1700")
		if got := w.retentionRecords(org); !slices.Equal(got, []string{"2 mailboxes, 3400 items made recoverable, 0 removed for good"}) {
			t.Errorf("the audit trail says %q", got)
		}
	})
}

func TestRetentionPolicies(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		put := func(r policy.RetentionPolicy) error { return w.policy.PutRetentionPolicy(w.ctx, admin, org, r) }
		inbox := policy.RetentionFolder{Folder: policy.RetainInbox, Action: policy.RetainDelete, Days: 730}
		_, err := w.policy.RetentionPolicy(w.ctx, admin, org)
		w.wantFault(err, fault.NotFound, fault.Resource)
		w.wantFault(put(policy.RetentionPolicy{ID: "x", Name: "n"}), fault.NotFound, fault.Resource)
		w.wantFault(put(policy.RetentionPolicy{Name: "n", Folders: []policy.RetentionFolder{inbox, inbox}}), fault.Invalid, fault.Resource)
		inbox.Days = 0
		w.wantFault(put(policy.RetentionPolicy{Name: "n", Folders: []policy.RetentionFolder{inbox}}), fault.Invalid, fault.Resource)
		w.ok(put(policy.RetentionPolicy{Name: "n", Description: "d"}))
		first, err := w.policy.RetentionPolicy(w.ctx, admin, org)
		w.ok(err)
		w.ok(put(policy.RetentionPolicy{ID: first.ID, Name: "m"}))
		w.ok(put(policy.RetentionPolicy{Name: "k"}))
		w.wantFault(put(policy.RetentionPolicy{ID: "x", Name: "n"}), fault.Limit, fault.Resource)
		r, err := w.policy.RetentionPolicy(w.ctx, admin, org)
		w.ok(err)
		if r.ID != first.ID || r.Name != "k" || r.Description != "" {
			t.Errorf("the policy is %+v, was %+v", r, first)
		}
		w.ok(w.policy.DeleteRetentionPolicy(w.ctx, admin, org, "x"))
		w.ok(w.policy.DeleteRetentionPolicy(w.ctx, admin, org, r.ID))
		w.ok(w.policy.DeleteRetentionPolicy(w.ctx, admin, org, r.ID))
		_, err = w.policy.RetentionPolicy(w.ctx, admin, org)
		w.wantFault(err, fault.NotFound, fault.Resource)

		w.putRetention(org)
		w.pass(0)
		w.exec(`DELETE FROM job WHERE kind = 'retention'`)
		w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			found, err := w.policy.Check(ctx, tx)
			if len(found) != 1 {
				t.Errorf("a policy without a job: %q", found)
			}
			return err
		}))
		w.putRetention(org)
	})
}
