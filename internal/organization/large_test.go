package organization_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
)

// count runs a statement that counts.
func (w *world) count(query string) (n int) {
	w.t.Helper()
	w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, query).Scan(&n) }))
	return n
}

// TestLargeGroup deletes a group with more members than one transaction may touch.
func TestLargeGroup(t *testing.T) {
	inBoth(t, func(w *world) {
		const members = 620 // more than batchRows
		org := w.acme()
		w.group(org, "all")
		for i := range members {
			w.user(org, fmt.Sprint("u", i))
			w.ok(w.directory.AddMember(w.ctx, admin, org, "all", fmt.Sprint("u", i)))
		}
		w.ok(w.DeleteGroup(w.ctx, admin, org, "all"))
		groups, _, err := w.directory.ListGroupsOf(w.ctx, admin, org, "u619", "", directory.Page{})
		w.ok(err)
		if len(groups) != 0 {
			t.Errorf("a deleted group still shows: %+v", groups)
		}
		w.until("all memberships are gone", func() bool { return w.count(`SELECT COUNT(*) FROM member`) == 0 })
		w.group(org, "all")
	})
}

// TestLargeOrganization deletes an organisation of several batches, in which relations abound, while the server restarts
// again and again.
func TestLargeOrganization(t *testing.T) {
	inBothWithoutJobs(t, func(w *world) {
		stop := w.startJobs()
		org := w.acme()
		w.ok(w.directory.Tag(w.ctx, admin, "arn:aws:workmail:us-east-1:000000000000:organization/"+string(org), []directory.Tag{{Key: "k"}}))
		w.group(org, "all")
		w.register(org, w.user(org, "boss"), "boss@acme.awsapps.com")
		for i := range 120 {
			name := fmt.Sprint("u", i)
			w.register(org, w.user(org, name), name+"@acme.awsapps.com")
			w.ok(w.directory.AddMember(w.ctx, admin, org, "all", name))
			w.ok(w.policy.PutPermissions(w.ctx, admin, org, "boss", name, policy.SendAs))
		}
		for i := range 3 {
			name := fmt.Sprint("room", i)
			_, err := w.directory.CreateResource(w.ctx, admin, org, directory.NewResource{Name: name, Type: directory.Room})
			w.ok(err)
			w.ok(w.directory.AddDelegate(w.ctx, admin, org, name, "boss"))
			w.ok(w.directory.UpdateResource(w.ctx, admin, org, name, directory.ResourceChange{Booking: &directory.BookingOptions{}}))
		}
		w.check()
		stop()
		_, err := w.Delete(w.ctx, admin, org, organization.Deletion{Force: true})
		w.ok(err)
		for range 5 { // each start is interrupted somewhere
			stop := w.startJobs()
			for range 20 { // while the job works: what a kill leaves of it is no fault
				w.check()
			}
			stop()
		}
		stop = w.startJobs()
		defer stop()
		w.untilState(org, directory.OrgDeleted)
		for _, table := range []string{
			"entity", "address", "remembered_address", "member", "delegate", "password", "domain", "organization_tag",
			"permission", "access_rule", "mobile_rule", "policy_setting", "mailbox", "folder",
		} {
			if n := w.count(`SELECT COUNT(*) FROM ` + table); n != 0 {
				t.Errorf("%d rows of %s are left", n, table)
			}
		}
	})
}

// TestDeletionLetsNobodyIn deletes an organisation while others create in it: what was made is removed with it, and the
// rest is refused.
func TestDeletionLetsNobodyIn(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() {
				if i == 8 {
					_, err := w.Delete(w.ctx, admin, org, organization.Deletion{Force: true})
					if err != nil {
						t.Error(err)
					}
					return
				}
				name := fmt.Sprint("u", i)
				id, err := w.directory.CreateUser(w.ctx, admin, org, directory.NewUser{Name: name})
				if err == nil {
					err = w.Register(w.ctx, admin, org, string(id), name+"@acme.awsapps.com")
				}
				if err != nil && !fault.Is(err, fault.State, fault.Organization) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		w.untilState(org, directory.OrgDeleted)
		if n := w.count(`SELECT COUNT(*) FROM entity`); n != 0 {
			t.Errorf("%d entities outlive their organisation", n)
		}
	})
}

// TestRegisterRace registers one user, and one address, from many sides at once.
func TestRegisterRace(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		ann := w.user(org, "ann")
		var others []directory.EntityID
		for i := range 8 {
			others = append(others, w.user(org, fmt.Sprint("u", i)))
		}
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() {
				who := ann
				if i%2 == 0 {
					who = others[i/2]
				}
				err := w.Register(w.ctx, admin, org, string(who), "prize@acme.awsapps.com")
				if err != nil && !fault.Is(err, fault.Exists, fault.Address) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		synctest.Wait()
		if n := w.mailboxCount(); n != 1 {
			t.Errorf("%d mailboxes for one address", n)
		}
	})
}
