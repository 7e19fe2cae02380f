package directory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

func TestGroups(t *testing.T) {
	onBoth(t, func(f *fixture) {
		id := must(f.CreateGroup(f.ctx, admin, f.org.ID, NewGroup{Name: "All of Ús", Hidden: true}))(f.t)
		g := must(f.DescribeGroup(f.ctx, admin, f.org.ID, string(id)))(f.t)
		if g.Name != "All of Ús" || !g.Hidden || g.State != Disabled || g.Role != RoleNone {
			f.t.Errorf("described as %+v", g)
		}
		f.ok(f.UpdateGroup(f.ctx, admin, f.org.ID, "all of ús", nil))
		f.ok(f.UpdateGroup(f.ctx, admin, f.org.ID, string(id), ptr(false)))
		if must(f.DescribeGroup(f.ctx, admin, f.org.ID, string(id)))(f.t).Hidden {
			f.t.Error("still hidden")
		}
		f.user("ann")
		f.wantFault(f.UpdateGroup(f.ctx, admin, f.org.ID, "ann", nil), fault.NotFound, fault.Entity)
		f.delete(id)
		f.wantFault(f.UpdateGroup(f.ctx, admin, f.org.ID, string(id), nil), fault.State, fault.Entity)
		_, _, err := f.ListMembers(f.ctx, admin, f.org.ID, string(id), Page{})
		f.wantFault(err, fault.State, fault.Entity)
		_, _, err = f.ListGroupsOf(f.ctx, admin, f.org.ID, string(id), "", Page{})
		f.wantFault(err, fault.State, fault.Entity)
	})
}

func TestMembers(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann, all, staff := f.user("ann"), f.group("all"), f.group("Staff")
		f.resource("room")
		add := func(group, member string) error { return f.AddMember(f.ctx, admin, f.org.ID, group, member) }
		f.ok(add("all", "ann"))
		f.ok(add(string(all), string(ann))) // again
		f.ok(add("all", "staff"))
		f.ok(add("staff", "ann"))
		f.wantFault(add("all", "room"), fault.Invalid, fault.Entity)
		f.wantFault(add("all", "all"), fault.Invalid, fault.Entity)
		f.wantFault(add("staff", "all"), fault.Invalid, fault.Entity)
		f.wantFault(add("all", "nobody"), fault.NotFound, fault.Entity)
		f.wantFault(add("ann", "all"), fault.NotFound, fault.Entity)

		members, next, err := f.ListMembers(f.ctx, admin, f.org.ID, "all", Page{Limit: 1})
		f.ok(err)
		if len(members) != 1 || members[0].ID != ann || next == "" {
			f.t.Errorf("first page %+v, %q", members, next)
		}
		members, next, err = f.ListMembers(f.ctx, admin, f.org.ID, "all", Page{Limit: 1, After: next})
		f.ok(err)
		if len(members) != 1 || members[0].ID != staff || members[0].Kind != KindGroup || next != "" {
			f.t.Errorf("second page %+v, %q", members, next)
		}
		if got := f.groupsOf("ann", ""); !slices.Equal(got, []string{"all", "Staff"}) {
			f.t.Errorf("groups of ann: %v", got)
		}
		if got := f.groupsOf("ann", "ST"); !slices.Equal(got, []string{"Staff"}) {
			f.t.Errorf("groups of ann with St: %v", got)
		}
		for _, bad := range []string{"x", "-1", "0", "1:a"} {
			_, _, err = f.ListMembers(f.ctx, admin, f.org.ID, "all", Page{After: bad})
			f.wantFault(err, fault.Invalid, fault.Token)
		}

		f.ok(f.RemoveMember(f.ctx, admin, f.org.ID, "all", "ann"))
		f.ok(f.RemoveMember(f.ctx, admin, f.org.ID, "all", "ann"))
		f.wantFault(f.RemoveMember(f.ctx, admin, f.org.ID, "all", "nobody"), fault.NotFound, fault.Entity)
		f.delete(staff)
		if got := f.groupsOf("ann", ""); len(got) != 0 {
			f.t.Errorf("groups of ann after all: %v", got)
		}
		f.wantFault(add("all", string(staff)), fault.State, fault.Entity)
	})
}

// groupsOf pages through the groups of an entity, one at a time.
func (f *fixture) groupsOf(ident, prefix string) (names []string) {
	f.t.Helper()
	for page := (Page{Limit: 1}); ; {
		groups, next, err := f.ListGroupsOf(f.ctx, admin, f.org.ID, ident, prefix, page)
		f.ok(err)
		for _, g := range groups {
			names = append(names, g.Name)
		}
		if next == "" {
			return names
		}
		page.After = next
	}
}

func TestExpansion(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann, ben, cat := f.user("ann"), f.user("ben"), f.user("cat")
		all, inner, off := f.group("all"), f.group("inner"), f.group("off")
		for _, e := range []struct {
			id   EntityID
			name string
		}{{ann, "ann"}, {ben, "ben"}, {all, "all"}, {inner, "inner"}} {
			f.enable(e.id, e.name+"@acme.awsapps.com")
		}
		for _, m := range [][2]string{{"all", "ann"}, {"all", "inner"}, {"inner", "ann"}, {"inner", "ben"}, {"inner", "cat"}, {"all", "off"}} {
			f.ok(f.AddMember(f.ctx, admin, f.org.ID, m[0], m[1]))
		}
		dave := f.user("dave")
		f.enable(dave, "dave@acme.awsapps.com")
		f.ok(f.AddMember(f.ctx, admin, f.org.ID, "off", "dave"))

		got, complete := f.expand(all, 10)
		if want := sorted(ann, ben); !slices.Equal(got, want) || !complete { // cat is disabled, off is a disabled group
			f.t.Errorf("expanded to %v, want %v (%t)", got, want, complete)
		}
		if got, complete := f.expand(all, 1); len(got) != 1 || complete {
			f.t.Errorf("with a limit of 1: %v, %t", got, complete)
		}
		f.read(func(ctx context.Context, tx *db.Tx) error {
			e := must(f.ResolveTx(ctx, tx, f.org, "cat", Narrow{}))(f.t)
			above, err := f.GroupsAboveTx(ctx, tx, e.Key)
			if len(above) != 2 {
				f.t.Errorf("above %s: %v", cat, above)
			}
			return err
		})
		f.delete(off)
		f.disable(inner)
		f.delete(inner)
		if got, _ := f.expand(all, 10); !slices.Equal(got, []EntityID{ann}) {
			f.t.Errorf("without inner: %v", got)
		}
	})
}

func (f *fixture) expand(group EntityID, limit int) (ids []EntityID, complete bool) {
	f.t.Helper()
	f.read(func(ctx context.Context, tx *db.Tx) error {
		e, err := f.ResolveTx(ctx, tx, f.org, string(group), Narrow{})
		if err != nil {
			return err
		}
		users, all, err := f.MembersTx(ctx, tx, e, limit)
		complete, ids = all, nil
		for _, u := range users {
			ids = append(ids, u.ID)
		}
		return err
	})
	slices.Sort(ids)
	return ids, complete
}

func sorted(ids ...EntityID) []EntityID { slices.Sort(ids); return ids }

// TestCircleRace has many nest groups in each other at once: whatever order they come in, no circle may close.
func TestCircleRace(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const n = 6
		for i := range n {
			f.group(fmt.Sprint("g", i))
		}
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				err := f.AddMember(f.ctx, admin, f.org.ID, fmt.Sprint("g", i), fmt.Sprint("g", (i+1)%n))
				if err != nil && !fault.Is(err, fault.Invalid, fault.Entity) {
					f.t.Error(err)
				}
			})
		}
		group.Wait()
		edges := 0
		for i := range n {
			members, _, err := f.ListMembers(f.ctx, admin, f.org.ID, fmt.Sprint("g", i), Page{})
			f.ok(err)
			edges += len(members)
		}
		if edges != n-1 {
			f.t.Errorf("%d of %d edges of a circle were accepted, want all but one", edges, n)
		}
	})
}
