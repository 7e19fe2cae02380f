package queue

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
)

const (
	// alarmBatch is how many deliveries whose time has come one transaction looks at.
	alarmBatch = 100
	// pruneEvery is how often events are forgotten.
	pruneEvery = time.Hour
)

// keep does what time asks for, until ctx ends: delays that are to be told, time that is over, bytes that nobody names, events that
// are old.
func (q *Queue) keep(ctx context.Context) {
	var pruned time.Time
	for ctx.Err() == nil {
		next, err := q.alarms(ctx)
		owed, e := q.payOwed(ctx)
		next = min(next, owed)
		err = errors.Join(err, e, q.sweep(ctx)) // what fails stops nothing else
		if now := q.Clock.Now(); now.Sub(pruned) >= pruneEvery {
			e := q.prune(ctx)
			if e == nil {
				pruned = now
			}
			err = errors.Join(err, e)
		}
		if err != nil && ctx.Err() == nil {
			q.Log.ErrorContext(ctx, "the queue's upkeep failed; trying again", "error", err)
			next = q.Clock.Now().Add(pause).UnixMicro()
		}
		clock.Rest(ctx, q.Clock, q.bells.keep, q.until(next))
	}
}

// alarm is a delivery whose time has come.
type alarm struct {
	delivery, at int64
	run
}

// alarms does what is to be done about deliveries whose time has come, and returns when there is more. What fails waits for the next
// look.
func (q *Queue) alarms(ctx context.Context) (next int64, err error) {
	var last alarm
	busy := false // some are being attempted
	for {
		var page []alarm
		var at sql.NullInt64
		now := q.Clock.Now().UnixMicro()
		err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			page = page[:0]
			err := tx.Each(ctx, func(row db.Row) error {
				var a alarm
				err := row.Scan(&a.delivery, &a.m, &a.lane, &a.at)
				page = append(page, a)
				return err
			}, selectAlarms, now, last.at, last.delivery, alarmBatch)
			if err != nil || len(page) > 0 {
				return err
			}
			return tx.QueryRow(ctx, selectNextAlarm, now).Scan(&at)
		})
		if err != nil {
			return never, err
		}
		if len(page) == 0 {
			soon := q.Clock.Now().Add(time.Second).UnixMicro()
			switch {
			case busy: // looked at when that may be over
				return soon, nil
			case at.Valid:
				return max(at.Int64, soon), nil
			}
			return never, nil
		}
		last = page[len(page)-1]
		passed, err := q.alarmPage(ctx, page)
		if err != nil && ctx.Err() != nil {
			return never, err
		}
		if err != nil { // one of them is bad
			for _, a := range page {
				if _, err := q.alarmPage(ctx, []alarm{a}); err != nil && ctx.Err() == nil {
					q.Log.ErrorContext(ctx, "nothing could be done about a delivery whose time has come; trying again later", "delivery", a.delivery, "message", a.m, "error", err)
				}
			}
		}
		busy = busy || passed
	}
}

// alarmPage does what is to be done about deliveries, but those that are being attempted, and reports whether there are such.
func (q *Queue) alarmPage(ctx context.Context, page []alarm) (busy bool, err error) {
	seized := map[run]bool{}
	defer func() {
		for r, ours := range seized {
			if ours {
				q.schedule.release(r)
			}
		}
	}()
	var deliveries, lanes []int64
	for _, a := range page {
		ours, known := seized[a.run]
		if !known {
			ours = q.schedule.seize(a.run)
			seized[a.run] = ours
		}
		if ours {
			deliveries, lanes = append(deliveries, a.delivery), append(lanes, a.lane)
		}
		busy = busy || !ours
	}
	if len(deliveries) == 0 {
		return busy, nil
	}
	err = q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return removalsTx(ctx, tx, lanes, func(stocks stocks) error {
			for _, d := range deliveries {
				if err := q.alarmTx(ctx, tx, stocks, d); err != nil {
					return err
				}
			}
			return nil
		})
	})
	q.schedule.poke() // lanes may have other times now
	return busy, err
}

// removalsTx runs fn, which may remove deliveries of the lanes, with the lanes locked, and settles them.
func removalsTx(ctx context.Context, tx *db.Tx, lanes []int64, fn func(stocks) error) error {
	lanes, err := lockLanesTx(ctx, tx, lanes)
	if err != nil {
		return err
	}
	if err := fn(stocks{}); err != nil {
		return err
	}
	for _, lane := range lanes {
		if _, err := settleTx(ctx, tx, lane); err != nil {
			return err
		}
	}
	return nil
}

// stocks are the messages that a transaction has read.
type stocks map[ID]*stock

// get reads a message, once; nil where it is gone.
func (s stocks) get(ctx context.Context, tx *db.Tx, m ID) (*stock, error) {
	if s[m] == nil {
		read, err := messageTx(ctx, tx, m)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		s[m] = read
	}
	return s[m], nil
}

// waiting is a delivery as the tables have it.
type waiting struct {
	message ID
	lane    int64
	state   int64
	delivery
	tried   int64
	outcome Outcome // of the last attempt, or of its destination's where there was none
}

// waitingTx reads a delivery; nil where it is gone.
func waitingTx(ctx context.Context, tx *db.Tx, id int64) (*waiting, error) {
	w := &waiting{delivery: delivery{id: id}}
	var to string
	var failures int64
	var o, of Outcome
	err := tx.QueryRow(ctx, selectDelivery, id).Scan(&w.message, &w.lane, &w.state, &w.alarm, &w.expires, &w.attempts, &w.tried, &to, &w.to.Original,
		&w.to.Notify, &o.Status, &o.Reply, &o.Host, &o.TLS, &w.to.Route, &failures, &of.Status, &of.Reply, &of.Host)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	w.to.Address, w.outcome = address(to), o
	switch {
	case w.attempts > 0:
	case failures > 0:
		w.outcome = of
	default:
		w.outcome = Outcome{Status: "4.4.7", Reply: "No attempt could be made in the time that the message had."}
	}
	return w, err
}

// alarmTx does what is to be done about one delivery.
func (q *Queue) alarmTx(ctx context.Context, tx *db.Tx, known stocks, id int64) error {
	w, err := waitingTx(ctx, tx, id)
	now := q.Clock.Now()
	if err != nil || w == nil || w.state != 0 || w.alarm > now.UnixMicro() {
		return err
	}
	m, err := known.get(ctx, tx, w.message)
	if err != nil {
		return err
	}
	if m == nil {
		return q.orphansTx(ctx, tx, w.message)
	}
	report := &Report{Recipient: w.to, Action: ActionDelayed, Outcome: w.outcome, Tried: fromMicros(w.tried), Until: fromMicros(w.expires)}
	if now.UnixMicro() >= w.expires {
		report.Action = ActionFailed
		removed, err := q.removeTx(ctx, tx, m, w, Expired, report, now)
		if removed {
			tx.OnCommit(func() { q.counts.expired.Add(1) })
		}
		return err
	}
	if n, err := tx.Exec(ctx, silenceAlarm, id); err != nil || n == 0 {
		return err
	}
	if !m.owed(w.to.Notify, OnDelay) {
		return nil
	}
	if _, err := tx.Exec(ctx, countUp, int64(m.id), 1); err != nil {
		return err
	}
	return q.reportTx(ctx, tx, m.id, id, report, w.attempts, now)
}

// orphansTx removes what a message that is gone left behind, which nothing but a fault can: nobody could deliver or tell it.
func (q *Queue) orphansTx(ctx context.Context, tx *db.Tx, m ID) error {
	deliveries, err := tx.Exec(ctx, deleteOrphans, int64(m))
	if err != nil {
		return err
	}
	reports, err := tx.Exec(ctx, deleteOrphanReports, int64(m))
	if deliveries+reports > 0 {
		tx.OnCommit(func() {
			q.Log.Error("a queued message is missing; what was to be done with it is removed", "message", m, "deliveries", deliveries, "reports", reports)
		})
	}
	return err
}

// removeTx ends a delivery without an attempt, and reports whether it was there still: the end of an attempt, which locks no more than
// it must, may have come between. A nil report tells nobody.
func (q *Queue) removeTx(ctx context.Context, tx *db.Tx, m *stock, w *waiting, kind EventKind, report *Report, now time.Time) (removed bool, err error) {
	n, err := tx.Exec(ctx, deleteDelivery, w.id)
	if err != nil || n == 0 {
		return false, err
	}
	e := &Event{Envelope: m.Envelope, Message: m.id, Recipient: w.to, Kind: kind, Outcome: w.outcome, At: now, Attempts: int(w.attempts)}
	if err := q.recordTx(ctx, tx, e); err != nil {
		return false, err
	}
	old, err := tx.Exec(ctx, deleteOldReport, int64(m.id), w.id) // of a delay
	if err != nil {
		return false, err
	}
	gone := n + old
	if report != nil && m.owed(w.to.Notify, OnFailure) {
		gone--
		if err := q.reportTx(ctx, tx, m.id, w.id, report, w.attempts, now); err != nil {
			return false, err
		}
	}
	return true, q.closeTx(ctx, tx, m.id, gone)
}
