package awsapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

// TestEveryOperation tells the story of two organisations by the AWS SDK, and then holds the face to it: every operation was
// carried out, every member of its output was filled at least once, every exception that it lists was met.
func TestEveryOperation(t *testing.T) {
	inBoth(t, func(w *world) {
		s := &story{world: w}
		s.organizations()
		s.users()
		s.mailboxes()
		s.groups()
		s.resources()
		s.addresses()
		s.domains()
		s.permissions()
		s.retention()
		s.exports()
		s.availability()
		s.tags()
		s.access()
		s.mobileRules()
		s.mobileOverrides()
		s.dmarc()
		s.monitoring()
		s.impersonation()
		s.identityCenter()
		s.mailFlow()
		s.automaticReply()
		s.messageFlow()
		s.journaling()
		s.outbound()
		s.everyEventHasItsType()
		s.mailReports()
		s.goneOrganizations()
		s.externalDirectories()
		s.interoperability()
		w.everythingWasSeen()
	})
}

// story is what the chapters hand on to each other.
type story struct {
	*world
	org, arn string
	other    string // another organisation
	ann, bob string // enabled users

	application string // by which the other organisation signs in
}

var str = aws.String

const (
	nowhere = "m-00000000000000000000000000000000"
	nobody  = "00000000-0000-4000-8000-000000000000"
	noRoom  = "r-00000000000000000000000000000000"
)

func (s *story) organizations() {
	w := s.world
	token := str("token-1")
	create := &workmail.CreateOrganizationInput{
		Alias: str("acme"), ClientToken: token, KmsKeyArn: str("arn:aws:kms:eu-west-1:111122223333:key/1"),
		Domains: []types.Domain{{DomainName: str("acme.example"), HostedZoneId: str("Z1")}},
	}
	s.org = *must(w, w.CreateOrganization, create).OrganizationId
	w.settle()
	if again := *must(w, w.CreateOrganization, create).OrganizationId; again != s.org {
		w.t.Errorf("the same token made %s and %s", s.org, again)
	}
	refused[*types.InvalidParameterException](w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("other"), ClientToken: token})
	refused[*types.NameAvailabilityException](w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("ACME")})
	refused[*types.DirectoryUnavailableException](w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("other"), DirectoryId: str("d-ffffffffff")})
	refused[*types.OrganizationNotFoundException](w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: str(nowhere)})

	o := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: &s.org})
	s.arn = "arn:aws:workmail:eu-west-1:111122223333:organization/" + s.org
	if *o.OrganizationId != s.org || *o.Alias != "acme" || *o.State != "Active" || *o.DefaultMailDomain != "acme.awsapps.com" ||
		!strings.HasPrefix(*o.DirectoryId, "d-") || *o.DirectoryType == "" || o.CompletedDate == nil || *o.ARN != s.arn ||
		o.InteroperabilityEnabled || o.ErrorMessage != nil || o.MigrationAdmin != nil {
		w.t.Errorf("the organisation is %+v", o)
	}
	var aliases []string
	for i := range 3 {
		aliases = append(aliases, fmt.Sprintf("page-%d", i))
		w.organization(aliases[i])
	}
	pages := workmail.NewListOrganizationsPaginator(w, &workmail.ListOrganizationsInput{MaxResults: aws.Int32(1)})
	var listed []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		if err != nil || len(page.OrganizationSummaries) != 1 {
			w.t.Fatalf("%+v, %v", page, err)
		}
		listed = append(listed, *page.OrganizationSummaries[0].Alias)
	}
	if want := append([]string{"acme"}, aliases...); !slices.Equal(listed, want) {
		w.t.Errorf("listed %q, want %q", listed, want)
	}
	refused[*types.InvalidParameterException](w, w.ListOrganizations, &workmail.ListOrganizationsInput{NextToken: str("x")})
}

func (s *story) users() {
	w := s.world
	newUser := func(name string) *workmail.CreateUserInput {
		return &workmail.CreateUserInput{OrganizationId: &s.org, Name: &name, DisplayName: str("Someone")}
	}
	full := newUser("ann")
	full.Password, full.Role, full.FirstName, full.LastName = str("examplePa$$w0rd"), types.UserRoleUser, str("Ann"), str("Lee")
	full.HiddenFromGlobalAddressList, full.IdentityProviderUserId = true, str("1234567890-01234567-89ab-cdef-0123-456789abcdef")
	s.ann = *must(w, w.CreateUser, full).UserId
	s.bob = *must(w, w.CreateUser, newUser("bob@acme.example")).UserId
	refused[*types.NameAvailabilityException](w, w.CreateUser, newUser("ANN"))
	refused[*types.ReservedNameException](w, w.CreateUser, newUser("Administrator"))
	refused[*types.OrganizationNotFoundException](w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: str(nowhere), Name: str("x"), DisplayName: str("x")})
	for role, exception := range map[types.UserRole]bool{types.UserRoleResource: true, types.UserRoleSystemUser: true, types.UserRoleRemoteUser: false} {
		in := newUser("by-role-" + strings.ToLower(string(role)))
		in.Role = role
		if _, err := w.CreateUser(w.ctx, in); (err != nil) != exception {
			w.t.Errorf("role %s: %v", role, err)
		}
	}
	weak := newUser("weak")
	weak.Password = str("short")
	refused[*types.InvalidPasswordException](w, w.CreateUser, weak)

	d := must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: str("ann")})
	if *d.UserId != s.ann || *d.Name != "ann" || *d.DisplayName != "Someone" || *d.FirstName != "Ann" || *d.LastName != "Lee" || d.Email != nil ||
		d.State != types.EntityStateDisabled || d.UserRole != types.UserRoleUser || !d.HiddenFromGlobalAddressList ||
		*d.IdentityProviderUserId != *full.IdentityProviderUserId || d.EnabledDate != nil || d.MailboxProvisionedDate != nil {
		w.t.Errorf("the new user is %+v", d)
	}
	refused[*types.EntityNotFoundException](w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: str(nobody)})

	update := &workmail.UpdateUserInput{
		OrganizationId: &s.org, UserId: &s.ann, Role: types.UserRoleUser, DisplayName: str("Ann Lee"), FirstName: str("Anna"), LastName: str("Leigh"),
		HiddenFromGlobalAddressList: aws.Bool(false), Initials: str("A"), Telephone: str("+1-555-0100"), Street: str("Main"), JobTitle: str("Boss"),
		City: str("Bonn"), Company: str("Acme"), ZipCode: str("53111"), Department: str("D"), Country: str("DE"), Office: str("1.01"),
		IdentityProviderUserId: str(""),
	}
	must(w, w.UpdateUser, update)
	d = must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: &s.ann})
	if *d.DisplayName != "Ann Lee" || *d.FirstName != "Anna" || *d.LastName != "Leigh" || d.HiddenFromGlobalAddressList || *d.Initials != "A" ||
		*d.Telephone != "+1-555-0100" || *d.Street != "Main" || *d.JobTitle != "Boss" || *d.City != "Bonn" || *d.Company != "Acme" || *d.ZipCode != "53111" ||
		*d.Department != "D" || *d.Country != "DE" || *d.Office != "1.01" || d.IdentityProviderUserId != nil {
		w.t.Errorf("the changed user is %+v", d)
	}
	must(w, w.UpdateUser, &workmail.UpdateUserInput{
		OrganizationId: &s.org, UserId: &s.ann, City: str(""), IdentityProviderUserId: str("01234567-89ab-cdef-0123-456789abcdef"),
	})
	d = must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: &s.ann})
	if d.City != nil || *d.Street != "Main" || *d.IdentityProviderUserId != "01234567-89ab-cdef-0123-456789abcdef" {
		w.t.Errorf("an absent member must stay and an empty one go: %+v", d)
	}
	update.Role = types.UserRoleSystemUser
	refused[*types.InvalidParameterException](w, w.UpdateUser, update)
	refused[*types.EntityNotFoundException](w, w.UpdateUser, &workmail.UpdateUserInput{OrganizationId: &s.org, UserId: str(nobody)})

	password := func(id, password string) *workmail.ResetPasswordInput {
		return &workmail.ResetPasswordInput{OrganizationId: &s.org, UserId: &id, Password: &password}
	}
	must(w, w.ResetPassword, password(s.ann, "TestTest1234!"))
	refused[*types.InvalidPasswordException](w, w.ResetPassword, password(s.ann, "short"))
	refused[*types.EntityNotFoundException](w, w.ResetPassword, password(nobody, "TestTest1234!"))
	refused[*types.InvalidParameterException](w, w.ResetPassword, password("ann", "TestTest1234!"))

	gone := *must(w, w.CreateUser, newUser("gone")).UserId
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: str("gone")})
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: str("never-there")})
	refused[*types.EntityStateException](w, w.UpdateUser, &workmail.UpdateUserInput{OrganizationId: &s.org, UserId: &gone, City: str("x")})
	refused[*types.EntityStateException](w, w.ResetPassword, password(gone, "TestTest1234!"))
	if d = must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: &gone}); d.State != types.EntityStateDeleted {
		w.t.Errorf("the deleted user is %+v", d)
	}
	s.listUsers()
}

func (s *story) listUsers() {
	w := s.world
	names := func(f *types.ListUsersFilters) (names []string) {
		pages := workmail.NewListUsersPaginator(w, &workmail.ListUsersInput{OrganizationId: &s.org, Filters: f, MaxResults: aws.Int32(1)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(w.ctx)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, u := range page.Users {
				if u.Id == nil || u.DisplayName == nil || u.State == "" || u.UserRole == "" {
					w.t.Errorf("a user is listed as %+v", u)
				}
				names = append(names, aws.ToString(u.Name))
			}
		}
		return names
	}
	for want, filter := range map[string]*types.ListUsersFilters{
		"ann,bob@acme.example,by-role-remote_user,gone": nil,
		"ann":                                  {UsernamePrefix: str("AN")},
		"bob@acme.example,by-role-remote_user": {DisplayNamePrefix: str("some")},
		"":                                     {PrimaryEmailPrefix: str("ann")},
		"ann,bob@acme.example,by-role-remote_user": {State: types.EntityStateDisabled},
	} {
		if got := strings.Join(names(filter), ","); got != want {
			w.t.Errorf("%+v lists %q, want %q", filter, got, want)
		}
	}
	if got := names(&types.ListUsersFilters{IdentityProviderUserIdPrefix: str("01234567")}); !slices.Equal(got, []string{"ann"}) {
		w.t.Errorf("by the identity provider's id are listed %q", got)
	}
	refused[*types.InvalidParameterException](w, w.ListUsers, &workmail.ListUsersInput{
		OrganizationId: &s.org, Filters: &types.ListUsersFilters{UsernamePrefix: str("a"), State: types.EntityStateEnabled},
	})
}

func (s *story) mailboxes() {
	w := s.world
	register := func(entity, email string) *workmail.RegisterToWorkMailInput {
		return &workmail.RegisterToWorkMailInput{OrganizationId: &s.org, EntityId: &entity, Email: &email}
	}
	refused[*types.EntityNotFoundException](w, w.RegisterToWorkMail, register(nobody, "ann@acme.awsapps.com"))
	refused[*types.MailDomainNotFoundException](w, w.RegisterToWorkMail, register(s.ann, "ann@elsewhere.example"))
	refused[*types.MailDomainStateException](w, w.RegisterToWorkMail, register(s.ann, "ann@acme.example"))
	refused[*types.UnsupportedOperationException](w, w.RegisterToWorkMail, register("by-role-remote_user", "remote@acme.awsapps.com"))
	must(w, w.RegisterToWorkMail, register("ann", "ann@acme.awsapps.com"))
	must(w, w.RegisterToWorkMail, register(s.ann, "Ann@acme.awsapps.com"))
	refused[*types.EntityAlreadyRegisteredException](w, w.RegisterToWorkMail, register(s.ann, "anna@acme.awsapps.com"))
	refused[*types.EmailAddressInUseException](w, w.RegisterToWorkMail, register(s.bob, "ANN@acme.awsapps.com"))
	must(w, w.RegisterToWorkMail, register(s.bob, "bob@acme.awsapps.com"))
	d := must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: str("ann@acme.awsapps.com")})
	if d.State != types.EntityStateEnabled || *d.Email != "ann@acme.awsapps.com" || d.EnabledDate == nil || d.MailboxProvisionedDate == nil {
		w.t.Errorf("the enabled user is %+v", d)
	}
	refused[*types.EntityStateException](w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: &s.ann})

	details := must(w, w.GetMailboxDetails, &workmail.GetMailboxDetailsInput{OrganizationId: &s.org, UserId: &s.ann})
	if *details.MailboxQuota != 51200 || details.MailboxSize != 0 {
		w.t.Errorf("the mailbox is %+v", details)
	}
	quota := func(user string, mb int32) *workmail.UpdateMailboxQuotaInput {
		return &workmail.UpdateMailboxQuotaInput{OrganizationId: &s.org, UserId: &user, MailboxQuota: &mb}
	}
	must(w, w.UpdateMailboxQuota, quota("ann", 100))
	refused[*types.InvalidParameterException](w, w.UpdateMailboxQuota, quota(s.ann, 51201))
	refused[*types.EntityNotFoundException](w, w.UpdateMailboxQuota, quota(nobody, 1))
	refused[*types.EntityStateException](w, w.UpdateMailboxQuota, quota("by-role-remote_user", 1))
	refused[*types.EntityNotFoundException](w, w.GetMailboxDetails, &workmail.GetMailboxDetailsInput{OrganizationId: &s.org, UserId: str(nobody)})
	w.deliver(s.org, s.ann, 1<<19)
	if details = must(w, w.GetMailboxDetails, &workmail.GetMailboxDetailsInput{OrganizationId: &s.org, UserId: &s.ann}); *details.MailboxQuota != 100 || details.MailboxSize != 0.5 {
		w.t.Errorf("the mailbox is %+v: %v, %v", details, *details.MailboxQuota, details.MailboxSize)
	}

	carl := *must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &s.org, Name: str("carl"), DisplayName: str("Carl")}).UserId
	must(w, w.RegisterToWorkMail, register(carl, "carl@acme.awsapps.com"))
	out := func(entity string) *workmail.DeregisterFromWorkMailInput {
		return &workmail.DeregisterFromWorkMailInput{OrganizationId: &s.org, EntityId: &entity}
	}
	must(w, w.DeregisterFromWorkMail, out("carl@acme.awsapps.com"))
	must(w, w.DeregisterFromWorkMail, out(carl))
	refused[*types.EntityNotFoundException](w, w.DeregisterFromWorkMail, out(nobody))
	d = must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: &carl})
	if d.State != types.EntityStateDisabled || d.DisabledDate == nil || d.Email != nil || d.MailboxDeprovisionedDate == nil {
		w.t.Errorf("the disabled user is %+v", d)
	}
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: &carl})
	refused[*types.EntityStateException](w, w.DeregisterFromWorkMail, out(carl))
	refused[*types.EntityStateException](w, w.RegisterToWorkMail, register(carl, "carl@acme.awsapps.com"))
	if page := must(w, w.ListUsers, &workmail.ListUsersInput{OrganizationId: &s.org}); len(page.Users) != 5 || page.NextToken != nil {
		w.t.Errorf("%d users on the only page, next %v", len(page.Users), page.NextToken)
	}
}
