package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) organizationHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateOrganization.Handle(a.createOrganization),
		contract.DeleteOrganization.Handle(a.deleteOrganization),
		contract.DescribeOrganization.Handle(a.describeOrganization),
		contract.ListOrganizations.Handle(a.listOrganizations),
	}
}

// createOrganization ignores the HostedZoneId of a domain: nothing here writes to Route 53.
func (a *API) createOrganization(ctx context.Context, p principal.Principal, in *contract.CreateOrganizationInput) (*contract.CreateOrganizationOutput, error) {
	id, err := a.Organizations.Create(ctx, p, organization.Request{
		Alias: in.Alias, DirectoryID: text(in.DirectoryId), KeyARN: text(in.KmsKeyArn), Interoperability: in.EnableInteroperability,
		Domains: each(in.Domains, func(d *contract.Domain) string { return d.DomainName }), ClientToken: text(in.ClientToken),
	})
	if err != nil {
		return nil, err
	}
	return &contract.CreateOrganizationOutput{OrganizationId: always(id)}, nil
}

func (a *API) deleteOrganization(ctx context.Context, p principal.Principal, in *contract.DeleteOrganizationInput) (*contract.DeleteOrganizationOutput, error) {
	state, err := a.Organizations.Delete(ctx, p, directory.OrgID(in.OrganizationId), organization.Deletion{
		Force: in.ForceDelete, Directory: in.DeleteDirectory, Application: in.DeleteIdentityCenterApplication, ClientToken: text(in.ClientToken),
	})
	if err != nil {
		return nil, err
	}
	return &contract.DeleteOrganizationOutput{OrganizationId: &in.OrganizationId, State: always(state)}, nil
}

func (a *API) describeOrganization(ctx context.Context, p principal.Principal, in *contract.DescribeOrganizationInput) (*contract.DescribeOrganizationOutput, error) {
	o, err := a.Directory.DescribeOrganization(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	return &contract.DescribeOrganizationOutput{
		OrganizationId: always(o.ID), Alias: some(o.Alias), State: always(o.State), DirectoryId: some(o.DirectoryID),
		DirectoryType: some(o.DirectoryType), DefaultMailDomain: some(o.DefaultDomain), CompletedDate: when(o.Completed),
		ErrorMessage: some(o.Error), ARN: always(o.ARN()), MigrationAdmin: some(o.MigrationAdmin), InteroperabilityEnabled: o.Interoperability,
	}, nil
}

func (a *API) listOrganizations(ctx context.Context, p principal.Principal, in *contract.ListOrganizationsInput) (*contract.ListOrganizationsOutput, error) {
	page, err := a.page(ctx, &contract.ListOrganizations.Op, in)
	if err != nil {
		return nil, err
	}
	organizations, next, err := a.Directory.ListOrganizations(ctx, p, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListOrganizationsOutput{
		OrganizationSummaries: each(organizations, func(o *directory.Organization) contract.OrganizationSummary {
			return contract.OrganizationSummary{
				OrganizationId: always(o.ID), Alias: some(o.Alias), DefaultMailDomain: some(o.DefaultDomain),
				ErrorMessage: some(o.Error), State: always(o.State),
			}
		}),
		NextToken: page.token(next),
	}, nil
}
