package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

func TestListUsers(t *testing.T) {
	onBoth(t, func(f *fixture) {
		names := []string{"zoe", "Ann", "bob", "anna", "Bert"}
		for i, name := range names {
			id := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{
				Name: name, DisplayName: "Dr. " + strings.ToUpper(name[:1]), IdentityProviderUserID: fmt.Sprintf("%08d-0000-0000-0000-000000000000", i),
			}))(f.t)
			if i%2 == 0 {
				f.enable(id, "X."+name+"@acme.awsapps.com")
			}
		}
		f.group("ann's group")
		f.resource("ann-room")
		gone := f.user("annabel")
		f.delete(gone)
		for what, c := range map[string]struct {
			filter UserFilter
			want   []string
		}{
			"all":            {UserFilter{}, []string{"Ann", "anna", "annabel", "Bert", "bob", "zoe"}},
			"names":          {UserFilter{NamePrefix: "AN"}, []string{"Ann", "anna", "annabel"}},
			"a whole name":   {UserFilter{NamePrefix: "zoe"}, []string{"zoe"}},
			"no name":        {UserFilter{NamePrefix: "zoey"}, nil},
			"display names":  {UserFilter{DisplayNamePrefix: "dr. a"}, []string{"Ann", "anna"}},
			"addresses":      {UserFilter{EmailPrefix: "x.B"}, []string{"Bert", "bob"}},
			"enabled":        {UserFilter{State: ptr(Enabled)}, []string{"Bert", "bob", "zoe"}},
			"disabled":       {UserFilter{State: ptr(Disabled)}, []string{"Ann", "anna"}},
			"deleted":        {UserFilter{State: ptr(Deleted)}, []string{"annabel"}},
			"provider ids":   {UserFilter{IdentityProviderUserIDPrefix: "00000003"}, []string{"anna"}},
			"a percent sign": {UserFilter{NamePrefix: "%"}, nil},
		} {
			for limit := 1; limit <= 7; limit += 2 {
				if got := f.listUsers(c.filter, limit); !slices.Equal(got, c.want) {
					f.t.Errorf("%s, %d at a time: %q, want %q", what, limit, got, c.want)
				}
			}
		}
		for what, filter := range map[string]UserFilter{
			"two prefixes":       {NamePrefix: "a", EmailPrefix: "b"},
			"a prefix and state": {NamePrefix: "a", State: ptr(Enabled)},
			"NUL":                {NamePrefix: "a\x00"},
		} {
			if _, _, err := f.ListUsers(f.ctx, admin, f.org.ID, filter, Page{}); fault.KindOf(err) != fault.Invalid {
				f.t.Errorf("%s: %v", what, err)
			}
			if _, _, err := f.ListUsers(f.ctx, admin, unknownOrg, filter, Page{}); !fault.Is(err, fault.NotFound, fault.Organization) {
				f.t.Errorf("%s in an unknown organization: %v", what, err)
			}
		}
		for _, bad := range []string{"x", "1", ":", "1:\x00", "1:\xff"} {
			_, _, err := f.ListUsers(f.ctx, admin, f.org.ID, UserFilter{}, Page{After: bad})
			f.wantFault(err, fault.Invalid, fault.Token)
		}
	})
}

func (f *fixture) listUsers(filter UserFilter, limit int) (names []string) {
	f.t.Helper()
	for page := (Page{Limit: limit}); ; {
		users, next, err := f.ListUsers(f.ctx, admin, f.org.ID, filter, page)
		f.ok(err)
		if len(users) > limit {
			f.t.Fatalf("%d users on a page of %d", len(users), limit)
		}
		for _, u := range users {
			names = append(names, u.Name)
		}
		if next == "" {
			return names
		}
		page.After = next
	}
}

func TestListGroupsAndResources(t *testing.T) {
	onBoth(t, func(f *fixture) {
		for _, name := range []string{"b", "A1", "a2"} {
			f.enable(f.group("g"+name), "g"+name+"@acme.awsapps.com")
			f.enable(f.resource("r"+name), "r"+name+"@acme.awsapps.com")
		}
		f.ok(f.UpdateResource(f.ctx, admin, f.org.ID, "rb", ResourceChange{Description: ptr("big"), Type: ptr(Equipment)}))
		for what, c := range map[string]struct {
			filter Filter
			want   []string
		}{
			"all":       {Filter{}, []string{"A1", "a2", "b"}},
			"names":     {Filter{NamePrefix: "%A"}, []string{"A1", "a2"}},
			"addresses": {Filter{EmailPrefix: "%a"}, []string{"A1", "a2"}},
			"enabled":   {Filter{State: ptr(Enabled)}, []string{"A1", "a2", "b"}},
			"disabled":  {Filter{State: ptr(Disabled)}, nil},
		} {
			for _, kind := range []string{"g", "r"} {
				filter := c.filter
				filter.NamePrefix = strings.ReplaceAll(filter.NamePrefix, "%", kind)
				filter.EmailPrefix = strings.ReplaceAll(filter.EmailPrefix, "%", kind)
				var got []string
				for page := (Page{Limit: 2}); ; {
					var next string
					if kind == "g" {
						groups, n, err := f.ListGroups(f.ctx, admin, f.org.ID, filter, page)
						f.ok(err)
						next = n
						for _, g := range groups {
							got = append(got, g.Name[1:])
						}
					} else {
						resources, n, err := f.ListResources(f.ctx, admin, f.org.ID, filter, page)
						f.ok(err)
						next = n
						for _, r := range resources {
							got = append(got, r.Name[1:])
							if (r.Description == "big") != (r.Type == Equipment) || r.Booking != DefaultBooking {
								f.t.Errorf("listed as %+v", r)
							}
						}
					}
					if page.After = next; next == "" {
						break
					}
				}
				if !slices.Equal(got, c.want) {
					f.t.Errorf("%s of %s: %q, want %q", what, kind, got, c.want)
				}
			}
		}
		_, _, err := f.ListGroups(f.ctx, admin, f.org.ID, Filter{NamePrefix: "a", State: ptr(Enabled)}, Page{})
		f.wantFault(err, fault.Invalid, fault.None)
		_, _, err = f.ListResources(f.ctx, admin, f.org.ID, Filter{NamePrefix: "a", EmailPrefix: "a"}, Page{})
		f.wantFault(err, fault.Invalid, fault.None)
	})
}

// TestListsUnderChange pages while users come, go and change their state: those who were there all the time are seen exactly
// once.
func TestListsUnderChange(t *testing.T) {
	onBoth(t, func(f *fixture) {
		var stay []string
		for i := range 12 {
			name := fmt.Sprintf("stay%02d", i)
			f.enable(f.user(name), name+"@acme.awsapps.com")
			stay = append(stay, name)
		}
		for what, filter := range map[string]UserFilter{
			"all": {}, "names": {NamePrefix: "s"}, "addresses": {EmailPrefix: "s"}, "display names": {DisplayNamePrefix: "the s"},
		} {
			var seen []string
			step := 0
			for page := (Page{Limit: 2}); ; step++ {
				users, next, err := f.ListUsers(f.ctx, admin, f.org.ID, filter, page)
				f.ok(err)
				for _, u := range users {
					if slices.Contains(stay, u.Name) {
						seen = append(seen, u.Name)
					}
				}
				if page.After = next; next == "" {
					break
				}
				temp := f.user(fmt.Sprintf("s%d-%s", step, what[:2]))
				if step%2 == 0 {
					f.enable(temp, fmt.Sprintf("s%d%s@acme.awsapps.com", step, what[:2]))
					f.disable(temp)
				}
				f.delete(temp)
				// The one that was seen last is where the cursor stands: it moves between states under the list.
				if last := users[len(users)-1]; last.State == Enabled && what == "all" {
					f.disable(last.ID)
					f.enable(last.ID, last.Name+"@acme.awsapps.com")
				}
			}
			if !slices.Equal(seen, stay) {
				f.t.Errorf("%s: saw %q", what, seen)
			}
		}
	})
}

// TestListsUseIndexes asks the engines how they would run the lists: a page must cost the same however many users there are.
func TestListsUseIndexes(t *testing.T) {
	onBoth(t, func(f *fixture) {
		if f.db.Engine() != db.SQLite {
			return // PostgreSQL's plans depend on how much there is; the indexes are the same
		}
		for what, q := range map[string]struct {
			query string
			args  []any
			index string
		}{
			"all":        {entityLists.Get().all, []any{1, 1, 1, 10, "a"}, "entity_by_state"},
			"byState":    {entityLists.Get().byState, []any{1, 1, 1, 10, "a", 1}, "entity_by_state"},
			"byName":     {entityLists.Get().byName, []any{1, 1, 1, 10, "a", "b"}, "entity_by_state"},
			"byDisplay":  {entityLists.Get().byDisplay, []any{1, 1, 1, 10, "a", "b"}, "entity_by_display"},
			"byProvider": {entityLists.Get().byProvider, []any{1, 1, 1, 10, "a", "b"}, "entity_by_provider"},
			"byEmail":    {entityLists.Get().byEmail, []any{1, 1, 1, 10, "a", "b"}, "address_primary"},
			"members":    {listMembers, []any{1, 1, 10}, "PRIMARY KEY"},
			"groups of":  {listGroupsOf, []any{1, "a", 1, 10}, "member_of"},
			"delegates":  {listDelegates, []any{1, 1, 10}, "PRIMARY KEY"},
			"addresses":  {listAddresses, []any{1, "a", 10}, "address_entity"},
			"domains":    {listDomains, []any{1, "a", 10}, "PRIMARY KEY"},
			"recipient":  {findRecipient, []any{"a", "b"}, "domain_verified"},
			"by name":    {entityByName, []any{1, "a"}, "entity_name"},
			"resolved":   {findUser.Get().byAny, []any{1, "a", "a"}, "entity_id"},
			"name or id": {findEntity.Get().byName, []any{1, "a", "a"}, "entity_name"},
			"bare name":  {signInByBareName, []any{"a"}, "entity_name"},
		} {
			plan := f.plan(q.query, q.args...)
			if !strings.Contains(plan, q.index) {
				f.t.Errorf("%s does not use %s:\n%s", what, q.index, plan)
			}
			for line := range strings.SplitSeq(plan, "\n") {
				table := strings.TrimPrefix(line, "SCAN ")
				merges := what == "all" || what == "byName"
				scans := table != line && !slices.Contains([]string{"found", "enabled", "disabled", "deleted"}, table) // parts of those
				if scans || strings.Contains(line, "TEMP B-TREE") && !merges {
					f.t.Errorf("%s: %s", what, line)
				}
			}
		}
	})
}

func (f *fixture) plan(query string, args ...any) string {
	f.t.Helper()
	var lines []string
	f.read(func(ctx context.Context, tx *db.Tx) error {
		rows, err := tx.Query(ctx, "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				id, parent, unused int
				detail             string
			)
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				return err
			}
			lines = append(lines, detail)
		}
		return rows.Err()
	})
	return strings.Join(lines, "\n")
}

func FuzzCursor(f *testing.F) {
	f.Add("12:text")
	f.Add(":")
	f.Add("9223372036854775808:x")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := textCursor(Page{After: s})
		if err != nil {
			if !fault.Is(err, fault.Invalid, fault.Token) {
				t.Fatal(err)
			}
			return
		}
		if again, err := textCursor(Page{After: p.String()}); s != "" && (err != nil || again != p) {
			t.Fatalf("%q is %+v, and again %+v, %v", s, p, again, err)
		}
	})
}
