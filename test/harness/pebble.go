package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/leash"
)

// Pebble is Let's Encrypt's own ACME server for tests.
type Pebble struct {
	Directory string // URL
	CAFile    string // vouches for the directory's host, not for what is issued

	t          testing.TB
	config     string
	management string
	resolver   string
	log        buffer
	running    *leash.Leash
}

// PebbleOptions say how a Pebble works.
type PebbleOptions struct {
	Resolver            string // host:port of the DNS server that it asks
	HTTPPort, HTTPSPort string // where it looks whether a name is its client's; empty for a port where nobody is
	Seconds             int    // how long certificates are valid; 0 for 90 days
	KeyID, MACKey       string // the external account, in base64url, that it asks for; empty for none
}

// NewPebble sets up a Pebble; it is to be started.
func NewPebble(t testing.TB, o PebbleOptions) *Pebble {
	t.Helper()
	dir := t.TempDir()
	p := &Pebble{t: t, config: filepath.Join(dir, "pebble.json"), CAFile: filepath.Join(dir, "cert.pem"), resolver: o.Resolver, management: FreeAddress(t)}
	address := FreeAddress(t)
	p.Directory = "https://" + address + "/dir"
	key := filepath.Join(dir, "key.pem")
	selfSigned(t, p.CAFile, key)
	port := func(text string) int {
		n, _ := strconv.Atoi(text)
		return max(n, 1)
	}
	settings := map[string]any{
		"listenAddress": address, "managementListenAddress": p.management, "certificate": p.CAFile, "privateKey": key,
		"httpPort": port(o.HTTPPort), "tlsPort": port(o.HTTPSPort), "keyAlgorithm": "ecdsa",
		"externalAccountBindingRequired": o.KeyID != "",
		"profiles":                       map[string]any{"default": map[string]any{"description": "-", "validityPeriod": o.Seconds}},
	}
	if o.KeyID != "" {
		settings["externalAccountMACKeys"] = map[string]string{o.KeyID: o.MACKey}
	}
	text, err := json.Marshal(map[string]any{"pebble": settings})
	if err == nil {
		err = os.WriteFile(p.config, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Start starts it, with a memory of nothing. It ends with the test.
func (p *Pebble) Start() {
	p.t.Helper()
	program := filepath.Join(Root(), ".cache", "pebble")
	if _, err := os.Stat(program); err != nil {
		p.t.Fatalf("pebble is missing: run scripts/setup-test (make test does): %v", err)
	}
	cmd := exec.Command(program, "-config", p.config, "-dnsserver", p.resolver)
	// It waits before it looks, to show who does not, and hands out what it knows already half of the time.
	cmd.Env = append(clean(os.Environ()), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	var err error
	if p.running, err = leash.Start(cmd, "KILL", ""); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.Stop()
		if p.t.Failed() {
			p.t.Logf("pebble says: %s", p.log.String())
		}
	})
	Eventually(p.t, "pebble answers", func() bool {
		_, err := p.get(p.Directory)
		return err == nil
	})
}

// Stop ends it.
func (p *Pebble) Stop() {
	if p.running != nil {
		_ = p.running.Close() // killed
		p.running = nil
	}
}

// Orders is how many certificates it issued, in all its lives.
func (p *Pebble) Orders() int { return strings.Count(p.log.String(), "Issued certificate serial") }

// Roots vouch for what it issues.
func (p *Pebble) Roots() *x509.CertPool {
	p.t.Helper()
	text, err := p.get("https://" + p.management + "/roots/0")
	if err != nil {
		p.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		p.t.Fatalf("pebble's root: %s", text)
	}
	return roots
}

func (p *Pebble) get(url string) ([]byte, error) {
	pem, err := os.ReadFile(p.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return text, err
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t testing.TB, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true, IsCA: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
