package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) identityHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateIdentityCenterApplication.Handle(a.createIdentityCenterApplication),
		contract.DeleteIdentityCenterApplication.Handle(a.deleteIdentityCenterApplication),
		contract.PutIdentityProviderConfiguration.Handle(a.putIdentityProviderConfiguration),
		contract.DescribeIdentityProviderConfiguration.Handle(a.describeIdentityProviderConfiguration),
		contract.DeleteIdentityProviderConfiguration.Handle(a.deleteIdentityProviderConfiguration),
		contract.ListPersonalAccessTokens.Handle(a.listPersonalAccessTokens),
		contract.GetPersonalAccessTokenMetadata.Handle(a.getPersonalAccessTokenMetadata),
		contract.DeletePersonalAccessToken.Handle(a.deletePersonalAccessToken),
	}
}

func (a *API) createIdentityCenterApplication(ctx context.Context, p principal.Principal, in *contract.CreateIdentityCenterApplicationInput) (*contract.CreateIdentityCenterApplicationOutput, error) {
	arn, err := a.Center.CreateApplication(ctx, p, in.Name, in.InstanceArn, text(in.ClientToken))
	if err != nil {
		return nil, err
	}
	return &contract.CreateIdentityCenterApplicationOutput{ApplicationArn: &arn}, nil
}

func (a *API) deleteIdentityCenterApplication(ctx context.Context, p principal.Principal, in *contract.DeleteIdentityCenterApplicationInput) (*contract.DeleteIdentityCenterApplicationOutput, error) {
	return &contract.DeleteIdentityCenterApplicationOutput{}, a.Center.DeleteApplication(ctx, p, in.ApplicationArn)
}

func (a *API) putIdentityProviderConfiguration(ctx context.Context, p principal.Principal, in *contract.PutIdentityProviderConfigurationInput) (*contract.PutIdentityProviderConfigurationOutput, error) {
	center, tokens := in.IdentityCenterConfiguration, in.PersonalAccessTokenConfiguration
	v := identity.Provider{
		Instance: center.InstanceArn, Application: center.ApplicationArn,
		Only:         in.AuthenticationMode == contract.IdentityProviderAuthenticationModeIdentityProviderOnly,
		TokensActive: tokens.Status == contract.PersonalAccessTokenConfigurationStatusActive,
	}
	if tokens.LifetimeInDays != nil {
		v.LifetimeDays = int(*tokens.LifetimeInDays)
	}
	return &contract.PutIdentityProviderConfigurationOutput{}, a.Center.PutProvider(ctx, p, directory.OrgID(in.OrganizationId), v)
}

func (a *API) describeIdentityProviderConfiguration(ctx context.Context, p principal.Principal, in *contract.DescribeIdentityProviderConfigurationInput) (*contract.DescribeIdentityProviderConfigurationOutput, error) {
	v, err := a.Center.Provider(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	out := &contract.DescribeIdentityProviderConfigurationOutput{
		AuthenticationMode:               contract.IdentityProviderAuthenticationModeIdentityProviderAndDirectory,
		IdentityCenterConfiguration:      &contract.IdentityCenterConfiguration{InstanceArn: v.Instance, ApplicationArn: v.Application},
		PersonalAccessTokenConfiguration: &contract.PersonalAccessTokenConfiguration{Status: contract.PersonalAccessTokenConfigurationStatusInactive},
	}
	if v.Only {
		out.AuthenticationMode = contract.IdentityProviderAuthenticationModeIdentityProviderOnly
	}
	if v.TokensActive {
		out.PersonalAccessTokenConfiguration.Status = contract.PersonalAccessTokenConfigurationStatusActive
	}
	if days := int32(v.LifetimeDays); days > 0 {
		out.PersonalAccessTokenConfiguration.LifetimeInDays = &days
	}
	return out, nil
}

func (a *API) deleteIdentityProviderConfiguration(ctx context.Context, p principal.Principal, in *contract.DeleteIdentityProviderConfigurationInput) (*contract.DeleteIdentityProviderConfigurationOutput, error) {
	return &contract.DeleteIdentityProviderConfigurationOutput{}, a.Center.DeleteProvider(ctx, p, directory.OrgID(in.OrganizationId))
}

func (a *API) listPersonalAccessTokens(ctx context.Context, p principal.Principal, in *contract.ListPersonalAccessTokensInput) (*contract.ListPersonalAccessTokensOutput, error) {
	page, err := a.page(ctx, &contract.ListPersonalAccessTokens.Op, in)
	if err != nil {
		return nil, err
	}
	tokens, next, err := a.Center.ListTokens(ctx, p, directory.OrgID(in.OrganizationId), text(in.UserId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListPersonalAccessTokensOutput{
		PersonalAccessTokenSummaries: each(tokens, func(t *identity.Token) contract.PersonalAccessTokenSummary {
			return contract.PersonalAccessTokenSummary{
				PersonalAccessTokenId: &t.ID, UserId: some(t.User), Name: &t.Name, DateCreated: &t.Created, DateLastUsed: when(t.Used),
				ExpiresTime: when(t.Expires), Scopes: t.Scopes,
			}
		}),
		NextToken: page.token(next),
	}, nil
}

func (a *API) getPersonalAccessTokenMetadata(ctx context.Context, p principal.Principal, in *contract.GetPersonalAccessTokenMetadataInput) (*contract.GetPersonalAccessTokenMetadataOutput, error) {
	t, err := a.Center.Token(ctx, p, directory.OrgID(in.OrganizationId), in.PersonalAccessTokenId)
	if err != nil {
		return nil, err
	}
	return &contract.GetPersonalAccessTokenMetadataOutput{
		PersonalAccessTokenId: &t.ID, UserId: some(t.User), Name: &t.Name, DateCreated: &t.Created, DateLastUsed: when(t.Used),
		ExpiresTime: when(t.Expires), Scopes: t.Scopes,
	}, nil
}

func (a *API) deletePersonalAccessToken(ctx context.Context, p principal.Principal, in *contract.DeletePersonalAccessTokenInput) (*contract.DeletePersonalAccessTokenOutput, error) {
	return &contract.DeletePersonalAccessTokenOutput{}, a.Center.DeleteToken(ctx, p, directory.OrgID(in.OrganizationId), in.PersonalAccessTokenId)
}
