package mailbox

import (
	"context"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// marker marks single messages one by one.
type marker struct {
	*rig
	t    *testing.T
	id   ID
	last ModSeq
}

// mark changes a flag of a message and wants a higher number for it than any before.
func (m *marker) mark(s *Store, uid UID) {
	m.t.Helper()
	flags := m.items(m.id, InboxID, WantFlags)[uid-1].Flags
	res, err := s.StoreFlags(m.t.Context(), m.id, InboxID, UIDs(uid), FlagChange{Add: ^flags & Flagged, Remove: flags & Flagged}, Always)
	m.ok(err)
	if len(res.Changed) != 1 || res.Changed[0].ModSeq <= m.last || res.Changed[0].ModSeq != m.get(m.id, InboxID).Highest {
		m.t.Fatalf("marking UID %d after number %d did %+v; the folder's highest is %d", uid, m.last, res.Changed, m.get(m.id, InboxID).Highest)
	}
	m.last = res.Changed[0].ModSeq
}

func (m *marker) counter() ModSeq {
	d, err := m.Details(m.t.Context(), m.id)
	m.ok(err)
	return d.Change
}

func newMarker(t *testing.T, r *rig) *marker {
	m := &marker{rig: r, t: t, id: r.mailbox("ann")}
	for _, body := range []string{"x", "y"} {
		m.last = r.put(m.id, InboxID, body, 0).ModSeq
	}
	return m
}

func TestSpareNumbersRiseThroughAllOtherWrites(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		m := newMarker(t, r)
		other := newRig(t, r.db).Store // it knows nothing of the first one's numbers, as after a restart
		for range 3 {
			m.mark(r.Store, 1)
			before, counter := m.last, m.counter()
			m.mark(r.Store, 2)
			if r.db.Engine() == db.SQLite && (m.last != before+1 || m.counter() != counter) {
				t.Errorf("the second mark has number %d after %d, and the mailbox's counter went from %d to %d", m.last, before, counter, m.counter())
			}
			m.last = max(m.last, m.put(m.id, SentID, "z", 0).ModSeq)
			m.mark(r.Store, 1)
			m.mark(other, 2)
			m.mark(r.Store, 1)
			res, err := r.StoreFlags(t.Context(), m.id, InboxID, UIDs(1, 2), FlagChange{Add: Seen}, Always)
			r.ok(err)
			for _, c := range res.Changed {
				m.last = c.ModSeq
			}
			for range spareNumbers + 3 { // until they are used up
				m.mark(r.Store, 2)
			}
		}
		r.check()
	})
}

func TestSpareNumbersOfWritesThatFailAreNotGivenTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		m := newMarker(t, r)
		m.mark(r.Store, 1)
		fail := false
		r.limits.Filed = func(context.Context, *db.Tx, Filed) error {
			if fail {
				return fault.New(fault.Limit, fault.Mailbox, "for the test")
			}
			return nil
		}
		junk := func(c FlagChange) error {
			_, err := r.StoreFlags(t.Context(), m.id, InboxID, UIDs(2), c, Always)
			return err
		}
		for range 3 {
			fail = true
			wantFault(t, junk(FlagChange{Add: Junk}), fault.Limit, fault.Mailbox)
			m.mark(r.Store, 1)
			fail = false
			r.ok(junk(FlagChange{Add: Junk}))
			r.ok(junk(FlagChange{Remove: Junk}))
			m.mark(r.Store, 1)
		}
		r.check()
	})
}

func TestSpareNumbersAreOfNoUseInAClosedMailbox(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		m := newMarker(t, r)
		m.mark(r.Store, 1)
		m.mark(r.Store, 1)
		r.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := newRig(t, r.db).CloseTx(ctx, tx, Owner{7, "ann"}, time.Now())
			return err
		})
		_, err := r.StoreFlags(t.Context(), m.id, InboxID, UIDs(1), FlagChange{Add: Seen}, Always)
		wantFault(t, err, fault.State, fault.Mailbox)
	})
}
