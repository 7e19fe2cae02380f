package server

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport/domain"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// DomainRef names a domain of an organisation.
type DomainRef struct {
	// Organization is its id ("m-…"). Where it may be empty, that is the one that has proven the domain, or alone registered it; the
	// server's own name needs none.
	Organization string `json:"organization"`
	Domain       string `json:"domain"`
}

// openDomains wires what domains publish.
func (c *core) openDomains(settings *config.Config, resolver *dns.Resolver) {
	ports := settings.PortsSeen()
	way := domain.Gateway
	switch settings.Outbound {
	case "mx":
		way = domain.Direct
	case "off":
		way = domain.Nowhere
	}
	c.domains = domain.New(domain.Config{
		DB: c.db, Directory: c.directory, Keys: c.signing, Clock: c.clock, Resolver: resolver, Policies: route.NewSTSFetcher(c.dialer, nil, 0),
		Host: settings.Hostname, Way: way, Include: settings.SPFDomain(),
		Ports: domain.Ports{
			HTTPS: ports["https"], IMAP: ports["imap"], IMAPS: ports["imaps"], ManageSieve: ports["managesieve"], Submission: ports["submission"], Submissions: ports["submissions"],
		},
		STS: domain.STS{Mode: route.STSMode(settings.MTASTS), MaxAge: time.Duration(settings.MTASTSMaxAge) * time.Second},
	})
}

// domainVerbs adds what operators do with domains.
func (c *core) domainVerbs(verbs map[string]verb) {
	verbs["domain-verify"] = typed(func(ctx context.Context, r DomainRef) (nothing, error) {
		return nothing{}, c.directory.VouchForDomain(ctx, operator, directory.OrgID(r.Organization), r.Domain)
	})
	verbs["domain-records"] = typed(func(ctx context.Context, r DomainRef) ([]domain.Record, error) {
		org, own, err := c.holder(ctx, r)
		if err != nil {
			return nil, err
		}
		describe := func() (*domain.Description, error) { return c.domains.Describe(ctx, operator, org, r.Domain) }
		if own {
			describe = func() (*domain.Description, error) { return c.domains.Server(ctx) }
		}
		d, err := describe()
		if err != nil {
			return nil, err
		}
		return d.Records, nil
	})
	verbs["domain-check"] = typed(func(ctx context.Context, r DomainRef) ([]domain.Finding, error) {
		org, own, err := c.holder(ctx, r)
		switch {
		case err != nil:
			return nil, err
		case own:
			return c.domains.CheckServer(ctx)
		}
		return c.domains.Check(ctx, operator, org, r.Domain)
	})
}

// holder is the organisation that is meant; own says that the server's name is, which none holds.
func (c *core) holder(ctx context.Context, r DomainRef) (org directory.OrgID, own bool, err error) {
	if r.Organization != "" {
		return directory.OrgID(r.Organization), false, nil
	}
	org, err = c.directory.DomainHolder(ctx, operator, r.Domain)
	if fault.Is(err, fault.NotFound, fault.Domain) && directory.Fold(r.Domain) == c.domains.Host {
		return "", true, nil
	}
	return org, false, err
}

// VerifyDomain vouches for a domain where DNS can't.
func (o *Operator) VerifyDomain(ctx context.Context, r DomainRef) error {
	return o.do(ctx, "domain-verify", r, &nothing{})
}

// DomainRecords returns what a domain's owner is to publish.
func (o *Operator) DomainRecords(ctx context.Context, r DomainRef) (records []domain.Record, err error) {
	return records, o.do(ctx, "domain-records", r, &records)
}

// CheckDomain looks up what a domain's owner has published.
func (o *Operator) CheckDomain(ctx context.Context, r DomainRef) (findings []domain.Finding, err error) {
	return findings, o.do(ctx, "domain-check", r, &findings)
}
