package awsapi_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

const allow, deny = types.MobileDeviceAccessRuleEffectAllow, types.MobileDeviceAccessRuleEffectDeny

func (s *story) mobileRules() {
	w := s.world
	effect := func(in workmail.GetMobileDeviceAccessEffectInput) (types.MobileDeviceAccessRuleEffect, []string) {
		in.OrganizationId = &s.org
		out := must(w, w.GetMobileDeviceAccessEffect, &in)
		var names []string
		for _, r := range out.MatchedRules {
			names = append(names, *r.Name)
			if *r.MobileDeviceAccessRuleId == "" {
				w.t.Errorf("a matched rule is %+v", r)
			}
		}
		return out.Effect, names
	}
	iPhone := workmail.GetMobileDeviceAccessEffectInput{
		DeviceType: str("iPhone"), DeviceModel: str("iPhone10C1"), DeviceOperatingSystem: str("iOS 12.3.1 16F203"), DeviceUserAgent: str("iOS/14.2 (18B92) exchangesyncd/1.0"),
	}
	if e, by := effect(iPhone); e != allow || !slices.Equal(by, []string{"default"}) {
		w.t.Errorf("at first: %s by %q", e, by)
	}
	create := &workmail.CreateMobileDeviceAccessRuleInput{
		OrganizationId: &s.org, Name: str("No old ones"), Description: str("They leak"), Effect: deny, ClientToken: str("mobile"),
		DeviceTypes: []string{"iphone"}, NotDeviceTypes: []string{"iPad"}, DeviceModels: []string{"iPhone10"}, NotDeviceModels: []string{"iPhone10C2"},
		DeviceOperatingSystems: []string{"ios 12", "$NONE"}, NotDeviceOperatingSystems: []string{"Android"},
		DeviceUserAgents: []string{"iOS/"}, NotDeviceUserAgents: []string{"Outlook"},
	}
	id := *must(w, w.CreateMobileDeviceAccessRule, create).MobileDeviceAccessRuleId
	if again := *must(w, w.CreateMobileDeviceAccessRule, create).MobileDeviceAccessRuleId; again != id {
		w.t.Errorf("the same token made %s and %s", id, again)
	}
	create.Name = str("Something else")
	refused[*types.InvalidParameterException](w, w.CreateMobileDeviceAccessRule, create)
	if e, by := effect(iPhone); e != deny || !slices.Equal(by, []string{"No old ones"}) {
		w.t.Errorf("with a rule that denies: %s by %q", e, by)
	}
	rules := must(w, w.ListMobileDeviceAccessRules, &workmail.ListMobileDeviceAccessRulesInput{OrganizationId: &s.org}).Rules
	if r := rules[1]; len(rules) != 2 || *rules[0].Name != "default" || *r.MobileDeviceAccessRuleId != id || *r.Name != "No old ones" || *r.Description != "They leak" ||
		r.Effect != deny || !slices.Equal(r.DeviceOperatingSystems, create.DeviceOperatingSystems) || r.DateCreated.IsZero() || !r.DateModified.Equal(*r.DateCreated) {
		w.t.Errorf("the rules are %+v", rules)
	}
	update := &workmail.UpdateMobileDeviceAccessRuleInput{OrganizationId: &s.org, MobileDeviceAccessRuleId: &id, Name: str("No tablets"), Effect: deny, DeviceTypes: []string{"iPad"}}
	must(w, w.UpdateMobileDeviceAccessRule, update)
	if e, _ := effect(iPhone); e != allow {
		w.t.Error("what an update leaves out must go")
	}
	if r := must(w, w.ListMobileDeviceAccessRules, &workmail.ListMobileDeviceAccessRulesInput{OrganizationId: &s.org}).Rules[1]; r.Description != nil || r.DeviceModels != nil {
		w.t.Errorf("the changed rule is %+v", r)
	}
	update.MobileDeviceAccessRuleId = str("unknown")
	refused[*types.EntityNotFoundException](w, w.UpdateMobileDeviceAccessRule, update)
	for i := range 8 {
		must(w, w.CreateMobileDeviceAccessRule, &workmail.CreateMobileDeviceAccessRuleInput{OrganizationId: &s.org, Name: str(fmt.Sprint("n", i)), Effect: allow})
	}
	refused[*types.LimitExceededException](w, w.CreateMobileDeviceAccessRule, &workmail.CreateMobileDeviceAccessRuleInput{OrganizationId: &s.org, Name: str("eleventh"), Effect: allow})
	for _, r := range must(w, w.ListMobileDeviceAccessRules, &workmail.ListMobileDeviceAccessRulesInput{OrganizationId: &s.org}).Rules {
		for range 2 {
			must(w, w.DeleteMobileDeviceAccessRule, &workmail.DeleteMobileDeviceAccessRuleInput{OrganizationId: &s.org, MobileDeviceAccessRuleId: r.MobileDeviceAccessRuleId})
		}
	}
	if e, by := effect(iPhone); e != deny || by != nil {
		w.t.Errorf("without rules: %s by %q", e, by)
	}
}

func (s *story) mobileOverrides() {
	w := s.world
	put := func(user, device string, effect types.MobileDeviceAccessRuleEffect) *workmail.PutMobileDeviceAccessOverrideInput {
		return &workmail.PutMobileDeviceAccessOverrideInput{OrganizationId: &s.org, UserId: &user, DeviceId: &device, Effect: effect, Description: str("By hand")}
	}
	get := func(user, device string) *workmail.GetMobileDeviceAccessOverrideInput {
		return &workmail.GetMobileDeviceAccessOverrideInput{OrganizationId: &s.org, UserId: &user, DeviceId: &device}
	}
	must(w, w.PutMobileDeviceAccessOverride, put("ann@acme.awsapps.com", "6APMEKPHCP2ND42VIJ4BR8ECDO", deny))
	w.pass(time.Second)
	must(w, w.PutMobileDeviceAccessOverride, put(s.ann, "6apmekphcp2nd42vij4br8ecdo", allow))
	must(w, w.PutMobileDeviceAccessOverride, put(s.bob, "second", allow))
	o := must(w, w.GetMobileDeviceAccessOverride, get("ann", "6APMEKPHCP2ND42VIJ4BR8ECDO"))
	if *o.UserId != s.ann || *o.DeviceId != "6apmekphcp2nd42vij4br8ecdo" || o.Effect != allow || *o.Description != "By hand" || !o.DateModified.After(*o.DateCreated) {
		w.t.Errorf("the override is %+v", o)
	}
	refused[*types.EntityNotFoundException](w, w.GetMobileDeviceAccessOverride, get(nobody, "second"))
	refused[*types.ResourceNotFoundException](w, w.GetMobileDeviceAccessOverride, get(s.ann, "second"))
	refused[*types.EntityNotFoundException](w, w.PutMobileDeviceAccessOverride, put(nobody, "second", deny))
	gone := *must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &s.org, Name: str("phoneless"), DisplayName: str("P")}).UserId
	must(w, w.PutMobileDeviceAccessOverride, put(gone, "third", allow))
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: &gone})
	refused[*types.EntityStateException](w, w.PutMobileDeviceAccessOverride, put(gone, "second", deny))

	pages := workmail.NewListMobileDeviceAccessOverridesPaginator(w, &workmail.ListMobileDeviceAccessOverridesInput{OrganizationId: &s.org, MaxResults: aws.Int32(1)})
	var devices []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, v := range page.Overrides {
			devices = append(devices, *v.DeviceId)
			if *v.UserId == "" || *v.Description == "" || v.Effect != allow || v.DateCreated == nil || v.DateModified == nil {
				w.t.Errorf("an override is listed as %+v", v)
			}
		}
	}
	if want := []string{"6apmekphcp2nd42vij4br8ecdo", "second"}; !slices.Equal(devices, want) {
		w.t.Errorf("the devices are %q, want %q", devices, want)
	}
	list := func(user, device *string) *workmail.ListMobileDeviceAccessOverridesInput {
		return &workmail.ListMobileDeviceAccessOverridesInput{OrganizationId: &s.org, UserId: user, DeviceId: device}
	}
	for _, in := range []*workmail.ListMobileDeviceAccessOverridesInput{list(str("bob@acme.awsapps.com"), nil), list(nil, str("SECOND")), list(&s.bob, str("second"))} {
		if got := must(w, w.ListMobileDeviceAccessOverrides, in).Overrides; len(got) != 1 || *got[0].UserId != s.bob {
			w.t.Errorf("%+v lists %+v", in, got)
		}
	}
	refused[*types.EntityNotFoundException](w, w.ListMobileDeviceAccessOverrides, list(str(nobody), nil))

	drop := func(user string) *workmail.DeleteMobileDeviceAccessOverrideInput {
		return &workmail.DeleteMobileDeviceAccessOverrideInput{OrganizationId: &s.org, UserId: &user, DeviceId: str("Second")}
	}
	must(w, w.DeleteMobileDeviceAccessOverride, drop("bob@acme.awsapps.com"))
	must(w, w.DeleteMobileDeviceAccessOverride, drop(s.bob))
	refused[*types.EntityNotFoundException](w, w.DeleteMobileDeviceAccessOverride, drop(nobody))
	refused[*types.ResourceNotFoundException](w, w.GetMobileDeviceAccessOverride, get(s.bob, "second"))
}
