package job

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
)

// What differs between the engines.

// dueSQL selects jobs of the handled kinds that may start: those that wait and are due, or those whose lease ran out. $1 is now,
// $2 how many, the kinds follow. On PostgreSQL, where other servers claim at the same time, the rows are locked and those of
// others are passed over. Shares that follow the kinds are left out.
func dueSQL(e db.Engine, expired bool, kinds, shares int) string {
	where, order := "lease = 0 AND due <= $1", "due"
	if expired {
		where, order = "lease > 0 AND lease <= $1", "lease"
	}
	lock := ""
	if e == db.PostgreSQL {
		lock = " FOR UPDATE SKIP LOCKED"
	}
	return `SELECT id, "key" FROM job WHERE ` + where + " AND " + handled(kinds, 3) + without(shares, 3+kinds) + " ORDER BY " + order + " LIMIT $2" + lock
}

// nextSQL selects the time at which the next job of the handled kinds may start: $1 is how many that are leased to look at. Shares that
// follow the kinds are left out.
func nextSQL(kinds, shares int) string {
	return `SELECT id, start FROM (SELECT id, due AS start FROM job WHERE lease = 0 AND ` + handled(kinds, 2) + without(shares, 2+kinds) + ` ORDER BY due LIMIT 1) AS waiting
		UNION ALL SELECT id, start FROM (SELECT id, lease AS start FROM job WHERE lease > 0 AND ` + handled(kinds, 2) + ` ORDER BY lease LIMIT $1) AS leased`
}

// handled is the condition on the kind. It is written so that SQLite does not take the index on the kind for it, and with it read
// and sort every job that waits.
func handled(kinds, first int) string {
	var b strings.Builder
	b.WriteString("kind || '' IN (")
	for i := range kinds {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", first+i)
	}
	return b.String() + ")"
}

// without is the condition that jobs are not of shares, each of which is given with its space.
func without(shares, first int) string {
	var b strings.Builder
	for i := range shares {
		fmt.Fprintf(&b, ` AND substr("key", 1, length(CAST($%[1]d AS TEXT))) <> $%[1]d`, first+i)
	}
	return b.String()
}

// freeOnceSQL and freeAgainSQL free what a killed server held of the handled kinds, the second with a pause that ends at $1.
func freeOnceSQL(kinds int) string {
	return `UPDATE job SET lease = 0, token = 0, attempts = 1, error = 'the server was killed while it ran'
		WHERE lease > 0 AND attempts = 0 AND ` + handled(kinds, 1)
}

func freeAgainSQL(kinds int) string {
	return `UPDATE job SET lease = 0, token = 0, attempts = attempts + 1, error = 'the server was killed while it ran',
			due = CASE WHEN due > $1 THEN due ELSE $1 END WHERE lease > 0 AND ` + handled(kinds, 2)
}

// freeAbandoned frees at once what a killed server held of this runner's kinds; another runner of the server may be at work on
// others. Where one server alone works on a database, what is held when it begins is held by nobody; elsewhere another server may
// hold it, and the lease has to run out.
//
// It counts as a failure, and from the second on it waits like one: the job itself may be what kills the server.
func (r *Runner) freeAbandoned(ctx context.Context) error {
	kinds := len(r.handlers)
	if !r.db.Alone() || kinds == 0 {
		return nil
	}
	return r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := r.clock.Now()
		if _, err := tx.Exec(ctx, freeOnceSQL(kinds), r.kinds(nil)...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, freeAgainSQL(kinds), r.kinds(nil, now.Add(retryAfter(3)).UnixMicro())...)
		return err
	})
}
