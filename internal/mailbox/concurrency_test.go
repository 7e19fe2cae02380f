package mailbox

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
)

// TestNumbersBecomeVisibleInOrder has 16 writers at work on three mailboxes while readers follow a folder of each by its
// changes alone. A number that became visible after a higher one would be missed by its reader, and the end would differ.
func TestNumbersBecomeVisibleInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		const writers, rounds = 16, 12
		boxes := []ID{r.mailbox("a"), r.mailbox("b"), r.mailbox("c")}
		numbers := numberBook{seen: map[ID]map[ModSeq]string{}}
		var finished atomic.Bool
		var work, readers sync.WaitGroup
		followed := make([]*follower, len(boxes))
		for i, id := range boxes {
			followed[i] = &follower{rig: r, id: id, known: map[UID]Flags{}, since: 1}
			readers.Go(func() {
				for !finished.Load() {
					followed[i].look(t)
				}
				followed[i].look(t)
			})
		}
		readers.Go(func() { // the checker may run beside all this
			for !finished.Load() {
				r.check()
				_, err := r.Sweep(t.Context())
				if err != nil {
					t.Errorf("Sweep: %v", err)
				}
			}
		})
		for w := range writers {
			work.Go(func() {
				for n := range rounds {
					if err := writeSomething(t.Context(), r, boxes, w, n, &numbers); err != nil {
						t.Errorf("writer %d: %v", w, err)
					}
				}
			})
		}
		work.Wait()
		finished.Store(true)
		readers.Wait()
		for _, f := range followed {
			want := map[UID]Flags{}
			for _, it := range r.items(f.id, InboxID, WantFlags) {
				want[it.UID] = it.Flags
			}
			if !maps.Equal(f.known, want) {
				t.Errorf("mailbox %s: who followed the changes has %d items, there are %d", f.id, len(f.known), len(want))
			}
		}
		for _, fault := range numbers.faults {
			t.Error(fault)
		}
	})
}

// writeSomething does the n'th round of writer w.
func writeSomething(ctx context.Context, r *rig, boxes []ID, w, n int, book *numberBook) error {
	id := boxes[(w+n)%len(boxes)]
	m := text(fmt.Sprint("from ", w, " ", n))
	if w == 0 { // in a blob
		m.Source.Bytes = randomBytes(DefaultInlineLimit + n)
	}
	out, err := r.Deliver(ctx, m, Target{Mailbox: boxes[n%3]}, Target{Mailbox: boxes[(n+w)%3]})
	if err != nil {
		return err
	}
	for _, s := range out {
		book.note(s.Mailbox, s.ModSeq, "deliver")
	}
	for k := range 3 { // one by one, among what others write
		res, err := r.StoreFlags(ctx, id, InboxID, UIDs(UID(w+n+k)), FlagChange{Add: Flagged << (k % 2), Remove: Flagged << ((k + 1) % 2)}, Always)
		for _, c := range res.Changed {
			book.note(id, c.ModSeq, "a single store")
		}
		if err != nil {
			return err
		}
	}
	switch n % 4 {
	case 0:
		res, err := r.StoreFlags(ctx, id, InboxID, AllUIDs(), FlagChange{Add: Flags(1) << (w % 5)}, Always)
		for _, c := range res.Changed {
			book.note(id, c.ModSeq, "store")
		}
		return err
	case 1:
		_, err := r.Copy(ctx, id, InboxID, UIDs(UID(w+1), UID(n+1)), TrashID)
		return err
	case 2:
		_, err := r.Move(ctx, id, InboxID, UIDs(UID(n+1), UID(2*w+1)), TrashID)
		return err
	}
	_, err = r.Expunge(ctx, id, InboxID, UIDs(UID(3*w+1)), false)
	return err
}

// numberBook notes which numbers were given out, and which twice.
type numberBook struct {
	mu     sync.Mutex
	seen   map[ID]map[ModSeq]string
	faults []string
}

func (b *numberBook) note(id ID, n ModSeq, by string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen[id] == nil {
		b.seen[id] = map[ModSeq]string{}
	}
	if other, twice := b.seen[id][n]; twice {
		b.faults = append(b.faults, fmt.Sprintf("mailbox %s: number %d was given to %s and to %s", id, n, other, by))
	}
	b.seen[id][n] = by
}

// follower knows a folder by its changes alone.
type follower struct {
	*rig
	id    ID
	known map[UID]Flags
	since ModSeq
	next  UID
}

func (f *follower) look(t *testing.T) {
	c, err := f.Changes(context.Background(), f.id, InboxID, f.since)
	if err != nil {
		t.Errorf("Changes: %v", err)
		return
	}
	for _, ch := range c.Changed {
		if ch.ModSeq <= f.since || ch.ModSeq > c.Folder.Highest {
			t.Errorf("UID %d came with number %d in a look from %d to %d", ch.UID, ch.ModSeq, f.since, c.Folder.Highest)
		}
		if _, was := f.known[ch.UID]; !was && ch.UID < f.next {
			t.Errorf("UID %d became visible after UID %d", ch.UID, f.next-1)
		}
		f.known[ch.UID] = ch.Flags
	}
	for u := range c.Vanished.All() {
		delete(f.known, u)
	}
	l, err := f.UIDList(context.Background(), f.id, &c.Folder)
	if err != nil || l.Len() != len(f.known) {
		t.Errorf("the list at %d has %d UIDs, want %d: %v", c.Folder.Highest, l.Len(), len(f.known), err)
	}
	f.since, f.next = c.Folder.Highest, c.Folder.UIDNext
}

// Flags that are read beside a writer are those of one moment, and none that had passed when they were asked for.
func TestFlagsAreReadBesideTheirWriter(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		const rounds, shift = 60, 8 // the round is a number in keywords
		id := r.mailbox("a")
		r.many(id, 2*rounds, text("x"))
		var begun, done atomic.Int64
		read := func(since ModSeq) {
			first := Flags(done.Load())
			var flags Flags
			n := 0
			for it, err := range r.Fetch(context.Background(), id, InboxID, AllUIDs(), WantFlags, since) {
				if err != nil {
					t.Errorf("Fetch: %v", err)
					return
				}
				if n++; n == 1 {
					flags = it.Flags
				} else if it.Flags != flags {
					t.Errorf("since %d: item %d is of round %d, those before of %d", since, it.UID, it.Flags>>shift, flags>>shift)
				}
			}
			if last := Flags(begun.Load()); n < rounds || flags>>shift < first || flags>>shift > last {
				t.Errorf("since %d: %d items are of round %d, in those from %d to %d", since, n, flags>>shift, first, last)
			}
		}
		var readers sync.WaitGroup
		for since := range ModSeq(2) {
			readers.Go(func() {
				for done.Load() < rounds {
					read(since)
				}
				read(since)
			})
		}
		for n := int64(1); n <= rounds; n++ {
			begun.Store(n)
			flags := Flags(n) << shift
			_, err := r.StoreFlags(t.Context(), id, InboxID, AllUIDs(), FlagChange{Remove: AllFlags, Add: flags}, Always)
			done.Store(n)
			if err == nil {
				_, err = r.Expunge(t.Context(), id, InboxID, UIDs(UID(2*n)), false)
			}
			if err == nil {
				_, err = r.Deliver(t.Context(), text("y"), Target{Mailbox: id, Flags: flags})
			}
			if err != nil {
				t.Errorf("round %d: %v", n, err)
			}
		}
		readers.Wait()
	}, func(o *Options) { o.FewItems = 1 })
}

func TestACallerWhoGivesUpChangesNothingHalf(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		id := r.mailbox("a")
		var wg sync.WaitGroup
		for w := range 16 {
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() {
				for n := range 10 {
					if n == 5 {
						cancel()
					}
					_, err := r.Deliver(ctx, text(fmt.Sprint(w, n)), Target{Mailbox: id}, Target{Mailbox: id, Folder: SentID})
					if err != nil && n < 5 {
						t.Errorf("Deliver before the caller gave up: %v", err)
					}
				}
				cancel()
			})
		}
		wg.Wait()
		if a, b := len(r.items(id, InboxID, WantFlags)), len(r.items(id, SentID, WantFlags)); a != b || a < 80 {
			t.Errorf("%d and %d items of deliveries to both", a, b)
		}
	})
}
