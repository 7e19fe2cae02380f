package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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
	// findPage is how many entries, and how many destinations, one snapshot reads.
	findPage = 500
)

// found is an entry and the row of its destination.
type found struct {
	Entry
	lane int64
}

// findBudget is how many entries, and how many destinations, one call of List looks at.
const findBudget = 10_000

// List implements Manager.
func (q *Queue) List(ctx context.Context, f Filter, after Cursor, limit int) (entries []Entry, next Cursor, err error) {
	list, next, err := q.find(ctx, &f, after, limit)
	if err != nil {
		return nil, Cursor{}, fmt.Errorf("list the queue: %w", err)
	}
	for i := range list {
		entries = append(entries, list[i].Entry)
	}
	return entries, next, nil
}

// find returns up to n entries behind after, and where to go on. It reads page by page, so that no snapshot stands long.
func (q *Queue) find(ctx context.Context, f *Filter, after Cursor, n int) (list []found, next Cursor, err error) {
	s := q.source(f)
	for budget := findBudget; n > 0 && budget > 0; {
		page, lanes, more, err := q.findPage(ctx, s, &after)
		if err != nil {
			return nil, Cursor{}, err
		}
		budget -= len(page) + lanes
		for i, e := range page {
			if !f.matches(&e.Entry) {
				continue
			}
			if list = append(list, e); len(list) == n && (more || i < len(page)-1) {
				return list, s.behind(e), nil
			}
		}
		if !more {
			return list, Cursor{}, nil
		}
	}
	return list, after, nil
}

// source is where the entries that a filter may choose are read: all, or those of some destinations.
type source struct {
	entries string // statement; its parameters are the number to begin behind, how many, and key
	key     any    // nil for none
	lanes   string // statement, where entries are read destination by destination; its parameters are args, the destination to begin behind, how many
	args    []any
}

// source chooses the index by which the fewest entries are read that the filter does not choose.
func (q *Queue) source(f *Filter) *source {
	recipient, err := message.ParseAddress(f.Recipient)
	switch {
	case f.Message != 0:
		return &source{entries: selectOfMessage, key: int64(f.Message)}
	case f.Trace != "":
		return &source{entries: selectOfTrace, key: f.Trace}
	case f.Held != nil && *f.Held:
		return &source{entries: selectHeld}
	case f.Domain != "":
		return &source{entries: selectOfLane, lanes: selectLanesOfDomain, args: []any{message.FoldDomain(f.Domain), f.Organization}}
	case f.Recipient != "" && err == nil && recipient.Domain != "":
		return &source{entries: selectOfLane, lanes: selectLanesOfRecipient, args: []any{message.FoldDomain(recipient.Domain), f.Organization}}
	case f.Organization != 0:
		return &source{entries: selectOfLane, lanes: selectLanesOfOrganization, args: []any{f.Organization}}
	}
	return &source{entries: selectAll}
}

// behind is where to go on after an entry.
func (s *source) behind(e found) Cursor {
	if s.lanes == "" {
		return Cursor{Delivery: e.Delivery}
	}
	return Cursor{Lane: e.lane, Delivery: e.Delivery}
}

// findPage reads some entries behind at, which it moves, and reports how many destinations it looked at and whether there may be more.
func (q *Queue) findPage(ctx context.Context, s *source, at *Cursor) (page []found, lanes int, more bool, err error) {
	var next Cursor
	err = q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		page, lanes, next = nil, 0, *at
		read := func(key any) (whole bool, err error) {
			n := findPage - len(page)
			args := []any{next.Delivery, n}
			if key != nil {
				args = append(args, key)
			}
			err = tx.Each(ctx, func(row db.Row) error {
				e, err := scanEntry(row)
				page, n, next.Delivery = append(page, e), n-1, e.Delivery
				return err
			}, s.entries, args...)
			return n > 0, err
		}
		if s.lanes == "" {
			whole, err := read(s.key)
			more = !whole
			return err
		}
		list, err := keys(ctx, tx, s.lanes, append(slices.Clone(s.args), next.Lane, findPage)...)
		if err != nil {
			return err
		}
		more = len(list) == findPage
		if next.Lane != 0 { // what is left of the one where the last page ended
			list = append([]int64{next.Lane}, list...)
		}
		for _, lane := range list {
			if lane != next.Lane {
				next = Cursor{Lane: lane}
			}
			lanes++
			if whole, err := read(lane); err != nil || !whole {
				more = true
				return err
			}
		}
		return nil
	})
	*at = next
	return page, lanes, more, err
}

// matches holds an entry against the filter.
func (f *Filter) matches(e *Entry) bool {
	return (f.Organization == 0 || f.Organization == e.Organization) && (f.Message == 0 || f.Message == e.Message) &&
		(f.Trace == "" || f.Trace == e.Trace) && (f.Held == nil || *f.Held == e.Held) &&
		(f.Domain == "" || message.FoldDomain(f.Domain) == e.Destination.Domain) &&
		(f.From == "" || sameAddress(f.From, e.From)) && (f.Recipient == "" || sameAddress(f.Recipient, e.Recipient))
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

func scanEntry(row db.Row) (e found, err error) {
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
	var after Cursor
	for more := true; err == nil && more; more = after != (Cursor{}) {
		var list []found
		if list, after, err = q.find(ctx, &f, after, manageBatch); err != nil {
			break
		}
		list = slices.DeleteFunc(list, func(e found) bool { return e.Delivery > newest.Int64 })
		if len(list) == 0 {
			continue
		}
		var n int
		n, err = q.changeBatch(ctx, list, fn)
		total += n
	}
	if err != nil {
		return total, fmt.Errorf("change the queue: %w", err)
	}
	return total, nil
}

func (q *Queue) changeBatch(ctx context.Context, list []found, fn func(context.Context, *db.Tx, *stock, *waiting, time.Time) (bool, error)) (n int, err error) {
	lanes := make([]int64, 0, len(list))
	for _, e := range list {
		lanes = append(lanes, e.lane)
	}
	now := q.Clock.Now()
	err = q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		n = 0
		return removalsTx(ctx, tx, lanes, func(known stocks) error {
			for _, e := range list {
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

// OfRoutes is how many entries go by routes that begin with the prefix.
func (q *Queue) OfRoutes(ctx context.Context, prefix string) (n uint64, err error) {
	err = q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, countRoutes, prefix).Scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("count what goes by routes %s…: %w", prefix, err)
	}
	return n, nil
}
