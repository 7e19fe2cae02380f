package mailauth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// publish adds DMARC records: "domain record".
func (w *world) publish(records ...string) {
	for _, r := range records {
		domain, text, _ := strings.Cut(r, " ")
		w.Add("_dmarc." + domain + `. 60 IN TXT "` + strings.ReplaceAll(text, ";", `\;`) + `"`)
	}
}

func TestTreeWalk(t *testing.T) {
	for name, c := range map[string]struct {
		records   []string
		domain    string
		org, from string // the organizational domain, and where the record is; "" for none
		askedFor  int    // names
	}{
		"no record":                       {nil, "a.example.com", "a.example.com", "", 3},
		"its own":                         {[]string{"a.example.com v=DMARC1;p=none"}, "a.example.com", "a.example.com", "a.example.com", 3},
		"above":                           {[]string{"example.com v=DMARC1;p=none"}, "a.b.example.com", "example.com", "example.com", 4},
		"both":                            {[]string{"example.com v=DMARC1;p=none", "a.example.com v=DMARC1;p=none"}, "a.example.com", "example.com", "a.example.com", 3},
		"one between does not count":      {[]string{"example.com v=DMARC1;p=none", "b.example.com v=DMARC1;p=reject"}, "a.b.example.com", "example.com", "example.com", 4},
		"psd=n ends it":                   {[]string{"example.com v=DMARC1;p=none", "b.example.com v=DMARC1;p=reject;psd=n"}, "a.b.example.com", "b.example.com", "b.example.com", 4},
		"psd=n of its own":                {[]string{"a.example.com v=DMARC1;p=none;psd=n", "example.com v=DMARC1;p=none"}, "a.example.com", "a.example.com", "a.example.com", 3},
		"a public suffix":                 {[]string{"co.test v=DMARC1;p=reject;psd=y"}, "a.b.co.test", "b.co.test", "co.test", 4},
		"a public suffix, and its own":    {[]string{"co.test v=DMARC1;p=reject;psd=y", "b.co.test v=DMARC1;p=none"}, "a.b.co.test", "b.co.test", "b.co.test", 4},
		"a public suffix itself":          {[]string{"co.test v=DMARC1;p=reject;psd=y"}, "co.test", "co.test", "co.test", 2},
		"above a public suffix":           {[]string{"co.test v=DMARC1;p=reject;psd=y", "test v=DMARC1;p=none"}, "b.co.test", "b.co.test", "co.test", 3},
		"two records are none":            {[]string{"example.com v=DMARC1;p=none", "a.example.com v=DMARC1;p=none", "a.example.com v=DMARC1;p=reject"}, "a.example.com", "example.com", "example.com", 3},
		"others beside it don't count":    {[]string{"a.example.com v=DMARC1;p=none", "a.example.com v=spf1", "a.example.com v=DMARC2;p=none"}, "a.example.com", "a.example.com", "a.example.com", 3},
		"what is wrong is none":           {[]string{"example.com v=DMARC1;p=none", "a.example.com v=DMARC1;p=all"}, "a.example.com", "example.com", "example.com", 3},
		"eight labels":                    {[]string{"example.com v=DMARC1;p=none"}, "f.e.d.c.b.a.example.com", "example.com", "example.com", 8},
		"nine labels ask for eight names": {[]string{"g.f.e.d.c.b.a.example.com v=DMARC1;p=none", "example.com v=DMARC1;p=none"}, "h.g.f.e.d.c.b.a.example.com", "example.com", "example.com", 8},
		"psd=y above a jump":              {[]string{"e.d.c.b.a.co.test v=DMARC1;p=none;psd=y"}, "h.g.f.e.d.c.b.a.co.test", "f.e.d.c.b.a.co.test", "e.d.c.b.a.co.test", 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(c.records...)
			l := newLookups(w.Resolver, client("192.0.2.1", "").Address)
			steps := l.walk(t.Context(), c.domain)
			org, policy, err := organizational(steps)
			at := ""
			if policy != nil {
				at = policy.domain
			}
			if org != c.org || at != c.from || err != nil {
				t.Errorf("%s at %q, %v; want %s at %q", org, at, err, c.org, c.from)
			}
			if len(steps) > c.askedFor || len(l.texts) > maxWalk {
				t.Errorf("%d steps, %d names asked for", len(steps), len(l.texts))
			}
		})
	}
}

// TestAlignment holds what of a message speaks for its author (RFC 7489 section 3.1).
func TestAlignment(t *testing.T) {
	const p = "v=DMARC1;p=reject"
	for name, c := range map[string]struct {
		records     []string
		from        string
		spf         string   // result and domain
		signatures  []string // the same
		want        dkim.Result
		policy      Policy
		spfIs, dkIs bool
	}{
		"SPF of the domain":               {[]string{"a.test " + p}, "a.test", "pass a.test", nil, "pass", "reject", true, false},
		"SPF of another":                  {[]string{"a.test " + p, "b.test " + p}, "a.test", "pass b.test", nil, "fail", "reject", false, false},
		"SPF below":                       {[]string{"a.test " + p}, "a.test", "pass x.y.a.test", nil, "pass", "reject", true, false},
		"SPF above":                       {[]string{"a.test " + p}, "x.a.test", "pass a.test", nil, "pass", "reject", true, false},
		"SPF beside":                      {[]string{"a.test " + p}, "x.a.test", "pass y.a.test", nil, "pass", "reject", true, false},
		"SPF below, strict":               {[]string{"a.test " + p + ";aspf=s"}, "a.test", "pass x.a.test", nil, "fail", "reject", false, false},
		"SPF of the domain, strict":       {[]string{"a.test " + p + ";aspf=s"}, "a.test", "pass a.test", nil, "pass", "reject", true, false},
		"SPF that only looks like it":     {[]string{"a.test " + p}, "a.test", "pass nota.test", nil, "fail", "reject", false, false},
		"SPF softfail":                    {[]string{"a.test " + p}, "a.test", "softfail a.test", nil, "fail", "reject", false, false},
		"SPF neutral":                     {[]string{"a.test " + p}, "a.test", "neutral a.test", nil, "fail", "reject", false, false},
		"SPF of its own psd=n":            {[]string{"a.test " + p, "x.a.test " + p + ";psd=n"}, "a.test", "pass x.a.test", nil, "fail", "reject", false, false},
		"beside under a public suffix":    {[]string{"co.test " + p + ";psd=y", "a.co.test " + p}, "a.co.test", "pass b.co.test", nil, "fail", "reject", false, false},
		"the suffix itself":               {[]string{"co.test " + p + ";psd=y", "a.co.test " + p}, "a.co.test", "pass co.test", nil, "fail", "reject", false, false},
		"DKIM of the domain":              {[]string{"a.test " + p}, "a.test", "none ", []string{"pass a.test"}, "pass", "reject", false, true},
		"DKIM in upper case":              {[]string{"a.test " + p}, "a.test", "none ", []string{"pass A.Test"}, "pass", "reject", false, true},
		"DKIM of one of several":          {[]string{"a.test " + p}, "a.test", "fail a.test", []string{"fail a.test", "pass list.test", "pass m.a.test"}, "pass", "reject", false, true},
		"DKIM of others":                  {[]string{"a.test " + p}, "a.test", "none ", []string{"pass list.test"}, "fail", "reject", false, false},
		"DKIM below, strict":              {[]string{"a.test " + p + ";adkim=s"}, "a.test", "none ", []string{"pass x.a.test"}, "fail", "reject", false, false},
		"DKIM strict, SPF relaxed":        {[]string{"a.test " + p + ";adkim=s"}, "a.test", "pass x.a.test", []string{"pass x.a.test"}, "pass", "reject", true, false},
		"DKIM failed":                     {[]string{"a.test " + p}, "a.test", "none ", []string{"fail a.test", "permerror a.test", "policy a.test"}, "fail", "reject", false, false},
		"d= the suffix":                   {[]string{"a.test " + p}, "a.test", "none ", []string{"pass test"}, "fail", "reject", false, false},
		"both":                            {[]string{"a.test " + p}, "a.test", "pass a.test", []string{"pass a.test"}, "pass", "reject", true, true},
		"nothing could be looked up":      {[]string{"a.test " + p}, "a.test", "temperror a.test", []string{"temperror a.test"}, "temperror", "reject", false, false},
		"DKIM may yet prove it":           {[]string{"a.test " + p}, "a.test", "fail a.test", []string{"temperror m.a.test"}, "temperror", "reject", false, false},
		"another's DKIM failing DNS":      {[]string{"a.test " + p}, "a.test", "fail a.test", []string{"temperror evil.test"}, "fail", "reject", false, false},
		"another's SPF failing DNS":       {[]string{"a.test " + p}, "a.test", "temperror evil.test", nil, "fail", "reject", false, false},
		"no record":                       {nil, "a.test", "pass a.test", nil, "none", "", false, false},
		"sp":                              {[]string{"a.test v=DMARC1;p=none;sp=quarantine", "+x.a.test"}, "x.a.test", "none ", nil, "fail", "quarantine", false, false},
		"np of one that is not there":     {[]string{"a.test v=DMARC1;p=none;sp=quarantine;np=reject"}, "x.a.test", "none ", nil, "fail", "reject", false, false},
		"np does not count for one":       {[]string{"a.test v=DMARC1;p=none;np=reject", "+x.a.test"}, "x.a.test", "none ", nil, "fail", "none", false, false},
		"np does not count for a parent":  {[]string{"a.test v=DMARC1;p=none;np=reject", "+y.x.a.test"}, "x.a.test", "none ", nil, "fail", "none", false, false},
		"np does not count for an alias":  {[]string{"a.test v=DMARC1;p=none;np=reject", "=x.a.test"}, "x.a.test", "none ", nil, "fail", "none", false, false},
		"p, not sp, of its own record":    {[]string{"a.test v=DMARC1;p=none;sp=reject", "x.a.test v=DMARC1;p=quarantine;sp=reject"}, "x.a.test", "none ", nil, "fail", "quarantine", false, false},
		"sp of a public suffix":           {[]string{"co.test v=DMARC1;p=none;sp=reject;psd=y", "+a.co.test"}, "a.co.test", "none ", nil, "fail", "reject", false, false},
		"a record that only asks to know": {[]string{"a.test v=DMARC1;rua=mailto:x@a.test"}, "a.test", "none ", nil, "fail", "none", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, r := range c.records {
				if name, exists := strings.CutPrefix(r, "+"); exists {
					w.Add(name + ". 60 IN A 192.0.2.9")
				} else if name, alias := strings.CutPrefix(r, "="); alias {
					w.Add(name + ". 60 IN CNAME absent.test.")
				} else {
					w.publish(r)
				}
			}
			outcome := func(s string) (dkim.Result, string) {
				r, domain, _ := strings.Cut(s, " ")
				return dkim.Result(r), domain
			}
			var spf Outcome
			spf.Result, spf.Domain = outcome(c.spf)
			var signatures []dkim.Signature
			for _, s := range c.signatures {
				r, domain := outcome(s)
				signatures = append(signatures, dkim.Signature{Result: r, Domain: domain})
			}
			l := newLookups(w.Resolver, client("192.0.2.1", "").Address)
			d := l.checkDMARC(t.Context(), c.from, l.walkFrom(t.Context(), c.from), spf, signatures)
			if got, want := fmt.Sprint(d.Result, d.Policy, d.SPFAligned, d.DKIMAligned), fmt.Sprint(c.want, c.policy, c.spfIs, c.dkIs); got != want {
				t.Errorf("%s, want %s: %+v", got, want, d)
			}
		})
	}
}

// TestDMARCWithoutDNS: what can't be looked up is never a failure that is enforced.
func TestDMARCWithoutDNS(t *testing.T) {
	for name, c := range map[string]struct {
		fails string // a name whose look-up fails
		from  string
		spf   Outcome
		want  dkim.Result
	}{
		"its own record":                    {"_dmarc.x.a.test.", "x.a.test", Outcome{Result: dkim.Fail, Domain: "x.a.test"}, dkim.TempError},
		"its organisation's":                {"_dmarc.a.test.", "y.a.test", Outcome{Result: dkim.Fail, Domain: "y.a.test"}, dkim.TempError},
		"above its own":                     {"_dmarc.a.test.", "x.a.test", Outcome{Result: dkim.Fail, Domain: "x.a.test"}, dkim.Fail},
		"above its own, which passes":       {"_dmarc.a.test.", "x.a.test", Outcome{Result: dkim.Pass, Domain: "x.a.test"}, dkim.Pass},
		"above its own, with one beside":    {"_dmarc.a.test.", "x.a.test", Outcome{Result: dkim.Pass, Domain: "y.a.test"}, dkim.TempError},
		"above its own, with one elsewhere": {"_dmarc.a.test.", "x.a.test", Outcome{Result: dkim.Pass, Domain: "evil.example"}, dkim.Fail},
		"above what SPF is of":              {"_dmarc.z.x.a.test.", "x.a.test", Outcome{Result: dkim.Pass, Domain: "z.x.a.test"}, dkim.TempError},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish("x.a.test v=DMARC1;p=reject")
			w.Fail(c.fails, mdns.TypeTXT, mdns.RcodeServerFailure)
			l := newLookups(w.Resolver, client("192.0.2.1", "").Address)
			if d := l.checkDMARC(t.Context(), c.from, l.walkFrom(t.Context(), c.from), c.spf, nil); d.Result != c.want {
				t.Errorf("%+v, want %s", d, c.want)
			}
		})
	}
}

// TestDMARCWithoutKnowingWhetherTheDomainExists: what is asked for hangs on it, so that a failure is none.
func TestDMARCWithoutKnowingWhetherTheDomainExists(t *testing.T) {
	w := newWorld(t)
	w.publish("a.test v=DMARC1;p=none;np=reject", "b.test v=DMARC1;p=reject")
	w.Fail("x.a.test.", mdns.TypeA, mdns.RcodeServerFailure)
	w.Fail("x.b.test.", mdns.TypeA, mdns.RcodeServerFailure)
	for from, want := range map[string]dkim.Result{"x.a.test": dkim.TempError, "x.b.test": dkim.Fail} {
		l := newLookups(w.Resolver, client("192.0.2.1", "").Address)
		if d := l.checkDMARC(t.Context(), from, l.walkFrom(t.Context(), from), Outcome{}, nil); d.Result != want {
			t.Errorf("%s: %+v, want %s", from, d, want)
		}
	}
}

// TestAFailureOfDNSDoesNotSaveAForger: one that the owner of an alias's target can bring about hides no domain, and where it remains
// unknown whether it exists the laxer of sp and np is asked for.
func TestAFailureOfDNSDoesNotSaveAForger(t *testing.T) {
	for record, want := range map[string]struct{ alias, unknown Policy }{
		"v=DMARC1;p=reject;sp=reject;np=quarantine": {PolicyReject, PolicyQuarantine},
		"v=DMARC1;p=reject;sp=quarantine;np=reject": {PolicyQuarantine, PolicyQuarantine},
		"v=DMARC1;p=reject;sp=reject;np=none":       {PolicyReject, PolicyNone},
		"v=DMARC1;p=none;sp=none;np=reject":         {PolicyNone, PolicyNone},
	} {
		w := newWorld(t)
		w.publish("a.test " + record)
		w.Add("old.a.test. 60 IN CNAME gone.evil.test.")
		w.Fail("old.a.test.", mdns.TypeA, mdns.RcodeServerFailure)
		w.Fail("x.a.test.", mdns.TypeA, mdns.RcodeServerFailure)
		w.Fail("x.a.test.", mdns.TypeCNAME, mdns.RcodeServerFailure)
		w.Fail("y.a.test.", mdns.TypeCNAME, mdns.RcodeServerFailure)
		for from, policy := range map[string]Policy{"old.a.test": want.alias, "x.a.test": want.unknown, "y.a.test": want.unknown} {
			result := dkim.Fail
			if policy == PolicyNone && from != "old.a.test" {
				result = dkim.TempError
			}
			v := w.Check(t.Context(), client("192.0.2.1", "x@evil.test"), []byte(text("ceo@"+from)))
			if asked, _ := v.Asked(); asked != policy || v.DMARC.Result != result {
				t.Errorf("%s, %s: %+v, asked for %q", record, from, v.DMARC, asked)
			}
		}
	}
}

// patient does not answer for the sender's domain before it is asked whether the author's exists.
type patient struct {
	Resolver
	asked sync.WaitGroup
}

func (p *patient) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if name != "slow.example" {
		return p.Resolver.LookupTXT(ctx, name)
	}
	all := make(chan struct{})
	go func() { p.asked.Wait(); close(all) }()
	select {
	case <-all:
		return nil, dns.ErrNotFound
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *patient) LookupIPv4(ctx context.Context, name string) (dns.Answer[netip.Addr], error) {
	if name == "absent.a.test" {
		p.asked.Done()
	}
	return p.Resolver.LookupIPv4(ctx, name)
}

// TestSlowSPFDoesNotSaveAForger: whether the author's domain exists is asked while the sender's has its time.
func TestSlowSPFDoesNotSaveAForger(t *testing.T) {
	w := newWorld(t)
	w.publish("a.test v=DMARC1;p=none;np=reject")
	p := &patient{Resolver: w.Resolver}
	p.asked.Add(1)
	w.Checker = New(Options{Resolver: p, Clock: w.Clock, Timeout: 5 * time.Second})
	v := w.Check(t.Context(), client("192.0.2.1", "x@slow.example"), []byte(text("ceo@absent.a.test")))
	if policy, _ := v.Asked(); v.DMARC.Result != dkim.Fail || policy != PolicyReject || v.SPF.Result != dkim.None {
		t.Errorf("%+v, SPF %+v", v.DMARC, v.SPF)
	}
}
