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

// look finds the kinds of the runners that have a job that may start now, and when the next one may otherwise; zero for never. Jobs
// that run here are left out, and runners that have no room.
func (r *Runner) look(ctx context.Context, runners []*Runner) (due map[*Runner][]string, next time.Time, err error) {
	now := r.clock.Now()
	err = r.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		due, next = map[*Runner][]string{}, time.Time{}
		var same []*Runner // those without full shares are looked for together
		for _, one := range runners {
			full := one.full()
			if len(full) == 0 {
				same = append(same, one)
				continue
			}
			if err := lookTx(ctx, tx, []*Runner{one}, full, now, due, &next); err != nil {
				return err
			}
		}
		return lookTx(ctx, tx, same, nil, now, due, &next)
	})
	return due, next, err
}

func lookTx(ctx context.Context, tx *db.Tx, runners []*Runner, full []string, now time.Time, due map[*Runner][]string, next *time.Time) error {
	if len(runners) == 0 {
		return nil
	}
	args := kinds(runners, full)
	return tx.Each(ctx, func(row db.Row) error {
		var kind string
		var id, start int64
		if err := row.Scan(&kind, &id, &start); err != nil {
			return err
		}
		by := runners[slices.IndexFunc(runners, func(r *Runner) bool { return r.handlers[kind] != nil })]
		if by.room() == 0 || by.runs(id) {
			return nil
		}
		at := time.UnixMicro(start).UTC()
		if next.IsZero() || at.Before(*next) {
			*next = at
		}
		if !at.After(now) && !slices.Contains(due[by], kind) {
			due[by] = append(due[by], kind)
		}
		return nil
	}, nextSQL(len(args)-len(full), len(full)), args...)
}

// claim takes jobs that may start now, as many as each of the runners has room for. Where there are none, next says when to look again.
func (r *Runner) claim(ctx context.Context, runners []*Runner) (jobs []claimed, next time.Time, err error) {
	// Most looks find nothing, and need not trouble the writer.
	due, next, err := r.look(ctx, runners)
	if err != nil || len(due) == 0 {
		return nil, next, err
	}
	err = r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		jobs = nil
		for _, by := range runners {
			if len(due[by]) == 0 {
				continue
			}
			more, err := by.claimTx(ctx, tx, due[by], by.room())
			if err != nil {
				return err
			}
			jobs = append(jobs, more...)
		}
		return nil
	})
	if err != nil {
		return nil, next, err
	}
	for _, j := range jobs {
		j.by.mu.Lock()
		j.by.running[j.ID] = share(j.Key)
		j.by.mu.Unlock()
	}
	return jobs, next, nil
}

func (r *Runner) claimTx(ctx context.Context, tx *db.Tx, kinds []string, n int) (jobs []claimed, err error) {
	now := r.clock.Now()
	ids, err := r.due(ctx, tx, kinds, now, n)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		j := claimed{Job: Job{ID: id, token: rand.Int64N(1<<62) + 1}, by: r}
		var due int64
		err := tx.QueryRow(ctx, claimSQL, id, now.Add(lease).UnixMicro(), j.token).
			Scan(&j.Kind, &j.Key, &j.Payload, &j.progress, &due, &j.Attempts, &j.generation)
		if err != nil {
			return nil, fmt.Errorf("claim job %d: %w", id, err)
		}
		j.Due = time.UnixMicro(due).UTC()
		jobs = append(jobs, j)
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
