package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/test/harness"
)

// last is the newest message in a user's inbox.
func last(t *testing.T, c *harness.IMAP) string {
	t.Helper()
	c.Do("SELECT INBOX")
	_, text, _ := strings.Cut(strings.Join(c.Do("FETCH * (BODY.PEEK[])"), ""), "BODY[] ")
	return text
}

// field is a header field of a message, empty for none.
func field(text, name string) string {
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if value, ok := strings.CutPrefix(strings.ToLower(line), strings.ToLower(name)+": "); ok {
			return value
		}
	}
	return ""
}

// TestGroupsAndSendingAsOthers hands in mail by swaks and reads it back by IMAP: as and on behalf of users, groups and resources, by rights that nested
// groups have; to groups, to addresses with tags, and from them.
func TestGroupsAndSendingAsOthers(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	org := office(t, s, "firm", "ann", "bob", "boss")
	api, at := s.WorkMail(), "@firm.awsapps.com"
	ok := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	register := func(id *string, name string) *string {
		ok(api.RegisterToWorkMail(t.Context(), &workmail.RegisterToWorkMailInput{OrganizationId: &org, EntityId: id, Email: aws.String(name + at)}))
		return id
	}
	group := func(name string, members ...*string) *string {
		out, err := api.CreateGroup(t.Context(), &workmail.CreateGroupInput{OrganizationId: &org, Name: &name})
		ok(out, err)
		for _, m := range members {
			ok(api.AssociateMemberToGroup(t.Context(), &workmail.AssociateMemberToGroupInput{OrganizationId: &org, GroupId: out.GroupId, MemberId: m}))
		}
		return register(out.GroupId, name)
	}
	ann, bob, boss := entity(t, s, org, "ann"), entity(t, s, org, "bob"), entity(t, s, org, "boss")
	office := group("office", group("desk", ann))
	sales, support := group("sales", bob), group("support", bob)
	room, err := api.CreateResource(t.Context(), &workmail.CreateResourceInput{OrganizationId: &org, Name: aws.String("room"), Type: types.ResourceTypeRoom})
	ok(room, err)
	register(room.ResourceId, "room")
	grant := func(owner, grantee *string, right types.PermissionType) {
		ok(api.PutMailboxPermissions(t.Context(), &workmail.PutMailboxPermissionsInput{
			OrganizationId: &org, EntityId: owner, GranteeId: grantee, PermissionValues: []types.PermissionType{right},
		}))
	}
	grant(boss, office, types.PermissionTypeSendAs)
	grant(sales, ann, types.PermissionTypeSendAs)
	grant(support, office, types.PermissionTypeSendOnBehalf)
	grant(room.ResourceId, office, types.PermissionTypeSendOnBehalf)
	grant(bob, ann, types.PermissionTypeFullAccess)

	submit := []string{"--server", s.Addr("submissions"), "--tls-on-connect", "--auth", "PLAIN", "--auth-user", "ann" + at, "--auth-password", password, "--to", "bob" + at}
	swaks := func(args ...string) harness.Result {
		return harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: args})
	}
	box := s.IMAP("bob"+at, password)
	const annSender = `"ann" <ann@firm.awsapps.com>`
	for _, c := range []struct{ path, from, sender, wantSender, wantPath string }{
		{"boss", "boss", "", "", "boss"},
		{"ann", "boss", "", "", "boss"}, // the reverse-path would tell
		{"ann", "boss", "ann", "", "boss"},
		{"boss", "boss", "boss", "boss" + at, "boss"},
		{"sales", "sales", "", "", "sales"},
		{"ann", "support", "", annSender, "ann"},
		{"support", "support", "ann", "ann" + at, "support"},
		{"ann", "room", "", annSender, "ann"},
	} {
		args := []string{"--from", c.path + at, "--h-From", "The " + c.from + " <" + c.from + at + ">"}
		if c.sender != "" {
			args = append(args, "--header", "Sender: "+c.sender+at)
		}
		if r := swaks(slices.Concat(submit, args)...); r.Status != 0 {
			t.Errorf("%+v: %s", c, r)
			continue
		}
		got := last(t, box)
		if sender, path := field(got, "Sender"), field(got, "Return-Path"); sender != c.wantSender || path != "<"+c.wantPath+at+">" || field(got, "From") != "the "+c.from+" <"+c.from+at+">" {
			t.Errorf("%+v: Sender %q, Return-Path %q in %s", c, sender, path, got)
		}
		if head, _, _ := strings.Cut(got, "\r\n\r\n"); c.wantSender != annSender && !strings.Contains(c.wantSender, "ann") && strings.Contains(head, "ann"+at) {
			t.Errorf("%+v: the message tells who sent it: %s", c, got)
		}
	}
	for from, header := range map[string]string{
		"bob" + at:      "From: bob" + at,      // full access alone is no right to send
		"ann" + at:      "From: bob" + at,      // nor behind a reverse-path of one's own
		"ann+tag" + at:  "From: ann" + at,      // mail comes to addresses with tags, and goes from none
		"boss" + at:     "From: boss+tag" + at, // also of others
		"office" + at:   "From: office" + at,   // a member is not the group
		"desk" + at:     "From: nobody" + at,   // whoever that is
		"x@far.example": "From: x@far.example", // or elsewhere
	} {
		if r := swaks(slices.Concat(submit, []string{"--from", from, "--header", header})...); r.Status == 0 || !strings.Contains(r.Stdout, "5.7.1") {
			t.Errorf("from %s with %s: %s", from, header, r)
		}
	}

	outside := []string{"--server", s.Addr("smtp"), "--h-From", "x@far.example"}
	for _, c := range []struct{ from, to, delivered, list string }{
		{"x@far.example", "bob+shop" + at, "bob+shop" + at, ""},
		{"x@far.example", "sales" + at, "bob" + at, "<sales.firm.awsapps.com>"},
		{"x@far.example", "sales+shop" + at, "bob" + at, "<sales.firm.awsapps.com>"},
		{"x@far.example", "sales" + at + ",bob" + at, "bob" + at, ""},
		{"<>", "sales" + at, "bob" + at, "<sales.firm.awsapps.com>"}, // a bounce of what was sent as the group
	} {
		if r := swaks(slices.Concat(outside, []string{"--from", c.from, "--to", c.to})...); r.Status != 0 {
			t.Errorf("%+v: %s", c, r)
			continue
		}
		got := last(t, box)
		if delivered, list := field(got, "Delivered-To"), field(got, "List-Id"); delivered != c.delivered || list != c.list || strings.Contains(got, "List-Unsubscribe") {
			t.Errorf("%+v: Delivered-To %q, List-Id %q in %s", c, delivered, list, got)
		}
	}
	s.Check()
}
