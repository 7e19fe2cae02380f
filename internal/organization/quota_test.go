package organization_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/principal"
)

func TestQuota(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		ann, all := w.user(org, "ann"), w.group(org, "all")
		set := func(who string, mb int64) error { return w.SetQuota(w.ctx, admin, org, who, mb) }
		details := func(who string) organization.MailboxDetails {
			d, err := w.MailboxDetails(w.ctx, admin, org, who)
			w.ok(err)
			return d
		}
		if d := details("ann"); d != (organization.MailboxDetails{QuotaMB: 51_200}) {
			t.Errorf("before the mailbox: %+v", d)
		}
		w.wantFault(set("ann", 5), fault.State, fault.Entity)
		w.register(org, ann, "ann@acme.awsapps.com")
		w.register(org, all, "all@acme.awsapps.com")
		for _, mb := range []int64{0, -1, 51_201} {
			w.wantFault(set("ann", mb), fault.Invalid, fault.Mailbox)
		}
		w.wantFault(set("nobody", 5), fault.NotFound, fault.Entity)
		w.wantFault(set("all", 5), fault.NotFound, fault.Entity)
		w.ok(set("ann@acme.awsapps.com", 51_200))
		w.ok(set("ann", 1))

		message := []byte("Subject: hello\r\n\r\nworld\r\n")
		_, err := w.mailboxes.Deliver(w.ctx, mailbox.Message{Source: mailbox.Source{Bytes: message}},
			mailbox.Target{Mailbox: mailbox.ID(w.describe(org, ann).Mailbox)})
		w.ok(err)
		if d := details(string(ann)); d != (organization.MailboxDetails{QuotaMB: 1, Bytes: int64(len(message))}) {
			t.Errorf("with a message: %+v", d)
		}
		w.ok(w.Deregister(w.ctx, admin, org, "ann"))
		if d := details("ann"); d.Bytes != int64(len(message)) {
			t.Errorf("closed: %+v", d)
		}
		w.ok(w.DeleteUser(w.ctx, admin, org, "ann"))
		_, err = w.MailboxDetails(w.ctx, admin, org, string(ann))
		w.wantFault(err, fault.NotFound, fault.Entity)
	})
}

func TestListOrganizations(t *testing.T) {
	inBothWith(t, directory.Config{Limits: directory.Limits{Organizations: 5}}, func(w *world) {
		want := []string{"a1", "B2", "c3", "d4", "e5"}
		for _, alias := range []string{"e5", "a1", "d4", "B2", "c3"} {
			_, err := w.Create(w.ctx, admin, organization.Request{Alias: alias})
			w.ok(err)
		}
		_, err := w.Create(w.ctx, admin, organization.Request{Alias: "f6"})
		w.wantFault(err, fault.Limit, fault.Organization)
		for limit := 1; limit <= 6; limit++ {
			var got []string
			for page := (directory.Page{Limit: limit}); ; {
				list, next, err := w.directory.ListOrganizations(w.ctx, admin, page)
				w.ok(err)
				for _, o := range list {
					got = append(got, o.Alias)
				}
				if page.After = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d at a time: %q", limit, got)
			}
		}
		_, _, err = w.directory.ListOrganizations(w.ctx, admin, directory.Page{After: "x"})
		w.wantFault(err, fault.Invalid, fault.Token)
	})
}

// TestUsersMayNotAdminister hands verbs the principal of a user who signed in.
func TestUsersMayNotAdminister(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		user := principal.Principal{Kind: principal.User, Organization: string(org)}
		_, create := w.Create(w.ctx, user, organization.Request{Alias: "other"})
		_, remove := w.Delete(w.ctx, user, org, organization.Deletion{})
		_, describe := w.directory.DescribeOrganization(w.ctx, user, org)
		_, _, list := w.directory.ListUsers(w.ctx, user, org, directory.UserFilter{}, directory.Page{})
		for what, err := range map[string]error{
			"Create": create, "Delete": remove, "DescribeOrganization": describe, "ListUsers": list,
			"Register":   w.Register(w.ctx, user, org, "ann", "ann@acme.awsapps.com"),
			"Deregister": w.Deregister(w.ctx, user, org, "ann"),
			"DeleteUser": w.DeleteUser(w.ctx, user, org, "ann"),
		} {
			if fault.KindOf(err) != fault.Denied {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// TestCheckFindsMailboxes damages what ties entities to mailboxes: Check must tell.
func TestCheckFindsMailboxes(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.acme()
		w.register(org, w.user(org, "ann"), "ann@acme.awsapps.com")
		for statement, undo := range map[string]string{
			`UPDATE mailbox SET owner = 'x'`:                             `UPDATE mailbox SET owner = (SELECT id FROM entity WHERE name = 'ann')`,
			`UPDATE mailbox SET state = 1`:                               `UPDATE mailbox SET state = 0`,
			`UPDATE entity SET state = 2 WHERE name = 'ann'`:             `UPDATE entity SET state = 1 WHERE name = 'ann'`,
			`UPDATE entity SET mailbox = mailbox + 1 WHERE name = 'ann'`: `UPDATE entity SET mailbox = mailbox - 1 WHERE name = 'ann'`,
		} {
			w.exec(statement)
			if found := w.ownCheck(); len(found) != 1 {
				t.Errorf("%s: %s", statement, fmt.Sprint(found))
			}
			w.exec(undo)
		}
	})
}
