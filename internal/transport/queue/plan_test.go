package queue

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// Each of these statements must find its rows by an index and in its order: with a million deliveries waiting, a scan or a sort is
// the end. PostgreSQL plans by what the tables hold at the time, so SQLite's plans stand for both.
func TestStatementsFindTheirRowsByIndex(t *testing.T) {
	d := dbtest.SQLite(t, Migrations())
	const row = "USING INTEGER PRIMARY KEY (rowid=?)"
	for name, c := range map[string]struct {
		text string
		args int
		want []string
	}{
		"due lane":      {selectDueLaneSQL, 4, []string{"(route=? AND domain=? AND org=?)"}},
		"failing lane":  {selectFailingLane, 2, []string{"(route=? AND domain=?)"}},
		"turns":         {selectTurns, 3, turns("up")},
		"turns down":    {selectTurnsDown, 3, turns("down")},
		"due lanes":     {selectDueLanes, 3, []string{"queue_destination_up (org=? AND due<?)"}},
		"down lanes":    {selectDueLanesDown, 3, []string{"queue_destination_down (org=? AND due<?)"}},
		"next look":     {selectNextLook, 1, []string{"queue_destination_due (due>?)"}},
		"ready":         {selectReady, 3, []string{"COVERING INDEX queue_delivery_due (destination=? AND state=? AND due<?)"}},
		"not before":    {selectNotBefore, 1, []string{row}},
		"claim":         {selectClaim, 4, []string{"queue_delivery_message (message=? AND destination=?)"}},
		"message":       {selectMessage, 1, []string{row}},
		"body":          {selectBody, 1, []string{row}},
		"next due":      {selectNextDue, 1, []string{"COVERING INDEX queue_delivery_due (destination=? AND state=?)"}},
		"empty lane":    {deleteEmptyLane, 1, []string{row, "queue_delivery_lane (destination=?)"}},
		"lock":          {lockLane, 1, []string{row}},
		"move":          {moveLane, 2, []string{row}},
		"hold back":     {holdLanesBack, 7, []string{"(route=? AND domain=?)"}},
		"free":          {freeLanes, 3, []string{"(route=? AND domain=?)"}},
		"defer":         {deferDelivery, 8, []string{row}},
		"prolong":       {prolong, 2, []string{row}},
		"done":          {deleteDelivery, 1, []string{row}},
		"orphans":       {deleteOrphans, 1, []string{"queue_delivery_message (message=?)"}},
		"lost reports":  {deleteOrphanReports, 1, []string{"USING PRIMARY KEY (message=?)"}},
		"count":         {countDown, 2, []string{row}},
		"alarms":        {selectAlarms, 4, []string{"queue_delivery_alarm (state=? AND "}},
		"next alarm":    {selectNextAlarm, 1, []string{"COVERING INDEX queue_delivery_alarm (state=? AND alarm>?)"}},
		"one delivery":  {selectDelivery, 1, []string{"SEARCH d " + row, "SEARCH t " + row}},
		"untold":        {selectUntold, 3, []string{"COVERING INDEX queue_report_due ("}},
		"next report":   {selectNextReport, 1, []string{"COVERING INDEX queue_report_due (due>?)"}},
		"reports":       {selectReports, 2, []string{"USING PRIMARY KEY (message=?)"}},
		"told":          {deleteReport, 3, []string{"USING PRIMARY KEY (message=? AND delivery=?)"}},
		"postpone":      {postponeReports, 2, []string{"USING PRIMARY KEY (message=?)"}},
		"history":       {selectHistory, 3, []string{"queue_history_trace (trace=?)"}},
		"prune":         {pruneHistory, 2, []string{"USING PRIMARY KEY (at<?)"}},
		"garbage":       {selectGarbage, 1, []string{"USING PRIMARY KEY (life=?)"}},
		"upload":        {deleteUpload, 2, []string{"USING PRIMARY KEY (life=? AND ref=?)"}},
		"list":          {selectAll, 2, []string{"SEARCH d USING INTEGER PRIMARY KEY (rowid>?)", "SEARCH m " + row, "SEARCH t " + row}},
		"held":          {selectHeld, 2, []string{"INDEX queue_delivery_held (id>?)", "SEARCH m " + row, "SEARCH t " + row}},
		"of a lane":     {selectOfLane, 3, []string{"INDEX queue_delivery_lane (destination=? AND id>?)", "SEARCH m " + row, "SEARCH t " + row}},
		"whose lanes":   {selectLanesOfOrganization, 3, []string{"COVERING INDEX queue_destination_org (org=? AND id>?)"}},
		"lanes there":   {selectLanesOfDomain, 4, []string{"(route=? AND domain=?)"}},
		"lanes of one":  {selectLanesOfRecipient, 4, []string{"(route=? AND domain=?)", "(route>?)"}},
		"usage":         {selectUsage, 1, []string{"USING PRIMARY KEY (org=?)"}},
		"take usage":    {takeUsage, 3, []string{"USING PRIMARY KEY (org=? AND part=?)"}},
		"attempt ended": {deleteAttempt, 2, []string{"USING PRIMARY KEY (message=? AND destination=?)"}},
		"of a run":      {selectOfRun, 2, []string{"queue_delivery_message (message=? AND destination=?)"}},
		"put off":       {putOffRun, 3, []string{"queue_delivery_message (message=?)"}},
		"depth":         {countState, 1, []string{"COVERING INDEX queue_delivery_alarm (state=?)"}},
		"oldest":        {selectOldest, 0, []string{"SEARCH m " + row}},
		"large bodies":  {selectLarge, 2, []string{"USING INTEGER PRIMARY KEY (rowid>?)"}},
		"owed":          {selectOwed, 1, []string{"queue_owed_due (due<?)"}},
		"next owed":     {selectNextOwed, 1, []string{"COVERING INDEX queue_owed_due (due>?)"}},
		"of routes":     {countRoutes, 1, []string{"(destination=?)", "(route>?)"}},
		"newest":        {selectNewest, 0, []string{"SEARCH queue_delivery"}},
		"of a message":  {selectOfMessage, 3, []string{"queue_delivery_message (message=?)"}},
		"of a trace":    {selectOfTrace, 3, []string{"queue_message_trace (trace=?)"}},
		"other reports": {deleteOldReport, 2, []string{"USING PRIMARY KEY (message=? AND delivery=?)"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := plan(t, d, c.text, c.args)
			for _, want := range c.want {
				if !strings.Contains(plan, want) {
					t.Errorf("the plan lacks %q:\n%s", want, plan)
				}
			}
			few := slices.Contains([]string{"of a message", "of a trace", "of a run", "lanes there", "lanes of one"}, name) // sorted by number, as they are few
			if !few && strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "AUTOMATIC") {
				t.Errorf("the plan sorts, or makes an index:\n%s", plan)
			}
		})
	}
}

// turns are the steps of selectTurns.
func turns(kind string) []string {
	index := " queue_destination_" + kind + " "
	return []string{"INDEX" + index + "(org>?)\nRECURSIVE", "INDEX" + index + "(org>?)\nSCAN", "INDEX" + index + "(org=?)"}
}

// plan is how SQLite would run the statement.
func plan(t *testing.T, d *db.DB, text string, args int) string {
	t.Helper()
	var plan strings.Builder
	err := d.Read(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(row db.Row) error {
			var id, parent, unused int
			var line string
			err := row.Scan(&id, &parent, &unused, &line)
			plan.WriteString(line + "\n")
			return err
		}, "EXPLAIN QUERY PLAN "+text, slices.Repeat([]any{int64(1)}, args)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
