package signing

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

const (
	hostname = "mail.pennypost.example"
	rotation = 180 * aDay
	aDay     = 24 * time.Hour
	text     = "Received: from somewhere\r\nFrom: Ann <ann@acme.example>\r\nTo: x@far.example\r\nSubject: =?utf-8?q?h=C3=A9?=\r\n" +
		"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@acme.example>\r\n\r\nHello  you,\r\n.\r\n\r\n"
)

var admin = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST"}

// pool are RSA keys for all tests of the process: small, as making them is what takes time.
var pool = sync.OnceValues(func() (keys []crypto.Signer, err error) {
	for range 8 {
		key, failed := rsa.GenerateKey(rand.Reader, 1024)
		keys, err = append(keys, key), errors.Join(err, failed)
	}
	return keys, err
})

// world is a signing service on a directory with one organisation, and DNS.
type world struct {
	*Service
	t     *testing.T
	clock *clock.Fake
	zone  *dnstest.Server
	org   *directory.Organization
	made  *atomic.Int64 // keys
	// failing makes the making of keys fail.
	failing *atomic.Bool
}

func migrations() []db.Migration {
	return slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), Migrations())
}

// onBoth runs fn on both engines.
func onBoth(t *testing.T, fn func(w *world)) {
	t.Helper()
	dbtest.Run(t, migrations(), func(t *testing.T, d *db.DB) {
		w := &world{t: t, clock: clock.NewFake(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)), zone: dnstest.New(t), made: new(atomic.Int64), failing: new(atomic.Bool)}
		a := audit.New(d, w.clock, audit.Config{})
		log := slog.New(slog.DiscardHandler)
		dir := directory.New(directory.Config{
			DB: d, Audit: a, Clock: w.clock, Feed: feed.New(), Log: log,
			Registered: func(ctx context.Context, tx *db.Tx, org int64, domain string) error {
				return w.RegisteredTx(ctx, tx, org, domain)
			},
			Deregistered: func(ctx context.Context, tx *db.Tx, org int64, domain string) error {
				return w.DeregisteredTx(ctx, tx, org, domain)
			},
		})
		w.Service = New(Options{
			DB: d, Directory: dir, Audit: a, Clock: w.clock, Log: log, Root: secret.Ephemeral(), Resolver: dns.New(w.zone.Address),
			Hostname: hostname, Rotation: rotation, Generate: w.generate,
		})
		w.org = w.organization("acme")
		t.Cleanup(func() {
			if faults := w.check(); len(faults) > 0 {
				t.Errorf("check after the test: %q", faults)
			}
		})
		fn(w)
	})
}

func (w *world) generate(a Algorithm) (crypto.Signer, error) {
	if w.failing.Load() {
		return nil, errors.New("the machine is gone")
	}
	if a == Ed25519 {
		return generate(a)
	}
	keys, err := pool()
	if err != nil {
		return nil, err
	}
	return keys[int(w.made.Add(1))%len(keys)], nil
}

// again is the service of the next start.
func (w *world) again() *world {
	next := *w
	next.Service = New(w.Options)
	return &next
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(fn func(ctx context.Context, tx *db.Tx) error) {
	w.t.Helper()
	w.must(w.DB.Write(context.WithoutCancel(w.t.Context()), fn))
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, statement, args...)
		return err
	})
}

func (w *world) organization(alias string) (o *directory.Organization) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *db.Tx) (err error) {
		if o, err = w.Directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: alias, Account: "000000000000", Region: "us-east-1"}); err != nil {
			return err
		}
		if err := w.Directory.AddTestDomainTx(ctx, tx, o); err != nil {
			return err
		}
		_, err = w.Directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgActive, "")
		return err
	})
	o.State = directory.OrgActive
	return o
}

func (w *world) register(domain string) {
	w.t.Helper()
	w.must(w.Directory.RegisterDomain(w.t.Context(), admin, w.org.ID, domain, ""))
}

func (w *world) vouch(domain string) {
	w.t.Helper()
	w.must(w.Directory.VouchForDomain(w.t.Context(), admin, w.org.ID, domain))
}

// state is that of a domain of acme, or of the server's own; nil where it has none.
func (w *world) state(domain string) *State {
	w.t.Helper()
	org := w.org.Key
	if domain == hostname {
		org = Server
	}
	s, err := w.State(w.t.Context(), org, domain)
	w.must(err)
	return s
}

// key finds a domain's key; nil for none.
func (w *world) key(domain string, a Algorithm, r Role) *Key {
	w.t.Helper()
	s := w.state(domain)
	if s == nil {
		return nil
	}
	if i := find(s.Keys, place{a, r}); i >= 0 {
		return &s.Keys[i]
	}
	return nil
}

// look runs the job of a domain of acme.
func (w *world) look(domain string) {
	w.t.Helper()
	w.must(w.tend(w.t.Context(), w.org.Key, domain))
}

// publish puts records of keys into DNS.
func (w *world) publish(keys ...*Key) {
	for _, k := range keys {
		var parts []string
		for value := k.Value; value != ""; {
			n := min(len(value), 255)
			parts = append(parts, `"`+value[:n]+`"`)
			value = value[n:]
		}
		w.zone.Add(k.Name + ". 60 IN TXT " + strings.Join(parts, " "))
	}
}

func (w *world) publishAll(domain string) {
	for _, k := range w.state(domain).Keys {
		w.publish(&k)
	}
}

func (w *world) withdraw(k *Key) { w.zone.Remove(k.Name, mdns.TypeTXT) }

// audited are the operations and details of the audit trail that the server itself caused, oldest first.
func (w *world) audited() (list []string) {
	w.t.Helper()
	records, err := w.Audit.Read(w.t.Context(), audit.Query{Organization: string(w.org.ID)})
	w.must(err)
	for _, r := range records {
		if r.Actor.Kind == principal.System {
			list = append(list, fmt.Sprintf("%s %s %s", r.Operation, r.Subject, r.Detail))
		}
	}
	return list
}

func (w *world) check() (faults []string) {
	w.t.Helper()
	w.must(w.DB.Read(context.WithoutCancel(w.t.Context()), func(ctx context.Context, tx *db.Tx) (err error) {
		faults, err = w.Check(ctx, tx)
		return err
	}))
	return faults
}

// signedBy signs a message for a domain of acme and returns the selectors whose signatures hold by the keys that the state has; it
// fails for one that does not.
func (w *world) signedBy(domain string) (selectors []string) {
	w.t.Helper()
	org := w.org.Key
	if domain == hostname {
		org = Server
	}
	fields, err := w.Sign(w.t.Context(), org, domain, []byte(text))
	w.must(err)
	v := dkim.Verifier{Now: w.clock.Now, Resolver: dkim.Resolver{
		TXT: func(_ context.Context, name string) ([]string, error) {
			for _, k := range w.state(domain).Keys {
				if k.Name == name {
					return []string{k.Value}, nil
				}
			}
			return nil, dns.ErrNotFound
		},
		IsNotFound: func(err error) bool { return errors.Is(err, dns.ErrNotFound) },
	}}
	for _, s := range v.Verify(w.t.Context(), append(slices.Clone(fields), text...)) {
		if s.Result == dkim.None {
			continue
		}
		if s.Result != dkim.Pass || s.Domain != domain {
			w.t.Errorf("a signature for %s: %+v", domain, s)
		}
		selectors = append(selectors, s.Selector)
	}
	return selectors
}
