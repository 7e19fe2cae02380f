package availability_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

func TestConfigurationsAreKeptByDomain(t *testing.T) {
	inBoth(t, availability.Config{Limit: 3}, func(w *world) {
		create := func(domain string, p availability.Provider, token string) error {
			return w.Create(w.ctx, admin, w.org, domain, p, token)
		}
		w.ok(create("B.example", ews("https://far.example/EWS"), "t"))
		w.ok(create("b.example", ews("https://far.example/EWS"), "t"))
		w.wantFault(create("b.example", ews("https://far.example/other"), "t"), fault.Invalid, fault.Token)
		w.wantFault(create("b.example", lambda(arn), "u"), fault.Exists, fault.Resource)
		w.ok(create("a.example", lambda(arn), "u"))
		w.ok(create("c.example", lambda(arn), ""))
		w.wantFault(create("d.example", lambda(arn), ""), fault.Limit, fault.Resource)
		w.ok(w.Create(w.ctx, admin, w.far, "b.example", lambda(arn), "t"))

		page, next, err := w.List(w.ctx, admin, w.org, directory.Page{Limit: 2})
		w.ok(err)
		rest, end, err := w.List(w.ctx, admin, w.org, directory.Page{Limit: 2, After: next})
		w.ok(err)
		var listed []string
		for _, c := range slices.Concat(page, rest) {
			if e := c.Provider.EWS; e != nil {
				listed = append(listed, c.Domain+" "+e.Endpoint+" "+e.Username+" "+e.Password)
			} else {
				listed = append(listed, c.Domain+" "+c.Provider.Function)
			}
			if !c.Created.Equal(now) || !c.Modified.Equal(now) {
				t.Errorf("%s was created %v, modified %v", c.Domain, c.Created, c.Modified)
			}
		}
		if want := []string{"a.example " + arn, `b.example https://far.example/EWS CORP\svc `, "c.example " + arn}; !slices.Equal(listed, want) || end != "" {
			t.Errorf("listed %q up to %q, want %q", listed, end, want)
		}

		w.ok(w.Update(w.ctx, admin, w.org, "B.EXAMPLE", lambda(arn)))
		w.wantFault(w.Update(w.ctx, admin, w.org, "d.example", lambda(arn)), fault.NotFound, fault.Resource)
		for range 2 {
			w.ok(w.Delete(w.ctx, admin, w.org, "A.example"))
		}
		page, _, err = w.List(w.ctx, admin, w.org, directory.Page{})
		w.ok(err)
		if len(page) != 2 || page[0].Provider.Function != arn {
			t.Errorf("after the changes: %+v", page)
		}
		if page, _, err = w.List(w.ctx, admin, w.far, directory.Page{}); err != nil || len(page) != 1 {
			t.Errorf("the other organisation has %+v, %v", page, err)
		}

		records, err := w.audit.Read(w.ctx, audit.Query{Organization: string(w.org)})
		w.ok(err)
		var done []string
		for _, r := range records {
			done = append(done, strings.TrimSuffix(r.Operation, "AvailabilityConfiguration")+" "+r.Subject)
		}
		want := []string{"Create b.example", "Create b.example", "Create a.example", "Create c.example", "Update b.example", "Delete a.example", "Delete a.example"}
		if !slices.Equal(done, want) {
			t.Errorf("the audit trail has %q, want %q", done, want)
		}
		user := principal.Principal{Kind: principal.User, Organization: string(w.org)}
		w.wantFault(w.Create(w.ctx, user, w.org, "x.example", lambda(arn), ""), fault.Denied, fault.None)
		if _, _, err := w.List(w.ctx, user, w.org, directory.Page{}); !fault.Is(err, fault.Denied, fault.None) {
			t.Errorf("a user lists: %v", err)
		}
		if _, err := w.Test(w.ctx, user, w.org, "b.example", nil); !fault.Is(err, fault.Denied, fault.None) {
			t.Errorf("a user tests: %v", err)
		}
	})
}

func TestBadProvidersAreRefused(t *testing.T) {
	inBoth(t, availability.Config{}, func(w *world) {
		long := strings.Repeat("x", 600)
		for name, p := range map[string]availability.Provider{
			"none": {}, "two": {EWS: ews("https://far.example/").EWS, Function: arn}, "plain HTTP": ews("http://far.example/EWS"), "no URL": ews("://"),
			"no host": ews("https:///EWS"), "a user in the URL": ews("https://u:p@far.example/"), "a long URL": ews("https://far.example/" + long),
			"no user":    {EWS: &availability.EWS{Endpoint: "https://far.example/", Password: "x"}},
			"a colon":    {EWS: &availability.EWS{Endpoint: "https://far.example/", Username: "a:b", Password: "x"}},
			"a long one": {EWS: &availability.EWS{Endpoint: "https://far.example/", Username: "a", Password: long}},
		} {
			if err := w.Create(w.ctx, admin, w.org, "a.example", p, ""); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: created, %v", name, err)
			}
			if err := w.Update(w.ctx, admin, w.org, "a.example", p); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: updated, %v", name, err)
			}
			if _, err := w.Test(w.ctx, admin, w.org, "", &p); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: tested, %v", name, err)
			}
		}
		for _, domain := range []string{"", "example", ".example", "a..example", "a b.example", long + ".example"} {
			if err := w.Create(w.ctx, admin, w.org, domain, lambda(arn), ""); fault.KindOf(err) != fault.Invalid {
				t.Errorf("domain %q: %v", domain, err)
			}
		}
	})
}

// TestPasswordsAreSealed reads what is stored as whoever steals the database would.
func TestPasswordsAreSealed(t *testing.T) {
	inBoth(t, availability.Config{}, func(w *world) {
		w.ok(w.Create(w.ctx, admin, w.org, "a.example", ews("https://far.example/"), "t"))
		var sealed, input []byte
		w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			if err := tx.QueryRow(ctx, `SELECT password FROM availability_configuration`).Scan(&sealed); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `SELECT input FROM idempotency_token`).Scan(&input)
		}))
		if bytes.Contains(sealed, []byte("s3cret")) || len(sealed) == 0 || len(input) != 32 {
			t.Errorf("stored are %q and %q", sealed, input)
		}
		if plain, err := w.root.Open("availability password", string(w.org)+"/a.example", sealed); err != nil || string(plain) != "s3cret-pass" {
			t.Errorf("opened: %q, %v", plain, err)
		}
		// A password that was moved to another domain, where somebody else would get to see it, is not sent.
		w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE availability_configuration SET domain = 'b.example'`)
			return err
		}))
		if found := w.check(); len(found) != 1 || !strings.Contains(found[0], "b.example") {
			t.Errorf("check found %q", found)
		}
		if _, err := w.Test(w.ctx, admin, w.org, "b.example", nil); err == nil || fault.As(err) != nil {
			t.Errorf("the test of the moved one: %v", err)
		}
		w.ok(w.Delete(w.ctx, admin, w.org, "b.example"))
	})
}

func TestErasedAndChecked(t *testing.T) {
	inBoth(t, availability.Config{Limit: 500}, func(w *world) {
		for i := range 120 { // more than a page of the check
			w.ok(w.Create(w.ctx, admin, w.org, fmt.Sprintf("d%d.example", i), lambda(arn), ""))
		}
		w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO availability_configuration (organization, domain, endpoint, username, password, function, created, modified)
				SELECT 77, domain, '', '', password, '', 0, 0 FROM availability_configuration WHERE domain = 'd1.example'`)
			if err == nil {
				_, err = tx.Exec(ctx, `UPDATE availability_configuration SET function = '' WHERE organization <> 77 AND domain = 'd99.example'`)
			}
			return err
		}))
		if found := w.check(); len(found) != 2 || !strings.Contains(strings.Join(found, "\n"), "organization 77, which does not exist") ||
			!strings.Contains(strings.Join(found, "\n"), "d99.example") {
			t.Errorf("check found %q", found)
		}
		w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			o, err := w.directory.OrganizationTx(ctx, tx, w.org)
			if err != nil {
				return err
			}
			if err := w.EraseTx(ctx, tx, o); err != nil {
				return err
			}
			return w.EraseTx(ctx, tx, &directory.Organization{Key: 77})
		}))
		if page, _, err := w.List(w.ctx, admin, w.org, directory.Page{}); err != nil || len(page) != 0 {
			t.Errorf("after the erasure: %+v, %v", page, err)
		}
	})
}
