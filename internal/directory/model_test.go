package directory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"pgregory.net/rapid"
)

// model is the directory as a person would keep it on paper.
type model struct {
	names   map[string]EntityID // folded, of the living
	all     map[EntityID]*modelEntity
	holders map[string]EntityID // of folded addresses
}

type modelEntity struct {
	kind     Kind
	state    State
	name     string
	primary  string
	aliases  map[string]bool
	recalled map[string]bool // aliases that come back
	members  map[EntityID]bool
}

// TestDirectoryAgainstModel runs random verbs against the directory and the model: both must give the same results, the same
// faults, and in the end the same lists.
func TestDirectoryAgainstModel(t *testing.T) {
	for _, engine := range []struct {
		name string
		open func(testing.TB, []db.Migration) *db.DB
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		t.Run(engine.name, func(t *testing.T) {
			f := newFixture(t, engine.open(t, migrations()), Config{Limits: Limits{Aliases: 3}})
			run := 0
			rapid.Check(t, func(rt *rapid.T) {
				run++
				f.org = f.organization(fmt.Sprint("run", run))
				m := &model{names: map[string]EntityID{}, all: map[EntityID]*modelEntity{}, holders: map[string]EntityID{}}
				rt.Repeat(map[string]func(*rapid.T){
					"create":       func(rt *rapid.T) { m.create(rt, f) },
					"enable":       func(rt *rapid.T) { m.enable(rt, f) },
					"disable":      func(rt *rapid.T) { m.disable(rt, f) },
					"delete":       func(rt *rapid.T) { m.delete(rt, f) },
					"create alias": func(rt *rapid.T) { m.createAlias(rt, f) },
					"delete alias": func(rt *rapid.T) { m.deleteAlias(rt, f) },
					"set primary":  func(rt *rapid.T) { m.setPrimary(rt, f) },
					"add member":   func(rt *rapid.T) { m.addMember(rt, f) },
					"drop member":  func(rt *rapid.T) { m.dropMember(rt, f) },
				})
				m.compare(rt, f)
			})
		})
	}
}

// agree fails the run unless err is the fault that the model foresees; Internal means none.
func agree(rt *rapid.T, what string, err error, want fault.Kind) bool {
	if got := kindOrPass(err); got != want {
		rt.Fatalf("%s: %v, the model says %v", what, err, want)
	}
	return err == nil
}

func (m *model) pick(rt *rapid.T) (EntityID, *modelEntity) {
	if len(m.all) == 0 {
		rt.Skip("nobody is there")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.all))).Draw(rt, "entity")
	return id, m.all[id]
}

func (m *model) address(rt *rapid.T, f *fixture) string {
	local := rapid.SampledFrom([]string{"a", "A", "b", "B+x", "c"}).Draw(rt, "local part")
	return local + "@" + f.TestDomain(f.org.Alias)
}

func (m *model) create(rt *rapid.T, f *fixture) {
	name := rapid.SampledFrom([]string{"ann", "Ann", "bob", "BOB", "x.y", "guest", "zed"}).Draw(rt, "name")
	kind := rapid.SampledFrom([]Kind{KindUser, KindGroup, KindResource}).Draw(rt, "kind")
	var (
		id  EntityID
		err error
	)
	switch kind {
	case KindUser:
		id, err = f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: name})
	case KindGroup:
		id, err = f.CreateGroup(f.ctx, admin, f.org.ID, NewGroup{Name: name})
	case KindResource:
		id, err = f.CreateResource(f.ctx, admin, f.org.ID, NewResource{Name: name, Type: Room})
	}
	want := fault.Internal
	switch {
	case name == "guest":
		want = fault.Reserved
	case m.names[Fold(name)] != "":
		want = fault.Exists
	}
	if agree(rt, "create "+name, err, want) {
		m.names[Fold(name)] = id
		m.all[id] = &modelEntity{kind: kind, state: Disabled, name: name, aliases: map[string]bool{}, recalled: map[string]bool{}, members: map[EntityID]bool{}}
	}
}

// enable is what registering does to the directory; the states it may be called in are organization's to check.
func (m *model) enable(rt *rapid.T, f *fixture) {
	id, e := m.pick(rt)
	if e.state != Disabled {
		rt.Skip("not disabled")
	}
	address := m.address(rt, f)
	want := fault.Internal
	if m.holders[Fold(address)] != "" {
		want = fault.Exists
	}
	if !agree(rt, "enable", f.tryEnable(id, address), want) {
		return
	}
	e.state, e.primary = Enabled, address
	m.holders[Fold(address)] = id
	for alias := range e.recalled {
		if m.holders[alias] == "" && len(e.aliases) < 3 {
			e.aliases[alias] = true
			m.holders[alias] = id
		}
	}
	clear(e.recalled)
}

func (m *model) disable(rt *rapid.T, f *fixture) {
	id, e := m.pick(rt)
	if e.state != Enabled {
		rt.Skip("not enabled")
	}
	f.disable(id)
	for alias := range e.aliases {
		e.recalled[alias] = true
	}
	e.recalled[Fold(e.primary)] = true
	m.free(id)
	e.state, e.primary = Disabled, ""
	clear(e.aliases)
}

func (m *model) free(id EntityID) {
	maps.DeleteFunc(m.holders, func(_ string, holder EntityID) bool { return holder == id })
}

func (m *model) delete(rt *rapid.T, f *fixture) {
	id, e := m.pick(rt)
	if e.state != Disabled {
		rt.Skip("not disabled")
	}
	f.delete(id)
	e.state = Deleted
	clear(e.members)
	clear(e.recalled)
	delete(m.names, Fold(e.name))
	for _, other := range m.all {
		delete(other.members, id)
	}
}

func (m *model) createAlias(rt *rapid.T, f *fixture) {
	id, e := m.pick(rt)
	address := m.address(rt, f)
	holder := m.holders[Fold(address)]
	want := fault.Internal
	switch {
	case e.state != Enabled:
		want = fault.State
	case holder == id:
	case holder != "":
		want = fault.Exists
	case len(e.aliases) >= 3:
		want = fault.Limit
	}
	if agree(rt, "create alias "+address, f.CreateAlias(f.ctx, admin, f.org.ID, id, address), want) && holder == "" {
		e.aliases[Fold(address)] = true
		m.holders[Fold(address)] = id
	}
}

func (m *model) deleteAlias(rt *rapid.T, f *fixture) {
	id, e := m.pick(rt)
	address := m.address(rt, f)
	want := fault.Internal
	switch {
	case e.state == Deleted:
		want = fault.State
	case e.state == Enabled && Fold(e.primary) == Fold(address):
		want = fault.Invalid
	}
	if agree(rt, "delete alias "+address, f.DeleteAlias(f.ctx, admin, f.org.ID, id, address), want) {
		if e.aliases[Fold(address)] {
			delete(e.aliases, Fold(address))
			delete(m.holders, Fold(address))
		}
		delete(e.recalled, Fold(address))
	}
}

func (m *model) setPrimary(rt *rapid.T, f *fixture) {
	id, e := m.pick(rt)
	address := m.address(rt, f)
	holder := m.holders[Fold(address)]
	want := fault.Internal
	switch {
	case e.state != Enabled:
		want = fault.State
	case holder != "" && holder != id:
		want = fault.Exists
	case holder == "" && len(e.aliases) >= 3:
		want = fault.Limit
	}
	if agree(rt, "set primary "+address, f.SetPrimaryAddress(f.ctx, admin, f.org.ID, string(id), address), want) {
		e.aliases[Fold(e.primary)] = true
		delete(e.aliases, Fold(address))
		e.primary = address
		m.holders[Fold(address)] = id
	}
}

func (m *model) contains(group, member EntityID) bool {
	for id := range m.all[group].members {
		if id == member || m.contains(id, member) {
			return true
		}
	}
	return false
}

func (m *model) addMember(rt *rapid.T, f *fixture) {
	group, g := m.pick(rt)
	member, e := m.pick(rt)
	want := fault.Internal
	switch {
	case g.kind != KindGroup:
		want = fault.NotFound
	case g.state == Deleted || e.state == Deleted:
		want = fault.State
	case e.kind == KindResource || group == member || m.contains(member, group):
		want = fault.Invalid
	}
	if agree(rt, "add member", f.AddMember(f.ctx, admin, f.org.ID, string(group), string(member)), want) {
		g.members[member] = true
	}
}

func (m *model) dropMember(rt *rapid.T, f *fixture) {
	group, g := m.pick(rt)
	member, e := m.pick(rt)
	want := fault.Internal
	switch {
	case g.kind != KindGroup:
		want = fault.NotFound
	case g.state == Deleted || e.state == Deleted:
		want = fault.State
	}
	if agree(rt, "drop member", f.RemoveMember(f.ctx, admin, f.org.ID, string(group), string(member)), want) {
		delete(g.members, member)
	}
}

// compare reads everything back.
func (m *model) compare(rt *rapid.T, f *fixture) {
	err := f.db.Read(f.ctx, func(ctx context.Context, tx *db.Tx) error {
		for id, e := range m.all {
			got, err := f.EntityByIDTx(ctx, tx, f.org.Key, id)
			if err != nil {
				return err
			}
			if got.State != e.state || got.Kind != e.kind || got.Name != e.name || got.Email != e.primary {
				rt.Fatalf("%s is %+v, the model says %+v", id, got, e)
			}
			addresses, err := addressesTx(ctx, tx, got.Key, "", pageLimit)
			if err != nil {
				return err
			}
			var held []string
			for _, a := range addresses {
				held = append(held, a.key)
			}
			want := slices.Collect(maps.Keys(e.aliases))
			if e.state == Enabled {
				want = append(want, Fold(e.primary))
			}
			slices.Sort(want)
			if !slices.Equal(held, want) {
				rt.Fatalf("%s has %v, the model says %v", id, held, want)
			}
		}
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
	for id, e := range m.all {
		if e.kind != KindGroup || e.state == Deleted {
			continue
		}
		members, _, err := f.ListMembers(f.ctx, admin, f.org.ID, string(id), Page{})
		if err != nil {
			rt.Fatal(err)
		}
		var got []EntityID
		for _, member := range members {
			got = append(got, member.ID)
		}
		slices.Sort(got)
		if want := slices.Sorted(maps.Keys(e.members)); !slices.Equal(got, want) {
			rt.Fatalf("group %s has %v, the model says %v", id, got, want)
		}
	}
}
