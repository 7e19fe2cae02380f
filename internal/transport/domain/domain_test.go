package domain

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// TestDescribe reads what the owner of a domain publishes, keys included that nobody had made yet.
func TestDescribe(t *testing.T) {
	onBoth(t, nil, func(f *fixture) {
		d := f.describe()
		if d.Name != shop || d.Status != directory.DomainPending || d.DKIM != directory.DomainPending || d.Test || d.Default {
			t.Errorf("described as %+v", d)
		}
		var lines []string
		for _, r := range d.Records {
			line := strings.ReplaceAll(r.Line(), d.Proof.Value, "PROOF")
			if r.Purpose == DKIM {
				selector, rest, _ := strings.Cut(line, ".")
				line = strings.Replace(line, selector, "SELECTOR", 1)[:len("SELECTOR")+strings.Index(rest, "p=")+3] + " " + r.Detail
			}
			lines = append(lines, line)
		}
		want := []string{
			`_pennypost.shop.example. 3600 IN TXT "PROOF"`,
			`shop.example. 3600 IN MX 10 mail.host.example.`,
			`shop.example. 3600 IN TXT "v=spf1 a:mail.host.example ~all"`,
			`SELECTOR._domainkey.shop.example. 3600 IN TXT "v=DKIM1; k=rsa; p= rsa, current`,
			`SELECTOR._domainkey.shop.example. 3600 IN TXT "v=DKIM1; k=rsa; p= rsa, next`,
			`SELECTOR._domainkey.shop.example. 3600 IN TXT "v=DKIM1; k=ed25519; p= ed25519, current`,
			`SELECTOR._domainkey.shop.example. 3600 IN TXT "v=DKIM1; k=ed25519; p= ed25519, next`,
			`_dmarc.shop.example. 3600 IN TXT "v=DMARC1;p=quarantine;pct=100;fo=1;rua=mailto:dmarc-reports@shop.example"`,
			`_smtp._tls.shop.example. 3600 IN TXT "v=TLSRPTv1; rua=mailto:tls-reports@shop.example"`,
			`autodiscover.shop.example. 3600 IN CNAME mail.host.example.`,
			`autoconfig.shop.example. 3600 IN CNAME mail.host.example.`,
			`mta-sts.shop.example. 3600 IN CNAME mail.host.example.`,
			`_mta-sts.shop.example. 3600 IN TXT "` + f.stsRecord() + `"`,
			`_imaps._tcp.shop.example. 3600 IN SRV 0 1 993 mail.host.example.`,
			`_imap._tcp.shop.example. 3600 IN SRV 0 1 143 mail.host.example.`,
			`_submissions._tcp.shop.example. 3600 IN SRV 0 1 465 mail.host.example.`,
			`_submission._tcp.shop.example. 3600 IN SRV 0 0 0 .`,
			`_sieve._tcp.shop.example. 3600 IN SRV 0 1 4190 mail.host.example.`,
			`_autodiscover._tcp.shop.example. 3600 IN SRV 0 1 443 mail.host.example.`,
		}
		if !slices.Equal(lines, want) {
			t.Errorf("the records are\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
		if again := f.describe(); !slices.Equal(again.Records, d.Records) {
			t.Errorf("then they are %v", again.Records)
		}
		test, err := f.Describe(t.Context(), admin, f.acme.ID, "acme.awsapps.com")
		if err != nil || len(test.Records) != 0 || test.DKIM != directory.DomainVerified || !test.Test || !test.Default {
			t.Errorf("the test domain: %+v, %v", test, err)
		}
		if findings, err := f.Check(t.Context(), admin, f.acme.ID, "acme.awsapps.com"); err != nil || len(findings) != 0 {
			t.Errorf("the check of the test domain: %v, %v", findings, err)
		}
		for _, look := range []func() error{
			func() error { _, err := f.Describe(t.Context(), admin, f.acme.ID, "other.example"); return err },
			func() error { _, err := f.Check(t.Context(), admin, f.acme.ID, "other.example"); return err },
		} {
			if err := look(); !fault.Is(err, fault.NotFound, fault.Domain) {
				t.Errorf("an unknown domain: %v", err)
			}
		}
	})
}

// TestData cuts long texts as zone files need it.
func TestData(t *testing.T) {
	long := strings.Repeat("a", 300)
	for value, want := range map[string]string{
		"v=spf1 -all": `"v=spf1 -all"`, long: `"` + long[:255] + `" "` + long[255:] + `"`, long[:255]: `"` + long[:255] + `"`,
	} {
		r := Record{Type: "TXT", Name: "x.example", Value: value}
		if got := r.Data(); got != want {
			t.Errorf("%q: %s", value, got)
		}
		rr, err := mdns.NewRR(r.Line())
		if err != nil || strings.Join(rr.(*mdns.TXT).Txt, "") != value {
			t.Errorf("%s: %v, %v", r.Line(), rr, err)
		}
	}
}

// TestCheck changes one thing after the other in what a domain publishes.
func TestCheck(t *testing.T) {
	type expectation struct {
		purpose Purpose
		status  Status
		note    string
	}
	const dmarc, sts, tls = "_dmarc." + shop + ".", "_mta-sts." + shop + ".", "_smtp._tls." + shop + "."
	text := func(name, text string) func(f *fixture) {
		return func(f *fixture) {
			f.zone.Remove(name, mdns.TypeTXT)
			if text != "" {
				f.zone.Add(name + ` 60 IN TXT "` + text + `"`)
			}
		}
	}
	also := func(lines ...string) func(f *fixture) { return func(f *fixture) { f.zone.Add(lines...) } }
	instead := func(name string, kind uint16, lines ...string) func(f *fixture) {
		return func(f *fixture) {
			f.zone.Remove(name, kind)
			f.zone.Add(lines...)
		}
	}
	key := func(change func(*Record)) func(f *fixture) {
		return func(f *fixture) {
			r := f.describe().Records[3]
			f.zone.Remove(r.Name+".", mdns.TypeTXT)
			change(&r)
			f.zone.Add(r.Line())
		}
	}
	policy := func(text string) func(f *fixture) { return func(f *fixture) { f.policy = text } }
	cases := []struct {
		name   string
		change func(f *fixture)
		want   []expectation // what differs from all is right
	}{
		{"all is there", func(*fixture) {}, nil},
		{"others take mail too", also(shop + ". 60 IN MX 20 mx.other.example."), []expectation{{MX, Right, "others take mail too"}, {PolicyFile, Right, "does not name mx.other.example"}}},
		{"others first", also(shop + ". 60 IN MX 5 mx.other.example."), []expectation{{MX, Right, "asked before"}}},
		{"mail goes elsewhere", instead(shop+".", mdns.TypeMX, shop+". 60 IN MX 5 mx.other.example."), []expectation{
			{MX, Inconsistent, "goes elsewhere"}, {PolicyFile, Right, "does not name mx.other.example"},
		}},
		{"no mail is taken", instead(shop+".", mdns.TypeMX, shop+". 60 IN MX 0 ."), []expectation{{MX, Inconsistent, "goes elsewhere"}}},
		{"no MX", instead(shop+".", mdns.TypeMX), []expectation{{MX, Missing, ""}}},
		{"MX of no answer", func(f *fixture) { f.zone.Fail(shop+".", mdns.TypeMX, mdns.RcodeServerFailure) }, []expectation{{MX, Unknown, "DNS could not tell"}}},
		{"another text", also(shop + `. 60 IN TXT "google-site-verification=x"`), nil},
		{"no SPF", text(shop+".", "google-site-verification=x"), []expectation{{SPF, Missing, ""}}},
		{"SPF by address", text(shop+".", "v=spf1 ip4:127.0.0.0/8 -all"), nil},
		{"SPF by MX", text(shop+".", "v=spf1 mx -all"), nil},
		{"SPF by another's record", func(f *fixture) {
			text(shop+".", "v=spf1 include:spf.other.example -all")(f)
			f.zone.Add(`spf.other.example. 60 IN TXT "v=spf1 a:mail.host.example -all"`)
		}, nil},
		{"SPF without us", text(shop+".", "v=spf1 ip4:192.0.2.7 ~all"), []expectation{{SPF, Inconsistent, "does not include this server: 127.0.0.1 (softfail)"}}},
		{"SPF of nonsense", text(shop+".", "v=spf1 ipv4:127.0.0.1 ~all"), []expectation{{SPF, Inconsistent, "broken"}}},
		{"two SPF records", also(shop + `. 60 IN TXT "v=spf1 mx -all"`), []expectation{{SPF, Inconsistent, "there are 2 SPF records"}}},
		{"SPF of no answer", func(f *fixture) {
			text(shop+".", "v=spf1 include:spf.other.example -all")(f)
			f.zone.Fail("spf.other.example.", mdns.TypeTXT, mdns.RcodeServerFailure)
		}, []expectation{{SPF, Unknown, "DNS could not tell"}}},
		{"another key", key(func(r *Record) { r.Value = "v=DKIM1; k=rsa; p=AAAA" }), []expectation{{DKIM, Inconsistent, "another key"}}},
		{"a revoked key", key(func(r *Record) { r.Value = "v=DKIM1; p=" }), []expectation{{DKIM, Inconsistent, "no key"}}},
		{"a key as others write it", key(func(r *Record) { r.Value = strings.Replace(r.Value, "v=DKIM1; k=rsa; p=", "t=y; p=", 1) }), []expectation{{DKIM, Right, "being tested"}}},
		{"a key for other services", key(func(r *Record) { r.Value += "; s=tlsrpt" }), []expectation{{DKIM, Inconsistent, "not for mail"}}},
		{"a key is missing", key(func(r *Record) { r.Name = "elsewhere._domainkey." + shop }), []expectation{{DKIM, Missing, ""}}},
		{"two keys at a name", func(f *fixture) { f.zone.Add(f.describe().Records[3].Name + `. 60 IN TXT "v=DKIM1; p=AAAA"`) }, []expectation{{DKIM, Inconsistent, "several"}}},
		{"DMARC that only reports", text(dmarc, "v=DMARC1; p=none; rua=mailto:DMARC-reports@shop.example!10m"), []expectation{{DMARC, Right, "p=none"}}},
		{"DMARC elsewhere", text(dmarc, "v=DMARC1;p=reject;rua=mailto:x@other.example"), []expectation{{DMARC, Right, "refused; reports of others go elsewhere"}}},
		{"DMARC without a policy", text(dmarc, "v=DMARC1; rua=mailto:x@other.example"), []expectation{{DMARC, Inconsistent, "must be none"}}},
		{"DMARC of nonsense", text(dmarc, "v=DMARC1; p=reject; p=none"), []expectation{{DMARC, Inconsistent, "one twice"}}},
		{"two DMARC records", also(dmarc + ` 60 IN TXT "v=DMARC1; p=none"`), []expectation{{DMARC, Inconsistent, "there are 2 DMARC records"}}},
		{"no DMARC", text(dmarc, "something else"), []expectation{{DMARC, Missing, ""}}},
		{"TLS reports elsewhere", text(tls, "v=TLSRPTv1;rua=https://other.example/report"), []expectation{{TLSReports, Right, "elsewhere"}}},
		{"TLS reports nowhere", text(tls, "v=TLSRPTv1; ruf=x"), []expectation{{TLSReports, Inconsistent, "where reports go"}}},
		{"an old policy's id", text(sts, "v=STSv1; id=20200101"), []expectation{{MTASTS, Inconsistent, "not the policy's"}}},
		{"no id", text(sts, "v=STSv1;"), []expectation{{MTASTS, Inconsistent, "no id"}}},
		{"no record of the policy", text(sts, ""), []expectation{{MTASTS, Missing, ""}}},
		{"an alias is missing", instead("autoconfig."+shop+".", mdns.TypeCNAME), []expectation{{Autoconfig, Missing, ""}}},
		{"an address for an alias", instead("autoconfig."+shop+".", mdns.TypeCNAME, "autoconfig."+shop+". 60 IN A 127.0.0.1"), []expectation{{Autoconfig, Right, "an alias (CNAME) would follow"}}},
		{"an alias of an alias", instead("autoconfig."+shop+".", mdns.TypeCNAME, "autoconfig."+shop+". 60 IN CNAME mta-sts."+shop+"."), nil},
		{"an alias elsewhere", instead("autodiscover."+shop+".", mdns.TypeCNAME, "autodiscover."+shop+". 60 IN CNAME outlook.other.example.", "outlook.other.example. 60 IN A 192.0.2.9"), []expectation{{Autodiscover, Inconsistent, "another server"}}},
		{"an alias of nothing", instead("autodiscover."+shop+".", mdns.TypeCNAME, "autodiscover."+shop+". 60 IN CNAME outlook.other.example."), []expectation{{Autodiscover, Inconsistent, "without an address"}}},
		{"a service elsewhere", instead("_imaps._tcp."+shop+".", mdns.TypeSRV, "_imaps._tcp."+shop+". 60 IN SRV 0 1 993 mail.other.example."), []expectation{{Services, Inconsistent, "led elsewhere"}}},
		{"another port", instead("_imaps._tcp."+shop+".", mdns.TypeSRV, "_imaps._tcp."+shop+". 60 IN SRV 5 5 1993 mail.host.example."), []expectation{{Services, Inconsistent, "led elsewhere"}}},
		{"a service that is not offered", instead("_submission._tcp."+shop+".", mdns.TypeSRV, "_submission._tcp."+shop+". 60 IN SRV 0 1 587 mail.host.example."), []expectation{{Services, Inconsistent, "led elsewhere"}}},
		{"other weights", instead("_imaps._tcp."+shop+".", mdns.TypeSRV, "_imaps._tcp."+shop+". 60 IN SRV 5 5 993 mail.host.example."), nil},
		{"no policy", policy(""), []expectation{{PolicyFile, Inconsistent, "404"}}},
		{"no policy but a page", policy("<html>"), []expectation{{PolicyFile, Inconsistent, "not valid"}}},
		{"a policy without us", policy("version: STSv1\nmode: enforce\nmx: mx.other.example\nmax_age: 86400\n"), []expectation{{PolicyFile, Inconsistent, "does not name this server"}}},
		{"another's policy", policy("version: STSv1\nmode: enforce\nmx: *.host.example\nmax_age: 86400\n"), []expectation{{PolicyFile, Right, "by another server, in mode enforce"}}},
		{"a policy that keeps others' mail back", func(f *fixture) {
			f.policy = "version: STSv1\nmode: enforce\nmx: mail.host.example\nmax_age: 86400\n"
			f.zone.Add(shop + ". 60 IN MX 20 mx.other.example.")
		}, []expectation{{PolicyFile, Inconsistent, "mx.other.example"}}},
		{"a policy in a private network", instead("mta-sts."+shop+".", mdns.TypeCNAME, "mta-sts."+shop+". 60 IN A 10.0.0.1"), []expectation{{MTASTS, Inconsistent, "another server"}, {PolicyFile, Inconsistent, "not an address on the public internet"}}},
		{"a policy nowhere", instead("mta-sts."+shop+".", mdns.TypeCNAME), []expectation{{MTASTS, Missing, ""}, {PolicyFile, Missing, "nowhere"}}},
		{"an address without a name", instead("1.0.0.127.in-addr.arpa.", mdns.TypePTR), []expectation{{Reverse, Missing, "take no mail"}}},
		{"an address of another name", instead("1.0.0.127.in-addr.arpa.", mdns.TypePTR, "1.0.0.127.in-addr.arpa. 60 IN PTR dsl-1.provider.example."), []expectation{{Reverse, Inconsistent, "another name"}}},
		{"two addresses", also(host + ". 60 IN AAAA 2001:db8::1"), []expectation{{Reverse, Missing, ""}}},
	}
	onBoth(t, nil, func(f *fixture) {
		for _, f := range f.check() {
			want := Missing
			if f.Status != want {
				t.Errorf("before: %+v, want %s", f, want)
			}
		}
		f.publish()
		cases := cases
		if f.t.Name() != "TestCheck/sqlite" {
			cases = cases[:1] // what is done with answers of DNS knows no engine
		}
		clean := f.zone.Snapshot()
		for _, c := range cases {
			f.policy = f.stsPolicy()
			c.change(f)
			seen := map[expectation]bool{}
			for _, found := range f.check() {
				for _, e := range c.want {
					if found.Purpose == e.purpose && found.Status == e.status && strings.Contains(found.Note, e.note) {
						seen[e] = true
					}
				}
				if found.Status != Right && !slices.ContainsFunc(c.want, func(e expectation) bool { return e.purpose == found.Purpose && e.status == found.Status }) {
					t.Errorf("%s: %+v", c.name, found)
				}
			}
			for _, e := range c.want {
				if !seen[e] {
					t.Errorf("%s: nothing is found as %+v", c.name, e)
				}
			}
			f.zone.Restore(clean)
		}
	})
}

// TestCheckWithoutDNS says of nothing that it is missing where DNS does not answer.
func TestCheckWithoutDNS(t *testing.T) {
	onBoth(t, nil, func(f *fixture) {
		f.publish()
		f.zone.FailAll(mdns.RcodeServerFailure)
		for _, found := range f.check() {
			if found.Status != Unknown {
				t.Errorf("%+v", found)
			}
		}
	})
}

// TestCheckOfOtherWays checks domains of servers whose mail leaves by a gateway or not at all, and without a policy.
func TestCheckOfOtherWays(t *testing.T) {
	for way, note := range map[Way]string{Gateway: "by a gateway", Nowhere: "no mail leaves"} {
		onBoth(t, func(c *Config) { c.Way, c.STS.Mode = way, route.STSNone }, func(f *fixture) {
			f.publish()
			if slices.ContainsFunc(f.describe().Records, func(r Record) bool { return r.Purpose == SPF }) == (way == Gateway) {
				t.Errorf("way %d: the records are %v", way, f.describe().Records)
			}
			f.zone.Remove(shop+".", mdns.TypeTXT)
			f.zone.Add(shop+`. 60 IN TXT "v=spf1 include:gateway.example -all"`, `gateway.example. 60 IN TXT "v=spf1 ip4:192.0.2.99 -all"`)
			look := func(want Status, words string) {
				t.Helper()
				for _, found := range f.check() {
					switch {
					case found.Purpose == MTASTS && (found.Status != want || !strings.Contains(found.Note, words)):
						t.Errorf("%+v, want %s and %q", found, want, words)
					case found.Purpose == SPF && !strings.Contains(found.Note, note), found.Purpose == Reverse, found.Purpose == PolicyFile, found.Purpose != MTASTS && found.Status != Right:
						t.Errorf("%+v", found)
					}
				}
			}
			look(Right, "no policy is offered")
			f.zone.Add(`_mta-sts.` + shop + `. 60 IN TXT "v=STSv1; id=1"`)
			look(Inconsistent, "is withdrawn")
			f.zone.Remove("_mta-sts."+shop+".", mdns.TypeTXT)
			f.zone.Add("_mta-sts." + shop + `. 60 IN TXT "` + f.stsRecord() + `"`)
			look(Right, "is withdrawn: remove")
		})
	}
}

// TestGatewaysSPF: the record has the addresses of the gateway where it is known who lists them. Otherwise there is none, and the check says why.
func TestGatewaysSPF(t *testing.T) {
	for _, c := range []struct {
		way                     Way
		include, record, server string
		published               string
		status                  Status
		note                    string
	}{
		{Gateway, "", "", "", "", Missing, "setting spf_include"},
		{Gateway, "Gateway.example", "v=spf1 include:gateway.example ~all", "v=spf1 include:gateway.example -all", "", Missing, ""},
		{Gateway, "gateway.example", "v=spf1 include:gateway.example ~all", "v=spf1 include:gateway.example -all", "v=spf1 ip4:192.0.2.7 include:Gateway.example -all", Right, ""},
		{Gateway, "gateway.example", "v=spf1 include:gateway.example ~all", "v=spf1 include:gateway.example -all", "v=spf1 ip4:192.0.2.99 -all", Right, "see that the record includes its addresses"},
		{Direct, "gateway.example", "v=spf1 a:mail.host.example include:gateway.example ~all", "v=spf1 a include:gateway.example -all", "", Missing, ""},
	} {
		onBoth(t, func(o *Config) { o.Way, o.Include = c.way, c.include }, func(f *fixture) {
			spf := func(d *Description) (value string) {
				for _, r := range d.Records {
					if r.Purpose == SPF {
						value += r.Value
					}
				}
				return value
			}
			server, err := f.Server(t.Context())
			f.ok(err)
			if got := spf(f.describe()); got != c.record || spf(server) != c.server {
				t.Errorf("%+v: the records are %q, and the server's %q", c, got, spf(server))
			}
			f.zone.Add(`gateway.example. 60 IN TXT "v=spf1 ip4:192.0.2.99 -all"`)
			if c.published != "" {
				f.zone.Add(shop + `. 60 IN TXT "` + c.published + `"`)
			}
			n := 0
			for _, found := range f.check() {
				if found.Purpose != SPF {
					continue
				}
				if n++; found.Status != c.status || !strings.Contains(found.Note, c.note) || c.note == "" && found.Note != "" {
					t.Errorf("%+v: found is %+v", c, found)
				}
			}
			if n != 1 {
				t.Errorf("%+v: SPF is looked at %d times", c, n)
			}
		})
	}
}

// TestServerName publishes what the server's own name needs.
func TestServerName(t *testing.T) {
	onBoth(t, nil, func(f *fixture) {
		look := func(want Status, purposes ...Purpose) {
			t.Helper()
			findings, err := f.CheckServer(t.Context())
			f.ok(err)
			var of []Purpose
			for _, found := range findings {
				if of = append(of, found.Purpose); found.Status != want {
					t.Errorf("%+v, want %s", found, want)
				}
			}
			if !slices.Equal(of, purposes) {
				t.Errorf("looked at %q", of)
			}
		}
		look(Missing, SPF, DKIM, DKIM, DKIM, DKIM, HostName)
		d, err := f.Server(t.Context())
		f.ok(err)
		for _, r := range d.Records {
			f.zone.Add(r.Line())
		}
		f.zone.Add(host+". 60 IN A 127.0.0.1", "1.0.0.127.in-addr.arpa. 60 IN PTR "+host+".")
		look(Right, SPF, DKIM, DKIM, DKIM, DKIM, HostName, Reverse)

		// As an organisation's domain it has the keys of both.
		f.ok(f.Directory.RegisterDomain(t.Context(), admin, f.acme.ID, host, ""))
		for range 2 {
			if d, err = f.Describe(t.Context(), admin, f.acme.ID, host); err != nil || len(d.keys) != 8 {
				t.Errorf("%d keys, %v", len(d.keys), err)
			}
		}
	})
}

// TestVouchedDomain needs no proof in DNS.
func TestVouchedDomain(t *testing.T) {
	onBoth(t, nil, func(f *fixture) {
		f.publish()
		f.zone.Remove("_pennypost."+shop+".", mdns.TypeTXT)
		f.zone.Add("_pennypost." + shop + `. 60 IN TXT "another's"`)
		look := func(want Status) {
			t.Helper()
			for _, found := range f.check() {
				if found.Purpose == Ownership && found.Status != want {
					t.Errorf("%+v, want %s", found, want)
				}
			}
		}
		look(Missing)
		f.ok(f.Directory.VouchForDomain(t.Context(), admin, f.acme.ID, shop))
		look(Right)
	})
}

// TestFiles serves what the world fetches for verified domains.
func TestFiles(t *testing.T) {
	onBoth(t, nil, func(f *fixture) {
		absent := func(name string) {
			t.Helper()
			if _, err := f.STSPolicy(t.Context(), name); !fault.Is(err, fault.NotFound, fault.Domain) {
				t.Errorf("the policy of %q: %v", name, err)
			}
			if _, err := f.Autoconfig(t.Context(), name); !fault.Is(err, fault.NotFound, fault.Domain) {
				t.Errorf("the settings for %q: %v", name, err)
			}
		}
		absent(shop) // nobody has proven it
		f.ok(f.Directory.VouchForDomain(t.Context(), admin, f.acme.ID, shop))
		absent(shop) // for a moment
		f.clock.Advance(servedFor)
		policy, err := f.STSPolicy(t.Context(), "SHOP.example")
		if want := "version: STSv1\r\nmode: testing\r\nmx: mail.host.example\r\nmax_age: 86400\r\n"; err != nil || policy != want {
			t.Errorf("the policy is %q, %v", policy, err)
		}
		text, err := f.Autoconfig(t.Context(), shop)
		f.ok(err)
		type server struct {
			Type     string `xml:"type,attr"`
			Hostname string `xml:"hostname"`
			Port     int    `xml:"port"`
			Socket   string `xml:"socketType"`
			Username string `xml:"username"`
			Method   string `xml:"authentication"`
		}
		var settings struct {
			XMLName  xml.Name `xml:"clientConfig"`
			Version  string   `xml:"version,attr"`
			Provider struct {
				ID       string   `xml:"id,attr"`
				Domain   string   `xml:"domain"`
				Incoming []server `xml:"incomingServer"`
				Outgoing []server `xml:"outgoingServer"`
			} `xml:"emailProvider"`
		}
		f.ok(xml.Unmarshal([]byte(text), &settings))
		with := func(kind string, port int, socket string) server {
			return server{kind, host, port, socket, "%EMAILADDRESS%", "password-cleartext"}
		}
		p := settings.Provider
		if settings.Version != "1.1" || p.ID != shop || p.Domain != shop || !slices.Equal(p.Incoming, []server{with("imap", 993, "SSL"), with("imap", 143, "STARTTLS")}) ||
			!slices.Equal(p.Outgoing, []server{with("smtp", 465, "SSL")}) {
			t.Errorf("the settings are %+v", settings)
		}
		for _, name := range []string{"", "other.example", "\x00", "\xff", strings.Repeat("a", 300), "<x>.example"} {
			absent(name)
		}
		for i := range maxServed + 1 {
			absent(fmt.Sprint("x", i, ".example"))
		}
		if n := len(f.served.answers); n > maxServed {
			t.Errorf("%d answers are kept", n)
		}
	})
}
