package awsapi_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

func (s *story) groups() {
	w := s.world
	newGroup := func(name string) string {
		return *must(w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &s.org, Name: &name, HiddenFromGlobalAddressList: true}).GroupId
	}
	all, inner := newGroup("All of us"), newGroup("inner")
	refused[*types.NameAvailabilityException](w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &s.org, Name: str("Ann")})
	refused[*types.ReservedNameException](w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &s.org, Name: str("guest")})
	refused[*types.InvalidParameterException](w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &s.org, Name: str("\u0416")})
	must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &s.org, EntityId: &all, Email: str("all@acme.awsapps.com")})
	g := must(w, w.DescribeGroup, &workmail.DescribeGroupInput{OrganizationId: &s.org, GroupId: str("all@acme.awsapps.com")})
	if *g.GroupId != all || *g.Name != "All of us" || *g.Email != "all@acme.awsapps.com" || g.State != types.EntityStateEnabled || g.EnabledDate == nil || !g.HiddenFromGlobalAddressList {
		w.t.Errorf("the group is %+v", g)
	}
	refused[*types.EntityNotFoundException](w, w.DescribeGroup, &workmail.DescribeGroupInput{OrganizationId: &s.org, GroupId: &s.ann})
	must(w, w.UpdateGroup, &workmail.UpdateGroupInput{OrganizationId: &s.org, GroupId: &all, HiddenFromGlobalAddressList: aws.Bool(false)})
	must(w, w.UpdateGroup, &workmail.UpdateGroupInput{OrganizationId: &s.org, GroupId: &all})
	refused[*types.EntityNotFoundException](w, w.UpdateGroup, &workmail.UpdateGroupInput{OrganizationId: &s.org, GroupId: str(nobody)})
	if g = must(w, w.DescribeGroup, &workmail.DescribeGroupInput{OrganizationId: &s.org, GroupId: &all}); g.HiddenFromGlobalAddressList {
		w.t.Errorf("the group is %+v", g)
	}
	refused[*types.EntityStateException](w, w.DeleteGroup, &workmail.DeleteGroupInput{OrganizationId: &s.org, GroupId: &all})

	add := func(group, member string) *workmail.AssociateMemberToGroupInput {
		return &workmail.AssociateMemberToGroupInput{OrganizationId: &s.org, GroupId: &group, MemberId: &member}
	}
	for _, member := range []string{s.ann, inner, "bob@acme.awsapps.com", s.ann} {
		must(w, w.AssociateMemberToGroup, add(all, member))
	}
	must(w, w.AssociateMemberToGroup, add(inner, s.ann))
	refused[*types.InvalidParameterException](w, w.AssociateMemberToGroup, add(inner, all))
	refused[*types.EntityNotFoundException](w, w.AssociateMemberToGroup, add(inner, nobody))
	members := must(w, w.ListGroupMembers, &workmail.ListGroupMembersInput{OrganizationId: &s.org, GroupId: &all, MaxResults: aws.Int32(2)})
	if len(members.Members) != 2 || members.NextToken == nil {
		w.t.Fatalf("the first two members are %+v", members)
	}
	rest := must(w, w.ListGroupMembers, &workmail.ListGroupMembersInput{OrganizationId: &s.org, GroupId: &all, MaxResults: aws.Int32(2), NextToken: members.NextToken})
	byID := map[string]types.Member{}
	for _, m := range append(members.Members, rest.Members...) {
		byID[*m.Id] = m
	}
	if len(byID) != 3 || rest.NextToken != nil || byID[s.ann].Type != types.MemberTypeUser || byID[inner].Type != types.MemberTypeGroup ||
		byID[s.ann].State != types.EntityStateEnabled || byID[s.ann].EnabledDate == nil || *byID[s.ann].Name != "ann" {
		w.t.Errorf("the members are %+v", byID)
	}
	refused[*types.InvalidParameterException](w, w.ListGroupMembers, &workmail.ListGroupMembersInput{OrganizationId: &s.org, GroupId: &inner, NextToken: members.NextToken})
	refused[*types.EntityNotFoundException](w, w.ListGroupMembers, &workmail.ListGroupMembersInput{OrganizationId: &s.org, GroupId: str(nobody)})

	of := func(filter *string, token *string) *workmail.ListGroupsForEntityInput {
		return &workmail.ListGroupsForEntityInput{
			OrganizationId: &s.org, EntityId: &s.ann, MaxResults: aws.Int32(1), NextToken: token, Filters: &types.ListGroupsForEntityFilters{GroupNamePrefix: filter},
		}
	}
	mine := must(w, w.ListGroupsForEntity, of(nil, nil))
	if len(mine.Groups) != 1 || *mine.Groups[0].GroupName != "All of us" || *mine.Groups[0].GroupId != all || mine.NextToken == nil {
		w.t.Errorf("the groups are %+v", mine)
	}
	if mine = must(w, w.ListGroupsForEntity, of(str("IN"), nil)); len(mine.Groups) != 1 || *mine.Groups[0].GroupId != inner || mine.NextToken != nil {
		w.t.Errorf("the groups are %+v", mine)
	}
	refused[*types.EntityNotFoundException](w, w.ListGroupsForEntity, &workmail.ListGroupsForEntityInput{OrganizationId: &s.org, EntityId: str(nobody)})
	refused[*types.InvalidParameterException](w, w.ListGroupsForEntity, of(nil, str("x")))

	remove := func(group, member string) *workmail.DisassociateMemberFromGroupInput {
		return &workmail.DisassociateMemberFromGroupInput{OrganizationId: &s.org, GroupId: &group, MemberId: &member}
	}
	must(w, w.DisassociateMemberFromGroup, remove(all, "bob@acme.awsapps.com"))
	must(w, w.DisassociateMemberFromGroup, remove(all, s.bob))
	refused[*types.EntityNotFoundException](w, w.DisassociateMemberFromGroup, remove(all, nobody))
	refused[*types.InvalidParameterException](w, w.DisassociateMemberFromGroup, remove(all, "no spaces"))

	gone := newGroup("gone-group")
	must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &s.org, EntityId: &gone, Email: str("gone@acme.awsapps.com")})
	must(w, w.DeregisterFromWorkMail, &workmail.DeregisterFromWorkMailInput{OrganizationId: &s.org, EntityId: &gone})
	if g = must(w, w.DescribeGroup, &workmail.DescribeGroupInput{OrganizationId: &s.org, GroupId: &gone}); g.DisabledDate == nil {
		w.t.Errorf("the disabled group is %+v", g)
	}
	must(w, w.AssociateMemberToGroup, add(all, gone))
	must(w, w.ListGroupMembers, &workmail.ListGroupMembersInput{OrganizationId: &s.org, GroupId: &all})
	must(w, w.ListGroups, &workmail.ListGroupsInput{OrganizationId: &s.org, MaxResults: aws.Int32(1), Filters: &types.ListGroupsFilters{NamePrefix: str("g")}})
	must(w, w.DeleteGroup, &workmail.DeleteGroupInput{OrganizationId: &s.org, GroupId: &gone})
	must(w, w.DeleteGroup, &workmail.DeleteGroupInput{OrganizationId: &s.org, GroupId: &gone})
	for _, in := range []string{gone} {
		refused[*types.EntityStateException](w, w.UpdateGroup, &workmail.UpdateGroupInput{OrganizationId: &s.org, GroupId: &in, HiddenFromGlobalAddressList: aws.Bool(true)})
		refused[*types.EntityStateException](w, w.AssociateMemberToGroup, add(in, s.ann))
		refused[*types.EntityStateException](w, w.DisassociateMemberFromGroup, remove(in, s.ann))
		refused[*types.EntityStateException](w, w.DisassociateMemberFromGroup, remove(all, in))
		refused[*types.EntityStateException](w, w.ListGroupMembers, &workmail.ListGroupMembersInput{OrganizationId: &s.org, GroupId: &in})
		refused[*types.EntityStateException](w, w.ListGroupsForEntity, &workmail.ListGroupsForEntityInput{OrganizationId: &s.org, EntityId: &in})
	}
	groups := must(w, w.ListGroups, &workmail.ListGroupsInput{OrganizationId: &s.org, MaxResults: aws.Int32(1)})
	if len(groups.Groups) != 1 || *groups.Groups[0].Id != all || *groups.Groups[0].Name != "All of us" || *groups.Groups[0].Email != "all@acme.awsapps.com" ||
		groups.Groups[0].State != types.EntityStateEnabled || groups.Groups[0].EnabledDate == nil || groups.NextToken == nil {
		w.t.Errorf("the groups are %+v", groups)
	}
	for _, f := range []types.ListGroupsFilters{{NamePrefix: str("all OF")}, {PrimaryEmailPrefix: str("ALL@")}, {State: types.EntityStateEnabled}} {
		if groups = must(w, w.ListGroups, &workmail.ListGroupsInput{OrganizationId: &s.org, Filters: &f}); len(groups.Groups) != 1 || *groups.Groups[0].Id != all {
			w.t.Errorf("%+v lists %+v", f, groups.Groups)
		}
	}
	refused[*types.InvalidParameterException](w, w.ListGroups, &workmail.ListGroupsInput{OrganizationId: &s.org, Filters: &types.ListGroupsFilters{NamePrefix: str("a"), State: types.EntityStateEnabled}})
}
