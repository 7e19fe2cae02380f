package migration_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/secret"
)

var newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// house is what passwords are brought to: an organisation acme, on an empty store.
type house struct {
	migration.Passwords
	t    *testing.T
	db   *db.DB
	door *identity.Door
	log  *audit.Log
	acme *directory.Organization
}

func onBoth(t *testing.T, fn func(h *house)) {
	t.Helper()
	migrations := slices.Concat(directory.Migrations(), policy.Migrations(), audit.Migrations(), job.Migrations(), identity.Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) {
		h, notices, now := &house{t: t, db: d}, feed.New(), clock.NewFake(newYear)
		h.log = audit.New(d, now, audit.Config{})
		h.Directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: h.log, Clock: now, Feed: notices})
		rules := policy.New(h.Directory, now)
		h.Center = identity.NewCenter(identity.CenterConfig{
			DB: d, Directory: h.Directory, Audit: h.log, Feed: notices, Clock: now, Root: secret.Ephemeral(), Mapped: func(string) bool { return true },
		})
		h.door = identity.NewDoor(h.Directory, rules, h.Center, h.log, notices, now, nil, identity.Limits{})
		h.write(func(ctx context.Context, tx *db.Tx) (err error) {
			h.acme, err = h.Directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: "acme", Account: "000000000000", Region: "us-east-1"})
			if err != nil {
				return err
			}
			if err := h.Directory.AddTestDomainTx(ctx, tx, h.acme); err != nil {
				return err
			}
			if err := rules.BeginTx(ctx, tx, h.acme); err != nil {
				return err
			}
			_, err = h.Directory.SetStateTx(ctx, tx, h.acme, directory.OrgRequested, directory.OrgActive, "")
			return err
		})
		fn(h)
	})
}

func (h *house) write(fn func(context.Context, *db.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(h.t.Context(), fn); err != nil {
		h.t.Fatal(err)
	}
}

// user makes a user, and enables it unless it is to be off.
func (h *house) user(u directory.NewUser, on bool) directory.EntityID {
	h.t.Helper()
	u.DisplayName = u.Name
	id, err := h.Directory.CreateUser(h.t.Context(), operator, h.acme.ID, u)
	if err != nil {
		h.t.Fatal(err)
	}
	if !on {
		return id
	}
	h.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := h.Directory.FindForTx(ctx, tx, h.acme, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		a, err := directory.ParseAddress(u.Name + "@acme.awsapps.com")
		if err != nil {
			return err
		}
		return h.Directory.EnableTx(ctx, tx, h.acme, e, a, 1, true)
	})
	return id
}

func (h *house) admits(name, password string) {
	h.t.Helper()
	s, err := h.door.Authenticate(h.t.Context(), identity.Credentials{Username: name, Password: password}, identity.Circumstances{Protocol: "IMAP"})
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	s.Close()
}

func (h *house) resets() (n int) {
	h.t.Helper()
	records, err := h.log.Read(h.t.Context(), audit.Query{Organization: string(h.acme.ID)})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range records {
		if r.Operation == "ResetPassword" {
			n++
		}
	}
	return n
}

func TestPasswordsAreSetOnce(t *testing.T) {
	onBoth(t, func(h *house) {
		ann, bob := h.user(directory.NewUser{Name: "ann"}, true), h.user(directory.NewUser{Name: "bob"}, true)
		off := h.user(directory.NewUser{Name: "off"}, false)
		found, err := h.Find(t.Context(), operator, h.acme.ID, []string{string(ann), "BOB@acme.awsapps.com", "off", "nobody", "", "\x00\xff"})
		if err != nil || found[0].ID != ann || found[1].ID != bob {
			t.Fatalf("found %+v, %v", found, err)
		}
		for i, words := range map[int]string{2: "DISABLED", 3: "no user", 4: "no user", 5: "no user"} {
			if found[i].ID != "" || !strings.Contains(found[i].Problem, words) || strings.Contains(found[i].Problem, "nobody") {
				t.Errorf("%d: %+v", i, found[i])
			}
		}
		passwords := []migration.NewPassword{{ann, "ann's Pa$$w0rd"}, {bob, "weak"}, {off, "off's Pa$$w0rd"}, {"nobody", "Pa$$w0rd"}}
		outcomes, err := h.Set(t.Context(), operator, h.acme.ID, passwords)
		if err != nil || !outcomes[0].Set || outcomes[0].Problem != "" {
			t.Fatalf("the outcomes are %+v, %v", outcomes, err)
		}
		for i, words := range map[int]string{1: "4 characters", 2: "not enabled", 3: "no user"} {
			if outcomes[i].Set || !strings.Contains(outcomes[i].Problem, words) || strings.Contains(outcomes[i].Problem, passwords[i].Password) {
				t.Errorf("%d: %+v", i, outcomes[i])
			}
		}
		h.admits("ann", "ann's Pa$$w0rd")
		again, err := h.Set(t.Context(), operator, h.acme.ID, passwords[:1])
		if err != nil || again[0] != (migration.Outcome{}) || h.resets() != 1 {
			t.Errorf("again: %+v, %v, and %d times set", again, err, h.resets())
		}
		outcomes, err = h.Set(t.Context(), operator, h.acme.ID, []migration.NewPassword{{ann, "another Pa$$w0rd"}})
		if err != nil || !outcomes[0].Set {
			t.Errorf("another password: %+v, %v", outcomes, err)
		}
		h.admits("ann", "another Pa$$w0rd")
	})
}

func TestLinksForThoseWithoutAPassword(t *testing.T) {
	onBoth(t, func(h *house) {
		const users = 103 // more than a page
		secret := "examplePa$$w0rd"
		h.user(directory.NewUser{Name: "has", Password: &secret}, true)
		h.user(directory.NewUser{Name: "off"}, false)
		h.user(directory.NewUser{Name: "remote", Role: directory.RoleRemote}, false)
		var want []directory.EntityID
		for i := range users {
			want = append(want, h.user(directory.NewUser{Name: fmt.Sprintf("user%03d", i)}, true))
		}
		var got []directory.EntityID
		secrets := map[string]bool{}
		for page := (directory.Page{}); ; {
			links, next, err := h.Links(t.Context(), operator, h.acme.ID, page, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range links {
				if l.Problem != "" || l.User.Email != l.User.Name+"@acme.awsapps.com" || !l.Expires.Equal(newYear.Add(time.Hour)) {
					t.Errorf("the link is %+v", l)
				}
				got = append(got, l.User.ID)
				secrets[l.Secret] = true
			}
			if page.After = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) || len(secrets) != users {
			t.Errorf("there are %d links with %d secrets for %v", len(got), len(secrets), got)
		}
		named, err := h.LinksFor(t.Context(), operator, h.acme.ID, []string{"has", "off", "nobody"}, time.Hour)
		if err != nil || named[0].Problem != "" || named[1].Problem == "" || named[2].Problem == "" {
			t.Errorf("for named users: %+v, %v", named, err)
		}
		if _, err := h.door.SetPassword(t.Context(), named[0].Secret, "another Pa$$w0rd", identity.Circumstances{Protocol: "WebMail"}); err != nil {
			t.Error(err)
		}
		h.admits("has", "another Pa$$w0rd")
		_, _, err = h.Links(t.Context(), operator, h.acme.ID, directory.Page{}, time.Second)
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("for a second: %v", err)
		}
	})
}

func TestPasswordsThatAreKeptElsewhere(t *testing.T) {
	onBoth(t, func(h *house) {
		h.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE organization SET directory_type = 'ADConnector', directory_id = 'd-1234567890' WHERE id = $1`, string(h.acme.ID))
			return err
		})
		_, find := h.Find(t.Context(), operator, h.acme.ID, []string{"ann"})
		_, set := h.Set(t.Context(), operator, h.acme.ID, []migration.NewPassword{{"ann", "ann's Pa$$w0rd"}})
		_, named := h.LinksFor(t.Context(), operator, h.acme.ID, []string{"ann"}, time.Hour)
		_, _, all := h.Links(t.Context(), operator, h.acme.ID, directory.Page{}, time.Hour)
		for _, err := range []error{find, set, named, all} {
			if !fault.Is(err, fault.Unsupported, fault.Directory) || !strings.Contains(err.Error(), "d-1234567890") {
				t.Errorf("got %v", err)
			}
		}
	})
}
