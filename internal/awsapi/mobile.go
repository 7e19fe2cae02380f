package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) mobileHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateMobileDeviceAccessRule.Handle(a.createMobileDeviceAccessRule),
		contract.UpdateMobileDeviceAccessRule.Handle(a.updateMobileDeviceAccessRule),
		contract.DeleteMobileDeviceAccessRule.Handle(a.deleteMobileDeviceAccessRule),
		contract.ListMobileDeviceAccessRules.Handle(a.listMobileDeviceAccessRules),
		contract.GetMobileDeviceAccessEffect.Handle(a.getMobileDeviceAccessEffect),
		contract.PutMobileDeviceAccessOverride.Handle(a.putMobileDeviceAccessOverride),
		contract.GetMobileDeviceAccessOverride.Handle(a.getMobileDeviceAccessOverride),
		contract.DeleteMobileDeviceAccessOverride.Handle(a.deleteMobileDeviceAccessOverride),
		contract.ListMobileDeviceAccessOverrides.Handle(a.listMobileDeviceAccessOverrides),
	}
}

func mobileEffect(allow bool) contract.MobileDeviceAccessRuleEffect {
	if allow {
		return contract.MobileDeviceAccessRuleEffectAllow
	}
	return contract.MobileDeviceAccessRuleEffectDeny
}

func (a *API) createMobileDeviceAccessRule(ctx context.Context, p principal.Principal, in *contract.CreateMobileDeviceAccessRuleInput) (*contract.CreateMobileDeviceAccessRuleOutput, error) {
	id, err := a.Policy.CreateMobileRule(ctx, p, directory.OrgID(in.OrganizationId), policy.MobileRule{
		Name: in.Name, Description: text(in.Description), Allow: in.Effect == contract.MobileDeviceAccessRuleEffectAllow,
		Conditions: policy.MobileConditions{
			Types: in.DeviceTypes, NotTypes: in.NotDeviceTypes, Models: in.DeviceModels, NotModels: in.NotDeviceModels,
			OperatingSystems: in.DeviceOperatingSystems, NotOperatingSystems: in.NotDeviceOperatingSystems,
			UserAgents: in.DeviceUserAgents, NotUserAgents: in.NotDeviceUserAgents,
		},
	}, text(in.ClientToken))
	if err != nil {
		return nil, err
	}
	return &contract.CreateMobileDeviceAccessRuleOutput{MobileDeviceAccessRuleId: &id}, nil
}

func (a *API) updateMobileDeviceAccessRule(ctx context.Context, p principal.Principal, in *contract.UpdateMobileDeviceAccessRuleInput) (*contract.UpdateMobileDeviceAccessRuleOutput, error) {
	return &contract.UpdateMobileDeviceAccessRuleOutput{}, a.Policy.UpdateMobileRule(ctx, p, directory.OrgID(in.OrganizationId), policy.MobileRule{
		ID: in.MobileDeviceAccessRuleId, Name: in.Name, Description: text(in.Description), Allow: in.Effect == contract.MobileDeviceAccessRuleEffectAllow,
		Conditions: policy.MobileConditions{
			Types: in.DeviceTypes, NotTypes: in.NotDeviceTypes, Models: in.DeviceModels, NotModels: in.NotDeviceModels,
			OperatingSystems: in.DeviceOperatingSystems, NotOperatingSystems: in.NotDeviceOperatingSystems,
			UserAgents: in.DeviceUserAgents, NotUserAgents: in.NotDeviceUserAgents,
		},
	})
}

func (a *API) deleteMobileDeviceAccessRule(ctx context.Context, p principal.Principal, in *contract.DeleteMobileDeviceAccessRuleInput) (*contract.DeleteMobileDeviceAccessRuleOutput, error) {
	return &contract.DeleteMobileDeviceAccessRuleOutput{}, a.Policy.DeleteMobileRule(ctx, p, directory.OrgID(in.OrganizationId), in.MobileDeviceAccessRuleId)
}

func (a *API) listMobileDeviceAccessRules(ctx context.Context, p principal.Principal, in *contract.ListMobileDeviceAccessRulesInput) (*contract.ListMobileDeviceAccessRulesOutput, error) {
	rules, err := a.Policy.MobileRules(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	return &contract.ListMobileDeviceAccessRulesOutput{Rules: each(rules, func(r *policy.MobileRule) contract.MobileDeviceAccessRule {
		return contract.MobileDeviceAccessRule{
			MobileDeviceAccessRuleId: &r.ID, Name: &r.Name, Description: some(r.Description), Effect: mobileEffect(r.Allow),
			DeviceTypes: r.Conditions.Types, NotDeviceTypes: r.Conditions.NotTypes,
			DeviceModels: r.Conditions.Models, NotDeviceModels: r.Conditions.NotModels,
			DeviceOperatingSystems: r.Conditions.OperatingSystems, NotDeviceOperatingSystems: r.Conditions.NotOperatingSystems,
			DeviceUserAgents: r.Conditions.UserAgents, NotDeviceUserAgents: r.Conditions.NotUserAgents,
			DateCreated: when(r.Created), DateModified: when(r.Modified),
		}
	})}, nil
}

func (a *API) getMobileDeviceAccessEffect(ctx context.Context, p principal.Principal, in *contract.GetMobileDeviceAccessEffectInput) (*contract.GetMobileDeviceAccessEffectOutput, error) {
	effect, err := a.Policy.DeviceEffect(ctx, p, directory.OrgID(in.OrganizationId), policy.Device{
		Type: text(in.DeviceType), Model: text(in.DeviceModel), OperatingSystem: text(in.DeviceOperatingSystem), UserAgent: text(in.DeviceUserAgent),
	})
	if err != nil {
		return nil, err
	}
	return &contract.GetMobileDeviceAccessEffectOutput{
		Effect: mobileEffect(effect.Allow),
		MatchedRules: each(effect.Rules, func(r *policy.MobileRule) contract.MobileDeviceAccessMatchedRule {
			return contract.MobileDeviceAccessMatchedRule{MobileDeviceAccessRuleId: &r.ID, Name: &r.Name}
		}),
	}, nil
}

func (a *API) putMobileDeviceAccessOverride(ctx context.Context, p principal.Principal, in *contract.PutMobileDeviceAccessOverrideInput) (*contract.PutMobileDeviceAccessOverrideOutput, error) {
	return &contract.PutMobileDeviceAccessOverrideOutput{}, a.Policy.PutMobileOverride(ctx, p, directory.OrgID(in.OrganizationId), in.UserId, policy.MobileOverride{
		Device: in.DeviceId, Allow: in.Effect == contract.MobileDeviceAccessRuleEffectAllow, Description: text(in.Description),
	})
}

func (a *API) getMobileDeviceAccessOverride(ctx context.Context, p principal.Principal, in *contract.GetMobileDeviceAccessOverrideInput) (*contract.GetMobileDeviceAccessOverrideOutput, error) {
	v, err := a.Policy.MobileOverride(ctx, p, directory.OrgID(in.OrganizationId), in.UserId, in.DeviceId)
	if err != nil {
		return nil, err
	}
	return &contract.GetMobileDeviceAccessOverrideOutput{
		UserId: always(v.User), DeviceId: &v.Device, Effect: mobileEffect(v.Allow), Description: some(v.Description),
		DateCreated: when(v.Created), DateModified: when(v.Modified),
	}, nil
}

func (a *API) deleteMobileDeviceAccessOverride(ctx context.Context, p principal.Principal, in *contract.DeleteMobileDeviceAccessOverrideInput) (*contract.DeleteMobileDeviceAccessOverrideOutput, error) {
	return &contract.DeleteMobileDeviceAccessOverrideOutput{}, a.Policy.DeleteMobileOverride(ctx, p, directory.OrgID(in.OrganizationId), in.UserId, in.DeviceId)
}

func (a *API) listMobileDeviceAccessOverrides(ctx context.Context, p principal.Principal, in *contract.ListMobileDeviceAccessOverridesInput) (*contract.ListMobileDeviceAccessOverridesOutput, error) {
	page, err := a.page(ctx, &contract.ListMobileDeviceAccessOverrides.Op, in)
	if err != nil {
		return nil, err
	}
	overrides, next, err := a.Policy.ListMobileOverrides(ctx, p, directory.OrgID(in.OrganizationId), text(in.UserId), text(in.DeviceId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListMobileDeviceAccessOverridesOutput{
		Overrides: each(overrides, func(v *policy.MobileOverride) contract.MobileDeviceAccessOverride {
			return contract.MobileDeviceAccessOverride{
				UserId: always(v.User), DeviceId: &v.Device, Effect: mobileEffect(v.Allow), Description: some(v.Description),
				DateCreated: when(v.Created), DateModified: when(v.Modified),
			}
		}),
		NextToken: page.token(next),
	}, nil
}
