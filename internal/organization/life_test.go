package organization_test

import (
	"context"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
)

func TestOrganizationLife(t *testing.T) {
	inBoth(t, func(w *world) {
		org, err := w.Create(w.ctx, admin, organization.Request{Alias: "Acme", ClientToken: "one", Domains: []string{"Acme.Example"}})
		w.ok(err)
		w.untilState(org, directory.OrgActive)

		o, err := w.directory.DescribeOrganization(w.ctx, admin, org)
		w.ok(err)
		if o.Alias != "Acme" || o.DefaultDomain != "acme.awsapps.com" || o.Completed.IsZero() || o.DirectoryType != directory.OwnDirectoryType ||
			o.ARN() != "arn:aws:workmail:us-east-1:000000000000:organization/"+string(org) {
			t.Errorf("described as %+v", o)
		}
		domains, _, err := w.directory.ListDomains(w.ctx, admin, org, directory.Page{})
		w.ok(err)
		if len(domains) != 2 || domains[0].Name != "acme.awsapps.com" || !domains[0].Test || domains[0].Status != directory.DomainVerified ||
			domains[1].Name != "acme.example" || domains[1].Status != directory.DomainPending {
			t.Errorf("domains %+v", domains)
		}
		w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			enforced, err := w.policy.EnforcesDMARCTx(ctx, tx, o.Key)
			if !enforced {
				t.Error("a new organisation does not enforce DMARC")
			}
			return err
		}))

		user := w.user(org, "ann")
		w.register(org, user, "ann@acme.awsapps.com")
		_, err = w.Delete(w.ctx, admin, org, organization.Deletion{})
		w.wantFault(err, fault.State, fault.Organization)

		state, err := w.Delete(w.ctx, admin, org, organization.Deletion{Force: true, ClientToken: "bye"})
		w.ok(err)
		if state != directory.OrgDeleting {
			t.Errorf("deleting answers %s", state)
		}
		again, err := w.Delete(w.ctx, admin, org, organization.Deletion{Force: true, ClientToken: "bye"})
		w.ok(err)
		if again != state {
			t.Errorf("the same token answers %s", again)
		}
		w.untilState(org, directory.OrgDeleted)
		_, err = w.Delete(w.ctx, admin, org, organization.Deletion{Force: true})
		w.wantFault(err, fault.State, fault.Organization)
		_, err = w.directory.DescribeUser(w.ctx, admin, org, string(user))
		w.wantFault(err, fault.State, fault.Organization)
		list, _, err := w.directory.ListOrganizations(w.ctx, admin, directory.Page{})
		w.ok(err)
		if len(list) != 0 {
			t.Errorf("a deleted organisation is listed: %+v", list)
		}
		if box := w.mailboxCount(); box != 0 {
			t.Errorf("%d mailboxes are left", box)
		}
		w.user(w.acme(), "ann") // alias and names are free again
	})
}

func (w *world) mailboxCount() (n int) {
	w.t.Helper()
	w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM mailbox`).Scan(&n)
	}))
	return n
}

func TestCreateOrganizationRefusals(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		create := func(r organization.Request) error {
			_, err := w.Create(w.ctx, admin, r)
			return err
		}
		o, err := w.directory.DescribeOrganization(w.ctx, admin, org)
		w.ok(err)
		w.wantFault(create(organization.Request{Alias: "ACME"}), fault.Exists, fault.Organization)
		for _, alias := range []string{"", "-a", "a-", "a--b", "a.b", "d-1234567890", "ä", "a b"} {
			w.wantFault(create(organization.Request{Alias: alias}), fault.Invalid, fault.Organization)
		}
		w.wantFault(create(organization.Request{Alias: "b", DirectoryID: "d-0123456789"}), fault.DirectoryDown, fault.Directory)
		w.wantFault(create(organization.Request{Alias: "b", DirectoryID: o.DirectoryID}), fault.InUse, fault.Directory)
		w.wantFault(create(organization.Request{Alias: "b", Interoperability: true}), fault.Invalid, fault.Directory)
		w.wantFault(create(organization.Request{Alias: "b", Domains: make([]string, 6)}), fault.Invalid, fault.Domain)
		w.wantFault(create(organization.Request{Alias: "b", Domains: []string{"nodot"}}), fault.Invalid, fault.Domain)
		w.ok(w.directory.VouchForDomain(w.ctx, admin, org, "taken.example"))
		w.wantFault(create(organization.Request{Alias: "b", Domains: []string{"taken.example"}}), fault.Invalid, fault.Domain)

		first, err := w.Create(w.ctx, admin, organization.Request{Alias: "b", ClientToken: "t"})
		w.ok(err)
		second, err := w.Create(w.ctx, admin, organization.Request{Alias: "b", ClientToken: "t"})
		w.ok(err)
		if first != second {
			t.Errorf("the same token made %s and %s", first, second)
		}
		w.wantFault(create(organization.Request{Alias: "c", ClientToken: "t"}), fault.Invalid, fault.Token)
		_, err = w.Delete(w.ctx, admin, "m-00000000000000000000000000000000", organization.Deletion{})
		w.wantFault(err, fault.NotFound, fault.Organization)
	})
}

func TestMailboxLife(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		ann := w.user(org, "ann")
		w.register(org, ann, "Ann@acme.awsapps.com")
		w.ok(w.directory.CreateAlias(w.ctx, admin, org, ann, "a@acme.awsapps.com"))
		first := w.describe(org, ann)
		if first.State != directory.Enabled || first.Email != "Ann@acme.awsapps.com" || first.Mailbox == 0 ||
			first.Enabled.IsZero() || first.MailboxProvisioned.IsZero() {
			t.Errorf("registered as %+v", first.Entity)
		}
		w.ok(w.Register(w.ctx, admin, org, "ann", "ann@ACME.awsapps.com")) // the same address again
		w.wantFault(w.Register(w.ctx, admin, org, "ann", "other@acme.awsapps.com"), fault.AlreadyRegistered, fault.Entity)
		w.ok(w.SetQuota(w.ctx, admin, org, "ann", 7))

		w.ok(w.Deregister(w.ctx, admin, org, "a@acme.awsapps.com"))
		w.ok(w.Deregister(w.ctx, admin, org, "ann"))
		closed := w.describe(org, ann)
		if closed.State != directory.Disabled || closed.Email != "" || closed.Disabled.IsZero() || closed.MailboxDeprovisioned.IsZero() {
			t.Errorf("deregistered as %+v", closed.Entity)
		}
		w.check()

		w.pass(29 * 24 * time.Hour)
		w.register(org, ann, "ann@acme.awsapps.com")
		back := w.describe(org, ann)
		if back.Mailbox != first.Mailbox || !back.MailboxProvisioned.Equal(first.MailboxProvisioned) {
			t.Errorf("came back as %+v, was %+v", back.Entity, first.Entity)
		}
		details, err := w.MailboxDetails(w.ctx, admin, org, "a@acme.awsapps.com") // the alias came back too
		w.ok(err)
		if details.QuotaMB != 7 {
			t.Errorf("quota %d came back", details.QuotaMB)
		}

		w.pass(10 * 24 * time.Hour) // the purge of the first time must not strike now
		w.ok(w.Deregister(w.ctx, admin, org, "ann"))
		w.pass(31 * 24 * time.Hour)
		w.until("the mailbox is purged", func() bool { return w.mailboxCount() == 0 })
		w.register(org, ann, "ann@acme.awsapps.com")
		if fresh := w.describe(org, ann); fresh.Mailbox == first.Mailbox {
			t.Error("a purged mailbox came back")
		}
	})
}

func TestRegisterRefusals(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		ann, ben := w.user(org, "ann"), w.user(org, "ben")
		w.register(org, ann, "ann@acme.awsapps.com")
		remote, err := w.directory.CreateUser(w.ctx, admin, org, directory.NewUser{Name: "far", DisplayName: "far", Role: directory.RoleRemote})
		w.ok(err)
		w.ok(w.directory.RegisterDomain(w.ctx, admin, org, "pending.example", ""))
		for _, c := range []struct {
			ident, email string
			kind         fault.Kind
			subject      fault.Subject
		}{
			{"ben", "ANN@acme.awsapps.com", fault.Exists, fault.Address},
			{"ben", "ben@elsewhere.example", fault.NotFound, fault.Domain},
			{"ben", "ben@pending.example", fault.State, fault.Domain},
			{"nobody", "x@acme.awsapps.com", fault.NotFound, fault.Entity},
			{"ann@acme.awsapps.com", "x@acme.awsapps.com", fault.NotFound, fault.Entity}, // ids and names only
			{string(remote), "far@acme.awsapps.com", fault.Unsupported, fault.Address},
			{string(remote), "far@pending.example", fault.Unsupported, fault.Address},
			{"ben", "b en@acme.awsapps.com", fault.Invalid, fault.Address},
			{"ben", "amazonjournaling@acme.awsapps.com", fault.Invalid, fault.Address},
		} {
			w.wantFault(w.Register(w.ctx, admin, org, c.ident, c.email), c.kind, c.subject)
		}
		w.ok(w.DeleteUser(w.ctx, admin, org, string(ben)))
		w.wantFault(w.Register(w.ctx, admin, org, string(ben), "ben@acme.awsapps.com"), fault.State, fault.Entity)
		w.wantFault(w.Deregister(w.ctx, admin, org, string(ben)), fault.State, fault.Entity)
		w.wantFault(w.Deregister(w.ctx, admin, org, "nobody"), fault.NotFound, fault.Entity)
		if n := w.mailboxCount(); n != 1 {
			t.Errorf("refusals left %d mailboxes, want ann's", n)
		}
	})
}

// A REMOTE_USER is registered with an address elsewhere, and may have aliases here.
func TestARemoteUserHasNoMailboxHere(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		far, err := w.directory.CreateUser(w.ctx, admin, org, directory.NewUser{Name: "far", DisplayName: "far", Role: directory.RoleRemote})
		w.ok(err)
		for range 2 {
			w.register(org, far, "far@elsewhere.example")
			w.ok(w.directory.CreateAlias(w.ctx, admin, org, far, "far@acme.awsapps.com"))
			w.wantFault(w.directory.CreateAlias(w.ctx, admin, org, far, "far@other.example"), fault.NotFound, fault.Domain)
			w.wantFault(w.directory.SetPrimaryAddress(w.ctx, admin, org, string(far), "other@acme.awsapps.com"), fault.Unsupported, fault.Address)
			w.wantFault(w.SetQuota(w.ctx, admin, org, string(far), 5), fault.State, fault.Entity)
			e := w.describe(org, far)
			if e.State != directory.Enabled || e.Email != "far@elsewhere.example" || e.Mailbox != 0 || !e.MailboxProvisioned.IsZero() || w.mailboxCount() != 0 {
				t.Errorf("registered as %+v with %d mailboxes", e, w.mailboxCount())
			}
			w.check()
			w.ok(w.Deregister(w.ctx, admin, org, string(far)))
		}
		ann := w.user(org, "ann")
		w.register(org, ann, "ann@acme.awsapps.com")
		w.ok(w.Deregister(w.ctx, admin, org, string(ann)))
		role := directory.RoleRemote
		w.ok(w.directory.UpdateUser(w.ctx, admin, org, string(ann), directory.UserChange{Role: &role}))
		w.wantFault(w.Register(w.ctx, admin, org, string(ann), "ann@elsewhere.example"), fault.Unsupported, fault.Entity)
	})
}

func TestDeleteCascade(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		ann, ben, all := w.user(org, "ann"), w.user(org, "ben"), w.group(org, "all")
		room, err := w.directory.CreateResource(w.ctx, admin, org, directory.NewResource{Name: "room", Type: directory.Room})
		w.ok(err)
		w.register(org, ann, "ann@acme.awsapps.com")
		w.register(org, ben, "ben@acme.awsapps.com")
		w.ok(w.directory.AddMember(w.ctx, admin, org, "all", "ann"))
		w.ok(w.directory.AddDelegate(w.ctx, admin, org, "room", "ann"))
		w.ok(w.directory.UpdateResource(w.ctx, admin, org, "room", directory.ResourceChange{Booking: &directory.BookingOptions{}}))
		w.ok(w.policy.PutPermissions(w.ctx, admin, org, "ann", "ben", policy.FullAccess))
		w.ok(w.policy.PutPermissions(w.ctx, admin, org, "ben", "ann", policy.SendAs))

		w.wantFault(w.DeleteUser(w.ctx, admin, org, "ann"), fault.State, fault.Entity)
		w.wantFault(w.DeleteUser(w.ctx, admin, org, "all"), fault.Invalid, fault.Entity)
		w.wantFault(w.DeleteGroup(w.ctx, admin, org, string(ann)), fault.Invalid, fault.Entity)
		w.ok(w.DeleteUser(w.ctx, admin, org, "ann@acme.awsapps.com")) // an address is no name: nobody is meant
		w.ok(w.Deregister(w.ctx, admin, org, "ann"))
		w.ok(w.DeleteUser(w.ctx, admin, org, "ann"))
		w.ok(w.DeleteUser(w.ctx, admin, org, "ann"))
		w.ok(w.DeleteUser(w.ctx, admin, org, string(ann)))
		w.ok(w.DeleteUser(w.ctx, admin, org, "never"))

		members, _, err := w.directory.ListMembers(w.ctx, admin, org, string(all), directory.Page{})
		w.ok(err)
		delegates, _, err := w.directory.ListDelegates(w.ctx, admin, org, string(room), directory.Page{})
		w.ok(err)
		permissions, _, err := w.policy.ListPermissions(w.ctx, admin, org, "ben", directory.Page{})
		w.ok(err)
		if len(members)+len(delegates)+len(permissions) != 0 {
			t.Errorf("left behind: %v %v %v", members, delegates, permissions)
		}
		if r, err := w.directory.DescribeResource(w.ctx, admin, org, "room"); err != nil || !r.Booking.AutoAccept {
			t.Errorf("the room answers nobody: %+v, %v", r, err)
		}
		if gone := w.describe(org, ann); gone.State != directory.Deleted || gone.DisplayName != "" {
			t.Errorf("deleted as %+v", gone)
		}
		again := w.user(org, "ann")
		if again == ann {
			t.Error("a new user has the old one's id")
		}
		w.pass(31 * 24 * time.Hour)
		w.until("the deleted user is gone", func() bool {
			_, err := w.directory.DescribeUser(w.ctx, admin, org, string(ann))
			return fault.Is(err, fault.NotFound, fault.Entity)
		})
		if n := w.mailboxCount(); n != 1 {
			t.Errorf("%d mailboxes are left, want ben's", n)
		}
	})
}

// TestDeletingAnOrganizationTakesItsApplication shares one application between two organisations.
func TestDeletingAnOrganizationTakesItsApplication(t *testing.T) {
	inBoth(t, func(w *world) {
		const instance = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
		acme := w.acme()
		other, err := w.Create(w.ctx, admin, organization.Request{Alias: "other"})
		w.ok(err)
		w.untilState(other, directory.OrgActive)
		application, err := w.center.CreateApplication(w.ctx, admin, "mail", instance, "")
		w.ok(err)
		configuration := identity.Provider{Instance: instance, Application: application}
		for _, org := range []directory.OrgID{acme, other} {
			w.ok(w.center.PutProvider(w.ctx, admin, org, configuration))
		}
		for _, org := range []directory.OrgID{acme, other} {
			w.ok(w.center.PutProvider(w.ctx, admin, other, configuration)) // it exists
			_, err := w.Delete(w.ctx, admin, org, organization.Deletion{Application: true})
			w.ok(err)
			w.untilState(org, directory.OrgDeleted)
		}
		third, err := w.Create(w.ctx, admin, organization.Request{Alias: "third"})
		w.ok(err)
		w.untilState(third, directory.OrgActive)
		w.wantFault(w.center.PutProvider(w.ctx, admin, third, configuration), fault.NotFound, fault.Resource)
	})
}
