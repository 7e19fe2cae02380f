package mailauth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// outcome is a verdict in short.
func outcome(v *Verdict) string {
	return fmt.Sprintf("iprev=%s spf=%s hello=%s dkim=%s dmarc=%s", v.IPRev.Result, v.SPF.Result, v.Hello.Result, v.Signed(), v.DMARC.Result)
}

func TestVerdicts(t *testing.T) {
	w := newWorld(t)
	w.Add(
		"1.2.0.192.in-addr.arpa. 60 IN PTR mx.sender.example.", "mx.sender.example. 60 IN A 192.0.2.1",
		"2.2.0.192.in-addr.arpa. 60 IN PTR mx.sender.example.", // which leads elsewhere
		"1."+strings.Repeat("0.", 23)+"8.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR six.sender.example.", "six.sender.example. 60 IN AAAA 2001:db8::1",
		`sender.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"`, `mx.sender.example. 60 IN TXT "v=spf1 a -all"`,
		`soft.example. 60 IN TXT "v=spf1 ~all"`, `open.example. 60 IN TXT "v=spf1 ?all"`, `broken.example. 60 IN TXT "v=spf1 ipx:1"`,
		`names.example. 60 IN TXT "v=spf1 ptr:sender.example -all"`,
		`user.example. 60 IN TXT "v=spf1 exists:%{l}.users.example -all"`, "ann.users.example. 60 IN A 127.0.0.2",
	)
	w.publish("sender.example v=DMARC1;p=reject", "soft.example v=DMARC1;p=quarantine")
	w.Fail("failing.example.", mdns.TypeTXT, mdns.RcodeServerFailure)
	w.Fail("3.2.0.192.in-addr.arpa.", mdns.TypePTR, mdns.RcodeServerFailure)
	for name, c := range map[string]struct {
		client        string
		sender, hello string
		text          string
		want          string
	}{
		"all well":                        {"192.0.2.1", "a@sender.example", "mx.sender.example", w.signed(text("a@sender.example"), "sender.example"), "iprev=pass spf=pass hello=pass dkim=pass dmarc=pass"},
		"over IPv6":                       {"2001:db8::1", "a@sender.example", "six.sender.example", text("a@sender.example"), "iprev=pass spf=pass hello=none dkim=none dmarc=pass"},
		"mapped":                          {"::ffff:192.0.2.1", "a@sender.example", "x", text("a@sender.example"), "iprev=pass spf=pass hello=none dkim=none dmarc=pass"},
		"a bounce":                        {"192.0.2.1", "", "mx.sender.example", text("postmaster@sender.example"), "iprev=pass spf=pass hello=pass dkim=none dmarc=pass"},
		"from elsewhere":                  {"192.0.2.2", "a@sender.example", "evil.example", text("a@sender.example"), "iprev=fail spf=fail hello=none dkim=none dmarc=fail"},
		"passed on":                       {"192.0.2.9", "a@sender.example", "list.example", w.signed(text("a@sender.example"), "sender.example"), "iprev=permerror spf=fail hello=none dkim=pass dmarc=pass"},
		"changed on the way":              {"192.0.2.9", "a@list.example", "list.example", w.signed(text("a@sender.example"), "sender.example") + "-- \r\nthe list\r\n", "iprev=permerror spf=none hello=none dkim=fail dmarc=fail"},
		"hello alone":                     {"192.0.2.1", "a@evil.example", "mx.sender.example", text("a@sender.example"), "iprev=pass spf=none hello=pass dkim=none dmarc=fail"},
		"softfail":                        {"192.0.2.1", "a@soft.example", "x", text("a@soft.example"), "iprev=pass spf=softfail hello=none dkim=none dmarc=fail"},
		"neutral":                         {"192.0.2.1", "a@open.example", "x", text("a@open.example"), "iprev=pass spf=neutral hello=none dkim=none dmarc=none"},
		"a record that is none":           {"192.0.2.1", "a@broken.example", "x", text("a@open.example"), "iprev=pass spf=permerror hello=none dkim=none dmarc=none"},
		"DNS fails":                       {"192.0.2.3", "a@failing.example", "x", text("a@open.example"), "iprev=temperror spf=temperror hello=none dkim=none dmarc=none"},
		"by its name":                     {"192.0.2.1", "a@names.example", "x", text("a@open.example"), "iprev=pass spf=pass hello=none dkim=none dmarc=none"},
		"not by its name":                 {"192.0.2.2", "a@names.example", "x", text("a@open.example"), "iprev=fail spf=fail hello=none dkim=none dmarc=none"},
		"its local part":                  {"192.0.2.1", "ann@user.example", "x", text("a@open.example"), "iprev=pass spf=pass hello=none dkim=none dmarc=none"},
		"an at sign in it":                {"192.0.2.1", `"x@sender.example"@user.example`, "x", text("a@open.example"), "iprev=pass spf=fail hello=none dkim=none dmarc=none"},
		"an address literal":              {"192.0.2.1", "a@[192.0.2.1]", "[192.0.2.1]", text("a@[192.0.2.1]"), "iprev=pass spf=none hello=none dkim=none dmarc=permerror"},
		"no From":                         {"192.0.2.1", "a@sender.example", "x", "Subject: x\r\n\r\n", "iprev=pass spf=pass hello=none dkim=none dmarc=permerror"},
		"nothing at all":                  {"192.0.2.1", "a@sender.example", "", "", "iprev=pass spf=pass hello=none dkim=none dmarc=permerror"},
		"this machine":                    {"127.0.0.1", "a@sender.example", "x", text("a@sender.example"), "iprev=temperror spf=temperror hello=temperror dkim=none dmarc=temperror"},
		"this machine, signed":            {"::1", "a@sender.example", "x", w.signed(text("a@sender.example"), "sender.example"), "iprev=temperror spf=temperror hello=temperror dkim=pass dmarc=pass"},
		"this machine, signed by another": {"127.8.8.8", "a@open.example", "x", w.signed(text("a@sender.example"), "other.example"), "iprev=temperror spf=temperror hello=temperror dkim=pass dmarc=temperror"},
	} {
		t.Run(name, func(t *testing.T) {
			who := client(c.client, c.sender)
			who.Hello = c.hello
			v := w.Check(t.Context(), who, []byte(c.text))
			if got := outcome(v); got != c.want {
				t.Errorf("%s, want %s: %+v", got, c.want, v)
			}
		})
	}
}

// TestSPFLimits: a record that asks for too much is a permanent error, and a look-up that fails in the middle a temporary one.
func TestSPFLimits(t *testing.T) {
	w := newWorld(t)
	many := func(n int) string { // n look-ups
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "a:%d.there.example ", i)
		}
		return b.String()
	}
	for i := range 11 {
		w.Add(fmt.Sprintf("%d.there.example. 60 IN A 198.51.100.1", i), fmt.Sprintf("mx.example. 60 IN MX %d %d.there.example.", i, i))
	}
	w.Add(
		`ten.example. 60 IN TXT "v=spf1 `+many(10)+`" "ip4:192.0.2.1 -all"`, `eleven.example. 60 IN TXT "v=spf1 `+many(11)+`" "ip4:192.0.2.1 -all"`,
		`void.example. 60 IN TXT "v=spf1 a:x.absent.example a:y.absent.example a:z.absent.example ip4:192.0.2.1 -all"`,
		`mx.example. 60 IN TXT "v=spf1 mx ip4:192.0.2.1 -all"`,
		`loop.example. 60 IN TXT "v=spf1 include:loop.example -all"`, `round.example. 60 IN TXT "v=spf1 redirect=round.example"`,
		`late.example. 60 IN TXT "v=spf1 a:silent.example ip4:192.0.2.1 -all"`,
		`half.example. 60 IN TXT "v=spf1 a:failing.example -all"`, "failing.example. 60 IN AAAA 2001:db8::9",
		`two.example. 60 IN TXT "v=spf1 -all"`, `two.example. 60 IN TXT "v=spf1 +all"`,
	)
	w.Fail("silent.example.", mdns.TypeA, mdns.RcodeServerFailure)
	w.Fail("failing.example.", mdns.TypeA, mdns.RcodeServerFailure)
	for domain, want := range map[string]dkim.Result{
		"ten.example": dkim.Pass, "eleven.example": dkim.PermError, "void.example": dkim.PermError, "mx.example": dkim.PermError,
		"loop.example": dkim.PermError, "round.example": dkim.PermError, "late.example": dkim.TempError, "half.example": dkim.TempError,
		"two.example": dkim.PermError, "absent.example": dkim.None,
	} {
		l := newLookups(w.Resolver, netip.MustParseAddr("192.0.2.1"))
		if o := l.checkSPF(t.Context(), "x", message.Address{Local: "a", Domain: domain}); o.Result != want {
			t.Errorf("%s: %+v, want %s", domain, o, want)
		}
	}
}

// TestNoAnswer: with a DNS that says nothing a verdict is there when the time is over, and no failure.
func TestNoAnswer(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"sender.example.", "mx.sender.example.", "_dmarc.sender.example.", "_dmarc.example.", "s1._domainkey.sender.example."} {
		w.Silence(name, mdns.TypeTXT)
	}
	w.Silence("1.2.0.192.in-addr.arpa.", mdns.TypePTR)
	signed := w.signed(text("a@sender.example"), "sender.example")
	w.Timeout = 50 * time.Millisecond
	v := w.Check(t.Context(), client("192.0.2.1", "a@sender.example"), []byte(signed))
	if got, want := outcome(v), "iprev=temperror spf=temperror hello=temperror dkim=temperror dmarc=temperror"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if p, _ := v.Asked(); p != PolicyNone {
		t.Errorf("%s is asked", p)
	}
	if s := v.Field("here.example"); !strings.Contains(s, `reason="DNS took too long"`) {
		t.Error(s)
	}
	// Another's slow DNS does not save a forger.
	w.Timeout = time.Second
	w.Repair("_dmarc.sender.example.", mdns.TypeTXT)
	w.Repair("_dmarc.example.", mdns.TypeTXT)
	w.publish("sender.example v=DMARC1;p=reject")
	w.Silence("slow.example.", mdns.TypeTXT)
	w.Silence("s1._domainkey.slow.example.", mdns.TypeTXT)
	v = w.Check(t.Context(), client("192.0.2.1", "a@slow.example"), []byte(w.signed(text("a@sender.example"), "slow.example")))
	if p, _ := v.Asked(); v.DMARC.Result != dkim.Fail || p != PolicyReject {
		t.Errorf("%+v", v.DMARC)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := w.Check(ctx, client("192.0.2.1", "a@sender.example"), []byte(signed)); v.DMARC.Result != dkim.TempError {
		t.Errorf("after the end: %+v", v.DMARC)
	}
}

// TestNoLookUpsFromThisMachine: mail without signatures that comes from here costs no question.
func TestNoLookUpsFromThisMachine(t *testing.T) {
	w := newWorld(t)
	w.Checker = New(Options{Resolver: nobody{t: t}, Clock: w.Clock})
	v := w.Check(t.Context(), client("127.0.0.1", "a@sender.example"), []byte(text("a@sender.example")))
	if v.Client.From = (message.Address{}); !v.Local {
		t.Error("it is not seen to come from here")
	}
	w.Check(t.Context(), Client{}, []byte(text("a@sender.example"))) // from nobody knows where
}

// nobody must not be asked.
type nobody struct {
	Resolver
	t *testing.T
}

func (n nobody) LookupTXT(_ context.Context, name string) ([]string, error) {
	n.t.Errorf("TXT of %s was asked for", name)
	return nil, context.Canceled
}

// TestSeveralAuthors: of several domains in From all must be proven, whichever of them a reader shows (RFC 7489 section 6.6.1).
func TestSeveralAuthors(t *testing.T) {
	w := newWorld(t)
	w.publish("strict.example v=DMARC1;p=reject", "mild.example v=DMARC1;p=quarantine", "lax.example v=DMARC1;p=none", "mine.example v=DMARC1;p=none", "tried.example v=DMARC1;p=reject;t=y")
	w.Add(`mine.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`)
	for from, want := range map[string]string{
		"a@mine.example":                                                 "pass mine.example",
		"a@mine.example, b@mine.example":                                 "pass mine.example",
		"a@mine.example, b@strict.example":                               "fail strict.example",
		"b@strict.example, a@mine.example":                               "fail strict.example",
		"a@mild.example, b@strict.example, c@lax.example":                "fail strict.example",
		"a@mild.example, b@tried.example":                                "fail mild.example",
		"a@mine.example, b@unknown.test":                                 "none unknown.test",
		"a@mine.example\r\nFrom: b@strict.example":                       "fail strict.example",
		"b@strict.example\r\nX-Other: y\r\nFROM : a@mine.example":        "fail strict.example",
		"<a@mine.example> <b@strict.example>":                            "fail strict.example",
		"\"unfinished <b@strict.example>\r\nFrom: a@mine.example":        "fail strict.example",
		"a@mine.example, us: b@strict.example;":                          "fail strict.example",
		"b@strict.example..":                                             "fail strict.example",
		"a@b@strict.example, " + strings.Repeat("x@mine.example,", 2000): "fail strict.example",
	} {
		v := w.Check(t.Context(), client("192.0.2.1", "a@mine.example"), []byte(text(from)))
		if got := string(v.DMARC.Result) + " " + v.DMARC.From; got != want {
			t.Errorf("%.60q: %s, want %s", from, got, want)
		}
	}
	var many []string
	for i := range maxAuthors + 1 {
		many = append(many, fmt.Sprintf("a@m%d.example", i))
	}
	v := w.Check(t.Context(), client("192.0.2.1", "a@mine.example"), []byte(text(strings.Join(many, ", "))))
	if p, _ := v.Asked(); p != PolicyReject || v.DMARC.Record != nil || !strings.Contains(v.Refusal(), "From names more than") {
		t.Errorf("more authors than can be looked up: %+v", v.DMARC)
	}
	v = w.Check(t.Context(), client("192.0.2.1", "a@mine.example"), []byte(text(strings.Repeat(" ", maxFrom)+"b@strict.example")))
	if p, _ := v.Asked(); p != PolicyReject {
		t.Errorf("more than is read: %+v", v.DMARC)
	}
}

// TestInternationalAuthor: a domain in its own script is looked up by its A-labels.
func TestInternationalAuthor(t *testing.T) {
	w := newWorld(t)
	w.publish("xn--bcher-kva.example v=DMARC1;p=reject")
	w.Add(`xn--bcher-kva.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`)
	for address, want := range map[string]dkim.Result{"192.0.2.1": dkim.Pass, "192.0.2.2": dkim.Fail} {
		v := w.Check(t.Context(), client(address, "ann@bücher.example"), []byte(text("Ann <ann@bücher.example>")))
		if v.DMARC.Result != want || v.DMARC.From != "xn--bcher-kva.example" || v.SPF.Domain != "xn--bcher-kva.example" {
			t.Errorf("from %s: %+v", address, v)
		}
		if f := v.Field("here.example"); !strings.Contains(f, "smtp.mailfrom=ann@bücher.example") || !strings.Contains(f, "header.from=xn--bcher-kva.example") {
			t.Error(f)
		}
	}
}

func TestWhatIsAsked(t *testing.T) {
	reject := DMARC{Result: dkim.Fail, Policy: PolicyReject}
	tested := reject
	tested.Tested = true
	for name, c := range map[string]struct {
		v    Verdict
		want Disposition
	}{
		"a failure":         {Verdict{DMARC: reject}, Disposition{Applied: PolicyReject}},
		"one that is tried": {Verdict{DMARC: tested}, Disposition{Applied: PolicyQuarantine, Override: OverrideTest}},
		"p=none":            {Verdict{DMARC: DMARC{Result: dkim.Fail, Policy: PolicyNone}}, Disposition{Applied: PolicyNone}},
		"a pass":            {Verdict{DMARC: DMARC{Result: dkim.Pass, Policy: PolicyReject}}, Disposition{Applied: PolicyNone}},
		"a temporary error": {Verdict{DMARC: DMARC{Result: dkim.TempError, Policy: PolicyReject}}, Disposition{Applied: PolicyNone}},
		"sealed": {
			Verdict{DMARC: reject, Vouched: "l.example", ARC: arc.Chain{Domains: []string{"l.example", "m.example"}}},
			Disposition{PolicyNone, OverrideLocal, "arc=pass as[2].d=m.example as[1].d=l.example"},
		},
	} {
		if p, d := c.v.Asked(); d != c.want || p != c.want.Applied {
			t.Errorf("%s: %s, %+v", name, p, d)
		}
	}
}

// TestTrustedSealers: a list changes what it passes on, and seals what it saw before.
func TestTrustedSealers(t *testing.T) {
	const pass = "mx.list.example; spf=pass smtp.mailfrom=a@sender.example; dmarc=pass (p=reject) header.from=sender.example"
	for name, c := range map[string]struct {
		trusted []string
		results []string // of each sealer l1.example, l2.example, …
		spoil   bool     // behind the last seal
		want    string
	}{
		"nobody is trusted":                     {nil, []string{pass}, false, ""},
		"one":                                   {[]string{"l1.example"}, []string{pass}, false, "l1.example"},
		"another":                               {[]string{"l2.example"}, []string{pass}, false, ""},
		"who saw it fail":                       {[]string{"l1.example"}, []string{"mx; dmarc=fail"}, false, ""},
		"who did not look":                      {[]string{"l1.example"}, []string{"mx; spf=pass"}, false, ""},
		"who says both":                         {[]string{"l1.example"}, []string{"mx; dmarc=pass; dmarc=fail"}, false, ""},
		"whose comment says it":                 {[]string{"l1.example"}, []string{"mx (; dmarc=pass;); dmarc=fail (; dmarc=pass)"}, false, ""},
		"whose reason says it":                  {[]string{"l1.example"}, []string{`mx; spf=fail reason="; dmarc=pass; "`}, false, ""},
		"two":                                   {[]string{"l1.example", "l2.example"}, []string{pass, "mx; dmarc=fail"}, false, "l1.example"},
		"the first, then a stranger":            {[]string{"l1.example"}, []string{pass, "mx; dmarc=fail"}, false, ""},
		"a stranger, then one":                  {[]string{"l2.example"}, []string{pass, "mx; dmarc=fail"}, false, ""},
		"a stranger, then one that saw it pass": {[]string{"l2.example"}, []string{"mx; dmarc=fail", pass}, false, "l2.example"},
		"changed after the seal":                {[]string{"l1.example"}, []string{pass}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.trusted...)
			w.publish("sender.example v=DMARC1;p=reject")
			b := []byte(w.signed(text("a@sender.example"), "sender.example"))
			for i, results := range c.results {
				chain := arc.Verify(t.Context(), w.dkim, b)
				b = append(b, "-- \r\na list\r\n"...)
				sets, err := arc.Seal(b, w.keyOf(fmt.Sprintf("l%d.example", i+1)), arc.SealOptions{Time: now, Results: results, Chain: chain})
				if err != nil {
					t.Fatal(err)
				}
				b = append(sets, b...)
			}
			if c.spoil {
				b = append(b, "more\r\n"...)
			}
			v := w.Check(t.Context(), client("192.0.2.1", "list-bounces@l1.example"), b)
			if v.DMARC.Result != dkim.Fail || v.Vouched != c.want || (v.ARC.Result == dkim.Pass) == c.spoil {
				t.Errorf("vouched by %q, want %q: %+v %+v", v.Vouched, c.want, v.ARC, v.DMARC)
			}
			if p, _ := v.Asked(); (p == PolicyReject) != (c.want == "") {
				t.Errorf("asked is %s", p)
			}
			if c.want != "" && !strings.Contains(v.Field("here.example"), "but sealed by "+c.want) {
				t.Error(v.Field("here.example"))
			}
		})
	}
}

// TestTenThousandHeaderLines lets the whole check read a header of 10,000 lines, and others that are large in every way.
func TestTenThousandHeaderLines(t *testing.T) {
	w := newWorld(t, "l1.example")
	w.publish("sender.example v=DMARC1;p=reject")
	from := text("a@sender.example")
	for name, lines := range map[string]string{
		"fields":     strings.Repeat("X-Field: value\r\n", 10_000),
		"one folded": "X-Field: value\r\n" + strings.Repeat(" and more\r\n", 10_000),
		"results":    strings.Repeat("Authentication-Results: here.example; spf=pass\r\n", 10_000),
		"signatures": strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=sender.example; s=s1; h=from; bh=x; b=y\r\n", 10_000),
		"seals":      strings.Repeat("ARC-Seal: i=1; cv=none; d=l1.example; s=s1; b=x\r\n", 10_000),
		"no fields":  strings.Repeat("what is this\r\n", 10_000),
	} {
		b := []byte(lines + from)
		v := w.Check(t.Context(), client("192.0.2.1", "a@sender.example"), b)
		if v.DMARC.Result != dkim.Fail || len(v.DKIM) > dkim.MaxSignatures {
			t.Errorf("%s: %+v", name, v.DMARC)
		}
		if f := v.Field("here.example"); len(f) > MaxResults+100 {
			t.Errorf("%s: results of %d bytes", name, len(f))
		}
		if clean := WithoutResults(b, "here.example"); strings.Contains(string(clean), "spf=pass") {
			t.Errorf("%s: forged results are left", name)
		}
	}
	froms := []byte(strings.Repeat("From: a@sender.example\r\n", 10_000) + "\r\n")
	if v := w.Check(t.Context(), client("192.0.2.1", "a@sender.example"), froms); v.DMARC.Result != dkim.Fail {
		t.Errorf("10,000 From fields: %+v", v.DMARC)
	}
}

func TestStats(t *testing.T) {
	w := newWorld(t)
	w.Check(t.Context(), client("127.0.0.1", ""), []byte(text("a@sender.example")))
	got := map[string]uint64{}
	for _, c := range w.Stats() {
		got[c.Method+" "+string(c.Result)] = c.N
	}
	if got["iprev temperror"] != 1 || got["spf temperror"] != 1 || got["dkim none"] != 1 || got["arc none"] != 1 || got["dmarc temperror"] != 1 || got["dmarc fail"] != 0 {
		t.Errorf("%v", got)
	}
}

func BenchmarkLocal(b *testing.B) {
	k := New(Options{Resolver: nobody{}, Clock: clock.NewFake(now)})
	message := []byte(text("a@sender.example") + strings.Repeat("x\r\n", 4096/3))
	for b.Loop() {
		_ = k.Check(b.Context(), client("127.0.0.1", "a@sender.example"), message).Field("here.example")
	}
}
