package awsapi_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

func (s *story) permissions() {
	w := s.world
	put := func(owner, grantee string, values ...types.PermissionType) *workmail.PutMailboxPermissionsInput {
		return &workmail.PutMailboxPermissionsInput{OrganizationId: &s.org, EntityId: &owner, GranteeId: &grantee, PermissionValues: values}
	}
	must(w, w.PutMailboxPermissions, put(s.ann, "bob@acme.awsapps.com", types.PermissionTypeFullAccess))
	must(w, w.PutMailboxPermissions, put("ann", s.bob, types.PermissionTypeSendAs, types.PermissionTypeSendOnBehalf))
	must(w, w.PutMailboxPermissions, put("ann", "inner", types.PermissionTypeFullAccess))
	for _, bad := range []*workmail.PutMailboxPermissionsInput{
		put(s.ann, s.ann, types.PermissionTypeSendAs), put(s.ann, s.bob), put("all@acme.awsapps.com", s.bob, types.PermissionTypeFullAccess),
	} {
		if bad.PermissionValues == nil {
			bad.PermissionValues = []types.PermissionType{}
		}
		refused[*types.InvalidParameterException](w, w.PutMailboxPermissions, bad)
	}
	refused[*types.EntityNotFoundException](w, w.PutMailboxPermissions, put(nobody, s.bob, types.PermissionTypeSendAs))
	refused[*types.EntityNotFoundException](w, w.PutMailboxPermissions, put(s.ann, nobody, types.PermissionTypeSendAs))
	refused[*types.EntityStateException](w, w.PutMailboxPermissions, put("by-role-remote_user", s.bob, types.PermissionTypeSendAs))

	list := func(token *string) *workmail.ListMailboxPermissionsInput {
		return &workmail.ListMailboxPermissionsInput{OrganizationId: &s.org, EntityId: &s.ann, MaxResults: aws.Int32(1), NextToken: token}
	}
	page := must(w, w.ListMailboxPermissions, list(nil))
	rest := must(w, w.ListMailboxPermissions, list(page.NextToken))
	got := map[string]types.Permission{}
	for _, p := range slices.Concat(page.Permissions, rest.Permissions) {
		got[*p.GranteeId] = p
	}
	bob := got[s.bob]
	if len(got) != 2 || bob.GranteeType != types.MemberTypeUser || !slices.Equal(bob.PermissionValues, []types.PermissionType{types.PermissionTypeSendAs, types.PermissionTypeSendOnBehalf}) {
		w.t.Errorf("the permissions are %+v", got)
	}
	refused[*types.EntityNotFoundException](w, w.ListMailboxPermissions, &workmail.ListMailboxPermissionsInput{OrganizationId: &s.org, EntityId: str(nobody)})

	drop := func(owner, grantee string) *workmail.DeleteMailboxPermissionsInput {
		return &workmail.DeleteMailboxPermissionsInput{OrganizationId: &s.org, EntityId: &owner, GranteeId: &grantee}
	}
	must(w, w.DeleteMailboxPermissions, drop(s.ann, s.bob))
	must(w, w.DeleteMailboxPermissions, drop(s.ann, s.bob))
	refused[*types.EntityNotFoundException](w, w.DeleteMailboxPermissions, drop(nobody, s.bob))
	if page = must(w, w.ListMailboxPermissions, list(nil)); len(page.Permissions) != 1 || page.Permissions[0].GranteeType != types.MemberTypeGroup {
		w.t.Errorf("the permissions are %+v", page)
	}
	gone := *must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &s.org, Name: str("leaving"), DisplayName: str("L")}).UserId
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: &gone})
	refused[*types.EntityStateException](w, w.DeleteMailboxPermissions, drop(s.ann, gone))
}

func (s *story) tags() {
	w := s.world
	tag := func(arn string, tags ...types.Tag) *workmail.TagResourceInput {
		return &workmail.TagResourceInput{ResourceARN: &arn, Tags: tags}
	}
	of := func(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }
	must(w, w.TagResource, tag(s.arn, of("team", "red"), of("cost", "")))
	must(w, w.TagResource, tag(s.arn, of("team", "blue")))
	list := must(w, w.ListTagsForResource, &workmail.ListTagsForResourceInput{ResourceARN: &s.arn})
	if len(list.Tags) != 2 || *list.Tags[0].Key != "cost" || *list.Tags[0].Value != "" || *list.Tags[1].Key != "team" || *list.Tags[1].Value != "blue" {
		w.t.Errorf("the tags are %+v", list.Tags)
	}
	unknown := "arn:aws:workmail:eu-west-1:111122223333:organization/" + nowhere
	refused[*types.ResourceNotFoundException](w, w.TagResource, tag(unknown, of("a", "b")))
	refused[*types.ResourceNotFoundException](w, w.ListTagsForResource, &workmail.ListTagsForResourceInput{ResourceARN: &unknown})
	refused[*types.ResourceNotFoundException](w, w.UntagResource, &workmail.UntagResourceInput{ResourceARN: &unknown, TagKeys: []string{"a"}})
	refused[*types.InvalidParameterException](w, w.TagResource, tag(s.arn, of("aws:mine", "x")))
	var many []types.Tag
	for i := range 49 {
		many = append(many, of(fmt.Sprint("k", i), "v"))
	}
	refused[*types.TooManyTagsException](w, w.TagResource, tag(s.arn, many...))
	must(w, w.UntagResource, &workmail.UntagResourceInput{ResourceARN: &s.arn, TagKeys: []string{"cost", "never"}})
	if list = must(w, w.ListTagsForResource, &workmail.ListTagsForResourceInput{ResourceARN: &s.arn}); len(list.Tags) != 1 {
		w.t.Errorf("the tags are %+v", list.Tags)
	}
}

// goneOrganizations asks every operation for an organisation that is not there, one that is deleted, and a malformed one.
func (s *story) goneOrganizations() {
	w := s.world
	failed := w.organization("failed")
	// What could make a creation fail is refused at once, so that the state has to be set by hand.
	err := w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := w.directory.HoldTx(ctx, tx, directory.OrgID(failed))
		if err != nil {
			return err
		}
		_, err = w.directory.SetStateTx(ctx, tx, o, directory.OrgActive, directory.OrgFailed, "the cause")
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if o := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: &failed}); *o.State != "Failed" || *o.ErrorMessage != "the cause" {
		w.t.Errorf("the organisation is %+v", o)
	}
	must(w, w.ListOrganizations, &workmail.ListOrganizationsInput{})
	refused[*types.LimitExceededException](w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("seventh"), DirectoryId: str(externalID)})
	remove := func(force bool) *workmail.DeleteOrganizationInput {
		return &workmail.DeleteOrganizationInput{OrganizationId: &s.org, DeleteDirectory: true, ForceDelete: force, DeleteIdentityCenterApplication: true, ClientToken: str(fmt.Sprint(force))}
	}
	refused[*types.OrganizationStateException](w, w.DeleteOrganization, remove(false))
	if out := must(w, w.DeleteOrganization, remove(true)); *out.State != "Deleting" || *out.OrganizationId != s.org {
		w.t.Errorf("the deletion answered %+v", out)
	}
	w.settle()
	w.mustBe(s.org, directory.OrgDeleted)
	if out := must(w, w.DeleteOrganization, remove(true)); *out.State != "Deleting" {
		w.t.Errorf("the same token answers %+v", out)
	}
	if o := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: &s.org}); *o.State != "Deleted" {
		w.t.Errorf("the deleted organisation is %+v", o)
	}
	for _, h := range w.ofOrganizations() {
		in := inputs(w.t, h.Op, scene{org: nowhere, user: nobody, other: nobody, group: nobody, resource: noRoom, arn: s.arn, application: s.application})
		if h.Op.Lists(contract.OrganizationNotFoundException) {
			w.expect(h.Op, in, contract.OrganizationNotFoundException)
		}
		if h.Op.Lists(contract.OrganizationStateException) {
			if _, ok := in["OrganizationId"]; ok {
				in["OrganizationId"] = s.org
			}
			w.expect(h.Op, in, contract.OrganizationStateException)
		}
		if _, ok := in["OrganizationId"]; ok {
			in["OrganizationId"] = "x"
			w.expect(h.Op, in, h.Op.BreachCode())
		}
	}
}

func (w *world) expect(op *contract.Op, in map[string]any, want contract.ErrorCode) {
	w.t.Helper()
	if got := w.call("ADMIN", op.Name, in); got.code != string(want) {
		w.t.Errorf("%s %v: got %d %s %s, want %s", op.Name, in, got.status, got.code, got.body, want)
	}
}

// externalDirectories lets the directory of an organisation fail in each of its ways, under every operation that lists it.
func (s *story) externalDirectories() {
	w := s.world
	org := *must(w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("external"), DirectoryId: str(externalID)}).OrganizationId
	w.settle()
	if o := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: &org}); *o.DirectoryType != "ADConnector" || o.InteroperabilityEnabled || *o.DirectoryId != externalID {
		w.t.Errorf("the organisation is %+v", o)
	}
	refused[*types.DirectoryInUseException](w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("same"), DirectoryId: str(externalID)})
	user := must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: str("eve"), DisplayName: str("Eve")}).UserId
	member := must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: str("member"), DisplayName: str("M")}).UserId
	group := must(w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &org, Name: str("externals")}).GroupId
	room := must(w, w.CreateResource, &workmail.CreateResourceInput{OrganizationId: &org, Name: str("hall"), Type: types.ResourceTypeRoom}).ResourceId
	enabled := must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: str("enabled"), DisplayName: str("On")}).UserId
	must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &org, EntityId: enabled, Email: str("on@external.awsapps.com")})
	here := scene{org: org, user: *user, other: *member, group: *group, resource: *room, arn: s.arn, domain: "external.awsapps.com"}
	for want, fails := range map[contract.ErrorCode]error{
		contract.DirectoryUnavailableException:                 fault.New(fault.DirectoryDown, fault.Directory, "the directory does not answer"),
		contract.DirectoryServiceAuthenticationFailedException: fault.New(fault.DirectoryRefusedUs, fault.Directory, "the directory refused us"),
		contract.UnsupportedOperationException:                 fault.New(fault.Unsupported, fault.Directory, "the directory can't be written"),
	} {
		w.external.fails = fails
		for _, h := range w.ofOrganizations() {
			at := here
			if h.Op.Name == "UpdatePrimaryEmailAddress" { // asks no directory for one who has no address
				at.user = *enabled
			}
			_, never := neverRaised[h.Op.Name+" "+string(want)]
			never = never || h.Op.Name == "CreateOrganization" || want == contract.UnsupportedOperationException && slices.Contains(ofExchange, h.Op.Name)
			if h.Op.Lists(want) && !never {
				w.expect(h.Op, inputs(w.t, h.Op, at), want)
			}
		}
		w.external.fails = nil
	}
	must(w, w.DeleteOrganization, &workmail.DeleteOrganizationInput{OrganizationId: &org, DeleteDirectory: true, ForceDelete: true})
	w.settle()
}

// ofExchange are operations that ask no directory, and are refused where an Exchange server masters what they are about.
var ofExchange = []string{
	"AssociateDelegateToResource", "DescribeResource", "DisassociateDelegateFromResource", "ListResourceDelegates", "ListResources", "UpdateGroup",
}

// interoperability lets an organisation work together with Exchange, where its resources and groups then are.
func (s *story) interoperability() {
	w := s.world
	org := *must(w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("exchange"), DirectoryId: str(exchangeID), EnableInteroperability: true}).OrganizationId
	w.settle()
	if o := must(w, w.DescribeOrganization, &workmail.DescribeOrganizationInput{OrganizationId: &org}); !o.InteroperabilityEnabled {
		w.t.Errorf("the organisation is %+v", o)
	}
	refused[*types.InvalidParameterException](w, w.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("alone"), EnableInteroperability: true})
	group := *must(w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &org, Name: str("externals")}).GroupId
	here := scene{org: org, user: nobody, other: nobody, group: group, resource: noRoom}
	for _, h := range w.ofOrganizations() {
		if slices.Contains(append(ofExchange, "CreateResource"), h.Op.Name) {
			w.expect(h.Op, inputs(w.t, h.Op, here), contract.UnsupportedOperationException)
		}
	}
}
