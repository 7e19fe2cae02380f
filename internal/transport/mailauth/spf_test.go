package mailauth

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// TestSPFGrammar: RFC 7208 section 12.
func TestSPFGrammar(t *testing.T) {
	for record, want := range map[string]bool{
		"v=spf1": true, "v=spf1 -all": true, "V=SPF1  IP4:192.0.2.1  ~ALL ": true, "v=spf1 a mx/24 a//64 mx:x.example/24//64 ptr ptr:x.example ?all": true,
		"v=spf1 include:%{d}.x.example exists:%{ir}.%{v}._spf.%{d2} redirect=_spf.%{D}": true, "v=spf1 a:%{p2r.-}": true, "v=spf1 a:x.example.": true,
		"v=spf1 ip6:2001:db8::/32 ip6:::ffff:192.0.2.1 ip4:192.0.2.0/0": true, "v=spf1 unknown.one=a:b/c%{l} exp=e.%{d}": true, "v=spf1 a:a%%b%_c%-d.xn--p1ai": true,
		"v=spf1 all:x": false, "v=spf1 all -foo": false, "v=spf1 foo:bar": false, "v=spf1 a:": false, "v=spf1 include": false, "v=spf1 include:x": false, "v=spf1 a:x.123": false,
		"v=spf1 a:x.example/33": false, "v=spf1 a/024": false, "v=spf1 a//129": false, "v=spf1 ip4:192.0.2": false, "v=spf1 ip4:2001:db8::1": false, "v=spf1 ip6:192.0.2.1": false,
		"v=spf1 ip4:192.0.2.01": false, "v=spf1 a:%x.example": false, "v=spf1 exists:%{z}.example": false, "v=spf1 exists:%{d0}.example": false, "v=spf1 exists:%{d.example": false,
		"v=spf1 exists:%{t}.example": false, "v=spf1 redirect=": false, "v=spf1 redirect=a.b redirect=a.b": false, "v=spf1 exp=a.b exp=a.b": false, "v=spf1 a:\xc3\xa4.example": false,
		"v=spf1 a -all r=%{c}/%{R2r-}%{t}": true, "v=spf1 r=%{z}": false, "v=spf1 redirect=%{c}": false, "v=spf1 exp=%{r}.b": false, "v=spf1 +redirect=a.b": false, "v=spf1 a\t-all": false, "v=spf1 a:x.-example": false,
	} {
		if got := isWellFormedSPF(record); got != want || !isSPF(record) {
			t.Errorf("%q: %v", record, got)
		}
	}
	for _, record := range []string{"v=spf10", "v=spf1-all", "v=spf1\t-all", " v=spf1", ""} {
		if isSPF(record) {
			t.Errorf("%q is taken for one of SPF", record)
		}
	}
}

// TestSPFNameMacro: no name that a client gives itself comes into a record, nor is one looked for.
func TestSPFNameMacro(t *testing.T) {
	w := newWorld(t)
	w.Add("1.2.0.192.in-addr.arpa. 60 IN PTR mx.a.test.", "mx.a.test. 60 IN A 192.0.2.1",
		`1.2.0.192.in-addr.arpa. 60 IN PTR x\ +a:y.evil.test.`, `x\ +a:y.evil.test. 60 IN A 192.0.2.1`, "y.evil.test. 60 IN A 192.0.2.1",
		`a.test. 60 IN TXT "v=spf1 -exists:bad.%{p} exists:%{p}.a.test -all"`, "mx.a.test.a.test. 60 IN A 127.0.0.2",
		`b.test. 60 IN TXT "v=spf1 exists:%{P}.x.b.test -all"`, "unknown.x.b.test. 60 IN A 127.0.0.2",
		`c.test. 60 IN TXT "v=spf1 exists:%%{p}.x.c.test -all"`, `d.test. 60 IN TXT "v=spf1 x=`+strings.Repeat("%{p}", 60)+` -all"`)
	for domain, want := range map[string]dkim.Result{"a.test": dkim.Fail, "b.test": dkim.Pass, "c.test": dkim.Fail, "d.test": dkim.Fail} {
		if o := newLookups(w.Resolver, netip.MustParseAddr("192.0.2.1")).checkSPF(t.Context(), "x", message.Address{Local: "a", Domain: domain}); o.Result != want {
			t.Errorf("%s: %+v, want %s", domain, o, want)
		}
	}
	if n := w.Asked("1.2.0.192.in-addr.arpa.", mdns.TypePTR); n != 0 {
		t.Errorf("the client's name was asked for %d times", n)
	}
}

// TestEmptyNamesAreNone: what macros leave nothing of is not the root.
func TestEmptyNamesAreNone(t *testing.T) {
	w := newWorld(t)
	w.Add(". 60 IN A 192.0.2.1", `. 60 IN TXT "v=spf1 +all"`)
	l := forSPF{newLookups(w.Resolver, netip.MustParseAddr("192.0.2.1"))}
	for _, name := range []string{"", "."} {
		_, addressErr := l.LookupIPAddr(t.Context(), name)
		_, textErr := l.LookupTXT(t.Context(), name)
		for _, err := range []error{addressErr, textErr} {
			var failure *net.DNSError
			if !errors.As(err, &failure) || !failure.IsNotFound {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

// TestLocalPartDoesNotSaveAForger: a local part that makes a name that no host has is no failure of DNS, which DMARC would wait for.
func TestLocalPartDoesNotSaveAForger(t *testing.T) {
	w := newWorld(t)
	w.Add(`a.test. 60 IN TXT "v=spf1 exists:%{l}.x.a.test -all"`)
	w.publish("a.test v=DMARC1;p=reject")
	for _, local := range []string{"a b", "a@b", `a\b`, `a"b`, "ä", "a..b", ".", "a%b", strings.Repeat("x", 64), "a;b", "a(b"} {
		c := client("192.0.2.1", "")
		c.From = message.Address{Local: local, Domain: "a.test"}
		v := w.Check(t.Context(), c, []byte(text("ceo@a.test")))
		if policy, _ := v.Asked(); policy != PolicyReject {
			t.Errorf("%q: SPF %+v, DMARC %+v", local, v.SPF, v.DMARC)
		}
	}
}

// TestLongNames: RFC 7208 section 7.3.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("0123456789.", 30) + "example"
	if got := inDNS(long); len(got) > maxName || len(got) < maxName-11 || !strings.HasSuffix(long, "."+got) {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	if got := inDNS(strings.Repeat("x", 300)); len(got) != 300 {
		t.Error("a label is cut")
	}
}
