package mailbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"pgregory.net/rapid"
)

// agingItem is what the model of retention knows of an item.
type agingItem struct {
	folder  FolderID
	flags   Flags
	since   time.Time // from when its age counts
	expires time.Time // of one that is recoverable
}

// agingMachine drives a mailbox and its model through time.
type agingMachine struct {
	*rig
	id                 ID
	items, recoverable map[ItemID]*agingItem
	folders            []FolderID
	uses               map[FolderID]Use // the rule that holds in a folder
}

// TestRetentionBehavesAsItsModel: whatever came, moved and changed, a rule removes exactly what is older than its period, each
// item is in a folder or recoverable and never both, and what is recoverable comes back until its time is over.
func TestRetentionBehavesAsItsModel(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, func(o *Options) { o.KeepDepartures, o.KeepRecoverable = 6, 3*day })
		r.batch = 3
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			if d.Engine() == db.PostgreSQL && rapid.IntRange(0, 3).Draw(rt, "run") != 0 {
				return // it takes several times as long
			}
			n++
			m := &agingMachine{rig: r, items: map[ItemID]*agingItem{}, recoverable: map[ItemID]*agingItem{}}
			m.id = r.mailbox(fmt.Sprintf("aging %d", n))
			thrown, filed := r.folder(m.id, "Deleted Items/x"), r.folder(m.id, "INBOX/y")
			m.folders = []FolderID{InboxID, TrashID, DraftsID, thrown.ID, filed.ID}
			m.uses = map[FolderID]Use{InboxID: Inbox, TrashID: Trash, DraftsID: Drafts, thrown.ID: Trash}
			rt.Repeat(map[string]func(*rapid.T){
				"":        m.verify,
				"deliver": m.deliver,
				"more":    m.deliver,
				"flags":   m.flag,
				"move":    m.move,
				"copy":    m.copy,
				"expunge": m.expunge,
				"pass":    m.pass,
				"pass2":   m.pass,
				"retain":  m.apply,
				"recover": m.recover,
				"sweep":   m.sweep,
			})
		})
	})
}

func (m *agingMachine) folder(rt *rapid.T) FolderID {
	return rapid.SampledFrom(m.folders).Draw(rt, "folder")
}

// some draws a part of a folder.
func (m *agingMachine) some(rt *rapid.T, f FolderID) (set UIDSet, ids []ItemID) {
	var uids []UID
	for _, it := range m.rig.items(m.id, f, WantItem) {
		if rapid.Bool().Draw(rt, "this") {
			uids, ids = append(uids, it.UID), append(ids, it.ID)
		}
	}
	return UIDs(uids...), ids
}

func (m *agingMachine) deliver(rt *rapid.T) {
	f, now := m.folder(rt), m.clock.Now()
	received := now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(rt, "dated days ago")) * day)
	for range rapid.IntRange(1, 5).Draw(rt, "n") {
		out, err := m.Deliver(context.Background(), text("x"), Target{Mailbox: m.id, Folder: f, Received: received})
		m.ok(err)
		m.items[out[0].ID] = &agingItem{folder: f, since: now}
	}
}

func (m *agingMachine) flag(rt *rapid.T) {
	f := m.folder(rt)
	set, ids := m.some(rt, f)
	c := FlagChange{Add: flagGen.Draw(rt, "add"), Remove: flagGen.Draw(rt, "remove")}
	_, err := m.StoreFlags(context.Background(), m.id, f, set, c, Always)
	m.ok(err)
	for _, id := range ids {
		it := m.items[id]
		if flags := c.Apply(it.flags); flags != it.flags {
			it.flags, it.since = flags, m.clock.Now()
		}
	}
}

func (m *agingMachine) move(rt *rapid.T) {
	from, to := m.folder(rt), m.folder(rt)
	set, ids := m.some(rt, from)
	_, err := m.Move(context.Background(), m.id, from, set, to)
	m.ok(err)
	for _, id := range ids {
		m.items[id].folder, m.items[id].since = to, m.clock.Now()
	}
}

func (m *agingMachine) copy(rt *rapid.T) {
	from, to := m.folder(rt), m.folder(rt)
	set, _ := m.some(rt, from)
	_, err := m.Copy(context.Background(), m.id, from, set, to)
	m.ok(err)
	for _, it := range m.rig.items(m.id, to, WantItem) {
		if m.items[it.ID] == nil {
			m.items[it.ID] = &agingItem{folder: to, flags: it.Flags, since: m.clock.Now()}
		}
	}
}

func (m *agingMachine) expunge(rt *rapid.T) {
	f := m.folder(rt)
	set, ids := m.some(rt, f)
	_, err := m.Expunge(context.Background(), m.id, f, set, false)
	m.ok(err)
	for _, id := range ids {
		delete(m.items, id)
	}
}

func (m *agingMachine) pass(rt *rapid.T) {
	m.clock.Advance(time.Duration(rapid.IntRange(1, 60).Draw(rt, "hours")) * time.Hour)
}

func (m *agingMachine) apply(rt *rapid.T) {
	var rules []Rule
	for _, use := range []Use{Inbox, Trash, Drafts} {
		if days := rapid.IntRange(0, 4).Draw(rt, "days"); days > 0 {
			rules = append(rules, m.rule(use, days, rapid.Bool().Draw(rt, "recoverable")))
		}
	}
	want, now := 0, m.clock.Now()
	for id, it := range m.items {
		for _, rule := range rules {
			if m.uses[it.folder] != rule.Use || it.since.After(rule.Before) {
				continue
			}
			want++
			delete(m.items, id)
			if rule.Recoverable {
				it.expires = now.Add(3 * day)
				m.recoverable[id] = it
			}
		}
	}
	if got := m.retain(m.id, rules...); got != want {
		rt.Fatalf("%+v removed %d items, want %d", rules, got, want)
	}
}

func (m *agingMachine) recover(rt *rapid.T) {
	ids := slices.Sorted(maps.Keys(m.recoverable))
	ids = slices.DeleteFunc(ids, func(ItemID) bool { return rapid.Bool().Draw(rt, "not this") })
	to := rapid.SampledFrom(append(m.folders, 0)).Draw(rt, "to")
	_, err := m.Recover(context.Background(), m.id, append(ids, 1<<40), to)
	if !fault.Is(err, fault.NotFound, fault.Message) {
		rt.Fatalf("an unknown item was recovered: %v", err)
	}
	back := map[ItemID]bool{} // whole pieces before the unknown one
	for i := range len(ids) / m.batch * m.batch {
		back[ids[i]] = true
	}
	out, err := m.Recover(context.Background(), m.id, slices.DeleteFunc(slices.Clone(ids), func(id ItemID) bool { return back[id] }), to)
	if err != nil || len(out) != len(ids)-len(back) {
		rt.Fatalf("recovered %d of %d: %v", len(out), len(ids)-len(back), err)
	}
	for _, id := range ids {
		it := m.recoverable[id]
		delete(m.recoverable, id)
		it.flags &^= Deleted
		if it.since = m.clock.Now(); to != 0 {
			it.folder = to
		}
		m.items[id] = it
	}
}

func (m *agingMachine) sweep(rt *rapid.T) {
	for more := true; more; {
		var err error
		more, err = m.Sweep(context.Background())
		m.ok(err)
	}
	maps.DeleteFunc(m.recoverable, func(_ ItemID, it *agingItem) bool { return !it.expires.After(m.clock.Now()) })
}

// verify compares what is in the folders and what is recoverable.
func (m *agingMachine) verify(rt *rapid.T) {
	found, bytes := 0, int64(0)
	for _, f := range m.folders {
		items := m.rig.items(m.id, f, WantItem)
		for _, it := range items {
			if w := m.items[it.ID]; w == nil || w.folder != f || w.flags != it.Flags {
				rt.Fatalf("folder %d holds %+v, want %+v", f, it, w)
			}
			found, bytes = found+1, bytes+it.Size
		}
		if row := m.get(m.id, f); row.Messages != int64(len(items)) {
			rt.Fatalf("folder %d counts %d of %d items", f, row.Messages, len(items))
		}
	}
	if d, err := m.Details(context.Background(), m.id); err != nil || found != len(m.items) || d.Bytes != bytes {
		rt.Fatalf("%d items of %d bytes, want %d; the mailbox counts %d: %v", found, bytes, len(m.items), d.Bytes, err)
	}
	list := m.rig.recoverable(m.id)
	for _, it := range list {
		if w := m.recoverable[it.ID]; w == nil || w.folder != it.Folder || w.flags != it.Flags || !w.expires.Equal(it.Expires) {
			rt.Fatalf("recoverable is %+v, want %+v", it, w)
		}
	}
	if len(list) != len(m.recoverable) {
		rt.Fatalf("%d items are recoverable, want %d", len(list), len(m.recoverable))
	}
}
