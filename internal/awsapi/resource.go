package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) resourceHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateResource.Handle(a.createResource),
		contract.DeleteResource.Handle(a.deleteResource),
		contract.DescribeResource.Handle(a.describeResource),
		contract.ListResources.Handle(a.listResources),
		contract.UpdateResource.Handle(a.updateResource),
		contract.AssociateDelegateToResource.Handle(a.associateDelegate),
		contract.DisassociateDelegateFromResource.Handle(a.disassociateDelegate),
		contract.ListResourceDelegates.Handle(a.listResourceDelegates),
	}
}

func (a *API) createResource(ctx context.Context, p principal.Principal, in *contract.CreateResourceInput) (*contract.CreateResourceOutput, error) {
	kind, err := directory.ParseResourceType(string(in.Type))
	if err != nil {
		return nil, err
	}
	id, err := a.Directory.CreateResource(ctx, p, directory.OrgID(in.OrganizationId), directory.NewResource{
		Name: in.Name, Type: kind, Description: text(in.Description), Hidden: in.HiddenFromGlobalAddressList,
	})
	if err != nil {
		return nil, err
	}
	return &contract.CreateResourceOutput{ResourceId: always(id)}, nil
}

func (a *API) deleteResource(ctx context.Context, p principal.Principal, in *contract.DeleteResourceInput) (*contract.DeleteResourceOutput, error) {
	return &contract.DeleteResourceOutput{}, a.Organizations.DeleteResource(ctx, p, directory.OrgID(in.OrganizationId), in.ResourceId)
}

func (a *API) describeResource(ctx context.Context, p principal.Principal, in *contract.DescribeResourceInput) (*contract.DescribeResourceOutput, error) {
	r, err := a.Directory.DescribeResource(ctx, p, directory.OrgID(in.OrganizationId), in.ResourceId)
	if err != nil {
		return nil, err
	}
	return &contract.DescribeResourceOutput{
		ResourceId: always(r.ID), Email: some(r.Email), Name: some(r.Name), Type: contract.ResourceType(r.Type.String()),
		BookingOptions: &contract.BookingOptions{
			AutoAcceptRequests: r.Booking.AutoAccept, AutoDeclineRecurringRequests: r.Booking.AutoDeclineRecurring,
			AutoDeclineConflictingRequests: r.Booking.AutoDeclineConflicting,
		},
		State: stateOf(r.State), EnabledDate: when(r.Enabled), DisabledDate: when(r.Disabled), Description: some(r.Description),
		HiddenFromGlobalAddressList: r.Hidden,
	}, nil
}

func (a *API) listResources(ctx context.Context, p principal.Principal, in *contract.ListResourcesInput) (*contract.ListResourcesOutput, error) {
	page, err := a.page(ctx, &contract.ListResources.Op, in)
	if err != nil {
		return nil, err
	}
	var filter directory.Filter
	if f := in.Filters; f != nil {
		filter = directory.Filter{NamePrefix: text(f.NamePrefix), EmailPrefix: text(f.PrimaryEmailPrefix)}
		if filter.State, err = stateFilter(f.State); err != nil {
			return nil, err
		}
	}
	resources, next, err := a.Directory.ListResources(ctx, p, directory.OrgID(in.OrganizationId), filter, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListResourcesOutput{
		Resources: each(resources, func(r *directory.Resource) contract.Resource {
			return contract.Resource{
				Id: always(r.ID), Email: some(r.Email), Name: some(r.Name), Type: contract.ResourceType(r.Type.String()),
				State: stateOf(r.State), EnabledDate: when(r.Enabled), DisabledDate: when(r.Disabled), Description: some(r.Description),
			}
		}),
		NextToken: page.token(next),
	}, nil
}

func (a *API) updateResource(ctx context.Context, p principal.Principal, in *contract.UpdateResourceInput) (*contract.UpdateResourceOutput, error) {
	change := directory.ResourceChange{Name: in.Name, Description: in.Description, Hidden: in.HiddenFromGlobalAddressList}
	if in.Type != "" {
		kind, err := directory.ParseResourceType(string(in.Type))
		if err != nil {
			return nil, err
		}
		change.Type = &kind
	}
	if b := in.BookingOptions; b != nil {
		change.Booking = &directory.BookingOptions{
			AutoAccept: b.AutoAcceptRequests, AutoDeclineRecurring: b.AutoDeclineRecurringRequests,
			AutoDeclineConflicting: b.AutoDeclineConflictingRequests,
		}
	}
	return &contract.UpdateResourceOutput{}, a.Directory.UpdateResource(ctx, p, directory.OrgID(in.OrganizationId), in.ResourceId, change)
}

func (a *API) associateDelegate(ctx context.Context, p principal.Principal, in *contract.AssociateDelegateToResourceInput) (*contract.AssociateDelegateToResourceOutput, error) {
	return &contract.AssociateDelegateToResourceOutput{}, a.Directory.AddDelegate(ctx, p, directory.OrgID(in.OrganizationId), in.ResourceId, in.EntityId)
}

func (a *API) disassociateDelegate(ctx context.Context, p principal.Principal, in *contract.DisassociateDelegateFromResourceInput) (*contract.DisassociateDelegateFromResourceOutput, error) {
	return &contract.DisassociateDelegateFromResourceOutput{}, a.Directory.RemoveDelegate(ctx, p, directory.OrgID(in.OrganizationId), in.ResourceId, in.EntityId)
}

func (a *API) listResourceDelegates(ctx context.Context, p principal.Principal, in *contract.ListResourceDelegatesInput) (*contract.ListResourceDelegatesOutput, error) {
	page, err := a.page(ctx, &contract.ListResourceDelegates.Op, in)
	if err != nil {
		return nil, err
	}
	delegates, next, err := a.Directory.ListDelegates(ctx, p, directory.OrgID(in.OrganizationId), in.ResourceId, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListResourceDelegatesOutput{
		Delegates: each(delegates, func(d *directory.Delegate) contract.Delegate {
			return contract.Delegate{Id: string(d.ID), Type: contract.MemberType(d.Kind.String())}
		}),
		NextToken: page.token(next),
	}, nil
}
