package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) availabilityHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateAvailabilityConfiguration.Handle(a.createAvailabilityConfiguration),
		contract.UpdateAvailabilityConfiguration.Handle(a.updateAvailabilityConfiguration),
		contract.DeleteAvailabilityConfiguration.Handle(a.deleteAvailabilityConfiguration),
		contract.ListAvailabilityConfigurations.Handle(a.listAvailabilityConfigurations),
		contract.TestAvailabilityConfiguration.Handle(a.testAvailabilityConfiguration),
	}
}

// providerOf is the provider of an input; the core refuses none and two.
func providerOf(ews *contract.EwsAvailabilityProvider, lambda *contract.LambdaAvailabilityProvider) availability.Provider {
	var p availability.Provider
	if ews != nil {
		p.EWS = &availability.EWS{Endpoint: ews.EwsEndpoint, Username: ews.EwsUsername, Password: ews.EwsPassword}
	}
	if lambda != nil {
		p.Function = lambda.LambdaArn
	}
	return p
}

func (a *API) createAvailabilityConfiguration(ctx context.Context, p principal.Principal, in *contract.CreateAvailabilityConfigurationInput) (*contract.CreateAvailabilityConfigurationOutput, error) {
	return &contract.CreateAvailabilityConfigurationOutput{}, a.Availability.Create(ctx, p, directory.OrgID(in.OrganizationId), in.DomainName,
		providerOf(in.EwsProvider, in.LambdaProvider), text(in.ClientToken))
}

func (a *API) updateAvailabilityConfiguration(ctx context.Context, p principal.Principal, in *contract.UpdateAvailabilityConfigurationInput) (*contract.UpdateAvailabilityConfigurationOutput, error) {
	return &contract.UpdateAvailabilityConfigurationOutput{}, a.Availability.Update(ctx, p, directory.OrgID(in.OrganizationId), in.DomainName,
		providerOf(in.EwsProvider, in.LambdaProvider))
}

func (a *API) deleteAvailabilityConfiguration(ctx context.Context, p principal.Principal, in *contract.DeleteAvailabilityConfigurationInput) (*contract.DeleteAvailabilityConfigurationOutput, error) {
	return &contract.DeleteAvailabilityConfigurationOutput{}, a.Availability.Delete(ctx, p, directory.OrgID(in.OrganizationId), in.DomainName)
}

func (a *API) listAvailabilityConfigurations(ctx context.Context, p principal.Principal, in *contract.ListAvailabilityConfigurationsInput) (*contract.ListAvailabilityConfigurationsOutput, error) {
	page, err := a.page(ctx, &contract.ListAvailabilityConfigurations.Op, in)
	if err != nil {
		return nil, err
	}
	list, next, err := a.Availability.List(ctx, p, directory.OrgID(in.OrganizationId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListAvailabilityConfigurationsOutput{
		AvailabilityConfigurations: each(list, func(c *availability.Configuration) contract.AvailabilityConfiguration {
			out := contract.AvailabilityConfiguration{
				DomainName: &c.Domain, ProviderType: contract.AvailabilityProviderTypeLambda, DateCreated: when(c.Created), DateModified: when(c.Modified),
			}
			if ews := c.Provider.EWS; ews != nil {
				out.ProviderType = contract.AvailabilityProviderTypeEws
				out.EwsProvider = &contract.RedactedEwsAvailabilityProvider{EwsEndpoint: &ews.Endpoint, EwsUsername: &ews.Username}
			} else {
				out.LambdaProvider = &contract.LambdaAvailabilityProvider{LambdaArn: c.Provider.Function}
			}
			return out
		}),
		NextToken: page.token(next),
	}, nil
}

func (a *API) testAvailabilityConfiguration(ctx context.Context, p principal.Principal, in *contract.TestAvailabilityConfigurationInput) (*contract.TestAvailabilityConfigurationOutput, error) {
	var provider *availability.Provider
	if in.EwsProvider != nil || in.LambdaProvider != nil {
		given := providerOf(in.EwsProvider, in.LambdaProvider)
		provider = &given
	}
	reason, err := a.Availability.Test(ctx, p, directory.OrgID(in.OrganizationId), text(in.DomainName), provider)
	if err != nil {
		return nil, err
	}
	return &contract.TestAvailabilityConfigurationOutput{TestPassed: reason == "", FailureReason: some(reason)}, nil
}
