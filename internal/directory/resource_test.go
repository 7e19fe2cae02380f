package directory

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

func TestResources(t *testing.T) {
	onBoth(t, func(f *fixture) {
		id := must(f.CreateResource(f.ctx, admin, f.org.ID, NewResource{Name: "Room.1", Type: Room, Description: "big", Hidden: true}))(f.t)
		if !strings.HasPrefix(string(id), "r-") || len(id) != 34 {
			f.t.Errorf("id %s", id)
		}
		r := must(f.DescribeResource(f.ctx, admin, f.org.ID, "ROOM.1"))(f.t)
		if r.Name != "Room.1" || r.Type != Room || r.Description != "big" || !r.Hidden || r.State != Disabled || r.Booking != DefaultBooking {
			f.t.Errorf("described as %+v", r)
		}
		update := func(c ResourceChange) error { return f.UpdateResource(f.ctx, admin, f.org.ID, string(id), c) }
		f.ok(update(ResourceChange{}))
		if same := must(f.DescribeResource(f.ctx, admin, f.org.ID, string(id)))(f.t); *same != (Resource{entityAt(*r, same.change), r.Type, r.Description, r.Booking}) {
			f.t.Errorf("nothing became %+v", same)
		}
		f.ok(update(ResourceChange{
			Name: ptr("room.1"), Type: ptr(Equipment), Description: ptr(""), Hidden: ptr(false),
			Booking: &BookingOptions{AutoAccept: true, AutoDeclineRecurring: true},
		}))
		r = must(f.DescribeResource(f.ctx, admin, f.org.ID, "room.1"))(f.t)
		if r.Name != "room.1" || r.Type != Equipment || r.Description != "" || r.Hidden || r.Booking != (BookingOptions{AutoAccept: true, AutoDeclineRecurring: true}) {
			f.t.Errorf("updated to %+v", r)
		}
		f.user("ann")
		for what, c := range map[string]struct {
			change ResourceChange
			kind   fault.Kind
		}{
			"taken name":       {ResourceChange{Name: ptr("ANN")}, fault.Exists},
			"invalid name":     {ResourceChange{Name: ptr("a b")}, fault.Invalid},
			"long name":        {ResourceChange{Name: ptr(strings.Repeat("a", 21))}, fault.Invalid},
			"reserved name":    {ResourceChange{Name: ptr("guest")}, fault.Reserved},
			"long description": {ResourceChange{Description: ptr(strings.Repeat("é", 65))}, fault.Invalid},
			"unknown type":     {ResourceChange{Type: ptr(ResourceType(9))}, fault.Invalid},
			"nobody answers":   {ResourceChange{Booking: &BookingOptions{}}, fault.BadConfiguration},
		} {
			if err := update(c.change); !fault.Is(err, c.kind, fault.Entity) {
				f.t.Errorf("%s: %v", what, err)
			}
		}
		f.wantFault(f.UpdateResource(f.ctx, admin, f.org.ID, "ann", ResourceChange{}), fault.NotFound, fault.Entity)
		f.delete(id)
		f.wantFault(update(ResourceChange{}), fault.State, fault.Entity)
	})
}

// entityAt is r's entity at another change number.
func entityAt(r Resource, change int64) Entity {
	r.change = change
	return r.Entity
}

func TestDelegates(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.resource("room")
		other := f.resource("other")
		ann, team := f.user("ann"), f.group("team")
		add := func(who string) error { return f.AddDelegate(f.ctx, admin, f.org.ID, "room", who) }
		remove := func(who string) error { return f.RemoveDelegate(f.ctx, admin, f.org.ID, "room", who) }
		f.ok(add("ann"))
		f.ok(add("ann"))
		f.ok(add("team"))
		f.wantFault(add("other"), fault.Invalid, fault.Entity)
		f.wantFault(add("nobody"), fault.NotFound, fault.Entity)
		f.wantFault(f.AddDelegate(f.ctx, admin, f.org.ID, "ann", "team"), fault.NotFound, fault.Entity)

		delegates, next, err := f.ListDelegates(f.ctx, admin, f.org.ID, "room", Page{Limit: 1})
		f.ok(err)
		if len(delegates) != 1 || delegates[0] != (Delegate{ann, KindUser}) || next == "" {
			f.t.Errorf("first page %+v, %q", delegates, next)
		}
		delegates, next, err = f.ListDelegates(f.ctx, admin, f.org.ID, "room", Page{After: next})
		f.ok(err)
		if len(delegates) != 1 || delegates[0] != (Delegate{team, KindGroup}) || next != "" {
			f.t.Errorf("second page %+v, %q", delegates, next)
		}

		f.ok(f.UpdateResource(f.ctx, admin, f.org.ID, "room", ResourceChange{Booking: &BookingOptions{}}))
		f.ok(remove("team"))
		f.ok(remove("team"))
		f.wantFault(remove("ann"), fault.State, fault.Entity)
		f.wantFault(remove("nobody"), fault.NotFound, fault.Entity)
		f.ok(f.UpdateResource(f.ctx, admin, f.org.ID, "room", ResourceChange{Booking: &DefaultBooking}))
		f.ok(remove("ann"))
		f.delete(other)
		_, _, err = f.ListDelegates(f.ctx, admin, f.org.ID, string(other), Page{})
		f.wantFault(err, fault.State, fault.Entity)
	})
}
