package workmail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/migration"
)

func dates(created, modified *time.Time) migration.Dates {
	return migration.Dates{Created: migration.When(aws.ToTime(created)), Modified: migration.When(aws.ToTime(modified))}
}

// rules reads access rules, mobile device rules and overrides, retention and DMARC.
func (r *reader) rules(ctx context.Context, inv *migration.Inventory) error {
	access, err := r.client.ListAccessControlRules(ctx, &workmail.ListAccessControlRulesInput{OrganizationId: r.org})
	if err != nil {
		return explain(err)
	}
	for _, a := range access.Rules {
		inv.Items = append(inv.Items, migration.NewItem(migration.KindAccessRule, aws.ToString(a.Name), migration.AccessRule{
			Allow: a.Effect == types.AccessControlRuleEffectAllow, Description: aws.ToString(a.Description),
			IPRanges: migration.Sorted(a.IpRanges), NotIPRanges: migration.Sorted(a.NotIpRanges),
			Actions: migration.Sorted(a.Actions), NotActions: migration.Sorted(a.NotActions),
			Users: migration.Sorted(a.UserIds), NotUsers: migration.Sorted(a.NotUserIds),
			Roles: migration.Sorted(a.ImpersonationRoleIds), NotRoles: migration.Sorted(a.NotImpersonationRoleIds),
			Dates: dates(a.DateCreated, a.DateModified),
		}))
	}
	mobile, err := r.client.ListMobileDeviceAccessRules(ctx, &workmail.ListMobileDeviceAccessRulesInput{OrganizationId: r.org})
	if err != nil {
		return explain(err)
	}
	for _, m := range mobile.Rules {
		inv.Items = append(inv.Items, migration.NewItem(migration.KindMobileRule, aws.ToString(m.MobileDeviceAccessRuleId), migration.MobileRule{
			Name: aws.ToString(m.Name), Description: aws.ToString(m.Description), Allow: m.Effect == types.MobileDeviceAccessRuleEffectAllow,
			Types: migration.Sorted(m.DeviceTypes), NotTypes: migration.Sorted(m.NotDeviceTypes),
			Models: migration.Sorted(m.DeviceModels), NotModels: migration.Sorted(m.NotDeviceModels),
			OperatingSystems: migration.Sorted(m.DeviceOperatingSystems), NotOperatingSystems: migration.Sorted(m.NotDeviceOperatingSystems),
			UserAgents: migration.Sorted(m.DeviceUserAgents), NotUserAgents: migration.Sorted(m.NotDeviceUserAgents),
			Dates: dates(m.DateCreated, m.DateModified),
		}))
	}
	for pages := workmail.NewListMobileDeviceAccessOverridesPaginator(r.client, &workmail.ListMobileDeviceAccessOverridesInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return explain(err)
		}
		for _, v := range page.Overrides {
			id := migration.Pair(aws.ToString(v.UserId), strings.ToLower(aws.ToString(v.DeviceId)))
			inv.Items = append(inv.Items, migration.NewItem(migration.KindOverride, id, migration.Override{
				User: aws.ToString(v.UserId), Device: aws.ToString(v.DeviceId), Description: aws.ToString(v.Description),
				Allow: v.Effect == types.MobileDeviceAccessRuleEffectAllow, Dates: dates(v.DateCreated, v.DateModified),
			}))
		}
	}
	dmarc, err := r.client.DescribeInboundDmarcSettings(ctx, &workmail.DescribeInboundDmarcSettingsInput{OrganizationId: r.org})
	if err != nil {
		return explain(err)
	}
	inv.Items = append(inv.Items, migration.NewItem(migration.KindDMARC, "", migration.DMARC{Enforced: dmarc.Enforced}))
	return r.retention(ctx, inv)
}

func (r *reader) retention(ctx context.Context, inv *migration.Inventory) error {
	p, err := r.client.GetDefaultRetentionPolicy(ctx, &workmail.GetDefaultRetentionPolicyInput{OrganizationId: r.org})
	if err != nil && !none(err) {
		return explain(err)
	}
	if err != nil || aws.ToString(p.Id) == "" {
		return nil
	}
	v := migration.Retention{Name: aws.ToString(p.Name), Description: aws.ToString(p.Description)}
	for _, f := range p.FolderConfigurations {
		v.Folders = append(v.Folders, migration.RetentionFolder{Folder: string(f.Name), Action: string(f.Action), Days: int(aws.ToInt32(f.Period))})
	}
	inv.Items = append(inv.Items, migration.NewItem(migration.KindRetention, aws.ToString(p.Id), v))
	return nil
}

// none reports whether a setting that may be there is not.
func none(err error) bool {
	var (
		resource *types.ResourceNotFoundException
		entity   *types.EntityNotFoundException
	)
	return errors.As(err, &resource) || errors.As(err, &entity)
}

func (r *reader) roles(ctx context.Context, inv *migration.Inventory) error {
	for pages := workmail.NewListImpersonationRolesPaginator(r.client, &workmail.ListImpersonationRolesInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return explain(err)
		}
		for _, listed := range page.Roles {
			role, err := r.client.GetImpersonationRole(ctx, &workmail.GetImpersonationRoleInput{OrganizationId: r.org, ImpersonationRoleId: listed.ImpersonationRoleId})
			if err != nil && none(err) {
				continue
			}
			if err != nil {
				return explain(err)
			}
			v := migration.Role{
				Name: aws.ToString(role.Name), ReadOnly: role.Type == types.ImpersonationRoleTypeReadOnly, Description: aws.ToString(role.Description),
				Dates: dates(role.DateCreated, role.DateModified),
			}
			for _, rule := range role.Rules {
				v.Rules = append(v.Rules, migration.RoleRule{
					ID: aws.ToString(rule.ImpersonationRuleId), Name: aws.ToString(rule.Name), Description: aws.ToString(rule.Description),
					Allow: rule.Effect == types.AccessEffectAllow, Targets: migration.Sorted(rule.TargetUsers), NotTargets: migration.Sorted(rule.NotTargetUsers),
				})
			}
			inv.Items = append(inv.Items, migration.NewItem(migration.KindRole, aws.ToString(role.ImpersonationRoleId), v))
		}
	}
	return nil
}

// services reads what leads to other services: monitoring, availability, identity provider.
func (r *reader) services(ctx context.Context, inv *migration.Inventory) error {
	m, err := r.client.DescribeEmailMonitoringConfiguration(ctx, &workmail.DescribeEmailMonitoringConfigurationInput{OrganizationId: r.org})
	switch {
	case err == nil:
		inv.Items = append(inv.Items, migration.NewItem(migration.KindMonitoring, "", migration.Monitoring{
			LogGroup: aws.ToString(m.LogGroupArn), Role: aws.ToString(m.RoleArn),
		}))
	case !none(err):
		return explain(err)
	}
	for pages := workmail.NewListAvailabilityConfigurationsPaginator(r.client, &workmail.ListAvailabilityConfigurationsInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return explain(err)
		}
		for _, c := range page.AvailabilityConfigurations {
			var v migration.Availability
			if c.LambdaProvider != nil {
				v = migration.Availability{Function: aws.ToString(c.LambdaProvider.LambdaArn), Dates: dates(c.DateCreated, c.DateModified)}
			} else if c.EwsProvider != nil {
				v = migration.Availability{Endpoint: aws.ToString(c.EwsProvider.EwsEndpoint), Username: aws.ToString(c.EwsProvider.EwsUsername)}
				inv.Untold = append(inv.Untold, fmt.Sprintf("the EWS password of the availability configuration of %s", aws.ToString(c.DomainName)))
			}
			inv.Items = append(inv.Items, migration.NewItem(migration.KindAvailability, strings.ToLower(aws.ToString(c.DomainName)), v))
		}
	}
	return r.provider(ctx, inv)
}

func (r *reader) provider(ctx context.Context, inv *migration.Inventory) error {
	p, err := r.client.DescribeIdentityProviderConfiguration(ctx, &workmail.DescribeIdentityProviderConfigurationInput{OrganizationId: r.org})
	if err != nil {
		if none(err) {
			return nil
		}
		return explain(err)
	}
	v := migration.Provider{Only: p.AuthenticationMode == types.IdentityProviderAuthenticationModeIdentityProviderOnly}
	if c := p.IdentityCenterConfiguration; c != nil {
		v.Instance, v.Application = aws.ToString(c.InstanceArn), aws.ToString(c.ApplicationArn)
	}
	if c := p.PersonalAccessTokenConfiguration; c != nil {
		v.TokensActive = c.Status == types.PersonalAccessTokenConfigurationStatusActive
		v.LifetimeDays = int(aws.ToInt32(c.LifetimeInDays))
	}
	inv.Items = append(inv.Items, migration.NewItem(migration.KindProvider, "", v))
	inv.Untold = append(inv.Untold, "the name of the Identity Center application: here it has the organization's alias")
	if !v.TokensActive { // they can't be listed
		return nil
	}
	tokens := 0
	for pages := workmail.NewListPersonalAccessTokensPaginator(r.client, &workmail.ListPersonalAccessTokensInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return explain(err)
		}
		tokens += len(page.PersonalAccessTokenSummaries)
	}
	if tokens > 0 {
		inv.Untold = append(inv.Untold, fmt.Sprintf("%d personal access tokens: their secrets are not told, users make new ones", tokens))
	}
	return nil
}
