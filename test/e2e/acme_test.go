package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/miekg/dns"

	"github.com/pennypost/pennypost/test/harness"
)

// certified is a server that has certificates by ACME.
type certified struct {
	*harness.Server
	t testing.TB
}

// show connects to a listener as a client that asks for name, and returns the certificate if it was issued by one of the roots for the name.
func (s certified) show(listener, name string, roots *x509.CertPool) *x509.Certificate {
	s.t.Helper()
	config := &tls.Config{RootCAs: roots, ServerName: name}
	state := tls.ConnectionState{}
	switch listener {
	case "smtp", "submission":
		c, err := smtp.Dial(s.Addr(listener))
		if err != nil {
			s.t.Fatal(err)
		}
		defer c.Close()
		if c.StartTLS(config) == nil {
			state, _ = c.TLSConnectionState()
		}
	case "imap":
		conn, err := net.Dial("tcp", s.Addr(listener))
		if err != nil {
			s.t.Fatal(err)
		}
		defer conn.Close()
		if _, err := imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: config.Clone()}); err != nil {
			return nil
		}
		return &x509.Certificate{}
	default:
		conn, err := tls.Dial("tcp", s.Addr(listener), config)
		if err != nil {
			return nil
		}
		defer conn.Close()
		state = conn.ConnectionState()
	}
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

func (s certified) verb(status int, words string, args ...string) string {
	s.t.Helper()
	r := s.Verb(args...)
	if r.Status != status || !strings.Contains(r.Stdout+r.Stderr, words) {
		s.t.Fatalf("%q: %s\nwant status %d and %q", args, r, status, words)
	}
	return r.Stdout
}

// shop proves a mail domain.
func (s certified) shop() string {
	s.t.Helper()
	org, domain := office(s.t, s.Server, "certified", "ann"), "shop.example.com"
	if _, err := s.WorkMail().RegisterMailDomain(s.t.Context(), &workmail.RegisterMailDomainInput{OrganizationId: &org, DomainName: aws.String(domain)}); err != nil {
		s.t.Fatal(err)
	}
	s.verb(0, "", "domain", "verify", domain, "--organization", org)
	return domain
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address) // the harness made it
	return port
}

// TestCertificatesByHTTP has certificates for two names and those of a mail domain by http-01, from a CA that is down at first, and keeps them
// and the account over a restart. Every listener shows them, by the name that is asked for.
func TestCertificatesByHTTP(t *testing.T) {
	t.Parallel()
	bind := harness.StartBIND(t, map[string][]string{
		"pennypost.example": {"mail A 127.0.0.1", "imap A 127.0.0.1"},
		"example.com":       {"mta-sts.shop A 127.0.0.1", "autoconfig.shop A 127.0.0.1", "autodiscover.shop A 192.0.2.1"},
	})
	http01, metrics := harness.FreeAddress(t), harness.FreeAddress(t)
	pebble := harness.NewPebble(t, harness.PebbleOptions{Resolver: bind.Addr, HTTPPort: port(http01)})
	s := certified{harness.Start(t, harness.Options{Flags: []string{
		"--acme", "mail.pennypost.example,imap.pennypost.example", "--acme-accept-terms", "true", "--acme-directory", pebble.Directory, "--acme-ca-file", pebble.CAFile,
		"--acme-email", "admin@pennypost.example", "--acme-http", http01, "--dns-resolver", bind.Addr, "--metrics", metrics,
	}}), t}
	domain := s.shop()

	// Until there is a CA the development certificate answers.
	if s.show("imaps", "localhost", s.TLS().RootCAs) == nil {
		t.Error("there is no certificate while there is no CA")
	}
	harness.Eventually(t, "the failure is told", func() bool {
		r := s.Verb("certificate", "list")
		return r.Status == 1 && strings.Contains(r.Stdout, "connection refused")
	})
	if log := s.Log(); !strings.Contains(log, "the development certificate answers") || !strings.Contains(log, "a certificate could not be had") || !strings.Contains(log, "acme_ca_file") {
		t.Errorf("the log does not say so:\n%s", log)
	}
	if text := fetchText(t, "http://"+metrics+"/metrics"); !strings.Contains(text, `pennypost_certificate_failures{name="mail.pennypost.example"} `) ||
		!strings.Contains(text, `pennypost_certificate_expiry_timestamp_seconds{name=""} `) {
		t.Errorf("the metrics do not say so:\n%s", text)
	}

	pebble.Start()
	roots := pebble.Roots()
	s.verb(0, "due now", "certificate", "retry")
	mail := func() *x509.Certificate { return s.show("imaps", "mail.pennypost.example", roots) }
	names := []string{"mail.pennypost.example", "imap.pennypost.example", "mta-sts." + domain, "autoconfig." + domain}
	for _, name := range names {
		harness.Eventually(t, "there is a certificate for "+name, func() bool { return s.show("https", name, roots) != nil })
	}
	for _, listener := range []string{"https", "smtp", "submission", "submissions", "imap", "imaps"} {
		for _, name := range names[:2] {
			if s.show(listener, name, roots) == nil {
				t.Errorf("%s has no certificate for %s", listener, name)
			}
		}
	}
	harness.Eventually(t, "it is known that a name leads elsewhere", func() bool {
		r := s.Verb("certificate", "list")
		return r.Status == 0 && strings.Contains(r.Stdout, names[0]) && strings.Contains(r.Stdout, "leads to another server")
	})
	if s.show("imaps", "localhost", s.TLS().RootCAs) == nil {
		t.Error("who asks for localhost gets no development certificate any more")
	}
	if text := fetchText(t, "http://"+metrics+"/metrics"); !strings.Contains(text, `pennypost_certificate_expiry_timestamp_seconds{name="mta-sts.shop.example.com"} `) {
		t.Errorf("the metrics do not say so:\n%s", text)
	}

	// A renewal ends no connection.
	open, err := tls.Dial("tcp", s.Addr("imaps"), &tls.Config{RootCAs: roots, ServerName: "mail.pennypost.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	before := mail()
	s.verb(0, "1 due now", "certificate", "renew", "mail.pennypost.example")
	harness.Eventually(t, "the renewed certificate is shown", func() bool { c := mail(); return c != nil && !c.Equal(before) })
	if _, err := fmt.Fprint(open, "a NOOP\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(open)
	if greeting, _ := in.ReadString('\n'); !strings.HasPrefix(greeting, "* OK") {
		t.Errorf("the old connection: %s", greeting)
	}
	if answer, err := in.ReadString('\n'); !strings.HasPrefix(answer, "a OK") {
		t.Errorf("the old connection: %s, %v", answer, err)
	}

	// A restart orders nothing, and shows what there is at once.
	before, orders := mail(), pebble.Orders()
	if orders != len(names)+1 {
		t.Errorf("%d certificates were ordered", orders)
	}
	s.Stop()
	s.Start()
	if now := mail(); now == nil || !now.Equal(before) {
		t.Error("after the restart there is another certificate")
	}
	if file, ok := s.Env["PENNYPOST_CA_FILE"]; ok {
		t.Errorf("env names %s to trust, though the CA is somebody else", file)
	}
	s.verb(0, "1 due now", "certificate", "renew", "imap.pennypost.example")
	harness.Eventually(t, "the other name is renewed", func() bool { return pebble.Orders() == orders+1 })

	// The CA forgets everything.
	pebble.Stop()
	pebble.Start()
	roots = pebble.Roots()
	if mail() != nil {
		t.Error("the CA did not forget")
	}
	s.verb(0, "1 due now", "certificate", "renew", "mail.pennypost.example")
	harness.Eventually(t, "there is a certificate of a new account", func() bool { return mail() != nil })
}

func fetchText(t testing.TB, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCertificatesByHandshake has a certificate by tls-alpn-01 from a CA that wants to know whose account it is, and whose certificates are
// good for seconds: they are replaced without a word.
func TestCertificatesByHandshake(t *testing.T) {
	t.Parallel()
	bind := harness.StartBIND(t, map[string][]string{"pennypost.example": {"mail A 127.0.0.1"}})
	https, secret := harness.FreeAddress(t), filepath.Join(t.TempDir(), "eab")
	const mac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	if err := os.WriteFile(secret, []byte(mac+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pebble := harness.NewPebble(t, harness.PebbleOptions{Resolver: bind.Addr, HTTPSPort: port(https), Seconds: 30, KeyID: "kid-1", MACKey: mac})
	pebble.Start()
	s := certified{harness.Start(t, harness.Options{Flags: []string{
		"--acme", "on", "--acme-accept-terms", "true", "--acme-directory", pebble.Directory, "--acme-ca-file", pebble.CAFile, "--acme-challenge", "tls-alpn-01",
		"--acme-eab-key-id", "kid-1", "--acme-eab-key-file", secret, "--https", https, "--dns-resolver", bind.Addr, "--acme-keep-key", "true",
	}}), t}
	roots := pebble.Roots()
	var first *x509.Certificate
	harness.Eventually(t, "there is a certificate", func() bool {
		first = s.show("https", "mail.pennypost.example", roots)
		return first != nil
	})
	harness.Eventually(t, "it is replaced before its end", func() bool {
		next := s.show("submissions", "mail.pennypost.example", roots)
		if next == nil {
			t.Fatal("there is no good certificate any more")
		}
		return !next.Equal(first) && string(next.RawSubjectPublicKeyInfo) == string(first.RawSubjectPublicKeyInfo)
	})
}

// TestCertificatesByDNS has certificates by dns-01, with the store in PostgreSQL: the records are written where they belong, or where an alias
// there leads to, and removed again; of a mail domain too, if its zone is one that may be changed.
func TestCertificatesByDNS(t *testing.T) {
	t.Parallel()
	bind := harness.StartBIND(t, map[string][]string{
		"pennypost.example": {"mail A 127.0.0.1", "_acme-challenge.imap CNAME imap.challenges.pennypost.example."},
		"example.com":       {"autoconfig.shop A 127.0.0.1"},
		"test":              {"ns A 127.9.9.9"}, // where none is asked in vain
	})
	pebble := harness.NewPebble(t, harness.PebbleOptions{Resolver: bind.Addr})
	pebble.Start()
	file := filepath.Join(t.TempDir(), "pennypost.toml")
	settings := fmt.Sprintf(`dns_resolver = %q
acme = ["mail.pennypost.example", "imap.pennypost.example"]
acme_accept_terms = true
acme_directory = %q
acme_ca_file = %q
acme_challenge = "dns-01"
acme_dns_provider = "ours"
[dns_provider.ours]
kind = "rfc2136"
server = %q
key_name = %q
secret_file = %q
`, bind.Addr, pebble.Directory, pebble.CAFile, bind.Addr, bind.KeyName, bind.KeyFile)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := certified{harness.Start(t, harness.Options{DatabaseURL: harness.Database(t), Flags: []string{"--config", file}}), t}
	roots := pebble.Roots()
	s.shop()
	s.verb(0, "due now", "certificate", "retry") // a look at the domains
	for _, name := range []string{"mail.pennypost.example", "imap.pennypost.example", "autoconfig.shop.example.com"} {
		harness.Eventually(t, "there is a certificate for "+name, func() bool { return s.show("imaps", name, roots) != nil })
	}
	for _, name := range []string{"_acme-challenge.mail.pennypost.example.", "imap.challenges.pennypost.example.", "_acme-challenge.autoconfig.shop.example.com."} {
		answer, err := dns.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeTXT), bind.Addr)
		if err != nil || answer.Rcode != dns.RcodeNameError {
			t.Errorf("%s is still there: %v, %v", name, answer, err)
		}
	}
}
