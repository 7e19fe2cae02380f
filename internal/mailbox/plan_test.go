package mailbox

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// Each of these statements must find its rows by an index, as many columns of it as there are: the first forms of the bulk
// ones read the whole folder for every 128 rows. PostgreSQL plans by what the tables hold at the time, so SQLite's plans stand
// for both.
func TestStatementsFindTheirRowsByIndex(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t, Migrations()))
	b := newBulks()
	const key = "USING PRIMARY KEY (mailbox=? AND folder=? AND uid=?)"
	const span = "USING PRIMARY KEY (mailbox=? AND folder=? AND uid>? AND uid<?)"
	const meta = "SEARCH m USING PRIMARY KEY (mailbox=? AND item=?)"
	for name, c := range map[string]struct {
		text string
		args int
		want []string
	}{
		"flags":       {b.flags.texts[0](), 3 + 128*3, []string{key}},
		"move":        {b.move.texts[0](), 4 + 128*3, []string{key}},
		"copy":        {b.copyItem.texts[0](), 4 + 128*4, []string{key}},
		"copy meta":   {b.copyMeta.texts[0](), 1 + 128*2, []string{meta}},
		"delete":      {b.deleteItem.texts[0](), 2 + 128, []string{key}},
		"delete meta": {b.deleteMeta.texts[0](), 1 + 128, []string{"USING PRIMARY KEY (mailbox=? AND item=?)"}},
		"release":     {b.release.texts[0](), 128 * 2, []string{"USING INTEGER PRIMARY KEY"}},
		"delete body": {b.deleteBody.texts[0](), 128, []string{"USING INTEGER PRIMARY KEY"}},
		"run":         {storeRun, 8, []string{span}},
		"rows":        {readRowsRange, 5, []string{span}},
		"flagged":     {readFlaggedRows, 2, []string{"USING PRIMARY KEY (mailbox=? AND folder=?)"}},
		"fetch":       {fetchTexts.Get()[WantFlags], 5, []string{span}},
		"envelopes":   {fetchTexts.Get()[WantEnvelope], 5, []string{span, meta}},
		"fetch all":   {fetchTexts.Get()[(WantMeta | WantBody).full()], 5, []string{span, meta, "SEARCH b USING INTEGER PRIMARY KEY"}},
		"newest":      {readNewest, 4, []string{"USING PRIMARY KEY (mailbox=? AND folder=? AND uid<?)"}},
		"changed":     {readChanged, 3, []string{"USING INDEX item_changed (mailbox=? AND folder=? AND changed>?)"}},
		"touched":     {readTouched, 3, []string{"USING INDEX item_changed (mailbox=? AND folder=? AND changed>?)"}},
		"lock":        {lockMailbox, 4, []string{"USING INTEGER PRIMARY KEY"}},
		"garbage":     {readGarbage, 2, []string{"USING COVERING INDEX blob_garbage_due (due<?)"}},
		"folder":      {updateFolder, 9, []string{"USING PRIMARY KEY (mailbox=? AND id=?)"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := r.plan(c.text, c.args)
			for _, want := range c.want {
				if !strings.Contains(plan, want) {
					t.Errorf("the plan lacks %q:\n%s", want, plan)
				}
			}
			if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "AUTOMATIC") {
				t.Errorf("the plan sorts, or makes an index:\n%s", plan)
			}
		})
	}
}

// plan is how SQLite would run the statement.
func (r *rig) plan(text string, args int) string {
	r.t.Helper()
	var plan strings.Builder
	r.ok(r.db.Read(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(row db.Row) error {
			var id, parent, unused int
			var line string
			err := row.Scan(&id, &parent, &unused, &line)
			plan.WriteString(line + "\n")
			return err
		}, "EXPLAIN QUERY PLAN "+text, slices.Repeat([]any{int64(1)}, args)...)
	}))
	return plan.String()
}
