package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) addressHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateAlias.Handle(a.createAlias),
		contract.DeleteAlias.Handle(a.deleteAlias),
		contract.ListAliases.Handle(a.listAliases),
		contract.UpdatePrimaryEmailAddress.Handle(a.updatePrimaryEmailAddress),
		contract.DescribeEntity.Handle(a.describeEntity),
	}
}

func (a *API) createAlias(ctx context.Context, p principal.Principal, in *contract.CreateAliasInput) (*contract.CreateAliasOutput, error) {
	return &contract.CreateAliasOutput{}, a.Directory.CreateAlias(ctx, p, directory.OrgID(in.OrganizationId), directory.EntityID(in.EntityId), in.Alias)
}

func (a *API) deleteAlias(ctx context.Context, p principal.Principal, in *contract.DeleteAliasInput) (*contract.DeleteAliasOutput, error) {
	return &contract.DeleteAliasOutput{}, a.Directory.DeleteAlias(ctx, p, directory.OrgID(in.OrganizationId), directory.EntityID(in.EntityId), in.Alias)
}

func (a *API) listAliases(ctx context.Context, p principal.Principal, in *contract.ListAliasesInput) (*contract.ListAliasesOutput, error) {
	page, err := a.page(ctx, &contract.ListAliases.Op, in)
	if err != nil {
		return nil, err
	}
	addresses, next, err := a.Directory.ListAliases(ctx, p, directory.OrgID(in.OrganizationId), directory.EntityID(in.EntityId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListAliasesOutput{Aliases: each(addresses, func(s *string) string { return *s }), NextToken: page.token(next)}, nil
}

func (a *API) updatePrimaryEmailAddress(ctx context.Context, p principal.Principal, in *contract.UpdatePrimaryEmailAddressInput) (*contract.UpdatePrimaryEmailAddressOutput, error) {
	return &contract.UpdatePrimaryEmailAddressOutput{}, a.Directory.SetPrimaryAddress(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId, in.Email)
}

func (a *API) describeEntity(ctx context.Context, p principal.Principal, in *contract.DescribeEntityInput) (*contract.DescribeEntityOutput, error) {
	e, err := a.Directory.DescribeEntity(ctx, p, directory.OrgID(in.OrganizationId), in.Email)
	if err != nil {
		return nil, err
	}
	return &contract.DescribeEntityOutput{EntityId: always(e.ID), Name: always(e.Name), Type: contract.EntityType(e.Kind.String())}, nil
}
