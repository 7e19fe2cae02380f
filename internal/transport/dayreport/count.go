package dayreport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
)

const (
	// maxWaiting is how many kinds of things are counted in memory; those beyond are dropped and logged.
	maxWaiting = 10_000
	// maxWaitingBytes is how many bytes of texts those have.
	maxWaitingBytes = 16 << 20
	// maxTexts is how many bytes policy and detail may have together; what has more is counted like what is of too many kinds.
	maxTexts = 8 << 10
	// maxRows is how many kinds of things are told apart of a domain on a day; those beyond are counted together.
	maxRows = 5000
	// maxDay bounds the bytes of a day, of all domains. Then nothing new is told apart, and no domain is new.
	maxDay = 256 << 20
	// rowBytes is what a row takes at most beside its texts.
	rowBytes = 1 << 10
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
	bytes   int64 // of its texts
	dropped int64
	kept    map[Day]int64 // bytes in the table
}

// counter is what is counted together.
type counter struct {
	day                    Day
	domain, policy, detail string
}

func (c *counter) size() int64 { return int64(len(c.domain) + len(c.policy) + len(c.detail)) }

// New returns a Reporter.
func New(o Options) *Reporter {
	return &Reporter{Options: o, waiting: map[counter]int64{}, kept: map[Day]int64{}}
}

// Today is the day of the clock.
func (r *Reporter) Today() Day { return DayOf(r.Clock.Now()) }

// Count counts something of today: what has the same policy and detail is counted together. It does not wait; what it counts is durable
// about a minute later.
func (r *Reporter) Count(domain, policy, detail string) {
	if len(policy)+len(detail) > maxTexts {
		policy, detail = "", ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait(counter{r.Today(), domain, policy, detail}, 1)
}

// wait adds n to what is counted in memory, under mu.
func (r *Reporter) wait(c counter, n int64) {
	if _, known := r.waiting[c]; !known {
		if len(r.waiting) >= maxWaiting || r.bytes+c.size() > maxWaitingBytes {
			r.dropped += n
			return
		}
		r.bytes += c.size()
	}
	r.waiting[c] += n
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
	r.waiting, r.bytes, r.dropped = map[counter]int64{}, 0, 0
	r.mu.Unlock()
	if dropped > 0 {
		r.Log.WarnContext(ctx, "what is to be reported was not counted: it is of too many kinds", "kind", r.Kind, "count", dropped)
	}
	err := r.measure(ctx, counted)
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
		r.wait(c, n)
	}
	return fmt.Errorf("write what is to be reported: %w", err)
}

const measureDay = `SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(domain) + LENGTH(policy) + LENGTH(detail)), 0) AS BIGINT) FROM day_count WHERE kind = $1 AND day = $2`

// measure finds out, once for each day, how much of it is in the table.
func (r *Reporter) measure(ctx context.Context, counted map[counter]int64) error {
	for c := range counted {
		r.mu.Lock()
		_, known := r.kept[c.day]
		r.mu.Unlock()
		if known {
			continue
		}
		var rows, texts int64
		err := r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, measureDay, r.Kind, int64(c.day)).Scan(&rows, &texts)
		})
		if err != nil {
			return err
		}
		r.mu.Lock()
		maps.DeleteFunc(r.kept, func(d Day, _ int64) bool { return d < c.day-1 })
		r.kept[c.day] = rows*rowBytes + texts
		r.mu.Unlock()
	}
	return nil
}

const (
	addAmount = `INSERT INTO day_count (kind, day, domain, hash, policy, detail, amount) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (kind, day, domain, hash) DO UPDATE SET amount = day_count.amount + excluded.amount`
	raiseAmount = `UPDATE day_count SET amount = amount + $5 WHERE kind = $1 AND day = $2 AND domain = $3 AND hash = $4`
	countRows   = `SELECT COUNT(*) FROM day_count WHERE kind = $1 AND day = $2 AND domain = $3`
)

// addTx adds counts to the tables. Once a domain has maxRows of a day, or the day is full, others are counted as one.
func (r *Reporter) addTx(ctx context.Context, tx *db.Tx, part map[counter]int64) error {
	type domainDay struct {
		day    Day
		domain string
	}
	rows := map[domainDay]int{}
	r.mu.Lock()
	kept := maps.Clone(r.kept)
	r.mu.Unlock()
	added := map[Day]int64{}
	var dropped int64
	for c, n := range part {
		raised, err := tx.Exec(ctx, raiseAmount, r.Kind, int64(c.day), c.domain, hashOf(c), n)
		if err != nil {
			return err
		}
		if raised > 0 {
			continue
		}
		of := domainDay{c.day, c.domain}
		count, known := rows[of]
		if !known {
			if err := tx.QueryRow(ctx, countRows, r.Kind, int64(c.day), c.domain).Scan(&count); err != nil {
				return err
			}
			rows[of] = count
		}
		full := kept[c.day]+added[c.day] >= maxDay
		if full && count == 0 {
			dropped += n
			continue
		}
		if full || count >= maxRows {
			c.policy, c.detail = "", ""
		}
		if _, err := tx.Exec(ctx, addAmount, r.Kind, int64(c.day), c.domain, hashOf(c), c.policy, c.detail, n); err != nil {
			return err
		}
		if full || count >= maxRows {
			continue // one row a domain
		}
		added[c.day] += rowBytes + c.size()
		rows[of]++
	}
	tx.OnCommit(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for day, n := range added {
			r.kept[day] += n
		}
		r.dropped += dropped
	})
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
		return tx.Each(ctx, func(row db.Row) error {
			var policy, detail string
			var n int64
			if err := row.Scan(&policy, &detail, &n); err != nil {
				return err
			}
			if err := fn(policy, detail, n); err != nil {
				return err
			}
			return nil
		}, countedRows, r.Kind, int64(day), domain)
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
