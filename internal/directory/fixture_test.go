package directory

import (
	"context"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

var (
	admin   = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST", Name: "test", Protocol: "API", RequestID: "req-1"}
	newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func migrations() []db.Migration {
	all := append(Migrations(), audit.Migrations()...)
	return append(all, job.Migrations()...)
}

// fixture is a directory on an empty store, with one active organisation "acme".
type fixture struct {
	*Service
	t     *testing.T
	ctx   context.Context
	db    *db.DB
	clock *clock.Fake
	feed  *feed.Feed
	audit *audit.Log
	org   *Organization
}

// onBoth runs fn on both engines.
func onBoth(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	onBothWith(t, Config{}, fn)
}

func onBothWith(t *testing.T, c Config, fn func(f *fixture)) {
	t.Helper()
	dbtest.Run(t, migrations(), func(t *testing.T, d *db.DB) { fn(newFixture(t, d, c)) })
}

func newFixture(t *testing.T, d *db.DB, c Config) *fixture {
	t.Helper()
	f := &fixture{t: t, ctx: t.Context(), db: d, clock: clock.NewFake(newYear), feed: feed.New()}
	f.audit = audit.New(d, f.clock, audit.Config{})
	c.DB, c.Audit, c.Clock, c.Feed = d, f.audit, f.clock, f.feed
	f.Service = New(c)
	f.org = f.organization("acme")
	t.Cleanup(f.checkStore)
	return f
}

// checkStore lets the package's own checker look at what a test left behind.
func (f *fixture) checkStore() {
	ctx := context.WithoutCancel(f.ctx)
	err := f.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		faults, err := f.Check(ctx, tx)
		for _, fault := range faults {
			f.t.Errorf("after the test: %s", fault)
		}
		return err
	})
	if err != nil {
		f.t.Errorf("check after the test: %v", err)
	}
}

// organization makes an active organisation.
func (f *fixture) organization(alias string) *Organization {
	f.t.Helper()
	return f.organizationIn(alias, "")
}

func (f *fixture) organizationIn(alias, directoryID string) *Organization {
	f.t.Helper()
	var o *Organization
	f.write(func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = f.InsertOrganizationTx(ctx, tx, NewOrganization{Alias: alias, DirectoryID: directoryID, Account: "000000000000", Region: "us-east-1"})
		if err != nil {
			return err
		}
		if err := f.AddTestDomainTx(ctx, tx, o); err != nil {
			return err
		}
		_, err = f.SetStateTx(ctx, tx, o, OrgRequested, OrgActive, "")
		return err
	})
	o.State = OrgActive
	return o
}

func (f *fixture) setState(o *Organization, to OrgState) {
	f.t.Helper()
	f.write(func(ctx context.Context, tx *db.Tx) error {
		_, err := f.SetStateTx(ctx, tx, o, o.State, to, "")
		return err
	})
	o.State = to
}

func (f *fixture) write(fn func(ctx context.Context, tx *db.Tx) error) {
	f.t.Helper()
	if err := f.db.Write(f.ctx, fn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) read(fn func(ctx context.Context, tx *db.Tx) error) {
	f.t.Helper()
	if err := f.db.Read(f.ctx, fn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) user(name string) EntityID {
	f.t.Helper()
	return must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: name, DisplayName: "The " + name}))(f.t)
}

func (f *fixture) group(name string) EntityID {
	f.t.Helper()
	return must(f.CreateGroup(f.ctx, admin, f.org.ID, NewGroup{Name: name}))(f.t)
}

func (f *fixture) resource(name string) EntityID {
	f.t.Helper()
	return must(f.CreateResource(f.ctx, admin, f.org.ID, NewResource{Name: name, Type: Room}))(f.t)
}

// enable gives an entity an address, as registering does.
func (f *fixture) enable(entity EntityID, address string) {
	f.t.Helper()
	if err := f.tryEnable(entity, address); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) tryEnable(entity EntityID, address string) error {
	a, err := ParseAddress(address)
	if err != nil {
		return err
	}
	return f.db.Write(f.ctx, func(ctx context.Context, tx *db.Tx) error {
		e, err := f.FindForTx(ctx, tx, f.org, string(entity), Narrow{})
		if err != nil {
			return err
		}
		return f.EnableTx(ctx, tx, f.org, e, a, 0, false)
	})
}

func (f *fixture) disable(entity EntityID) {
	f.t.Helper()
	f.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := f.FindForTx(ctx, tx, f.org, string(entity), Narrow{})
		if err != nil {
			return err
		}
		return f.DisableTx(ctx, tx, f.org, e)
	})
}

func (f *fixture) delete(entity EntityID) {
	f.t.Helper()
	f.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := f.FindForTx(ctx, tx, f.org, string(entity), Narrow{})
		if err != nil {
			return err
		}
		if err := f.DeleteTx(ctx, tx, f.org, e); err != nil {
			return err
		}
		_, err = f.SweepTx(ctx, tx, e.Key, 1000)
		return err
	})
}

// must takes a result and its error, and fails the test for an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantFault fails the test unless err is a fault of the kind and subject.
func wantFault(t testing.TB, err error, kind fault.Kind, subject fault.Subject) {
	t.Helper()
	if !fault.Is(err, kind, subject) {
		t.Errorf("got %v (%v), want a fault %v of %q", err, fault.KindOf(err), kind, subject)
	}
}

func (f *fixture) wantFault(err error, kind fault.Kind, subject fault.Subject) {
	f.t.Helper()
	wantFault(f.t, err, kind, subject)
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

const unknownID = EntityID("00000000-0000-4000-8000-000000000000")

var unknownOrg = OrgID(id.Organization())

func ptr[T any](v T) *T { return &v }
