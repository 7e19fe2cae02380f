package route

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns"
)

const (
	// retry is how long a failed fetch is not repeated for mail (RFC 8461 section 3.3), and retryUnasked for a refresh.
	retry        = 5 * time.Minute
	retryUnasked = time.Hour
	// refresh is how old a policy gets before it is fetched anew, where it does not expire long before.
	refresh = 24 * time.Hour
	// unused is how long after the last mail a policy is no longer refreshed.
	unused = 30 * 24 * time.Hour
	// pause is how often to look for policies to refresh.
	pause = 10 * time.Minute
	// batch is how many rows are read or deleted at once.
	batch = 100
)

// stsRow is a domain's row.
type stsRow struct {
	domain, id, body          string
	expires, tried, due, used time.Time
}

const stsColumns = `domain, id, body, expires, tried, due, used`

func scanSTS(row db.Row) (*stsRow, error) {
	var s stsRow
	var expires, tried, due, used int64
	if err := row.Scan(&s.domain, &s.id, &s.body, &expires, &tried, &due, &used); err != nil {
		return nil, err
	}
	s.expires, s.tried, s.due, s.used = time.UnixMicro(expires), time.UnixMicro(tried), time.UnixMicro(due), time.UnixMicro(used)
	return &s, nil
}

const stsByDomain = `SELECT ` + stsColumns + ` FROM mta_sts_policy WHERE domain = $1`

// stored reads a domain's row; nil where there is none.
func (r *Router) stored(ctx context.Context, domain string) (row *stsRow, err error) {
	err = r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		row, err = scanSTS(tx.QueryRow(ctx, stsByDomain, domain))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return row, err
}

const putSTS = `INSERT INTO mta_sts_policy (` + stsColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7)
	ON CONFLICT (domain) DO UPDATE SET id = excluded.id, body = excluded.body, expires = excluded.expires, tried = excluded.tried,
		due = excluded.due, used = excluded.used`

func (r *Router) store(ctx context.Context, s *stsRow) error {
	return r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, putSTS, s.domain, s.id, s.body, s.expires.UnixMicro(), s.tried.UnixMicro(), s.due.UnixMicro(), s.used.UnixMicro())
		return err
	})
}

// live is the policy of a row that has not expired; nil where there is none.
func (r *Router) live(row *stsRow) *STSPolicy {
	if row == nil || row.body == "" || !r.Clock.Now().Before(row.expires) {
		return nil
	}
	p, err := parseSTS(row.body)
	if err != nil {
		return nil // it was read when it was stored
	}
	return p
}

// policy returns the MTA-STS policy of a folded domain; nil where it has none. A policy that is known holds until it expires,
// whatever becomes of its record and its host in the meantime.
func (r *Router) policy(ctx context.Context, domain string) (*STSPolicy, error) {
	row, err := r.stored(ctx, domain)
	if err != nil {
		return nil, err
	}
	id, published := r.publishedID(ctx, domain)
	p := r.live(row)
	if published && (p == nil || row.id != id) {
		if row, err = r.renew(ctx, domain, id); err != nil {
			return nil, err
		}
		p = r.live(row)
	}
	if p != nil && r.Clock.Now().Sub(row.used) > refresh {
		row.used = r.Clock.Now()
		if err := r.use(ctx, domain, row.used); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (r *Router) use(ctx context.Context, domain string, at time.Time) error {
	return r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE mta_sts_policy SET used = $2 WHERE domain = $1`, domain, at.UnixMicro())
		return err
	})
}

// publishedID asks DNS for the id of a domain's policy.
func (r *Router) publishedID(ctx context.Context, domain string) (id string, ok bool) {
	records, err := r.Resolver.LookupTXT(ctx, "_mta-sts."+domain)
	if err != nil {
		if !errors.Is(err, dns.ErrNotFound) && ctx.Err() == nil {
			r.Log.DebugContext(ctx, "whether a domain has an MTA-STS policy could not be looked up", "domain", domain, "error", err)
		}
		return "", false
	}
	return ParseSTSRecord(records)
}

// renew fetches the policy that has the id, unless somebody just did, or failed to, and returns the row as it is then.
func (r *Router) renew(ctx context.Context, domain, id string) (*stsRow, error) {
	done, err := r.turns.take(ctx, domain)
	if err != nil {
		return nil, err
	}
	defer done()
	row, err := r.stored(ctx, domain)
	if err != nil {
		return nil, err
	}
	if row != nil && (row.id == id && r.live(row) != nil || r.Clock.Now().Sub(row.tried) < retry) {
		return row, nil
	}
	return r.fetchInto(ctx, row, domain, id, retry)
}

// fetchInto fetches a policy and stores it. Where that fails the row, which may be nil, stays what it was, but for when it was
// tried and will be again.
func (r *Router) fetchInto(ctx context.Context, row *stsRow, domain, id string, again time.Duration) (*stsRow, error) {
	body, p, err := r.policies.Fetch(ctx, domain)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	now := r.Clock.Now()
	if row == nil {
		row = &stsRow{domain: domain, used: now, expires: now.Add(refresh)} // an empty row is kept for as long
	}
	row.tried = now
	if err == nil {
		row.id, row.body, row.expires = id, body, now.Add(p.age)
		row.due = now.Add(min(refresh, p.age/2))
	} else {
		row.due = now.Add(again)
		r.Log.WarnContext(ctx, "an MTA-STS policy could not be fetched", "domain", domain, "known", r.live(row) != nil, "error", err)
		result, said := fetchResult(err)
		r.report(ctx, Session{Domain: domain, Policy: Policy{Type: PolicySTS, Domain: domain}, Result: result, Info: said})
	}
	return row, r.store(ctx, row)
}

// Run refreshes the policies of domains that mail goes to, and deletes those that expired, until ctx ends. It returns nil then.
func (r *Router) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.tend(ctx); err != nil && ctx.Err() == nil {
			r.Log.ErrorContext(ctx, "MTA-STS policies could not be refreshed", "error", err)
		}
		_ = r.Clock.Sleep(ctx, pause) // whatever ended it, the loop looks
	}
	return nil
}

const (
	dueSTS = `SELECT ` + stsColumns + ` FROM mta_sts_policy WHERE due <= $1 AND expires > $1 AND used > $2 AND body <> '' AND domain > $3
		ORDER BY domain LIMIT $4`
	expiredSTS = `DELETE FROM mta_sts_policy WHERE domain IN
		(SELECT domain FROM mta_sts_policy WHERE expires <= $1 ORDER BY expires LIMIT $2)`
)

// tend does the work of Run that is due.
func (r *Router) tend(ctx context.Context) error {
	now := r.Clock.Now()
	for last := ""; ; {
		rows, err := r.dueRows(ctx, now, last)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			if err := r.refreshOne(ctx, row.domain, now); err != nil {
				return err
			}
		}
		last = rows[len(rows)-1].domain
	}
	for {
		var n int64
		err := r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, expiredSTS, now.UnixMicro(), int64(batch))
			return err
		})
		if err != nil || n < batch {
			return err
		}
	}
}

func (r *Router) dueRows(ctx context.Context, now time.Time, after string) (out []*stsRow, err error) {
	err = r.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(r db.Row) error {
			row, err := scanSTS(r)
			if err != nil {
				return err
			}
			out = append(out, row)
			return nil
		}, dueSTS, now.UnixMicro(), now.Add(-unused).UnixMicro(), after, int64(batch))
	})
	if err != nil {
		return nil, fmt.Errorf("read the policies to refresh: %w", err)
	}
	return out, nil
}

// refreshOne refreshes a policy, unless that was done while others were. Its record need not be there any more (RFC 8461 section
// 5.1): who blocks it must not outlast the policy.
func (r *Router) refreshOne(ctx context.Context, domain string, now time.Time) error {
	done, err := r.turns.take(ctx, domain)
	if err != nil {
		return err
	}
	defer done()
	row, err := r.stored(ctx, domain)
	if err != nil || row == nil || row.due.After(now) {
		return err
	}
	id, published := r.publishedID(ctx, domain)
	if !published {
		id = row.id
	}
	_, err = r.fetchInto(ctx, row, domain, id, retryUnasked)
	return err
}

// turns lets one goroutine at a time have a name.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{}
}

// take waits until the name is free. done gives it back.
func (t *turns) take(ctx context.Context, name string) (done func(), err error) {
	for {
		t.mu.Lock()
		holder := t.taken[name]
		if holder == nil {
			break
		}
		t.mu.Unlock()
		select {
		case <-holder:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer t.mu.Unlock()
	mine := make(chan struct{})
	if t.taken == nil {
		t.taken = map[string]chan struct{}{}
	}
	t.taken[name] = mine
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.taken, name)
		close(mine)
	}, nil
}
