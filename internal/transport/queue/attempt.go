package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// stock is a message as the tables have it.
type stock struct {
	id ID
	Envelope
	queued time.Time
	size   int64
	ref    string
	data   []byte // of the body, where ref is empty
}

// messageTx reads a message's row; sql.ErrNoRows where it is gone.
func messageTx(ctx context.Context, tx *db.Tx, m ID) (*stock, error) {
	s := &stock{id: m}
	var from string
	var needs, queued int64
	err := tx.QueryRow(ctx, selectMessage, int64(m)).Scan(&s.Organization, &s.Trace, &from, &s.ID, &s.Return, &needs, &s.About, &queued, &s.size, &s.ref)
	if err != nil {
		return nil, err
	}
	s.From, s.queued = address(from), fromMicros(queued)
	s.setNeeds(needs)
	return s, nil
}

// claim is what an attempt is to do, and later its outcomes.
type claim struct {
	stock
	deliveries []delivery
	noBody     bool
	lost       bool // the message is not there
}

// delivery is one recipient of a claim.
type delivery struct {
	id             int64
	to             Recipient
	attempts       int64
	alarm, expires int64
}

// attempt offers a message to its destination and records what comes of it.
func (q *Queue) attempt(ctx context.Context, a *attempt) {
	defer func() { q.schedule.end(a, q.Clock.Now().UnixMicro()) }()
	c, err := q.claim(ctx, a)
	switch {
	case err != nil && ctx.Err() == nil:
		q.Log.ErrorContext(ctx, "a queued message could not be read; trying again", "message", a.m, "error", err)
		_ = q.Clock.Sleep(ctx, pause) // the lane is due still, and looked at again
	case err != nil:
	case c.lost && len(c.deliveries) > 0:
		q.bury(ctx, a)
	case len(c.deliveries) > 0:
		if !q.begins(ctx, a) {
			return
		}
		defer q.ends(a)
		outcomes, recorded := q.offer(ctx, a, c)
		q.conclude(ctx, a, c, outcomes, recorded)
	case q.schedule.ending(a): // what was found there is held or gone
		if err := q.settle(ctx, []int64{a.lane}); err != nil && ctx.Err() == nil {
			q.Log.ErrorContext(ctx, "a destination could not be settled; trying again", "error", err)
			_ = q.Clock.Sleep(ctx, pause)
		}
	}
}

// bury removes the deliveries of a message that is missing; otherwise they were due for ever.
func (q *Queue) bury(ctx context.Context, a *attempt) {
	err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return q.orphansTx(ctx, tx, a.m) })
	if err != nil && ctx.Err() == nil {
		q.Log.ErrorContext(ctx, "the deliveries of a message that is missing could not be removed; trying again", "message", a.m, "error", err)
		_ = q.Clock.Sleep(ctx, pause)
	}
}

// claim reads what there is to do now.
func (q *Queue) claim(ctx context.Context, a *attempt) (*claim, error) {
	var c *claim
	err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		c = &claim{}
		now := q.Clock.Now().UnixMicro()
		// Who looked may have done so before it was written down that the destination is down.
		var notBefore int64
		err := tx.QueryRow(ctx, selectNotBefore, a.lane).Scan(&notBefore)
		if errors.Is(err, sql.ErrNoRows) || err == nil && notBefore > now {
			return nil
		}
		if err != nil {
			return err
		}
		s, err := messageTx(ctx, tx, a.m)
		if c.lost = errors.Is(err, sql.ErrNoRows); !c.lost {
			if err != nil {
				return err
			}
			c.stock = *s
		}
		err = tx.Each(ctx, func(row db.Row) error {
			d := delivery{to: Recipient{Route: a.site.to.Route}}
			var to string
			err := row.Scan(&d.id, &to, &d.to.Original, &d.to.Notify, &d.attempts, &d.alarm, &d.expires)
			d.to.Address = address(to)
			c.deliveries = append(c.deliveries, d)
			return err
		}, selectClaim, int64(a.m), a.lane, now, q.Limits.Recipients)
		if err != nil || len(c.deliveries) == 0 || c.ref != "" || c.lost {
			return err
		}
		c.data, err = bodyTx(ctx, tx, a.m)
		if c.noBody = errors.Is(err, errNoBody); c.noBody {
			return nil
		}
		return err
	})
	return c, err
}

// leastRate is how many bytes a second another server must take.
const leastRate = 16 << 10

// offer hands the message to the courier, for a bounded time. There is one outcome for each delivery, whatever happens. recorded says that
// the courier has recorded them.
func (q *Queue) offer(ctx context.Context, a *attempt, c *claim) (outcomes []Outcome, recorded bool) {
	m := &Message{Envelope: c.Envelope, Recipients: make([]Recipient, len(c.deliveries)), Queued: c.queued, Size: c.size}
	for i, d := range c.deliveries {
		m.Recipients[i] = d.to
		m.Attempts = max(m.Attempts, int(d.attempts))
	}
	m.End = func(ctx context.Context, tx *db.Tx, outcomes []Outcome) error {
		if len(outcomes) != len(c.deliveries) {
			return fmt.Errorf("the courier ends with %d outcomes for %d recipients", len(outcomes), len(c.deliveries))
		}
		for i := range outcomes {
			outcomes[i] = outcomes[i].clean()
		}
		recorded = false // it may run again, after a rollback
		tx.OnCommit(func() { recorded = true })
		_, err := q.endTx(ctx, tx, q.ending(a, c, outcomes, false))
		return err
	}
	limited, cancel := context.WithTimeout(ctx, q.Limits.Attempt+time.Duration(c.size)*time.Second/leastRate)
	defer cancel()
	err := q.guard(ctx, "an attempt", func() error {
		if c.noBody {
			return errNoBody
		}
		body, err := q.open(ctx, &c.stock)
		if err != nil {
			return err
		}
		defer body.Close() // it was only read
		m.Body = body
		outcomes = q.Courier.Deliver(limited, a.site.to, m)
		if len(outcomes) != len(c.deliveries) {
			return fmt.Errorf("the courier gave %d outcomes for %d recipients", len(outcomes), len(c.deliveries))
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		q.Log.ErrorContext(ctx, "a queued message could not be offered; trying again later", "message", c.id, "trace", c.Trace, "error", err)
	}
	for len(outcomes) < len(c.deliveries) {
		outcomes = append(outcomes, Outcome{Status: "4.3.0", Reply: "The message could not be sent because of an error of the server that sends it.", Ours: true})
	}
	for i, o := range outcomes {
		if o == (Outcome{}) && ctx.Err() == nil && limited.Err() != nil {
			o = Outcome{Status: "4.4.1", Reply: "The attempt took too long.", Down: true}
		}
		outcomes[i] = o.clean()
	}
	return outcomes, recorded
}

// ending is what an attempt's end writes.
type ending struct {
	*claim
	a        *attempt
	outcomes []Outcome
	now      time.Time
	// cut says that the attempt was cut off, so that what was deferred was not tried.
	cut     bool
	verdict verdict
	trouble Outcome // of the destination
	// holdUntil is when a destination that is down is tried again, retries by how many attempts failed when a recipient is.
	holdUntil int64
	retries   map[int64]int64
	settle    bool
	// owes leaves Record, which failed too often, for later.
	owes bool
}

// ending is what the end of an attempt writes of its deliveries.
func (q *Queue) ending(a *attempt, c *claim, outcomes []Outcome, cut bool) *ending {
	e := &ending{claim: c, a: a, outcomes: outcomes, now: q.Clock.Now(), cut: cut, retries: map[int64]int64{}}
	for _, d := range c.deliveries {
		for _, n := range []int64{d.attempts, d.attempts + 1} {
			if e.retries[n] == 0 {
				e.retries[n] = e.now.Add(q.wait(n)).UnixMicro()
			}
		}
	}
	return e
}

// maxRecords is how often Record may fail before the end of an attempt is written without it.
const maxRecords = 3

// conclude records the outcomes in one transaction. It goes on trying until that is done: what another server took must not be
// offered to it again. Only when ctx is over it gives up in the end, but not because of Record. Of what the courier recorded itself only the
// destination is left.
func (q *Queue) conclude(ctx context.Context, a *attempt, c *claim, outcomes []Outcome, recorded bool) {
	all := len(c.deliveries)
	if recorded {
		rest := *c
		rest.deliveries, c = nil, &rest
	}
	e := q.ending(a, c, outcomes, ctx.Err() != nil)
	now := e.now
	var down, success, learned bool
	for _, o := range outcomes {
		ours := o.Ours && o.Result == Deferred
		if o.Down && o.Result == Deferred && !ours {
			down, e.trouble = true, o
		}
		learned = learned || !ours
		success = success || o.Result == Delivered
	}
	if !e.cut && learned {
		e.verdict = q.schedule.judge(a, down, success)
	}
	if e.verdict != (verdict{}) {
		defer q.schedule.reopen(a.site)
	}
	if e.verdict.failures > 0 {
		e.holdUntil = now.Add(q.wait(e.verdict.failures)).UnixMicro()
	}
	e.settle = q.schedule.ending(a)

	next, unheard := int64(never), 0
	for try := 0; ; try++ {
		err := q.DB.Write(context.WithoutCancel(ctx), func(ctx context.Context, tx *db.Tx) (err error) {
			next, err = q.endTx(ctx, tx, e)
			return err
		})
		if err == nil {
			break
		}
		q.Log.ErrorContext(ctx, "what became of a queued message could not be written down; trying again", "message", c.id, "trace", c.Trace, "error", err)
		if errors.As(err, &recordError{}) {
			if unheard++; unheard == maxRecords {
				q.Log.ErrorContext(ctx, "what became of a queued message is written down; it is recorded elsewhere later", "message", c.id, "trace", c.Trace)
				e.owes = true
				continue
			}
		} else if ctx.Err() != nil && try >= 3 {
			return
		}
		_ = q.Clock.Sleep(ctx, pause) // when it ends early, ctx is over
	}
	a.settled, a.next, a.more = e.settle, next, all == q.Limits.Recipients
	if e.verdict.failures > 0 {
		q.schedule.expect(e.holdUntil, now.UnixMicro())
	}
}

// endTx writes an attempt's end and returns when to look at its lane again, where it settles that.
func (q *Queue) endTx(ctx context.Context, tx *db.Tx, e *ending) (next int64, err error) {
	to, o := e.a.site.to, &e.trouble
	switch {
	case e.holdUntil > 0:
		_, err = tx.Exec(ctx, holdLanesBack, to.Route, to.Domain, e.holdUntil, e.verdict.failures, o.Status, o.Reply, o.Host)
		tx.OnCommit(func() { q.counts.down.Add(1) })
	case e.verdict.recover:
		_, err = tx.Exec(ctx, freeLanes, to.Route, to.Domain, e.now.UnixMicro())
	}
	if err == nil && e.settle {
		_, err = lockLanesTx(ctx, tx, []int64{e.a.lane})
	}
	if err != nil {
		return 0, err
	}
	gone := int64(0)
	for i := range e.deliveries {
		n, err := q.outcomeTx(ctx, tx, e, &e.deliveries[i], &e.outcomes[i])
		if err != nil {
			return 0, err
		}
		gone += n
	}
	if err := q.closeTx(ctx, tx, e.id, gone); err != nil {
		return 0, err
	}
	if e.a.noted {
		if _, err := tx.Exec(ctx, deleteAttempt, int64(e.id), e.a.lane); err != nil {
			return 0, err
		}
	}
	if !e.settle {
		return never, nil
	}
	return settleTx(ctx, tx, e.a.lane)
}

// outcomeTx writes what became of one recipient and returns by how much the message's count goes down.
func (q *Queue) outcomeTx(ctx context.Context, tx *db.Tx, e *ending, d *delivery, o *Outcome) (gone int64, err error) {
	record := q.recordTx
	if e.owes {
		record = q.oweTx
	}
	happened := &Event{Envelope: e.Envelope, Message: e.id, Recipient: d.to, Outcome: *o, At: e.now, Attempts: int(d.attempts) + 1}
	if o.Result == Deferred {
		if e.cut {
			return 0, nil
		}
		failures := d.attempts + 1
		if o.Untried {
			failures--
		}
		due := e.retries[failures]
		if !o.By.IsZero() {
			due = min(due, max(o.By.UnixMicro(), e.now.UnixMicro()))
		}
		n, err := tx.Exec(ctx, deferDelivery, d.id, due, failures, e.now.UnixMicro(), o.Status, o.Reply, o.Host, o.TLS)
		if err != nil || n == 0 || o.Untried { // none: an operator dropped it meanwhile
			return 0, err
		}
		happened.Kind = Attempted
		tx.OnCommit(func() { q.counts.deferred.Add(1) })
		return 0, record(ctx, tx, happened)
	}
	n, err := tx.Exec(ctx, deleteDelivery, d.id)
	if err != nil {
		return 0, err
	}
	happened.Kind = Bounced
	report := &Report{Recipient: d.to, Action: ActionFailed, Outcome: *o, Tried: e.now, Until: fromMicros(d.expires)}
	owed := e.owed(d.to.Notify, OnFailure)
	if o.Result == Delivered {
		happened.Kind, report.Action = Sent, ActionRelayed
		owed = e.owed(d.to.Notify, OnSuccess) && !o.Tells
	}
	if n == 0 { // an operator dropped it meanwhile; that it was delivered all the same is still to be known
		if o.Result == Delivered {
			err = record(ctx, tx, happened)
		}
		return 0, err
	}
	count := &q.counts.failed
	if o.Result == Delivered {
		count = &q.counts.delivered
	}
	tx.OnCommit(func() { count.Add(1) })
	if err := record(ctx, tx, happened); err != nil {
		return 0, err
	}
	gone = 1
	if d.alarm >= d.expires && e.owed(d.to.Notify, OnDelay) {
		// That it is late is no news any more.
		if n, err = tx.Exec(ctx, deleteOldReport, int64(e.id), d.id); err != nil {
			return 0, err
		}
		gone += n
	}
	if owed {
		gone--
		err = q.reportTx(ctx, tx, e.id, d.id, report, d.attempts+1, e.now)
	}
	return gone, err
}
