package mailbox

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestUIDSetForms(t *testing.T) {
	for _, c := range []struct {
		in   []UIDRange
		want string
		n    int64
	}{
		{nil, "", 0},
		{[]UIDRange{{3, 3}}, "3", 1},
		{[]UIDRange{{5, 2}}, "2:5", 4},
		{[]UIDRange{{4, 6}, {1, 3}}, "1:6", 6},
		{[]UIDRange{{1, 3}, {2, 9}, {11, 12}, {10, 10}, {14, 14}}, "1:12,14", 13},
		{[]UIDRange{{7, MaxUID}, {1, MaxUID}}, "1:4294967295", 1<<32 - 1},
		{[]UIDRange{{MaxUID, MaxUID}, {MaxUID - 1, MaxUID}}, "4294967294:4294967295", 2},
	} {
		s := NewUIDSet(c.in...)
		if s.String() != c.want || s.Len() != c.n {
			t.Errorf("NewUIDSet(%v) is %s with %d UIDs, want %s with %d", c.in, s, s.Len(), c.want, c.n)
		}
	}
	s := NewUIDSet(UIDRange{2, 3}, UIDRange{MaxUID, MaxUID})
	if got := slices.Collect(s.All()); !slices.Equal(got, []UID{2, 3, MaxUID}) {
		t.Errorf("All gives %v", got)
	}
}

// anyUIDs draws UIDs in clumps, so that full, holed and sparse windows come up.
func anyUIDs(rt *rapid.T, label string) map[UID]bool {
	out := map[UID]bool{}
	for range rapid.IntRange(0, 6).Draw(rt, label) {
		first := rapid.SampledFrom([]uint32{1, 4000, 4096, 8192, 12000, 1 << 20, 1<<32 - 5000}).Draw(rt, "clump") + rapid.Uint32Range(0, 100).Draw(rt, "offset")
		n := rapid.SampledFrom([]uint32{1, 2, 63, 64, 65, 4096, 4800}).Draw(rt, "length")
		step := rapid.SampledFrom([]uint32{1, 1, 2, 7}).Draw(rt, "step")
		for u := first; u < first+n && u >= first; u += step {
			out[UID(u)] = true
		}
	}
	return out
}

func sortedUIDs(m map[UID]bool) []UID {
	var out []UID
	for u := range m {
		out = append(out, u)
	}
	slices.Sort(out)
	return out
}

func checkList(t *rapid.T, l *UIDList, want []UID) {
	var got []UID
	for seq, u := range l.All() {
		if seq != len(got)+1 {
			t.Fatalf("sequence number %d after %d", seq, len(got))
		}
		got = append(got, u)
	}
	if !slices.Equal(got, want) || l.Len() != len(want) {
		t.Fatalf("list holds %d UIDs, counts %d, want %d", len(got), l.Len(), len(want))
	}
}

func TestUIDListBehavesAsASortedSlice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var l *UIDList
		all := map[UID]bool{}
		for range 4 {
			more, less := anyUIDs(rt, "more"), anyUIDs(rt, "less")
			before, held := l, sortedUIDs(all)
			l = l.With(UIDs(sortedUIDs(more)...))
			for u := range more {
				all[u] = true
			}
			l = l.Without(UIDs(sortedUIDs(less)...))
			for u := range less {
				delete(all, u)
			}
			checkList(rt, before, held) // lists are immutable
		}
		want := sortedUIDs(all)
		checkList(rt, l, want)
		probes := append(sortedUIDs(anyUIDs(rt, "probes")), 0, MaxUID)
		for i := 0; i < len(want); i += 1 + len(want)/50 {
			probes = append(probes, want[i], want[i]+1)
			if got := l.UID(i + 1); got != want[i] {
				rt.Fatalf("UID(%d) is %d, want %d", i+1, got, want[i])
			}
		}
		for _, u := range probes {
			i, in := slices.BinarySearch(want, u)
			if in {
				i++
			}
			if rank, found := l.Rank(u); rank != i || found != in {
				rt.Fatalf("Rank(%d) is %d, %v; want %d, %v", u, rank, found, i, in)
			}
			if seq, found := l.Seq(u); found != in || (in && seq != i) {
				rt.Fatalf("Seq(%d) is %d, %v", u, seq, found)
			}
		}
		checkSets(rt, l, want)
	})
}

func TestUIDListsAreCombinedAsSets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := sortedUIDs(anyUIDs(rt, "a")), sortedUIDs(anyUIDs(rt, "b"))
		var none *UIDList
		l, m := none.With(UIDs(a...)), none.With(UIDs(b...))
		in := func(list []UID) func(UID) bool {
			return func(u UID) bool { _, ok := slices.BinarySearch(list, u); return ok }
		}
		notIn := func(list []UID) func(UID) bool { return func(u UID) bool { return !in(list)(u) } }
		checkList(rt, l.And(m), slices.DeleteFunc(slices.Clone(a), notIn(b)))
		checkList(rt, l.Minus(m), slices.DeleteFunc(slices.Clone(a), in(b)))
		checkList(rt, l.Or(m), slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b)))))
		checkList(rt, l, a)
		checkList(rt, m, b)
	})
}

func TestFlagListsBehaveAsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var whole flagListsBuilder
		flags := map[UID]Flags{}
		uids := sortedUIDs(anyUIDs(rt, "at first"))
		for _, u := range uids {
			flags[u] = Flags(u*0x9e3779b1) & (Seen | Deleted | Junk)
			whole.add(u, flags[u])
		}
		lists := whole.done(1)
		var updates []FlagUpdate
		for _, u := range sortedUIDs(anyUIDs(rt, "changed")) {
			flags[u] = Flags(u*0x85ebca6b) & (Seen | Flagged | Important)
			updates = append(updates, FlagUpdate{UID: u, Flags: flags[u]})
			uids = append(uids, u)
		}
		for u, f := range lists.with(updates, 2).of(UIDs(uids...)) {
			if flags[u] != f {
				rt.Fatalf("UID %d has flags %x, want %x", u, f, flags[u])
			}
			delete(flags, u)
		}
		if len(flags) > 0 {
			rt.Fatalf("the flags of %d UIDs are not told", len(flags))
		}
	})
}

// checkSets compares what a list says of a set with the plain way.
func checkSets(rt *rapid.T, l *UIDList, want []UID) {
	set := UIDs(sortedUIDs(anyUIDs(rt, "set"))...)
	var in []UID
	for _, u := range want {
		if set.Contains(u) {
			in = append(in, u)
		}
	}
	if got := slices.Collect(l.Within(set).All()); !slices.Equal(got, in) {
		rt.Fatalf("Within gives %d UIDs, want %d", len(got), len(in))
	}
	if got := l.Count(set); got != len(in) {
		rt.Fatalf("Count is %d, want %d", got, len(in))
	}
	rows, ranges := rapid.IntRange(1, 300).Draw(rt, "rows"), rapid.IntRange(1, 5).Draw(rt, "ranges")
	var got []UID
	for _, piece := range l.pieces(set, rows, ranges) {
		n := 0
		for _, u := range want {
			if piece.Contains(u) {
				got = append(got, u)
				n++
			}
		}
		if n == 0 || n > rows || len(piece) > ranges {
			rt.Fatalf("a piece of %d UIDs in %d ranges, at most %d and %d", n, len(piece), rows, ranges)
		}
	}
	if !slices.Equal(got, in) {
		rt.Fatalf("pieces hold %d UIDs, want %d", len(got), len(in))
	}
	if len(want) > 2 {
		if got := slices.Collect(l.Set(2, len(want)-1).All()); !slices.Equal(got, want[1:len(want)-1]) {
			rt.Fatal("Set gives other UIDs than the sequence numbers have")
		}
	}
}

func TestALargeFolderTakesLittleMemory(t *testing.T) {
	dense := (*UIDList)(nil).With(UIDSet{{1, 250_000}})
	if n := dense.Bytes(); n > 4<<10 {
		t.Errorf("250,000 UIDs without gaps take %d bytes", n)
	}
	var every UIDSet
	for u := UID(1); u < 500_000; u += 2 {
		every.add(u)
	}
	if n := (*UIDList)(nil).With(every).Bytes(); n > 100<<10 {
		t.Errorf("250,000 UIDs with a gap behind each take %d bytes", n)
	}
	less := dense.Without(UIDs(5, 200_000))
	if less.Len() != 249_998 || less.Bytes() > 8<<10 {
		t.Errorf("a list with two gaps has %d UIDs in %d bytes", less.Len(), less.Bytes())
	}
}
