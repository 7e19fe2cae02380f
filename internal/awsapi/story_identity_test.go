package awsapi_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/principal"
)

// instanceARN is the Identity Center instance that is mapped to a provider.
const instanceARN = "arn:aws:sso:::instance/ssoins-0123456789abcdef"

// identityProvider lets an organisation's users sign in by a provider, and returns the application that it names.
func (w *world) identityProvider(org string, mode types.IdentityProviderAuthenticationMode, tokens *types.PersonalAccessTokenConfiguration) string {
	w.t.Helper()
	application := must(w, w.CreateIdentityCenterApplication, &workmail.CreateIdentityCenterApplicationInput{Name: str("mail"), InstanceArn: str(instanceARN)}).ApplicationArn
	must(w, w.PutIdentityProviderConfiguration, &workmail.PutIdentityProviderConfigurationInput{
		OrganizationId: &org, AuthenticationMode: mode, PersonalAccessTokenConfiguration: tokens,
		IdentityCenterConfiguration: &types.IdentityCenterConfiguration{InstanceArn: str(instanceARN), ApplicationArn: application},
	})
	return *application
}

// linkedToken links a user as its first sign-in would, makes a token and signs in with it once.
func (w *world) linkedToken(org, name, providerUser, label string) string {
	w.t.Helper()
	who, err := w.directory.LinkIdentity(w.ctx, directory.OrgID(org), directory.Link{UserID: providerUser, StoreID: "d-0123456789", Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	user := principal.Principal{Kind: principal.User, ID: string(who.ID), Organization: org}
	token, text, err := w.center.CreateToken(w.ctx, user, label, []string{"IMAP", "SMTP"})
	if err != nil {
		w.t.Fatal(err)
	}
	door := identity.NewDoor(w.directory, w.policy, w.center, w.audit, feed.New(), clock.System{}, nil, identity.Limits{})
	s, err := door.Authenticate(w.ctx, identity.Credentials{Username: who.Email, Password: text}, identity.Circumstances{Protocol: "IMAP"})
	if err != nil {
		w.t.Fatal(err)
	}
	s.Close()
	return token.ID
}

func (s *story) identityCenter() {
	w := s.world
	create := &workmail.CreateIdentityCenterApplicationInput{Name: str("mail"), InstanceArn: str(instanceARN), ClientToken: str("application")}
	application := must(w, w.CreateIdentityCenterApplication, create).ApplicationArn
	if again := must(w, w.CreateIdentityCenterApplication, create).ApplicationArn; *again != *application {
		w.t.Errorf("the same token made %s and %s", *application, *again)
	}
	create.InstanceArn = str("arn:aws:sso:::instance/ssoins-aaaaaaaaaaaaaaaa")
	refused[*types.InvalidParameterException](w, w.CreateIdentityCenterApplication, create)

	describe := &workmail.DescribeIdentityProviderConfigurationInput{OrganizationId: &s.org}
	refused[*types.ResourceNotFoundException](w, w.DescribeIdentityProviderConfiguration, describe)
	put := func(application, instance string, days *int32) *workmail.PutIdentityProviderConfigurationInput {
		return &workmail.PutIdentityProviderConfigurationInput{
			OrganizationId: &s.org, AuthenticationMode: types.IdentityProviderAuthenticationModeIdentityProviderOnly,
			IdentityCenterConfiguration:      &types.IdentityCenterConfiguration{InstanceArn: &instance, ApplicationArn: &application},
			PersonalAccessTokenConfiguration: &types.PersonalAccessTokenConfiguration{Status: types.PersonalAccessTokenConfigurationStatusActive, LifetimeInDays: days},
		}
	}
	unknown := "arn:aws:sso::111122223333:application/ssoins-0123456789abcdef/apl-0000000000000000"
	refused[*types.ResourceNotFoundException](w, w.PutIdentityProviderConfiguration, put(unknown, instanceARN, nil))
	refused[*types.InvalidParameterException](w, w.PutIdentityProviderConfiguration, put(*application, *create.InstanceArn, nil))
	refused[*types.InvalidParameterException](w, w.PutIdentityProviderConfiguration, put(*application, instanceARN, aws.Int32(3654)))
	must(w, w.PutIdentityProviderConfiguration, put(*application, instanceARN, aws.Int32(365)))
	c := must(w, w.DescribeIdentityProviderConfiguration, describe)
	if c.AuthenticationMode != types.IdentityProviderAuthenticationModeIdentityProviderOnly || *c.IdentityCenterConfiguration.ApplicationArn != *application ||
		*c.IdentityCenterConfiguration.InstanceArn != instanceARN || c.PersonalAccessTokenConfiguration.Status != types.PersonalAccessTokenConfigurationStatusActive ||
		*c.PersonalAccessTokenConfiguration.LifetimeInDays != 365 {
		w.t.Errorf("the configuration is %+v", c)
	}
	refused[*types.OrganizationStateException](w, w.DeleteIdentityCenterApplication, &workmail.DeleteIdentityCenterApplicationInput{ApplicationArn: application})
	refused[*types.InvalidParameterException](w, w.DeleteIdentityCenterApplication, &workmail.DeleteIdentityCenterApplicationInput{ApplicationArn: str("arn:aws:sso::x")})

	s.tokens()

	must(w, w.PutIdentityProviderConfiguration, &workmail.PutIdentityProviderConfigurationInput{
		OrganizationId: &s.org, AuthenticationMode: types.IdentityProviderAuthenticationModeIdentityProviderAndDirectory,
		IdentityCenterConfiguration:      &types.IdentityCenterConfiguration{InstanceArn: str(instanceARN), ApplicationArn: application},
		PersonalAccessTokenConfiguration: &types.PersonalAccessTokenConfiguration{Status: types.PersonalAccessTokenConfigurationStatusInactive},
	})
	if c = must(w, w.DescribeIdentityProviderConfiguration, describe); c.AuthenticationMode != types.IdentityProviderAuthenticationModeIdentityProviderAndDirectory ||
		c.PersonalAccessTokenConfiguration.Status != types.PersonalAccessTokenConfigurationStatusInactive || c.PersonalAccessTokenConfiguration.LifetimeInDays != nil {
		w.t.Errorf("the configuration is %+v", c)
	}
	refused[*types.InvalidParameterException](w, w.ListPersonalAccessTokens, &workmail.ListPersonalAccessTokensInput{OrganizationId: &s.org})
	for range 2 {
		must(w, w.DeleteIdentityProviderConfiguration, &workmail.DeleteIdentityProviderConfigurationInput{OrganizationId: &s.org})
		must(w, w.DeleteIdentityCenterApplication, &workmail.DeleteIdentityCenterApplicationInput{ApplicationArn: application})
	}
	s.application = w.identityProvider(s.other, types.IdentityProviderAuthenticationModeIdentityProviderOnly,
		&types.PersonalAccessTokenConfiguration{Status: types.PersonalAccessTokenConfigurationStatusActive})
}

func (s *story) tokens() {
	w := s.world
	must(w, w.PutAccessControlRule, &workmail.PutAccessControlRuleInput{ // the story of access rules ended with none
		OrganizationId: &s.org, Name: str("default"), Effect: types.AccessControlRuleEffectAllow, Description: str("all"),
	})
	must(w, w.UpdateUser, &workmail.UpdateUserInput{OrganizationId: &s.org, UserId: &s.ann, IdentityProviderUserId: str("")})
	one := w.linkedToken(s.org, "ann", "01234567-89ab-cdef-0123-456789abcdef", "phone")
	two := w.linkedToken(s.org, "ann", "01234567-89ab-cdef-0123-456789abcdef", "laptop")
	if u := must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: &s.ann}); *u.IdentityProviderIdentityStoreId != "d-0123456789" {
		w.t.Errorf("the user is %+v", u)
	}
	must(w, w.ListUsers, &workmail.ListUsersInput{OrganizationId: &s.org})
	names := map[string]string{}
	pages := workmail.NewListPersonalAccessTokensPaginator(w, &workmail.ListPersonalAccessTokensInput{OrganizationId: &s.org, UserId: str("ann@acme.awsapps.com"), MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		if err != nil || len(page.PersonalAccessTokenSummaries) != 1 {
			w.t.Fatalf("%+v, %v", page, err)
		}
		t := page.PersonalAccessTokenSummaries[0]
		names[*t.PersonalAccessTokenId] = *t.Name
		if *t.UserId != s.ann || t.DateCreated == nil || t.DateLastUsed == nil || t.ExpiresTime.Sub(*t.DateCreated).Hours() != 365*24 || len(t.Scopes) != 2 {
			w.t.Errorf("the token is %+v", t)
		}
	}
	if len(names) != 2 || names[one] != "phone" || names[two] != "laptop" {
		w.t.Errorf("the tokens are %v", names)
	}
	of := func(user string) *workmail.ListPersonalAccessTokensInput {
		return &workmail.ListPersonalAccessTokensInput{OrganizationId: &s.org, UserId: &user}
	}
	if out := must(w, w.ListPersonalAccessTokens, of(s.bob)); len(out.PersonalAccessTokenSummaries) != 0 {
		w.t.Errorf("bob has %+v", out)
	}
	refused[*types.EntityNotFoundException](w, w.ListPersonalAccessTokens, of(nobody))
	gone := *must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &s.org, Name: str("tokenless"), DisplayName: str("T")}).UserId
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: &gone})
	refused[*types.EntityStateException](w, w.ListPersonalAccessTokens, of(gone))

	get := func(id string) *workmail.GetPersonalAccessTokenMetadataInput {
		return &workmail.GetPersonalAccessTokenMetadataInput{OrganizationId: &s.org, PersonalAccessTokenId: &id}
	}
	t := must(w, w.GetPersonalAccessTokenMetadata, get(one))
	if *t.PersonalAccessTokenId != one || *t.UserId != s.ann || *t.Name != "phone" || t.DateCreated == nil || t.DateLastUsed == nil || t.ExpiresTime == nil || len(t.Scopes) != 2 {
		w.t.Errorf("the token is %+v", t)
	}
	for range 2 {
		must(w, w.DeletePersonalAccessToken, &workmail.DeletePersonalAccessTokenInput{OrganizationId: &s.org, PersonalAccessTokenId: &one})
	}
	refused[*types.ResourceNotFoundException](w, w.GetPersonalAccessTokenMetadata, get(one))

	// A user's deletion takes the tokens along.
	leaving := *must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &s.org, Name: str("goes"), DisplayName: str("G")}).UserId
	must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &s.org, EntityId: &leaving, Email: str("goes@acme.awsapps.com")})
	theirs := w.linkedToken(s.org, "goes", "11234567-89ab-cdef-0123-456789abcdef", "x")
	must(w, w.DeregisterFromWorkMail, &workmail.DeregisterFromWorkMailInput{OrganizationId: &s.org, EntityId: &leaving})
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: &leaving})
	refused[*types.ResourceNotFoundException](w, w.GetPersonalAccessTokenMetadata, get(theirs))
}
