package main

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/limit"
)

// The machine's limits that the API's aims are held against.
const (
	commitOne     = "group-commit-c1"
	commitSixteen = "group-commit-c16"
)

// limits measures the machine at the beginning of a round.
func (b *bench) limits(ctx context.Context, round int) error {
	for _, n := range []int{1, 16} {
		count := n * b.scale.syncs
		for _, l := range []struct {
			name string
			run  func() (drive.Outcome, error)
		}{
			{fmt.Sprintf("fsync-c%d", n), func() (drive.Outcome, error) { return limit.Syncs(ctx, b.room, n, count, b.scale.most) }},
			{fmt.Sprintf("group-commit-c%d", n), func() (drive.Outcome, error) { return limit.Commits(ctx, b.room, n, count, b.scale.most) }},
			{fmt.Sprintf("empty-call-c%d", n), func() (drive.Outcome, error) { return limit.Calls(ctx, n, count, b.scale.most) }},
		} {
			out, err := l.run()
			if err == nil {
				err = b.addRate(round, machine, sectionLimits, l.name, out, 1, true)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	return nil
}
