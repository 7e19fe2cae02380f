package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/limit"
	"github.com/pennypost/pennypost/internal/db"
)

// commitName and durableName name the limits that the API's aims are held against.
func commitName(engine db.Engine, clients int) string {
	return fmt.Sprintf("group-commit%s-c%d", suffix(engine), clients)
}

func durableName(engine db.Engine, clients int) string {
	return fmt.Sprintf("durable-call%s-c%d", suffix(engine), clients)
}

func suffix(engine db.Engine) string {
	if engine == db.PostgreSQL {
		return "-postgres"
	}
	return ""
}

// limits measures the machine at the beginning of a round.
func (b *bench) limits(ctx context.Context, round int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, n := range []int{1, 16} {
		count := n * b.scale.syncs
		add := func(name string, run func() (drive.Outcome, error)) error {
			b.say("round %d of %d: %s", round+1, b.scale.rounds, name)
			out, err := run()
			if err == nil {
				err = b.addRate(round, machine, sectionLimits, name, out, 1, true)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}
		err := errors.Join(
			add(fmt.Sprintf("fsync-c%d", n), func() (drive.Outcome, error) { return limit.Syncs(ctx, b.room, n, count, b.scale.most) }),
			add(fmt.Sprintf("empty-call-c%d", n), func() (drive.Outcome, error) { return limit.Calls(ctx, self, "", n, count, b.scale.most) }))
		for _, engine := range b.engines {
			err = errors.Join(err,
				add(commitName(engine, n), func() (drive.Outcome, error) {
					return b.onFresh(ctx, engine, func(database string) (drive.Outcome, error) {
						return limit.Commits(ctx, database, n, count, b.scale.most)
					})
				}),
				add(durableName(engine, n), func() (drive.Outcome, error) {
					return b.onFresh(ctx, engine, func(database string) (drive.Outcome, error) {
						return limit.Calls(ctx, self, database, n, count, b.scale.most)
					})
				}))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// onFresh measures on an empty database, which is removed afterwards.
func (b *bench) onFresh(ctx context.Context, engine db.Engine, run func(database string) (drive.Outcome, error)) (out drive.Outcome, err error) {
	const name = "limit"
	if engine == db.PostgreSQL {
		database, err := b.cluster.NewDatabase(ctx, name)
		if err != nil {
			return out, err
		}
		out, err = run(database)
		return out, errors.Join(err, b.cluster.DropDatabase(ctx, name))
	}
	dir, err := b.directory(name)
	if err != nil {
		return out, err
	}
	out, err = run(filepath.Join(dir, "db"))
	return out, errors.Join(err, os.RemoveAll(dir))
}
