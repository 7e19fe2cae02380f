// Package dbtest runs storage tests on both engines: SQLite in a temporary directory and a real PostgreSQL, started by the test
// run. There is no skip: without PostgreSQL the tests fail and say what to install.
package dbtest

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/pennypost/pennypost/internal/db"
)

// Run runs fn as the subtests "sqlite" and "postgres", each on a database of its own with the migrations applied. After fn the
// engine's own check must find the database sound. Every write function runs twice, the first run undone: what can't be run again
// fails here and not in an operator's night.
func Run(t *testing.T, migrations []db.Migration, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t, migrations)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t, migrations)) })
}

// SQLite opens an empty SQLite database that lives as long as the test. It does not sync: tests about durability open their own.
func SQLite(t testing.TB, migrations []db.Migration) *db.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	if err := migrated(path, migrations); err != nil {
		t.Fatalf("make a test database: %v", err)
	}
	return open(t, db.Options{Path: path, NoSync: true, Migrations: migrations})
}

// Postgres opens an empty PostgreSQL database that lives as long as the test.
func Postgres(t testing.TB, migrations []db.Migration) *db.DB {
	t.Helper()
	return open(t, db.Options{URL: PostgresURL(t, migrations), NoSync: true, Migrations: migrations})
}

func open(t testing.TB, o db.Options) *db.DB {
	t.Helper()
	_, figures := t.(*testing.B)
	o.Rehearse = !figures
	o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	d, err := db.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open a test database: %v", err)
	}
	t.Cleanup(func() {
		for _, fault := range d.Check(context.Background()) {
			t.Errorf("after the test: %v", fault)
		}
		if err := d.Close(); err != nil {
			t.Errorf("close the test database: %v", err)
		}
	})
	return d
}

// Upgrade runs a test of migrations on both engines: fill works on a database that only knows the migrations old, then look on the
// same one brought up to date.
func Upgrade(t *testing.T, old, all []db.Migration, fill, look func(t *testing.T, d *db.DB)) {
	t.Helper()
	both := func(t *testing.T, o db.Options) {
		t.Helper()
		o.NoSync, o.Migrations = true, old
		before, err := db.Open(t.Context(), o)
		if err != nil {
			t.Fatalf("open a database of the old version: %v", err)
		}
		fill(t, before)
		if err := before.Close(); err != nil {
			t.Fatalf("close the database of the old version: %v", err)
		}
		o.Migrations = all
		look(t, open(t, o))
	}
	t.Run("sqlite", func(t *testing.T) { both(t, db.Options{Path: filepath.Join(t.TempDir(), "test.db")}) })
	t.Run("postgres", func(t *testing.T) { both(t, db.Options{URL: PostgresURL(t, nil)}) })
}

// Bubble is Run with each subtest in a synctest bubble: time stands still while anything works and jumps when all wait, so
// that what the machine's clock drives is tested without waiting.
func Bubble(t *testing.T, migrations []db.Migration, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { fn(t, SQLite(t, migrations)) })
	})
	t.Run("postgres", func(t *testing.T) {
		url := PostgresURL(t, migrations) // the cluster outlives the bubble
		synctest.Test(t, func(t *testing.T) { fn(t, open(t, db.Options{URL: url, NoSync: true, Migrations: migrations})) })
	})
}
