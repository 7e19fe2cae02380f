package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) monitoringHandlers() []contract.Handler {
	return []contract.Handler{
		contract.PutInboundDmarcSettings.Handle(a.putInboundDmarcSettings),
		contract.DescribeInboundDmarcSettings.Handle(a.describeInboundDmarcSettings),
		contract.PutEmailMonitoringConfiguration.Handle(a.putEmailMonitoringConfiguration),
		contract.DescribeEmailMonitoringConfiguration.Handle(a.describeEmailMonitoringConfiguration),
		contract.DeleteEmailMonitoringConfiguration.Handle(a.deleteEmailMonitoringConfiguration),
	}
}

func (a *API) putInboundDmarcSettings(ctx context.Context, p principal.Principal, in *contract.PutInboundDmarcSettingsInput) (*contract.PutInboundDmarcSettingsOutput, error) {
	return &contract.PutInboundDmarcSettingsOutput{}, a.Policy.EnforceDMARC(ctx, p, directory.OrgID(in.OrganizationId), in.Enforced)
}

func (a *API) describeInboundDmarcSettings(ctx context.Context, p principal.Principal, in *contract.DescribeInboundDmarcSettingsInput) (*contract.DescribeInboundDmarcSettingsOutput, error) {
	enforced, err := a.Policy.EnforcesDMARC(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	return &contract.DescribeInboundDmarcSettingsOutput{Enforced: enforced}, nil
}

func (a *API) putEmailMonitoringConfiguration(ctx context.Context, p principal.Principal, in *contract.PutEmailMonitoringConfigurationInput) (*contract.PutEmailMonitoringConfigurationOutput, error) {
	return &contract.PutEmailMonitoringConfigurationOutput{}, a.Organizations.PutMonitoring(
		ctx, p, directory.OrgID(in.OrganizationId), policy.Monitoring{LogGroup: in.LogGroupArn, Role: text(in.RoleArn)})
}

func (a *API) describeEmailMonitoringConfiguration(ctx context.Context, p principal.Principal, in *contract.DescribeEmailMonitoringConfigurationInput) (*contract.DescribeEmailMonitoringConfigurationOutput, error) {
	m, err := a.Organizations.Monitoring(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	return &contract.DescribeEmailMonitoringConfigurationOutput{LogGroupArn: &m.LogGroup, RoleArn: some(m.Role)}, nil
}

func (a *API) deleteEmailMonitoringConfiguration(ctx context.Context, p principal.Principal, in *contract.DeleteEmailMonitoringConfigurationInput) (*contract.DeleteEmailMonitoringConfigurationOutput, error) {
	return &contract.DeleteEmailMonitoringConfigurationOutput{}, a.Organizations.DeleteMonitoring(ctx, p, directory.OrgID(in.OrganizationId))
}
