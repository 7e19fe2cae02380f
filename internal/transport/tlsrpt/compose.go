package tlsrpt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/message/tlsreport"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
)

const (
	maxPolicies = 100  // of a report; what was counted for others is left out
	maxFailures = 1000 // kinds of failures of a policy; rarer ones are in the sum alone
)

// build makes the report that a domain wants; nil where it wants none, or nothing was counted.
func (r *Reporter) build(ctx context.Context, day dayreport.Day, domain string) (*dayreport.Report, error) {
	records, err := r.Resolver.LookupTXT(ctx, "_smtp._tls."+domain)
	if err != nil && !errors.Is(err, dns.ErrNotFound) {
		return nil, err
	}
	rua := parseRecord(records)
	if len(rua) == 0 {
		return nil, nil
	}
	made, err := r.compose(ctx, day, domain)
	if err != nil || made == nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := tlsreport.Write(&body, made); err != nil {
		return nil, err
	}
	return &dayreport.Report{Day: day, Domain: domain, ID: made.ID, To: rua, Body: body.Bytes()}, nil
}

// compose makes a report of what was counted for a domain on a day; nil where that is nothing.
func (r *Reporter) compose(ctx context.Context, day dayreport.Day, domain string) (*tlsreport.Report, error) {
	type counted struct {
		text string // of the policy
		tlsreport.PolicyReport
	}
	policies := map[string]*counted{}
	err := r.Counted(ctx, day, domain, func(policy, failure string, sessions int64) error {
		p := policies[policy]
		if p == nil {
			if len(policies) == maxPolicies || policy == "" { // it is of too many kinds
				return nil
			}
			p = &counted{text: policy}
			if err := json.Unmarshal([]byte(policy), &p.Policy); err != nil {
				return err
			}
			policies[policy] = p
		}
		return add(&p.PolicyReport, failure, sessions)
	})
	if err != nil || len(policies) == 0 {
		return nil, err
	}
	sorted := make([]*counted, 0, len(policies))
	for _, p := range policies {
		sorted = append(sorted, p)
	}
	slices.SortFunc(sorted, func(a, b *counted) int { return cmp.Compare(a.text, b.text) })
	out := &tlsreport.Report{
		Organization: r.Organization, Contact: r.Contact, ID: id.UUID(), Range: tlsreport.Range{Start: day.Begin(), End: day.End()},
	}
	for _, p := range sorted {
		out.Policies = append(out.Policies, p.PolicyReport)
	}
	return out, nil
}

// add counts sessions that are alike.
func add(p *tlsreport.PolicyReport, failure string, sessions int64) error {
	if failure == "" {
		p.Summary.Succeeded += sessions
		return nil
	}
	p.Summary.Failed += sessions
	if len(p.Failures) == maxFailures {
		return nil
	}
	var f tlsreport.Failure
	if err := json.Unmarshal([]byte(failure), &f); err != nil {
		return err
	}
	f.Sessions = sessions
	p.Failures = append(p.Failures, f)
	return nil
}
