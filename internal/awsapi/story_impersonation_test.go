package awsapi_test

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/identity"
)

func (s *story) impersonation() {
	w := s.world
	rule := func(id string, effect types.AccessEffect, targets ...string) types.ImpersonationRule {
		return types.ImpersonationRule{ImpersonationRuleId: &id, Effect: effect, TargetUsers: targets}
	}
	create := func(rules ...types.ImpersonationRule) *workmail.CreateImpersonationRoleInput {
		return &workmail.CreateImpersonationRoleInput{
			OrganizationId: &s.org, Name: str("importer"), Type: types.ImpersonationRoleTypeReadOnly, Description: str("Reads"), Rules: append([]types.ImpersonationRule{}, rules...),
		}
	}
	full := rule("all", types.AccessEffectAllow, "ann", s.bob)
	full.Name, full.Description, full.NotTargetUsers = str("All"), str("All of us"), []string{"bob@acme.awsapps.com"}
	first := create(full, rule("not-bob", types.AccessEffectDeny, s.bob))
	first.ClientToken = str("role")
	role := *must(w, w.CreateImpersonationRole, first).ImpersonationRoleId
	if again := *must(w, w.CreateImpersonationRole, first).ImpersonationRoleId; again != role {
		w.t.Errorf("the same token made %s and %s", role, again)
	}
	get := func() *workmail.GetImpersonationRoleOutput {
		return must(w, w.GetImpersonationRole, &workmail.GetImpersonationRoleInput{OrganizationId: &s.org, ImpersonationRoleId: &role})
	}
	r := get()
	if *r.ImpersonationRoleId != role || *r.Name != "importer" || r.Type != types.ImpersonationRoleTypeReadOnly || *r.Description != "Reads" ||
		len(r.Rules) != 2 || *r.Rules[0].ImpersonationRuleId != "all" || *r.Rules[0].Name != "All" || *r.Rules[0].Description != "All of us" ||
		!slices.Equal(r.Rules[0].TargetUsers, []string{s.ann, s.bob}) || !slices.Equal(r.Rules[0].NotTargetUsers, []string{s.bob}) ||
		r.Rules[1].Effect != types.AccessEffectDeny || r.Rules[1].Name != nil || r.DateCreated == nil || r.DateModified == nil {
		w.t.Errorf("the role is %+v", r)
	}
	effect := func(user string) *workmail.GetImpersonationRoleEffectInput {
		return &workmail.GetImpersonationRoleEffectInput{OrganizationId: &s.org, ImpersonationRoleId: &role, TargetUser: &user}
	}
	if got := must(w, w.GetImpersonationRoleEffect, effect("ann@acme.awsapps.com")); got.Effect != types.AccessEffectAllow ||
		got.Type != types.ImpersonationRoleTypeReadOnly || len(got.MatchedRules) != 1 || *got.MatchedRules[0].ImpersonationRuleId != "all" || *got.MatchedRules[0].Name != "All" {
		w.t.Errorf("for ann: %+v", got)
	}
	if got := must(w, w.GetImpersonationRoleEffect, effect(s.bob)); got.Effect != types.AccessEffectDeny || len(got.MatchedRules) != 1 || got.MatchedRules[0].Name != nil {
		w.t.Errorf("for bob: %+v", got)
	}
	refused[*types.EntityNotFoundException](w, w.GetImpersonationRoleEffect, effect(nobody))
	refused[*types.EntityStateException](w, w.GetImpersonationRoleEffect, effect("by-role-remote_user"))

	assume := &workmail.AssumeImpersonationRoleInput{OrganizationId: &s.org, ImpersonationRoleId: &role}
	out := must(w, w.AssumeImpersonationRole, assume)
	if *out.ExpiresIn != 900 {
		w.t.Errorf("the token lives for %d s", *out.ExpiresIn)
	}
	how := identity.Circumstances{Protocol: "EWS"}
	if _, err := w.impersonation.Act(w.ctx, *out.Token, "ann@acme.awsapps.com", true, how); err == nil {
		w.t.Error("a READ_ONLY role may write")
	}
	update := func(rules ...types.ImpersonationRule) *workmail.UpdateImpersonationRoleInput {
		return &workmail.UpdateImpersonationRoleInput{
			OrganizationId: &s.org, ImpersonationRoleId: &role, Name: str("new"), Type: types.ImpersonationRoleTypeFullAccess, Rules: append([]types.ImpersonationRule{}, rules...),
		}
	}
	must(w, w.UpdateImpersonationRole, update(rule("ann", types.AccessEffectAllow, "ann")))
	if r = get(); *r.Name != "new" || r.Type != types.ImpersonationRoleTypeFullAccess || r.Description != nil || len(r.Rules) != 1 {
		w.t.Errorf("the updated role is %+v", r)
	}
	// In a story without access rules nobody comes in; one for the role alone lets it act for her.
	if _, err := w.impersonation.Act(w.ctx, *out.Token, "ann@acme.awsapps.com", true, how); err == nil {
		w.t.Error("it acts although no access rule lets it in")
	}
	must(w, w.PutAccessControlRule, &workmail.PutAccessControlRuleInput{
		OrganizationId: &s.org, Name: str("importer"), Effect: types.AccessControlRuleEffectAllow, Description: str("Only it"),
		ImpersonationRoleIds: []string{role}, NotImpersonationRoleIds: []string{role},
	})
	if l := must(w, w.ListAccessControlRules, &workmail.ListAccessControlRulesInput{OrganizationId: &s.org}); !slices.Equal(l.Rules[0].ImpersonationRoleIds, []string{role}) ||
		!slices.Equal(l.Rules[0].NotImpersonationRoleIds, []string{role}) {
		w.t.Errorf("the access rule is %+v", l.Rules)
	}
	must(w, w.PutAccessControlRule, &workmail.PutAccessControlRuleInput{
		OrganizationId: &s.org, Name: str("importer"), Effect: types.AccessControlRuleEffectAllow, Description: str("Only it"), ImpersonationRoleIds: []string{role},
	})
	if got := must(w, w.GetAccessControlEffect, &workmail.GetAccessControlEffectInput{
		OrganizationId: &s.org, Action: str("EWS"), IpAddress: str("192.0.2.1"), ImpersonationRoleId: &role,
	}); got.Effect != types.AccessControlRuleEffectAllow || !slices.Equal(got.MatchedRules, []string{"importer"}) {
		w.t.Errorf("the role's access is %+v", got)
	}
	if acting, err := w.impersonation.Act(w.ctx, *out.Token, "ann@acme.awsapps.com", true, how); err != nil || string(acting.User.ID) != s.ann {
		w.t.Errorf("it acts for %+v, %v", acting, err)
	}

	refused[*types.EntityNotFoundException](w, w.CreateImpersonationRole, create(rule("x", types.AccessEffectAllow, nobody)))
	refused[*types.EntityStateException](w, w.CreateImpersonationRole, create(rule("x", types.AccessEffectAllow, "by-role-remote_user")))
	refused[*types.InvalidParameterException](w, w.CreateImpersonationRole, create(rule("x", types.AccessEffectAllow), rule("x", types.AccessEffectDeny)))
	refused[*types.EntityNotFoundException](w, w.UpdateImpersonationRole, update(rule("x", types.AccessEffectAllow, nobody)))
	refused[*types.EntityStateException](w, w.UpdateImpersonationRole, update(rule("x", types.AccessEffectAllow, "by-role-remote_user")))
	for i := range 19 {
		in := create()
		in.Name = str(fmt.Sprint("role ", i))
		must(w, w.CreateImpersonationRole, in)
	}
	refused[*types.LimitExceededException](w, w.CreateImpersonationRole, create())
	page := must(w, w.ListImpersonationRoles, &workmail.ListImpersonationRolesInput{OrganizationId: &s.org, MaxResults: aws.Int32(11)})
	rest := must(w, w.ListImpersonationRoles, &workmail.ListImpersonationRolesInput{OrganizationId: &s.org, NextToken: page.NextToken})
	if len(page.Roles) != 11 || len(rest.Roles) != 9 || rest.NextToken != nil {
		w.t.Errorf("the pages have %d and %d roles", len(page.Roles), len(rest.Roles))
	}
	must(w, w.DeleteImpersonationRole, &workmail.DeleteImpersonationRoleInput{OrganizationId: &s.org, ImpersonationRoleId: &role})
	must(w, w.DeleteImpersonationRole, &workmail.DeleteImpersonationRoleInput{OrganizationId: &s.org, ImpersonationRoleId: &role})
	refused[*types.ResourceNotFoundException](w, w.GetImpersonationRole, &workmail.GetImpersonationRoleInput{OrganizationId: &s.org, ImpersonationRoleId: &role})
	refused[*types.ResourceNotFoundException](w, w.UpdateImpersonationRole, update())
	refused[*types.ResourceNotFoundException](w, w.GetImpersonationRoleEffect, effect(s.ann))
	refused[*types.ResourceNotFoundException](w, w.AssumeImpersonationRole, assume)
	if _, err := w.impersonation.Act(w.ctx, *out.Token, "ann@acme.awsapps.com", false, how); err == nil {
		w.t.Error("a deleted role acts")
	}
}
