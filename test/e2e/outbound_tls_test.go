package e2e

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// waits waits until the queue says of a recipient what keeps its mail from being taken.
func waits(t *testing.T, s *harness.Server, recipient, why string) {
	t.Helper()
	harness.Eventually(t, recipient+" waits: "+why, func() bool {
		out := s.Verb("queue", "list", "--recipient", recipient, "--json").Stdout
		return strings.Contains(out, why)
	})
}

// protection is how the connection was protected by which a recipient's mail left, as the queue remembers it.
func protection(t *testing.T, s *harness.Server, trace string) (tls string) {
	t.Helper()
	for line := range strings.Lines(s.Verb("queue", "trace", trace, "--json").Stdout) {
		var e struct{ Event, TLS string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "SENT" {
			tls = e.TLS
		}
	}
	return tls
}

// traceOf is the trace of the mail that waits for a recipient.
func traceOf(t *testing.T, s *harness.Server, recipient string) string {
	t.Helper()
	var e struct{ Trace string }
	line, _, _ := strings.Cut(s.Verb("queue", "list", "--recipient", recipient, "--json").Stdout, "\n")
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatal(err)
	}
	return e.Trace
}

func retry(t *testing.T, s *harness.Server, recipient string) {
	t.Helper()
	if r := s.Verb("queue", "retry", "--recipient", recipient); r.Status > 1 { // 1: it went by itself
		t.Fatal(r)
	}
}

// TestOutboundByDANE sends to a Postfix whose TLSA record is in a signed zone, by a resolver that validates: with the wrong record, and
// with signatures that do not hold, nothing is sent; with the right one it is.
func TestOutboundByDANE(t *testing.T) {
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob")
	port := portOf(t, postfix.SMTP)
	zone := harness.StartZone(t)
	other, _ := harness.Certificate(t, "mx.theirs.example")
	zone.Add("theirs.example. 60 IN MX 10 mx.theirs.example.", "mx.theirs.example. 60 IN A 127.0.0.1", harness.TLSA(t, postfix.Host, port, other))
	s := harness.Start(t, harness.Options{Flags: []string{"--dns-resolver", zone.Address, "--outbound-port", port, "--outbound-networks", "127.0.0.0/8"}})
	company(t, s, "ours", "ours.example", "ann")
	if err := handIn(t, s, "ann@ours.example", "Subject: safe\r\n\r\nhello\r\n", "bob@theirs.example"); err != nil {
		t.Fatal(err)
	}
	waits(t, s, "bob@theirs.example", "TLSA")
	trace := traceOf(t, s, "bob@theirs.example")
	record := "_" + port + "._tcp." + postfix.Host
	zone.Remove(record, dns.TypeTLSA)
	zone.Add(harness.TLSA(t, postfix.Host, port, postfix.CAFile))
	zone.Break(record)
	retry(t, s, "bob@theirs.example")
	waits(t, s, "bob@theirs.example", "signatures")
	if n := len(postfix.Messages(t, "bob")); n != 0 {
		t.Errorf("%d messages were sent to a server that had not proven itself", n)
	}
	zone.Break("")
	retry(t, s, "bob@theirs.example")
	harness.Eventually(t, "Postfix has the message", func() bool { return len(postfix.Messages(t, "bob")) == 1 })
	harness.Eventually(t, "how it was sent", func() bool { return protection(t, s, trace) != "" })
	if got := protection(t, s, trace); got != "TLSv1.3 verified by DANE" {
		t.Errorf("it was sent over %q", got)
	}
}

// TestOutboundByMTASTS sends to a Postfix as its domain's policy asks: with a policy for another host, and with a certificate of another,
// nothing is sent.
func TestOutboundByMTASTS(t *testing.T) {
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob")
	certFile, keyFile := harness.Certificate(t, "mta-sts.theirs.example", "mta-sts.wrong.example", "mta-sts.foreign.example")
	policies := policyHost(t, certFile, keyFile, map[string]string{
		"mta-sts.theirs.example":  "mx.theirs.example",
		"mta-sts.foreign.example": "mx.foreign.example",
		"mta-sts.wrong.example":   "other.wrong.example",
	})
	var bundle []byte
	for _, file := range []string{certFile, postfix.CAFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bundle = append(bundle, text...)
	}
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	d := dnstest.New(t)
	for _, domain := range []string{"theirs", "foreign", "wrong"} {
		d.Add(fmt.Sprintf("%s.example. 60 IN MX 10 mx.%s.example.", domain, domain), fmt.Sprintf("mx.%s.example. 60 IN A 127.0.0.1", domain),
			fmt.Sprintf("_mta-sts.%s.example. 60 IN TXT \"v=STSv1; id=1\"", domain), fmt.Sprintf("mta-sts.%s.example. 60 IN A %s", domain, policies))
	}
	s := harness.Start(t, harness.Options{Flags: outside(t, d, portOf(t, postfix.SMTP)), Env: []string{"SSL_CERT_FILE=" + roots}})
	company(t, s, "ours", "ours.example", "ann")
	to := []string{"bob@foreign.example", "bob@wrong.example", "bob@theirs.example"}
	if err := handIn(t, s, "ann@ours.example", "Subject: safe\r\n\r\nhello\r\n", to...); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "Postfix has the message", func() bool { return len(postfix.Messages(t, "bob")) == 1 })
	waits(t, s, "bob@foreign.example", "certificate")
	waits(t, s, "bob@wrong.example", "policy")
	trace := traceOf(t, s, "bob@wrong.example")
	harness.Eventually(t, "how it was sent", func() bool { return protection(t, s, trace) != "" })
	if got := protection(t, s, trace); got != "TLSv1.3 verified by MTA-STS" {
		t.Errorf("it was sent over %q", got)
	}
	if log := postfix.Log(); strings.Contains(log, "@foreign.example") || strings.Contains(log, "@wrong.example") {
		t.Errorf("Postfix was told of other recipients:\n%s", log)
	}
}

// policyHost serves MTA-STS policies that name one host each, by the name asked for, and returns its address. That the port is 443 is
// fixed; the address is one of loopback that no other run has.
func policyHost(t *testing.T, certFile, keyFile string, hosts map[string]string) (address string) {
	t.Helper()
	var l net.Listener
	err := error(unix.EADDRINUSE)
	for try := 0; try < 20 && errors.Is(err, unix.EADDRINUSE); try++ {
		address = fmt.Sprintf("127.43.%d.%d", rand.IntN(256), rand.IntN(256))
		l, err = net.Listen("tcp", address+":443")
	}
	if err != nil {
		t.Fatalf("a policy's host has port 443, which this test must be root for, and which nobody may have on all addresses: %v", err)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "version: STSv1\nmode: enforce\nmx: %s\nmax_age: 86400\n", hosts[r.Host])
		}),
	}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		_ = server.Close() // ends Serve
		<-done
	})
	return address
}
