package job

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// next returns when the next job of the handled kinds may start that does not run here, and which kinds have one that may start now.
func (r *Runner) next(ctx context.Context) (next time.Time, found bool, due []string, err error) {
	if len(r.handlers) == 0 {
		return next, false, nil, nil
	}
	full, now := r.full(), r.clock.Now()
	err = r.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		found, due = false, nil
		return tx.Each(ctx, func(row db.Row) error {
			var kind string
			var id, start int64
			if err := row.Scan(&kind, &id, &start); err != nil {
				return err
			}
			if r.runs(id) {
				return nil
			}
			at := time.UnixMicro(start).UTC()
			if !found || at.Before(next) {
				next, found = at, true
			}
			if !at.After(now) && !slices.Contains(due, kind) {
				due = append(due, kind)
			}
			return nil
		}, nextSQL(len(r.handlers), len(full)), r.kinds(full, r.Workers+1)...)
	})
	return next, found, due, err
}

// claim takes up to n jobs that may start now.
func (r *Runner) claim(ctx context.Context, n int) ([]claimed, error) {
	if n == 0 {
		return nil, nil
	}
	// Most looks find nothing, and need not trouble the writer.
	_, _, kinds, err := r.next(ctx)
	if err != nil || len(kinds) == 0 {
		return nil, err
	}
	var jobs []claimed
	err = r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		jobs = nil
		now := r.clock.Now()
		ids, err := r.due(ctx, tx, kinds, now, n)
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

// due returns the ids of up to n jobs of the kinds that may start, first those whose lease ran out. A job that still runs here is not one,
// even when its lease ran out because the machine slept.
func (r *Runner) due(ctx context.Context, tx *db.Tx, kinds []string, now time.Time, n int) (ids []int64, err error) {
	full, busy := r.full(), r.busy()
	for _, expired := range []bool{true, false} {
		query := dueSQL(tx.Engine(), expired, len(full))
		var all []candidate
		for _, kind := range kinds {
			args := []any{kind, now.UnixMicro(), n + r.Workers}
			for _, s := range full {
				args = append(args, s)
			}
			if all, err = appendDue(ctx, tx, all, query, args); err != nil {
				return nil, err
			}
		}
		slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.start, b.start) })
		for _, c := range all {
			if len(ids) == n {
				return ids, nil
			}
			if r.runs(c.id) || c.share != "" && r.PerShare > 0 && busy[c.share] >= r.PerShare {
				continue
			}
			busy[c.share]++
			ids = append(ids, c.id)
		}
	}
	return ids, nil
}

// candidate is a job that may start since start.
type candidate struct {
	id    int64
	share string
	start int64
}

func appendDue(ctx context.Context, tx *db.Tx, all []candidate, query string, args []any) ([]candidate, error) {
	err := tx.Each(ctx, func(row db.Row) error {
		var c candidate
		if err := row.Scan(&c.id, &c.share, &c.start); err != nil {
			return err
		}
		all = append(all, c)
		return nil
	}, query, args...)
	return all, err
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
