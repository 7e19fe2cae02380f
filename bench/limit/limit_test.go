package limit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/limit"
)

// TestMain makes the test's program the server of limit.Calls when it is asked to be.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == limit.Verb {
		if err := limit.Answer(context.Background(), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestLimitsAreMeasured(t *testing.T) {
	ctx := context.Background()
	for name, measure := range map[string]func(dir string) (drive.Outcome, error){
		"syncs": func(dir string) (drive.Outcome, error) { return limit.Syncs(ctx, dir, 2, 20, time.Minute) },
		"commits": func(dir string) (drive.Outcome, error) {
			return limit.Commits(ctx, filepath.Join(dir, "db"), 2, 20, time.Minute)
		},
		"calls": func(string) (drive.Outcome, error) { return limit.Calls(ctx, os.Args[0], "", 2, 20, time.Minute) },
		"durable calls": func(dir string) (drive.Outcome, error) {
			return limit.Calls(ctx, os.Args[0], filepath.Join(dir, "db"), 2, 20, time.Minute)
		},
	} {
		out, err := measure(t.TempDir())
		if err != nil || out.Done != 20 || out.Failed != 0 || out.PerSecond() <= 0 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
}

func TestAServerThatEndsSaysWhy(t *testing.T) {
	if _, err := limit.Calls(context.Background(), os.Args[0], t.TempDir(), 1, 1, time.Minute); err == nil || !strings.Contains(err.Error(), "unable to open database") {
		t.Errorf("with a directory as its database: %v", err)
	}
}
