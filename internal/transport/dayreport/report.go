package dayreport

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
)

const (
	// firstMinutes are those after midnight in which counts of the day before are still on their way.
	firstMinutes = 5 * time.Minute
	// spread is over how much time the reports of a day are sent (RFC 8460 section 4.1).
	spread = 4 * time.Hour
	// giveUp is how long after its day a report is no longer tried.
	giveUp = 3 * aDay
)

// Report is a report that was built.
type Report struct {
	Day    Day
	Domain string
	ID     string
	To     []string // who do not have it yet; without line breaks
	Body   []byte   // packed
}

// due is what a job reports.
type due struct {
	Day    Day
	Domain string
}

// dailyKind are the jobs that find the domains of the days that are over, reportKind those that report a day to a domain.
func (r *Reporter) dailyKind() string  { return r.Kind + "-reports" }
func (r *Reporter) reportKind() string { return r.Kind + "-report" }

// Handle makes runner build and send reports. They wait for DNS and for other servers: give it a runner that holds nobody up.
func (r *Reporter) Handle(runner *job.Runner) {
	runner.Handle(r.dailyKind(), func(ctx context.Context, _ job.Job) error { return r.Daily(ctx) })
	runner.Handle(r.reportKind(), func(ctx context.Context, j job.Job) error {
		var d due
		if err := j.Decode(&d); err != nil {
			return err
		}
		return r.Report(ctx, d.Day, d.Domain)
	})
}

// Start makes sure that the days that are over will be reported. Call it once when the server starts.
func (r *Reporter) Start(ctx context.Context) error {
	return r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, r.dailyKind(), "", nil, r.Clock.Now())
	})
}

const countedDays = `SELECT DISTINCT day, domain FROM day_count WHERE kind = $1 AND day < $2 AND (day, domain) > ($3, $4) ORDER BY day, domain LIMIT $5`

// Daily makes a job for each domain and day that is over, and comes again after midnight.
func (r *Reporter) Daily(ctx context.Context) error {
	if err := r.Flush(ctx); err != nil {
		return err
	}
	now, today := r.Clock.Now(), r.Today()
	for last := (due{}); ; {
		found, err := r.counted(ctx, today, last)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			break
		}
		times := make([]time.Time, len(found))
		for i := range times {
			if times[i] = now; r.Random != nil {
				times[i] = now.Add(time.Duration(r.Random(int64(spread))))
			}
		}
		err = r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			for i, d := range found {
				if err := job.EnqueueTx(ctx, tx, r.reportKind(), fmt.Sprintf("%d/%s", d.Day, d.Domain), d, times[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		last = found[len(found)-1]
	}
	return r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, r.dailyKind(), "", nil, (today + 1).Begin().Add(firstMinutes))
	})
}

func (r *Reporter) counted(ctx context.Context, today Day, after due) (out []due, err error) {
	err = r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(row db.Row) error {
			var d due
			if err := row.Scan(&d.Day, &d.Domain); err != nil {
				return err
			}
			out = append(out, d)
			return nil
		}, countedDays, r.Kind, int64(today), int64(after.Day), after.Domain, int64(batch))
	})
	if err != nil {
		return nil, fmt.Errorf("read the days to report: %w", err)
	}
	return out, nil
}

// Report reports a day to a domain, from wherever an earlier attempt came to.
func (r *Reporter) Report(ctx context.Context, day Day, domain string) error {
	late := r.Clock.Now().Sub((day + 1).Begin()) > giveUp
	found, err := r.built(ctx, day, domain)
	if err != nil {
		return err
	}
	if found == nil && !late {
		if found, err = r.build(ctx, day, domain); err != nil {
			return err
		}
	}
	// They stand in the report, or nobody wants them.
	if err := r.forget(ctx, day, domain); err != nil || found == nil {
		return err
	}
	if late {
		r.Log.WarnContext(ctx, "a report could not be delivered", "kind", r.Kind, "domain", domain, "day", day.String(), "to", found.To)
		return r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return r.removeTx(ctx, tx, found) })
	}
	return r.deliver(ctx, found)
}

// built reads a report; nil where there is none.
func (r *Reporter) built(ctx context.Context, day Day, domain string) (*Report, error) {
	found := &Report{Day: day, Domain: domain}
	var rua string
	err := r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT id, rua, body FROM day_report WHERE kind = $1 AND day = $2 AND domain = $3`, r.Kind, int64(day), domain).
			Scan(&found.ID, &rua, &found.Body)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a report: %w", err)
	}
	found.To = strings.Split(rua, "\n")
	return found, nil
}

const keepReport = `INSERT INTO day_report (kind, day, domain, id, rua, body) VALUES ($1, $2, $3, $4, $5, $6)
	ON CONFLICT (kind, day, domain) DO NOTHING`

// build writes down the report that a domain wants; nil where it wants none, or nothing was counted.
func (r *Reporter) build(ctx context.Context, day Day, domain string) (*Report, error) {
	made, err := r.Build(ctx, day, domain)
	if err != nil || made == nil {
		return nil, err
	}
	return made, r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, keepReport, r.Kind, int64(day), domain, made.ID, strings.Join(made.To, "\n"), made.Body)
		return err
	})
}

const forgetCounts = `DELETE FROM day_count WHERE (kind, day, domain, hash) IN
	(SELECT kind, day, domain, hash FROM day_count WHERE kind = $1 AND day = $2 AND domain = $3 LIMIT $4)`

// forget deletes what was counted for a domain on a day.
func (r *Reporter) forget(ctx context.Context, day Day, domain string) error {
	for {
		var n int64
		err := r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, forgetCounts, r.Kind, int64(day), domain, int64(batch))
			return err
		})
		if err != nil || n < batch {
			return err
		}
	}
}

// deliver sends a report to each who is to have it. What one does not take holds up no other.
func (r *Reporter) deliver(ctx context.Context, found *Report) error {
	var failed error
	left := found.To
	for _, to := range found.To {
		rest := make([]string, 0, len(left))
		for _, other := range left {
			if other != to {
				rest = append(rest, other)
			}
		}
		done := func(ctx context.Context, tx *db.Tx) error {
			if len(rest) == 0 {
				return r.removeTx(ctx, tx, found)
			}
			_, err := tx.Exec(ctx, `UPDATE day_report SET rua = $4 WHERE kind = $1 AND day = $2 AND domain = $3`,
				r.Kind, int64(found.Day), found.Domain, strings.Join(rest, "\n"))
			return err
		}
		if err := r.Deliver(ctx, found, to, done); err != nil {
			failed = errors.Join(failed, fmt.Errorf("the %s report for %s to %s: %w", r.Kind, found.Domain, to, err))
			continue
		}
		left = rest
	}
	return failed
}

func (r *Reporter) removeTx(ctx context.Context, tx *db.Tx, found *Report) error {
	_, err := tx.Exec(ctx, `DELETE FROM day_report WHERE kind = $1 AND day = $2 AND domain = $3`, r.Kind, int64(found.Day), found.Domain)
	return err
}
