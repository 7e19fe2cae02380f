package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) groupHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateGroup.Handle(a.createGroup),
		contract.DeleteGroup.Handle(a.deleteGroup),
		contract.DescribeGroup.Handle(a.describeGroup),
		contract.ListGroups.Handle(a.listGroups),
		contract.UpdateGroup.Handle(a.updateGroup),
		contract.AssociateMemberToGroup.Handle(a.associateMember),
		contract.DisassociateMemberFromGroup.Handle(a.disassociateMember),
		contract.ListGroupMembers.Handle(a.listGroupMembers),
		contract.ListGroupsForEntity.Handle(a.listGroupsForEntity),
	}
}

func (a *API) createGroup(ctx context.Context, p principal.Principal, in *contract.CreateGroupInput) (*contract.CreateGroupOutput, error) {
	id, err := a.Directory.CreateGroup(ctx, p, directory.OrgID(in.OrganizationId), directory.NewGroup{Name: in.Name, Hidden: in.HiddenFromGlobalAddressList})
	if err != nil {
		return nil, err
	}
	return &contract.CreateGroupOutput{GroupId: always(id)}, nil
}

func (a *API) deleteGroup(ctx context.Context, p principal.Principal, in *contract.DeleteGroupInput) (*contract.DeleteGroupOutput, error) {
	return &contract.DeleteGroupOutput{}, a.Organizations.DeleteGroup(ctx, p, directory.OrgID(in.OrganizationId), in.GroupId)
}

func (a *API) describeGroup(ctx context.Context, p principal.Principal, in *contract.DescribeGroupInput) (*contract.DescribeGroupOutput, error) {
	g, err := a.Directory.DescribeGroup(ctx, p, directory.OrgID(in.OrganizationId), in.GroupId)
	if err != nil {
		return nil, err
	}
	return &contract.DescribeGroupOutput{
		GroupId: always(g.ID), Name: some(g.Name), Email: some(g.Email), State: stateOf(g.State), EnabledDate: when(g.Enabled),
		DisabledDate: when(g.Disabled), HiddenFromGlobalAddressList: g.Hidden,
	}, nil
}

func (a *API) listGroups(ctx context.Context, p principal.Principal, in *contract.ListGroupsInput) (*contract.ListGroupsOutput, error) {
	page, err := a.page(ctx, &contract.ListGroups.Op, in)
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
	groups, next, err := a.Directory.ListGroups(ctx, p, directory.OrgID(in.OrganizationId), filter, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListGroupsOutput{Groups: each(groups, groupItem), NextToken: page.token(next)}, nil
}

func groupItem(g *directory.Entity) contract.Group {
	return contract.Group{
		Id: always(g.ID), Email: some(g.Email), Name: some(g.Name), State: stateOf(g.State), EnabledDate: when(g.Enabled),
		DisabledDate: when(g.Disabled),
	}
}

func (a *API) updateGroup(ctx context.Context, p principal.Principal, in *contract.UpdateGroupInput) (*contract.UpdateGroupOutput, error) {
	return &contract.UpdateGroupOutput{}, a.Directory.UpdateGroup(ctx, p, directory.OrgID(in.OrganizationId), in.GroupId, in.HiddenFromGlobalAddressList)
}

func (a *API) associateMember(ctx context.Context, p principal.Principal, in *contract.AssociateMemberToGroupInput) (*contract.AssociateMemberToGroupOutput, error) {
	return &contract.AssociateMemberToGroupOutput{}, a.Directory.AddMember(ctx, p, directory.OrgID(in.OrganizationId), in.GroupId, in.MemberId)
}

func (a *API) disassociateMember(ctx context.Context, p principal.Principal, in *contract.DisassociateMemberFromGroupInput) (*contract.DisassociateMemberFromGroupOutput, error) {
	return &contract.DisassociateMemberFromGroupOutput{}, a.Directory.RemoveMember(ctx, p, directory.OrgID(in.OrganizationId), in.GroupId, in.MemberId)
}

func (a *API) listGroupMembers(ctx context.Context, p principal.Principal, in *contract.ListGroupMembersInput) (*contract.ListGroupMembersOutput, error) {
	page, err := a.page(ctx, &contract.ListGroupMembers.Op, in)
	if err != nil {
		return nil, err
	}
	members, next, err := a.Directory.ListMembers(ctx, p, directory.OrgID(in.OrganizationId), in.GroupId, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListGroupMembersOutput{
		Members: each(members, func(m *directory.Entity) contract.Member {
			return contract.Member{
				Id: always(m.ID), Name: some(m.Name), Type: contract.MemberType(m.Kind.String()), State: stateOf(m.State),
				EnabledDate: when(m.Enabled), DisabledDate: when(m.Disabled),
			}
		}),
		NextToken: page.token(next),
	}, nil
}

func (a *API) listGroupsForEntity(ctx context.Context, p principal.Principal, in *contract.ListGroupsForEntityInput) (*contract.ListGroupsForEntityOutput, error) {
	page, err := a.page(ctx, &contract.ListGroupsForEntity.Op, in)
	if err != nil {
		return nil, err
	}
	prefix := ""
	if in.Filters != nil {
		prefix = text(in.Filters.GroupNamePrefix)
	}
	groups, next, err := a.Directory.ListGroupsOf(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId, prefix, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListGroupsForEntityOutput{
		Groups: each(groups, func(g *directory.GroupRef) contract.GroupIdentifier {
			return contract.GroupIdentifier{GroupId: always(g.ID), GroupName: always(g.Name)}
		}),
		NextToken: page.token(next),
	}, nil
}
