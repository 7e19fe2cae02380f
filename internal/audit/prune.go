package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
)

const (
	pruneKind  = "audit-prune"
	pruneEvery = 6 * time.Hour
)

// Prune deletes records that are older than the retention, in batches, and returns how many went.
func (l *Log) Prune(ctx context.Context) (int64, error) {
	before := l.clock.Now().Add(-l.retention).UnixMicro()
	var total int64
	for {
		var n int64
		err := l.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, `DELETE FROM audit_record WHERE (time, key) IN
				(SELECT time, key FROM audit_record WHERE time < $1 ORDER BY time, key LIMIT $2)`, before, pruneBatch)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("prune audit records: %w", err)
		}
		total += n
		if n < pruneBatch {
			return total, nil
		}
	}
}

// Handle makes runner prune the log, and Start sets the work going.
func (l *Log) Handle(runner *job.Runner) {
	runner.Handle(pruneKind, func(ctx context.Context, _ job.Job) error {
		if _, err := l.Prune(ctx); err != nil {
			return err
		}
		return l.schedule(ctx, l.clock.Now().Add(pruneEvery))
	})
}

// Start makes sure that pruning is scheduled. Call it once when the server starts.
func (l *Log) Start(ctx context.Context) error { return l.schedule(ctx, l.clock.Now()) }

func (l *Log) schedule(ctx context.Context, due time.Time) error {
	return l.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, pruneKind, "", nil, due)
	})
}
