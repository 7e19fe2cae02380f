package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

// many puts n items into the inbox, 1,000 at a time.
func (r *rig) many(id ID, n int, m Message) {
	r.t.Helper()
	for n > 0 {
		k := min(n, 1000)
		_, err := r.Deliver(context.Background(), m, slices.Repeat([]Target{{Mailbox: id}}, k)...)
		r.ok(err)
		n -= k
	}
}

func TestFetchGoesThroughManyPages(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		const n = 3*pageItems + 7
		r.many(id, n, text("x"))
		_, err := r.Expunge(ctx, id, InboxID, NewUIDSet(UIDRange{100, 250}, UIDRange{1000, 1001}), false)
		r.ok(err)
		gone := func(u UID) bool { return u >= 100 && u <= 250 || u == 1000 || u == 1001 }
		var every3rd, scattered []UID
		for u := UID(1); u <= n; u++ {
			if u%3 == 0 {
				every3rd = append(every3rd, u)
			}
			if u%200 == 1 {
				scattered = append(scattered, u)
			}
		}
		for name, set := range map[string]UIDSet{
			"all":       AllUIDs(),
			"none":      nil,
			"every 3rd": UIDs(every3rd...),
			"scattered": UIDs(scattered...),
			"ranges":    NewUIDSet(UIDRange{1, 600}, UIDRange{640, 1200}, UIDRange{1300, MaxUID}),
			"beyond":    UIDs(n + 5),
		} {
			for _, want := range []Want{WantFlags, WantModSeq, WantItem, WantEnvelope, WantMeta, WantPrefix, WantBody, WantEnvelope | WantBody, WantMeta | WantBody} {
				var expect, got []UID
				for u := UID(1); u <= n; u++ {
					if set.Contains(u) && !gone(u) {
						expect = append(expect, u)
					}
				}
				held := slices.Clone(set)
				for it, err := range r.Fetch(ctx, id, InboxID, set, want, 0) {
					r.ok(err)
					got = append(got, it.UID)
					if it.ModSeq == 0 && want != WantFlags || (it.Size != 0) != (want&^(WantModSeq|WantEnvelope) != 0) ||
						(it.Envelope != nil) != (want&(WantEnvelope|WantMeta) != 0) || (it.Structure != nil) != (want&WantMeta != 0) {
						t.Fatalf("%s, want %d: %+v", name, want, it)
					}
				}
				if !slices.Equal(got, expect) {
					t.Errorf("%s, want %d: %d items, expected %d", name, want, len(got), len(expect))
				}
				if !slices.Equal(held, set) {
					t.Errorf("%s: Fetch changed the caller's set", name)
				}
			}
		}
	})
}

func TestFetchReadsBigBodiesFewAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		data := randomBytes(100_000)
		r.many(id, 40, Message{Source: Source{Bytes: data}})
		n := 0
		p := pager{store: r.Store, id: id, folder: InboxID, want: WantBody.full(), set: AllUIDs()}
		for !p.done() {
			r.ok(p.read(t.Context()))
			if len(p.page) > 2*pageBytes/len(data) {
				t.Errorf("a page holds %d bodies of %d bytes", len(p.page), len(data))
			}
			for i := range p.page {
				if !bytes.Equal(r.bytes(&p.page[i]), data) {
					t.Errorf("UID %d came back changed", p.page[i].UID)
				}
				n++
			}
		}
		if n != 40 {
			t.Errorf("%d bodies came of 40", n)
		}
	})
}

// A reader that dawdles between two items must not keep writers waiting, nor see half of what they do.
func TestASlowReaderHoldsNobodyUp(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		r.many(id, 2*pageItems, text("x"))
		seen := 0
		for it, err := range r.Fetch(ctx, id, InboxID, AllUIDs(), WantBody, 0) {
			r.ok(err)
			if seen++; seen == 1 {
				// All this happens while the loop stands at its first item.
				r.put(id, InboxID, "new", 0)
				_, err := r.Expunge(ctx, id, InboxID, NewUIDSet(UIDRange{pageItems + 1, 2 * pageItems}), false)
				r.ok(err)
			}
			if len(r.bytes(it)) == 0 {
				t.Error("an item without bytes")
			}
		}
		if seen != pageItems+1 {
			t.Errorf("%d items were seen, want the first page and the new one", seen)
		}
	})
}

// The flags of many items are of one moment, whatever happens before the last of them is taken.
func TestFlagsOfManyAreOfOneMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		r.many(id, 2*pageItems, text("x"))
		_, err := r.StoreFlags(ctx, id, InboxID, UIDs(1, 3, 2*pageItems), FlagChange{Add: Flagged}, Always)
		r.ok(err)
		_, err = r.Expunge(ctx, id, InboxID, UIDs(2), false)
		r.ok(err)
		for round, want := range []Flags{0, Seen} { // the second time from lists that are brought up to date
			var flagged UIDSet
			n := 0
			for it, err := range r.Fetch(ctx, id, InboxID, NewUIDSet(UIDRange{1, 2 * pageItems}), WantFlags, 0) {
				r.ok(err)
				if n++; n == 1 && round == 0 {
					_, err := r.StoreFlags(ctx, id, InboxID, AllUIDs(), FlagChange{Add: Seen}, Always)
					r.ok(err)
					_, err = r.Expunge(ctx, id, InboxID, UIDs(2*pageItems-1), false)
					r.ok(err)
				}
				if it.Flags&Seen != want {
					t.Fatalf("round %d: item %d has flags %x", round, it.UID, it.Flags)
				}
				if it.Flags.Has(Flagged) {
					flagged.add(it.UID)
				}
			}
			if flagged.String() != "1,3,1024" || n != 2*pageItems-1-round {
				t.Errorf("round %d: %d items, of which %s are flagged", round, n, flagged)
			}
		}
	})
}

func TestFetchChangedSince(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		r.many(id, 50, text("x"))
		since := r.get(id, InboxID).Highest
		_, err := r.StoreFlags(ctx, id, InboxID, UIDs(7, 9, 30), FlagChange{Add: Seen}, Always)
		r.ok(err)
		r.put(id, InboxID, "new", 0)
		var got UIDSet
		for it, err := range r.Fetch(ctx, id, InboxID, NewUIDSet(UIDRange{8, MaxUID}), WantMeta, since) {
			r.ok(err)
			got.add(it.UID)
		}
		if got.String() != "9,30,51" {
			t.Errorf("changed since %d: %s", since, got)
		}
		for _, err := range r.Fetch(ctx, id, 99, AllUIDs(), WantFlags, 1) {
			wantFault(t, err, fault.NotFound, fault.Folder)
		}
	})
}

// Who reads slowly what changed makes the server hold no more changes than some thousands.
func TestManyChangesAreNotHeld(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		r.many(id, changesHeld+1, text("x"))
		since := r.get(id, InboxID).Highest
		_, err := r.StoreFlags(ctx, id, InboxID, AllUIDs(), FlagChange{Add: Seen}, Always)
		r.ok(err)
		for _, read := range []bool{true, false} { // again, when the last is reached
			n, last := 0, Flags(0)
			for it, err := range r.Fetch(ctx, id, InboxID, AllUIDs(), WantFlags, since) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 1 {
					_, err := r.StoreFlags(ctx, id, InboxID, UIDs(changesHeld+1), FlagChange{Add: Flagged}, Always)
					r.ok(err)
				}
				last = it.Flags
			}
			if last.Has(Flagged) != read {
				t.Errorf("of %d changes the last has flags %x", n, last)
			}
			_, err := r.StoreFlags(ctx, id, InboxID, UIDs(changesHeld+1), FlagChange{Remove: Flagged}, Always)
			r.ok(err)
			_, err = r.Expunge(ctx, id, InboxID, UIDs(1), false)
			r.ok(err)
		}
	})
}

func TestSnapshotsStayWithinTheirMemory(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		var boxes []ID
		for i := range 6 {
			id := r.mailbox(fmt.Sprint(i))
			boxes = append(boxes, id)
			r.many(id, 3, text("x"))
		}
		for range 2 {
			for _, id := range boxes {
				f := r.get(id, InboxID)
				l, err := r.UIDList(ctx, id, &f)
				if err != nil || l.Len() != 3 {
					t.Errorf("UIDList has %d UIDs: %v", l.Len(), err)
				}
			}
		}
		if n := r.snaps.order.Len(); n > 3 || len(r.snaps.byKey) != n || r.snaps.used > 1000 {
			t.Errorf("%d snapshots of %d bytes are kept", n, r.snaps.used)
		}
	}, func(o *Options) { o.SnapshotBytes = 1000 })
}

// What is asked about a state long ago can't be told once departures are forgotten.
func TestAStateLongAgoIsNotMadeUp(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.batch = 2
		id := r.mailbox("a")
		r.many(id, 30, text("x"))
		old := r.get(id, InboxID)
		_, err := r.Expunge(ctx, id, InboxID, NewUIDSet(UIDRange{3, 25}), false)
		r.ok(err)
		now := r.get(id, InboxID)
		if now.Floor <= old.Highest {
			t.Fatalf("the floor is %d after 23 departures of which 2 are kept", now.Floor)
		}
		r.snaps = newSnapshots(1 << 20) // Expunge left the old list there
		_, err = r.UIDList(ctx, id, &old)
		wantFault(t, err, fault.Temporary, fault.Folder)
		c, err := r.Changes(ctx, id, InboxID, old.Highest)
		if err != nil || !c.Forgotten || c.Vanished != nil {
			t.Errorf("changes since %d: %+v, %v", old.Highest, c, err)
		}
		if n := r.count("SELECT COUNT(*) FROM vanished"); n < 2 || n > 2+2*2+2 {
			t.Errorf("%d departures are remembered", n)
		}
	}, func(o *Options) { o.KeepDepartures = 2 })
}

// A set that matches nothing, in a folder of more than a batch, still tells what is wrong with the folder it is to go to.
func TestNothingCannotGoWhereNothingCanLie(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.batch = 2
		id := r.mailbox("a")
		r.many(id, 5, text("x"))
		_, err := r.CreateFolder(ctx, id, "Name/Below", Mail, NoUse)
		r.ok(err)
		r.ok(r.DeleteFolder(ctx, id, "Name", false))
		name, err := r.Folder(ctx, id, "Name")
		r.ok(err)
		set := NewUIDSet(UIDRange{100, 200})
		_, err = r.Copy(ctx, id, InboxID, set, name.ID)
		wantFault(t, err, fault.Unsupported, fault.Folder)
		_, err = r.Move(ctx, id, InboxID, set, name.ID)
		wantFault(t, err, fault.Unsupported, fault.Folder)
		c, err := r.Copy(ctx, id, InboxID, set, InboxID)
		if err != nil || len(c.To) != 0 {
			t.Errorf("copied %+v, %v", c, err)
		}
	})
}
