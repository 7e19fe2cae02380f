package sdk

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/internal/directory/ldap/ldaptest"
	"github.com/pennypost/pennypost/test/harness"
)

// writableDirectory is the id of the directory that TestSDKs maps and uses.
const writableDirectory = "d-00000000aa"

// mapped makes the file's tables of three directories on one OpenLDAP, whose account's password is in the file secret, and in the file
// own for the last one.
func mapped(slapd *ldaptest.Server, secret, own string) string {
	text := ""
	for _, d := range []struct {
		id, secret string
		writable   bool
	}{{writableDirectory, secret, true}, {"d-00000000bb", secret, false}, {"d-00000000cc", own, true}} {
		text += fmt.Sprintf("[directory.%q]\nurl = %q\nca_file = %q\npreset = \"rfc\"\nbase = %q\nuser_base = %q\ngroup_base = %q\nbind_dn = %q\n"+
			"bind_password_file = %q\nwritable = %t\n", d.id, slapd.URL, slapd.CAFile, slapd.Base, slapd.People, slapd.Groups, slapd.BindDN, d.secret, d.writable)
	}
	return text
}

// organizationsOn makes the organisations of directorySteps.
func organizationsOn(t *testing.T, s *harness.Server) map[string]string {
	t.Helper()
	made := map[string]string{}
	for name, directory := range map[string]string{"corp": writableDirectory, "read": "d-00000000bb", "refused": "d-00000000cc"} {
		out, err := s.WorkMail().CreateOrganization(t.Context(), &workmail.CreateOrganizationInput{Alias: &name, DirectoryId: &directory})
		if err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the organisation is active", func() bool {
			o, err := s.WorkMail().DescribeOrganization(t.Context(), &workmail.DescribeOrganizationInput{OrganizationId: out.OrganizationId})
			return err == nil && *o.State == "Active"
		})
		made[name] = *out.OrganizationId
	}
	return made
}

// directorySteps are about organisations on a real OpenLDAP: one writable, in {corp}, one that is only read, in {read}, and one that
// came to refuse the server's account, in {refused}.
func directorySteps() []step {
	in := func(org string, members object) object {
		all := object{"OrganizationId": org}
		for k, v := range members {
			all[k] = v
		}
		return all
	}
	user := object{"Name": "{alias}", "DisplayName": "By {alias}", "LastName": "L", "Password": password}
	return []step{
		{call: "CreateOrganization", in: object{"Alias": "{alias}-corp", "DirectoryId": writableDirectory}, fails: "DirectoryInUseException"},
		{call: "DescribeOrganization", in: in("{corp}", nil), out: object{
			"OrganizationId": "{corp}", "Alias": "corp", "State": "Active", "DirectoryId": writableDirectory, "DirectoryType": "MicrosoftAD",
			"DefaultMailDomain": "corp.awsapps.com", "CompletedDate": now, "InteroperabilityEnabled": false,
			"ARN": "arn:aws:workmail:us-east-1:000000000000:organization/{corp}",
		}},
		{call: "CreateUser", in: in("{corp}", user), out: object{"UserId": uuid}, save: map[string]string{"theirs": "UserId"}},
		{call: "RegisterToWorkMail", in: in("{corp}", object{"EntityId": "{theirs}", "Email": "{alias}@corp.awsapps.com"}), out: done},
		{call: "DescribeUser", in: in("{corp}", object{"UserId": "{theirs}"}), out: object{
			"UserId": "{theirs}", "Name": "{alias}", "Email": "{alias}@corp.awsapps.com", "DisplayName": "By {alias}", "State": "ENABLED", "UserRole": "USER",
			"EnabledDate": now, "MailboxProvisionedDate": now, "HiddenFromGlobalAddressList": false, "LastName": "L",
		}},
		{call: "ResetPassword", in: in("{corp}", object{"UserId": "{theirs}", "Password": "another-Passw0rd"}), out: done},
		{call: "DeregisterFromWorkMail", in: in("{corp}", object{"EntityId": "{theirs}"}), out: done},
		{call: "DeleteUser", in: in("{corp}", object{"UserId": "{theirs}"}), out: done},
		{call: "CreateUser", in: in("{read}", user), fails: "UnsupportedOperationException"},
		{call: "CreateUser", in: in("{refused}", user), fails: "DirectoryServiceAuthenticationFailedException"},
	}
}
