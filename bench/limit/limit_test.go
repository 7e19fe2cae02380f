package limit_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/limit"
)

func TestLimitsAreMeasuredAndLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	for name, measure := range map[string]func() (drive.Outcome, error){
		"syncs":   func() (drive.Outcome, error) { return limit.Syncs(ctx, dir, 2, 20, time.Minute) },
		"commits": func() (drive.Outcome, error) { return limit.Commits(ctx, dir, 2, 20, time.Minute) },
		"calls":   func() (drive.Outcome, error) { return limit.Calls(ctx, 2, 20, time.Minute) },
	} {
		out, err := measure()
		if err != nil || out.Done != 20 || out.Failed != 0 || out.PerSecond() <= 0 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
