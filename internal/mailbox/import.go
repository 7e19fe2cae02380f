package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// Arrival is one of several messages that come into a folder together.
type Arrival struct {
	Message  Message
	Flags    Flags
	Received time.Time // INTERNALDATE, kept to the microsecond; zero means now
}

// DeliverAll stores up to BatchRows messages in a folder, in their order and in one transaction, in which also runs behind all
// else: where it fails nothing is stored. It is for those who bring many messages at once, which users filed elsewhere (Filed.Brought);
// faults as Deliver's.
func (s *Store) DeliverAll(ctx context.Context, mailbox ID, folder FolderID, arrivals []Arrival, also func(context.Context, *db.Tx, []Stored) error) ([]Stored, error) {
	if len(arrivals) == 0 || len(arrivals) > s.batch {
		return nil, fault.New(fault.Limit, fault.Message, "1 to %d messages are stored at a time, not %d", s.batch, len(arrivals))
	}
	deliveries, total := make([]delivery, len(arrivals)), int64(0)
	for i := range arrivals {
		a, d := &arrivals[i], &deliveries[i]
		*d = delivery{store: s, m: &a.Message, now: s.clock.Now(), bodies: map[OrgKey]*storedBody{}}
		d.targets = []Target{{Mailbox: mailbox, Folder: folder, Flags: a.Flags, Received: a.Received}}
		if err := s.checkTargets(d.m, d.targets); err != nil {
			return nil, err
		}
		if err := d.findOrgs(ctx); err != nil {
			return nil, err
		}
		if err := s.prepare(ctx, &d.m.Source, d.bodies); err != nil {
			return nil, err
		}
		total += d.size(0)
	}
	var out []Stored
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = make([]Stored, len(deliveries))
		l, err := s.lock(ctx, tx, mailbox, len(out), len(out), total)
		if err != nil {
			return err
		}
		if err := s.grown(ctx, tx, mailbox, l.used, l.quota, total, true); err != nil {
			return err
		}
		for i := range deliveries {
			d := &deliveries[i]
			if out[i], err = d.insert(ctx, tx, l, i, 0); err != nil {
				return err
			}
			if err := insertBody(ctx, tx, l.org, d.bodies[l.org], 1); err != nil {
				return err
			}
		}
		if err := s.brought(ctx, tx, l, folder, deliveries, out); err != nil {
			return err
		}
		return also(ctx, tx, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Followed is an item that was brought from elsewhere, and what has become of it there.
type Followed struct {
	UID  UID
	Item ItemID
	// Since is the item's number when it was last as it should be: an item with another one was changed here.
	Since  ModSeq
	Change FlagChange
	// Remove removes the item, if it was not changed here, and nothing else.
	Remove bool
}

// Fate is what FollowTx did to an item.
type Fate uint8

// The fates.
const (
	Absent  Fate = iota // it is not in the folder any more: moved or removed here
	Kept                // it was to be removed, and was changed here
	Removed             // it was removed
	Changed             // it has the number that goes with this
	Same                // its flags were so already; it has the number that goes with this
)

// Follow is an item's fate, and its number from then on.
type Follow struct {
	Fate   Fate
	ModSeq ModSeq
	// Own is whether the item was changed here, before.
	Own bool
}

// FollowTx does to items of a folder, at most BatchRows, what happened to them elsewhere, and returns a fate for each. Either all are
// to be removed or none. A folder that is gone has none of them. Faults: NotFound Mailbox, State Mailbox.
func (s *Store) FollowTx(ctx context.Context, tx *db.Tx, mailbox ID, folder FolderID, items []Followed) ([]Follow, error) {
	l, err := s.lock(ctx, tx, mailbox, len(items), 0, 0)
	if err != nil {
		return nil, err
	}
	uids := make([]UID, len(items))
	for i, it := range items {
		uids[i] = it.UID
	}
	rows, err := readRows(ctx, tx, mailbox, folder, UIDs(uids...), s.batch)
	if err != nil {
		return nil, err
	}
	at := make(map[UID]row, len(rows))
	for _, r := range rows {
		at[r.uid] = r
	}
	out := make([]Follow, len(items))
	var gone []row
	var changed []int64
	var t tally
	for i, it := range items {
		r, ok := at[it.UID]
		if !ok || r.item != it.Item {
			continue
		}
		f := Follow{Own: r.changed != it.Since, ModSeq: r.changed}
		flags := it.Change.Apply(r.flags)
		switch {
		case it.Remove && f.Own:
			f.Fate = Kept
		case it.Remove:
			f.Fate = Removed
			gone = append(gone, r)
		case flags == r.flags:
			f.Fate = Same
		default:
			f.Fate = Changed
			f.ModSeq = l.change + ModSeq(i)
			t.mark(-1, r.flags)
			t.mark(1, flags)
			changed = append(changed, int64(r.uid), int64(flags), int64(f.ModSeq))
			t.highest = f.ModSeq
		}
		out[i] = f
	}
	if len(gone) == 0 && len(changed) == 0 {
		return out, nil
	}
	if len(gone) > 0 {
		if len(changed) > 0 { // both would take the same numbers
			return nil, errors.New("mailbox: FollowTx removes items or changes them, not both")
		}
		slices.SortFunc(gone, func(a, b row) int { return cmp.Compare(a.uid, b.uid) })
		if t, err = s.removeRows(ctx, tx, l, folder, gone); err != nil {
			return nil, err
		}
		if err := s.resize(ctx, tx, mailbox, t.bytes); err != nil {
			return nil, err
		}
	} else if _, err := s.bulk.flags.exec(ctx, tx, []any{int64(mailbox), int64(folder), micros(s.clock.Now())}, changed); err != nil {
		return nil, fmt.Errorf("follow flags in folder %d of mailbox %s: %w", folder, mailbox, err)
	}
	_, _, err = s.apply(ctx, tx, mailbox, folder, &t)
	return out, err
}
