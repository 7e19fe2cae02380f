package domain

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/transport/signing"
)

const (
	host = "mail.host.example"
	shop = "shop.example"
)

var (
	admin = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST"}
	here  = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
)

// aKey is the RSA key of all domains: making one takes time.
var aKey = sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) })

// fixture is a Service with an organisation acme and its domain shop.example, DNS, and the host of the policy.
type fixture struct {
	*Service
	t     *testing.T
	clock *clock.Fake
	zone  *dnstest.Server
	acme  *directory.Organization
	// policy is what mta-sts.shop.example serves; nothing for 404.
	policy string
}

func onBoth(t *testing.T, change func(*Config), fn func(f *fixture)) {
	t.Helper()
	migrations := slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), signing.Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) {
		f := &fixture{t: t, clock: clock.NewFake(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)), zone: dnstest.New(t)}
		records := audit.New(d, f.clock, audit.Config{})
		var keys *signing.Service
		dir := directory.New(directory.Config{
			DB: d, Audit: records, Clock: f.clock, Feed: feed.New(),
			Registered: func(ctx context.Context, tx *db.Tx, org int64, name string) error {
				return keys.RegisteredTx(ctx, tx, org, name)
			},
			Deregistered: func(ctx context.Context, tx *db.Tx, org int64, name string) error {
				return keys.DeregisteredTx(ctx, tx, org, name)
			},
		})
		resolver := dns.New(f.zone.Address)
		keys = signing.New(signing.Options{
			DB: d, Directory: dir, Audit: records, Clock: f.clock, Log: slog.New(slog.DiscardHandler), Root: secret.Ephemeral(), Resolver: resolver, Hostname: host,
			Generate: func(a signing.Algorithm) (crypto.Signer, error) {
				if a == signing.RSA {
					return aKey()
				}
				_, key, err := ed25519.GenerateKey(rand.Reader)
				return key, err
			},
		})
		roots, port := f.servePolicy()
		config := Config{
			DB: d, Directory: dir, Keys: keys, Clock: f.clock, Resolver: resolver, Policies: route.NewSTSFetcher(dial.New(resolver.Net(), here), roots, port),
			Host: "Mail.Host.Example", Ports: Ports{HTTPS: 443, IMAP: 143, IMAPS: 993, ManageSieve: 4190, Submission: 0, Submissions: 465},
			STS: STS{Mode: route.STSTesting, MaxAge: 24 * time.Hour},
		}
		if change != nil {
			change(&config)
		}
		f.Service = New(config)
		f.acme = f.organization("acme")
		f.ok(dir.RegisterDomain(t.Context(), admin, f.acme.ID, shop, ""))
		fn(f)
	})
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) organization(alias string) (o *directory.Organization) {
	f.t.Helper()
	f.ok(f.DB.Write(f.t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = f.Directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: alias, Account: "000000000000", Region: "us-east-1"})
		if err != nil {
			return err
		}
		if err := f.Directory.AddTestDomainTx(ctx, tx, o); err != nil {
			return err
		}
		_, err = f.Directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgActive, "")
		return err
	}))
	return o
}

// servePolicy serves the policy over TLS, and returns what to trust and where.
func (f *fixture) servePolicy() (*x509.CertPool, uint16) {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.ok(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mta-sts." + shop},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	f.ok(err)
	certificate, err := x509.ParseCertificate(der)
	f.ok(err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.policy == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, f.policy)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	f.t.Cleanup(s.Close)
	_, text, err := net.SplitHostPort(s.Listener.Addr().String())
	f.ok(err)
	port, err := strconv.ParseUint(text, 10, 16)
	f.ok(err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return roots, uint16(port)
}

// describe describes shop.example.
func (f *fixture) describe() *Description {
	f.t.Helper()
	d, err := f.Describe(f.t.Context(), admin, f.acme.ID, shop)
	f.ok(err)
	return d
}

// publish puts all records into DNS, and what the server itself has there.
func (f *fixture) publish() {
	f.t.Helper()
	for _, r := range f.describe().Records {
		f.zone.Add(r.Line())
	}
	f.zone.Add(host+". 60 IN A 127.0.0.1", "1.0.0.127.in-addr.arpa. 60 IN PTR "+host+".")
	f.policy = f.stsPolicy()
}

// check looks up what shop.example has.
func (f *fixture) check() []Finding {
	f.t.Helper()
	findings, err := f.Check(f.t.Context(), admin, f.acme.ID, shop)
	f.ok(err)
	return findings
}
