package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/message"
)

// The states of a delivery.
const (
	stateWaits = 0
	stateHeld  = 1
)

const (
	// manageBatch is how many entries one transaction changes.
	manageBatch = 100
	// grace is how many first waits an entry has at least when it is released: its time goes on while it is held.
	grace = 60
	// findPage is how many entries one snapshot reads.
	findPage = 500
)

// found is an entry and the row of its destination.
type found struct {
	Entry
	lane int64
}

// List returns entries in the order of their numbers.
func (q *Queue) List(ctx context.Context, f Filter, after int64, limit int) (entries []Entry, next int64, err error) {
	list, err := q.find(ctx, &f, after, limit+1)
	if err != nil {
		return nil, 0, fmt.Errorf("list the queue: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		if limit > 0 {
			next = list[limit-1].Delivery
		}
	}
	for i := range list {
		entries = append(entries, list[i].Entry)
	}
	return entries, next, nil
}

// find returns up to n entries above after. It reads page by page, so that no snapshot stands long.
func (q *Queue) find(ctx context.Context, f *Filter, after int64, n int) ([]found, error) {
	var list []found
	for len(list) < n {
		page, err := q.findPage(ctx, f, after, findPage)
		if err != nil || len(page) == 0 {
			return list, err
		}
		after = page[len(page)-1].Delivery
		for _, e := range page {
			if len(list) < n && f.matches(&e.Entry) {
				list = append(list, e)
			}
		}
	}
	return list, nil
}

// matches holds an entry against what the statement did not.
func (f *Filter) matches(e *Entry) bool {
	return (f.From == "" || sameAddress(f.From, e.From)) && (f.Recipient == "" || sameAddress(f.Recipient, e.Recipient)) &&
		(f.Message == 0 || f.Message == e.Message) && (f.Trace == "" || f.Trace == e.Trace)
}

func sameAddress(asked, has string) bool {
	return strings.EqualFold(asked, has) || foldAddress(asked) == foldAddress(has)
}

func foldAddress(s string) string {
	a, err := message.ParseAddress(s)
	if err != nil {
		return s
	}
	return a.Fold().String()
}

// findPage reads the next entries that the filter's numbers choose.
func (q *Queue) findPage(ctx context.Context, f *Filter, after int64, limit int) (page []found, err error) {
	state := int64(-1)
	if f.Held != nil {
		state = stateWaits
		if *f.Held {
			state = stateHeld
		}
	}
	text, args := selectAll, []any{after, f.Organization, message.FoldDomain(f.Domain), state, limit}
	switch {
	case f.Message != 0:
		text, args = selectOfMessage, append(args, int64(f.Message))
	case f.Trace != "":
		text, args = selectOfTrace, append(args, f.Trace)
	}
	err = q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		page = nil
		return forRows(ctx, tx, func(row scanner) error {
			e, err := scanEntry(row)
			page = append(page, e)
			return err
		}, text, args...)
	})
	return page, err
}

func scanEntry(row scanner) (e found, err error) {
	var from, to string
	var state, queued, due, notBefore, expires, failures int64
	var of Outcome
	err = row.Scan(&e.Delivery, &e.lane, &e.Message, &e.Organization, &e.Trace, &from, &to, &e.Destination.Route, &e.Destination.Domain, &state, &e.Size,
		&queued, &due, &notBefore, &expires, &e.Attempts, &e.Status, &e.Reply, &e.Host, &failures, &of.Status, &of.Reply, &of.Host)
	e.From, e.Recipient, e.Held = address(from).String(), address(to).String(), state == stateHeld
	e.Queued, e.Due, e.Expires = fromMicros(queued), fromMicros(max(due, notBefore)), fromMicros(expires)
	if e.Attempts == 0 && failures > 0 {
		e.Status, e.Reply, e.Host = of.Status, of.Reply, of.Host
	}
	return e, err
}

// Hold keeps entries from being tried.
func (q *Queue) Hold(ctx context.Context, f Filter) (int, error) {
	return q.change(ctx, f, func(ctx context.Context, tx *db.Tx, m *stock, w *waiting, now time.Time) (bool, error) {
		return q.stateTx(ctx, tx, m, w, stateHeld, Held, now)
	})
}

// Release ends what Hold began.
func (q *Queue) Release(ctx context.Context, f Filter) (int, error) {
	n, err := q.change(ctx, f, func(ctx context.Context, tx *db.Tx, m *stock, w *waiting, now time.Time) (bool, error) {
		done, err := q.stateTx(ctx, tx, m, w, stateWaits, Released, now)
		if done && err == nil {
			_, err = tx.Exec(ctx, prolong, w.id, now.Add(grace*q.Limits.FirstRetry).UnixMicro())
		}
		return done, err
	})
	ring(q.bells.keep) // the time for a report may be over
	return n, err
}

func (q *Queue) stateTx(ctx context.Context, tx *db.Tx, m *stock, w *waiting, state int64, kind EventKind, now time.Time) (bool, error) {
	if w.state == state {
		return false, nil
	}
	if n, err := tx.Exec(ctx, setState, w.id, state); err != nil || n == 0 {
		return false, err
	}
	return true, q.operatedTx(ctx, tx, m, w, kind, now)
}

// operatedTx records what an operator did.
func (q *Queue) operatedTx(ctx context.Context, tx *db.Tx, m *stock, w *waiting, kind EventKind, now time.Time) error {
	return q.recordTx(ctx, tx, &Event{Envelope: m.Envelope, Message: m.id, Recipient: w.to, Kind: kind, At: now, Attempts: int(w.attempts)})
}

// Retry makes entries due now.
func (q *Queue) Retry(ctx context.Context, f Filter) (int, error) {
	return q.change(ctx, f, func(ctx context.Context, tx *db.Tx, m *stock, w *waiting, now time.Time) (bool, error) {
		if n, err := tx.Exec(ctx, makeDue, w.id, now.UnixMicro()); err != nil || n == 0 {
			return false, err
		}
		if _, err := tx.Exec(ctx, freeLane, w.lane); err != nil {
			return false, err
		}
		return true, q.operatedTx(ctx, tx, m, w, Retried, now)
	})
}

// Drop removes entries. One that is being attempted may be delivered all the same.
func (q *Queue) Drop(ctx context.Context, f Filter, bounce bool) (int, error) {
	return q.change(ctx, f, func(ctx context.Context, tx *db.Tx, m *stock, w *waiting, now time.Time) (bool, error) {
		var report *Report
		if bounce {
			report = &Report{
				Recipient: w.to, Action: ActionFailed, Tried: fromMicros(w.tried), Until: fromMicros(w.expires),
				Outcome: Outcome{Result: Failed, Status: "5.0.0", Reply: "An administrator removed the message from the queue."},
			}
		}
		removed, err := q.removeTx(ctx, tx, m, w, Dropped, report, now)
		if !removed || err != nil {
			return false, err
		}
		tx.OnCommit(func() { q.counts.dropped.Add(1) })
		if bounce { // who counts bounces hears of this one, too; the history has that it was dropped
			e := &Event{Envelope: m.Envelope, Message: m.id, Recipient: w.to, Kind: Bounced, Outcome: report.Outcome, At: now, Attempts: int(w.attempts)}
			err = q.handTx(ctx, tx, e)
		}
		return true, err
	})
}

// change runs fn for each entry that the filter chooses now, a bounded number in each transaction, and counts those for which it
// returns true.
func (q *Queue) change(ctx context.Context, f Filter, fn func(context.Context, *db.Tx, *stock, *waiting, time.Time) (bool, error)) (total int, err error) {
	var newest sql.NullInt64
	err = q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, selectNewest).Scan(&newest) })
	for after := int64(0); err == nil && after < newest.Int64; {
		var list []found
		if list, err = q.find(ctx, &f, after, manageBatch); err != nil || len(list) == 0 {
			break
		}
		after = list[len(list)-1].Delivery
		var n int
		n, err = q.changeBatch(ctx, list, newest.Int64, fn)
		total += n
	}
	if err != nil {
		return total, fmt.Errorf("change the queue: %w", err)
	}
	return total, nil
}

func (q *Queue) changeBatch(ctx context.Context, list []found, newest int64, fn func(context.Context, *db.Tx, *stock, *waiting, time.Time) (bool, error)) (n int, err error) {
	lanes := make([]int64, 0, len(list))
	for _, e := range list {
		lanes = append(lanes, e.lane)
	}
	now := q.Clock.Now()
	err = q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		n = 0
		return removalsTx(ctx, tx, lanes, func(known stocks) error {
			for _, e := range list {
				if e.Delivery > newest {
					break
				}
				w, err := waitingTx(ctx, tx, e.Delivery)
				if err != nil {
					return err
				}
				if w == nil {
					continue // it has gone meanwhile
				}
				m, err := known.get(ctx, tx, w.message)
				if err != nil {
					return err
				}
				if m == nil {
					continue
				}
				done, err := fn(ctx, tx, m, w, now)
				if err != nil {
					return err
				}
				if done {
					n++
				}
			}
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	q.schedule.poke()
	return n, nil
}

// Depth is how many entries wait, are held, and when the oldest was queued.
func (q *Queue) Depth(ctx context.Context) (waiting, held int64, oldest time.Time, err error) {
	err = q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := tx.QueryRow(ctx, countState, stateWaits).Scan(&waiting); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, countState, stateHeld).Scan(&held); err != nil {
			return err
		}
		var queued int64
		err := tx.QueryRow(ctx, selectOldest).Scan(&queued)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		oldest = fromMicros(queued)
		return err
	})
	if err != nil {
		return 0, 0, time.Time{}, fmt.Errorf("count the queue: %w", err)
	}
	return waiting, held, oldest, nil
}
