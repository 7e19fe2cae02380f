package route

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
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

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
)

// start is when the tests begin. It is the machine's time, by which certificates are judged.
var start = time.Now().UTC().Truncate(time.Second)

// fixture is a Router with DNS, a web server for policies, and a clock that stands.
type fixture struct {
	t testing.TB
	*Router
	dns   *dnstest.Server
	clock *clock.Fake
	web   web

	mu       sync.Mutex
	sessions []Session
}

// web serves policies by host name.
type web struct {
	mu      sync.Mutex
	serve   map[string]http.HandlerFunc
	fetched map[string]int
}

func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	w.mu.Lock()
	w.fetched[host]++
	serve := w.serve[host]
	w.mu.Unlock()
	if serve == nil || r.URL.Path != "/.well-known/mta-sts.txt" {
		http.NotFound(out, r)
		return
	}
	serve(out, r)
}

func onBoth(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) { fn(newFixture(t, d)) })
}

func onSQLite(t testing.TB) *fixture { return newFixture(t, dbtest.SQLite(t, Migrations())) }

func newFixture(t testing.TB, d *db.DB) *fixture {
	t.Helper()
	f := &fixture{t: t, dns: dnstest.New(t), clock: clock.NewFake(start)}
	f.web.serve, f.web.fetched = map[string]http.HandlerFunc{}, map[string]int{}
	roots := newAuthority(t, "root")
	server := httptest.NewUnstartedServer(&f.web)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "mta-sts.stranger.example" {
			return newAuthority(t, "stranger").issue(hello.ServerName).keyPair(), nil
		}
		return roots.issue(hello.ServerName).keyPair(), nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	resolver := dns.New(f.dns.Address)
	f.Router = New(Options{
		DB: d, Clock: f.clock, Log: slog.New(slog.DiscardHandler), Resolver: resolver,
		Dialer:     dial.New(resolver.Net(), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}),
		Names:      []string{"Mail.Ours.Example"},
		PolicyPort: uint16(number), Roots: roots.pool(),
		Report: func(_ context.Context, s Session) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.sessions = append(f.sessions, s)
		},
	})
	return f
}

// reported returns the results reported since it was last called.
func (f *fixture) reported() (out []Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		out = append(out, s.Result)
	}
	f.sessions = nil
	return out
}

func (f *fixture) wantReported(want ...Result) {
	f.t.Helper()
	if got := f.reported(); !slices.Equal(got, want) {
		f.t.Errorf("reported %q, want %q", got, want)
	}
}

func (f *fixture) hosts(domain string) []Host {
	f.t.Helper()
	hosts, err := f.Hosts(f.t.Context(), domain)
	if err != nil {
		f.t.Errorf("%s: %v", domain, err)
	}
	return hosts
}

// host is the only one of a domain.
func (f *fixture) host(domain string) Host {
	f.t.Helper()
	hosts := f.hosts(domain)
	if len(hosts) != 1 {
		f.t.Fatalf("%s has the hosts %+v, want one", domain, hosts)
	}
	return hosts[0]
}

func (f *fixture) wantError(domain, status string) {
	f.t.Helper()
	hosts, err := f.Hosts(f.t.Context(), domain)
	var e *Error
	if !errors.As(err, &e) || e.Status != status || e.Permanent != (status[0] == '5') {
		f.t.Errorf("%s: %+v, %v; want status %s", domain, hosts, err, status)
	}
}

// authority issues certificates, and is one.
type authority struct {
	t           testing.TB
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	above       *authority
}

func newAuthority(t testing.TB, name string) *authority {
	a := &authority{t: t}
	a.make(a, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(24 * time.Hour),
	})
	return a
}

// issue makes a certificate for a host.
func (a *authority) issue(name string) *authority { return a.issueUntil(name, start.Add(24*time.Hour)) }

func (a *authority) issueUntil(name string, until time.Time) *authority {
	out := &authority{t: a.t, above: a}
	out.make(a, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: start.Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return out
}

func (a *authority) make(by *authority, template *x509.Certificate) {
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent := template
	if by != a {
		parent = by.certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, a.key.Public(), by.key)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.certificate)
	return p
}

func (a *authority) keyPair() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{a.certificate.Raw}, PrivateKey: a.key}
}
