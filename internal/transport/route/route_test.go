package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

func names(hosts []Host) string {
	var out []string
	for _, h := range hosts {
		out = append(out, h.Name)
	}
	return strings.Join(out, " ")
}

func TestHosts(t *testing.T) {
	f := onSQLite(t)
	f.dns.Add(
		"example.com. 60 IN MX 20 c.example.com.", "example.com. 60 IN MX 10 a.example.com.", "example.com. 60 IN MX 10 b.example.com.",
		"example.com. 60 IN MX 30 a.example.com.",
		"a.example.com. 60 IN A 192.0.2.1", "a.example.com. 60 IN AAAA 2001:db8::1", "a.example.com. 60 IN A 192.0.2.11",
		"b.example.com. 60 IN A 192.0.2.2", "c.example.com. 60 IN A 192.0.2.3",
		"null.example. 60 IN MX 0 .",
		"mixed.example. 60 IN MX 0 .", "mixed.example. 60 IN MX 10 a.example.com.",
		"itself.example. 60 IN A 192.0.2.4",
		"nothing.example. 60 IN TXT x",
		"dangling.example. 60 IN MX 10 gone.example.",
		"half.example. 60 IN MX 10 gone.example.", "half.example. 60 IN MX 20 b.example.com.",
		"alias.example. 60 IN CNAME example.com.",
		"xn--bcher-kva.example. 60 IN MX 10 b.example.com.",
		"backup.example. 60 IN MX 10 a.example.com.", "backup.example. 60 IN MX 20 mail.ours.example.",
		"backup.example. 60 IN MX 20 b.example.com.", "backup.example. 60 IN MX 30 c.example.com.",
		"loop.example. 60 IN MX 10 MAIL.ours.example.", "loop.example. 60 IN MX 20 b.example.com.",
		"mail.ours.example. 60 IN A 192.0.2.99",
		"sick.example. 60 IN MX 10 sick-host.example.", "sick.example. 60 IN MX 20 gone.example.",
	)
	f.dns.Fail("broken.example.", mdns.TypeMX, mdns.RcodeServerFailure)
	f.dns.Fail("sick-host.example.", mdns.TypeA, mdns.RcodeServerFailure)
	f.dns.Fail("sick-host.example.", mdns.TypeAAAA, mdns.RcodeServerFailure)
	for domain, want := range map[string]string{
		"Example.COM.":   "a.example.com b.example.com c.example.com",
		"mixed.example":  "a.example.com",
		"itself.example": "itself.example",
		"half.example":   "b.example.com",
		"alias.example":  "a.example.com b.example.com c.example.com",
		"bücher.example": "b.example.com",
		"backup.example": "a.example.com",
	} {
		if got := names(f.hosts(domain)); got != want {
			t.Errorf("%s: %s, want %s", domain, got, want)
		}
	}
	for domain, status := range map[string]string{
		"null.example": "5.1.10", "absent.example": "5.1.2", "nothing.example": "5.4.4", "dangling.example": "5.4.4",
		"broken.example": "4.4.3", "sick.example": "4.4.3", "loop.example": "5.4.6", "mail.ours.example": "5.4.6",
		"": "5.1.2", "a..b": "5.1.2", strings.Repeat("x", 64) + ".example": "5.1.2",
	} {
		f.wantError(domain, status)
	}
	h := f.hosts("example.com")[0]
	want := Host{
		Name: "a.example.com", Port: 25,
		Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.11")},
		TLS:       TLS{Names: []string{"a.example.com"}, Policy: Policy{Type: PolicyNone, Domain: "example.com"}},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%+v, want %+v", h, want)
	}
	f.wantReported()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Hosts(ctx, "example.com"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestEqualPreferencesAreShuffled(t *testing.T) {
	f := onSQLite(t)
	f.dns.Add("example.com. 60 IN MX 10 a.example.com.", "example.com. 60 IN MX 10 b.example.com.", "example.com. 60 IN MX 5 c.example.com.",
		"a.example.com. 60 IN A 192.0.2.1", "b.example.com. 60 IN A 192.0.2.2", "c.example.com. 60 IN A 192.0.2.3")
	if got := names(f.hosts("example.com")); got != "c.example.com a.example.com b.example.com" {
		t.Errorf("as they came: %s", got)
	}
	f.Shuffle = func(_ int, swap func(i, j int)) { swap(0, 1) }
	if got := names(f.hosts("example.com")); got != "c.example.com b.example.com a.example.com" {
		t.Errorf("shuffled: %s", got)
	}
}

func TestHostsAreBounded(t *testing.T) {
	f := onSQLite(t)
	for i := range 30 {
		f.dns.Add(fmt.Sprintf("many.example. 60 IN MX %d mx%d.many.example.", i, i), fmt.Sprintf("mx%d.many.example. 60 IN A 192.0.2.1", i),
			fmt.Sprintf("wide.example. 60 IN A 192.0.2.%d", i), fmt.Sprintf("wide.example. 60 IN AAAA 2001:db8::%d", i))
	}
	if hosts := f.hosts("many.example"); len(hosts) != maxHosts || hosts[19].Name != "mx19.many.example" {
		t.Errorf("%d hosts: %s", len(hosts), names(hosts))
	}
	if got := f.host("wide.example").Addresses; len(got) != maxAddresses || !got[0].Is6() || !got[1].Is4() {
		t.Errorf("addresses %v", got)
	}
}

func TestAddressLiterals(t *testing.T) {
	f := onSQLite(t)
	f.Port = 2525
	for domain, want := range map[string]string{"[192.0.2.1]": "192.0.2.1", "[IPv6:2001:db8::1]": "2001:db8::1", "[ipv6:2001:DB8::1]": "2001:db8::1"} {
		h := f.host(domain)
		if h.Name != domain || h.Port != 2525 || h.TLS.Level != Opportunistic || !slices.Equal(h.Addresses, []netip.Addr{netip.MustParseAddr(want)}) {
			t.Errorf("%s: %+v", domain, h)
		}
	}
	for _, domain := range []string{"[192.0.2.1", "[]", "[", "[mx.example.com]", "[2001:db8::1]", "[IPv6:192.0.2.1]", "[IPv6:fe80::1%eth0]", "[x:y]"} {
		f.wantError(domain, "5.1.3")
	}
}

const (
	usable   = "3 1 1 " + "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	unusable = "1 1 1 " + "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

func TestDANE(t *testing.T) {
	f := onSQLite(t)
	f.dns.Sign("signed.example.")
	f.dns.Sign("host.example.")
	host := func(name, tlsa string) {
		f.dns.Add(name+" 60 IN A 192.0.2.1", "_25._tcp."+name+" 60 IN TLSA "+tlsa)
	}
	mx := func(domain, host string) { f.dns.Add(domain + " 60 IN MX 10 " + host) }
	host("mx.host.example.", usable)
	mx("a.signed.example.", "mx.host.example.")
	mx("unsigned.example.", "mx.host.example.")
	host("mx.plain.example.", usable)
	mx("b.signed.example.", "mx.plain.example.")
	host("old.host.example.", unusable)
	mx("c.signed.example.", "old.host.example.")
	f.dns.Add("none.host.example. 60 IN A 192.0.2.1")
	mx("d.signed.example.", "none.host.example.")
	mx("e.signed.example.", "alias.host.example.")
	f.dns.Add("alias.host.example. 60 IN CNAME mx.host.example.")
	mx("f.signed.example.", "alias2.host.example.")
	f.dns.Add("alias2.host.example. 60 IN CNAME none.host.example.", "_25._tcp.alias2.host.example. 60 IN TLSA "+usable)
	mx("g.signed.example.", "alias3.host.example.")
	f.dns.Add("alias3.host.example. 60 IN CNAME mx.plain.example.", "_25._tcp.alias3.host.example. 60 IN TLSA "+usable)
	mx("h.signed.example.", "tlsa.host.example.")
	f.dns.Add("tlsa.host.example. 60 IN A 192.0.2.1", "_25._tcp.tlsa.host.example. 60 IN CNAME _25._tcp.mx.host.example.")
	f.dns.Add("i.signed.example. 60 IN CNAME a.signed.example.")
	host("j.signed.example.", usable)
	mx("k.signed.example.", "outside.host.example.")
	f.dns.Add("outside.host.example. 60 IN A 192.0.2.1", "_25._tcp.outside.host.example. 60 IN CNAME _25._tcp.mx.plain.example.")
	for _, c := range []struct {
		domain string
		level  Level
		names  string
	}{
		{"a.signed.example", Verified, "mx.host.example a.signed.example"},
		{"unsigned.example", Opportunistic, "mx.host.example"},
		{"b.signed.example", Opportunistic, "mx.plain.example"},
		{"c.signed.example", Required, "old.host.example c.signed.example"},
		{"d.signed.example", Opportunistic, "none.host.example"},
		{"e.signed.example", Verified, "mx.host.example e.signed.example"},
		{"f.signed.example", Verified, "alias2.host.example f.signed.example"},
		{"g.signed.example", Verified, "alias3.host.example g.signed.example"},
		{"h.signed.example", Verified, "tlsa.host.example h.signed.example"},
		{"i.signed.example", Verified, "mx.host.example i.signed.example a.signed.example"},
		{"j.signed.example", Verified, "j.signed.example"},
		{"k.signed.example", Opportunistic, "outside.host.example"},
	} {
		got := f.host(c.domain).TLS
		if got.Level != c.level || strings.Join(got.Names, " ") != c.names || (got.Source == "DANE") != (c.level != Opportunistic) ||
			(len(got.Records) == 1) != (c.level == Verified) {
			t.Errorf("%s: %+v, want level %d, names %s", c.domain, got, c.level, c.names)
		}
	}
	got := f.host("c.signed.example").TLS.Policy
	if want := (Policy{Type: PolicyTLSA, Domain: "old.host.example", Strings: []string{unusable}}); !reflect.DeepEqual(got, want) {
		t.Errorf("policy %+v, want %+v", got, want)
	}
	f.wantReported()
	if f.dns.Asked("_25._tcp.mx.plain.example.", mdns.TypeTLSA) != 0 {
		t.Error("the TLSA records of a host in an unsigned zone were asked for")
	}
	f.Port = 2525
	if got := f.host("a.signed.example").TLS; got.Source != "" {
		t.Errorf("the records of another port count: %+v", got)
	}
}

func TestTheStrongerDigestCounts(t *testing.T) {
	f := onSQLite(t)
	f.dns.Sign("example.com.")
	long := strings.Repeat("00112233445566778899aabbccddeeff", 4)
	f.dns.Add("example.com. 60 IN A 192.0.2.1", "_25._tcp.example.com. 60 IN TLSA "+usable, "_25._tcp.example.com. 60 IN TLSA 3 1 2 "+long,
		"_25._tcp.example.com. 60 IN TLSA 2"+usable[1:])
	got := f.host("example.com").TLS
	if len(got.Records) != 2 || got.Records[0].Matching != 2 || got.Records[1].Usage != 2 || len(got.Policy.Strings) != 3 {
		t.Errorf("%+v", got)
	}
}

func TestAHostWhoseRecordsAreKeptBack(t *testing.T) {
	f := onSQLite(t)
	f.dns.Sign("example.com.")
	f.dns.Add("example.com. 60 IN MX 10 mx.example.com.", "mx.example.com. 60 IN A 192.0.2.1",
		"two.example.com. 60 IN MX 10 mx.example.com.", "two.example.com. 60 IN MX 20 sound.example.com.", "sound.example.com. 60 IN A 192.0.2.2")
	f.dns.Bogus("_25._tcp.mx.example.com.", mdns.TypeTLSA)
	f.wantError("example.com", "4.7.5")
	if _, err := f.Hosts(t.Context(), "example.com"); strings.Contains(err.Error()+f.sessions[0].Info, "127.0.0.1") {
		t.Errorf("strangers hear whom we ask: %v, %s", err, f.sessions[0].Info)
	}
	f.wantReported(DNSSECInvalid, DNSSECInvalid)
	f.dns.Fail("_25._tcp.mx.example.com.", mdns.TypeTLSA, mdns.RcodeServerFailure)
	f.wantError("example.com", "4.7.5")
	f.wantReported(ValidationFailure)
	if got := names(f.hosts("two.example.com")); got != "sound.example.com" {
		t.Errorf("hosts %s, want the sound one alone", got)
	}
	f.reported()
	f.dns.Repair("_25._tcp.mx.example.com.", mdns.TypeTLSA)
	if got := f.host("example.com").TLS; got.Source != "" {
		t.Errorf("%+v", got)
	}
	f.dns.Add("alias.example.com. 60 IN CNAME mx.plain.example.", "mx.plain.example. 60 IN A 192.0.2.1", "three.example.com. 60 IN MX 10 alias.example.com.")
	f.dns.Fail("alias.example.com.", mdns.TypeCNAME, mdns.RcodeServerFailure)
	f.wantError("three.example.com", "4.7.5")
}
