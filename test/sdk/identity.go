package sdk

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

const (
	// instance is the Identity Center instance that the server of the test maps to a provider.
	instance = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
	// annsIdentity is what the scenario's user was linked to at its creation.
	annsIdentity = "90677c608a-01234567-0123-0123-0123-0123456789ab"
)

func identitySteps() []step {
	configuration := func(application string) object {
		return inOrg(object{
			"AuthenticationMode":               "IDENTITY_PROVIDER_AND_DIRECTORY",
			"IdentityCenterConfiguration":      object{"InstanceArn": instance, "ApplicationArn": application},
			"PersonalAccessTokenConfiguration": object{"Status": "ACTIVE", "LifetimeInDays": 30},
		})
	}
	described := configuration("{application}")
	delete(described, "OrganizationId")
	token := object{
		"PersonalAccessTokenId": "{token}", "UserId": "{ann}", "Name": "phone", "DateCreated": now, "DateLastUsed": now, "ExpiresTime": anything, "Scopes": list{"IMAP", "SMTP"},
	}
	linked := describedAnn("a")
	linked["IdentityProviderIdentityStoreId"] = "~."
	return []step{
		{
			call: "CreateIdentityCenterApplication", in: object{"Name": "mail", "InstanceArn": instance, "ClientToken": "{alias}"},
			out: object{"ApplicationArn": "~^arn:aws:sso::000000000000:application/ssoins-0123456789abcdef/apl-[0-9a-f]{16}$"}, save: map[string]string{"application": "ApplicationArn"},
		},
		{call: "DescribeIdentityProviderConfiguration", in: inOrg(nil), fails: "ResourceNotFoundException"},
		{
			call: "PutIdentityProviderConfiguration", in: configuration("arn:aws:sso::000000000000:application/ssoins-0123456789abcdef/apl-0000000000000000"),
			fails: "ResourceNotFoundException",
		},
		{call: "PutIdentityProviderConfiguration", in: configuration("{application}"), out: done},
		{call: "DescribeIdentityProviderConfiguration", in: inOrg(nil), out: described},
		{call: "DeleteIdentityCenterApplication", in: object{"ApplicationArn": "{application}"}, fails: "OrganizationStateException"},
		{call: "ListPersonalAccessTokens", in: inOrg(object{"UserId": "{ann}"}), out: object{"PersonalAccessTokenSummaries": list{}}},
		{do: signIn},
		{do: signIn},
		{call: "ListPersonalAccessTokens", in: inOrg(nil), out: object{"PersonalAccessTokenSummaries": containing(token)}},
		{
			call: "ListPersonalAccessTokens", in: inOrg(object{"MaxResults": 1}),
			out: object{"PersonalAccessTokenSummaries": list{anything}, "NextToken": "~."},
		},
		{
			call: "ListUsers", in: inOrg(object{"Filters": object{"UsernamePrefix": "ann"}}),
			out: object{"Users": list{object{
				"Id": "{ann}", "Email": "a@{alias}.awsapps.com", "Name": "ann", "DisplayName": "New", "State": "ENABLED", "UserRole": "USER", "EnabledDate": now,
				"IdentityProviderUserId": annsIdentity, "IdentityProviderIdentityStoreId": "~.",
			}}},
		},
		{call: "DescribeUser", in: inOrg(object{"UserId": "ann"}), out: linked},
		{call: "GetPersonalAccessTokenMetadata", in: inOrg(object{"PersonalAccessTokenId": "{token}"}), out: token},
		{call: "DeletePersonalAccessToken", in: inOrg(object{"PersonalAccessTokenId": "{token}"}), out: done},
		{call: "GetPersonalAccessTokenMetadata", in: inOrg(object{"PersonalAccessTokenId": "{token}"}), fails: "ResourceNotFoundException"},
		{call: "ListPersonalAccessTokens", in: inOrg(object{"UserId": "nobody-here"}), fails: "EntityNotFoundException"},
		{call: "GetPersonalAccessTokenMetadata", in: inOrg(object{"PersonalAccessTokenId": "unknown"}), fails: "ResourceNotFoundException"},
		{call: "DeletePersonalAccessToken", in: inOrg(object{"PersonalAccessTokenId": "unknown"}), out: done},
		{call: "DeleteIdentityProviderConfiguration", in: inOrg(nil), out: done},
		{call: "DeleteIdentityCenterApplication", in: object{"ApplicationArn": "{application}"}, out: done},
	}
}

// signIn makes a token on the sign-in page, since the API makes none, uses it once, and saves its id.
func signIn(t *testing.T, w *world, saved map[string]string) {
	t.Helper()
	s, alias := w.server, saved["alias"]
	b := harness.NewBrowser(t, s.TLS())
	b.Go("https://" + s.Addr("https") + "/sign-in/to/" + alias)
	b.Follow("Sign in with")
	b.Submit("", url.Values{"login": {annsIdentity}, "password": {"anything"}})
	b.Submit("Continue", nil)
	b.Submit("Make the token", url.Values{"name": {"phone"}})
	id := regexp.MustCompile(`ppat_([a-z2-7]{13})[A-Za-z0-9_-]*`).FindStringSubmatch(b.Page)
	if id == nil {
		t.Fatalf("the page is %d %s", b.Status, b.Page)
	}
	if said := s.SignIn("a@"+alias+".awsapps.com", id[0]); !strings.HasPrefix(said, "OK") {
		t.Errorf("IMAP with the token: %s", said)
	}
	saved["token"] = id[1]
}
