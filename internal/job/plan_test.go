package job

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// TestJobsOfOtherKindsAreNotRead: what waits of one kind, however much, slows no runner of others, and no count of another share.
func TestJobsOfOtherKindsAreNotRead(t *testing.T) {
	d := dbtest.SQLite(t, Migrations())
	for name, c := range map[string]struct {
		text string
		args int
		want []string
	}{
		"next":     {nextSQL(2, 1), 3, []string{"COVERING INDEX job_kind_start (kind=? AND lease=?)", "COVERING INDEX job_kind_start (kind=? AND lease>?)", "job USING PRIMARY KEY (id=?)"}},
		"due":      {dueSQL(db.SQLite, false, 1), 4, []string{"COVERING INDEX job_kind_start (kind=? AND lease=? AND due<?)"}},
		"expired":  {dueSQL(db.SQLite, true, 0), 3, []string{"COVERING INDEX job_kind_start (kind=? AND lease>? AND lease<?)"}},
		"of share": {ofShareSQL, 3, []string{"COVERING INDEX job_share (kind=? AND share=?)"}},
		"count":    {countSQL, 1, []string{"(kind=?)"}},
		"freed":    {freeAgainSQL(2), 3, []string{"job_kind_start (kind=? AND lease>?)"}},
	} {
		var plan strings.Builder
		err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			rows, err := tx.Query(ctx, "EXPLAIN QUERY PLAN "+c.text, slices.Repeat([]any{int64(1)}, c.args)...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var line string
				if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
					return err
				}
				plan.WriteString(line + "\n")
			}
			return rows.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(plan.String(), want) {
				t.Errorf("%s: the plan lacks %q:\n%s", name, want, plan.String())
			}
		}
		if strings.Contains(plan.String(), "SCAN job") || strings.Contains(plan.String(), "TEMP B-TREE") {
			t.Errorf("%s: the plan scans or sorts:\n%s", name, plan.String())
		}
	}
}
