package policy

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
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

var admin = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST", Protocol: "API"}

// fixture is a directory and a policy on an empty store, with the active organisation "acme".
type fixture struct {
	*Service
	t         *testing.T
	ctx       context.Context
	db        *db.DB
	directory *directory.Service
	org       *directory.Organization
	now       *clock.Fake
}

func onBoth(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	migrations := slices.Concat(Migrations(), directory.Migrations(), audit.Migrations(), job.Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) {
		now := clock.NewFake(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		f := &fixture{t: t, ctx: t.Context(), db: d, now: now}
		f.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: audit.New(d, now, audit.Config{}), Clock: now, Feed: feed.New()})
		f.Service = New(f.directory, now)
		f.write(func(ctx context.Context, tx *db.Tx) (err error) {
			f.org, err = f.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: "acme"})
			if err != nil {
				return err
			}
			if err := f.directory.AddTestDomainTx(ctx, tx, f.org); err != nil {
				return err
			}
			_, err = f.directory.SetStateTx(ctx, tx, f.org, directory.OrgRequested, directory.OrgActive, "")
			return err
		})
		fn(f)
		if found := f.check(); found != "" {
			t.Errorf("after the test: %s", found)
		}
	})
}

func (f *fixture) check() string {
	f.t.Helper()
	var found []string
	f.read(func(ctx context.Context, tx *db.Tx) (err error) {
		found, err = f.Check(ctx, tx)
		return err
	})
	return strings.Join(found, "\n")
}

func (f *fixture) write(fn func(ctx context.Context, tx *db.Tx) error) {
	f.t.Helper()
	f.ok(f.db.Write(f.ctx, fn))
}

func (f *fixture) read(fn func(ctx context.Context, tx *db.Tx) error) {
	f.t.Helper()
	f.ok(f.db.Read(f.ctx, fn))
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) wantFault(err error, kind fault.Kind, subject fault.Subject) {
	f.t.Helper()
	if !fault.Is(err, kind, subject) {
		f.t.Errorf("got %v (%v), want a fault %v of %q", err, fault.KindOf(err), kind, subject)
	}
}

func TestPermissionsOfDeleted(t *testing.T) {
	onBoth(t, func(f *fixture) {
		owner, kept, gone := f.make(directory.KindUser, "owner"), f.make(directory.KindUser, "kept"), f.makeOff(directory.KindUser, "gone")
		for _, grantee := range []directory.EntityID{kept, gone} {
			f.ok(f.PutPermissions(f.ctx, admin, f.org.ID, string(owner), string(grantee), SendAs))
		}
		f.end(gone) // what ties it to others is swept later
		permissions, next, err := f.ListPermissions(f.ctx, admin, f.org.ID, string(owner), directory.Page{})
		f.ok(err)
		if len(permissions) != 1 || permissions[0].Grantee != kept || next != "" {
			t.Errorf("listed %v, %q; want %s alone", permissions, next, kept)
		}
		f.end(owner)
		_, _, err = f.ListPermissions(f.ctx, admin, f.org.ID, string(owner), directory.Page{})
		f.wantFault(err, fault.NotFound, fault.Entity)
	})
}

// end deletes an entity and leaves its permissions.
func (f *fixture) end(id directory.EntityID) {
	f.t.Helper()
	f.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := f.directory.FindForTx(ctx, tx, f.org, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		return f.directory.DeleteTx(ctx, tx, f.org, e)
	})
}

// make makes an entity with an address.
func (f *fixture) make(kind directory.Kind, name string) directory.EntityID {
	f.t.Helper()
	id := f.makeOff(kind, name)
	a, err := directory.ParseAddress(name + "@acme.awsapps.com")
	f.ok(err)
	f.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := f.directory.FindForTx(ctx, tx, f.org, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		return f.directory.EnableTx(ctx, tx, f.org, e, a, 0, false)
	})
	return id
}

// makeOff makes an entity without an address.
func (f *fixture) makeOff(kind directory.Kind, name string) (id directory.EntityID) {
	f.t.Helper()
	var err error
	switch kind {
	case directory.KindUser:
		id, err = f.directory.CreateUser(f.ctx, admin, f.org.ID, directory.NewUser{Name: name})
	case directory.KindGroup:
		id, err = f.directory.CreateGroup(f.ctx, admin, f.org.ID, directory.NewGroup{Name: name})
	case directory.KindResource:
		id, err = f.directory.CreateResource(f.ctx, admin, f.org.ID, directory.NewResource{Name: name, Type: directory.Room})
	}
	f.ok(err)
	return id
}

func (f *fixture) grant(owner, actor string) (g Grant) {
	f.t.Helper()
	f.read(func(ctx context.Context, tx *db.Tx) error {
		o, err := f.directory.ResolveTx(ctx, tx, f.org, owner, directory.Narrow{})
		if err != nil {
			return err
		}
		a, err := f.directory.ResolveTx(ctx, tx, f.org, actor, directory.Narrow{})
		if err != nil {
			return err
		}
		g, err = f.GrantTx(ctx, tx, o, a)
		return err
	})
	return g
}

func TestRights(t *testing.T) {
	for names, want := range map[string]Rights{
		"FULL_ACCESS": FullAccess, "SEND_AS SEND_ON_BEHALF": SendAs | SendOnBehalf, "SEND_AS SEND_AS": SendAs, "": 0,
	} {
		got, err := ParseRights(strings.Fields(names))
		if got != want || err != nil {
			t.Errorf("%s: %v, %v", names, got, err)
		}
	}
	if _, err := ParseRights([]string{"send_as"}); !fault.Is(err, fault.Invalid, fault.Entity) {
		t.Errorf("lower case: %v", err)
	}
	if got := allRights.String(); got != "FULL_ACCESS, SEND_AS, SEND_ON_BEHALF" {
		t.Errorf("all: %s", got)
	}
}

func TestPermissions(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann, team := f.make(directory.KindUser, "ann"), f.make(directory.KindGroup, "team")
		f.make(directory.KindUser, "ben")
		f.make(directory.KindResource, "room")
		f.makeOff(directory.KindUser, "off")
		put := func(owner, grantee string, r Rights) error {
			return f.PutPermissions(f.ctx, admin, f.org.ID, owner, grantee, r)
		}
		f.ok(put("ben", "ann@acme.awsapps.com", FullAccess|SendAs))
		f.ok(put("ben", string(ann), SendOnBehalf)) // replaces
		f.ok(put("BEN", "team", FullAccess))
		f.ok(put("room", "ann", FullAccess))
		f.ok(put("team", "ann", SendAs))
		f.ok(put("ben", "off", SendAs)) // one who will be enabled later
		for what, c := range map[string]struct {
			owner, grantee string
			rights         Rights
			kind           fault.Kind
		}{
			"nothing":            {"ben", "ann", 0, fault.Invalid},
			"oneself":            {"ben", "ben@acme.awsapps.com", SendAs, fault.Invalid},
			"a resource":         {"ben", "room", SendAs, fault.Invalid},
			"a group's mailbox":  {"team", "ann", FullAccess, fault.Invalid},
			"a disabled owner":   {"off", "ann", SendAs, fault.State},
			"an unknown owner":   {"nobody", "ann", SendAs, fault.NotFound},
			"an unknown grantee": {"ben", "nobody", SendAs, fault.NotFound},
			"an unknown right":   {"ben", "ann", 8, fault.Invalid},
		} {
			if err := put(c.owner, c.grantee, c.rights); !fault.Is(err, c.kind, fault.Entity) {
				f.t.Errorf("%s: %v", what, err)
			}
		}
		list := func(page directory.Page) ([]Permission, string) {
			permissions, next, err := f.ListPermissions(f.ctx, admin, f.org.ID, "ben", page)
			f.ok(err)
			return permissions, next
		}
		first, next := list(directory.Page{Limit: 2})
		if want := []Permission{{ann, directory.KindUser, SendOnBehalf}, {team, directory.KindGroup, FullAccess}}; !slices.Equal(first, want) || next == "" {
			f.t.Errorf("first page %+v, want %+v", first, want)
		}
		if second, next := list(directory.Page{Limit: 2, After: next}); len(second) != 1 || next != "" {
			f.t.Errorf("second page %+v", second)
		}
		_, _, err := f.ListPermissions(f.ctx, admin, f.org.ID, "ben", directory.Page{After: "x"})
		f.wantFault(err, fault.Invalid, fault.Token)
		_, _, err = f.ListPermissions(f.ctx, admin, f.org.ID, "nobody", directory.Page{})
		f.wantFault(err, fault.NotFound, fault.Entity)

		f.ok(f.DeletePermissions(f.ctx, admin, f.org.ID, "ben", "ann"))
		f.ok(f.DeletePermissions(f.ctx, admin, f.org.ID, "ben", "ann"))
		f.wantFault(f.DeletePermissions(f.ctx, admin, f.org.ID, "ben", "nobody"), fault.NotFound, fault.Entity)
		if left, _ := list(directory.Page{}); len(left) != 2 {
			f.t.Errorf("left %+v", left)
		}
	})
}

func TestGrants(t *testing.T) {
	onBoth(t, func(f *fixture) {
		for _, name := range []string{"ann", "ben", "cat"} {
			f.make(directory.KindUser, name)
		}
		f.make(directory.KindGroup, "inner")
		f.makeOff(directory.KindGroup, "outer")
		off := f.makeOff(directory.KindUser, "off")
		add := func(group, member string) { f.ok(f.directory.AddMember(f.ctx, admin, f.org.ID, group, member)) }
		put := func(owner, grantee string, r Rights) {
			f.ok(f.PutPermissions(f.ctx, admin, f.org.ID, owner, grantee, r))
		}
		add("outer", "inner")
		add("inner", "ann")
		add("inner", string(off))
		put("ben", "outer", FullAccess)
		put("ben", "ann", SendOnBehalf)
		put("inner", "cat", SendAs)
		for what, c := range map[string]struct {
			owner, actor     string
			open, as, behalf bool
		}{
			"oneself":                  {"ann", "ann", true, true, true},
			"by nested groups and own": {"ben", "ann", true, false, true},
			"nothing":                  {"ann", "ben", false, false, false},
			"as a group":               {"inner", "cat", false, true, false},
			"one who is disabled":      {"ben", "off", false, false, false},
			"a disabled owner":         {"off", "off", false, false, false},
		} {
			g := f.grant(c.owner, c.actor)
			if g.MayOpen() != c.open || g.MaySendAs() != c.as || g.MaySendOnBehalf() != c.behalf {
				f.t.Errorf("%s: %+v", what, g)
			}
		}
		f.ok(f.directory.RemoveMember(f.ctx, admin, f.org.ID, "outer", "inner"))
		if f.grant("ben", "ann").MayOpen() {
			f.t.Error("ann is still let in by a group that she has left")
		}
	})
}

func TestForgetAndErase(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.make(directory.KindUser, "ann")
		for i := range 5 {
			name := fmt.Sprint("u", i)
			f.make(directory.KindUser, name)
			f.ok(f.PutPermissions(f.ctx, admin, f.org.ID, "ann", name, SendAs))
			f.ok(f.PutPermissions(f.ctx, admin, f.org.ID, name, "ann", SendAs))
		}
		for _, want := range []int{7, 3, 0} {
			f.write(func(ctx context.Context, tx *db.Tx) error {
				e, err := f.directory.ResolveTx(ctx, tx, f.org, "ann", directory.Narrow{})
				if err != nil {
					return err
				}
				n, err := f.ForgetTx(ctx, tx, e.Key, 7)
				if n != want {
					f.t.Errorf("forgot %d, want %d", n, want)
				}
				return err
			})
		}
		f.write(func(ctx context.Context, tx *db.Tx) error {
			if err := f.BeginTx(ctx, tx, f.org); err != nil {
				return err
			}
			return f.BeginTx(ctx, tx, f.org)
		})
		f.read(func(ctx context.Context, tx *db.Tx) error {
			enforced, err := f.EnforcesDMARCTx(ctx, tx, f.org.Key)
			if !enforced {
				f.t.Error("a new organisation does not enforce DMARC")
			}
			return err
		})
		f.write(func(ctx context.Context, tx *db.Tx) error { return f.EraseTx(ctx, tx, f.org) })
		f.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO permission (owner, grantee, rights) VALUES (1, 2, 1)`)
			return err
		})
		if found := f.check(); !strings.Contains(found, "no owner") {
			f.t.Errorf("check found %q", found)
		}
		f.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM permission`)
			return err
		})
	})
}
