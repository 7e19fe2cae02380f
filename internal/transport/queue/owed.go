package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/id"
)

// oweTx remembers an event that Record does not take now, and has it asked again.
func (q *Queue) oweTx(ctx context.Context, tx *db.Tx, e *Event) error {
	if err := q.rememberTx(ctx, tx, e); err != nil {
		return err
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("owe the record of message %d: %w", e.Message, err)
	}
	tx.OnCommit(func() { ring(q.bells.keep) })
	if _, err := tx.Exec(ctx, insertOwed, id.Key(), q.Clock.Now().Add(q.wait(1)).UnixMicro(), text); err != nil {
		return fmt.Errorf("owe the record of message %d: %w", e.Message, err)
	}
	return nil
}

// owedBatch is how many events one round of upkeep hands to Record, so that the rest of it has its turn.
const owedBatch = 100

// payOwed hands those events to Record that are due again, each in a transaction of its own, and returns when the next one is.
func (q *Queue) payOwed(ctx context.Context) (next int64, err error) {
	for range owedBatch {
		if ctx.Err() != nil {
			return never, nil
		}
		var key, failures int64
		var text []byte
		var at sql.NullInt64
		now := q.Clock.Now()
		err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			err := tx.QueryRow(ctx, selectOwed, now.UnixMicro()).Scan(&key, &failures, &text)
			if errors.Is(err, sql.ErrNoRows) {
				key = 0
				return tx.QueryRow(ctx, selectNextOwed, now.UnixMicro()).Scan(&at)
			}
			return err
		})
		switch {
		case err != nil:
			return never, fmt.Errorf("read what is to be recorded: %w", err)
		case key == 0 && at.Valid:
			return at.Int64, nil
		case key == 0:
			return never, nil
		}
		if err := q.pay(ctx, key, text); err != nil {
			if err := q.putOffOwed(ctx, key, failures+1, text, now, err); err != nil {
				return never, err
			}
		}
	}
	return q.Clock.Now().UnixMicro(), nil
}

func (q *Queue) pay(ctx context.Context, key int64, text []byte) error {
	var e Event
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	return q.guard(ctx, "the record of an event", func() error {
		return q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			if _, err := tx.Exec(ctx, deleteOwed, key); err != nil {
				return err
			}
			return q.handTx(ctx, tx, &e)
		})
	})
}

// putOffOwed has Record asked again later for an event that it did not take, or gives the event up once it would not be remembered either.
func (q *Queue) putOffOwed(ctx context.Context, key, failures int64, text []byte, now time.Time, why error) error {
	if ctx.Err() != nil {
		return nil
	}
	var e Event
	hopeless := json.Unmarshal(text, &e) != nil || now.Sub(e.At) > q.Limits.History
	err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if hopeless {
			_, err = tx.Exec(ctx, deleteOwed, key)
		} else {
			_, err = tx.Exec(ctx, postponeOwed, key, now.Add(q.wait(failures)).UnixMicro())
		}
		return err
	})
	q.Log.ErrorContext(ctx, "what became of a queued message could not be recorded elsewhere", "message", e.Message, "trace", e.Envelope.Trace, "given up", hopeless,
		"error", why)
	return err
}
