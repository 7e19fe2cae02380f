package awsapi_test

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

func (s *story) resources() {
	w := s.world
	newRoom := func(name string) *workmail.CreateResourceInput {
		return &workmail.CreateResourceInput{
			OrganizationId: &s.org, Name: &name, Type: types.ResourceTypeRoom, Description: str("By the lake"), HiddenFromGlobalAddressList: true,
		}
	}
	room := *must(w, w.CreateResource, newRoom("lake")).ResourceId
	refused[*types.NameAvailabilityException](w, w.CreateResource, newRoom("Ann"))
	refused[*types.ReservedNameException](w, w.CreateResource, newRoom("krbtgt"))
	describe := func(id string) *workmail.DescribeResourceOutput {
		return must(w, w.DescribeResource, &workmail.DescribeResourceInput{OrganizationId: &s.org, ResourceId: &id})
	}
	r := describe("lake")
	if *r.ResourceId != room || *r.Name != "lake" || r.Type != types.ResourceTypeRoom || *r.Description != "By the lake" || !r.HiddenFromGlobalAddressList ||
		r.State != types.EntityStateDisabled || !r.BookingOptions.AutoAcceptRequests || r.BookingOptions.AutoDeclineRecurringRequests ||
		!r.BookingOptions.AutoDeclineConflictingRequests {
		w.t.Errorf("the new resource is %+v", r)
	}
	must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &s.org, EntityId: &room, Email: str("lake@acme.awsapps.com")})
	if r = describe("lake@acme.awsapps.com"); r.State != types.EntityStateEnabled || r.EnabledDate == nil || *r.Email != "lake@acme.awsapps.com" {
		w.t.Errorf("the enabled resource is %+v", r)
	}
	refused[*types.EntityStateException](w, w.DeleteResource, &workmail.DeleteResourceInput{OrganizationId: &s.org, ResourceId: &room})
	refused[*types.EntityNotFoundException](w, w.DescribeResource, &workmail.DescribeResourceInput{OrganizationId: &s.org, ResourceId: str(noRoom)})

	update := func(change workmail.UpdateResourceInput) *workmail.UpdateResourceInput {
		change.OrganizationId, change.ResourceId = &s.org, &room
		return &change
	}
	answersAlone, asksFirst := &types.BookingOptions{AutoAcceptRequests: true, AutoDeclineRecurringRequests: true}, &types.BookingOptions{}
	must(w, w.UpdateResource, update(workmail.UpdateResourceInput{
		Name: str("shore"), Type: types.ResourceTypeEquipment, Description: str(""), HiddenFromGlobalAddressList: aws.Bool(false), BookingOptions: answersAlone,
	}))
	r = describe(room)
	if *r.Name != "shore" || r.Type != types.ResourceTypeEquipment || r.Description != nil || r.HiddenFromGlobalAddressList || *r.BookingOptions != *answersAlone {
		w.t.Errorf("the changed resource is %+v %+v", r, r.BookingOptions)
	}
	refused[*types.NameAvailabilityException](w, w.UpdateResource, update(workmail.UpdateResourceInput{Name: str("ann")}))
	refused[*types.InvalidConfigurationException](w, w.UpdateResource, update(workmail.UpdateResourceInput{BookingOptions: asksFirst}))
	refused[*types.EntityNotFoundException](w, w.UpdateResource, &workmail.UpdateResourceInput{OrganizationId: &s.org, ResourceId: str(noRoom)})

	s.delegates(room, update(workmail.UpdateResourceInput{BookingOptions: asksFirst}))

	gone := *must(w, w.CreateResource, newRoom("gone-room")).ResourceId
	must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &s.org, EntityId: &gone, Email: str("gone-room@acme.awsapps.com")})
	must(w, w.DeregisterFromWorkMail, &workmail.DeregisterFromWorkMailInput{OrganizationId: &s.org, EntityId: &gone})
	if r = describe(gone); r.DisabledDate == nil {
		w.t.Errorf("the disabled resource is %+v", r)
	}
	page := must(w, w.ListResources, &workmail.ListResourcesInput{OrganizationId: &s.org, MaxResults: aws.Int32(1)})
	if len(page.Resources) != 1 || page.NextToken == nil {
		w.t.Fatalf("the first resource is %+v", page)
	}
	rest := must(w, w.ListResources, &workmail.ListResourcesInput{OrganizationId: &s.org, MaxResults: aws.Int32(1), NextToken: page.NextToken})
	all := slices.Concat(rest.Resources, page.Resources) // by name, which is "shore" and "gone-room"
	if len(all) != 2 || *all[0].Id != room || *all[0].Name != "shore" || *all[0].Email != "lake@acme.awsapps.com" || all[0].Type != types.ResourceTypeEquipment ||
		all[0].State != types.EntityStateEnabled || all[0].EnabledDate == nil || *all[1].Id != gone || all[1].DisabledDate == nil || *all[1].Description != "By the lake" {
		w.t.Errorf("the resources are %+v", all)
	}
	for _, f := range []types.ListResourcesFilters{{NamePrefix: str("SHO")}, {PrimaryEmailPrefix: str("lake")}, {State: types.EntityStateEnabled}} {
		if page = must(w, w.ListResources, &workmail.ListResourcesInput{OrganizationId: &s.org, Filters: &f}); len(page.Resources) != 1 || *page.Resources[0].Id != room {
			w.t.Errorf("%+v lists %+v", f, page.Resources)
		}
	}
	must(w, w.DeleteResource, &workmail.DeleteResourceInput{OrganizationId: &s.org, ResourceId: &gone})
	must(w, w.DeleteResource, &workmail.DeleteResourceInput{OrganizationId: &s.org, ResourceId: &gone})
	refused[*types.EntityStateException](w, w.UpdateResource, &workmail.UpdateResourceInput{OrganizationId: &s.org, ResourceId: &gone})
	refused[*types.EntityStateException](w, w.AssociateDelegateToResource, &workmail.AssociateDelegateToResourceInput{OrganizationId: &s.org, ResourceId: &gone, EntityId: &s.ann})
	refused[*types.EntityStateException](w, w.ListResourceDelegates, &workmail.ListResourceDelegatesInput{OrganizationId: &s.org, ResourceId: &gone})
}

// delegates gives a room delegates; asksFirst makes it leave the answer to them.
func (s *story) delegates(room string, asksFirst *workmail.UpdateResourceInput) {
	w := s.world
	add := func(room, entity string) *workmail.AssociateDelegateToResourceInput {
		return &workmail.AssociateDelegateToResourceInput{OrganizationId: &s.org, ResourceId: &room, EntityId: &entity}
	}
	remove := func(room, entity string) *workmail.DisassociateDelegateFromResourceInput {
		return &workmail.DisassociateDelegateFromResourceInput{OrganizationId: &s.org, ResourceId: &room, EntityId: &entity}
	}
	must(w, w.AssociateDelegateToResource, add(room, s.ann))
	must(w, w.AssociateDelegateToResource, add("shore", "ann"))
	must(w, w.AssociateDelegateToResource, add(room, "all@acme.awsapps.com"))
	refused[*types.EntityNotFoundException](w, w.AssociateDelegateToResource, add(room, nobody))
	refused[*types.EntityNotFoundException](w, w.AssociateDelegateToResource, add(noRoom, s.ann))
	refused[*types.InvalidParameterException](w, w.AssociateDelegateToResource, add(room, room))
	must(w, w.UpdateResource, asksFirst)
	page := must(w, w.ListResourceDelegates, &workmail.ListResourceDelegatesInput{OrganizationId: &s.org, ResourceId: str(room), MaxResults: aws.Int32(1)})
	if len(page.Delegates) != 1 || page.NextToken == nil {
		w.t.Fatalf("the first delegate is %+v", page)
	}
	rest := must(w, w.ListResourceDelegates, &workmail.ListResourceDelegatesInput{OrganizationId: &s.org, ResourceId: str(room), NextToken: page.NextToken})
	kinds := map[types.MemberType]bool{}
	for _, d := range slices.Concat(page.Delegates, rest.Delegates) {
		kinds[d.Type] = true
	}
	if len(kinds) != 2 || len(rest.Delegates) != 1 {
		w.t.Errorf("the delegates are %+v %+v", page, rest)
	}
	refused[*types.EntityNotFoundException](w, w.ListResourceDelegates, &workmail.ListResourceDelegatesInput{OrganizationId: &s.org, ResourceId: str(noRoom)})
	must(w, w.DisassociateDelegateFromResource, remove(room, "all@acme.awsapps.com"))
	must(w, w.DisassociateDelegateFromResource, remove(room, "all@acme.awsapps.com"))
	refused[*types.EntityStateException](w, w.DisassociateDelegateFromResource, remove(room, s.ann))
	refused[*types.EntityNotFoundException](w, w.DisassociateDelegateFromResource, remove(room, nobody))
}
