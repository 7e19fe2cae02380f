package mailauth

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// maxWalk is how many names a walk up the tree asks for.
const maxWalk = 8

// step is a name of a walk up the tree.
type step struct {
	domain string
	record *Record // nil where there is none
	err    error   // why it is not known whether there is one
	// Where it matters of the domain that the walk begins at: whether it does not exist, and why that is not known.
	absent bool
	hidden error
}

// walkFrom is walk for a domain that From names: where its policy hangs on that, it also finds out whether the domain exists. That is asked
// here, beside SPF, because the sender can have SPF take all the time there is.
func (l *lookups) walkFrom(ctx context.Context, domain string) []step {
	steps := l.walk(ctx, domain)
	_, policy, _ := organizational(steps)
	if policy != nil && policy != &steps[0] && policy.record.NonExistent != policy.record.Subdomains {
		exists, err := l.exists(ctx, domain)
		steps[0].absent, steps[0].hidden = !exists && err == nil, err
	}
	return steps
}

// walk asks for the records of a domain and of those above it (the successor of RFC 7489, "DNS Tree Walk"): itself, then the one of
// seven labels at most, and so on to the top. What lies behind the step at which the walk ends is cut off.
func (l *lookups) walk(ctx context.Context, domain string) []step {
	steps := []step{{domain: domain}}
	labels := strings.Split(domain, ".")
	for rest := labels[max(1, len(labels)-maxWalk+1):]; len(rest) > 0; rest = rest[1:] {
		steps = append(steps, step{domain: strings.Join(rest, ".")})
	}
	var wait sync.WaitGroup
	for i := range steps {
		wait.Go(func() { steps[i].record, steps[i].err = l.record(ctx, steps[i].domain) })
	}
	wait.Wait()
	for i, s := range steps {
		if s.record != nil && (s.record.PublicSuffix == "n" || s.record.PublicSuffix == "y" && i > 0) {
			return steps[:i+1]
		}
	}
	return steps
}

// record returns the record of a domain, nil where it has none. Several are as none.
func (l *lookups) record(ctx context.Context, domain string) (*Record, error) {
	texts, err := l.text(ctx, "_dmarc."+domain)
	if err != nil {
		if errors.Is(err, dns.ErrNotFound) {
			err = nil
		}
		return nil, err
	}
	var found []string
	for _, text := range texts {
		version, _, _ := strings.Cut(text, ";")
		if isVersion(version) {
			found = append(found, text)
		}
	}
	if len(found) != 1 {
		return nil, nil
	}
	r, _ := ParseRecord(found[0])
	return r, nil
}

// organizational returns the organizational domain, and the step whose record holds for the domain that the walk began at; nil where
// none does. err says that the walk could not be ended, so that the domain may be another.
func organizational(steps []step) (domain string, policy *step, err error) {
	start, last := &steps[0], &steps[len(steps)-1]
	if start.record != nil {
		policy = start
	}
	switch {
	case last.record != nil && last.record.PublicSuffix == "n":
		domain = last.domain
	case last != start && last.record != nil && last.record.PublicSuffix == "y":
		domain = below(last.domain, start.domain)
	default:
		domain = start.domain
		for i := range steps {
			if steps[i].record != nil {
				domain = steps[i].domain
			}
		}
	}
	for i := range steps {
		s := &steps[i]
		err = errors.Join(err, s.err)
		if policy == nil && s.record != nil && (s.domain == domain || s == last) {
			policy = s
		}
	}
	return domain, policy, err
}

// below returns the domain that is one label below above on the way to domain.
func below(above, domain string) string {
	rest := strings.TrimSuffix(domain, "."+above)
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + above
}

// identity is a domain that a message may be proven to be from.
type identity struct {
	domain string
	result dkim.Result
	strict bool
}

// checkDMARC judges a message by the wish of a domain that From names. steps are of walkFrom.
func (l *lookups) checkDMARC(ctx context.Context, from string, steps []step, spf Outcome, signatures []dkim.Signature) DMARC {
	d := DMARC{From: from}
	org, policy, walkErr := organizational(steps)
	switch {
	case steps[0].record == nil && walkErr != nil: // its own record, or the one that holds in its place, may exist
		d.Result, d.Reason = dkim.TempError, reasonOf(ctx, walkErr)
		return d
	case policy == nil:
		d.Result = dkim.None
		return d
	}
	d.Domain, d.Record = policy.domain, policy.record
	d.Tested = d.Record.Testing || d.Record.Percent == 0
	d.Policy = d.Record.Policy
	if policy != &steps[0] {
		d.Policy = d.Record.Subdomains
		if steps[0].absent || steps[0].hidden != nil && stricter(d.Policy, d.Record.NonExistent) {
			d.Policy = d.Record.NonExistent
		}
	}
	a := alignment{lookups: l, from: from, org: org, unsure: walkErr != nil}
	var open bool // there is one that may be proven another time
	d.SPFAligned, open = a.of(ctx, identity{spf.Domain, spf.Result, d.Record.StrictSPF})
	for _, s := range signatures {
		pass, may := a.of(ctx, identity{strings.ToLower(s.Domain), s.Result, d.Record.StrictDKIM})
		d.DKIMAligned, open = d.DKIMAligned || pass, open || may
	}
	switch {
	case d.SPFAligned || d.DKIMAligned:
		d.Result = dkim.Pass
	case open:
		d.Result, d.Reason = dkim.TempError, "what would prove it could not be looked up"
	case steps[0].hidden != nil && d.Policy == PolicyNone: // whether anything is asked for hangs on it
		d.Result, d.Reason = dkim.TempError, reasonOf(ctx, steps[0].hidden)
	default:
		d.Result = dkim.Fail
	}
	return d
}

// alignment finds out which identities speak for a domain that From names.
type alignment struct {
	*lookups
	from, org string
	unsure    bool // org may be another
}

// of reports whether an identity is proven and aligned, or may be at another time.
func (a *alignment) of(ctx context.Context, id identity) (pass, may bool) {
	if id.domain == "" || id.result != dkim.Pass && id.result != dkim.TempError {
		return false, false
	}
	aligned, sure := a.aligned(ctx, id)
	if !sure {
		return false, true
	}
	return aligned && id.result == dkim.Pass, aligned && id.result == dkim.TempError
}

func (a *alignment) aligned(ctx context.Context, id identity) (aligned, sure bool) {
	switch {
	case id.domain == a.from:
		return true, true
	case id.strict:
		return false, true
	case a.unsure: // it is one if they share an organizational domain, which is then at or above from
		return false, !related(a.from, id.domain)
	case id.domain != a.org && !strings.HasSuffix(id.domain, "."+a.org):
		return false, true
	}
	org, _, err := organizational(a.walk(ctx, id.domain))
	return org == a.org && err == nil, err == nil
}

// related reports whether two domains share more than their last label.
func related(a, b string) bool {
	last := func(s string) string {
		labels := strings.Split(s, ".")
		return strings.Join(labels[max(0, len(labels)-2):], ".")
	}
	return last(a) == last(b)
}
