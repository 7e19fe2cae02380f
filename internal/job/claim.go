package job

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// next returns when the next job of the handled kinds may start that does not run here.
func (r *Runner) next(ctx context.Context) (next time.Time, found bool, err error) {
	if len(r.handlers) == 0 {
		return next, false, nil
	}
	err = r.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		found = false
		full := r.full()
		rows, err := tx.Query(ctx, nextSQL(len(r.handlers), len(full)), r.kinds(full, r.Workers+1)...)
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var id, start int64
			if err := rows.Scan(&id, &start); err != nil {
				return err
			}
			if at := time.UnixMicro(start).UTC(); !r.runs(id) && (!found || at.Before(next)) {
				next, found = at, true
			}
		}
		return rows.Err()
	})
	return next, found, err
}

// claim takes up to n jobs that may start now.
func (r *Runner) claim(ctx context.Context, n int) ([]claimed, error) {
	if n == 0 || len(r.handlers) == 0 {
		return nil, nil
	}
	// Most looks find nothing, and need not trouble the writer.
	next, ok, err := r.next(ctx)
	if err != nil || !ok || next.After(r.clock.Now()) {
		return nil, err
	}
	var jobs []claimed
	err = r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		jobs = nil
		now := r.clock.Now()
		ids, err := r.due(ctx, tx, now, n)
		if err != nil {
			return err
		}
		for _, id := range ids {
			j := claimed{Job: Job{ID: id, token: rand.Int64N(1<<62) + 1}}
			var due int64
			err := tx.QueryRow(ctx, claimSQL, id, now.Add(lease).UnixMicro(), j.token).
				Scan(&j.Kind, &j.Key, &j.Payload, &j.progress, &due, &j.Attempts, &j.generation)
			if err != nil {
				return fmt.Errorf("claim job %d: %w", id, err)
			}
			j.Due = time.UnixMicro(due).UTC()
			jobs = append(jobs, j)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range jobs {
		r.running[j.ID] = share(j.Key)
	}
	return jobs, nil
}

// due returns the ids of jobs that may start. A job that still runs here is not one, even when its lease ran out because the
// machine slept.
func (r *Runner) due(ctx context.Context, tx *db.Tx, now time.Time, n int) (ids []int64, err error) {
	full, busy := r.full(), r.busy()
	for _, expired := range []bool{true, false} {
		query := dueSQL(tx.Engine(), expired, len(r.handlers), len(full))
		if ids, err = r.appendDue(ctx, tx, ids, n, busy, query, r.kinds(full, now.UnixMicro(), n+r.Workers)); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// appendDue adds jobs up to n, and counts them into busy, which is by shares.
func (r *Runner) appendDue(ctx context.Context, tx *db.Tx, ids []int64, n int, busy map[string]int, query string, args []any) ([]int64, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // rows.Err tells
	for rows.Next() && len(ids) < n {
		var id int64
		var key string
		if err := rows.Scan(&id, &key); err != nil {
			return nil, err
		}
		s := share(key)
		if r.runs(id) || s != "" && r.PerShare > 0 && busy[s] >= r.PerShare {
			continue
		}
		busy[s]++
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// runs reports whether the job runs here.
func (r *Runner) runs(id int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, here := r.running[id]
	return here
}

func (r *Runner) forget(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, id)
}

// settle writes what came of a job: done, to be run again, or freed because the server stops.
func (r *Runner) settle(ctx context.Context, j claimed, failure error, interrupted bool) error {
	return r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		switch {
		case interrupted:
			_, err := tx.Exec(ctx, releaseSQL, j.ID, j.token)
			return err
		case failure != nil:
			due := r.clock.Now().Add(retryAfter(j.Attempts + 1)).UnixMicro()
			_, err := tx.Exec(ctx, failSQL, j.ID, j.token, due, shown(failure))
			return err
		}
		n, err := tx.Exec(ctx, finishSQL, j.ID, j.token, j.generation)
		if err != nil || n > 0 {
			return err
		}
		_, err = tx.Exec(ctx, rerunSQL, j.ID, j.token)
		return err
	})
}
