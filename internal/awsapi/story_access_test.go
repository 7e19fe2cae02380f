package awsapi_test

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

func (s *story) access() {
	w := s.world
	put := func(in workmail.PutAccessControlRuleInput) *workmail.PutAccessControlRuleInput {
		in.OrganizationId, in.Effect = &s.org, types.AccessControlRuleEffectDeny
		if in.Description == nil {
			in.Description = str("A rule")
		}
		return &in
	}
	list := func() []types.AccessControlRule {
		return must(w, w.ListAccessControlRules, &workmail.ListAccessControlRulesInput{OrganizationId: &s.org}).Rules
	}
	first := list()
	if len(first) != 1 || *first[0].Name != "default" || first[0].Effect != types.AccessControlRuleEffectAllow ||
		*first[0].Description != "Default WorkMail Rule" || first[0].DateCreated.Unix() != 0 || first[0].DateModified.Unix() != 0 || first[0].Actions != nil {
		w.t.Errorf("the first rules are %+v", first)
	}
	must(w, w.PutAccessControlRule, put(workmail.PutAccessControlRuleInput{
		Name: str("office"), Description: str("Only from the office"), NotIpRanges: []string{"192.0.2.0/24"}, Actions: []string{"IMAP", "SMTP"},
		UserIds: []string{s.ann}, NotUserIds: []string{s.bob}, NotActions: []string{"EWS"}, IpRanges: []string{"0.0.0.0/0"},
	}))
	office := list()[1]
	if *office.Name != "office" || office.Effect != types.AccessControlRuleEffectDeny || *office.Description != "Only from the office" ||
		!slices.Equal(office.NotIpRanges, []string{"192.0.2.0/24"}) || !slices.Equal(office.IpRanges, []string{"0.0.0.0/0"}) ||
		!slices.Equal(office.Actions, []string{"IMAP", "SMTP"}) || !slices.Equal(office.NotActions, []string{"EWS"}) ||
		!slices.Equal(office.UserIds, []string{s.ann}) || !slices.Equal(office.NotUserIds, []string{s.bob}) || office.DateCreated.Unix() == 0 {
		w.t.Errorf("the rule is %+v", office)
	}
	effect := func(action, address, user string) *workmail.GetAccessControlEffectInput {
		return &workmail.GetAccessControlEffectInput{OrganizationId: &s.org, Action: &action, IpAddress: &address, UserId: &user}
	}
	for _, c := range []struct {
		action, address, user string
		want                  types.AccessControlRuleEffect
		by                    string
	}{
		{"IMAP", "198.51.100.1", s.ann, types.AccessControlRuleEffectDeny, "office"},
		{"IMAP", "192.0.2.1", s.ann, types.AccessControlRuleEffectAllow, "default"},
		{"WebMail", "198.51.100.1", s.ann, types.AccessControlRuleEffectAllow, "default"},
		{"IMAP", "198.51.100.1", s.bob, types.AccessControlRuleEffectAllow, "default"},
	} {
		got := must(w, w.GetAccessControlEffect, effect(c.action, c.address, c.user))
		if got.Effect != c.want || !slices.Equal(got.MatchedRules, []string{c.by}) {
			w.t.Errorf("%s from %s: %s by %q", c.action, c.address, got.Effect, got.MatchedRules)
		}
	}
	refused[*types.EntityNotFoundException](w, w.GetAccessControlEffect, effect("IMAP", "192.0.2.1", nobody))
	refused[*types.InvalidParameterException](w, w.GetAccessControlEffect, effect("imap", "192.0.2.1", s.ann))
	refused[*types.InvalidParameterException](w, w.GetAccessControlEffect, effect("IMAP", "2001:db8::1", s.ann))
	ofRole := effect("EWS", "192.0.2.1", s.ann)
	ofRole.ImpersonationRoleId = str("no-role")
	refused[*types.InvalidParameterException](w, w.GetAccessControlEffect, ofRole)
	ofRole.UserId = nil
	refused[*types.ResourceNotFoundException](w, w.GetAccessControlEffect, ofRole)
	ofRole.Action = str("IMAP")
	refused[*types.InvalidParameterException](w, w.GetAccessControlEffect, ofRole)

	refused[*types.InvalidParameterException](w, w.PutAccessControlRule, put(workmail.PutAccessControlRuleInput{Name: str("a"), Actions: []string{"POP3"}}))
	refused[*types.InvalidParameterException](w, w.PutAccessControlRule, put(workmail.PutAccessControlRuleInput{Name: str("a"), IpRanges: []string{"300.0.0.0/8"}}))
	refused[*types.EntityNotFoundException](w, w.PutAccessControlRule, put(workmail.PutAccessControlRuleInput{Name: str("a"), UserIds: []string{nobody}}))
	refused[*types.ResourceNotFoundException](w, w.PutAccessControlRule, put(workmail.PutAccessControlRuleInput{Name: str("a"), ImpersonationRoleIds: []string{"no-role"}}))
	for i := range 8 {
		must(w, w.PutAccessControlRule, put(workmail.PutAccessControlRuleInput{Name: str(fmt.Sprint("rule-", i)), Actions: []string{"ActiveSync"}}))
	}
	refused[*types.LimitExceededException](w, w.PutAccessControlRule, put(workmail.PutAccessControlRuleInput{Name: str("eleventh")}))
	for _, r := range append(list(), first[0]) { // the last is gone by then
		must(w, w.DeleteAccessControlRule, &workmail.DeleteAccessControlRuleInput{OrganizationId: &s.org, Name: r.Name})
	}
	got := must(w, w.GetAccessControlEffect, effect("IMAP", "192.0.2.1", s.ann))
	if len(list()) != 0 || got.Effect != types.AccessControlRuleEffectDeny || got.MatchedRules == nil || len(got.MatchedRules) != 0 {
		w.t.Errorf("without rules: %+v", got)
	}
}
