package mailbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"pgregory.net/rapid"
)

// model is what a mailbox should hold, kept in plain maps.
type model struct {
	folders map[FolderID]*modelFolder
	ids     map[ItemID]bool // given out
	last    ModSeq          // the highest number seen
}

type modelFolder struct {
	path     string
	noItems  bool
	validity uint32
	next     UID
	items    map[UID]*modelItem
	// marks are states seen before, to ask for the changes since.
	marks []mark
}

type modelItem struct {
	id     ItemID
	email  EmailID
	flags  Flags
	text   string
	modseq ModSeq
}

// mark is what a session knew of a folder at a number.
type mark struct {
	folder Folder
	known  map[UID]Flags
}

func (f *modelFolder) uids() []UID { return slices.Sorted(maps.Keys(f.items)) }

func (f *modelFolder) flags() map[UID]Flags {
	out := map[UID]Flags{}
	for u, it := range f.items {
		out[u] = it.flags
	}
	return out
}

// machine drives a store and its model through the same steps.
type machine struct {
	*rig
	*model
	id    ID
	steps int
}

func TestStoreBehavesAsItsModel(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, func(o *Options) { o.KeepDepartures, o.FewItems = 6, 1 })
		r.batch = 3 // every verb is cut into pieces
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			// PostgreSQL takes several times as long, and a quarter of the runs.
			if d.Engine() == db.PostgreSQL && rapid.IntRange(0, 3).Draw(rt, "run") != 0 {
				return
			}
			n++
			m := &machine{rig: r, model: &model{folders: map[FolderID]*modelFolder{}, ids: map[ItemID]bool{}}}
			m.id = r.mailbox(fmt.Sprintf("entity %d", n))
			list, err := r.Folders(context.Background(), m.id)
			r.ok(err)
			for _, f := range list.Folders {
				m.folders[f.ID] = &modelFolder{path: f.Path, validity: f.UIDValidity, next: 1, items: map[UID]*modelItem{}}
			}
			rt.Repeat(map[string]func(*rapid.T){
				"":            m.verify,
				"deliver":     m.deliver,
				"deliver2":    m.deliver,
				"storeFlags":  m.storeFlags,
				"copy":        m.copy,
				"move":        m.move,
				"expunge":     m.expunge,
				"create":      m.create,
				"rename":      m.rename,
				"delete":      m.deleteFolder,
				"renameInbox": m.renameInbox,
			})
		})
	})
}

func (m *machine) anyFolder(rt *rapid.T, label string) (FolderID, *modelFolder) {
	ids := slices.Sorted(maps.Keys(m.folders))
	id := rapid.SampledFrom(ids).Draw(rt, label)
	return id, m.folders[id]
}

// anySet draws a set that may name UIDs that aren't there.
func anySet(rt *rapid.T, f *modelFolder) UIDSet {
	var ranges []UIDRange
	for range rapid.IntRange(1, 4).Draw(rt, "ranges") {
		first := rapid.Uint32Range(1, uint32(f.next)+1).Draw(rt, "first")
		last := rapid.OneOf(rapid.Just(first), rapid.Uint32Range(first, uint32(f.next)+2), rapid.Just(uint32(MaxUID))).Draw(rt, "last")
		ranges = append(ranges, UIDRange{UID(first), UID(last)})
	}
	return NewUIDSet(ranges...)
}

func (f *modelFolder) in(set UIDSet) (out []UID) {
	for _, u := range f.uids() {
		if set.Contains(u) {
			out = append(out, u)
		}
	}
	return out
}

var flagGen = rapid.Custom(func(rt *rapid.T) Flags {
	return Flags(rapid.Uint64().Draw(rt, "flags")) & (Seen | Deleted | Flagged | Junk)
})

// fresh notes a number that must be new.
func (m *machine) fresh(rt *rapid.T, n ModSeq) {
	if n <= m.last {
		rt.Fatalf("number %d was given after %d", n, m.last)
	}
	m.last = n
}

func (m *machine) arrive(rt *rapid.T, f *modelFolder, uid UID, it *modelItem) {
	if uid != f.next {
		rt.Fatalf("UID %d was given in %s where %d is next", uid, f.path, f.next)
	}
	f.next++
	f.items[uid] = it
}

func (m *machine) deliver(rt *rapid.T) {
	m.steps++
	body := fmt.Sprintf("message %d", m.steps)
	var targets []Target
	for range rapid.IntRange(1, 3).Draw(rt, "targets") {
		fid, f := m.anyFolder(rt, "target")
		if f.noItems {
			_, err := m.Deliver(context.Background(), text(body), Target{Mailbox: m.id, Folder: fid})
			if !fault.Is(err, fault.Unsupported, fault.Folder) {
				rt.Fatalf("Deliver into a name: %v", err)
			}
			return
		}
		targets = append(targets, Target{Mailbox: m.id, Folder: fid, Flags: flagGen.Draw(rt, "flags")})
	}
	out, err := m.Deliver(context.Background(), text(body), targets...)
	if err != nil {
		rt.Fatalf("Deliver: %v", err)
	}
	for i, st := range out {
		if m.ids[st.ID] {
			rt.Fatalf("item id %d was given out twice", st.ID)
		}
		m.ids[st.ID] = true
		m.fresh(rt, st.ModSeq)
		m.arrive(rt, m.folders[st.Folder], st.UID, &modelItem{st.ID, st.Email, targets[i].Flags, body, st.ModSeq})
	}
}

func (m *machine) storeFlags(rt *rapid.T) {
	fid, f := m.anyFolder(rt, "folder")
	set := anySet(rt, f)
	c := FlagChange{Add: flagGen.Draw(rt, "add"), Remove: flagGen.Draw(rt, "remove")}
	since := rapid.OneOf(rapid.Just(Always), rapid.Map(rapid.Int64Range(0, int64(m.last)), func(v int64) ModSeq { return ModSeq(v) })).Draw(rt, "since")
	got, err := m.StoreFlags(context.Background(), m.id, fid, set, c, since)
	if err != nil {
		rt.Fatalf("StoreFlags: %v", err)
	}
	var failed UIDSet
	changed := got.Changed
	for _, u := range f.in(set) {
		it := f.items[u]
		flags := c.Apply(it.flags)
		switch {
		case since != Always && it.modseq > since:
			failed.add(u)
		case flags != it.flags:
			if len(changed) == 0 || changed[0].UID != u || changed[0].Flags != flags {
				rt.Fatalf("StoreFlags told of %v where UID %d got %v", changed, u, flags)
			}
			if id := got.Items[len(got.Changed)-len(changed)]; id != it.id {
				rt.Fatalf("StoreFlags told of item %d where UID %d is %d", id, u, it.id)
			}
			m.fresh(rt, changed[0].ModSeq)
			it.flags, it.modseq = flags, changed[0].ModSeq
			changed = changed[1:]
		}
	}
	if len(changed) > 0 || failed.String() != got.Failed.String() {
		rt.Fatalf("StoreFlags changed %v too many, failed %s and not %s", changed, got.Failed, failed)
	}
}

func (m *machine) copy(rt *rapid.T) {
	from, f := m.anyFolder(rt, "from")
	to, g := m.anyFolder(rt, "to")
	set := anySet(rt, f)
	in := f.in(set)
	c, err := m.Copy(context.Background(), m.id, from, set, to)
	if g.noItems {
		if !fault.Is(err, fault.Unsupported, fault.Folder) {
			rt.Fatalf("Copy into a name: %v", err)
		}
		return
	}
	if err != nil || !slices.Equal(c.From, in) {
		rt.Fatalf("Copy took %v and not %v: %v", c.From, in, err)
	}
	sources := map[UID]*modelItem{}
	for _, u := range in {
		sources[u] = f.items[u]
	}
	rows := map[UID]Item{}
	for _, it := range m.items(m.id, to, WantItem) {
		rows[it.UID] = it
	}
	for i, u := range in {
		row := rows[c.To[i]]
		if m.ids[row.ID] || row.ID == 0 || c.Copies[i] != row.ID || c.Items[i] != sources[u].id {
			rt.Fatalf("copy %d of %d has id %d, and is told as %d of %d", c.To[i], sources[u].id, row.ID, c.Copies[i], c.Items[i])
		}
		m.ids[row.ID] = true
		m.fresh(rt, row.ModSeq)
		src := sources[u]
		m.arrive(rt, g, c.To[i], &modelItem{row.ID, src.email, src.flags, src.text, row.ModSeq})
	}
}

func (m *machine) move(rt *rapid.T) {
	from, f := m.anyFolder(rt, "from")
	to, g := m.anyFolder(rt, "to")
	set := anySet(rt, f)
	in := f.in(set)
	c, err := m.Move(context.Background(), m.id, from, set, to)
	if g.noItems {
		if !fault.Is(err, fault.Unsupported, fault.Folder) {
			rt.Fatalf("Move into a name: %v", err)
		}
		return
	}
	if err != nil || !slices.Equal(c.From, in) {
		rt.Fatalf("Move took %v and not %v: %v", c.From, in, err)
	}
	m.moved(rt, f, g, to, c)
}

func (m *machine) moved(rt *rapid.T, f, g *modelFolder, to FolderID, c Copied) {
	rows := map[UID]Item{}
	for _, it := range m.items(m.id, to, WantItem) {
		rows[it.UID] = it
	}
	for i, u := range c.From {
		it := f.items[u]
		if c.Items[i] != it.id {
			rt.Fatalf("the moved %d is told as %d", it.id, c.Items[i])
		}
		delete(f.items, u)
		m.fresh(rt, rows[c.To[i]].ModSeq)
		it.modseq = rows[c.To[i]].ModSeq
		m.arrive(rt, g, c.To[i], it)
	}
}

func (m *machine) expunge(rt *rapid.T) {
	fid, f := m.anyFolder(rt, "folder")
	set := anySet(rt, f)
	only := rapid.Bool().Draw(rt, "only deleted")
	var want UIDSet
	var items []ItemID
	for _, u := range f.in(set) {
		if !only || f.items[u].flags.Has(Deleted) {
			want.add(u)
			items = append(items, f.items[u].id)
			delete(f.items, u)
		}
	}
	gone, err := m.Expunge(context.Background(), m.id, fid, set, only)
	if err != nil || gone.UIDs.String() != want.String() || !slices.Equal(gone.Items, items) || (gone.Highest == 0) != (len(want) == 0) {
		rt.Fatalf("Expunge removed %+v and not %s, %v: %v", gone, want, items, err)
	}
	if gone.Highest > 0 {
		m.fresh(rt, gone.Highest)
	}
}

var paths = rapid.SampledFrom([]string{"a", "b", "a/x", "a/y", "a/x/deep", "b/x", "INBOX/sub"})

func (m *machine) byPath(path string) (FolderID, *modelFolder) {
	for id, f := range m.folders {
		if strings.EqualFold(f.path, path) {
			return id, f
		}
	}
	return 0, nil
}

// adopt takes folders that appeared into the model: they must be empty and wanted.
func (m *machine) adopt(rt *rapid.T, wanted ...string) {
	list, err := m.Folders(context.Background(), m.id)
	m.ok(err)
	for _, f := range list.Folders {
		if m.folders[f.ID] != nil {
			continue
		}
		if !slices.Contains(wanted, f.Path) || f.Messages != 0 || f.UIDNext != 1 {
			rt.Fatalf("folder %+v appeared where %q were wanted", f, wanted)
		}
		m.folders[f.ID] = &modelFolder{path: f.Path, noItems: !f.Selectable(), validity: f.UIDValidity, next: 1, items: map[UID]*modelItem{}}
	}
}

func above(path string) (out []string) {
	for i := range path {
		if path[i] == '/' {
			out = append(out, path[:i])
		}
	}
	return append(out, path)
}

func (m *machine) create(rt *rapid.T) {
	path := paths.Draw(rt, "path")
	_, old := m.byPath(path)
	got, err := m.CreateFolder(context.Background(), m.id, path, Mail, NoUse)
	switch {
	case old != nil && !old.noItems:
		if !fault.Is(err, fault.Exists, fault.Folder) {
			rt.Fatalf("CreateFolder(%q) twice: %v", path, err)
		}
		return
	case err != nil:
		rt.Fatalf("CreateFolder(%q): %v", path, err)
	case old != nil:
		old.noItems, old.validity = false, got.UIDValidity
		old.marks = nil
		return
	}
	m.adopt(rt, above(path)...)
}

func (m *machine) rename(rt *rapid.T) {
	from, to := paths.Draw(rt, "from"), paths.Draw(rt, "to")
	_, f := m.byPath(from)
	_, g := m.byPath(to)
	err := m.RenameFolder(context.Background(), m.id, from, to)
	switch {
	case f == nil:
		if !fault.Is(err, fault.NotFound, fault.Folder) {
			rt.Fatalf("rename of nothing: %v", err)
		}
		return
	case g != nil:
		if !fault.Is(err, fault.Exists, fault.Folder) {
			rt.Fatalf("rename over a folder: %v", err)
		}
		return
	case strings.HasPrefix(to, from+"/"):
		if !fault.Is(err, fault.Invalid, fault.Folder) {
			rt.Fatalf("rename below itself: %v", err)
		}
		return
	case err != nil:
		rt.Fatalf("RenameFolder(%q, %q): %v", from, to, err)
	}
	for _, c := range m.folders {
		if c.path == from || strings.HasPrefix(c.path, from+"/") {
			c.path = to + c.path[len(from):]
		}
	}
	m.adopt(rt, above(to)...)
}

func (m *machine) renameInbox(rt *rapid.T) {
	to := paths.Draw(rt, "to")
	if _, g := m.byPath(to); g != nil {
		return
	}
	if err := m.RenameFolder(context.Background(), m.id, "inbox", to); err != nil {
		rt.Fatalf("RenameFolder(INBOX, %q): %v", to, err)
	}
	inbox := m.folders[InboxID]
	list, err := m.Folders(context.Background(), m.id)
	m.ok(err)
	for _, f := range list.Folders {
		if m.folders[f.ID] == nil {
			m.folders[f.ID] = &modelFolder{path: f.Path, validity: f.UIDValidity, next: 1, items: map[UID]*modelItem{}}
		}
	}
	id, g := m.byPath(to)
	if g == nil {
		rt.Fatalf("renaming INBOX made no %q", to)
	}
	c := Copied{From: inbox.uids()}
	for i := range c.From {
		c.To = append(c.To, UID(i+1))
		c.Items = append(c.Items, inbox.items[c.From[i]].id)
	}
	m.moved(rt, inbox, g, id, c)
}

func (m *machine) deleteFolder(rt *rapid.T) {
	path := paths.Draw(rt, "path")
	below := rapid.Bool().Draw(rt, "below")
	id, f := m.byPath(path)
	var under []FolderID
	for c, g := range m.folders {
		if strings.HasPrefix(g.path, path+"/") {
			under = append(under, c)
		}
	}
	err := m.DeleteFolder(context.Background(), m.id, path, below)
	switch {
	case f == nil:
		if !fault.Is(err, fault.NotFound, fault.Folder) {
			rt.Fatalf("delete of nothing: %v", err)
		}
	case !below && len(under) > 0 && f.noItems:
		if !fault.Is(err, fault.InUse, fault.Folder) {
			rt.Fatalf("delete of a name above others: %v", err)
		}
	case err != nil:
		rt.Fatalf("DeleteFolder(%q): %v", path, err)
	default:
		delete(m.folders, id)
		if below {
			for _, c := range under {
				delete(m.folders, c)
			}
		} else if len(under) > 0 {
			m.adopt(rt, path)
			if _, name := m.byPath(path); name == nil || !name.noItems {
				rt.Fatalf("no name is left of %q above others", path)
			}
		}
		if _, err := m.Changes(context.Background(), m.id, id, 1); !fault.Is(err, fault.NotFound, fault.Folder) {
			rt.Fatalf("Changes of a deleted folder: %v", err)
		}
	}
}

// verify compares everything a reader can see.
func (m *machine) verify(rt *rapid.T) {
	ctx := context.Background()
	list, err := m.Folders(ctx, m.id)
	m.ok(err)
	if len(list.Folders) != len(m.folders) {
		rt.Fatalf("%d folders, want %d", len(list.Folders), len(m.folders))
	}
	for i := range list.Folders {
		f := &list.Folders[i]
		want := m.folders[f.ID]
		if want == nil || f.Path != want.path || f.UIDNext != want.next || f.UIDValidity != want.validity || f.Selectable() == want.noItems {
			rt.Fatalf("folder %+v, want %+v", f, want)
		}
		if f.Messages != int64(len(want.items)) {
			rt.Fatalf("folder %s counts %d items, want %d", f.Path, f.Messages, len(want.items))
		}
		if rapid.IntRange(0, len(list.Folders)).Draw(rt, "look") > 2 { // about two folders a step
			continue
		}
		if again, err := m.Folder(ctx, m.id, strings.ToUpper(f.Path)); err != nil || again != *f {
			rt.Fatalf("Folder(%q) is %+v and not %+v: %v", f.Path, again, *f, err)
		}
		m.verifyItems(rt, f, want)
		m.verifyChanges(rt, f, want)
		if len(want.marks) < 4 && rapid.Bool().Draw(rt, "mark") {
			want.marks = append(want.marks, mark{*f, want.flags()})
		}
	}
}

func (m *machine) verifyItems(rt *rapid.T, f *Folder, want *modelFolder) {
	uids := want.uids()
	l, err := m.UIDList(context.Background(), m.id, f)
	if err != nil {
		rt.Fatalf("UIDList(%s): %v", f.Path, err)
	}
	var listed []UID
	for _, u := range l.All() {
		listed = append(listed, u)
	}
	if !slices.Equal(listed, uids) || int(f.Messages) != len(uids) {
		rt.Fatalf("folder %s lists %v and counts %d, want %v", f.Path, listed, f.Messages, uids)
	}
	m.verifyFlags(rt, f.ID, want)
	var unseen, deleted int64
	for i, it := range m.items(m.id, f.ID, WantMeta|WantBody) {
		w := want.items[it.UID]
		if w == nil || it.UID != uids[i] || it.ID != w.id || it.Flags != w.flags || it.ModSeq != w.modseq || it.Email != w.email {
			rt.Fatalf("item %+v in %s, want %+v", it, f.Path, w)
		}
		if got := string(m.bytes(&it)); got != "Subject: test\r\n\r\n"+w.text || string(it.Envelope) != "envelope of "+w.text {
			rt.Fatalf("item %d holds %q with %q, want %q", it.ID, got, it.Envelope, w.text)
		}
		unseen += int64(b2i(!it.Flags.Has(Seen)))
		deleted += int64(b2i(it.Flags.Has(Deleted)))
	}
	if f.Unseen != unseen || f.DeletedMarked != deleted {
		rt.Fatalf("folder %s counts %d unseen, %d deleted; want %d, %d", f.Path, f.Unseen, f.DeletedMarked, unseen, deleted)
	}
	mask := Flags(rapid.Uint64Range(1, 1<<8-1).Draw(rt, "mask"))
	flags := mask & Flags(rapid.Uint64Range(0, 1<<8-1).Draw(rt, "flags"))
	found, err := m.Search(context.Background(), m.id, f.ID, &Criterion{Op: FlagsAre, Mask: mask, Flags: flags}, nil, false)
	m.ok(err)
	others, err := m.Search(context.Background(), m.id, f.ID, &Criterion{Op: Not, Sub: []Criterion{{Op: FlagsAre, Mask: mask, Flags: flags}}}, nil, false)
	m.ok(err)
	uids = slices.DeleteFunc(uids, func(u UID) bool { return want.items[u].flags&mask != flags })
	if got := slices.Collect(found.UIDs.All()); !slices.Equal(got, uids) || int(others.UIDs.Len()) != len(want.items)-len(uids) {
		rt.Fatalf("%v have flags %x under %x in %s, want %v; %d have not", got, flags, mask, f.Path, uids, others.UIDs.Len())
	}
}

// verifyFlags reads the flags of some items, which may be from memory.
func (m *machine) verifyFlags(rt *rapid.T, f FolderID, want *modelFolder) {
	if rapid.IntRange(0, 4).Draw(rt, "forget") == 0 {
		m.snaps = newSnapshots(m.limits.SnapshotBytes)
	}
	set := anySet(rt, want)
	since := rapid.OneOf(rapid.Just(ModSeq(0)), rapid.Map(rapid.Int64Range(1, int64(m.last)+1), func(v int64) ModSeq { return ModSeq(v) })).Draw(rt, "since")
	asked := rapid.SampledFrom([]Want{WantFlags, WantModSeq}).Draw(rt, "want")
	uids := slices.DeleteFunc(want.in(set), func(u UID) bool { return since > 0 && want.items[u].modseq <= since })
	for it, err := range m.Fetch(context.Background(), m.id, f, set, asked, since) {
		m.ok(err)
		if len(uids) == 0 || it.UID != uids[0] || it.Flags != want.items[it.UID].flags || asked == WantModSeq && it.ModSeq != want.items[it.UID].modseq {
			rt.Fatalf("%s since %d of %s told of %+v, want UIDs %v", set, since, want.path, it, uids)
		}
		uids = uids[1:]
	}
	if len(uids) > 0 {
		rt.Fatalf("%s since %d of %s lacks UIDs %v", set, since, want.path, uids)
	}
}

// verifyChanges makes sure that what a session knew at a mark and the changes since give what is there.
func (m *machine) verifyChanges(rt *rapid.T, f *Folder, want *modelFolder) {
	for _, k := range want.marks {
		c, err := m.Changes(context.Background(), m.id, f.ID, k.folder.Highest)
		if err != nil {
			rt.Fatalf("Changes(%s since %d): %v", f.Path, k.folder.Highest, err)
		}
		known := maps.Clone(k.known)
		for _, ch := range c.Changed {
			if old, was := known[ch.UID]; was && old == ch.Flags && want.items[ch.UID].modseq <= k.folder.Highest {
				rt.Fatalf("Changes(%s since %d) tells of %+v, which did not change", f.Path, k.folder.Highest, ch)
			}
			known[ch.UID] = ch.Flags
		}
		if !slices.IsSortedFunc(c.Changed, func(a, b FlagUpdate) int { return int(a.UID) - int(b.UID) }) {
			rt.Fatalf("Changes are not ascending: %v", c.Changed)
		}
		if c.Forgotten != (k.folder.Highest < f.Floor) {
			rt.Fatalf("Forgotten is %v with floor %d since %d", c.Forgotten, f.Floor, k.folder.Highest)
		}
		if c.Forgotten {
			maps.DeleteFunc(known, func(u UID, _ Flags) bool { return want.items[u] == nil })
		} else {
			for u := range c.Vanished.All() {
				if want.items[u] != nil || u >= f.UIDNext {
					rt.Fatalf("UID %d of %s vanished and is there", u, f.Path)
				}
				delete(known, u)
			}
			// The list of that time can still be told.
			l, err := m.UIDList(context.Background(), m.id, &k.folder)
			if err != nil || l.Len() != len(k.known) {
				rt.Fatalf("UIDList at %d has %d UIDs, want %d: %v", k.folder.Highest, l.Len(), len(k.known), err)
			}
			for _, u := range l.All() {
				if _, was := k.known[u]; !was {
					rt.Fatalf("UIDList at %d has UID %d", k.folder.Highest, u)
				}
			}
		}
		if !maps.Equal(known, want.flags()) {
			rt.Fatalf("%s since %d: changes give %v, want %v", f.Path, k.folder.Highest, known, want.flags())
		}
	}
}
