package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) monitoringHandlers() []contract.Handler {
	return []contract.Handler{
		contract.PutInboundDmarcSettings.Handle(a.putInboundDmarcSettings),
		contract.DescribeInboundDmarcSettings.Handle(a.describeInboundDmarcSettings),
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
