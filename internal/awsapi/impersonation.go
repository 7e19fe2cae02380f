package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) impersonationHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateImpersonationRole.Handle(a.createImpersonationRole),
		contract.UpdateImpersonationRole.Handle(a.updateImpersonationRole),
		contract.DeleteImpersonationRole.Handle(a.deleteImpersonationRole),
		contract.GetImpersonationRole.Handle(a.getImpersonationRole),
		contract.ListImpersonationRoles.Handle(a.listImpersonationRoles),
		contract.GetImpersonationRoleEffect.Handle(a.getImpersonationRoleEffect),
		contract.AssumeImpersonationRole.Handle(a.assumeImpersonationRole),
	}
}

func newRole(name string, kind contract.ImpersonationRoleType, description *string, rules []contract.ImpersonationRule) policy.NewRole {
	return policy.NewRole{
		Name: name, ReadOnly: kind == contract.ImpersonationRoleTypeReadOnly, Description: text(description),
		Rules: each(rules, func(r *contract.ImpersonationRule) policy.NewRoleRule {
			return policy.NewRoleRule{
				ID: r.ImpersonationRuleId, Name: text(r.Name), Description: text(r.Description), Allow: r.Effect == contract.AccessEffectAllow,
				Targets: r.TargetUsers, NotTargets: r.NotTargetUsers,
			}
		}),
	}
}

func roleType(r *policy.ImpersonationRole) contract.ImpersonationRoleType {
	if r.ReadOnly {
		return contract.ImpersonationRoleTypeReadOnly
	}
	return contract.ImpersonationRoleTypeFullAccess
}

func accessEffect(allow bool) contract.AccessEffect {
	if allow {
		return contract.AccessEffectAllow
	}
	return contract.AccessEffectDeny
}

func (a *API) createImpersonationRole(ctx context.Context, p principal.Principal, in *contract.CreateImpersonationRoleInput) (*contract.CreateImpersonationRoleOutput, error) {
	id, err := a.Policy.CreateRole(ctx, p, directory.OrgID(in.OrganizationId), newRole(in.Name, in.Type, in.Description, in.Rules), text(in.ClientToken))
	if err != nil {
		return nil, err
	}
	return &contract.CreateImpersonationRoleOutput{ImpersonationRoleId: always(id)}, nil
}

func (a *API) updateImpersonationRole(ctx context.Context, p principal.Principal, in *contract.UpdateImpersonationRoleInput) (*contract.UpdateImpersonationRoleOutput, error) {
	return &contract.UpdateImpersonationRoleOutput{}, a.Policy.UpdateRole(ctx, p, directory.OrgID(in.OrganizationId),
		policy.RoleID(in.ImpersonationRoleId), newRole(in.Name, in.Type, in.Description, in.Rules))
}

func (a *API) deleteImpersonationRole(ctx context.Context, p principal.Principal, in *contract.DeleteImpersonationRoleInput) (*contract.DeleteImpersonationRoleOutput, error) {
	return &contract.DeleteImpersonationRoleOutput{}, a.Policy.DeleteRole(ctx, p, directory.OrgID(in.OrganizationId), policy.RoleID(in.ImpersonationRoleId))
}

func (a *API) getImpersonationRole(ctx context.Context, p principal.Principal, in *contract.GetImpersonationRoleInput) (*contract.GetImpersonationRoleOutput, error) {
	r, err := a.Policy.DescribeRole(ctx, p, directory.OrgID(in.OrganizationId), policy.RoleID(in.ImpersonationRoleId))
	if err != nil {
		return nil, err
	}
	return &contract.GetImpersonationRoleOutput{
		ImpersonationRoleId: always(r.ID), Name: always(r.Name), Type: roleType(r), Description: some(r.Description),
		Rules: each(r.Rules, func(r *policy.RoleRule) contract.ImpersonationRule {
			return contract.ImpersonationRule{
				ImpersonationRuleId: r.ID, Name: some(r.Name), Description: some(r.Description), Effect: accessEffect(r.Allow),
				TargetUsers: texts[string](r.Targets), NotTargetUsers: texts[string](r.NotTargets),
			}
		}),
		DateCreated: when(r.Created), DateModified: when(r.Modified),
	}, nil
}

func (a *API) listImpersonationRoles(ctx context.Context, p principal.Principal, in *contract.ListImpersonationRolesInput) (*contract.ListImpersonationRolesOutput, error) {
	page, err := a.page(ctx, &contract.ListImpersonationRoles.Op, in)
	if err != nil {
		return nil, err
	}
	roles, next, err := a.Policy.ListRoles(ctx, p, directory.OrgID(in.OrganizationId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListImpersonationRolesOutput{
		Roles: each(roles, func(r *policy.ImpersonationRole) contract.ImpersonationRole {
			return contract.ImpersonationRole{
				ImpersonationRoleId: always(r.ID), Name: always(r.Name), Type: roleType(r), DateCreated: when(r.Created), DateModified: when(r.Modified),
			}
		}),
		NextToken: page.token(next),
	}, nil
}

func (a *API) getImpersonationRoleEffect(ctx context.Context, p principal.Principal, in *contract.GetImpersonationRoleEffectInput) (*contract.GetImpersonationRoleEffectOutput, error) {
	e, err := a.Policy.RoleEffect(ctx, p, directory.OrgID(in.OrganizationId), policy.RoleID(in.ImpersonationRoleId), in.TargetUser)
	if err != nil {
		return nil, err
	}
	return &contract.GetImpersonationRoleEffectOutput{
		Type: roleType(&e.Role), Effect: accessEffect(e.Allowed),
		MatchedRules: each(e.Rules, func(r *policy.RoleRule) contract.ImpersonationMatchedRule {
			return contract.ImpersonationMatchedRule{ImpersonationRuleId: &r.ID, Name: some(r.Name)}
		}),
	}, nil
}

func (a *API) assumeImpersonationRole(ctx context.Context, p principal.Principal, in *contract.AssumeImpersonationRoleInput) (*contract.AssumeImpersonationRoleOutput, error) {
	token, err := a.Impersonation.Assume(ctx, p, directory.OrgID(in.OrganizationId), policy.RoleID(in.ImpersonationRoleId))
	if err != nil {
		return nil, err
	}
	life := int64(identity.TokenLife.Seconds())
	return &contract.AssumeImpersonationRoleOutput{Token: &token, ExpiresIn: &life}, nil
}
