package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/pennypost/pennypost/internal/lazy"
)

// querier is what *sql.Conn and *sql.Tx have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Tx is a running transaction. It belongs to its function: it must not be kept, nor used from another goroutine.
//
// After a statement failed, the transaction refuses further ones and can't commit, on both engines: PostgreSQL demands it,
// and SQLite may have dropped the whole transaction, so that a later statement would commit by itself.
type Tx struct {
	q      querier
	engine Engine
	// raw, where it is set, is the connection beneath q: statements without rows need nothing of what lies between.
	raw *sqliteConn
	// ctx, where it is set, stands in for the one given to a statement: a write statement is never cancelled.
	ctx    context.Context
	failed error
	// wrote is set once a statement may have changed something.
	wrote bool
	hooks []func()
	hub   *hub
	// rows and singles are what the function was given to read, and might forget to close: an open result holds the connection.
	rows    []*sql.Rows
	singles []*sql.Row
	// notices are the channels that a hook notifies already.
	notices map[string]bool
}

var errOver = errors.New("db: the transaction is over: it must not be used after its function returned")

// Engine says which database is underneath, for the few files that differ by engine.
func (t *Tx) Engine() Engine { return t.engine }

// OnCommit keeps fn to be run once the transaction is durable, after those given before it. It is dropped if the function is
// rolled back. fn must not block: on SQLite the writer itself runs it.
func (t *Tx) OnCommit(fn func()) { t.hooks = append(t.hooks, fn) }

// Exec runs a statement and returns how many rows it affected.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := t.refused(); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, query, args)
	if err != nil {
		t.wrote = true
		return 0, t.fail(err)
	}
	t.wrote = t.wrote || n > 0
	return n, nil
}

func (t *Tx) exec(ctx context.Context, query string, args []any) (int64, error) {
	if t.raw != nil {
		return t.raw.run(query, args)
	}
	res, err := t.q.ExecContext(t.context(ctx), query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Send runs a statement whose outcome the function doesn't need. In a Write on PostgreSQL it is said together with the next one, or with
// COMMIT, and if it fails that shows at the next statement that is waited for. So it must neither be nor precede one whose IsUnique is
// asked about, nor precede one of a caller's hook whose failure is blamed on the hook.
func (t *Tx) Send(ctx context.Context, query string, args ...any) error {
	p, ok := t.q.(postgresTx)
	if !ok || p.raw.reading {
		_, err := t.Exec(ctx, query, args...)
		return err
	}
	if err := t.refused(); err != nil {
		return err
	}
	t.wrote = true
	if err := p.raw.send(query, args); err != nil {
		return t.fail(err)
	}
	return nil
}

// Query runs a statement that returns rows, for who needs more than Each or All. The caller must close them before the function returns,
// and look at rows.Err.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := t.query(ctx, query, args) // the caller's
	if err == nil {
		t.rows = append(t.rows, rows)
	}
	return rows, err
}

func (t *Tx) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	if err := t.refused(); err != nil {
		return nil, err
	}
	t.wrote = t.wrote || !onlyReads(query)
	rows, err := t.q.QueryContext(t.context(ctx), query, args...) // the caller's
	if err != nil {
		return nil, t.fail(err)
	}
	return rows, nil
}

// Row is what a query found, one row of it: *sql.Row or *sql.Rows.
type Row = interface{ Scan(dest ...any) error }

// Each runs a statement that returns rows and hands each to scan, whose error ends it. scan must not use the transaction.
func (t *Tx) Each(ctx context.Context, scan func(Row) error, query string, args ...any) error {
	rows, err := t.query(ctx, query, args)
	if err != nil {
		return err
	}
	defer rows.Close() // rows.Err tells
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return t.fail(err)
	}
	return nil
}

// All runs a statement that returns rows and returns what scan makes of each.
func All[T any](ctx context.Context, tx *Tx, scan func(Row) (T, error), query string, args ...any) (all []T, err error) {
	err = tx.Each(ctx, func(row Row) error {
		one, err := scan(row)
		if err == nil {
			all = append(all, one)
		}
		return err
	}, query, args...)
	return all, err
}

// Value is the value of a row with one column, for All.
func Value[T any](row Row) (value T, err error) {
	err = row.Scan(&value)
	return value, err
}

// QueryRow runs a statement that returns at most one row. A missing row shows as sql.ErrNoRows in Scan and is no failure of
// the transaction.
//
// On SQLite it isn't interrupted once it began: it is for what an index finds, and watching a context costs three goroutines,
// which is more than such a look-up. What may read much is Query's.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	t.wrote = t.wrote || !onlyReads(query)
	ctx = t.context(ctx)
	refused := t.refused()
	switch {
	case refused != nil:
		ctx = refusal{ctx, refused}
	case t.engine == SQLite && ctx.Done() != nil && ctx.Err() == nil:
		ctx = context.WithoutCancel(ctx)
	}
	row := t.q.QueryRowContext(ctx, query, args...)
	if err := row.Err(); err != nil && t.failed == nil {
		t.failed = err
	}
	t.singles = append(t.singles, row)
	return row
}

// onlyReads reports whether a statement surely changes nothing.
func onlyReads(query string) bool { return strings.HasPrefix(query, "SELECT ") }

func (t *Tx) context(ctx context.Context) context.Context {
	if t.ctx != nil {
		return t.ctx
	}
	return ctx
}

func (t *Tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// refused returns why the transaction takes no more statements: one failed, perhaps between the rows that its function reads.
func (t *Tx) refused() error {
	for _, rows := range t.rows {
		if err := rows.Err(); err != nil && t.failed == nil {
			t.failed = err
		}
	}
	if p, ok := t.q.(postgresTx); ok && t.failed == nil {
		t.failed = p.raw.failed
	}
	return t.failed
}

var errRowsLeft = errors.New("db: a function left rows open: close what Query returns")

// end makes the transaction refuse everything from now on, and closes what its function left open. It returns the error of a statement, and
// errRowsLeft.
func (t *Tx) end() (failed, left error) {
	for _, rows := range t.rows {
		if _, closed := rows.Columns(); closed == nil {
			left = errRowsLeft
		}
		_ = rows.Close() // its error is the function's to see, in rows.Err
	}
	for _, row := range t.singles {
		_ = row.Scan() // closes a row that nobody scanned
	}
	failed, t.failed = t.refused(), errOver
	return failed, left
}

// run calls fn, ends the transaction for it, and reports its error, a statement's error that fn kept to itself, or its panic.
func (t *Tx) run(ctx context.Context, log *slog.Logger, fn Func) (err error) {
	defer func() {
		failed, left := t.end()
		if err == nil && failed != nil {
			err = fmt.Errorf("db: a statement failed and its function went on: %w", failed)
		}
		if left != nil {
			err = errors.Join(err, left)
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("db: a transaction's function panicked: %v", p)
			log.ErrorContext(ctx, "a transaction's function panicked; it is rolled back", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return fn(ctx, t)
}

// committed runs the hooks, all of them even if one ends its goroutine (runtime.Goexit).
func committed(log *slog.Logger, hooks []func()) {
	defer func() {
		if len(hooks) > 0 {
			committed(log, hooks)
		}
	}()
	for len(hooks) > 0 {
		hook := hooks[0]
		hooks = hooks[1:]
		func() {
			defer func() {
				if p := recover(); p != nil {
					log.Error("a commit hook panicked", "panic", p, "stack", string(debug.Stack()))
				}
			}()
			hook()
		}()
	}
}

// refusal is a context that has ended with err: the only way to hand a *sql.Row an error.
type refusal struct {
	context.Context
	err error
}

var closedChannel = lazy.Value[chan struct{}]{Make: func() chan struct{} { c := make(chan struct{}); close(c); return c }}

func (refusal) Done() <-chan struct{} { return closedChannel.Get() }
func (r refusal) Err() error          { return r.err }
