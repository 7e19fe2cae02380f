package organization_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

var newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var admin = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST", Name: "test", Protocol: "API"}

func migrations() []db.Migration {
	return slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), availability.Migrations(), identity.Migrations(), mailbox.Migrations(), export.Migrations())
}

// world is a core on an empty store, with a clock that the test moves, in a bubble that knows when all wait.
type world struct {
	*organization.Service
	t            *testing.T
	ctx          context.Context
	db           *db.DB
	clock        *clock.Fake
	directory    *directory.Service
	policy       *policy.Service
	center       *identity.Center
	mailboxes    *mailbox.Store
	audit        *audit.Log
	feed         *feed.Feed
	availability *availability.Service
}

// inBoth runs fn on both engines. The job runner runs beside it unless fn never waits for it.
func inBoth(t *testing.T, fn func(w *world)) {
	t.Helper()
	inBothWith(t, directory.Config{}, fn)
}

func inBothWith(t *testing.T, c directory.Config, fn func(w *world)) {
	t.Helper()
	dbtest.Bubble(t, migrations(), func(t *testing.T, d *db.DB) {
		w := newWorld(t, d, c)
		stop := w.startJobs()
		defer stop()
		fn(w)
		w.check()
	})
}

// inBothWithoutJobs leaves it to fn to run the jobs.
func inBothWithoutJobs(t *testing.T, fn func(w *world)) {
	t.Helper()
	dbtest.Bubble(t, migrations(), func(t *testing.T, d *db.DB) {
		w := newWorld(t, d, directory.Config{})
		fn(w)
		w.check()
	})
}

func newWorld(t *testing.T, d *db.DB, c directory.Config) *world {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	w := &world{t: t, ctx: t.Context(), db: d, feed: feed.New(), clock: clock.NewFake(newYear)}
	w.audit = audit.New(d, w.clock, audit.Config{})
	c.DB, c.Audit, c.Clock, c.Feed, c.Log = d, w.audit, w.clock, w.feed, log
	w.directory = directory.New(c)
	w.policy = policy.New(w.directory, w.clock)
	w.center = identity.NewCenter(identity.CenterConfig{
		DB: d, Directory: w.directory, Audit: w.audit, Feed: w.feed, Clock: w.clock, Root: secret.Ephemeral(), Account: "000000000000",
		Mapped: func(string) bool { return true },
	})
	w.mailboxes = mailbox.New(mailbox.Options{DB: d, Blobs: noBlobs{}, Feed: w.feed, Clock: w.clock, Log: log})
	w.availability = availability.New(availability.Config{
		DB: d, Directory: w.directory, Clock: w.clock, Root: secret.Ephemeral(), Dialer: dial.New(nil, nil), Log: log,
	})
	exports, err := export.New(export.Config{DB: d, Directory: w.directory, Mailboxes: w.mailboxes, Clock: w.clock, Log: log, Dir: t.TempDir()})
	w.ok(err)
	w.Service = organization.New(organization.Config{
		DB: d, Directory: w.directory, Policy: w.policy, Center: w.center, Availability: w.availability, Mailboxes: w.mailboxes, Exports: exports, Audit: w.audit, Clock: w.clock, Log: log,
	})
	return w
}

func (w *world) startJobs() (stop func()) {
	runner := job.NewRunner(w.db, w.clock, slog.New(slog.NewTextHandler(w.t.Output(), nil)))
	w.Handle(runner)
	w.HandleRetention(runner)
	w.HandleMirrors(runner)
	w.directory.Handle(runner)
	w.audit.Handle(runner)
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Errorf("the job runner: %v", err)
		}
	}
}

// noBlobs stands where large bodies would go: no test here has any.
type noBlobs struct{}

func (noBlobs) Put(context.Context, string, io.Reader) (int64, error) {
	return 0, errors.New("no large bodies here")
}

func (noBlobs) Open(context.Context, string) (mailbox.Blob, error) {
	return nil, errors.New("no large bodies here")
}
func (noBlobs) Delete(context.Context, string) error { return nil }

// check lets every package look at what the test left behind.
func (w *world) check() {
	w.t.Helper()
	err := w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, check := range []func(context.Context, *db.Tx) ([]string, error){w.directory.Check, w.policy.Check, w.center.Check, w.availability.Check, w.Check} {
			faults, err := check(ctx, tx)
			if err != nil {
				return err
			}
			for _, f := range faults {
				w.t.Errorf("after the test: %s", f)
			}
		}
		return nil
	})
	w.ok(err)
	faults, err := w.mailboxes.Check(w.ctx)
	w.ok(err)
	for _, f := range faults {
		w.t.Errorf("after the test: %s", f)
	}
}

// pass lets time pass, and the jobs do what is due then.
func (w *world) pass(d time.Duration) {
	synctest.Wait() // who was about to sleep does so until a time reckoned from now
	w.clock.Advance(d)
	synctest.Wait()
}

// until waits for the jobs and fails the test unless the condition holds then.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	synctest.Wait()
	if !holds() {
		w.t.Fatalf("it never came to be: %s", what)
	}
}

// acme makes the organisation "acme" and waits until it is active.
func (w *world) acme() directory.OrgID {
	w.t.Helper()
	org, err := w.Create(w.ctx, admin, organization.Request{Alias: "acme"})
	w.ok(err)
	w.untilState(org, directory.OrgActive)
	return org
}

func (w *world) untilState(org directory.OrgID, state directory.OrgState) {
	w.t.Helper()
	w.until("organization "+string(state), func() bool { return w.state(org) == state })
}

func (w *world) state(org directory.OrgID) directory.OrgState {
	w.t.Helper()
	o, err := w.directory.DescribeOrganization(w.ctx, admin, org)
	w.ok(err)
	return o.State
}

func (w *world) user(org directory.OrgID, name string) directory.EntityID {
	w.t.Helper()
	id, err := w.directory.CreateUser(w.ctx, admin, org, directory.NewUser{Name: name, DisplayName: name})
	w.ok(err)
	return id
}

func (w *world) group(org directory.OrgID, name string) directory.EntityID {
	w.t.Helper()
	id, err := w.directory.CreateGroup(w.ctx, admin, org, directory.NewGroup{Name: name})
	w.ok(err)
	return id
}

func (w *world) register(org directory.OrgID, id directory.EntityID, address string) {
	w.t.Helper()
	w.ok(w.Register(w.ctx, admin, org, string(id), address))
}

func (w *world) describe(org directory.OrgID, ident directory.EntityID) *directory.User {
	w.t.Helper()
	u, err := w.directory.DescribeUser(w.ctx, admin, org, string(ident))
	w.ok(err)
	return u
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) wantFault(err error, kind fault.Kind, subject fault.Subject) {
	w.t.Helper()
	if !fault.Is(err, kind, subject) {
		w.t.Errorf("got %v (%v), want a fault %v of %q", err, fault.KindOf(err), kind, subject)
	}
}

func (w *world) exec(statement string) {
	w.t.Helper()
	w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, statement)
		return err
	}))
}

func (w *world) ownCheck() (found []string) {
	w.t.Helper()
	w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		found, err = w.Check(ctx, tx)
		return err
	}))
	return found
}
