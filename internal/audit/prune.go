package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
)

const (
	pruneKind  = "audit-prune"
	pruneEvery = 6 * time.Hour
)

// Prune deletes records that are older than the retention, organisation by organisation, in batches, and returns how many went. What
// has waited that long for a log group is dropped too.
func (l *Log) Prune(ctx context.Context) (total int64, err error) {
	before := l.clock.Now().Add(-l.retention).UnixMicro()
	for organization, more := "", true; more; {
		n, err := l.pruneOne(ctx, organization, before)
		total += n
		if err != nil {
			return total, fmt.Errorf("prune audit records: %w", err)
		}
		if organization, more, err = l.nextOrganization(ctx, organization); err != nil {
			return total, fmt.Errorf("prune audit records: %w", err)
		}
	}
	for _, g := range l.groups {
		if err := l.expire(ctx, g, l.clock.Now().Add(-l.retention)); err != nil {
			return total, err
		}
	}
	return total, nil
}

// expire drops what has waited for a log group since before a time.
func (l *Log) expire(ctx context.Context, g *group, before time.Time) error {
	for {
		rows, err := l.waitingRows(ctx, g.name, batchRows)
		if err != nil {
			return err
		}
		old := rows[:0]
		for _, r := range rows {
			if r.time.Before(before) {
				old = append(old, r)
			}
		}
		if len(old) == 0 {
			return nil
		}
		gone, err := l.removeRows(ctx, g, old)
		if err != nil {
			return err
		}
		l.lose(ctx, g, gone, "the log group did not take them for as long as records are kept")
	}
}

func (l *Log) pruneOne(ctx context.Context, organization string, before int64) (total int64, err error) {
	for n := int64(pruneBatch); n == pruneBatch; total += n {
		err := l.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, `DELETE FROM audit_record WHERE organization = $1 AND (time, key) IN
				(SELECT time, key FROM audit_record WHERE organization = $1 AND time < $2 ORDER BY time, key LIMIT $3)`,
				organization, before, pruneBatch)
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// nextOrganization returns the one behind the given among those that have records.
func (l *Log) nextOrganization(ctx context.Context, after string) (next string, more bool, err error) {
	err = l.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		err := tx.QueryRow(ctx, `SELECT organization FROM audit_record WHERE organization > $1 ORDER BY organization LIMIT 1`, after).Scan(&next)
		if more = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return next, more, err
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
