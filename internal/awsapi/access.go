package awsapi

import (
	"context"
	"net/netip"
	"time"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) accessHandlers() []contract.Handler {
	return []contract.Handler{
		contract.PutAccessControlRule.Handle(a.putAccessControlRule),
		contract.DeleteAccessControlRule.Handle(a.deleteAccessControlRule),
		contract.ListAccessControlRules.Handle(a.listAccessControlRules),
		contract.GetAccessControlEffect.Handle(a.getAccessControlEffect),
	}
}

func (a *API) putAccessControlRule(ctx context.Context, p principal.Principal, in *contract.PutAccessControlRuleInput) (*contract.PutAccessControlRuleOutput, error) {
	return &contract.PutAccessControlRuleOutput{}, a.Policy.PutAccessRule(ctx, p, directory.OrgID(in.OrganizationId), policy.AccessRule{
		Name: in.Name, Allow: in.Effect == contract.AccessControlRuleEffectAllow, Description: in.Description,
		AccessConditions: policy.AccessConditions{
			IPRanges: in.IpRanges, NotIPRanges: in.NotIpRanges, Actions: in.Actions, NotActions: in.NotActions,
			Users: texts[directory.EntityID](in.UserIds), NotUsers: texts[directory.EntityID](in.NotUserIds),
			Roles: texts[policy.RoleID](in.ImpersonationRoleIds), NotRoles: texts[policy.RoleID](in.NotImpersonationRoleIds),
		},
	})
}

func (a *API) deleteAccessControlRule(ctx context.Context, p principal.Principal, in *contract.DeleteAccessControlRuleInput) (*contract.DeleteAccessControlRuleOutput, error) {
	return &contract.DeleteAccessControlRuleOutput{}, a.Policy.DeleteAccessRule(ctx, p, directory.OrgID(in.OrganizationId), in.Name)
}

func (a *API) listAccessControlRules(ctx context.Context, p principal.Principal, in *contract.ListAccessControlRulesInput) (*contract.ListAccessControlRulesOutput, error) {
	rules, err := a.Policy.ListAccessRules(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	return &contract.ListAccessControlRulesOutput{Rules: each(rules, func(r *policy.AccessRule) contract.AccessControlRule {
		return contract.AccessControlRule{
			Name: always(r.Name), Effect: accessRuleEffect(r.Allow), Description: always(r.Description),
			IpRanges: r.IPRanges, NotIpRanges: r.NotIPRanges, Actions: r.Actions, NotActions: r.NotActions,
			UserIds: texts[string](r.Users), NotUserIds: texts[string](r.NotUsers), DateCreated: seconds(r.Created), DateModified: seconds(r.Modified),
			ImpersonationRoleIds: texts[string](r.Roles), NotImpersonationRoleIds: texts[string](r.NotRoles),
		}
	})}, nil
}

func (a *API) getAccessControlEffect(ctx context.Context, p principal.Principal, in *contract.GetAccessControlEffectInput) (*contract.GetAccessControlEffectOutput, error) {
	address, err := netip.ParseAddr(in.IpAddress)
	if err != nil { // not after its pattern
		return nil, fault.Wrap(err, fault.Invalid, fault.None, "%q is not an IPv4 address", in.IpAddress)
	}
	v, err := a.Policy.AccessEffect(ctx, p, directory.OrgID(in.OrganizationId), policy.Access{
		Action: in.Action, Address: address, User: directory.EntityID(text(in.UserId)), Role: policy.RoleID(text(in.ImpersonationRoleId)),
	})
	if err != nil {
		return nil, err
	}
	return &contract.GetAccessControlEffectOutput{Effect: accessRuleEffect(v.Allowed), MatchedRules: append([]string{}, v.Rules...)}, nil
}

func accessRuleEffect(allow bool) contract.AccessControlRuleEffect {
	if allow {
		return contract.AccessControlRuleEffectAllow
	}
	return contract.AccessControlRuleEffectDeny
}

// seconds is a time of an access rule, which the service tells in whole seconds.
func seconds(t time.Time) *time.Time {
	t = t.Truncate(time.Second)
	return &t
}

// texts turns texts of one type into those of another; none stay none, so that the list is absent.
func texts[To, From ~string](from []From) []To {
	if from == nil {
		return nil
	}
	return each(from, func(s *From) To { return To(*s) })
}
