package awsapi

import (
	"context"
	"slices"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/domain"
)

func (a *API) domainHandlers() []contract.Handler {
	return []contract.Handler{
		contract.RegisterMailDomain.Handle(a.registerMailDomain),
		contract.DeregisterMailDomain.Handle(a.deregisterMailDomain),
		contract.GetMailDomain.Handle(a.getMailDomain),
		contract.ListMailDomains.Handle(a.listMailDomains),
		contract.UpdateDefaultMailDomain.Handle(a.updateDefaultMailDomain),
	}
}

func (a *API) registerMailDomain(ctx context.Context, p principal.Principal, in *contract.RegisterMailDomainInput) (*contract.RegisterMailDomainOutput, error) {
	return &contract.RegisterMailDomainOutput{}, a.Directory.RegisterDomain(ctx, p, directory.OrgID(in.OrganizationId), in.DomainName, text(in.ClientToken))
}

func (a *API) deregisterMailDomain(ctx context.Context, p principal.Principal, in *contract.DeregisterMailDomainInput) (*contract.DeregisterMailDomainOutput, error) {
	return &contract.DeregisterMailDomainOutput{}, a.Directory.DeregisterDomain(ctx, p, directory.OrgID(in.OrganizationId), in.DomainName)
}

// getMailDomain leaves out the SRV records: the API knows CNAME, A and MX, clients TXT too, and scripts write each record that they
// get into a zone.
func (a *API) getMailDomain(ctx context.Context, p principal.Principal, in *contract.GetMailDomainInput) (*contract.GetMailDomainOutput, error) {
	d, err := a.Domains.Describe(ctx, p, directory.OrgID(in.OrganizationId), in.DomainName)
	if err != nil {
		return nil, err
	}
	records := slices.DeleteFunc(d.Records, func(r domain.Record) bool { return r.Type == "SRV" })
	return &contract.GetMailDomainOutput{
		Records: each(records, func(r *domain.Record) contract.DnsRecord {
			return contract.DnsRecord{Type: &r.Type, Hostname: &r.Name, Value: &r.Value}
		}),
		IsTestDomain: d.Test, IsDefault: d.Default, OwnershipVerificationStatus: contract.DnsRecordVerificationStatus(d.Status.String()),
		DkimVerificationStatus: contract.DnsRecordVerificationStatus(d.DKIM.String()),
	}, nil
}

func (a *API) listMailDomains(ctx context.Context, p principal.Principal, in *contract.ListMailDomainsInput) (*contract.ListMailDomainsOutput, error) {
	page, err := a.page(ctx, &contract.ListMailDomains.Op, in)
	if err != nil {
		return nil, err
	}
	domains, next, err := a.Directory.ListDomains(ctx, p, directory.OrgID(in.OrganizationId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListMailDomainsOutput{
		MailDomains: each(domains, func(d *directory.Domain) contract.MailDomainSummary {
			return contract.MailDomainSummary{DomainName: &d.Name, DefaultDomain: d.Default}
		}),
		NextToken: page.token(next),
	}, nil
}

func (a *API) updateDefaultMailDomain(ctx context.Context, p principal.Principal, in *contract.UpdateDefaultMailDomainInput) (*contract.UpdateDefaultMailDomainOutput, error) {
	return &contract.UpdateDefaultMailDomainOutput{}, a.Directory.SetDefaultDomain(ctx, p, directory.OrgID(in.OrganizationId), in.DomainName)
}
