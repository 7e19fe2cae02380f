package availability_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/audit/audittest"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

var (
	admin = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST", Name: "test", Protocol: "API"}
	now   = time.Date(2021, 5, 1, 12, 30, 0, 0, time.UTC)
)

const arn = "arn:aws:lambda:eu-west-1:111122223333:function:calendar"

// world is the package on an empty store with two organisations, and a network of one address.
type world struct {
	*availability.Service
	t         *testing.T
	ctx       context.Context
	db        *db.DB
	directory *directory.Service
	audit     *audit.Log
	root      *secret.Key
	log       strings.Builder
	told      sink
	org, far  directory.OrgID
}

// inBoth runs fn on both engines.
func inBoth(t *testing.T, c availability.Config, fn func(w *world)) {
	t.Helper()
	migrations := slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), availability.Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d, c)
		fn(w)
		if found := w.check(); len(found) > 0 {
			t.Errorf("after the test: %q", found)
		}
	})
}

func newWorld(t *testing.T, d *db.DB, c availability.Config) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), db: d, root: secret.Ephemeral(), told: make(sink, 100)}
	fake := clock.NewFake(now)
	w.audit = audit.New(d, fake, audit.Config{Groups: map[string]audit.Group{
		"arn": {Sink: w.told, AuditLogs: []audit.Stream{audit.AvailabilityLogs}},
	}})
	w.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: w.audit, Clock: fake, Feed: feed.New()})
	if c.Dialer == nil {
		c.Dialer = loopback()
	}
	c.DB, c.Directory, c.Clock, c.Root, c.Audit = d, w.directory, fake, w.root, w.audit
	c.Log = slog.New(slog.NewTextHandler(&w.log, nil))
	w.Service = availability.New(c)
	w.org, w.far = w.organization("near"), w.organization("far")
	return w
}

// sink keeps what a log group is told.
type sink chan audit.LogRecord

// Send keeps the records.
func (s sink) Send(_ context.Context, records []audit.LogRecord) error {
	for _, r := range records {
		s <- r
	}
	return nil
}

// tells runs the log group until it was told n records, and returns them in any order.
func (w *world) tells(n int) (lines []string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.audit.Run(ctx) }()
	for len(lines) < n {
		select {
		case r := <-w.told:
			audittest.Record(w.t, r.Stream, r.JSON)
			lines = append(lines, string(r.JSON))
		case <-ctx.Done():
			w.t.Fatalf("told %q, want %d records", lines, n)
		}
	}
	cancel()
	w.ok(<-ended)
	if len(w.told) > 0 {
		w.t.Errorf("more than %d records were told", n)
	}
	slices.Sort(lines)
	return lines
}

func (w *world) organization(alias string) (id directory.OrgID) {
	w.t.Helper()
	w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := w.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: alias, Account: "111122223333", Region: "eu-west-1"})
		if err != nil {
			return err
		}
		id = o.ID
		_, err = w.directory.SetStateTx(ctx, tx, o, o.State, directory.OrgActive, "")
		return err
	}))
	return id
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

func (w *world) check() (found []string) {
	w.t.Helper()
	w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		found, err = w.Check(ctx, tx)
		return err
	}))
	return found
}

func onlySQLite(t *testing.T) *db.DB {
	t.Helper()
	return dbtest.SQLite(t, slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), availability.Migrations()))
}

// loopback is a dialer for which one address of this machine is allowed, and no other.
func loopback() *dial.Dialer {
	return dial.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
}

// serve starts an HTTPS server that ends with the test, and returns it and what trusts it.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, *tls.Config) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // to its end, or the server would not see that the client left
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(out, r)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func ews(url string) availability.Provider {
	return availability.Provider{EWS: &availability.EWS{Endpoint: url, Username: `CORP\svc`, Password: "s3cret-pass"}}
}

func lambda(arn string) availability.Provider { return availability.Provider{Function: arn} }
