package policy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

func TestRoleRules(t *testing.T) {
	all := RoleRule{ID: "all", Allow: true}
	ann := RoleRule{ID: "ann", Allow: true, Targets: []directory.EntityID{annID}}
	notAnn := RoleRule{ID: "not-ann", Allow: true, NotTargets: []directory.EntityID{annID}}
	noBen := RoleRule{ID: "no-ben", Targets: []directory.EntityID{benID}}
	none := RoleRule{ID: "none", NotTargets: []directory.EntityID{annID}}
	for what, c := range map[string]struct {
		rules    []RoleRule
		ann, ben string // the ids of the rules that decide, behind + or -
	}{
		"no rules":            {nil, "-", "-"},
		"for all":             {[]RoleRule{all}, "+all", "+all"},
		"for one":             {[]RoleRule{ann}, "+ann", "-"},
		"for all but one":     {[]RoleRule{notAnn}, "-", "+not-ann"},
		"a denial wins":       {[]RoleRule{all, noBen}, "+all", "-no-ben"},
		"two that deny":       {[]RoleRule{none, noBen, all}, "+all", "-none no-ben"},
		"two that allow":      {[]RoleRule{all, ann}, "+all ann", "+all"},
		"a denial for no one": {[]RoleRule{noBen}, "-", "-no-ben"},
	} {
		for user, want := range map[directory.EntityID]string{annID: c.ann, benID: c.ben} {
			allowed, by := judgeRole(c.rules, user)
			var ids []string
			for _, r := range by {
				ids = append(ids, r.ID)
			}
			got := "-" + strings.Join(ids, " ")
			if allowed {
				got = "+" + strings.Join(ids, " ")
			}
			if got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
	}
}

func TestImpersonationRoles(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann, ben := f.make(directory.KindUser, "ann"), f.make(directory.KindUser, "ben")
		off, team := f.makeOff(directory.KindUser, "off"), f.make(directory.KindGroup, "team")
		gone := f.makeOff(directory.KindUser, "gone")
		f.end(gone)
		create := func(n NewRole) (RoleID, error) { return f.CreateRole(f.ctx, admin, f.org.ID, n, "") }
		wanted := NewRole{Name: "Importer ü", ReadOnly: true, Description: "line\r\nline", Rules: []NewRoleRule{
			{ID: "most", Name: "Most", Description: "All but Ben", Allow: true, NotTargets: []string{"ben"}},
			{ID: "no-ann", Targets: []string{"ann@acme.awsapps.com", string(ann), "ANN"}},
		}}
		first, err := f.CreateRole(f.ctx, admin, f.org.ID, wanted, "token")
		f.ok(err)
		again, err := f.CreateRole(f.ctx, admin, f.org.ID, wanted, "token")
		f.ok(err)
		if again != first {
			f.t.Errorf("the same token made %s and %s", first, again)
		}
		_, err = f.CreateRole(f.ctx, admin, f.org.ID, NewRole{Name: "other"}, "token")
		f.wantFault(err, fault.Invalid, fault.Token)
		r, err := f.DescribeRole(f.ctx, admin, f.org.ID, first)
		f.ok(err)
		rules := []RoleRule{
			{ID: "most", Name: "Most", Description: "All but Ben", Allow: true, NotTargets: []directory.EntityID{ben}},
			{ID: "no-ann", Targets: []directory.EntityID{ann}},
		}
		if r.ID != first || r.Name != wanted.Name || !r.ReadOnly || r.Description != wanted.Description || fmt.Sprint(r.Rules) != fmt.Sprint(rules) || r.Created.IsZero() {
			f.t.Errorf("the role is %+v", r)
		}
		effect := func(role RoleID, user string) string {
			f.t.Helper()
			e, err := f.RoleEffect(f.ctx, admin, f.org.ID, role, user)
			f.ok(err)
			return fmt.Sprintln(e.Allowed, len(e.Rules), e.User.Name)
		}
		if got := effect(first, "ann@acme.awsapps.com"); got != "false 1 ann\n" {
			f.t.Errorf("for ann: %s", got)
		}
		if got := effect(first, string(ben)); got != "false 0 ben\n" {
			f.t.Errorf("for ben: %s", got)
		}
		f.ok(f.UpdateRole(f.ctx, admin, f.org.ID, first, NewRole{Name: "New", Rules: []NewRoleRule{{ID: "all", Allow: true}}}))
		if r, err = f.DescribeRole(f.ctx, admin, f.org.ID, first); err != nil || r.ReadOnly || r.Description != "" || len(r.Rules) != 1 || r.Name != "New" {
			f.t.Errorf("the updated role is %+v, %v", r, err)
		}
		if got := effect(first, "BEN"); got != "true 1 ben\n" {
			f.t.Errorf("for ben: %s", got)
		}

		many := func(n int) (rules []NewRoleRule) {
			for i := range n {
				rules = append(rules, NewRoleRule{ID: fmt.Sprint("r", i)})
			}
			return rules
		}
		with := func(r NewRoleRule) NewRole { r.ID = "r"; return NewRole{Name: "x", Rules: []NewRoleRule{r}} }
		for what, c := range map[string]struct {
			role    NewRole
			kind    fault.Kind
			subject fault.Subject
		}{
			"no name":            {NewRole{}, fault.Invalid, fault.None},
			"a long name":        {NewRole{Name: strings.Repeat("ü", 65)}, fault.Invalid, fault.None},
			"a bad name":         {NewRole{Name: "a\nb"}, fault.Invalid, fault.None},
			"a long description": {NewRole{Name: "x", Description: strings.Repeat("x", 257)}, fault.Invalid, fault.None},
			"a bad description":  {NewRole{Name: "x", Description: "<b>"}, fault.Invalid, fault.None},
			"too many rules":     {NewRole{Name: "x", Rules: many(11)}, fault.Invalid, fault.None},
			"an id twice":        {NewRole{Name: "x", Rules: append(many(2), NewRoleRule{ID: "r1"})}, fault.Invalid, fault.None},
			"a bad id":           {NewRole{Name: "x", Rules: []NewRoleRule{{ID: "a b"}}}, fault.Invalid, fault.None},
			"a bad rule's name":  {with(NewRoleRule{Name: "\\"}), fault.Invalid, fault.None},
			"too many users":     {with(NewRoleRule{Targets: slices.Repeat([]string{"ann"}, 11)}), fault.Invalid, fault.None},
			"an unknown user":    {with(NewRoleRule{Targets: []string{"nobody"}}), fault.NotFound, fault.Entity},
			"a group":            {with(NewRoleRule{NotTargets: []string{string(team)}}), fault.NotFound, fault.Entity},
			"a disabled user":    {with(NewRoleRule{Targets: []string{string(off)}}), fault.State, fault.Entity},
			"a deleted user":     {with(NewRoleRule{Targets: []string{string(gone)}}), fault.State, fault.Entity},
		} {
			if _, err := create(c.role); !fault.Is(err, c.kind, c.subject) {
				f.t.Errorf("%s: %v", what, err)
			}
			if err := f.UpdateRole(f.ctx, admin, f.org.ID, first, c.role); !fault.Is(err, c.kind, c.subject) {
				f.t.Errorf("update to %s: %v", what, err)
			}
		}
		f.wantFault(f.UpdateRole(f.ctx, admin, f.org.ID, "none", NewRole{Name: "x"}), fault.NotFound, fault.Resource)
		_, err = f.DescribeRole(f.ctx, admin, f.org.ID, "none")
		f.wantFault(err, fault.NotFound, fault.Resource)
		for user, kind := range map[string]fault.Kind{"nobody": fault.NotFound, "off": fault.State, "team": fault.NotFound} {
			_, err := f.RoleEffect(f.ctx, admin, f.org.ID, first, user)
			f.wantFault(err, kind, fault.Entity)
		}
		_, err = f.RoleEffect(f.ctx, admin, f.org.ID, "none", "ann")
		f.wantFault(err, fault.NotFound, fault.Resource)

		for range 19 {
			_, err := create(NewRole{Name: "New", Rules: many(10)}) // names need not be unique
			f.ok(err)
		}
		_, err = create(NewRole{Name: "x"})
		f.wantFault(err, fault.Limit, fault.Resource)
		var listed []string
		for after := ""; ; {
			page, next, err := f.ListRoles(f.ctx, admin, f.org.ID, directory.Page{Limit: 7, After: after})
			f.ok(err)
			for i := range page {
				listed = append(listed, string(page[i].ID))
			}
			if after = next; next == "" {
				break
			}
		}
		if len(slices.Compact(listed)) != 20 || !slices.IsSorted(listed) {
			f.t.Errorf("%d are listed: %q", len(listed), listed)
		}
		f.ok(f.DeleteRole(f.ctx, admin, f.org.ID, first))
		f.ok(f.DeleteRole(f.ctx, admin, f.org.ID, first))
		_, err = f.DescribeRole(f.ctx, admin, f.org.ID, first)
		f.wantFault(err, fault.NotFound, fault.Resource)
		f.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE impersonation_role SET rules = '{' WHERE id = (SELECT MIN(id) FROM impersonation_role)`)
			return err
		})
		if found := f.check(); !strings.Contains(found, "impersonation role") {
			f.t.Errorf("check found %q", found)
		}
		f.erase()
	})
}

// The roles that access rules speak of.
func TestAccessRulesOfRoles(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.begin()
		role, err := f.CreateRole(f.ctx, admin, f.org.ID, NewRole{Name: "importer"}, "")
		f.ok(err)
		put := func(r AccessRule) { f.ok(f.PutAccessRule(f.ctx, admin, f.org.ID, r)) }
		put(AccessRule{Name: "default", AccessConditions: AccessConditions{NotRoles: []RoleID{role}}})
		put(AccessRule{Name: "importer", Allow: true, AccessConditions: AccessConditions{Roles: []RoleID{role}, IPRanges: []string{"192.0.2.0/24"}}})
		for address, want := range map[string]bool{"192.0.2.1": true, "198.51.100.1": false} {
			v, err := f.AccessEffect(f.ctx, admin, f.org.ID, Access{Action: "EWS", Address: netip.MustParseAddr(address), Role: role})
			if err != nil || v.Allowed != want || want != slices.Equal(v.Rules, []string{"importer"}) {
				f.t.Errorf("from %s: %+v, %v", address, v, err)
			}
		}
		f.ok(f.DeleteRole(f.ctx, admin, f.org.ID, role)) // the rules keep its id
		_, err = f.AccessEffect(f.ctx, admin, f.org.ID, Access{Action: "EWS", Address: netip.MustParseAddr("192.0.2.1"), Role: role})
		f.wantFault(err, fault.NotFound, fault.Resource)
		f.erase()
	})
}
