package queue

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
)

// recordError is a failure of Options.Record.
type recordError struct{ error }

func (e recordError) Unwrap() error { return e.error }

// recordTx remembers an event and hands it to Record.
func (q *Queue) recordTx(ctx context.Context, tx *db.Tx, e *Event) error {
	if err := q.rememberTx(ctx, tx, e); err != nil {
		return err
	}
	return q.handTx(ctx, tx, e)
}

// handTx hands an event to Record.
func (q *Queue) handTx(ctx context.Context, tx *db.Tx, e *Event) error {
	if q.Record == nil {
		return nil
	}
	if err := q.Record(ctx, tx, *e); err != nil {
		return recordError{err}
	}
	return nil
}

// rememberTx writes an event into the history.
func (q *Queue) rememberTx(ctx context.Context, tx *db.Tx, e *Event) error {
	e.Outcome = e.Outcome.clean()
	v, r, o := &e.Envelope, &e.Recipient, &e.Outcome
	write := tx.Send
	if e.Kind != Queued { // an attempt's end tells failures of Record, which comes next, from those of what was written before it
		write = func(ctx context.Context, query string, args ...any) error {
			_, err := tx.Exec(ctx, query, args...)
			return err
		}
	}
	err := write(ctx, insertHistory, e.At.UnixMicro(), id.Key(), v.Organization, clean(v.Trace, 0), int64(e.Message), int64(e.Kind), e.Attempts,
		stored(v.From), clean(v.ID, 0), int64(v.Return), v.needs(), stored(r.Address), clean(r.Original, 0), int64(r.Notify), clean(r.Route, 0),
		int64(o.Result), o.marks(), o.Status, o.Reply, o.Host, o.TLS)
	if err != nil {
		return fmt.Errorf("remember what happened to message %d: %w", e.Message, err)
	}
	return nil
}

// maxTrace bounds how many events of one trace are returned.
const maxTrace = 10_000

// Trace returns what happened to the messages of a trace; organization 0 stands for all. Faults: NotFound Message.
func (q *Queue) Trace(ctx context.Context, organization int64, trace string) ([]Event, error) {
	var events []Event
	err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		events = nil
		return tx.Each(ctx, func(row db.Row) error {
			var e Event
			var at, needs, marks int64
			var from, to string
			v, r, o := &e.Envelope, &e.Recipient, &e.Outcome
			err := row.Scan(&at, &v.Organization, &v.Trace, &e.Message, &e.Kind, &e.Attempts, &from, &v.ID, &v.Return, &needs, &to, &r.Original, &r.Notify,
				&r.Route, &o.Result, &marks, &o.Status, &o.Reply, &o.Host, &o.TLS)
			e.At, v.From, r.Address = fromMicros(at), address(from), address(to)
			v.setNeeds(needs)
			o.Tells, o.Down, o.Ours = marks&markTells != 0, marks&markDown != 0, marks&markOurs != 0
			events = append(events, e)
			return err
		}, selectHistory, trace, organization, maxTrace)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read a trace: %w", err)
	case len(events) == 0:
		return nil, fault.New(fault.NotFound, fault.Message, "nothing is remembered of the trace %q", trace)
	}
	return events, nil
}

// pruneBatch is how many events one transaction forgets.
const pruneBatch = 500

// prune forgets events whose time is over.
func (q *Queue) prune(ctx context.Context) error {
	before := q.Clock.Now().Add(-q.Limits.History).UnixMicro()
	for ctx.Err() == nil {
		var n int64
		err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, pruneHistory, before, pruneBatch)
			return err
		})
		if err != nil || n < pruneBatch {
			return err
		}
	}
	return nil
}
