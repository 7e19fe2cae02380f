// Package job is durable work: it is written in the transaction that makes it necessary, runs at its due time, and is run again
// until its handler succeeds, through failures, panics and restarts. Handlers must therefore be idempotent.
//
// A job is known by its kind and key: enqueueing it again while it waits moves it, and while it runs makes it run once more
// afterwards, so that "look at this again" is never lost and never piles up.
package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/id"
)

// Job is one piece of durable work, as its handler sees it.
type Job struct {
	ID      int64
	Kind    string // chooses the handler
	Key     string // what the work is about; unique within the kind
	Payload []byte // JSON
	Due     time.Time
	// Attempts counts the failures so far.
	Attempts int

	progress []byte
	token    int64 // of this claim: a later claim has another
}

// ErrLost says that the job was taken over by another runner, after this one's lease ran out: the handler must stop.
var ErrLost = errors.New("the job's lease was lost")

// channel is notified by transactions that enqueue.
const channel = "job"

// EnqueueTx writes a job in the caller's transaction; it starts once that is durable and due has come. The payload is kept as
// JSON. A job of the same kind and key that waits takes the new payload and the earlier of both times; one that runs is run
// again, with the new payload, at due.
func EnqueueTx(ctx context.Context, tx *db.Tx, kind, key string, payload any, due time.Time) error {
	data, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("enqueue %s %s: %w", kind, key, err)
	}
	if _, err := tx.Exec(ctx, enqueueSQL, id.Key(), kind, key, data, due.UnixMicro(), share(key)); err != nil {
		return fmt.Errorf("enqueue %s %s: %w", kind, key, err)
	}
	tx.Notify(channel)
	return nil
}

// CancelTx removes the job of the kind and key, and reports whether there was one. A handler that runs is not stopped, but its
// next SaveTx gives ErrLost.
func CancelTx(ctx context.Context, tx *db.Tx, kind, key string) (bool, error) {
	n, err := tx.Exec(ctx, cancelSQL, kind, key)
	if err != nil {
		return false, fmt.Errorf("cancel %s %s: %w", kind, key, err)
	}
	return n > 0, nil
}

// Decode reads the payload into v.
func (j Job) Decode(v any) error {
	if err := json.Unmarshal(j.Payload, v); err != nil {
		return fmt.Errorf("payload of job %s %s: %w", j.Kind, j.Key, err)
	}
	return nil
}

// Progress reads into v what SaveTx kept last, in this attempt or an earlier one, and reports whether there was anything.
func (j Job) Progress(v any) (bool, error) {
	if len(j.progress) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(j.progress, v); err != nil {
		return false, fmt.Errorf("progress of job %s %s: %w", j.Kind, j.Key, err)
	}
	return true, nil
}

// SaveTx keeps how far the handler came, in the transaction that did the step, so that a restart goes on from there. It gives
// ErrLost, and the transaction must be rolled back, when the job is no longer this handler's.
func (j Job) SaveTx(ctx context.Context, tx *db.Tx, progress any) error {
	data, err := json.Marshal(progress)
	if err != nil {
		return fmt.Errorf("progress of job %s %s: %w", j.Kind, j.Key, err)
	}
	n, err := tx.Exec(ctx, saveSQL, j.ID, j.token, data)
	if err != nil {
		return fmt.Errorf("progress of job %s %s: %w", j.Kind, j.Key, err)
	}
	if n == 0 {
		return ErrLost
	}
	return nil
}
