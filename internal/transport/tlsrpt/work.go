package tlsrpt

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/job"
)

const (
	dailyKind  = "tls-reports" // finds the domains of the days that are over
	reportKind = "tls-report"  // reports a day to a domain
	// firstMinutes are those after midnight in which counts of the day before are still on their way.
	firstMinutes = 5 * time.Minute
	// spread is over how much time the reports of a day are sent (RFC 8460 section 4.1).
	spread = 4 * time.Hour
	// giveUp is how long after its day a report is no longer tried.
	giveUp = 3 * aDay
)

// reportPayload says what a job reports.
type reportPayload struct {
	Day    int64
	Domain string
}

// Handle makes runner build and send reports. They wait for DNS and for other servers: give it a runner that holds nobody up.
func (r *Reporter) Handle(runner *job.Runner) {
	runner.Handle(dailyKind, func(ctx context.Context, _ job.Job) error { return r.daily(ctx) })
	runner.Handle(reportKind, func(ctx context.Context, j job.Job) error {
		var p reportPayload
		if err := j.Decode(&p); err != nil {
			return err
		}
		return r.reportDay(ctx, p.Day, p.Domain)
	})
}

// Start makes sure that the days that are over will be reported. Call it once when the server starts.
func (r *Reporter) Start(ctx context.Context) error {
	return r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, dailyKind, "", nil, r.Clock.Now())
	})
}

const countedDays = `SELECT DISTINCT day, domain FROM tls_session WHERE day < $1 AND (day, domain) > ($2, $3) ORDER BY day, domain LIMIT $4`

// daily makes a job for each domain and day that is over, and comes again after midnight.
func (r *Reporter) daily(ctx context.Context) error {
	if err := r.flush(ctx); err != nil {
		return err
	}
	now := r.Clock.Now()
	today := dayOf(now)
	for last := (reportPayload{}); ; {
		found, err := r.counted(ctx, today, last)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			break
		}
		due := make([]time.Time, len(found))
		for i := range due {
			if due[i] = now; r.Random != nil {
				due[i] = now.Add(time.Duration(r.Random(int64(spread))))
			}
		}
		err = r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			for i, p := range found {
				if err := job.EnqueueTx(ctx, tx, reportKind, fmt.Sprintf("%d/%s", p.Day, p.Domain), p, due[i]); err != nil {
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
		return job.EnqueueTx(ctx, tx, dailyKind, "", nil, begins(today+1).Add(firstMinutes))
	})
}

func (r *Reporter) counted(ctx context.Context, today int64, after reportPayload) (out []reportPayload, err error) {
	err = r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows, err := tx.Query(ctx, countedDays, today, after.Day, after.Domain, int64(batch))
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var p reportPayload
			if err := rows.Scan(&p.Day, &p.Domain); err != nil {
				return err
			}
			out = append(out, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the days to report: %w", err)
	}
	return out, nil
}

// report is a report that was built.
type report struct {
	day    int64
	domain string
	id     string
	rua    []string // who do not have it yet
	body   []byte   // gzipped JSON
}

// reportDay reports a day to a domain, from wherever an earlier attempt came to.
func (r *Reporter) reportDay(ctx context.Context, day int64, domain string) error {
	late := r.Clock.Now().Sub(begins(day+1)) > giveUp
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
		r.Log.WarnContext(ctx, "a TLS report could not be delivered", "domain", domain, "day", begins(day).Format(time.DateOnly), "to", found.rua)
		return r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return removeReportTx(ctx, tx, day, domain) })
	}
	return r.deliver(ctx, found)
}

// built reads a report; nil where there is none.
func (r *Reporter) built(ctx context.Context, day int64, domain string) (*report, error) {
	found := &report{day: day, domain: domain}
	var rua string
	err := r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT id, rua, body FROM tls_report WHERE day = $1 AND domain = $2`, day, domain).
			Scan(&found.id, &rua, &found.body)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a TLS report: %w", err)
	}
	found.rua = strings.Split(rua, "\n")
	return found, nil
}

const keepReport = `INSERT INTO tls_report (day, domain, id, rua, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (day, domain) DO NOTHING`

// build writes down the report that a domain wants; nil where it wants none, or nothing was counted.
func (r *Reporter) build(ctx context.Context, day int64, domain string) (*report, error) {
	records, err := r.Resolver.LookupTXT(ctx, "_smtp._tls."+domain)
	if err != nil && !errors.Is(err, dns.ErrNotFound) {
		return nil, err
	}
	rua := parseRecord(records)
	if len(rua) == 0 {
		return nil, nil
	}
	made, err := r.compose(ctx, day, domain)
	if err != nil || made == nil {
		return nil, err
	}
	made.rua = rua
	return made, r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, keepReport, day, domain, made.id, strings.Join(rua, "\n"), made.body)
		return err
	})
}

const forgetSessions = `DELETE FROM tls_session WHERE (day, domain, hash) IN
	(SELECT day, domain, hash FROM tls_session WHERE day = $1 AND domain = $2 LIMIT $3)`

// forget deletes what was counted for a domain on a day.
func (r *Reporter) forget(ctx context.Context, day int64, domain string) error {
	for {
		var n int64
		err := r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, forgetSessions, day, domain, int64(batch))
			return err
		})
		if err != nil || n < batch {
			return err
		}
	}
}

// deliver sends a report to each who is to have it. What one does not take holds up no other.
func (r *Reporter) deliver(ctx context.Context, found *report) error {
	var failed error
	left := found.rua
	for _, uri := range found.rua {
		rest := make([]string, 0, len(left))
		for _, other := range left {
			if other != uri {
				rest = append(rest, other)
			}
		}
		done := func(ctx context.Context, tx *db.Tx) error {
			if len(rest) == 0 {
				return removeReportTx(ctx, tx, found.day, found.domain)
			}
			_, err := tx.Exec(ctx, `UPDATE tls_report SET rua = $3 WHERE day = $1 AND domain = $2`, found.day, found.domain, strings.Join(rest, "\n"))
			return err
		}
		if err := r.deliverTo(ctx, found, uri, done); err != nil {
			failed = errors.Join(failed, fmt.Errorf("the TLS report for %s to %s: %w", found.domain, uri, err))
			continue
		}
		left = rest
	}
	return failed
}

func (r *Reporter) deliverTo(ctx context.Context, found *report, uri string, done func(context.Context, *db.Tx) error) error {
	if to := mailto(uri); to != "" {
		return r.Mailer.Send(ctx, r.mail(found, to), done)
	}
	if err := r.post(ctx, uri, bytes.NewReader(found.body)); err != nil {
		return err
	}
	return r.DB.Write(ctx, done)
}

func removeReportTx(ctx context.Context, tx *db.Tx, day int64, domain string) error {
	_, err := tx.Exec(ctx, `DELETE FROM tls_report WHERE day = $1 AND domain = $2`, day, domain)
	return err
}
