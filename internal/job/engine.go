package job

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
)

// Each statement reads jobs of one kind by its index and in its order: what waits of other kinds, however much, slows none.

// dueSQL selects jobs of the kind $1 that may start: those that wait and are due, or those whose lease ran out. $2 is now, $3 how many.
// On PostgreSQL, where other servers claim at the same time, the rows are locked and those of others are passed over. Shares that follow
// are left out.
func dueSQL(e db.Engine, expired bool, shares int) string {
	where, order := "lease = 0 AND due <= $2", "due"
	if expired {
		where, order = "lease > 0 AND lease <= $2", "lease"
	}
	lock := ""
	if e == db.PostgreSQL {
		lock = " FOR UPDATE SKIP LOCKED"
	}
	return "SELECT id, share, " + order + " FROM job WHERE kind = $1 AND " + where + without(shares, 4) + " ORDER BY " + order + " LIMIT $3" + lock
}

// nextSQL selects the job of each of the kinds that may start next, and those that are leased, which are no more than run. Shares that
// follow the kinds are left out.
func nextSQL(kinds, shares int) string {
	values := strings.ReplaceAll(list(kinds, 1), ", ", "), (")
	but := without(shares, 1+kinds)
	return "WITH handled (kind) AS (VALUES (" + values + ")) " +
		"SELECT handled.kind, job.id, job.due FROM handled JOIN job ON job.id = " +
		"(SELECT id FROM job WHERE kind = handled.kind AND lease = 0" + but + " ORDER BY due LIMIT 1) " +
		"UNION ALL SELECT kind, id, lease FROM job WHERE kind IN (" + list(kinds, 1) + ") AND lease > 0" + but
}

// without is the condition that jobs are not of shares.
func without(shares, first int) string {
	if shares == 0 {
		return ""
	}
	return " AND share NOT IN (" + list(shares, first) + ")"
}

// list is a list of parameters.
func list(n, first int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", first+i)
	}
	return b.String()
}

// freeOnceSQL and freeAgainSQL free what a killed server held of the handled kinds, the second with a pause that ends at $1.
func freeOnceSQL(kinds int) string {
	return `UPDATE job SET lease = 0, token = 0, attempts = 1, error = 'the server was killed while it ran'
		WHERE kind IN (` + list(kinds, 1) + `) AND lease > 0 AND attempts = 0`
}

func freeAgainSQL(kinds int) string {
	return `UPDATE job SET lease = 0, token = 0, attempts = attempts + 1, error = 'the server was killed while it ran',
			due = CASE WHEN due > $1 THEN due ELSE $1 END WHERE kind IN (` + list(kinds, 2) + `) AND lease > 0`
}

// freeAbandoned frees at once what a killed server held of these runners' kinds; another runner of the server may be at work on
// others. Where one server alone works on a database, what is held when it begins is held by nobody; elsewhere another server may
// hold it, and the lease has to run out.
//
// It counts as a failure, and from the second on it waits like one: the job itself may be what kills the server.
func (r *Runner) freeAbandoned(ctx context.Context, runners []*Runner) error {
	names := kinds(runners, nil)
	if !r.db.Alone() || len(names) == 0 {
		return nil
	}
	return r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := r.clock.Now()
		if _, err := tx.Exec(ctx, freeOnceSQL(len(names)), names...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, freeAgainSQL(len(names)), kinds(runners, nil, now.Add(retryAfter(3)).UnixMicro())...)
		return err
	})
}
