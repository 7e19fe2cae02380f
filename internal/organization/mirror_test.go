package organization_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/organization"
)

const externalID = "d-0000000001"

// outside is an external directory in memory. It tells everything at first and then what changed, but for what it hides.
type outside struct {
	mu      sync.Mutex
	entries map[directory.EntityID]directory.Outside
	changed []directory.EntityID
	silent  bool // tells no change and no deletion: comparisons must find them
	fault   error
	asked   int
	// meanwhile runs inside Create, when the entry is there and nobody here knows.
	meanwhile func()
}

func newOutside() *outside { return &outside{entries: map[directory.EntityID]directory.Outside{}} }

func (d *outside) set(o directory.Outside) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.Kind == 0 {
		o.Kind = directory.KindUser
	}
	o.Place = "at " + string(o.ID)
	d.entries[o.ID] = o
	if !d.silent {
		d.changed = append(d.changed, o.ID)
	}
}

func (d *outside) drop(id directory.EntityID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries, id)
	if !d.silent {
		d.changed = append(d.changed, id)
	}
}

func (d *outside) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = err
}

func (d *outside) Type() string                { return directory.WritableDirectoryType }
func (d *outside) NameLimit() int              { return 20 }
func (d *outside) Probe(context.Context) error { return d.fault }

func (d *outside) Changes(ctx context.Context, cursor string, into directory.Mirror) (string, error) {
	d.mu.Lock()
	d.asked++
	if d.fault != nil {
		defer d.mu.Unlock()
		return "", d.fault
	}
	var from int
	_, _ = fmt.Sscan(cursor, &from)
	var put []directory.Outside
	var gone []directory.EntityID
	for _, id := range d.changed[from:] {
		if e, ok := d.entries[id]; ok {
			put = append(put, e)
		} else {
			gone = append(gone, id)
		}
	}
	next := fmt.Sprint(len(d.changed))
	d.mu.Unlock()
	if err := into.Put(ctx, put); err != nil {
		return "", err
	}
	return next, into.Gone(ctx, 0, gone)
}

func (d *outside) Present(context.Context) (map[directory.EntityID]struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	present := map[directory.EntityID]struct{}{}
	for id := range d.entries {
		present[id] = struct{}{}
	}
	return present, d.fault
}

func (d *outside) Find(_ context.Context, ids []directory.EntityID) (found []directory.Outside, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if e, ok := d.entries[id]; ok {
			found = append(found, e)
		}
	}
	return found, d.fault
}

func (d *outside) Create(_ context.Context, e directory.NewEntry) (directory.EntityID, string, error) {
	id := directory.EntityID("id-of-" + e.User.Name + e.Group.Name)
	d.set(directory.Outside{ID: id, Kind: e.Kind, Name: e.User.Name + e.Group.Name})
	if d.meanwhile != nil {
		d.meanwhile()
	}
	return id, "", nil
}

func (d *outside) Delete(_ context.Context, e directory.Entry) error {
	d.drop(e.ID)
	return nil
}

func (d *outside) UpdateUser(context.Context, directory.Entry, directory.UserChange) error {
	return nil
}

func (d *outside) UpdateResource(context.Context, directory.Entry, directory.ResourceChange) error {
	return nil
}
func (d *outside) SetAddress(context.Context, directory.Entry, string) error { return nil }
func (d *outside) SetMember(context.Context, directory.Entry, directory.Entry, bool) error {
	return nil
}

func (d *outside) SetPassword(context.Context, directory.Entry, string) (string, error) {
	return "", nil
}

func (d *outside) VerifyPassword(context.Context, directory.Entry, string, string) (bool, string, error) {
	return false, "", nil
}
func (d *outside) Waste(context.Context, string) error { return nil }

// abroad makes an organisation on d.
func (w *world) abroad() directory.OrgID {
	w.t.Helper()
	org, err := w.Create(w.ctx, admin, organization.Request{Alias: "abroad", DirectoryID: externalID})
	w.ok(err)
	w.untilState(org, directory.OrgActive)
	return org
}

func (w *world) names(org directory.OrgID) []string {
	w.t.Helper()
	users, _, err := w.directory.ListUsers(w.ctx, admin, org, directory.UserFilter{}, directory.Page{})
	w.ok(err)
	names := []string{}
	for i := range users {
		if users[i].State != directory.Deleted {
			names = append(names, users[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

func (w *world) wantNames(org directory.OrgID, want ...string) {
	w.t.Helper()
	if got := w.names(org); !slices.Equal(got, want) {
		w.t.Errorf("users %q, want %q", got, want)
	}
}

func inBothAbroad(t *testing.T, fn func(w *world, d *outside)) {
	t.Helper()
	d := newOutside()
	inBothWith(t, directory.Config{External: map[string]directory.Directory{externalID: d}}, func(w *world) {
		d.entries, d.changed, d.silent, d.fault, d.asked, d.meanwhile = map[directory.EntityID]directory.Outside{}, nil, false, nil, 0, nil
		fn(w, d)
	})
}

// TestMirror follows a directory by the job alone.
func TestMirror(t *testing.T) {
	inBothAbroad(t, func(w *world, d *outside) {
		shown := "The One"
		d.set(directory.Outside{ID: "u-1", Name: "one", User: directory.UserChange{DisplayName: &shown}})
		d.set(directory.Outside{ID: "u-2", Name: "two", System: true})
		d.set(directory.Outside{ID: "g-1", Kind: directory.KindGroup, Name: "all", Members: []string{"at u-1", "at u-2", "at u-3", "at g-1"}})
		org := w.abroad()
		w.wantNames(org, "one", "two")
		if u := w.describe(org, "u-1"); u.State != directory.Disabled || u.Role != directory.RoleUser || u.DisplayName != "The One" {
			t.Errorf("%+v", u)
		}
		if u := w.describe(org, "two"); u.Role != directory.RoleSystem {
			t.Errorf("%+v", u)
		}
		w.wantMembers(org, "all", "one", "two")
		d.set(directory.Outside{ID: "u-3", Name: "three"})
		w.pass(organization.DefaultMirrorEvery)
		w.wantMembers(org, "all", "one", "three", "two")

		w.register(org, "u-1", "one@abroad.awsapps.com")
		w.ok(w.directory.RemoveMember(w.ctx, admin, org, "all", "three"))
		w.wantMembers(org, "all", "one", "two")
		d.set(directory.Outside{ID: "g-1", Kind: directory.KindGroup, Name: "everybody", Members: []string{"at u-1"}})
		w.pass(organization.DefaultMirrorEvery)
		w.wantMembers(org, "everybody", "one")
		groups, _, err := w.directory.ListGroupsOf(w.ctx, admin, org, "one", "every", directory.Page{})
		if err != nil || len(groups) != 1 {
			t.Errorf("groups %+v, %v", groups, err)
		}

		// Gone while enabled: the mailbox has its thirty days, and who comes back under the same id gets it again.
		box := w.describe(org, "u-1").Mailbox
		d.drop("u-1")
		w.pass(organization.DefaultMirrorEvery)
		if u := w.describe(org, "u-1"); u.State != directory.Deleted || u.Email != "" {
			t.Errorf("gone there: %+v", u)
		}
		d.set(directory.Outside{ID: "u-1", Name: "one"})
		w.pass(organization.DefaultMirrorEvery)
		w.register(org, "u-1", "one@abroad.awsapps.com")
		if u := w.describe(org, "one"); u.State != directory.Enabled || u.Mailbox != box {
			t.Errorf("restored: %+v, mailbox before %d", u, box)
		}
		d.set(directory.Outside{ID: "u-1", Name: "one", Barred: true})
		w.pass(organization.DefaultMirrorEvery)
		if u := w.describe(org, "one"); u.State != directory.Disabled {
			t.Errorf("barred there: %+v", u)
		}

		if _, err := w.Delete(w.ctx, admin, org, organization.Deletion{Force: true}); err != nil {
			t.Fatal(err)
		}
		w.untilState(org, directory.OrgDeleted)
		asked := d.asked
		w.pass(10 * organization.DefaultMirrorEvery)
		if d.asked != asked {
			t.Error("the directory of a deleted organisation is still asked")
		}
		again, err := w.Create(w.ctx, admin, organization.Request{Alias: "abroad", DirectoryID: externalID})
		w.ok(err)
		w.untilState(again, directory.OrgActive)
		w.wantNames(again, "one", "three", "two")
	})
}

func (w *world) wantMembers(org directory.OrgID, group string, want ...string) {
	w.t.Helper()
	list, _, err := w.directory.ListMembers(w.ctx, admin, org, group, directory.Page{})
	w.ok(err)
	names := []string{}
	for i := range list {
		names = append(names, list[i].Name)
	}
	if slices.Sort(names); !slices.Equal(names, want) {
		w.t.Errorf("members of %s: %q, want %q", group, names, want)
	}
}

// TestMirrorNames holds that a name that two entries seem to have goes to the one that has it now.
func TestMirrorNames(t *testing.T) {
	inBothAbroad(t, func(w *world, d *outside) {
		d.set(directory.Outside{ID: "u-1", Name: "ann"})
		d.set(directory.Outside{ID: "u-2", Name: "bob"})
		org := w.abroad()
		_, err := w.directory.CreateResource(w.ctx, admin, org, directory.NewResource{Name: "room", Type: directory.Room})
		w.ok(err)
		d.silent = true // neither the renaming nor the deletion is told
		d.set(directory.Outside{ID: "u-1", Name: "annie"})
		d.drop("u-2")
		d.silent = false
		d.set(directory.Outside{ID: "u-3", Name: "ann"})
		d.set(directory.Outside{ID: "u-4", Name: "bob"})
		d.set(directory.Outside{ID: "u-5", Name: "room"}) // the resource's, which stays
		d.set(directory.Outside{ID: "u-6", Name: ""})
		w.pass(organization.DefaultMirrorEvery)
		w.wantNames(org, "ann", "annie", "bob")
		if w.describe(org, "ann").ID != "u-3" || w.describe(org, "bob").ID != "u-4" {
			t.Errorf("ann is %s, bob is %s", w.describe(org, "ann").ID, w.describe(org, "bob").ID)
		}
		w.ok(w.DeleteResource(w.ctx, admin, org, "room"))
		w.pass(organization.DefaultCompareEvery)
		w.wantNames(org, "ann", "annie", "bob", "room")
	})
}

// TestMirrorLoss hides most of a directory, as an account that lost its rights would.
func TestMirrorLoss(t *testing.T) {
	inBothAbroad(t, func(w *world, d *outside) {
		for i := range 60 {
			d.set(directory.Outside{ID: directory.EntityID(fmt.Sprintf("u-%02d", i)), Name: fmt.Sprintf("user%02d", i)})
		}
		org := w.abroad()
		if n := len(w.names(org)); n != 60 {
			t.Fatalf("%d users", n)
		}
		d.silent = true
		all := d.entries
		d.entries = map[directory.EntityID]directory.Outside{}
		w.pass(organization.DefaultCompareEvery)
		if n := len(w.names(org)); n != 60 {
			t.Errorf("%d users are left after the directory showed none", n)
		}
		w.wantFault(w.Mirror(w.ctx, org), fault.DirectoryRefusedUs, fault.Directory)
		d.entries = all
		for i := range 15 {
			d.drop(directory.EntityID(fmt.Sprintf("u-%02d", i)))
		}
		w.ok(w.Mirror(w.ctx, org))
		if n := len(w.names(org)); n != 45 {
			t.Errorf("%d users are left of 45", n)
		}
	})
}

// TestMirrorIsQuicker lets the mirror store a new user before its creator does.
func TestMirrorIsQuicker(t *testing.T) {
	inBothAbroad(t, func(w *world, d *outside) {
		org := w.abroad()
		d.meanwhile = func() { w.ok(w.Mirror(w.ctx, org)) }
		id, err := w.directory.CreateUser(w.ctx, admin, org, directory.NewUser{Name: "ann", DisplayName: "Ann", Hidden: true, Role: directory.RoleRemote})
		w.ok(err)
		if u := w.describe(org, "ann"); u.ID != id || !u.Hidden || u.Role != directory.RoleRemote || u.DisplayName != "Ann" {
			t.Errorf("%+v", u)
		}
		g, err := w.directory.CreateGroup(w.ctx, admin, org, directory.NewGroup{Name: "all", Hidden: true})
		w.ok(err)
		group, err := w.directory.DescribeGroup(w.ctx, admin, org, string(g))
		if err != nil || !group.Hidden {
			t.Errorf("%+v, %v", group, err)
		}
		if _, ok := d.entries[id]; !ok {
			t.Error("the entry was taken back")
		}
	})
}

// TestMirrorOfADirectoryThatIsDown asks again every minute, and loses nothing.
func TestMirrorOfADirectoryThatIsDown(t *testing.T) {
	inBothAbroad(t, func(w *world, d *outside) {
		d.fault = fault.New(fault.DirectoryDown, fault.Directory, "no answer")
		_, err := w.Create(w.ctx, admin, organization.Request{Alias: "abroad", DirectoryID: externalID})
		w.wantFault(err, fault.DirectoryDown, fault.Directory)
		d.fault = nil
		org := w.abroad()
		d.fail(fault.New(fault.DirectoryDown, fault.Directory, "no answer"))
		d.set(directory.Outside{ID: "u-1", Name: "ann"})
		asked := d.asked
		for range 20 {
			w.pass(organization.DefaultMirrorEvery)
		}
		if n := d.asked - asked; n != 20 {
			t.Errorf("asked %d times in 20 minutes", n)
		}
		w.wantNames(org)
		before := w.Mirrors()
		d.fail(nil)
		w.pass(organization.DefaultMirrorEvery)
		w.wantNames(org, "ann")
		if got := w.Mirrors(); len(before) != 1 || before[0].Directory != externalID || before[0].Failed != 20 ||
			!slices.Equal(got, []organization.MirrorStats{{Directory: externalID, Failed: 20, Finished: before[0].Finished + 1}}) {
			t.Errorf("the attempts were %+v, and then %+v", before, got)
		}
	})
}

// TestMirrorOfALargeGroup has more members than one transaction takes.
func TestMirrorOfALargeGroup(t *testing.T) {
	inBothAbroad(t, func(w *world, d *outside) {
		var places []string
		for i := range 700 {
			id := directory.EntityID(fmt.Sprintf("u-%03d", i))
			d.set(directory.Outside{ID: id, Name: fmt.Sprintf("user%03d", i)})
			places = append(places, "at "+string(id))
		}
		d.set(directory.Outside{ID: "g", Kind: directory.KindGroup, Name: "all", Members: places})
		org := w.abroad()
		count := func() (n int) {
			for page := (directory.Page{}); ; {
				list, next, err := w.directory.ListMembers(w.ctx, admin, org, "all", page)
				w.ok(err)
				n += len(list)
				if next == "" {
					return n
				}
				page.After = next
			}
		}
		if n := count(); n != 700 {
			t.Errorf("%d members", n)
		}
		d.set(directory.Outside{ID: "g", Kind: directory.KindGroup, Name: "all", Members: places[:3]})
		w.pass(time.Minute)
		if n := count(); n != 3 {
			t.Errorf("%d members are left", n)
		}
	})
}
