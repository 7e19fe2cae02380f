package tlsrpt

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/id"
)

const (
	maxPolicies = 100  // of a report; what was counted for others is left out
	maxFailures = 1000 // kinds of failures of a policy; rarer ones are in the sum alone
)

// reportJSON is a report (RFC 8460 section 4.4).
type reportJSON struct {
	Organization string `json:"organization-name"`
	Range        struct {
		Start string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	} `json:"date-range"`
	Contact  string          `json:"contact-info"`
	ID       string          `json:"report-id"`
	Policies []*policyReport `json:"policies"`
}

// policyReport is what was counted under one policy.
type policyReport struct {
	Policy  json.RawMessage `json:"policy"`
	Summary struct {
		Succeeded int64 `json:"total-successful-session-count"`
		Failed    int64 `json:"total-failure-session-count"`
	} `json:"summary"`
	Failures []failureJSON `json:"failure-details,omitempty"`
}

const countedSessions = `SELECT policy, failure, sessions FROM tls_session WHERE day = $1 AND domain = $2 ORDER BY sessions DESC, hash`

// compose makes a report of what was counted for a domain on a day; nil where that is nothing.
func (r *Reporter) compose(ctx context.Context, day int64, domain string) (*report, error) {
	out := reportJSON{Organization: r.Organization, Contact: r.Contact, ID: id.UUID()}
	out.Range.Start = begins(day).Format(time.RFC3339)
	out.Range.End = begins(day + 1).Add(-time.Second).Format(time.RFC3339)
	policies := map[string]*policyReport{}
	err := r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows, err := tx.Query(ctx, countedSessions, day, domain)
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var policy, failure string
			var sessions int64
			if err := rows.Scan(&policy, &failure, &sessions); err != nil {
				return err
			}
			p := policies[policy]
			if p == nil {
				if len(policies) == maxPolicies {
					continue
				}
				p = &policyReport{Policy: json.RawMessage(policy)}
				policies[policy] = p
			}
			if err := p.add(failure, sessions); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the TLS sessions of a day: %w", err)
	}
	if len(policies) == 0 {
		return nil, nil
	}
	for _, p := range policies {
		out.Policies = append(out.Policies, p)
	}
	slices.SortFunc(out.Policies, func(a, b *policyReport) int { return cmp.Compare(string(a.Policy), string(b.Policy)) })
	var body bytes.Buffer
	packed := gzip.NewWriter(&body)
	if err := json.NewEncoder(packed).Encode(out); err != nil {
		return nil, err
	}
	if err := packed.Close(); err != nil {
		return nil, err
	}
	return &report{day: day, domain: domain, id: out.ID, body: body.Bytes()}, nil
}

// add counts sessions that are alike.
func (p *policyReport) add(failure string, sessions int64) error {
	if failure == "" {
		p.Summary.Succeeded += sessions
		return nil
	}
	p.Summary.Failed += sessions
	if len(p.Failures) == maxFailures {
		return nil
	}
	var f failureJSON
	if err := json.Unmarshal([]byte(failure), &f); err != nil {
		return err
	}
	f.Sessions = sessions
	p.Failures = append(p.Failures, f)
	return nil
}
