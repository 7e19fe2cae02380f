package verdicts

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// letter is a message that arrives, and what is odd of it.
type letter struct {
	harness.Case
	odd        []string
	signatures map[string][]string // what is odd of the signature with a selector
	sealed     bool                // it has a chain of ARC
}

// post writes letters of many shapes, and publishes what their verification needs.
type post struct {
	t     testing.TB
	rand  *rand.Rand
	names *dnstest.Server
	dmarc []string // the names of DMARC records
	keys  map[string]crypto.Signer
	now   time.Time
	n     int

	domain string    // of the letter that is written
	right  [2]string // its addresses that are good, IPv4 and IPv6
	signed int       // signatures of it
}

func newPost(t testing.TB, seed uint64) *post {
	p := &post{
		t: t, rand: rand.New(rand.NewPCG(seed, 0)), names: dnstest.New(t),
		keys: map[string]crypto.Signer{}, now: time.Now(),
	}
	for name, bits := range map[string]int{"rsa1024": 1024, "rsa2048": 2048} {
		key, err := rsa.GenerateKey(cryptorand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		p.keys[name] = key
	}
	p.keys["ed25519"] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), ed25519.SeedSize))
	return p
}

func one[T any](p *post, list ...T) T { return list[p.rand.IntN(len(list))] }

// often is true so many times of a hundred.
func (p *post) often(percent int) bool { return p.rand.IntN(100) < percent }

// begin begins a letter, with a domain and addresses of its own.
func (p *post) begin() *letter {
	p.n++
	p.domain = fmt.Sprintf("m%d.%s", p.n, one(p, "com", "com", "co.uk", "github.io"))
	p.right = [2]string{fmt.Sprintf("198.18.%d.%d", p.n/250, 1+p.n%250), fmt.Sprintf("2001:db8::%x:%x", p.n/250+1, 1+p.n%250)}
	p.signed = 0
	l := &letter{signatures: map[string][]string{}}
	l.Do, l.Hello, l.Sender = "verify", "mx."+p.domain, "ann@"+p.domain
	l.Address = p.right[0]
	if p.often(25) {
		l.Address = p.right[1]
	}
	return l
}

// fill fills in a template: @ is the letter's domain, @4 and @6 are its good addresses.
func (p *post) fill(s string) string {
	return strings.NewReplacer("@@", "@", "@4r", reversed(p.right[0]), "@6r", reversed(p.right[1]), "@4", p.right[0], "@6", p.right[1], "@", p.domain).Replace(s)
}

// reversed is an address as macros have it, backwards.
func reversed(address string) string {
	name, err := mdns.ReverseAddr(address)
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(name, ".in-addr.arpa."), ".ip6.arpa.")
}

// publish publishes records of templates: "name. A 192.0.2.1" as in zone files but without time and class, `name. "text"` for TXT, and
// "name. FAIL TXT" for a look-up that fails.
func (p *post) publish(lines ...string) {
	p.t.Helper()
	for _, line := range lines {
		name, rest, _ := strings.Cut(p.fill(line), " ")
		kind, value, _ := strings.Cut(rest, " ")
		if strings.HasPrefix(name, "_dmarc.") {
			p.dmarc = append(p.dmarc, strings.TrimSuffix(name, "."))
		}
		switch {
		case kind == "FAIL":
			p.names.Fail(name, mdns.StringToType[value], mdns.RcodeServerFailure)
		case strings.HasPrefix(rest, `"`):
			p.names.Add(name + " 60 IN TXT" + quoted(strings.Trim(rest, `"`)))
		default:
			p.names.Add(name + " 60 IN " + rest)
		}
	}
}

// row is a name, and templates of records that are published.
type row struct {
	name    string
	records []string
}

// spfRows are what a domain may publish of SPF. Who sends from @4 or @6 is meant to pass where the name does not say otherwise.
var spfRows = []row{
	{"spf plain", []string{`@. "v=spf1 ip4:@4 ip6:@6 -all"`}},
	{"spf ranges", []string{`@. "v=spf1 ip4:198.18.0.0/16 ip6:2001:db8::/64 ~all"`}},
	{"spf everybody", []string{`@. "v=spf1 ip4:203.0.113.1/0 ip6:2001:db8::/0 -all"`}},
	{"spf range too long", []string{`@. "v=spf1 ip4:@4/33 -all"`}},
	{"spf range with zeros", []string{`@. "v=spf1 ip4:@4/032 -all"`}},
	{"spf ip4 no address", []string{`@. "v=spf1 ip4:198.18.0 -all"`}},
	{"spf ip6 no address", []string{`@. "v=spf1 ip6:2001:db8 -all"`}},
	{"spf mapped", []string{`@. "v=spf1 ip6:::ffff:@4 ?all"`}},
	{"spf a", []string{`@. "v=spf1 a -all"`, "@. A @4", "@. AAAA @6"}},
	{"spf a host", []string{`@. "v=spf1 a:h.@ -all"`, "h.@. A @4", "h.@. AAAA @6"}},
	{"spf a of several", []string{`@. "v=spf1 a:h.@ ~all"`, "h.@. A 203.0.113.9", "h.@. A @4", "h.@. AAAA 2001:db8:ffff::1", "h.@. AAAA @6"}},
	{"spf a ranges", []string{`@. "v=spf1 a:h.@/16//64 -all"`, "h.@. A 198.18.255.255", "h.@. AAAA 2001:db8::ffff:ffff"}},
	{"spf a range of six", []string{`@. "v=spf1 a:h.@//64 -all"`, "h.@. A @4", "h.@. AAAA 2001:db8::ffff:ffff"}},
	{"spf a alias", []string{`@. "v=spf1 a:alias.@ -all"`, "alias.@. CNAME h.@.", "h.@. A @4", "h.@. AAAA @6"}},
	{"spf a absent", []string{`@. "v=spf1 a:absent.@ ?all"`}},
	{"spf a nothing", []string{`@. "v=spf1 a: -all"`}},
	{"spf a one label", []string{`@. "v=spf1 a:localhost -all"`}},
	{"spf a number", []string{`@. "v=spf1 a:h.123 -all"`}},
	{"spf a dot", []string{`@. "v=spf1 a:h.@. -all"`, "h.@. A @4", "h.@. AAAA @6"}},
	{"spf a fails", []string{`@. "v=spf1 a:h.@ -all"`, "h.@. FAIL A", "h.@. FAIL AAAA"}},
	{"spf a other family fails", []string{`@. "v=spf1 a:h.@ -all"`, "h.@. A @4", "h.@. FAIL AAAA"}},
	{"spf mx", []string{`@. "v=spf1 mx -all"`, "@. MX 10 absent.@.", "@. MX 20 h.@.", "h.@. A @4", "h.@. AAAA @6"}},
	{"spf mx host", []string{`@. "v=spf1 mx:m.@/24 -all"`, "m.@. MX 10 h.@.", "h.@. A @4", "h.@. AAAA @6"}},
	{"spf mx null", []string{`@. "v=spf1 mx ~all"`, "@. MX 0 ."}},
	{"spf mx none", []string{`@. "v=spf1 mx ~all"`, "@. A @4"}},
	{"spf mx ten", []string{`@. "v=spf1 mx -all"`, "h0.@. A 203.0.113.1", "h1.@. A 203.0.113.1", "h2.@. A 203.0.113.1", "h3.@. A 203.0.113.1", "h4.@. A 203.0.113.1", "h5.@. A 203.0.113.1", "h6.@. A 203.0.113.1", "h7.@. A 203.0.113.1", "h8.@. A 203.0.113.1", "h0.@. AAAA 2001:db8:ffff::1", "h1.@. AAAA 2001:db8:ffff::1", "h2.@. AAAA 2001:db8:ffff::1", "h3.@. AAAA 2001:db8:ffff::1", "h4.@. AAAA 2001:db8:ffff::1", "h5.@. AAAA 2001:db8:ffff::1", "h6.@. AAAA 2001:db8:ffff::1", "h7.@. AAAA 2001:db8:ffff::1", "h8.@. AAAA 2001:db8:ffff::1", "@. MX 0 h0.@.", "@. MX 1 h1.@.", "@. MX 2 h2.@.", "@. MX 3 h3.@.", "@. MX 4 h4.@.", "@. MX 5 h5.@.", "@. MX 6 h6.@.", "@. MX 7 h7.@.", "@. MX 8 h8.@.", "@. MX 9 h9.@.", "h9.@. A @4", "h9.@. AAAA @6"}},
	{"spf mx eleven", []string{`@. "v=spf1 mx -all"`, "@. MX 0 h0.@.", "@. MX 1 h1.@.", "@. MX 2 h2.@.", "@. MX 3 h3.@.", "@. MX 4 h4.@.", "@. MX 5 h5.@.", "@. MX 6 h6.@.", "@. MX 7 h7.@.", "@. MX 8 h8.@.", "@. MX 9 h9.@.", "@. MX 10 h10.@.", "h10.@. A 203.0.113.1", "h0.@. A 203.0.113.1"}},
	{"spf include passes", []string{`@. "v=spf1 include:i.@ -all"`, `i.@. "v=spf1 ip4:@4 ip6:@6 -all"`}},
	{"spf include softly", []string{`@. "v=spf1 ~include:i.@ -all"`, `i.@. "v=spf1 ip4:@4 ip6:@6 ~all"`}},
	{"spf include of nobody", []string{`@. "v=spf1 include:i.@ ip4:@4 ip6:@6 -all"`, `i.@. "v=spf1 -all"`}},
	{"spf include neutral", []string{`@. "v=spf1 include:i.@ ip4:@4 ip6:@6 -all"`, `i.@. "v=spf1"`}},
	{"spf include none", []string{`@. "v=spf1 include:i.@ ip4:@4 ip6:@6 -all"`}},
	{"spf include wrong", []string{`@. "v=spf1 include:i.@ ip4:@4 ip6:@6 -all"`, `i.@. "v=spf1 foo:bar"`}},
	{"spf include fails", []string{`@. "v=spf1 include:i.@ ip4:@4 ip6:@6 -all"`, "i.@. FAIL TXT"}},
	{"spf include alias", []string{`@. "v=spf1 include:i.@ -all"`, "i.@. CNAME j.@.", `j.@. "v=spf1 ip4:@4 ip6:@6 -all"`}},
	{"spf include redirects", []string{`@. "v=spf1 include:i.@ -all"`, `i.@. "v=spf1 redirect=j.@"`, `j.@. "v=spf1 ip4:@4 ip6:@6 -all"`}},
	{"spf redirect", []string{`@. "v=spf1 redirect=r.@"`, `r.@. "v=spf1 ip4:@4 ip6:@6 -all"`}},
	{"spf redirect first", []string{`@. "v=spf1 redirect=r.@ ip4:@4 ip6:@6"`, `r.@. "v=spf1 ~all"`}},
	{"spf redirect none", []string{`@. "v=spf1 ip4:@4 redirect=r.@"`}},
	{"spf redirect behind all", []string{`@. "v=spf1 ip4:@4 ip6:@6 -all redirect=r.@"`, `r.@. "v=spf1 +all"`}},
	{"spf redirect twice", []string{`@. "v=spf1 redirect=r.@ redirect=r.@"`, `r.@. "v=spf1 +all"`}},
	{"spf redirect macro", []string{`@. "v=spf1 redirect=%{d}.r.@"`, `@.r.@. "v=spf1 ip4:@4 ip6:@6 -all"`}},
	{"spf exists", []string{`@. "v=spf1 exists:%{ir}.%{v}.x.@ -all"`, "@4r.in-addr.x.@. A 127.0.0.2", "@6r.ip6.x.@. A 127.0.0.2"}},
	{"spf exists six", []string{`@. "v=spf1 exists:x.@ ~all"`, "x.@. AAAA 2001:db8::1"}},
	{"spf exists local", []string{`@. "v=spf1 exists:%{l}.%{o}.x.@ -all"`, "ann.@.x.@. A 127.0.0.2"}},
	{"spf exists parts", []string{`@. "v=spf1 exists:%{l1r-}.x.%{d99} -all"`, "ann.x.@. A 127.0.0.2"}},
	{"spf exists sender", []string{`@. "v=spf1 exists:%{s}.x.@ -all"`, `ann\@@@.x.@. A 127.0.0.2`}},
	{"spf macro capital", []string{`@. "v=spf1 exists:%{L}.%{D}.x.@ -all"`, "ann.@.x.@. A 127.0.0.2"}},
	{"spf macro unknown", []string{`@. "v=spf1 exists:%{z}.@ -all"`}},
	{"spf macro of explanations", []string{`@. "v=spf1 exists:%{r}.@ -all"`}},
	{"spf macro zero", []string{`@. "v=spf1 exists:%{d0}.@ -all"`}},
	{"spf macro open", []string{`@. "v=spf1 exists:%{d.@ -all"`}},
	{"spf percent", []string{`@. "v=spf1 exists:a%b.@ -all"`}},
	{"spf percents", []string{`@. "v=spf1 a:%%%-%_.@ ip4:@4 ip6:@6 -all"`}},
	{"spf ptr", []string{`@. "v=spf1 ptr -all"`, "@4r.in-addr.arpa. PTR mx.@.", "@6r.ip6.arpa. PTR mx.@.", "mx.@. A @4", "mx.@. AAAA @6"}},
	{"spf ptr name", []string{`@. "v=spf1 ptr:mx.@ ~all"`, "@4r.in-addr.arpa. PTR mx.@.", "@6r.ip6.arpa. PTR mx.@.", "mx.@. A @4", "mx.@. AAAA @6"}},
	{"spf ptr other", []string{`@. "v=spf1 ptr:x.@ ~all"`, "@4r.in-addr.arpa. PTR mx.@.", "@6r.ip6.arpa. PTR mx.@.", "mx.@. A @4", "mx.@. AAAA @6"}},
	{"spf ptr unproven", []string{`@. "v=spf1 ptr ~all"`, "@4r.in-addr.arpa. PTR mx.@.", "@6r.ip6.arpa. PTR mx.@.", "mx.@. A 203.0.113.1"}},
	{"spf ptr none", []string{`@. "v=spf1 ptr ?all"`}},
	{"spf ptr fails", []string{`@. "v=spf1 ptr ?all"`, "@4r.in-addr.arpa. FAIL PTR", "@6r.ip6.arpa. FAIL PTR"}},
	{"spf macro p", []string{`@. "v=spf1 exists:%{p}.x.@ -all"`, "@4r.in-addr.arpa. PTR mx.@.", "@6r.ip6.arpa. PTR mx.@.", "mx.@. A @4", "mx.@. AAAA @6", "mx.@.x.@. A 127.0.0.2"}},
	{"spf neutral", []string{`@. "v=spf1 ?ip4:@4 ?ip6:@6 -all"`}},
	{"spf soft", []string{`@. "v=spf1 ~ip4:@4 ~ip6:@6 ?all"`}},
	{"spf minus", []string{`@. "v=spf1 -ip4:@4 -ip6:@6 +all"`}},
	{"spf no all", []string{`@. "v=spf1 ip4:@4"`}},
	{"spf empty", []string{`@. "v=spf1"`}},
	{"spf explained", []string{`@. "v=spf1 -all exp=e.@"`, `e.@. "Ask %{s} why %{i} may not."`}},
	{"spf explained twice", []string{`@. "v=spf1 -all exp=e.@ exp=e.@"`}},
	{"spf unknown modifier", []string{`@. "v=spf1 x-y=%{d}/a ip4:@4 ip6:@6 -all"`}},
	{"spf macros of explanations", []string{`@. "v=spf1 r=%{c}%{R2r-}%{t} ip4:@4 ip6:@6 -all"`}},
	{"spf unknown mechanism", []string{`@. "v=spf1 foo:bar ip4:@4 -all"`}},
	{"spf wrong behind a match", []string{`@. "v=spf1 ip4:@4 ip6:@6 foo:bar -all"`}},
	{"spf capitals", []string{`@. "V=SPF1 IP4:@4 IP6:@6 -ALL"`}},
	{"spf spaces", []string{`@. "v=spf1   ip4:@4  ip6:@6   -all "`}},
	{"spf no space", []string{`@. "v=spf1ip4:@4 -all"`}},
	{"spf version ten", []string{`@. "v=spf10 ip4:@4 -all"`}},
	{"spf version two", []string{`@. "spf2.0/mfrom ip4:@4 -all"`}},
	{"spf twice", []string{`@. "v=spf1 ip4:@4 ip6:@6 -all"`, `@. "v=spf1 ip4:@4 -all"`}},
	{"spf beside others", []string{`@. "v=spf1 ip4:@4 ip6:@6 -all"`, `@. "v=spf10 -all"`, `@. "some-verification=v=spf1"`}},
	{"spf none", nil},
	{"spf none but there", []string{"@. A @4"}},
	{"spf long", []string{`@. "v=spf1 ` + strings.Repeat("ip4:203.0.113.1 ", 60) + `ip4:@4 ip6:@6 -all"`}},
	{"spf two voids", []string{`@. "v=spf1 a:v1.@ a:v2.@ ip4:@4 ip6:@6 -all"`}},
	{"spf three voids", []string{`@. "v=spf1 a:v1.@ mx:v2.@ exists:v3.@ ip4:@4 ip6:@6 -all"`}},
	{"spf ten look-ups", []string{`@. "v=spf1 a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ ip4:@4 ip6:@6 -all"`, "h.@. A 203.0.113.1", "h.@. AAAA 2001:db8:ffff::1"}},
	{"spf eleven look-ups", []string{`@. "v=spf1 a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ ip4:@4 ip6:@6 -all"`, "h.@. A 203.0.113.1", "h.@. AAAA 2001:db8:ffff::1"}},
	{"spf includes too deep", []string{`@. "v=spf1 include:i.@ include:i.@ ip4:@4 ip6:@6 -all"`, `i.@. "v=spf1 a:h.@ a:h.@ a:h.@ a:h.@ a:h.@ ?all"`, "h.@. A 203.0.113.1", "h.@. AAAA 2001:db8:ffff::1"}},
	{"spf loop", []string{`@. "v=spf1 include:@ -all"`}},
	{"spf fails", []string{"@. FAIL TXT"}},
	{"spf fails behind a match", []string{`@. "v=spf1 ip4:@4 ip6:@6 a:h.@ -all"`, "h.@. FAIL A", "h.@. FAIL AAAA"}},
	{"spf all with more", []string{`@. "v=spf1 ip4:@4 all:x -all"`}},
	{"spf mechanism behind all", []string{`@. "v=spf1 ~all ip4:@4 ip6:@6"`}},
	{"spf not ASCII", []string{`@. "v=spf1 a:\195\164.@ ip4:@4 -all"`}},
	{"spf alias", []string{"@. CNAME o.@.", `o.@. "v=spf1 ip4:@4 ip6:@6 -all"`}},
}

// keyRows are what a signer may publish as its key: $ is the name, % the key, & its kind.
var keyRows = []row{
	{"key plain", []string{`$ "v=DKIM1; k=&; p=%"`}},
	{"key without version", []string{`$ "k=&; p=%"`}},
	{"key without kind", []string{`$ "v=DKIM1; p=%"`}},
	{"key spaces", []string{`$ "v = DKIM1 ;  k = & ;\009p = % ; "`}},
	{"key tight", []string{`$ "v=DKIM1;k=&;p=%"`}},
	{"key base64 with spaces", []string{`$ "v=DKIM1; k=&; p=~"`}},
	{"key for SHA-256", []string{`$ "v=DKIM1; h=sha256; k=&; p=%"`}},
	{"key for hashes", []string{`$ "v=DKIM1; h= sha1 : sha256 ; k=&; p=%"`}},
	{"key for SHA-1", []string{`$ "v=DKIM1; h=sha1; k=&; p=%"`}},
	{"key for an unknown hash", []string{`$ "v=DKIM1; h=sha512; k=&; p=%"`}},
	{"key for mail", []string{`$ "v=DKIM1; s=email; k=&; p=%"`}},
	{"key for all", []string{`$ "v=DKIM1; s=*; k=&; p=%"`}},
	{"key for another and mail", []string{`$ "v=DKIM1; s=tlsrpt : email; k=&; p=%"`}},
	{"key for another", []string{`$ "v=DKIM1; s=tlsrpt; k=&; p=%"`}},
	{"key tested", []string{`$ "v=DKIM1; t=y; k=&; p=%"`}},
	{"key strict", []string{`$ "v=DKIM1; t=s; k=&; p=%"`}},
	{"key tested and strict", []string{`$ "v=DKIM1; t= y : s ; k=&; p=%"`}},
	{"key with notes", []string{`$ "v=DKIM1; n=see=20page; k=&; p=%"`}},
	{"key g all", []string{`$ "v=DKIM1; g=*; k=&; p=%"`}},
	{"key g one", []string{`$ "v=DKIM1; g=bob; k=&; p=%"`}},
	{"key revoked", []string{`$ "v=DKIM1; k=&; p="`}},
	{"key without p", []string{`$ "v=DKIM1; k=&"`}},
	{"key absent", nil},
	{"key fails", []string{"$ FAIL TXT"}},
	{"key alias", []string{"$ CNAME key.@.", `key.@. "v=DKIM1; k=&; p=%"`}},
	{"key alias to nothing", []string{"$ CNAME key.@."}},
	{"key beside text", []string{`$ "some text"`, `$ "v=DKIM1; k=&; p=%"`}},
	{"key version two", []string{`$ "v=DKIM2; k=&; p=%"`}},
	{"key version small", []string{`$ "v=dkim1; k=&; p=%"`}},
	{"key version last", []string{`$ "k=&; p=%; v=DKIM1"`}},
	{"key unknown kind", []string{`$ "v=DKIM1; k=ecc; p=%"`}},
	{"key kind in capitals", []string{`$ "v=DKIM1; k=RSA; p=%"`}},
	{"key gaps", []string{`$ ";v=DKIM1;; k=&; p=%;;"`}},
	{"key no base64", []string{`$ "v=DKIM1; k=&; p=!!!"`}},
	{"key no key", []string{`$ "v=DKIM1; k=&; p=YWJj"`}},
	{"key unknown tag", []string{`$ "v=DKIM1; zz=top; k=&; p=%"`}},
	{"key tag twice", []string{`$ "v=DKIM1; k=&; p=%; p="`}},
	{"key rubbish behind", []string{`$ "v=DKIM1; k=&; p=%; and more"`}},
	{"key of another", []string{`$ "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`}},
	{"key bare", []string{`$ "v=DKIM1; k=&; p=^"`}},
}

// stamp is a signature as its field has it, tag by tag.
type stamp struct {
	key                          string // of post.keys
	v, a, c, d, s, q, i, t, x, l string
	names                        []string // of h=
	separator, extra, end        string
	noBH                         bool
	h                            string // of h= in place of names as they are
}

// stampRows are what may be odd of a signature.
var stampRows = []struct {
	name string
	edit func(p *post, s *stamp)
}{
	{"stamp plain", func(*post, *stamp) {}},
	{"stamp simple", func(_ *post, s *stamp) { s.c = "simple/simple" }},
	{"stamp simple and relaxed", func(_ *post, s *stamp) { s.c = "simple/relaxed" }},
	{"stamp relaxed and simple", func(_ *post, s *stamp) { s.c = "relaxed/simple" }},
	{"stamp relaxed alone", func(_ *post, s *stamp) { s.c = "relaxed" }},
	{"stamp no c", func(_ *post, s *stamp) { s.c = "" }},
	{"stamp unknown c", func(_ *post, s *stamp) { s.c = "nofws/relaxed" }},
	{"stamp l all", func(_ *post, s *stamp) { s.l = "all" }},
	{"stamp l less", func(_ *post, s *stamp) { s.l = "less" }},
	{"stamp l zero", func(_ *post, s *stamp) { s.l = "0" }},
	{"stamp l more", func(_ *post, s *stamp) { s.l = "99999" }},
	{"stamp l no number", func(_ *post, s *stamp) { s.l = "1a" }},
	{"stamp expires", func(p *post, s *stamp) { s.x = unix(p.now.Add(time.Hour)) }},
	{"stamp expired", func(p *post, s *stamp) { s.t, s.x = unix(p.now.Add(-48*time.Hour)), unix(p.now.Add(-24*time.Hour)) }},
	{"stamp expired without t", func(p *post, s *stamp) { s.t, s.x = "", unix(p.now.Add(-24*time.Hour)) }},
	{"stamp expires before it is made", func(p *post, s *stamp) { s.x = unix(p.now.Add(-48 * time.Hour)); s.t = unix(p.now) }},
	{"stamp from the future", func(p *post, s *stamp) { s.t = unix(p.now.Add(48 * time.Hour)) }},
	{"stamp t no number", func(_ *post, s *stamp) { s.t = "now" }},
	{"stamp q", func(_ *post, s *stamp) { s.q = "dns/txt" }},
	{"stamp unknown q", func(_ *post, s *stamp) { s.q = "http/json" }},
	{"stamp q of several", func(_ *post, s *stamp) { s.q = "http/json : dns/txt" }},
	{"stamp i", func(_ *post, s *stamp) { s.i = "@" + s.d }},
	{"stamp i with user", func(_ *post, s *stamp) { s.i = "ann=2Bx@" + s.d }},
	{"stamp i below", func(_ *post, s *stamp) { s.i = "ann@news." + s.d }},
	{"stamp i in capitals", func(_ *post, s *stamp) { s.i = "Ann@" + strings.ToUpper(s.d) }},
	{"stamp i elsewhere", func(_ *post, s *stamp) { s.i = "ann@x" + s.d }},
	{"stamp i no address", func(_ *post, s *stamp) { s.i = s.d }},
	{"stamp over-signed", func(_ *post, s *stamp) { s.names = append(s.names, "from", "subject", "cc", "reply-to") }},
	{"stamp of absent", func(_ *post, s *stamp) { s.names = append(s.names, "X-Nothing", "Resent-From") }},
	{"stamp names in capitals", func(_ *post, s *stamp) { s.h = strings.ToUpper(strings.Join(s.names, ":")) }},
	{"stamp names folded", func(_ *post, s *stamp) { s.h = strings.Join(s.names, " :\r\n\t") }},
	{"stamp without From", func(_ *post, s *stamp) { s.names = []string{"to", "subject", "date"} }},
	{"stamp without h", func(_ *post, s *stamp) { s.names = nil }},
	{"stamp gap in h", func(_ *post, s *stamp) { s.h = strings.Join(s.names, ":") + ":" }},
	{"stamp of traces", func(_ *post, s *stamp) { s.names = append(s.names, "received", "received", "received") }},
	{"stamp of one trace", func(_ *post, s *stamp) { s.names = append(s.names, "received") }},
	{"stamp without v", func(_ *post, s *stamp) { s.v = "" }},
	{"stamp v two", func(_ *post, s *stamp) { s.v = "2" }},
	{"stamp rsa-sha1", func(_ *post, s *stamp) { s.a = strings.Replace(s.a, "rsa-sha256", "rsa-sha1", 1) }},
	{"stamp unknown a", func(_ *post, s *stamp) { s.a = "rsa-md5" }},
	{"stamp a in capitals", func(_ *post, s *stamp) { s.a = strings.ToUpper(s.a) }},
	{"stamp d in capitals", func(_ *post, s *stamp) { s.d = strings.ToUpper(s.d) }},
	{"stamp without d", func(_ *post, s *stamp) { s.d = "" }},
	{"stamp without bh", func(_ *post, s *stamp) { s.noBH = true }},
	{"stamp unknown tags", func(_ *post, s *stamp) { s.extra = "; zz=top; z=From:ann@@x=7CSubject:x; r=y" }},
	{"stamp tag twice", func(_ *post, s *stamp) { s.extra = "; d=" + s.d }},
	{"stamp rubbish", func(_ *post, s *stamp) { s.extra = "; rubbish" }},
	{"stamp gaps", func(_ *post, s *stamp) { s.extra = ";" }},
	{"stamp tight", func(_ *post, s *stamp) { s.separator = ";" }},
	{"stamp folded", func(_ *post, s *stamp) { s.separator = " ;\r\n\t " }},
	{"stamp semicolon at the end", func(_ *post, s *stamp) { s.end = ";" }},
	{"stamp text at the end", func(_ *post, s *stamp) { s.end = "; zz = top " }},
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// changeRows are what may become of a message after it was signed.
var changeRows = []struct {
	name string
	edit func(fields []string, body string) ([]string, string)
}{
	{"unchanged", func(f []string, b string) ([]string, string) { return f, b }},
	{"text added", func(f []string, b string) ([]string, string) { return f, b + "-- \r\nA list\r\n" }},
	{"text changed", func(f []string, b string) ([]string, string) { return f, "X" + b }},
	{"lines added at the end", func(f []string, b string) ([]string, string) { return f, b + "\r\n\r\n" }},
	{"spaces added at the end", func(f []string, b string) ([]string, string) { return f, strings.TrimSuffix(b, "\r\n") + " \t\r\n" }},
	{"spaces doubled", func(f []string, b string) ([]string, string) { return f, strings.ReplaceAll(b, " ", "  ") }},
	{"space of line of its own", func(f []string, b string) ([]string, string) { return f, b + " \r\n" }},
	{"subject changed", func(f []string, b string) ([]string, string) { return edited(f, "Subject:", "Subject: [list]"), b }},
	{"subject folded", func(f []string, b string) ([]string, string) { return edited(f, "Subject: ", "Subject:\r\n  "), b }},
	{"subject in capitals", func(f []string, b string) ([]string, string) { return edited(f, "Subject:", "SUBJECT :"), b }},
	{"subject twice", func(f []string, b string) ([]string, string) { return append([]string{"Subject: Buy!\r\n"}, f...), b }},
	{"subject below", func(f []string, b string) ([]string, string) { return append(slices.Clone(f), "Subject: Buy!\r\n"), b }},
	{"subject removed", func(f []string, b string) ([]string, string) {
		return slices.DeleteFunc(slices.Clone(f), func(s string) bool { return strings.HasPrefix(s, "Subject:") }), b
	}},
	{"traces added", func(f []string, b string) ([]string, string) {
		return append([]string{"Received: from x by y;\r\n\tThu, 26 Nov 2026 12:00:00 +0000\r\n"}, f...), b
	}},
	{"fields turned round", func(f []string, b string) ([]string, string) {
		f = slices.Clone(f)
		slices.Reverse(f)
		return f, b
	}},
	{"field added", func(f []string, b string) ([]string, string) { return append(slices.Clone(f), "X-Scanned: yes\r\n"), b }},
	{"Cc added", func(f []string, b string) ([]string, string) {
		return append(slices.Clone(f), "Cc: eve@example.net\r\n"), b
	}},
	{"From twice", func(f []string, b string) ([]string, string) {
		return append([]string{"From: eve@example.net\r\n"}, f...), b
	}},
}

func edited(fields []string, before, after string) []string {
	fields = slices.Clone(fields)
	for i, f := range fields {
		if strings.HasPrefix(f, before) {
			fields[i] = after + f[len(before):]
		}
	}
	return fields
}

// message writes a message of an author, as fields and a body.
func (p *post) message(from string) (fields []string, body string) {
	fields = []string{
		"From: " + from + "\r\n",
		"To: " + one(p, "bob@example.net", "Bob  <bob@example.net>,\r\n\tcarol@example.net ") + "\r\n",
		"Subject: " + one(p, "Lunch?", "Lunch  at\tnoon? ", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "a long one\r\n that goes on\r\n\tand on", "", "\r\n folded at once") + "\r\n",
		"Date: Thu, 26 Nov 2026 12:00:00 +0000\r\n",
		fmt.Sprintf("Message-ID: <%d@%s>\r\n", p.n, p.domain),
	}
	if p.often(30) {
		fields = append([]string{"Received: from a\r\n\tby b; Thu, 26 Nov 2026 12:00:00 +0000\r\n", "Received: from c by d; Thu, 26 Nov 2026 11:00:00 +0000\r\n"}, fields...)
	}
	if p.often(30) {
		fields = append(fields, "MIME-Version: 1.0\r\n", "Content-Type: text/plain;\r\n charset=utf-8\r\n", "X-Empty:\r\n", "X-Colons: a:b: c\r\n")
	}
	if p.often(20) {
		fields = append(fields, "Cc: Dan <dan@example.org>\r\n")
	}
	body = one(p, "At noon.\r\n", "At noon.\r\n\r\nAnn\r\n", "", "\r\n", "\r\n\r\n\r\n", "At  noon.\t\r\n \r\n\r\n", " indented\r\n\tand so\r\n", "no line break at the end",
		"Gr\xc3\xbc\xc3\x9fe \xff\r\n", "..\r\n.\r\n", strings.Repeat("A line of a long text, with  spaces.\r\n", 200), "only spaces behind\r\n   \r\n\t\r\n")
	return fields, body
}

var spaces = regexp.MustCompile(`[ \t]+`)

// canonicalField and canonicalBody are RFC 6376 section 3.4, written as it is read.
func canonicalField(field string, relaxed bool) string {
	if !relaxed {
		return field
	}
	name, value, _ := strings.Cut(field, ":")
	value = spaces.ReplaceAllString(strings.ReplaceAll(value, "\r\n", ""), " ")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Trim(value, " ") + "\r\n"
}

func canonicalBody(body string, relaxed bool) string {
	if relaxed {
		lines := strings.Split(body, "\r\n")
		for i, line := range lines {
			lines[i] = strings.TrimRight(spaces.ReplaceAllString(line, " "), " ")
		}
		body = strings.Join(lines, "\r\n")
	}
	for strings.HasSuffix(body, "\r\n") {
		body = strings.TrimSuffix(body, "\r\n")
	}
	if body == "" && relaxed {
		return ""
	}
	return body + "\r\n"
}

// sign returns the field of a signature.
func (p *post) sign(name string, s *stamp, fields []string, body string) string {
	p.t.Helper()
	header, bodyKind, _ := strings.Cut(s.c, "/")
	text := canonicalBody(body, bodyKind == "relaxed")
	switch s.l {
	case "all":
		s.l = strconv.Itoa(len(text))
	case "less":
		s.l = strconv.Itoa(len(text) / 2)
	}
	if n, err := strconv.Atoi(s.l); err == nil {
		text = text[:min(n, len(text))]
	}
	digest := func(text string) ([]byte, crypto.Hash) {
		if strings.HasSuffix(s.a, "sha1") {
			sum := sha1.Sum([]byte(text))
			return sum[:], crypto.SHA1
		}
		sum := sha256.Sum256([]byte(text))
		return sum[:], crypto.SHA256
	}
	var b strings.Builder
	b.WriteString(name + ":")
	separator := " "
	add := func(tag, value string) {
		if value != "" {
			b.WriteString(separator + tag + "=" + value)
			separator = s.separator
		}
	}
	add("v", s.v)
	add("a", s.a)
	add("c", s.c)
	add("d", s.d)
	add("s", s.s)
	add("q", s.q)
	add("i", s.i)
	add("t", s.t)
	add("x", s.x)
	add("l", s.l)
	if s.h == "" {
		s.h = strings.Join(s.names, ":")
	}
	add("h", s.h)
	b.WriteString(s.extra)
	if sum, _ := digest(text); !s.noBH {
		add("bh", base64.StdEncoding.EncodeToString(sum))
	}
	add("b", "\x00")
	before, _, _ := strings.Cut(b.String(), "\x00")

	var hashed strings.Builder
	taken := map[string]int{}
	for _, name := range s.names {
		name = strings.ToLower(name)
		skip := taken[name]
		for _, f := range slices.Backward(fields) {
			if n, _, _ := strings.Cut(f, ":"); strings.EqualFold(strings.TrimRight(n, " \t"), name) {
				if skip == 0 {
					taken[name]++
					hashed.WriteString(canonicalField(f, header == "relaxed"))
					break
				}
				skip--
			}
		}
	}
	hashed.WriteString(strings.TrimSuffix(canonicalField(before+s.end+"\r\n", header == "relaxed"), "\r\n"))
	sum, hash := digest(hashed.String())
	options := crypto.SignerOpts(hash)
	if s.key == "ed25519" {
		options = crypto.Hash(0)
	}
	signature, err := p.keys[s.key].Sign(cryptorand.Reader, sum, options)
	if err != nil {
		p.t.Fatal(err)
	}
	value := base64.StdEncoding.EncodeToString(signature)
	if header == "relaxed" && len(value) > 100 {
		value = value[:70] + "\r\n\t" + value[70:]
	}
	return before + value + s.end + "\r\n"
}

// stampOf is a signature of the letter by a domain with nothing odd, its key of one of the kinds and published as a row has it.
func (p *post) stampOf(domain string, key row, kinds ...string) *stamp {
	p.signed++
	if kinds == nil {
		kinds = []string{"rsa1024", "rsa2048", "ed25519"}
	}
	s := &stamp{
		key: one(p, append(kinds, "rsa2048")...), v: "1", c: "relaxed/relaxed", d: domain, s: fmt.Sprintf("s%d", p.signed), t: unix(p.now),
		names: []string{"from", "to", "subject", "date", "message-id"}, separator: "; ",
	}
	if key.name == "key kind in capitals" || key.name == "key without kind" || key.name == "key bare" {
		s.key = "rsa2048"
	}
	kind := strings.TrimRight(s.key, "0123456789")
	if s.key == "ed25519" {
		kind = "ed25519"
	}
	s.a = kind + "-sha256"
	var der, bare []byte
	switch public := p.keys[s.key].Public().(type) {
	case *rsa.PublicKey:
		der, _ = x509.MarshalPKIXPublicKey(public) // an RSA key has this form
		bare = x509.MarshalPKCS1PublicKey(public)
	case ed25519.PublicKey:
		der, bare = public, public
	}
	text := base64.StdEncoding.EncodeToString(der)
	fill := strings.NewReplacer("$", s.s+"._domainkey."+domain+".", "%", text, "~", text[:10]+" "+text[10:20]+"  "+text[20:], "^", base64.StdEncoding.EncodeToString(bare), "&", kind)
	for _, r := range key.records {
		p.publish(fill.Replace(r))
	}
	return s
}

// turn returns the rows of a table in turn.
func turn[T any](rows []T, i int) T { return rows[i%len(rows)] }

// signedLetter is a letter with signatures of which something is odd.
func (p *post) signedLetter(i int) *letter {
	l := p.begin()
	p.publish(`@. "v=spf1 -all"`, `_dmarc.@. "v=DMARC1; p=`+one(p, "none", "reject", "quarantine")+`"`)
	fields, body := p.message("Ann <ann@" + p.domain + ">")
	change := changeRows[0]
	if i%3 == 2 {
		change = turn(changeRows, i/3)
	}
	l.odd = append(l.odd, change.name)
	var stamps []string
	for n := range 1 + p.rand.IntN(10)/8 {
		key, odd := keyRows[0], stampRows[0]
		switch {
		case n > 0: // beside an odd one
		case i%3 == 0:
			key = turn(keyRows, i/3)
		case i%3 == 1:
			odd = turn(stampRows, i/3)
		}
		if p.often(10) {
			odd = one(p, stampRows...)
		}
		if i%3 == 2 && n == 0 {
			odd = stampRows[p.rand.IntN(6)]
		}
		s := p.stampOf(one(p, p.domain, p.domain, "mail."+p.domain, "other"+p.domain), key)
		odd.edit(p, s)
		stamps = append([]string{p.sign(one(p, "DKIM-Signature", "dkim-signature"), s, fields, body)}, stamps...)
		l.signatures[s.s] = []string{key.name, odd.name, s.key, change.name}
		l.odd = append(l.odd, key.name, odd.name)
	}
	for selector, odd := range l.signatures {
		for other, beside := range l.signatures {
			if other != selector {
				l.signatures[selector] = append(odd, "beside "+beside[0], "beside "+beside[1])
			}
		}
	}
	fields, body = change.edit(fields, body)
	l.Message = []byte(strings.Join(stamps, "") + strings.Join(fields, "") + "\r\n" + body)
	return l
}

// sentLetter is a letter that is not signed, for SPF.
func (p *post) sentLetter(i int) *letter {
	l := p.begin()
	r := turn(spfRows, i)
	l.odd = append(l.odd, r.name)
	p.publish(r.records...)
	p.publish(`_dmarc.@. "v=DMARC1; p=reject"`)
	if p.often(30) { // from elsewhere
		l.Address = strings.NewReplacer("198.18.", "203.0.", "2001:db8::", "2001:db8:1::").Replace(l.Address)
		l.odd = append(l.odd, "from elsewhere")
	}
	if r.name == "spf mapped" { // which matters to IPv4 alone
		l.Address = p.right[0]
	}
	switch n := p.rand.IntN(10); {
	case n == 0:
		l.Hello, l.Sender = p.domain, ""
		l.odd = append(l.odd, "no sender")
	case n == 1:
		l.Sender = `"a b"@` + p.domain
		l.odd = append(l.odd, "sender quoted")
	case n == 2:
		l.Sender = "ann-b@" + p.domain
	case n == 3:
		l.Sender = "Ann@" + strings.ToUpper(p.domain)
		l.odd = append(l.odd, "sender in capitals")
	case n == 4 && i%2 == 0:
		l.Hello, l.Sender = "["+l.Address+"]", ""
		l.odd = append(l.odd, "no sender", "hello an address")
	}
	fields, body := p.message("ann@" + p.domain)
	l.Message = []byte(strings.Join(fields, "") + "\r\n" + body)
	return l
}

// dmarcRows are what an author's domain, at or below @, may publish of DMARC; the author is at the last name of a row.
var dmarcRows = []struct {
	row
	author string
}{
	{row{"dmarc none", nil}, "@"},
	{row{"dmarc p=none", []string{`_dmarc.@. "v=DMARC1; p=none"`}}, "@"},
	{row{"dmarc p=quarantine", []string{`_dmarc.@. "v=DMARC1; p=quarantine"`}}, "@"},
	{row{"dmarc p=reject", []string{`_dmarc.@. "v=DMARC1; p=reject; rua=mailto:d@@example.com"`}}, "@"},
	{row{"dmarc strict", []string{`_dmarc.@. "v=DMARC1; p=reject; adkim=s; aspf=s"`}}, "@"},
	{row{"dmarc strict below", []string{`_dmarc.@. "v=DMARC1; p=reject; adkim=s; aspf=s"`}}, "sub.@"},
	{row{"dmarc strict dkim below", []string{`_dmarc.@. "v=DMARC1; p=reject; adkim=s; aspf=r"`}}, "sub.@"},
	{row{"dmarc relaxed below", []string{`_dmarc.@. "v=DMARC1; p=reject; adkim=r; aspf=r"`}}, "sub.@"},
	{row{"dmarc deep", []string{`_dmarc.@. "v=DMARC1; p=reject"`}}, "a.b.c.sub.@"},
	{row{"dmarc too deep", []string{`_dmarc.@. "v=DMARC1; p=reject"`}}, "a.b.c.d.e.f.g.h.i.sub.@"},
	{row{"dmarc sp", []string{`_dmarc.@. "v=DMARC1; p=none; sp=reject"`, "sub.@. A @4"}}, "sub.@"},
	{row{"dmarc sp of itself", []string{`_dmarc.@. "v=DMARC1; p=quarantine; sp=reject"`}}, "@"},
	{row{"dmarc np of none", []string{`_dmarc.@. "v=DMARC1; p=none; sp=quarantine; np=reject"`}}, "sub.@"},
	{row{"dmarc np of one with an address", []string{`_dmarc.@. "v=DMARC1; p=none; sp=quarantine; np=reject"`, "sub.@. A @4"}}, "sub.@"},
	{row{"dmarc np of one with text alone", []string{`_dmarc.@. "v=DMARC1; p=none; sp=quarantine; np=reject"`, `sub.@. "text"`}}, "sub.@"},
	{row{"dmarc np of one with names below", []string{`_dmarc.@. "v=DMARC1; p=none; np=reject"`, "x.sub.@. A @4"}}, "sub.@"},
	{row{"dmarc np of an alias", []string{`_dmarc.@. "v=DMARC1; p=none; np=reject"`, "sub.@. CNAME absent.@."}}, "sub.@"},
	{row{"dmarc np fails", []string{`_dmarc.@. "v=DMARC1; p=none; np=reject"`, "sub.@. FAIL A", "sub.@. FAIL AAAA", "sub.@. FAIL MX", "sub.@. FAIL CNAME"}}, "sub.@"},
	{row{"dmarc own record below", []string{`_dmarc.@. "v=DMARC1; p=reject"`, `_dmarc.sub.@. "v=DMARC1; p=none"`}}, "sub.@"},
	{row{"dmarc record in the middle", []string{`_dmarc.@. "v=DMARC1; p=reject"`, `_dmarc.sub.@. "v=DMARC1; p=none; sp=quarantine"`}}, "x.sub.@"},
	{row{"dmarc no suffix below", []string{`_dmarc.@. "v=DMARC1; p=reject"`, `_dmarc.sub.@. "v=DMARC1; p=quarantine; psd=n"`}}, "x.sub.@"},
	{row{"dmarc suffix", []string{`_dmarc.@. "v=DMARC1; p=reject; sp=quarantine; psd=y"`}}, "x.sub.@"},
	{row{"dmarc suffix with one below", []string{`_dmarc.@. "v=DMARC1; p=reject; psd=y"`, `_dmarc.sub.@. "v=DMARC1; p=none; sp=quarantine"`}}, "x.sub.@"},
	{row{"dmarc suffix itself", []string{`_dmarc.@. "v=DMARC1; p=reject; psd=y"`}}, "@"},
	{row{"dmarc only below", []string{`_dmarc.sub.@. "v=DMARC1; p=reject"`}}, "sub.@"},
	{row{"dmarc pct", []string{`_dmarc.@. "v=DMARC1; p=reject; pct=50"`}}, "@"},
	{row{"dmarc pct zero", []string{`_dmarc.@. "v=DMARC1; p=reject; pct=0"`}}, "@"},
	{row{"dmarc pct no number", []string{`_dmarc.@. "v=DMARC1; p=reject; pct=many"`}}, "@"},
	{row{"dmarc tested", []string{`_dmarc.@. "v=DMARC1; p=reject; t=y"`}}, "@"},
	{row{"dmarc quarantine tested", []string{`_dmarc.@. "v=DMARC1; p=quarantine; t=y"`}}, "@"},
	{row{"dmarc tight", []string{`_dmarc.@. "v=DMARC1;p=reject;adkim=s"`}}, "@"},
	{row{"dmarc spaces", []string{`_dmarc.@. "v = DMARC1 ; p = reject ; "`}}, "@"},
	{row{"dmarc values in capitals", []string{`_dmarc.@. "v=DMARC1; p=REJECT; adkim=S"`}}, "@"},
	{row{"dmarc tags in capitals", []string{`_dmarc.@. "v=DMARC1; P=reject"`}}, "@"},
	{row{"dmarc version small", []string{`_dmarc.@. "v=dmarc1; p=reject"`}}, "@"},
	{row{"dmarc version two", []string{`_dmarc.@. "v=DMARC2; p=reject"`}}, "@"},
	{row{"dmarc version last", []string{`_dmarc.@. "p=reject; v=DMARC1"`}}, "@"},
	{row{"dmarc no p", []string{`_dmarc.@. "v=DMARC1; rua=mailto:d@@example.com"`}}, "@"},
	{row{"dmarc no p and nobody", []string{`_dmarc.@. "v=DMARC1"`}}, "@"},
	{row{"dmarc unknown p", []string{`_dmarc.@. "v=DMARC1; p=refuse; rua=mailto:d@@example.com"`}}, "@"},
	{row{"dmarc unknown p and nobody", []string{`_dmarc.@. "v=DMARC1; p=refuse"`}}, "@"},
	{row{"dmarc unknown sp", []string{`_dmarc.@. "v=DMARC1; p=reject; sp=refuse; rua=mailto:d@@example.com"`}}, "@"},
	{row{"dmarc p behind others", []string{`_dmarc.@. "v=DMARC1; adkim=s; p=reject"`}}, "@"},
	{row{"dmarc p twice", []string{`_dmarc.@. "v=DMARC1; p=reject; p=none"`}}, "@"},
	{row{"dmarc unknown tag", []string{`_dmarc.@. "v=DMARC1; p=reject; zz=top"`}}, "@"},
	{row{"dmarc rubbish", []string{`_dmarc.@. "v=DMARC1; p=reject; and more"`}}, "@"},
	{row{"dmarc unknown alignment", []string{`_dmarc.@. "v=DMARC1; p=reject; adkim=x; aspf="`}}, "@"},
	{row{"dmarc alias", []string{"_dmarc.@. CNAME policy.@.", `policy.@. "v=DMARC1; p=reject"`}}, "@"},
	{row{"dmarc twice", []string{`_dmarc.@. "v=DMARC1; p=reject"`, `_dmarc.@. "v=DMARC1; p=none"`}}, "@"},
	{row{"dmarc beside others", []string{`_dmarc.@. "v=spf1 -all"`, `_dmarc.@. "v=DMARC1; p=reject"`}}, "@"},
	{row{"dmarc fails", []string{"_dmarc.@. FAIL TXT"}}, "@"},
	{row{"dmarc fails above", []string{"_dmarc.@. FAIL TXT", `_dmarc.sub.@. "v=DMARC1; p=reject"`}}, "sub.@"},
}

// authorRows are how From may name an author at @.
var authorRows = []row{
	{"from", []string{"ann@@@"}},
	{"from with a name", []string{"Ann <ann@@@>"}},
	{"from in capitals", []string{"ANN <Ann@@@>"}},
	{"from a dot", []string{"ann@@@."}},
	{"from with a name like an address", []string{`"eve@@evil.example" <ann@@@>`}},
	{"from with comments", []string{"(eve@@evil.example) ann@@@ (Ann)"}},
	{"from folded", []string{"Ann\r\n <ann@@@>"}},
	{"from two", []string{"ann@@@, bob@@@"}},
	{"from two domains", []string{"ann@@@, eve@@other.example"}},
	{"from twice", []string{"ann@@@\r\nFrom: eve@@other.example"}},
	{"from a group", []string{"us: ann@@@;"}},
	{"from quoted", []string{`"a b"@@@`}},
	{"from nobody", []string{"Ann"}},
	{"from an address", []string{"ann@@[198.18.0.1]"}},
	{"from spaces", []string{"Ann <ann @@ @ >"}},
}

// judgedLetter is a letter for DMARC: what is proven, for which domain, and what the author's domain asks for.
func (p *post) judgedLetter(i int) *letter {
	l := p.begin()
	r := turn(dmarcRows, i)
	author := authorRows[p.rand.IntN(3)]
	if i%4 == 3 {
		author = turn(authorRows, i/4)
	}
	l.odd = append(l.odd, r.name, author.name)
	if strings.Contains(strings.ToLower(strings.Join(r.records, "")), "adkim=s") {
		l.odd = append(l.odd, "dmarc strictly")
	}
	p.publish(r.records...)
	at := p.fill(r.author)
	near := []string{at, at, p.domain, "sub." + p.domain, "other." + p.domain, "x" + p.domain}
	if r.name == "dmarc np of an alias" { // which has nothing else
		near = []string{p.domain, "other." + p.domain}
	}
	// Who sends.
	envelope := one(p, near...)
	l.Sender = "bounce@" + envelope
	p.publish(envelope + `. "v=spf1 ip4:@4 ip6:@6 -all"`)
	if p.often(50) {
		l.Address = "203.0.113.99"
	}
	if p.often(10) {
		l.Sender, l.Hello = "", envelope
		l.odd = append(l.odd, "no sender")
	}
	whole := p.domain
	p.domain = at
	from := p.fill(author.records[0])
	if author.name == "from in capitals" {
		from = strings.ToUpper(from)
	}
	p.domain = whole
	fields, body := p.message(from)
	stamps := ""
	if p.often(50) {
		key := keyRows[0]
		s := p.stampOf(one(p, near...), key)
		stamps = p.sign("DKIM-Signature", s, fields, body)
		l.signatures[s.s] = []string{key.name, s.key, author.name}
		if p.often(25) {
			body = "spoilt " + body
			l.odd = append(l.odd, "text changed")
			l.signatures[s.s] = append(l.signatures[s.s], "text changed")
		}
	}
	l.Message = []byte(stamps + strings.Join(fields, "") + "\r\n" + body)
	return l
}

// quoted is a text in strings of a TXT record, of a length that DNS has.
func quoted(text string) string {
	var b strings.Builder
	for part := range slices.Chunk([]byte(text), 200) {
		b.WriteString(` "` + string(part) + `"`)
	}
	return b.String()
}
