package domain

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// Status says how what was found relates to what is wanted.
type Status string

// The statuses. Unknown is of what could not be looked up.
const (
	Right        Status = "right"
	Missing      Status = "missing"
	Inconsistent Status = "inconsistent"
	Unknown      Status = "unknown"
)

// Finding is a record, or something beside records, that was looked at.
type Finding struct {
	Record
	Status Status   `json:"status"`
	Found  []string `json:"found"` // what is there, in the form of Record.Value
	Note   string   `json:"note"`  // what to know of it, in a sentence without its end; empty where there is nothing
}

const (
	// checkTime bounds a whole check.
	checkTime = time.Minute
	// fetchTime bounds the fetching of a policy.
	fetchTime = 15 * time.Second
	// sideBySide is how many look-ups run at once.
	sideBySide = 8
)

// check is one under way.
type check struct {
	*Service
	d         *Description
	addresses []netip.Addr // of the server's name
	trouble   error        // of their look-up
	exchanges []dns.MX     // of the domain; nil where they are not known
}

// Check looks up each record of a domain, and what mail needs beside them. Faults: NotFound (Domain).
func (s *Service) Check(ctx context.Context, p principal.Principal, org directory.OrgID, name string) ([]Finding, error) {
	d, err := s.Describe(ctx, p, org, name)
	if err != nil || d.Test {
		return nil, err
	}
	return s.check(ctx, d), nil
}

// CheckServer looks up what the server's own name needs.
func (s *Service) CheckServer(ctx context.Context) ([]Finding, error) {
	d, err := s.Server(ctx)
	if err != nil {
		return nil, err
	}
	return s.check(ctx, d), nil
}

func (s *Service) check(ctx context.Context, d *Description) []Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	c := &check{Service: s, d: d}
	host, err := s.Resolver.LookupAddresses(ctx, s.Host)
	c.addresses, c.trouble = host.Records, err
	if mx, err := s.Resolver.LookupMX(ctx, d.Name); err == nil {
		c.exchanges = mx.Records
	}
	findings := make([]Finding, len(d.Records))
	for i, r := range d.Records {
		findings[i].Record = r
	}
	findings = append(findings, c.beside()...)
	g := new(errgroup.Group)
	g.SetLimit(sideBySide)
	for i := range findings {
		findings[i].Found = []string{} // for JSON
		g.Go(func() error {
			c.look(ctx, &findings[i])
			return nil
		})
	}
	_ = g.Wait() // none fails as a whole
	return findings
}

// beside are the findings that are no records of the domain, yet to be looked up.
func (c *check) beside() []Finding {
	var more []Finding
	switch {
	case c.d.server:
	case c.STS.Mode != route.STSNone:
		more = append(more, Finding{Record: Record{PolicyFile, "HTTPS", "mta-sts." + c.d.Name, "https://mta-sts." + c.d.Name + "/.well-known/mta-sts.txt", ""}})
	default:
		more = append(more, Finding{Record: Record{MTASTS, "TXT", "_mta-sts." + c.d.Name, "", ""}})
	}
	more = append(more, Finding{Record: Record{HostName, "A/AAAA", c.Host, "", ""}})
	if c.Way == Direct {
		for _, a := range c.addresses {
			more = append(more, Finding{Record: Record{Reverse, "PTR", a.String(), c.Host, ""}})
		}
	}
	return more
}

// look fills in a finding.
func (c *check) look(ctx context.Context, f *Finding) {
	switch f.Purpose {
	case Ownership:
		c.ownership(ctx, f)
	case MX:
		c.mx(ctx, f)
	case SPF:
		c.spf(ctx, f)
	case DKIM:
		c.dkim(ctx, f)
	case DMARC:
		c.dmarc(ctx, f)
	case TLSReports:
		c.tlsReports(ctx, f)
	case Services:
		c.service(ctx, f)
	case PolicyFile:
		c.policyFile(ctx, f)
	case HostName:
		c.host(f)
	case Reverse:
		c.reverse(ctx, f)
	default: // autodiscover, autoconfig, MTA-STS
		if f.Type == "CNAME" {
			c.alias(ctx, f)
		} else {
			c.stsID(ctx, f)
		}
	}
}

func (f *Finding) is(s Status, note string) { f.Status, f.Note = s, note }

// failed is the finding of a look-up that had no answer: none is certain, or none is known.
func (f *Finding) failed(err error) {
	if errors.Is(err, dns.ErrNotFound) {
		f.is(Missing, "")
		return
	}
	f.is(Unknown, "DNS could not tell: "+err.Error())
}
