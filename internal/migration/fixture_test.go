package migration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

var (
	soon        = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	theOperator = principal.Principal{Kind: principal.Operator, Name: "operator"}
)

const (
	logGroup = "arn:aws:logs:us-east-1:111122223333:log-group:/mail:*"
	instance = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
)

func migrations() []db.Migration {
	return slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), availability.Migrations(),
		identity.Migrations(), mailbox.Migrations(), export.Migrations(), migration.Migrations())
}

// harbour is a core on a store of its own.
type harbour struct {
	*migration.Service
	t             testing.TB
	ctx           context.Context
	db            *db.DB
	directory     *directory.Service
	policy        *policy.Service
	organizations *organization.Service
	audit         *audit.Log
	checks        []func(context.Context, *db.Tx) ([]string, error)
}

func onBothStores(t *testing.T, fn func(w *harbour)) {
	t.Helper()
	dbtest.Run(t, migrations(), func(t *testing.T, d *db.DB) {
		w := newHarbour(t, d)
		fn(w)
		w.check()
	})
}

func newHarbour(t testing.TB, d *db.DB) *harbour {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := &harbour{t: t, ctx: t.Context(), db: d}
	clk, words, root := clock.NewFake(soon), feed.New(), secret.Ephemeral()
	w.audit = audit.New(d, clk, audit.Config{Groups: map[string]audit.Group{logGroup: {Sink: noSink{}}}})
	w.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: w.audit, Clock: clk, Feed: words, Log: log})
	w.policy = policy.New(w.directory, clk)
	center := identity.NewCenter(identity.CenterConfig{
		DB: d, Directory: w.directory, Audit: w.audit, Feed: words, Clock: clk, Root: root, Account: "000000000000",
		Mapped: func(name string) bool { return name == instance },
	})
	mailboxes := mailbox.New(mailbox.Options{DB: d, Blobs: noBlobs{}, Feed: words, Clock: clk, Log: log})
	free := availability.New(availability.Config{DB: d, Directory: w.directory, Clock: clk, Root: root, Dialer: dial.New(nil, nil), Log: log})
	exports, err := export.New(export.Config{DB: d, Directory: w.directory, Mailboxes: mailboxes, Clock: clk, Log: log, Dir: t.TempDir()})
	w.ok(err)
	w.organizations = organization.New(organization.Config{
		DB: d, Directory: w.directory, Policy: w.policy, Center: center, Availability: free, Mailboxes: mailboxes, Exports: exports,
		Audit: w.audit, Clock: clk, Log: log, EraseTx: migration.EraseTx,
	})
	w.Service = migration.New(migration.Config{
		DB: d, Directory: w.directory, Policy: w.policy, Center: center, Availability: free, Organizations: w.organizations, Audit: w.audit,
	})
	w.checks = []func(context.Context, *db.Tx) ([]string, error){
		w.directory.Check, w.policy.Check, center.Check, free.Check, w.organizations.Check, w.Check,
	}
	return w
}

type noSink struct{}

func (noSink) Send(context.Context, []audit.LogRecord) error { return nil }

type noBlobs struct{}

func (noBlobs) Put(context.Context, string, io.Reader) (int64, error) {
	return 0, errors.New("no large bodies here")
}

func (noBlobs) Open(context.Context, string) (mailbox.Blob, error) {
	return nil, errors.New("no large bodies here")
}
func (noBlobs) Delete(context.Context, string) error { return nil }

func (w *harbour) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// check lets every package look at what the test left behind.
func (w *harbour) check() {
	w.t.Helper()
	for _, check := range w.checks {
		w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			faults, err := check(ctx, tx)
			for _, f := range faults {
				w.t.Errorf("after the test: %s", f)
			}
			return err
		}))
	}
}

// port is the harbour as the one end of an import.
type port struct {
	w *harbour
	// left is how many batches are applied before the process dies; negative for all.
	left int
	// batches is how many were applied.
	batches int
}

var errKilled = errors.New("killed")

func (t *port) Here(ctx context.Context, org, after string) (migration.Page, error) {
	return t.w.Service.Here(ctx, theOperator, org, after)
}

func (t *port) Apply(ctx context.Context, b migration.Batch) ([]migration.Refusal, error) {
	if t.left == 0 {
		return nil, errKilled
	}
	t.left--
	t.batches++
	return t.w.Service.Apply(ctx, theOperator, b)
}

// importAll imports an inventory, which must end.
func (w *harbour) importAll(inv migration.Inventory) *migration.Report {
	w.t.Helper()
	r, err := migration.Import(w.ctx, inv, &port{w: w, left: -1}, migration.Options{})
	w.ok(err)
	return r
}

// all reads what an organisation is here, in an order of its own.
func (w *harbour) all(org string) []string {
	w.t.Helper()
	var lines []string
	for after := ""; ; {
		page, err := w.Service.Here(w.ctx, theOperator, org, after)
		w.ok(err)
		for _, item := range page.Items {
			lines = append(lines, fmt.Sprint(item.Ref, " ", string(item.Value)))
		}
		for _, ref := range page.Brought {
			lines = append(lines, fmt.Sprint("brought ", ref))
		}
		if after = page.Next; after == "" {
			slices.Sort(lines)
			return lines
		}
	}
}

var numbers atomic.Int64

// office is an organisation at its source, to be filled.
type office struct {
	id, alias, domain, test string
	items                   []migration.Item
}

func newOffice() *office {
	n := numbers.Add(1)
	o := &office{id: fmt.Sprintf("m-%032x", n), alias: fmt.Sprintf("office%d", n)}
	o.domain, o.test = o.alias+".example", o.alias+".awsapps.com"
	return o
}

func (o *office) add(kind migration.Kind, id string, value any) {
	o.items = append(o.items, migration.NewItem(kind, id, value))
}

// begin adds what every organisation has.
func (o *office) begin() {
	o.items = nil
	o.add(migration.KindOrganization, o.id, migration.Organization{
		Alias: o.alias, Account: "111122223333", Region: "eu-west-1", DirectoryID: "d-" + o.id[24:], Completed: migration.When(soon.Add(-time.Hour)),
	})
	o.add(migration.KindDomain, o.test, migration.Domain{Verified: true})
	o.add(migration.KindDomain, o.domain, migration.Domain{Verified: true})
	o.add(migration.KindDefaultDomain, "", migration.Text{Text: o.domain})
	o.add(migration.KindDMARC, "", migration.DMARC{Enforced: true})
}

func (o *office) inventory() migration.Inventory {
	return migration.Inventory{Organization: o.id, Source: "a test", Items: slices.Clone(o.items)}
}

// user adds a user, enabled where it has an address.
func (o *office) user(id, name, address string) {
	o.add(migration.KindUser, id, migration.User{Name: name, Role: "USER", DisplayName: "The " + name})
	o.registration(id, address)
	if address != "" {
		o.add(migration.KindQuota, id, migration.Quota{Megabytes: 100})
	}
}

func (o *office) registration(id, address string) {
	r := migration.Registration{State: "DISABLED"}
	if address != "" {
		r = migration.Registration{State: "ENABLED", Email: address, Enabled: migration.When(soon.Add(-time.Minute))}
	}
	o.add(migration.KindRegistration, id, r)
}
