package availability

import (
	"context"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// What a trial asks about: nobody's mailbox, where there is no better one. That it doesn't exist is an answer too.
const (
	trialUser   = "availability-test"
	trialDomain = "example.com"
)

// Test asks a provider about the next day and returns why it failed, empty where it gave an answer of the right form: also that
// a mailbox doesn't exist. What is tried is the stored configuration of the domain, or the provider where no domain is given. Faults:
// Invalid unless there is exactly one of the two, or for a bad provider; NotFound (Resource) for a domain without configuration;
// Temporary for too many trials at a time.
func (s *Service) Test(ctx context.Context, p principal.Principal, org directory.OrgID, domain string, provider *Provider) (reason string, err error) {
	if (domain == "") == (provider == nil) {
		return "", s.directory.GateFirst(ctx, org, fault.New(fault.Invalid, fault.Resource, "give exactly one of DomainName, EwsProvider and LambdaProvider"))
	}
	if provider != nil {
		if err := provider.check(); err != nil {
			return "", s.directory.GateFirst(ctx, org, err)
		}
	}
	domain = directory.Fold(domain)
	var stored *row
	var from string
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) (err error) {
		from = o.DefaultDomain
		if provider == nil {
			stored, err = rowTx(ctx, tx, o.Key, domain)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if stored != nil {
		opened, err := s.provider(org, stored)
		if err != nil {
			return "", err
		}
		provider = &opened
	}
	leave, ok := s.gate.enter(string(org), domain)
	if !ok {
		return "", fault.New(fault.Temporary, fault.Resource, "too many questions are waiting for availability providers; try again later")
	}
	defer leave()
	now := s.clock.Now().UTC().Truncate(time.Hour)
	ask := inquiry{
		requester: requester{Email: trialUser + "@" + from, UserName: trialUser, Organization: string(org), UserID: p.ID},
		addresses: []string{trialAddress(domain, provider)}, start: now, end: now.Add(24 * time.Hour),
	}
	if p.Address.IsValid() {
		ask.requester.Origin = p.Address.Unmap().String()
	}
	mailboxes, failure := s.ask(ctx, *provider, ask)
	if failure == nil && mailboxes[0].Error == SchemaValidation {
		failure = failed(SchemaValidation, "the answer about %s has not the form that is documented", ask.addresses[0])
	}
	s.tell(p, org, domain, *provider, failure)
	if failure != nil {
		return failure.reason, nil
	}
	return "", nil
}

func trialAddress(domain string, p *Provider) string {
	if p.EWS != nil && strings.Contains(p.EWS.Username, "@") {
		return p.EWS.Username // the one mailbox that is likely to be there
	}
	if domain == "" {
		domain = trialDomain
	}
	return trialUser + "@" + domain
}
