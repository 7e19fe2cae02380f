package awsapi_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

// The sequences below are those that public tools were seen to send to the real service, without their waits.

// TestTerraformOrganization creates, waits until active twice in a row, tags, and deletes as Terraform's AWS provider does.
func TestTerraformOrganization(t *testing.T) {
	inBoth(t, func(w *world) {
		org := must(w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("tf-acc-test-1"), ClientToken: str("a")}).OrganizationId
		w.settle()
		o := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: org})
		for range 2 {
			if *o.State != "Active" || !strings.Contains(*o.ARN, ":organization/") || *o.DefaultMailDomain != "tf-acc-test-1.awsapps.com" || o.CompletedDate == nil || o.InteroperabilityEnabled {
				w.t.Fatalf("the organisation is %+v", o)
			}
			o = must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: org})
		}
		must(w, w.TagResource, &workmail.TagResourceInput{ResourceARN: o.ARN, Tags: []types.Tag{{Key: str("k"), Value: str("v")}}})
		if tags := must(w, w.ListTagsForResource, &workmail.ListTagsForResourceInput{ResourceARN: o.ARN}); len(tags.Tags) != 1 {
			w.t.Errorf("the tags are %+v", tags.Tags)
		}
		remove := &workmail.DeleteOrganizationInput{OrganizationId: org, DeleteDirectory: true, DeleteIdentityCenterApplication: true, ForceDelete: true, ClientToken: str("b")}
		must(w, w.DeleteOrganization, remove)
		w.settle()
		if o = must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: org}); *o.State != "Deleted" {
			w.t.Errorf("the organisation is %+v", o)
		}
		remove.ClientToken = str("c")
		refused[*types.OrganizationStateException](w, w.DeleteOrganization, remove)
		refused[*types.OrganizationStateException](w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: org, UserId: str(nobody)})
		if list := must(w, w.ListOrganizations, &workmail.ListOrganizationsInput{}); len(list.OrganizationSummaries) != 0 {
			w.t.Errorf("still listed: %+v", list.OrganizationSummaries)
		}
	})
}

// TestTerraformUser takes a user through its life as Terraform's AWS provider does.
func TestTerraformUser(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.organization("tf-user")
		id := must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: str("userabcdefgh"), DisplayName: str("Test"), Password: str("TestTest1234!")}).UserId
		domain := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: &org}).DefaultMailDomain
		must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &org, EntityId: id, Email: str("userabcdefgh@" + *domain)})
		is := func(state types.EntityState) {
			for range 2 {
				if u := must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &org, UserId: id}); u.State != state || u.UserRole != types.UserRoleUser || u.HiddenFromGlobalAddressList {
					w.t.Fatalf("the user is %+v, want it %s", u, state)
				}
			}
		}
		is(types.EntityStateEnabled)
		must(w, w.UpdateUser, &workmail.UpdateUserInput{
			OrganizationId: &org, UserId: id, Role: types.UserRoleUser, DisplayName: str("Test 2"), FirstName: str("F"), LastName: str("L"), City: str(""), Company: str(""),
			Country: str(""), Department: str(""), HiddenFromGlobalAddressList: aws.Bool(false), Initials: str(""), JobTitle: str(""), Office: str(""), Street: str(""),
			Telephone: str("+1-555-0100"), ZipCode: str(""), IdentityProviderUserId: str(""),
		})
		must(w, w.ResetPassword, &workmail.ResetPasswordInput{OrganizationId: &org, UserId: id, Password: str("examplePa$$w0rd")})
		must(w, w.DeregisterFromWorkMail, &workmail.DeregisterFromWorkMailInput{OrganizationId: &org, EntityId: id})
		is(types.EntityStateDisabled)
		must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &org, UserId: id})
		u, err := w.DescribeUser(w.ctx, &workmail.DescribeUserInput{OrganizationId: &org, UserId: id})
		var gone *types.EntityNotFoundException
		if !errors.As(err, &gone) && (err != nil || u.State != types.EntityStateDeleted) {
			w.t.Errorf("the deleted user is %+v, %v", u, err)
		}
		again := must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: str("userabcdefgh"), DisplayName: str("Test")}).UserId
		if *again == *id {
			w.t.Error("the name's next user has the id of the one before")
		}
	})
}

// TestTerraformDomain registers a domain nobody has proven, reads it and takes it away; and moves the default and back.
func TestTerraformDomain(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.organization("tf-domain")
		name := str("tf-acc-test-1.example.com")
		must(w, w.RegisterMailDomain, &workmail.RegisterMailDomainInput{OrganizationId: &org, DomainName: name})
		d := must(w, w.GetMailDomain, &workmail.GetMailDomainInput{OrganizationId: &org, DomainName: name})
		if len(d.Records) == 0 || d.IsTestDomain || d.IsDefault || d.OwnershipVerificationStatus != types.DnsRecordVerificationStatusPending {
			w.t.Errorf("the domain is %+v", d)
		}
		w.prove(d)
		for _, to := range []*string{name, str("tf-domain.awsapps.com")} {
			must(w, w.UpdateDefaultMailDomain, &workmail.UpdateDefaultMailDomainInput{OrganizationId: &org, DomainName: to})
			for _, listed := range must(w, w.ListMailDomains, &workmail.ListMailDomainsInput{OrganizationId: &org}).MailDomains {
				if listed.DefaultDomain != (*listed.DomainName == *to) {
					w.t.Errorf("with default %s the domain %s is listed as default: %t", *to, *listed.DomainName, listed.DefaultDomain)
				}
			}
		}
		must(w, w.DeregisterMailDomain, &workmail.DeregisterMailDomainInput{OrganizationId: &org, DomainName: name})
		refused[*types.MailDomainNotFoundException](w, w.GetMailDomain, &workmail.GetMailDomainInput{OrganizationId: &org, DomainName: name})
	})
}

// TestAliasSync does what a public tool does that keeps aliases in step with a list, with groups as carriers of many.
func TestAliasSync(t *testing.T) {
	inBoth(t, func(w *world) {
		s := settle(w, "sync")
		current := map[string]string{} // alias to entity
		for _, u := range must(w, w.ListUsers, &workmail.ListUsersInput{OrganizationId: &s.org}).Users {
			if u.State == types.EntityStateDeleted || u.Email == nil {
				continue
			}
			for _, alias := range must(w, w.ListAliases, &workmail.ListAliasesInput{OrganizationId: &s.org, EntityId: u.Id}).Aliases {
				if alias != *u.Email {
					current[alias] = *u.Id
				}
			}
		}
		if len(current) != 1 || current["sales@"+s.domain] != s.user {
			w.t.Fatalf("the aliases are %v", current)
		}
		must(w, w.DeleteAlias, &workmail.DeleteAliasInput{OrganizationId: &s.org, EntityId: &s.user, Alias: str("sales@" + s.domain)})
		carrier := must(w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &s.org, Name: str("carrier")}).GroupId
		must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &s.org, EntityId: carrier, Email: str("carrier@" + s.domain)})
		must(w, w.AssociateMemberToGroup, &workmail.AssociateMemberToGroupInput{OrganizationId: &s.org, GroupId: carrier, MemberId: &s.user})
		for i := range 3 {
			must(w, w.CreateAlias, &workmail.CreateAliasInput{OrganizationId: &s.org, EntityId: carrier, Alias: str(fmt.Sprintf("a%d@%s", i, s.domain))})
		}
		if n := len(must(w, w.ListAliases, &workmail.ListAliasesInput{OrganizationId: &s.org, EntityId: carrier}).Aliases); n != 4 {
			w.t.Errorf("the carrier has %d addresses, want 4", n)
		}
		must(w, w.DeregisterFromWorkMail, &workmail.DeregisterFromWorkMailInput{OrganizationId: &s.org, EntityId: carrier})
		must(w, w.DeleteGroup, &workmail.DeleteGroupInput{OrganizationId: &s.org, GroupId: carrier})
		must(w, w.CreateAlias, &workmail.CreateAliasInput{OrganizationId: &s.org, EntityId: &s.other, Alias: str("a0@" + s.domain)})
	})
}

// TestPulumiUser describes before it deletes; any error counts as gone. Registering and deregistering may be repeated.
func TestPulumiUser(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.organization("pulumi")
		id := must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: str("p"), DisplayName: str("P"), Password: str("TestTest1234!")}).UserId
		for range 2 {
			must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &org, EntityId: id, Email: str("p@pulumi.awsapps.com")})
		}
		for range 2 {
			must(w, w.DeregisterFromWorkMail, &workmail.DeregisterFromWorkMailInput{OrganizationId: &org, EntityId: id})
		}
		if u := must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &org, UserId: id}); u.State != types.EntityStateDisabled {
			w.t.Fatalf("the user is %+v", u)
		}
		must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &org, UserId: id})
		list := must(w, w.ListOrganizations, &workmail.ListOrganizationsInput{}).OrganizationSummaries
		if !slices.ContainsFunc(list, func(o types.OrganizationSummary) bool {
			return aws.ToString(o.DefaultMailDomain) == "pulumi.awsapps.com"
		}) {
			w.t.Errorf("no organisation is found by its default domain: %+v", list)
		}
	})
}

// TestLambdaTemplates lists groups and members without paging and reads the organisation's default domain.
func TestLambdaTemplates(t *testing.T) {
	inBoth(t, func(w *world) {
		s := settle(w, "lambda")
		groups := must(w, w.ListGroups, &workmail.ListGroupsInput{OrganizationId: &s.org})
		if len(groups.Groups) != 2 || groups.NextToken != nil {
			w.t.Fatalf("the groups are %+v", groups)
		}
		for _, g := range groups.Groups {
			if n := len(must(w, w.ListGroupMembers, &workmail.ListGroupMembersInput{OrganizationId: &s.org, GroupId: g.Id}).Members); n != 2 {
				w.t.Errorf("%s has %d members, want 2", *g.Name, n)
			}
		}
		if o := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: &s.org}); *o.DefaultMailDomain != s.domain {
			w.t.Errorf("the default domain is %s", *o.DefaultMailDomain)
		}
	})
}
