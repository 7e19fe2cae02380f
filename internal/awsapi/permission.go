package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) permissionHandlers() []contract.Handler {
	return []contract.Handler{
		contract.PutMailboxPermissions.Handle(a.putMailboxPermissions),
		contract.DeleteMailboxPermissions.Handle(a.deleteMailboxPermissions),
		contract.ListMailboxPermissions.Handle(a.listMailboxPermissions),
	}
}

func (a *API) putMailboxPermissions(ctx context.Context, p principal.Principal, in *contract.PutMailboxPermissionsInput) (*contract.PutMailboxPermissionsOutput, error) {
	rights, err := policy.ParseRights(each(in.PermissionValues, func(v *contract.PermissionType) string { return string(*v) }))
	if err != nil {
		return nil, err
	}
	return &contract.PutMailboxPermissionsOutput{}, a.Policy.PutPermissions(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId, in.GranteeId, rights)
}

func (a *API) deleteMailboxPermissions(ctx context.Context, p principal.Principal, in *contract.DeleteMailboxPermissionsInput) (*contract.DeleteMailboxPermissionsOutput, error) {
	return &contract.DeleteMailboxPermissionsOutput{}, a.Policy.DeletePermissions(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId, in.GranteeId)
}

func (a *API) listMailboxPermissions(ctx context.Context, p principal.Principal, in *contract.ListMailboxPermissionsInput) (*contract.ListMailboxPermissionsOutput, error) {
	page, err := a.page(ctx, &contract.ListMailboxPermissions.Op, in)
	if err != nil {
		return nil, err
	}
	permissions, next, err := a.Policy.ListPermissions(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListMailboxPermissionsOutput{
		Permissions: each(permissions, func(g *policy.Permission) contract.Permission {
			return contract.Permission{
				GranteeId: string(g.Grantee), GranteeType: contract.MemberType(g.Kind.String()),
				PermissionValues: each(g.Rights.Names(), func(n *string) contract.PermissionType { return contract.PermissionType(*n) }),
			}
		}),
		NextToken: page.token(next),
	}, nil
}
