package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// pgAttempts bounds how often a write is run again after a deadlock or a serialisation failure.
	pgAttempts = 10
	// pgPatience bounds a write, so that a lost connection or a lock held elsewhere does not hold its caller for ever.
	pgPatience = time.Minute
	// pgIdle is how long a connection is kept that nobody uses.
	pgIdle = 5 * time.Minute
)

// beginWrite begins a transaction that writes. One that reads is what a session begins by itself, see openPostgres.
const beginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

// postgresStore is the PostgreSQL engine: each write is a transaction, and the server groups their syncs.
//
// Writes run at READ COMMITTED. The design takes row locks first (UPDATE … RETURNING of the row that guards what follows) and
// reads what its rules depend on afterwards; each statement then sees what the former holder of the lock committed. Under
// REPEATABLE READ the snapshot would be older than the lock, and the waiting writer would fail and run again every time.
type postgresStore struct {
	counters
	log  *slog.Logger
	pool *sql.DB
	hub  *hub
	// hold keeps other processes off; nil where Options.Alone is not set.
	hold *hold
	// rehearse is Options.Rehearse.
	rehearse bool
	closed   atomic.Bool
}

func openPostgres(ctx context.Context, o Options, h *hub) (*postgresStore, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database_url: %w", err) // pgx hides the password
	}
	config.RuntimeParams["synchronous_commit"] = "on"
	if o.NoSync {
		config.RuntimeParams["synchronous_commit"] = "off"
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "pennypost"
	}
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["default_transaction_isolation"] = "repeatable read"
	config.RuntimeParams["default_transaction_read_only"] = "on"
	pool := sql.OpenDB(postgresConnector{&config.Config})
	size := max(16, 4*runtime.GOMAXPROCS(0))
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxIdleTime(pgIdle)
	s := &postgresStore{log: o.Log, pool: pool, hub: h, rehearse: o.Rehearse}
	if o.Alone {
		if s.hold, err = takeHold(ctx, config, o.Log); err != nil {
			return nil, errors.Join(err, pool.Close())
		}
	}
	if err := s.prepare(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *postgresStore) prepare(ctx context.Context, o Options) error {
	var fsync, encoding string
	err := s.pool.QueryRowContext(ctx, "SELECT current_setting('fsync'), current_setting('server_encoding')").Scan(&fsync, &encoding)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the PostgreSQL database is encoded in %s: make one with ENCODING 'UTF8'", encoding)
	}
	if fsync == "off" && !o.NoSync {
		s.log.WarnContext(ctx, "PostgreSQL runs with fsync=off: what is acknowledged may be lost in a power failure")
	}
	return migrate(ctx, s.pool, PostgreSQL, o.Migrations, o.Log)
}

func (s *postgresStore) close() error {
	if s.closed.Swap(true) {
		return nil
	}
	err := s.pool.Close()
	s.hold.release()
	return err
}

func (s *postgresStore) write(ctx context.Context, fn Func) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pgPatience)
	defer cancel()
	for attempt := 1; ; attempt++ {
		if s.rehearse {
			s.undone(ctx, fn)
		}
		err := s.attempt(ctx, fn)
		if !again(err) {
			return err
		}
		s.abandoned.Add(1)
		if attempt == pgAttempts {
			return unavailable(fmt.Errorf("after %d attempts: %w", attempt, err))
		}
	}
}

// undone runs fn and undoes it, whatever it returned.
func (s *postgresStore) undone(ctx context.Context, fn Func) {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return // the attempt that follows meets it too
	}
	defer conn.Close() // back to the pool, or dropped
	raw := postgresOf(conn)
	raw.write(ctx)
	_ = (&Tx{q: postgresTx{s.pool, conn, raw}, engine: PostgreSQL, ctx: ctx, hub: s.hub}).run(ctx, s.log, fn)
	raw.rollback()
}

// attempt runs fn once.
func (s *postgresStore) attempt(ctx context.Context, fn Func) error {
	if err := s.hold.check(); err != nil {
		return err
	}
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return unavailable(err)
	}
	defer conn.Close() // back to the pool, or dropped
	raw := postgresOf(conn)
	raw.write(ctx)
	t := &Tx{q: postgresTx{s.pool, conn, raw}, engine: PostgreSQL, ctx: ctx, hub: s.hub}
	err = t.run(ctx, s.log, fn)
	if err != nil {
		raw.rollback()
		if again(err) {
			return err
		}
		s.refused.Add(1)
		return err
	}
	if err := raw.commit(); err != nil {
		if again(err) {
			return err
		}
		if _, ok := errors.AsType[*pgconn.PgError](err); ok && !isFailure(err) {
			return err // a deferred constraint, say: the server refused
		}
		s.abandoned.Add(1)
		return unavailable(fmt.Errorf("commit: %w", err))
	}
	_ = conn.Close()
	s.commits.Add(1)
	s.functions.Add(1)
	committed(s.log, t.hooks)
	return nil
}

// again reports whether PostgreSQL undid a transaction that deserves another attempt.
func again(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == pgSerializationFailure || e.Code == pgDeadlockDetected)
}

func (s *postgresStore) read(ctx context.Context, fn Func) error {
	if s.closed.Load() {
		return ErrClosed
	}
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return unavailable(err)
	}
	defer conn.Close() // back to the pool, or dropped
	s.reads.Add(1)
	raw := postgresOf(conn)
	raw.read(ctx)
	t := &Tx{q: postgresTx{s.pool, conn, raw}, engine: PostgreSQL}
	err = t.run(ctx, s.log, fn)
	raw.leave()
	return err
}

// check looks for what PostgreSQL itself knows to be broken: indexes and constraints it could not validate.
func (s *postgresStore) check(ctx context.Context) []error {
	var faults []error
	err := s.read(ctx, func(ctx context.Context, tx *Tx) error {
		rows, err := tx.Query(ctx, `SELECT 'index ' || c.relname || ' is not valid: REINDEX it' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid
			UNION ALL SELECT 'constraint ' || conname || ' is not validated' FROM pg_constraint WHERE NOT convalidated`)
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			faults = append(faults, errors.New("database: "+line))
		}
		return rows.Err()
	})
	if err != nil {
		faults = append(faults, fmt.Errorf("check the database: %w", err))
	}
	return faults
}
