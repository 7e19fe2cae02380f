package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/test/harness"
)

const importedGroup = "arn:aws:logs:us-east-1:000000000000:log-group:/mail/imported:*"

// mappings is a configuration that both servers of an import have: a log group and an identity provider.
func mappings(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	secret, config := filepath.Join(dir, "secret"), filepath.Join(dir, "pennypost.toml")
	text := fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = %q\n[identity_center.%q]\nissuer = \"https://login.example.com\"\nclient_id = \"x\"\nclient_secret_file = %q\n",
		importedGroup, filepath.Join(dir, "log"), instance, secret)
	for name, content := range map[string]string{secret: "s3cret", config: text} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config
}

// filled is an organisation with everything that the API can make.
type filled struct {
	t                *testing.T
	api              *workmail.Client
	org              *string
	ann, bob, cec    *string // enabled, enabled, disabled again
	remote, gone     *string
	staff, managers  *string
	room, projector  *string
	role             *string
	mobileRule       *string
	domain           string
	applicationOfOrg *string
}

// must ends the test with an error of a call that is to work.
func must[T any](out T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func fill(t *testing.T, s *harness.Server, alias string) *filled {
	t.Helper()
	f := &filled{t: t, api: s.WorkMail(), org: aws.String(office(t, s, alias)), domain: alias + ".example"}
	ctx, api, org := t.Context(), f.api, f.org
	must(api.RegisterMailDomain(ctx, &workmail.RegisterMailDomainInput{OrganizationId: org, DomainName: &f.domain}))(t)
	if r := s.Verb("domain", "verify", f.domain, "--organization", *org); r.Status != 0 {
		t.Fatalf("domain verify: %s", r)
	}
	must(api.RegisterMailDomain(ctx, &workmail.RegisterMailDomainInput{OrganizationId: org, DomainName: aws.String("pending." + f.domain)}))(t)
	must(api.UpdateDefaultMailDomain(ctx, &workmail.UpdateDefaultMailDomainInput{OrganizationId: org, DomainName: &f.domain}))(t)

	user := func(name string) *string {
		u := must(api.CreateUser(ctx, &workmail.CreateUserInput{
			OrganizationId: org, Name: &name, DisplayName: aws.String("The " + name), FirstName: aws.String("First"), LastName: aws.String("Läst"),
			Password: aws.String(password),
		}))(t)
		return u.UserId
	}
	f.ann, f.bob, f.cec, f.gone = user("ann"), user("Bob"), user("cec"), user("gone")
	f.remote = must(api.CreateUser(ctx, &workmail.CreateUserInput{
		OrganizationId: org, Name: aws.String("far"), DisplayName: aws.String("Far"), Role: types.UserRoleRemoteUser,
	}))(t).UserId
	must(api.UpdateUser(ctx, &workmail.UpdateUserInput{
		OrganizationId: org, UserId: f.ann, Initials: aws.String("A"), Telephone: aws.String("+1-555-0100"), Street: aws.String("Street 1"),
		JobTitle: aws.String("Boss"), City: aws.String("Paris"), Company: aws.String("C"), ZipCode: aws.String("75001"), Department: aws.String("D"),
		Country: aws.String("FR"), Office: aws.String("O"), HiddenFromGlobalAddressList: aws.Bool(true), IdentityProviderUserId: aws.String(annsIdentity),
	}))(t)
	group := func(name string, hidden bool) *string {
		return must(api.CreateGroup(ctx, &workmail.CreateGroupInput{OrganizationId: org, Name: &name, HiddenFromGlobalAddressList: hidden}))(t).GroupId
	}
	f.staff, f.managers = group("All stäff", false), group("managers", true)
	resource := func(name string, kind types.ResourceType) *string {
		return must(api.CreateResource(ctx, &workmail.CreateResourceInput{
			OrganizationId: org, Name: &name, Type: kind, Description: aws.String("The " + name),
		}))(t).ResourceId
	}
	f.room, f.projector = resource("room", types.ResourceTypeRoom), resource("projector", types.ResourceTypeEquipment)
	register := func(id *string, local string) {
		must(api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{OrganizationId: org, EntityId: id, Email: aws.String(local + "@" + f.domain)}))(t)
	}
	register(f.ann, "Ann.A")
	register(f.bob, "bob")
	register(f.cec, "cec")
	register(f.staff, "staff")
	register(f.room, "room")
	for id, aliases := range map[*string][]string{f.ann: {"ann@" + f.domain, "boss@" + alias + ".awsapps.com"}, f.staff: {"everybody@" + f.domain}, f.room: {"room1@" + f.domain}} {
		for _, a := range aliases {
			must(api.CreateAlias(ctx, &workmail.CreateAliasInput{OrganizationId: org, EntityId: id, Alias: &a}))(t)
		}
	}
	for _, pair := range [][2]*string{{f.staff, f.ann}, {f.staff, f.managers}, {f.managers, f.bob}, {f.managers, f.cec}} {
		must(api.AssociateMemberToGroup(ctx, &workmail.AssociateMemberToGroupInput{OrganizationId: org, GroupId: pair[0], MemberId: pair[1]}))(t)
	}
	for _, delegate := range []*string{f.bob, f.managers} {
		must(api.AssociateDelegateToResource(ctx, &workmail.AssociateDelegateToResourceInput{OrganizationId: org, ResourceId: f.room, EntityId: delegate}))(t)
	}
	must(api.UpdateResource(ctx, &workmail.UpdateResourceInput{
		OrganizationId: org, ResourceId: f.room, BookingOptions: &types.BookingOptions{AutoDeclineRecurringRequests: true},
	}))(t)
	must(api.UpdateMailboxQuota(ctx, &workmail.UpdateMailboxQuotaInput{OrganizationId: org, UserId: f.bob, MailboxQuota: aws.Int32(77)}))(t)
	permit := func(owner, grantee *string, values ...types.PermissionType) {
		must(api.PutMailboxPermissions(ctx, &workmail.PutMailboxPermissionsInput{OrganizationId: org, EntityId: owner, GranteeId: grantee, PermissionValues: values}))(t)
	}
	permit(f.ann, f.bob, types.PermissionTypeFullAccess, types.PermissionTypeSendAs)
	permit(f.ann, f.managers, types.PermissionTypeSendOnBehalf)
	permit(f.staff, f.bob, types.PermissionTypeSendAs)
	permit(f.room, f.ann, types.PermissionTypeFullAccess)
	permit(f.cec, f.ann, types.PermissionTypeFullAccess)
	must(api.DeregisterFromWorkMail(ctx, &workmail.DeregisterFromWorkMailInput{OrganizationId: org, EntityId: f.cec}))(t)
	must(api.DeleteUser(ctx, &workmail.DeleteUserInput{OrganizationId: org, UserId: f.gone}))(t)
	f.rules()
	return f
}

func (f *filled) rules() {
	t, ctx, api, org := f.t, f.t.Context(), f.api, f.org
	t.Helper()
	f.role = must(api.CreateImpersonationRole(ctx, &workmail.CreateImpersonationRoleInput{
		OrganizationId: org, Name: aws.String("Backup"), Type: types.ImpersonationRoleTypeReadOnly, Description: aws.String("reads"),
		Rules: []types.ImpersonationRule{
			{ImpersonationRuleId: aws.String("r1"), Name: aws.String("ann only"), Effect: types.AccessEffectAllow, TargetUsers: []string{*f.ann}},
			{ImpersonationRuleId: aws.String("r2"), Effect: types.AccessEffectDeny, NotTargetUsers: []string{*f.ann, *f.bob}},
		},
	}))(t).ImpersonationRoleId
	must(api.PutAccessControlRule(ctx, &workmail.PutAccessControlRuleInput{
		OrganizationId: org, Name: aws.String("office"), Effect: types.AccessControlRuleEffectAllow, Description: aws.String("the office"),
		IpRanges: []string{"127.0.0.0/8", "192.0.2.0/24"}, NotActions: []string{"ActiveSync"}, NotUserIds: []string{*f.cec},
	}))(t)
	must(api.PutAccessControlRule(ctx, &workmail.PutAccessControlRuleInput{
		OrganizationId: org, Name: aws.String("roles"), Effect: types.AccessControlRuleEffectDeny, Description: aws.String("no backup from there"),
		NotIpRanges: []string{"192.0.2.0/24"}, Actions: []string{"EWS"}, ImpersonationRoleIds: []string{*f.role},
	}))(t)
	must(api.DeleteAccessControlRule(ctx, &workmail.DeleteAccessControlRuleInput{OrganizationId: org, Name: aws.String("default")}))(t)
	f.mobileRule = must(api.CreateMobileDeviceAccessRule(ctx, &workmail.CreateMobileDeviceAccessRuleInput{
		OrganizationId: org, Name: aws.String("no old ones"), Effect: types.MobileDeviceAccessRuleEffectDeny,
		DeviceTypes: []string{"iPhone"}, NotDeviceOperatingSystems: []string{"iOS 17", "iOS 18"},
	}))(t).MobileDeviceAccessRuleId
	must(api.PutMobileDeviceAccessOverride(ctx, &workmail.PutMobileDeviceAccessOverrideInput{
		OrganizationId: org, UserId: f.ann, DeviceId: aws.String("6APMEKPHCP"), Effect: types.MobileDeviceAccessRuleEffectAllow, Description: aws.String("hers"),
	}))(t)
	must(api.PutRetentionPolicy(ctx, &workmail.PutRetentionPolicyInput{
		OrganizationId: org, Name: aws.String("keep"), Description: aws.String("two years"), FolderConfigurations: []types.FolderConfiguration{
			{Name: types.FolderNameInbox, Action: types.RetentionActionNone},
			{Name: types.FolderNameDeletedItems, Action: types.RetentionActionPermanentlyDelete, Period: aws.Int32(30)},
		},
	}))(t)
	must(api.PutInboundDmarcSettings(ctx, &workmail.PutInboundDmarcSettingsInput{OrganizationId: org, Enforced: aws.Bool(false)}))(t)
	must(api.PutEmailMonitoringConfiguration(ctx, &workmail.PutEmailMonitoringConfigurationInput{
		OrganizationId: org, LogGroupArn: aws.String(importedGroup), RoleArn: aws.String("arn:aws:iam::000000000000:role/events"),
	}))(t)
	must(api.CreateAvailabilityConfiguration(ctx, &workmail.CreateAvailabilityConfigurationInput{
		OrganizationId: org, DomainName: aws.String("lambda.example"),
		LambdaProvider: &types.LambdaAvailabilityProvider{LambdaArn: aws.String("arn:aws:lambda:us-east-1:000000000000:function:busy")},
	}))(t)
	f.ews(api)
	f.applicationOfOrg = must(api.CreateIdentityCenterApplication(ctx, &workmail.CreateIdentityCenterApplicationInput{
		Name: aws.String("mail"), InstanceArn: aws.String(instance),
	}))(t).ApplicationArn
	must(api.PutIdentityProviderConfiguration(ctx, &workmail.PutIdentityProviderConfigurationInput{
		OrganizationId: org, AuthenticationMode: types.IdentityProviderAuthenticationModeIdentityProviderAndDirectory,
		IdentityCenterConfiguration: &types.IdentityCenterConfiguration{InstanceArn: aws.String(instance), ApplicationArn: f.applicationOfOrg},
		PersonalAccessTokenConfiguration: &types.PersonalAccessTokenConfiguration{
			Status: types.PersonalAccessTokenConfigurationStatusActive, LifetimeInDays: aws.Int32(99),
		},
	}))(t)
	must(api.TagResource(ctx, &workmail.TagResourceInput{
		ResourceARN: must(api.DescribeOrganization(ctx, &workmail.DescribeOrganizationInput{OrganizationId: org}))(t).ARN,
		Tags:        []types.Tag{{Key: aws.String("cost centre"), Value: aws.String("42")}, {Key: aws.String("empty"), Value: aws.String("")}},
	}))(t)
}

// ews makes the availability configuration whose password nobody can read.
func (f *filled) ews(api *workmail.Client) {
	f.t.Helper()
	must(api.CreateAvailabilityConfiguration(f.t.Context(), &workmail.CreateAvailabilityConfigurationInput{
		OrganizationId: f.org, DomainName: aws.String("ews.example"), EwsProvider: &types.EwsAvailabilityProvider{
			EwsEndpoint: aws.String("https://ews.example/EWS/Exchange.asmx"), EwsUsername: aws.String("busy"), EwsPassword: aws.String("s3cret"),
		},
	}))(f.t)
}

// sight is what a client of the API sees of an organisation: the answer to each reading call.
type sight struct {
	t    *testing.T
	seen map[string]any
}

// note keeps an answer, or the name of the error.
func (s *sight) note(call string, out any, err error) {
	s.t.Helper()
	if err != nil {
		var api smithy.APIError
		if !errors.As(err, &api) {
			s.t.Fatalf("%s: %v", call, err)
		}
		s.seen[call] = api.ErrorCode()
		return
	}
	text, err := json.Marshal(out)
	if err != nil {
		s.t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		s.t.Fatal(err)
	}
	s.seen[call] = plain(v)
}

// plain takes away what says nothing: the request, the order of lists, the tokens of domains, when a configuration was made whose
// password had to be given anew.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "ResultMetadata")
		delete(v, "Records")
		if v["ProviderType"] == "EWS" {
			delete(v, "DateCreated")
			delete(v, "DateModified")
		}
		for name := range v {
			v[name] = plain(v[name])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
		slices.SortFunc(v, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return v
}

// look asks all that can be asked.
func look(t *testing.T, api *workmail.Client, org *string) map[string]any {
	t.Helper()
	s := &sight{t, map[string]any{}}
	ctx := t.Context()
	o, err := api.DescribeOrganization(ctx, &workmail.DescribeOrganizationInput{OrganizationId: org})
	s.note("DescribeOrganization", o, err)
	if err != nil {
		return s.seen
	}
	tags, err := api.ListTagsForResource(ctx, &workmail.ListTagsForResourceInput{ResourceARN: o.ARN})
	s.note("ListTagsForResource", tags, err)
	domains, err := api.ListMailDomains(ctx, &workmail.ListMailDomainsInput{OrganizationId: org})
	s.note("ListMailDomains", domains, err)
	for _, d := range domains.MailDomains {
		out, err := api.GetMailDomain(ctx, &workmail.GetMailDomainInput{OrganizationId: org, DomainName: d.DomainName})
		s.note("GetMailDomain "+*d.DomainName, out, err)
	}
	var ids []*string
	for pages := workmail.NewListUsersPaginator(api, &workmail.ListUsersInput{OrganizationId: org}); pages.HasMorePages(); {
		page := must(pages.NextPage(ctx))(t)
		for _, u := range page.Users {
			ids = append(ids, u.Id)
			s.note("ListUsers "+*u.Id, u, nil)
			out, err := api.DescribeUser(ctx, &workmail.DescribeUserInput{OrganizationId: org, UserId: u.Id})
			s.note("DescribeUser "+*u.Id, out, err)
			overrides, err := api.ListMobileDeviceAccessOverrides(ctx, &workmail.ListMobileDeviceAccessOverridesInput{OrganizationId: org, UserId: u.Id})
			s.note("ListMobileDeviceAccessOverrides "+*u.Id, overrides, err)
			if u.State == types.EntityStateEnabled {
				out, err := api.GetMailboxDetails(ctx, &workmail.GetMailboxDetailsInput{OrganizationId: org, UserId: u.Id})
				s.note("GetMailboxDetails "+*u.Id, out, err)
			}
			if u.Email != nil {
				out, err := api.DescribeEntity(ctx, &workmail.DescribeEntityInput{OrganizationId: org, Email: u.Email})
				s.note("DescribeEntity "+*u.Email, out, err)
			}
		}
	}
	groups, err := api.ListGroups(ctx, &workmail.ListGroupsInput{OrganizationId: org})
	s.note("ListGroups", groups, err)
	for _, g := range groups.Groups {
		ids = append(ids, g.Id)
		out, err := api.DescribeGroup(ctx, &workmail.DescribeGroupInput{OrganizationId: org, GroupId: g.Id})
		s.note("DescribeGroup "+*g.Id, out, err)
		members, err := api.ListGroupMembers(ctx, &workmail.ListGroupMembersInput{OrganizationId: org, GroupId: g.Id})
		s.note("ListGroupMembers "+*g.Id, members, err)
	}
	resources, err := api.ListResources(ctx, &workmail.ListResourcesInput{OrganizationId: org})
	s.note("ListResources", resources, err)
	for _, r := range resources.Resources {
		ids = append(ids, r.Id)
		out, err := api.DescribeResource(ctx, &workmail.DescribeResourceInput{OrganizationId: org, ResourceId: r.Id})
		s.note("DescribeResource "+*r.Id, out, err)
		delegates, err := api.ListResourceDelegates(ctx, &workmail.ListResourceDelegatesInput{OrganizationId: org, ResourceId: r.Id})
		s.note("ListResourceDelegates "+*r.Id, delegates, err)
		details, err := api.GetMailboxDetails(ctx, &workmail.GetMailboxDetailsInput{OrganizationId: org, UserId: r.Id})
		s.note("GetMailboxDetails "+*r.Id, details, err)
	}
	for _, id := range ids {
		aliases, err := api.ListAliases(ctx, &workmail.ListAliasesInput{OrganizationId: org, EntityId: id})
		s.note("ListAliases "+*id, aliases, err)
		permissions, err := api.ListMailboxPermissions(ctx, &workmail.ListMailboxPermissionsInput{OrganizationId: org, EntityId: id})
		s.note("ListMailboxPermissions "+*id, permissions, err)
		inside, err := api.ListGroupsForEntity(ctx, &workmail.ListGroupsForEntityInput{OrganizationId: org, EntityId: id})
		s.note("ListGroupsForEntity "+*id, inside, err)
	}
	s.settings(api, org)
	return s.seen
}

func (s *sight) settings(api *workmail.Client, org *string) {
	s.t.Helper()
	ctx := s.t.Context()
	access, err := api.ListAccessControlRules(ctx, &workmail.ListAccessControlRulesInput{OrganizationId: org})
	s.note("ListAccessControlRules", access, err)
	mobile, err := api.ListMobileDeviceAccessRules(ctx, &workmail.ListMobileDeviceAccessRulesInput{OrganizationId: org})
	s.note("ListMobileDeviceAccessRules", mobile, err)
	overrides, err := api.ListMobileDeviceAccessOverrides(ctx, &workmail.ListMobileDeviceAccessOverridesInput{OrganizationId: org})
	s.note("ListMobileDeviceAccessOverrides", overrides, err)
	for _, v := range overrides.Overrides {
		out, err := api.GetMobileDeviceAccessOverride(ctx, &workmail.GetMobileDeviceAccessOverrideInput{OrganizationId: org, UserId: v.UserId, DeviceId: v.DeviceId})
		s.note("GetMobileDeviceAccessOverride "+*v.DeviceId, out, err)
	}
	roles, err := api.ListImpersonationRoles(ctx, &workmail.ListImpersonationRolesInput{OrganizationId: org})
	s.note("ListImpersonationRoles", roles, err)
	for _, r := range roles.Roles {
		out, err := api.GetImpersonationRole(ctx, &workmail.GetImpersonationRoleInput{OrganizationId: org, ImpersonationRoleId: r.ImpersonationRoleId})
		s.note("GetImpersonationRole "+*r.ImpersonationRoleId, out, err)
	}
	retention, err := api.GetDefaultRetentionPolicy(ctx, &workmail.GetDefaultRetentionPolicyInput{OrganizationId: org})
	s.note("GetDefaultRetentionPolicy", retention, err)
	dmarc, err := api.DescribeInboundDmarcSettings(ctx, &workmail.DescribeInboundDmarcSettingsInput{OrganizationId: org})
	s.note("DescribeInboundDmarcSettings", dmarc, err)
	monitoring, err := api.DescribeEmailMonitoringConfiguration(ctx, &workmail.DescribeEmailMonitoringConfigurationInput{OrganizationId: org})
	s.note("DescribeEmailMonitoringConfiguration", monitoring, err)
	availability, err := api.ListAvailabilityConfigurations(ctx, &workmail.ListAvailabilityConfigurationsInput{OrganizationId: org})
	s.note("ListAvailabilityConfigurations", availability, err)
	provider, err := api.DescribeIdentityProviderConfiguration(ctx, &workmail.DescribeIdentityProviderConfigurationInput{OrganizationId: org})
	s.note("DescribeIdentityProviderConfiguration", provider, err)
	tokens, err := api.ListPersonalAccessTokens(ctx, &workmail.ListPersonalAccessTokensInput{OrganizationId: org})
	s.note("ListPersonalAccessTokens", tokens, err)
	exports, err := api.ListMailboxExportJobs(ctx, &workmail.ListMailboxExportJobsInput{OrganizationId: org})
	s.note("ListMailboxExportJobs", exports, err)
}

// alike compares what is seen on both sides.
func alike(t *testing.T, there, here map[string]any) {
	t.Helper()
	if len(there) < 20 {
		t.Errorf("only %d answers were compared", len(there))
	}
	for call, want := range there {
		if got := here[call]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s\nthere %v\nhere  %v", call, want, got)
		}
	}
	for call, got := range here {
		if _, is := there[call]; !is {
			t.Errorf("%s\nonly here %v", call, got)
		}
	}
}

// report is the JSON report of an import.
type report struct {
	DryRun bool `json:"dry_run"`
	Kinds  []struct {
		Kind                                         string
		There, Here, Made, Changed, Removed, Refused int
	}
	Refused   []struct{ Kind, ID, Action, Reason string }
	Different []struct{ Kind, ID, How string }
	OnlyHere  []struct{ Kind, ID string } `json:"only_here"`
	Untold    []string
}

// did counts what an import did.
func (r report) did() (n int) {
	for _, k := range r.Kinds {
		n += k.Made + k.Changed + k.Removed
	}
	return n
}

// sourceEnv are the variables by which the AWS tools find a server.
func sourceEnv(s *harness.Server) []string {
	var env []string
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL_WORKMAIL"} {
		env = append(env, name+"="+s.Env[name])
	}
	return env
}

func importArgs(to *harness.Server, url, config, org string, more ...string) []string {
	return append([]string{"import", "workmail", "--data", to.Dir, "--database-url", url, "--config", config, "--organization", org}, more...)
}

// importWorkMail imports an organisation and returns how it ended and its report.
func importWorkMail(t *testing.T, from, to *harness.Server, url, config, org string, more ...string) (harness.Result, report) {
	t.Helper()
	return importAs(t, sourceEnv(from), to, url, config, org, more...)
}

func importAs(t *testing.T, env []string, to *harness.Server, url, config, org string, more ...string) (harness.Result, report) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	result := harness.Run(t, harness.Command{
		Name: harness.Binary(t), Args: importArgs(to, url, config, org, append(more, "--report", file)...), Env: env,
	})
	var r report
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
	}
	return result, r
}

// TestImportWorkMail imports an organisation with everything the API can make, again after changes, beside a server and without one,
// and compares what clients of the API see on both sides.
func TestImportWorkMail(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		config := mappings(t)
		from := harness.Start(t, harness.Options{Flags: []string{"--config", config}})
		to := harness.Start(t, harness.Options{DatabaseURL: url, Flags: []string{"--config", config}})
		f := fill(t, from, "moving")
		org := *f.org

		dry, r := importWorkMail(t, from, to, url, config, org, "--dry-run")
		if dry.Status != 1 || !r.DryRun || len(r.Refused) != 1 || r.Refused[0].ID != "ews.example" || r.did() < 50 {
			t.Fatalf("dry run: %s\n%+v", dry, r)
		}
		if seen := look(t, to.WorkMail(), f.org); seen["DescribeOrganization"] != "OrganizationNotFoundException" {
			t.Fatalf("a dry run made %v", seen["DescribeOrganization"])
		}
		first, r := importWorkMail(t, from, to, url, config, org)
		if first.Status != 1 || len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Reason, "password") || len(r.Different) != 1 || len(r.OnlyHere) != 0 {
			t.Fatalf("import: %s\n%+v", first, r)
		}
		for _, says := range []string{"passwords", "mail flow rules", "folder permissions", "NOT COMPLETE: 1 items were refused"} {
			if !strings.Contains(first.Stdout, says) {
				t.Errorf("the report does not speak of %q:\n%s", says, first.Stdout)
			}
		}
		// Nobody has a password here until one is set; then the rules that came along let her in.
		if got := to.SignIn("Ann.A@"+f.domain, password); !strings.HasPrefix(got, "NO") {
			t.Error("a user signs in with the password of the source")
		}
		must(to.WorkMail().ResetPassword(t.Context(), &workmail.ResetPasswordInput{OrganizationId: f.org, UserId: f.ann, Password: aws.String("Another-" + password)}))(t)
		if got := to.SignIn("Ann.A@"+f.domain, "Another-"+password); !strings.HasPrefix(got, "OK") {
			t.Errorf("signing in with a new password: %s", got)
		}
		f.ews(to.WorkMail())
		alike(t, look(t, f.api, f.org), look(t, to.WorkMail(), f.org))

		// Again, by a profile that may only read, over TLS.
		file := policyFile(t, "[reader]\n"+from.Verb("key", "create", "--policy", "AmazonWorkMailReadOnlyAccess").Stdout)
		_, port, _ := strings.Cut(from.Addr("https"), ":")
		again, r := importAs(t, []string{"AWS_CA_BUNDLE=" + from.Env["PENNYPOST_CA_FILE"], "AWS_SHARED_CREDENTIALS_FILE=" + file},
			to, url, config, org, "--profile", "reader", "--region", "eu-west-1", "--endpoint-url", "https://localhost:"+port)
		if again.Status != 0 || r.did() != 0 || len(r.Different)+len(r.Refused) != 0 {
			t.Errorf("import again: %s\n%+v", again, r)
		}
		byHand := must(to.WorkMail().CreateUser(t.Context(), &workmail.CreateUserInput{
			OrganizationId: f.org, Name: aws.String("here"), DisplayName: aws.String("Here"),
		}))(t).UserId
		f.change()
		to.Stop() // the rest works on the store itself
		delta, r := importWorkMail(t, from, to, url, config, org)
		if delta.Status != 0 || r.did() == 0 || len(r.OnlyHere) != 1 || !slices.ContainsFunc(r.OnlyHere, func(o struct{ Kind, ID string }) bool { return o.Kind == "user" && o.ID == *byHand }) {
			t.Errorf("delta: %s\n%+v", delta, r)
		}
		to.Start()
		here := look(t, to.WorkMail(), f.org)
		for call := range here {
			if strings.HasSuffix(call, " "+*byHand) {
				delete(here, call)
			}
		}
		alike(t, look(t, f.api, f.org), here)
		if got := to.SignIn("boss@moving.awsapps.com", "Another-"+password); !strings.HasPrefix(got, "OK") {
			t.Errorf("signing in by an alias after the delta: %s", got)
		}
		if r := to.Verb("check"); r.Status != 0 {
			t.Errorf("check: %s", r)
		}
	})
}

// change changes a little of everything.
func (f *filled) change() {
	t, ctx, api, org := f.t, f.t.Context(), f.api, f.org
	t.Helper()
	must(api.UpdateUser(ctx, &workmail.UpdateUserInput{OrganizationId: org, UserId: f.ann, City: aws.String("Rome"), Telephone: aws.String("")}))(t)
	must(api.UpdatePrimaryEmailAddress(ctx, &workmail.UpdatePrimaryEmailAddressInput{OrganizationId: org, EntityId: f.bob, Email: aws.String("robert@" + f.domain)}))(t)
	// An alias goes from one to another, a user comes back, one goes, another is new.
	must(api.DeleteAlias(ctx, &workmail.DeleteAliasInput{OrganizationId: org, EntityId: f.ann, Alias: aws.String("ann@" + f.domain)}))(t)
	must(api.CreateAlias(ctx, &workmail.CreateAliasInput{OrganizationId: org, EntityId: f.bob, Alias: aws.String("ann@" + f.domain)}))(t)
	must(api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{OrganizationId: org, EntityId: f.cec, Email: aws.String("cec2@" + f.domain)}))(t)
	must(api.DeleteUser(ctx, &workmail.DeleteUserInput{OrganizationId: org, UserId: f.remote}))(t)
	must(api.CreateUser(ctx, &workmail.CreateUserInput{OrganizationId: org, Name: aws.String("far"), DisplayName: aws.String("New")}))(t)
	must(api.DisassociateMemberFromGroup(ctx, &workmail.DisassociateMemberFromGroupInput{OrganizationId: org, GroupId: f.managers, MemberId: f.bob}))(t)
	must(api.UpdateResource(ctx, &workmail.UpdateResourceInput{
		OrganizationId: org, ResourceId: f.room, BookingOptions: &types.BookingOptions{AutoAcceptRequests: true},
	}))(t)
	for _, delegate := range []*string{f.bob, f.managers} {
		must(api.DisassociateDelegateFromResource(ctx, &workmail.DisassociateDelegateFromResourceInput{OrganizationId: org, ResourceId: f.room, EntityId: delegate}))(t)
	}
	must(api.DeleteMailboxPermissions(ctx, &workmail.DeleteMailboxPermissionsInput{OrganizationId: org, EntityId: f.ann, GranteeId: f.bob}))(t)
	must(api.DeleteResource(ctx, &workmail.DeleteResourceInput{OrganizationId: org, ResourceId: f.projector}))(t)
	must(api.DeleteAccessControlRule(ctx, &workmail.DeleteAccessControlRuleInput{OrganizationId: org, Name: aws.String("roles")}))(t)
	must(api.DeleteImpersonationRole(ctx, &workmail.DeleteImpersonationRoleInput{OrganizationId: org, ImpersonationRoleId: f.role}))(t)
	must(api.DeleteMobileDeviceAccessRule(ctx, &workmail.DeleteMobileDeviceAccessRuleInput{OrganizationId: org, MobileDeviceAccessRuleId: f.mobileRule}))(t)
	must(api.DeleteMobileDeviceAccessOverride(ctx, &workmail.DeleteMobileDeviceAccessOverrideInput{OrganizationId: org, UserId: f.ann, DeviceId: aws.String("6APMEKPHCP")}))(t)
	must(api.DeleteEmailMonitoringConfiguration(ctx, &workmail.DeleteEmailMonitoringConfigurationInput{OrganizationId: org}))(t)
	must(api.DeleteIdentityProviderConfiguration(ctx, &workmail.DeleteIdentityProviderConfigurationInput{OrganizationId: org}))(t)
	must(api.DeleteAvailabilityConfiguration(ctx, &workmail.DeleteAvailabilityConfigurationInput{OrganizationId: org, DomainName: aws.String("lambda.example")}))(t)
	policy := must(api.GetDefaultRetentionPolicy(ctx, &workmail.GetDefaultRetentionPolicyInput{OrganizationId: org}))(t)
	must(api.DeleteRetentionPolicy(ctx, &workmail.DeleteRetentionPolicyInput{OrganizationId: org, Id: policy.Id}))(t)
	must(api.DeregisterMailDomain(ctx, &workmail.DeregisterMailDomainInput{OrganizationId: org, DomainName: aws.String("pending." + f.domain)}))(t)
	arn := must(api.DescribeOrganization(ctx, &workmail.DescribeOrganizationInput{OrganizationId: org}))(t).ARN
	must(api.UntagResource(ctx, &workmail.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"empty"}}))(t)
}

// TestImportErrors: what the source refuses is one sentence, and changes nothing.
func TestImportErrors(t *testing.T) {
	from, to := harness.Start(t, harness.Options{}), harness.Start(t, harness.Options{})
	org := office(t, from, "errors")
	dead := office(t, from, "dead")
	must(from.WorkMail().DeleteOrganization(t.Context(), &workmail.DeleteOrganizationInput{OrganizationId: &dead, DeleteDirectory: true}))(t)
	reader := from.Verb("key", "create", "--policy-file", policyFile(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"workmail:Describe*","Resource":"*"}]}`))
	var limited []string
	for line := range strings.Lines(reader.Stdout) {
		name, value, _ := strings.Cut(line, " = ")
		limited = append(limited, strings.ToUpper(name)+"="+strings.TrimSpace(value))
	}
	run := func(org string, env ...string) harness.Result {
		return harness.Run(t, harness.Command{Name: harness.Binary(t), Args: importArgs(to, "", "", org)[:], Env: append(sourceEnv(from), env...)})
	}
	for name, c := range map[string]struct {
		result harness.Result
		says   string
	}{
		"unreachable":   {run(org, "AWS_ENDPOINT_URL_WORKMAIL=http://127.0.0.1:1", "AWS_EC2_METADATA_DISABLED=true"), "can't be reached"},
		"wrong secret":  {run(org, "AWS_SECRET_ACCESS_KEY=wrong"), "does not accept the credentials"},
		"access denied": {run(org, limited...), "may not call ListTagsForResource"},
		"unknown":       {run("m-0123456789abcdef0123456789abcdef"), "no such organization"},
		"deleted":       {run(dead), "only an Active one"},
		"no region":     {run(org, "AWS_REGION="), "region"},
		"no key":        {run(org, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_EC2_METADATA_DISABLED=true", "HOME=/nowhere"), "no credentials"},
	} {
		if c.result.Status != 1 || c.result.Stdout != "" || !strings.Contains(c.result.Stderr, c.says) || strings.Count(c.result.Stderr, "\n") != 1 {
			t.Errorf("%s: %s", name, c.result)
		}
	}
	if list := must(to.WorkMail().ListOrganizations(t.Context(), &workmail.ListOrganizationsInput{}))(t); len(list.OrganizationSummaries) != 0 {
		t.Errorf("an import that failed made %v", list.OrganizationSummaries)
	}
	// What is here already under the alias, or is the source itself, is left alone.
	office(t, to, "errors")
	if r := run(org); r.Status != 1 || !strings.Contains(r.Stderr, "alias") {
		t.Errorf("a taken alias: %s", r)
	}
	self, _ := importWorkMail(t, from, from, "", "", org)
	if self.Status != 1 || !strings.Contains(self.Stderr, "not made by an import") {
		t.Errorf("import into the source itself: %s", self)
	}
}

func policyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// populous makes an organisation of many users.
func populous(t *testing.T, s *harness.Server, alias string, users int) string {
	t.Helper()
	org, api := office(t, s, alias), s.WorkMail()
	names := make(chan string)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for name := range names {
				u, err := api.CreateUser(t.Context(), &workmail.CreateUserInput{OrganizationId: &org, Name: &name, DisplayName: &name})
				if err == nil {
					_, err = api.RegisterToWorkMail(t.Context(), &workmail.RegisterToWorkMailInput{
						OrganizationId: &org, EntityId: u.UserId, Email: aws.String(name + "@" + alias + ".awsapps.com"),
					})
				}
				if err != nil {
					t.Errorf("user %s: %v", name, err)
				}
			}
		})
	}
	for i := range users {
		names <- fmt.Sprintf("user%04d", i)
	}
	close(names)
	workers.Wait()
	return org
}

// TestImportResumes kills the import half way, then the server that it works beside, and goes on.
func TestImportResumes(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		const users = 400
		from := harness.Start(t, harness.Options{})
		to := harness.Start(t, harness.Options{DatabaseURL: url})
		org := populous(t, from, "crowd", users)
		for _, victim := range []string{"import", "server"} {
			cmd := exec.Command(harness.Binary(t), importArgs(to, url, "", org)...)
			cmd.Env = append(os.Environ(), sourceEnv(from)...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// A batch of the import that was killed may come to its end yet: another one has more than that.
			before := usersOf(t, to, org)
			harness.Eventually(t, "more users are here", func() bool { return usersOf(t, to, org) > before+migration.BatchItems })
			if victim == "import" {
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			} else {
				to.Kill()
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the import ended before it was killed: there are too few users")
			}
			if victim == "server" {
				if !strings.Contains(stderr.String(), "run it again to go on") {
					t.Errorf("the import whose server was killed said %s", &stderr)
				}
				to.Start()
			}
			t.Logf("the %s was killed when %d of %d users were made", victim, usersOf(t, to, org), users)
		}
		rest, r := importWorkMail(t, from, to, url, "", org)
		if rest.Status != 0 || r.did() == 0 || r.did() > 3*users {
			t.Errorf("import after the kills: %s\n%+v", rest, r)
		}
		alike(t, look(t, from.WorkMail(), &org), look(t, to.WorkMail(), &org))
	})
}

// usersOf counts the users of an organisation that may not be there yet.
func usersOf(t *testing.T, s *harness.Server, org string) (n int) {
	t.Helper()
	for pages := workmail.NewListUsersPaginator(s.WorkMail(), &workmail.ListUsersInput{OrganizationId: &org}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		var gone *types.OrganizationNotFoundException
		if errors.As(err, &gone) {
			return 0
		}
		n += len(must(page, err)(t).Users)
	}
	return n
}
