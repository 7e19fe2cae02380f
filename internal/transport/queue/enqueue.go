package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
)

// MaxRecipients is how many recipients EnqueueTx takes at once: each is a few rows of a transaction that others wait for.
const MaxRecipients = 1000

// EnqueueTx queues the message for the recipients in the caller's transaction, without I/O of its own; attempts begin once that is
// durable. It may be run again with the same Prepared after a rollback. Faults: Invalid Message (no recipient, or more than
// MaxRecipients), Limit Organization (see RoomTx), Internal (p was enqueued before).
func (q *Queue) EnqueueTx(ctx context.Context, tx *db.Tx, p *Prepared, e Envelope, to []Recipient) (ID, error) {
	if len(to) == 0 || len(to) > MaxRecipients {
		return 0, fault.New(fault.Invalid, fault.Message, "a message is queued for 1 to %d recipients, not for %d", MaxRecipients, len(to))
	}
	if err := q.RoomTx(ctx, tx, e.Organization, p.size, e.Stranger); err != nil {
		return 0, err
	}
	now := q.Clock.Now()
	m := ID(id.Key())
	if err := q.insertMessageTx(ctx, tx, m, p, &e, len(to), now); err != nil {
		return 0, fmt.Errorf("enqueue a message: %w", err)
	}
	lanes, err := q.lanesTx(ctx, tx, e.Organization, to, now)
	if err != nil {
		return 0, fmt.Errorf("enqueue a message: %w", err)
	}
	for i := range to {
		r := &to[i]
		expires := now.Add(cmp.Or(r.Expiry, q.Limits.Expiry))
		alarm := expires
		if q.Limits.Delay > 0 && now.Add(q.Limits.Delay).Before(expires) && e.owed(r.Notify, OnDelay) {
			alarm = now.Add(q.Limits.Delay)
		}
		err := tx.Send(ctx, insertDelivery, id.Key(), int64(m), lanes[r.destination()], now.UnixMicro(), alarm.UnixMicro(), expires.UnixMicro(),
			stored(r.Address), clean(r.Original, 0), int64(r.Notify))
		if err != nil {
			return 0, fmt.Errorf("enqueue a message: %w", err)
		}
		if err := q.recordTx(ctx, tx, &Event{Envelope: e, Message: m, Recipient: *r, Kind: Queued, At: now}); err != nil {
			return 0, err
		}
	}
	if err := tx.Send(ctx, addUsage, e.Organization, m.part(), p.size); err != nil { // last, as others may wait for this row
		return 0, fmt.Errorf("count a message: %w", err)
	}
	tx.OnCommit(func() {
		q.usage.add(e.Organization, 1, p.size)
		q.counts.queued.Add(uint64(len(to)))
		q.schedule.poke()
	})
	return m, nil
}

func (q *Queue) insertMessageTx(ctx context.Context, tx *db.Tx, m ID, p *Prepared, e *Envelope, recipients int, now time.Time) error {
	err := tx.Send(ctx, insertMessage, int64(m), e.Organization, clean(e.Trace, 0), stored(e.From), clean(e.ID, 0), int64(e.Return), e.needs(),
		append([]byte{}, e.About...), now.UnixMicro(), p.size, p.ref, int64(recipients))
	if err != nil {
		return err
	}
	switch p.ref {
	case elsewhere:
		return nil
	case "":
		data := p.data
		if data == nil {
			data = []byte{} // NULL is no body
		}
		return tx.Send(ctx, insertBody, int64(m), data)
	}
	tx.OnCommit(func() { p.taken.Store(true) })
	n, err := tx.Exec(ctx, deleteUpload, q.life, p.ref)
	if err == nil && n == 0 {
		err = fault.New(fault.Internal, fault.Message, "the message %s was queued or discarded before", p.ref)
	}
	return err
}

// lanesTx returns the keys of the destinations' rows and makes sure that they are looked at now, or when what holds them back ends.
// They are locked in one order, so that two who enqueue don't wait for each other.
func (q *Queue) lanesTx(ctx context.Context, tx *db.Tx, org int64, to []Recipient, now time.Time) (map[Destination]int64, error) {
	lanes := make(map[Destination]int64, 1)
	for i := range to {
		lanes[to[i].destination()] = 0
	}
	order := slices.SortedFunc(maps.Keys(lanes), func(a, b Destination) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Domain, b.Domain))
	})
	for _, d := range order {
		key, err := q.laneTx(ctx, tx, org, d, now.UnixMicro())
		if err != nil {
			return nil, err
		}
		lanes[d] = key
	}
	return lanes, nil
}

func (q *Queue) laneTx(ctx context.Context, tx *db.Tx, org int64, d Destination, now int64) (key int64, err error) {
	// The usual case writes nothing.
	err = tx.QueryRow(ctx, selectDueLane(tx.Engine()), d.Route, d.Domain, org, now).Scan(&key)
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return key, err
	}
	// A destination that is down is so for all organisations.
	var notBefore, failures int64
	var o Outcome
	err = tx.QueryRow(ctx, selectFailingLane, d.Route, d.Domain).Scan(&notBefore, &failures, &o.Status, &o.Reply, &o.Host)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	err = tx.QueryRow(ctx, upsertLane, id.Key(), d.Route, d.Domain, org, max(now, notBefore), notBefore, failures, o.Status, o.Reply, o.Host, now).Scan(&key)
	return key, err
}

// closeTx takes n deliveries and reports off the message's count. With the last the message goes, and its bytes become garbage.
func (q *Queue) closeTx(ctx context.Context, tx *db.Tx, m ID, n int64) error {
	if n == 0 {
		return nil
	}
	var pending, org, size int64
	var ref string
	err := tx.QueryRow(ctx, countDown, int64(m), n).Scan(&pending, &ref, &org, &size)
	if errors.Is(err, sql.ErrNoRows) {
		return q.orphansTx(ctx, tx, m)
	}
	if err != nil {
		return fmt.Errorf("count what is left of message %d: %w", m, err)
	}
	if pending > 0 {
		return nil
	}
	if err := tx.Send(ctx, deleteMessage, int64(m)); err != nil {
		return err
	}
	if err := tx.Send(ctx, takeUsage, org, m.part(), size); err != nil {
		return err
	}
	tx.OnCommit(func() { q.usage.add(org, -1, -size) })
	switch ref {
	case elsewhere:
		return nil
	case "":
		return tx.Send(ctx, deleteBody, int64(m))
	}
	tx.OnCommit(func() { ring(q.bells.keep) })
	return tx.Send(ctx, insertUpload, 0, ref)
}

// lockLanesTx locks destinations' rows against others that enqueue for or settle them, before anything is read of them. It returns
// each once.
func lockLanesTx(ctx context.Context, tx *db.Tx, lanes []int64) ([]int64, error) {
	lanes = slices.Compact(slices.Sorted(slices.Values(lanes)))
	for _, lane := range lanes {
		if err := tx.Send(ctx, lockLane, lane); err != nil {
			return nil, err
		}
	}
	return lanes, nil
}

// settleTx says anew when to look at a destination, whose row is locked, and removes the row when nothing is left for it. It returns
// that time: never where nothing waits.
func settleTx(ctx context.Context, tx *db.Tx, lane int64) (int64, error) {
	var due sql.NullInt64
	if err := tx.QueryRow(ctx, selectNextDue, lane).Scan(&due); err != nil {
		return 0, err
	}
	if !due.Valid {
		n, err := tx.Exec(ctx, deleteEmptyLane, lane)
		if err != nil || n > 0 {
			return never, err
		}
		due.Int64 = never
	}
	err := tx.QueryRow(ctx, moveLane, lane, due.Int64).Scan(&due.Int64)
	if errors.Is(err, sql.ErrNoRows) {
		return never, nil // removed before
	}
	return due.Int64, err
}
