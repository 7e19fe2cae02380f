package harness

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Zone is a root of DNS that is signed (RFC 4034), with all names in it, behind a resolver that validates: Debian's dnsmasq, which
// knows its key.
type Zone struct {
	Address string // of the resolver, 127.0.0.1:port

	t       testing.TB
	key     *dns.DNSKEY
	private crypto.Signer

	mu      sync.Mutex
	records []dns.RR
	broken  string // the name whose signatures do not hold
}

// StartZone starts both; they end with the test.
func StartZone(t testing.TB) *Zone {
	t.Helper()
	if _, err := os.Stat(dnsmasqProgram); err != nil {
		t.Fatal("dnsmasq is missing: run scripts/setup-test (make test does)")
	}
	z := &Zone{t: t, Address: FreeAddress(t), key: &dns.DNSKEY{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60}, Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}}
	private, err := z.key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	z.private = private.(crypto.Signer)
	z.records = append(z.records, z.key)
	z.Add(". 60 IN SOA ns. hostmaster. 1 60 60 60 60", ". 60 IN NS ns.", "ns. 60 IN A 127.0.0.1")

	upstream := z.serve()
	_, port, _ := net.SplitHostPort(upstream)
	_, own, _ := net.SplitHostPort(z.Address)
	ds := z.key.ToDS(dns.SHA256)
	args := []string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--log-facility=" + filepath.Join(t.TempDir(), "log"),
		"--listen-address=127.0.0.1", "--bind-interfaces", "--port=" + own, "--server=127.0.0.1#" + port,
		"--dnssec", fmt.Sprintf("--trust-anchor=.,%d,%d,%d,%s", ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest),
	}
	cmd := exec.Command(dnsmasqProgram, args...)
	var said buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("dnsmasq says: %s", said.String())
		}
	})
	Eventually(t, "the resolver validates", func() bool {
		c := &dns.Client{Timeout: time.Second}
		q := new(dns.Msg).SetQuestion("ns.", dns.TypeA)
		q.AuthenticatedData = true
		r, _, err := c.Exchange(q, z.Address)
		return err == nil && r.AuthenticatedData && len(r.Answer) == 1
	})
	return z
}

const dnsmasqProgram = "/usr/sbin/dnsmasq" // where Debian puts it, often not in a user's path

// Add adds records as zone files have them.
func (z *Zone) Add(records ...string) {
	z.t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, record := range records {
		rr, err := dns.NewRR(record)
		if err != nil || rr == nil {
			z.t.Fatalf("%q: %v", record, err)
		}
		z.records = append(z.records, rr)
	}
}

// Remove removes all records of the name and type.
func (z *Zone) Remove(name string, kind uint16) {
	z.mu.Lock()
	defer z.mu.Unlock()
	kept := z.records[:0:0]
	for _, rr := range z.records {
		if rr.Header().Rrtype != kind || dns.CanonicalName(rr.Header().Name) != dns.CanonicalName(name) {
			kept = append(kept, rr)
		}
	}
	z.records = kept
}

// Break makes the signatures of a name bad, those of the one before good again.
func (z *Zone) Break(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.broken = dns.CanonicalName(name)
}

// serve answers for the zone on a loopback port that it returns.
func (z *Zone) serve() string {
	z.t.Helper()
	tcp, err := net.Listen("tcp", FreeAddress(z.t))
	if err != nil {
		z.t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		z.t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: udp}, {Listener: tcp}} {
		done := make(chan error, 1)
		started := make(chan struct{})
		server.Handler, server.NotifyStartedFunc = dns.HandlerFunc(z.handle), func() { close(started) }
		go func() { done <- server.ActivateAndServe() }()
		<-started
		z.t.Cleanup(func() {
			if err := errors.Join(server.Shutdown(), <-done); err != nil {
				z.t.Error(err)
			}
		})
	}
	return tcp.Addr().String()
}

func (z *Zone) handle(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	m.SetEdns0(4096, true)
	name, kind := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	z.mu.Lock()
	defer z.mu.Unlock()
	set := z.find(name, kind)
	if len(set) == 0 {
		// Every name exists and has nothing else: a record that denies the type alone.
		m.Ns = z.signed(z.find(".", dns.TypeSOA))
		m.Ns = append(m.Ns, z.signed([]dns.RR{&dns.NSEC{
			Hdr:        dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60},
			NextDomain: "0." + strings.TrimPrefix(name, "."), TypeBitMap: z.types(name),
		}})...)
	} else {
		m.Answer = z.signed(set)
	}
	if err := w.WriteMsg(m); err != nil {
		z.t.Logf("an answer to %s could not be sent: %v", name, err)
	}
}

func (z *Zone) find(name string, kind uint16) (set []dns.RR) {
	for _, rr := range z.records {
		if dns.CanonicalName(rr.Header().Name) == name && rr.Header().Rrtype == kind {
			set = append(set, rr)
		}
	}
	return set
}

// types are those that a name has, in order.
func (z *Zone) types(name string) (list []uint16) {
	for kind := range uint16(dns.TypeTLSA + 1) {
		if len(z.find(name, kind)) > 0 || kind == dns.TypeRRSIG || kind == dns.TypeNSEC {
			list = append(list, kind)
		}
	}
	return list
}

// signed is a set with its signature.
func (z *Zone) signed(set []dns.RR) []dns.RR {
	head := set[0].Header()
	now := time.Now()
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Name: head.Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: head.Ttl},
		Algorithm: z.key.Algorithm, KeyTag: z.key.KeyTag(), SignerName: ".",
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour).Unix()),
	}
	if err := sig.Sign(z.private, set); err != nil {
		z.t.Errorf("sign %s: %v", head.Name, err)
	}
	if dns.CanonicalName(head.Name) == z.broken {
		sig.Signature = "AAAA" + sig.Signature[4:]
	}
	return append(append([]dns.RR{}, set...), sig)
}

// TLSA is the record by which the certificate in a PEM file is known for a host's port (RFC 6698: 3 1 1), which nobody caches.
func TLSA(t testing.TB, host, port, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := dns.CertificateToDANE(1, 1, cert)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("_%s._tcp.%s. 0 IN TLSA 3 1 1 %s", port, host, digest)
}
