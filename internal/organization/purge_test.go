package organization_test

import (
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// A purge that began and failed was forgotten with its mailbox, mail and all, when the user was registered again or deleted before it was
// tried again.
func TestAPurgeThatBeganIsFinished(t *testing.T) {
	for _, test := range []struct {
		name      string
		meanwhile func(w *world, org directory.OrgID, ann directory.EntityID)
		left      int // mailboxes
	}{
		{"registered again", func(w *world, org directory.OrgID, ann directory.EntityID) {
			w.register(org, ann, "ann@acme.awsapps.com")
		}, 1},
		{"registered and disabled again", func(w *world, org directory.OrgID, ann directory.EntityID) {
			w.register(org, ann, "ann@acme.awsapps.com")
			w.ok(w.Deregister(w.ctx, admin, org, "ann"))
		}, 1},
		{"deleted", func(w *world, org directory.OrgID, _ directory.EntityID) {
			w.ok(w.DeleteUser(w.ctx, admin, org, "ann"))
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBoth(t, func(w *world) {
				org := w.acme()
				ann := w.user(org, "ann")
				w.register(org, ann, "ann@acme.awsapps.com")
				w.ok(w.Deregister(w.ctx, admin, org, "ann"))
				w.exec(`ALTER TABLE subscription RENAME TO away`)
				w.pass(31 * 24 * time.Hour)
				w.exec(`ALTER TABLE away RENAME TO subscription`)
				if w.mailboxCount() != 1 || w.describe(org, ann).Mailbox != 0 {
					t.Fatalf("no purge is under way: the user is %+v", w.describe(org, ann))
				}
				test.meanwhile(w, org, ann)
				w.pass(2 * time.Hour) // longer than the longest pause between attempts
				if n := w.mailboxCount(); n != test.left {
					t.Errorf("%d mailboxes are left, want %d", n, test.left)
				}
				if test.left > 0 {
					return
				}
				w.describe(org, ann) // for 30 days
				w.pass(31 * 24 * time.Hour)
				_, err := w.directory.DescribeUser(w.ctx, admin, org, string(ann))
				w.wantFault(err, fault.NotFound, fault.Entity)
			})
		})
	}
}
