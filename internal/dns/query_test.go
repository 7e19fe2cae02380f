package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
)

func TestLookups(t *testing.T) {
	s := dnstest.New(t)
	s.Sign("signed.example.")
	s.Add(
		"signed.example. 60 IN MX 10 MX1.Signed.Example.", "signed.example. 60 IN MX 20 mx2.plain.example.",
		"plain.example. 60 IN MX 0 .",
		"mx1.signed.example. 60 IN A 192.0.2.1", "mx1.signed.example. 60 IN AAAA 2001:db8::1",
		"only4.signed.example. 60 IN A 192.0.2.4",
		"inside.signed.example. 60 IN CNAME mx1.signed.example.",
		"outside.signed.example. 60 IN CNAME mx2.plain.example.",
		"mx2.plain.example. 60 IN A 192.0.2.2",
		"_25._tcp.mx1.signed.example. 60 IN TLSA 3 1 1 00ff",
		"1.2.0.192.in-addr.arpa. 60 IN PTR mx1.signed.example.",
		"loop.example. 60 IN CNAME loop.example.",
		"_imaps._tcp.signed.example. 60 IN SRV 1 2 993 Mail.Signed.Example.", "_pop3._tcp.signed.example. 60 IN SRV 0 0 0 .",
		"plain.example. 60 IN SOA ns.plain.example. x. 1 1 1 1 1", "sub.plain.example. 60 IN SOA ns.plain.example. x. 1 1 1 1 1",
		"www.sub.plain.example. 60 IN CNAME signed.example.", "signed.example. 60 IN SOA ns.plain.example. x. 1 1 1 1 1",
	)
	r, ctx := New(s.Address), t.Context()
	check := func(what string, got any, err error, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	one, two, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")
	mx, err := r.LookupMX(ctx, "Signed.Example")
	check("MX", mx, err, Answer[MX]{[]MX{{"mx1.signed.example", 10}, {"mx2.plain.example", 20}}, "signed.example", true})
	mx, err = r.LookupMX(ctx, "plain.example")
	check("null MX", mx, err, Answer[MX]{[]MX{{"", 0}}, "plain.example", false})
	a, err := r.LookupAddresses(ctx, "mx1.signed.example")
	check("addresses", a, err, Answer[netip.Addr]{[]netip.Addr{six, one}, "mx1.signed.example", true})
	a, err = r.LookupAddresses(ctx, "only4.signed.example")
	check("one kind", a, err, Answer[netip.Addr]{[]netip.Addr{netip.MustParseAddr("192.0.2.4")}, "only4.signed.example", true})
	a, err = r.LookupAddresses(ctx, "inside.signed.example")
	check("alias", a, err, Answer[netip.Addr]{[]netip.Addr{six, one}, "mx1.signed.example", true})
	a, err = r.LookupAddresses(ctx, "outside.signed.example")
	check("alias out of the signed zone", a, err, Answer[netip.Addr]{[]netip.Addr{two}, "mx2.plain.example", false})
	c, err := r.LookupCNAME(ctx, "outside.signed.example")
	check("CNAME", c, err, Answer[string]{[]string{"mx2.plain.example"}, "outside.signed.example", true})
	tlsa, err := r.LookupTLSA(ctx, "_25._tcp.mx1.signed.example")
	check("TLSA", tlsa, err, Answer[TLSA]{[]TLSA{{3, 1, 1, []byte{0, 0xff}}}, "_25._tcp.mx1.signed.example", true})
	ptr, err := r.LookupPTR(ctx, netip.MustParseAddr("::ffff:192.0.2.1"))
	check("PTR", ptr, err, Answer[string]{[]string{"mx1.signed.example"}, "1.2.0.192.in-addr.arpa", false})

	srv, err := r.LookupSRV(ctx, "_imaps._tcp.signed.example")
	check("SRV", srv, err, Answer[SRV]{[]SRV{{"mail.signed.example", 993, 1, 2}}, "_imaps._tcp.signed.example", true})
	srv, err = r.LookupSRV(ctx, "_pop3._tcp.signed.example")
	check("SRV of no service", srv, err, Answer[SRV]{[]SRV{{}}, "_pop3._tcp.signed.example", true})
	for name, want := range map[string]string{
		"plain.example": "plain.example", "a.b.Plain.Example.": "plain.example", "x.sub.plain.example": "sub.plain.example",
		"www.sub.plain.example": "sub.plain.example",
	} {
		zone, err := r.FindZone(ctx, name)
		check("the zone of "+name, zone, err, want)
	}
	if zone, err := r.FindZone(ctx, "absent.example"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a name in no zone: %q, %v", zone, err)
	}

	if _, err := r.LookupMX(ctx, "mx1.signed.example"); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoName) {
		t.Errorf("a name without MX: %v", err)
	}
	if _, err := r.LookupMX(ctx, "absent.example"); !errors.Is(err, ErrNoName) || !errors.Is(err, ErrNotFound) {
		t.Errorf("no name: %v", err)
	}
	if _, err := r.LookupAddresses(ctx, "absent.example"); !errors.Is(err, ErrNoName) {
		t.Errorf("no name: %v", err)
	}
	if _, err := r.LookupMX(ctx, "no..name"); !errors.Is(err, ErrNoName) {
		t.Errorf("what is no name: %v", err)
	}
	for _, name := range []string{"a b.example", "a@b.example", `a"b.example`, "\xc3\xa4.example", "%.example"} {
		if _, err := r.LookupIPv4(ctx, name); !errors.Is(err, ErrNoName) {
			t.Errorf("%q, which no host has: %v", name, err)
		}
	}
	if _, err := r.LookupAddresses(ctx, "loop.example"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("an alias of itself: %v", err)
	}
}

// TestTheRootIsNotLookedUp: a name that came out empty, as of SPF's macros, is none.
func TestTheRootIsNotLookedUp(t *testing.T) {
	s := dnstest.New(t)
	s.Add(`. 60 IN TXT "x"`, ". 60 IN A 192.0.2.1")
	r := New(s.Address)
	for _, name := range []string{"", "."} {
		if a, err := r.LookupIPv4(t.Context(), name); !errors.Is(err, ErrNoName) {
			t.Errorf("A of %q: %+v, %v", name, a, err)
		}
		if texts, err := r.LookupTXT(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("TXT of %q: %q, %v", name, texts, err)
		}
	}
}

func TestFailedLookups(t *testing.T) {
	s := dnstest.New(t)
	s.Add("half.example. 60 IN A 192.0.2.1", "all.example. 60 IN A 192.0.2.1")
	s.Fail("half.example.", mdns.TypeAAAA, mdns.RcodeServerFailure)
	s.Fail("none.example.", mdns.TypeAAAA, mdns.RcodeServerFailure)
	s.Fail("refused.example.", mdns.TypeMX, mdns.RcodeRefused)
	s.Bogus("bogus.example.", mdns.TypeTLSA)
	r := New(s.Address)
	if a, err := r.LookupAddresses(t.Context(), "half.example"); err != nil || len(a.Records) != 1 {
		t.Errorf("where one kind fails: %v, %v", a, err)
	}
	if _, err := r.LookupAddresses(t.Context(), "none.example"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("where one kind fails and the other is not there: %v", err)
	}
	if _, err := r.LookupMX(t.Context(), "refused.example"); err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrBogus) {
		t.Errorf("refused: %v", err)
	}
	if _, err := r.LookupTLSA(t.Context(), "bogus.example"); !errors.Is(err, ErrBogus) {
		t.Errorf("bogus: %v", err)
	}
	if n := s.Asked("refused.example.", mdns.TypeMX); n != 1 {
		t.Errorf("a server that refused was asked %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.LookupAddresses(ctx, "all.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	// A question that nobody answers ends with its context, not with the time for an answer.
	asked := s.Silence("silent.example.", mdns.TypeMX)
	ctx, cancel = context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := r.LookupMX(ctx, "silent.example")
		done <- err
	}()
	<-asked
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a silent server: %v", err)
	}
}

func TestLargeAnswersComeOverTCP(t *testing.T) {
	s := dnstest.New(t)
	for i := range 2 * maxRecords {
		s.Add(fmt.Sprintf("large.example. 60 IN MX %d host-%d.example.com.", i, i))
	}
	a, err := New(s.Address).LookupMX(t.Context(), "large.example")
	if err != nil || len(a.Records) != maxRecords {
		t.Errorf("%d records, %v", len(a.Records), err)
	}
	if n := s.Asked("large.example.", mdns.TypeMX); n != 2 {
		t.Errorf("asked %d times, want once over UDP and once over TCP", n)
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	broken, sound := dnstest.New(t), dnstest.New(t)
	broken.Fail("example.com.", mdns.TypeMX, mdns.RcodeServerFailure)
	sound.Add("example.com. 60 IN MX 10 mx.example.com.")
	m, err := askAll(t.Context(), []string{broken.Address, sound.Address}, false, "example.com", mdns.TypeMX)
	if err != nil || len(m.Answer) != 1 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestAnswersToOtherQuestions(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			q := new(mdns.Msg)
			if q.Unpack(buffer[:n]) != nil {
				continue
			}
			q.Question[0].Name = "other.example."
			reply, _ := new(mdns.Msg).SetReply(q).Pack()
			_, _ = conn.WriteTo(reply, from)
		}
	}()
	defer func() { <-done }()
	defer conn.Close()
	if _, err := New(conn.LocalAddr().String()).LookupMX(t.Context(), "example.com"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("the answer to another question: %v", err)
	}
}

func TestWhoIsBelieved(t *testing.T) {
	for _, c := range []struct {
		address, conf string
		servers       []string
		trusted       bool
	}{
		{address: "127.0.0.1:53", servers: []string{"127.0.0.1:53"}, trusted: true},
		{address: "[::1]:5353", servers: []string{"[::1]:5353"}, trusted: true},
		{address: "192.0.2.53:53", servers: []string{"192.0.2.53:53"}},
		{address: "192.0.2.53:53 trust-ad", servers: []string{"192.0.2.53:53"}, trusted: true},
		{address: "resolver.example:53", servers: []string{"resolver.example:53"}},
		{conf: "# none\n", servers: []string{"127.0.0.1:53", "[::1]:53"}, trusted: true},
		{conf: "nameserver 127.0.0.53\noptions edns0\n", servers: []string{"127.0.0.53:53"}, trusted: true},
		{conf: "nameserver 127.0.0.1\nnameserver 192.0.2.1\n", servers: []string{"127.0.0.1:53", "192.0.2.1:53"}},
		{conf: "nameserver fe80::1%eth0\noptions rotate trust-ad", servers: []string{"[fe80::1%eth0]:53"}, trusted: true},
		{
			conf:    "search example.com\nnameserver x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
			servers: []string{"192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"},
		},
	} {
		r := New(c.address)
		r.conf = filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(r.conf, []byte(c.conf), 0o600); err != nil {
			t.Fatal(err)
		}
		servers, trusted, err := r.servers()
		if err != nil || !slices.Equal(servers, c.servers) || trusted != c.trusted {
			t.Errorf("%q %q: %q, believed %v, %v", c.address, c.conf, servers, trusted, err)
		}
	}
	r := New("")
	r.conf = filepath.Join(t.TempDir(), "absent")
	if _, err := r.LookupMX(t.Context(), "example.com"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("without resolv.conf: %v", err)
	}
}

func TestSignaturesAreAskedForWhereTheyAreBelieved(t *testing.T) {
	s := dnstest.New(t)
	s.Sign("example.com.")
	s.Add("example.com. 60 IN MX 10 mx.example.com.")
	r := New(s.Address)
	if a, err := r.LookupMX(t.Context(), "example.com"); err != nil || !a.Secure {
		t.Errorf("%+v, %v", a, err)
	}
	r.trusted = false
	if a, err := r.LookupMX(t.Context(), "example.com"); err != nil || a.Secure {
		t.Errorf("from a resolver that is not believed: %+v, %v", a, err)
	}
}
