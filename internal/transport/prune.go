package transport

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
)

const (
	pruneKind  = "sent-recipients-prune"
	pruneBatch = 1000 // rows deleted in one transaction
)

const deleteSent = `DELETE FROM sent_recipients WHERE (day, scope, subject) IN
	(SELECT day, scope, subject FROM sent_recipients WHERE day < $1 ORDER BY day, scope, subject LIMIT $2)`

// Prune deletes the counts of days before yesterday, in batches, and returns how many rows went. Yesterday's stay for a
// clock that is set back. Where nothing is limited any more all go.
func (t *Transport) Prune(ctx context.Context) (int64, error) {
	before := int64(math.MaxInt64)
	if t.Daily.on() {
		before = dayOf(t.Clock.Now()) - 1
	}
	var total int64
	for {
		var n int64
		err := t.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, deleteSent, before, int64(pruneBatch))
			return err
		})
		if err != nil {
			return total, fmt.Errorf("prune the recipients of past days: %w", err)
		}
		total += n
		if n < pruneBatch {
			return total, nil
		}
	}
}

// Handle makes runner prune the counts, which Start sets going, tell senders who asked to hear of success, send automatic replies, and tell owners of
// mailboxes that are nearly full.
func (t *Transport) Handle(runner *job.Runner) {
	runner.Handle(successKind, t.tellSuccess)
	runner.Handle(replyKind, t.sendReply)
	runner.Handle(fillingKind, t.tellFilling)
	runner.Handle(pruneKind, func(ctx context.Context, _ job.Job) error {
		if _, err := t.Prune(ctx); err != nil || !t.Daily.on() {
			return err
		}
		return t.schedulePrune(ctx, day)
	})
}

// Start makes sure that pruning is scheduled where something is counted. Call it once when the server starts.
func (t *Transport) Start(ctx context.Context) error {
	if !t.Daily.on() {
		return nil
	}
	return t.schedulePrune(ctx, 0)
}

func (t *Transport) schedulePrune(ctx context.Context, after time.Duration) error {
	due := t.Clock.Now().Add(after)
	return t.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, pruneKind, "", nil, due)
	})
}
