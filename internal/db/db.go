// Package db is the ground that stores: durable transactions, read-only snapshots and migrations, the same on SQLite and
// PostgreSQL. It knows nothing of mail; each package of the core brings its own tables and statements.
//
// Nothing is acknowledged before it is on disk. On SQLite one writer runs the write functions that wait, one after the other,
// each in a savepoint, in one transaction with one sync (sqlite_writer.go); on PostgreSQL each is a transaction
// (postgres.go). Either way a write function runs under the writer's context, never the caller's, may run more than once, and
// must do neither I/O nor hashing nor waiting: others wait behind it.
package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Engine names the database underneath.
type Engine string

// The engines.
const (
	SQLite     Engine = "sqlite"
	PostgreSQL Engine = "postgres"
)

// Options says which database to open and how.
type Options struct {
	// Path is the SQLite file, made where it does not exist; used when URL is empty. One process at a time may have it open:
	// the caller holds a lock that says so.
	Path string
	// URL is a PostgreSQL connection URL: postgres://user:secret@host:port/database?….
	URL string
	// Alone refuses, with ErrHeld, a PostgreSQL database that another process has opened so. For SQLite it says nothing: see Path.
	Alone bool
	// NoSync gives durability up for speed. It is for servers that keep nothing.
	NoSync bool
	// Rehearse runs every write function twice and undoes the first run: a test's way to find those that can't be run again.
	Rehearse bool
	// Migrations are the steps of all packages together, in any order; Open applies those that are missing.
	Migrations []Migration
	// Log hears of abandoned groups and panics; nil discards.
	Log *slog.Logger
}

// ErrClosed says that the database was closed before the function ran: nothing was changed.
var ErrClosed = errors.New("the database is closed")

// store is what an engine does for DB.
type store interface {
	write(ctx context.Context, fn Func) error
	read(ctx context.Context, fn Func) error
	check(ctx context.Context) []error
	stats() Stats
	close() error
}

// Func is the body of a transaction. It must return any error a statement gave it.
type Func func(ctx context.Context, tx *Tx) error

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine Engine
	alone  bool
	store  store
	hub    *hub
}

// Open opens the database and brings its tables up to date. The caller must Close it.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &hub{}
	if o.URL != "" {
		s, err := openPostgres(ctx, o, h)
		if err != nil {
			return nil, err
		}
		return &DB{engine: PostgreSQL, alone: o.Alone, store: s, hub: h}, nil
	}
	if o.Path == "" {
		return nil, errors.New("db: neither a path nor a URL was given")
	}
	s, err := openSQLite(ctx, o, h)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Path, err)
	}
	return &DB{engine: SQLite, alone: true, store: s, hub: h}, nil
}

// Engine says which database is underneath.
func (d *DB) Engine() Engine { return d.engine }

// Alone reports whether no other process works on the database meanwhile: SQLite's file has one, and a PostgreSQL database that was
// opened so.
func (d *DB) Alone() bool { return d.alone }

// Close runs the write functions that wait already and closes the database. Calls that come later give ErrClosed.
func (d *DB) Close() error { return d.store.close() }

// inside marks the context of a running transaction.
type inside struct{}

// Write runs fn in a durable transaction and returns after its commit is on disk, or returns fn's error with everything fn
// did undone. fn may run more than once.
//
// A caller whose ctx ends before fn began gets ctx's error, and nothing was done. Once fn began the caller waits for the
// outcome, because fn may share its variables; fn itself gets a context with ctx's values that does not end.
//
// A fault of kind Temporary says that the store could not commit (a full disk, an I/O error, a lost connection): the change
// was not acknowledged and is not visible now. Only after a lost PostgreSQL connection may it have been made all the same.
func (d *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if err := refuseNested(ctx, "Write"); err != nil {
		return err
	}
	return failure(ctx, d.store.write(context.WithValue(ctx, inside{}, "Write"), fn))
}

// Read runs fn in a read-only snapshot: it sees what was committed before its first statement and nothing later. fn should
// return soon, as there are few readers and a long snapshot holds back the cleaning of old versions.
func (d *DB) Read(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if err := refuseNested(ctx, "Read"); err != nil {
		return err
	}
	return failure(ctx, d.store.read(context.WithValue(ctx, inside{}, "Read"), fn))
}

// Check asks the engine whether the database is sound, and returns one error per fault it found. It reads everything.
func (d *DB) Check(ctx context.Context) []error { return d.store.check(ctx) }

// Stats returns what the database did since it was opened.
func (d *DB) Stats() Stats { return d.store.stats() }

// refuseNested finds the mistake that would wait for itself for ever: a transaction opened inside another.
func refuseNested(ctx context.Context, verb string) error {
	if outer, ok := ctx.Value(inside{}).(string); ok {
		return fmt.Errorf("db: %s was called inside a %s function: use its transaction", verb, outer)
	}
	return nil
}
