package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
)

const (
	purgeKind  = "greylist-purge"
	purgeEvery = time.Hour
	purgeBatch = 1000 // rows deleted in one transaction
)

const (
	purgeWaiting = `DELETE FROM greylist_waiting WHERE triplet IN (SELECT triplet FROM greylist_waiting WHERE first <= $1 ORDER BY first LIMIT $2)`
	purgeKnown   = `DELETE FROM greylist_known WHERE name IN (SELECT name FROM greylist_known WHERE seen <= $1 ORDER BY seen LIMIT $2)`
	// The last row beyond so many, the newest first.
	overWaiting = `SELECT first FROM greylist_waiting ORDER BY first DESC LIMIT 1 OFFSET $1`
	overKnown   = `SELECT seen FROM greylist_known ORDER BY seen DESC LIMIT 1 OFFSET $1`
)

// Purge deletes what is too old, and the oldest of what is too much; all of it where the greylist is off.
func (l *Greylist) Purge(ctx context.Context) error {
	l.added.Store(0)
	now := l.Clock.Now()
	for _, p := range []struct {
		over, remove string
		most         int64
		before       time.Time
	}{{overWaiting, purgeWaiting, l.Waiting, now.Add(-within)}, {overKnown, purgeKnown, l.Known, now.Add(-keptFor)}} {
		if l.Off {
			p.before = now
		}
		err := l.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			return tx.Each(ctx, func(row db.Row) error {
				var micro int64
				if err := row.Scan(&micro); err != nil {
					return err
				}
				if at := time.UnixMicro(micro); at.After(p.before) {
					p.before = at
				}
				return nil
			}, p.over, p.most)
		})
		for n := int64(purgeBatch); err == nil && n == purgeBatch; {
			err = l.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
				n, err = tx.Exec(ctx, p.remove, p.before.UnixMicro(), int64(purgeBatch))
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("purge the greylist: %w", err)
		}
	}
	return nil
}

// Handle makes runner purge each hour, which Start sets going.
func (l *Greylist) Handle(runner *job.Runner) {
	runner.Handle(purgeKind, func(ctx context.Context, _ job.Job) error {
		if err := l.Purge(ctx); err != nil || l.Off {
			return err
		}
		return l.schedule(ctx, purgeEvery)
	})
}

// Start makes sure that purging is scheduled. Call it once when the server starts.
func (l *Greylist) Start(ctx context.Context) error {
	if l.Off { // what was scheduled before deletes what there is
		return nil
	}
	return l.schedule(ctx, 0)
}

func (l *Greylist) schedule(ctx context.Context, after time.Duration) error {
	due := l.Clock.Now().Add(after)
	return l.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, purgeKind, "", nil, due)
	})
}
