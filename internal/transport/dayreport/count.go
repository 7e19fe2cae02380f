package dayreport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
)

const (
	// maxWaiting is how many kinds of things are counted in memory; those beyond are dropped and logged.
	maxWaiting = 10_000
	// maxRows is how many kinds of things are told apart of a domain on a day; those beyond are counted together.
	maxRows = 5000
	// linger is how long counts wait in memory.
	linger = time.Minute
	// batch is how many rows are written or deleted at once.
	batch = 500
)

// Options are what a Reporter needs.
type Options struct {
	DB    *db.DB
	Clock clock.Clock
	Log   *slog.Logger
	// Kind is what is reported, "tls" or "dmarc".
	Kind string
	// Build makes the report of a domain on a day, by Counted; nil where nobody wants it.
	Build func(ctx context.Context, day Day, domain string) (*Report, error)
	// Deliver hands a report to one of those who are to have it, and carries out done in a transaction: in the same, where it can.
	Deliver func(ctx context.Context, r *Report, to string, done func(context.Context, *db.Tx) error) error
	// Random is below n, and spreads the reports of a day (math/rand/v2.Int64N).
	Random func(n int64) int64
}

// Reporter counts and reports. It is safe for concurrent use. Its owner calls Handle, Start and Run.
type Reporter struct {
	Options

	mu      sync.Mutex
	waiting map[counter]int64
	dropped int64
}

// counter is what is counted together.
type counter struct {
	day                    Day
	domain, policy, detail string
}

// New returns a Reporter.
func New(o Options) *Reporter {
	return &Reporter{Options: o, waiting: map[counter]int64{}}
}

// Today is the day of the clock.
func (r *Reporter) Today() Day { return DayOf(r.Clock.Now()) }

// Count counts something of today: what has the same policy and detail is counted together. It does not wait; what it counts is durable
// about a minute later.
func (r *Reporter) Count(domain, policy, detail string) {
	c := counter{r.Today(), domain, policy, detail}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.waiting[c]; !known && len(r.waiting) >= maxWaiting {
		r.dropped++
		return
	}
	r.waiting[c]++
}

// Run makes what was counted durable until ctx ends, and what is left then. It returns nil then.
func (r *Reporter) Run(ctx context.Context) error {
	for over := false; !over; {
		over = r.Clock.Sleep(ctx, linger) != nil
		if err := r.Flush(context.WithoutCancel(ctx)); err != nil {
			r.Log.ErrorContext(ctx, "what is to be reported could not be counted; trying again", "kind", r.Kind, "error", err)
		}
	}
	return nil
}

// Flush writes what was counted. What could not be written waits on.
func (r *Reporter) Flush(ctx context.Context) error {
	r.mu.Lock()
	counted, dropped := r.waiting, r.dropped
	r.waiting, r.dropped = map[counter]int64{}, 0
	r.mu.Unlock()
	if dropped > 0 {
		r.Log.WarnContext(ctx, "what is to be reported was not counted: it is of too many kinds", "kind", r.Kind, "count", dropped)
	}
	var err error
	for len(counted) > 0 && err == nil {
		part := make(map[counter]int64, min(batch, len(counted)))
		for c, n := range counted {
			if part[c] = n; len(part) == batch {
				break
			}
		}
		err = r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return r.addTx(ctx, tx, part) })
		if err == nil {
			for c := range part {
				delete(counted, c)
			}
		}
	}
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, n := range counted {
		if _, known := r.waiting[c]; !known && len(r.waiting) >= maxWaiting {
			r.dropped += n
			continue
		}
		r.waiting[c] += n
	}
	return fmt.Errorf("write what is to be reported: %w", err)
}

const (
	addAmount = `INSERT INTO day_count (kind, day, domain, hash, policy, detail, amount) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (kind, day, domain, hash) DO UPDATE SET amount = day_count.amount + excluded.amount`
	raiseAmount = `UPDATE day_count SET amount = amount + $5 WHERE kind = $1 AND day = $2 AND domain = $3 AND hash = $4`
	countRows   = `SELECT COUNT(*) FROM day_count WHERE kind = $1 AND day = $2 AND domain = $3`
)

// addTx adds counts to the tables. Once a domain has maxRows of a day, others are counted as one.
func (r *Reporter) addTx(ctx context.Context, tx *db.Tx, part map[counter]int64) error {
	type domainDay struct {
		day    Day
		domain string
	}
	rows := map[domainDay]int{}
	for c, n := range part {
		of := domainDay{c.day, c.domain}
		count, known := rows[of]
		if !known {
			if err := tx.QueryRow(ctx, countRows, r.Kind, int64(c.day), c.domain).Scan(&count); err != nil {
				return err
			}
			rows[of] = count
		}
		if count >= maxRows {
			raised, err := tx.Exec(ctx, raiseAmount, r.Kind, int64(c.day), c.domain, hashOf(c), n)
			if err != nil {
				return err
			}
			if raised > 0 {
				continue
			}
			c.policy, c.detail = "", ""
		}
		if _, err := tx.Exec(ctx, addAmount, r.Kind, int64(c.day), c.domain, hashOf(c), c.policy, c.detail, n); err != nil {
			return err
		}
		rows[of]++ // or it was there, and a few more are counted as one
	}
	return nil
}

func hashOf(c counter) string {
	sum := sha256.Sum256([]byte(c.policy + "\n" + c.detail))
	return hex.EncodeToString(sum[:16])
}

const countedRows = `SELECT policy, detail, amount FROM day_count WHERE kind = $1 AND day = $2 AND domain = $3 ORDER BY amount DESC, hash`

// Counted calls fn with what was counted for a domain on a day, the most frequent first. What was counted together because it was of too
// many kinds has neither policy nor detail.
func (r *Reporter) Counted(ctx context.Context, day Day, domain string, fn func(policy, detail string, n int64) error) error {
	err := r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows, err := tx.Query(ctx, countedRows, r.Kind, int64(day), domain)
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var policy, detail string
			var n int64
			if err := rows.Scan(&policy, &detail, &n); err != nil {
				return err
			}
			if err := fn(policy, detail, n); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("read what was counted of a day: %w", err)
	}
	return nil
}

// Day is a day since 1970, UTC.
type Day int64

const aDay = 24 * time.Hour

// DayOf is the day of a time.
func DayOf(t time.Time) Day { return Day(t.Unix() / int64(aDay/time.Second)) }

// Begin is the first second of the day, End the last.
func (d Day) Begin() time.Time { return time.Unix(int64(d)*int64(aDay/time.Second), 0).UTC() }

// End is the last second of the day.
func (d Day) End() time.Time { return (d + 1).Begin().Add(-time.Second) }

// String is the date of the day.
func (d Day) String() string { return d.Begin().Format(time.DateOnly) }
