package queue

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

const (
	// tellers is how many senders are told at the same time.
	tellers = 4
	// maxReports is how many recipients one notice speaks of.
	maxReports = 500
)

// reportTx writes what the sender of a message is to be told of a recipient. The caller counts it.
func (q *Queue) reportTx(ctx context.Context, tx *db.Tx, m ID, delivery int64, r *Report, attempts int64, now time.Time) error {
	o := r.Outcome.clean()
	err := tx.Send(ctx, insertReport, int64(m), delivery, int64(r.Action), now.Add(q.Limits.Gather).UnixMicro(), attempts, micros(r.Tried),
		micros(r.Until), stored(r.Recipient.Address), clean(r.Recipient.Original, 0), int64(r.Recipient.Notify), clean(r.Recipient.Route, 0), int64(o.Result),
		o.Status, o.Reply, o.Host, o.TLS)
	if err == nil {
		tx.OnCommit(func() { ring(q.bells.tell) })
	}
	return err
}

// tell tells senders until ctx ends, and waits for what was begun.
func (q *Queue) tell(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, tellers)
	for ctx.Err() == nil {
		m, next, err := q.untold(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			q.Log.ErrorContext(ctx, "what senders are to be told could not be read; trying again", "error", err)
			_ = q.Clock.Sleep(ctx, pause) // whatever ended it, the loop looks
			continue
		case m == 0:
			clock.Rest(ctx, q.Clock, q.bells.tell, q.until(next))
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		q.mark(m, true)
		group.Go(func() {
			q.tellOf(ctx, m)
			q.mark(m, false)
			<-slots
			ring(q.bells.tell)
		})
	}
}

func (q *Queue) mark(m ID, told bool) {
	q.telling.Lock()
	defer q.telling.Unlock()
	if told {
		q.told[m] = true
	} else {
		delete(q.told, m)
	}
}

func (q *Queue) isTold(m ID) bool {
	q.telling.Lock()
	defer q.telling.Unlock()
	return q.told[m]
}

// untold returns a message of which there is something to tell now, or when there will be.
func (q *Queue) untold(ctx context.Context) (m ID, next int64, err error) {
	now := q.Clock.Now().UnixMicro()
	err = q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		m, next = 0, never
		for due, last := int64(0), int64(0); ; {
			err := tx.QueryRow(ctx, selectUntold, now, due, last).Scan(&due, &last)
			if err == nil {
				if q.isTold(ID(last)) {
					continue
				}
				m = ID(last)
				return nil
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			var at sql.NullInt64
			if err := tx.QueryRow(ctx, selectNextReport, now).Scan(&at); err != nil {
				return err
			}
			if at.Valid {
				next = at.Int64
			}
			return nil
		}
	})
	return m, next, err
}

// news is what the sender of a message is to be told.
type news struct {
	stock
	reports    []Report
	deliveries []int64 // of each report
	attempts   []int64
	failures   int64 // how often telling failed
	noBody     bool
}

// errStale says that what was told is not what is to be told any more.
var errStale = &fault.Error{Kind: fault.Conflict, Subject: fault.Message, Message: "what the sender is to be told has changed"}

func (q *Queue) tellOf(ctx context.Context, m ID) {
	n, err := q.news(ctx, m)
	if err == nil && n == nil { // told meanwhile, or lost
		err = q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return q.orphansTx(ctx, tx, m) })
	}
	if err == nil && (n == nil || len(n.reports) == 0) {
		return
	}
	if err == nil {
		err = q.guard(ctx, "telling a sender", func() error { return q.notify(ctx, n) })
	}
	if err == nil || errors.Is(err, errStale) || ctx.Err() != nil {
		return
	}
	q.Log.ErrorContext(ctx, "a sender could not be told what became of a message; trying again later", "message", m, "error", err)
	failures := int64(1)
	if n != nil {
		failures += n.failures
	}
	due := q.Clock.Now().Add(q.wait(failures)).UnixMicro()
	err = q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, postponeReports, int64(m), due)
		return err
	})
	if err != nil && ctx.Err() == nil {
		q.Log.ErrorContext(ctx, "the telling of a sender could not be put off", "message", m, "error", err)
		_ = q.Clock.Sleep(ctx, pause) // it is due still
	}
}

// news reads what is to be told of a message.
func (q *Queue) news(ctx context.Context, m ID) (*news, error) {
	var n *news
	err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		n = nil
		s, err := messageTx(ctx, tx, m)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		n = &news{stock: *s}
		err = tx.Each(ctx, func(row db.Row) error {
			var r Report
			var delivery, attempts, tried, until int64
			var to string
			o := &r.Outcome
			err := row.Scan(&delivery, &r.Action, &n.failures, &attempts, &tried, &until, &to, &r.Recipient.Original, &r.Recipient.Notify,
				&r.Recipient.Route, &o.Result, &o.Status, &o.Reply, &o.Host, &o.TLS)
			r.Recipient.Address, r.Tried, r.Until = address(to), fromMicros(tried), fromMicros(until)
			n.reports, n.deliveries, n.attempts = append(n.reports, r), append(n.deliveries, delivery), append(n.attempts, attempts)
			return err
		}, selectReports, int64(m), maxReports)
		if err != nil || n.ref != "" {
			return err
		}
		n.data, err = bodyTx(ctx, tx, m)
		if n.noBody = errors.Is(err, errNoBody); n.noBody {
			return nil // the sender hears of it all the same
		}
		return err
	})
	return n, err
}

// notify hands the notice to the teller.
func (q *Queue) notify(ctx context.Context, n *news) error {
	body, err := q.open(ctx, &n.stock)
	if err != nil {
		return err
	}
	defer body.Close() // it was only read
	notice := &Notice{Envelope: n.Envelope, Queued: n.queued, Size: n.size, Body: body, Reports: n.reports}
	if n.noBody || n.ref == elsewhere {
		notice.Size = 0
	}
	return q.Teller.Tell(ctx, notice, func(ctx context.Context, tx *db.Tx) error { return q.toldTx(ctx, tx, n) })
}

// toldTx takes reports off the list, all of them or none.
func (q *Queue) toldTx(ctx context.Context, tx *db.Tx, n *news) error {
	now := q.Clock.Now()
	for i := range n.reports {
		r := &n.reports[i]
		gone, err := tx.Exec(ctx, deleteReport, int64(n.id), n.deliveries[i], int64(r.Action))
		if err != nil {
			return err
		}
		if gone == 0 {
			return errStale
		}
		e := &Event{Envelope: n.Envelope, Message: n.id, Recipient: r.Recipient, Kind: Told, Outcome: r.Outcome, At: now, Attempts: int(n.attempts[i])}
		if err := q.recordTx(ctx, tx, e); err != nil {
			return err
		}
	}
	tx.OnCommit(func() { q.counts.told.Add(uint64(len(n.reports))) })
	return q.closeTx(ctx, tx, n.id, int64(len(n.reports)))
}
