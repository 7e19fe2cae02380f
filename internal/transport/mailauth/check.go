package mailauth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// timeout bounds all look-ups of one message.
const timeout = 20 * time.Second

// Options are what a Checker stands on. Resolver and Clock are needed.
type Options struct {
	Resolver Resolver
	Clock    clock.Clock
	// Trusted are the domains whose ARC seals are believed in what they say of a message before it was passed on, lower case.
	Trusted []string
	// Timeout bounds all look-ups of one message; 0 means 20 seconds.
	Timeout time.Duration
}

// Checker checks messages. It is safe for concurrent use.
type Checker struct {
	Options
	dkim  *dkim.Verifier
	stats stats
}

// New returns a checker.
func New(o Options) *Checker {
	if o.Timeout <= 0 {
		o.Timeout = timeout
	}
	return &Checker{Options: o, dkim: &dkim.Verifier{Resolver: dkim.Resolver{TXT: o.Resolver.LookupTXT, IsNotFound: isNotFound}, Now: o.Clock.Now}}
}

// Check checks a message as the client sent it, without the trace of this server. It always has a verdict: what can't be found out in
// time is a temporary error there. What a client on this machine says of itself is not looked up.
func (k *Checker) Check(ctx context.Context, c Client, text []byte) *Verdict {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	c.Address = c.Address.Unmap().WithZone("")
	v := &Verdict{Client: c, Local: !c.Address.IsValid() || c.Address.IsLoopback()}
	header := text[:message.HeaderEnd(text)]
	from, complete := authors(header)
	l := newLookups(k.Resolver, c.Address)

	var walks [][]step
	var wait sync.WaitGroup
	if v.Local {
		v.IPRev = Outcome{Result: dkim.TempError, Reason: onThisMachine}
		v.Hello = Outcome{Result: dkim.TempError, Domain: message.FoldDomain(c.Hello), Reason: onThisMachine}
		v.SPF = v.Hello
		if !c.From.IsZero() {
			v.SPF.Domain = message.FoldDomain(c.From.Domain)
		}
	} else {
		wait.Go(func() { v.IPRev = l.checkName(ctx) })
		wait.Go(func() { v.Hello = l.checkHello(ctx, c.Hello) })
		if !c.From.IsZero() {
			wait.Go(func() { v.SPF = l.checkSPF(ctx, c.Hello, c.From) })
		}
		walks = make([][]step, len(from))
		for i, domain := range from {
			if isDomain(domain) {
				wait.Go(func() { walks[i] = l.walkFrom(ctx, domain) })
			}
		}
	}
	v.ARC.Result = dkim.None
	signed, sealed := proofs(header)
	if signed {
		v.DKIM = k.dkim.Verify(ctx, text)
	}
	if sealed {
		v.ARC = arc.Verify(ctx, k.dkim, text)
	}
	wait.Wait()
	if !v.Local && c.From.IsZero() {
		v.SPF = v.Hello
	}
	v.DMARC = k.judge(ctx, l, v, from, complete, walks)
	if v.DMARC.Result == dkim.Fail && v.DMARC.Record != nil {
		v.Vouched = k.vouched(&v.ARC, header)
	}
	k.stats.count(v)
	return v
}

const onThisMachine = "the client is on this machine"

// judge checks DMARC for each domain that From names, and returns what became of the one that fares worst (RFC 7489 section 6.6.1).
func (k *Checker) judge(ctx context.Context, l *lookups, v *Verdict, from []string, complete bool, walks [][]step) DMARC {
	proven := slices.ContainsFunc(v.DKIM, func(s dkim.Signature) bool { return s.Result == dkim.Pass })
	var worst DMARC
	for i, domain := range from {
		var d DMARC
		switch {
		case !isDomain(domain):
			d = DMARC{Result: dkim.PermError, From: domain, Reason: "From has a domain that can't be looked up"}
		case v.Local && !proven:
			d = DMARC{Result: dkim.TempError, From: domain, Reason: onThisMachine}
		case v.Local:
			d = l.checkDMARC(ctx, domain, l.walkFrom(ctx, domain), v.SPF, v.DKIM)
			if d.Result == dkim.Fail {
				d.Result, d.Reason = dkim.TempError, onThisMachine
			}
		default:
			d = l.checkDMARC(ctx, domain, walks[i], v.SPF, v.DKIM)
		}
		if i == 0 || worse(&d, &worst) {
			worst = d
		}
	}
	switch {
	case !complete && !v.Local:
		return DMARC{Result: dkim.Fail, From: worst.From, Policy: PolicyReject, Reason: "From names more than a message can be from"}
	case len(from) == 0:
		return DMARC{Result: dkim.PermError, Reason: "From names no domain"}
	}
	return worst
}

// worse orders what becomes of several authors' domains.
func worse(a, b *DMARC) bool {
	results := []dkim.Result{dkim.Pass, dkim.None, dkim.PermError, dkim.TempError, dkim.Fail}
	if a.Result != b.Result {
		return slices.Index(results, a.Result) > slices.Index(results, b.Result)
	}
	return a.Result == dkim.Fail && stricter(a.asked(), b.asked())
}

// asked is the policy that is to be applied to a message that fails: one level below that which is tested (RFC 9989 section 4.7, t).
func (d *DMARC) asked() Policy {
	switch {
	case !d.Tested:
		return d.Policy
	case d.Policy == PolicyReject:
		return PolicyQuarantine
	}
	return PolicyNone
}

func stricter(a, b Policy) bool {
	policies := []Policy{PolicyNone, PolicyQuarantine, PolicyReject}
	return slices.Index(policies, a) > slices.Index(policies, b)
}

// Asked returns what is to be done with the message by the wish of the author's domain, and where that is less than its policy why.
func (v *Verdict) Asked() (Policy, Disposition) {
	switch d := &v.DMARC; {
	case d.Result != dkim.Fail || d.Policy == PolicyNone:
		return PolicyNone, Disposition{Applied: PolicyNone}
	case v.Vouched != "":
		return PolicyNone, Disposition{PolicyNone, OverrideLocal, v.arcComment()}
	case d.Tested:
		return d.asked(), Disposition{Applied: d.asked(), Override: OverrideTest}
	default:
		return d.Policy, Disposition{Applied: d.Policy}
	}
}

// arcComment names the chain as RFC 8617 section 7.2.2 has it.
func (v *Verdict) arcComment() string {
	parts := []string{"arc=pass"}
	for i, domain := range slices.Backward(v.ARC.Domains) {
		parts = append(parts, sealOf(i+1, domain))
	}
	return strings.Join(parts, " ")
}

// Refusal is what the sender of a message is told that is refused because the author's domain asks for it.
func (v *Verdict) Refusal() string {
	d := &v.DMARC
	if d.Record == nil {
		return "DMARC: " + d.Reason
	}
	return fmt.Sprintf("DMARC: %s asks that mail is refused which is not proven to be from it, and neither SPF (%s) nor DKIM (%s) proves it for this message",
		printable(d.Domain), v.SPF.Result, v.Signed())
}
