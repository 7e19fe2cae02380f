package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"modernc.org/sqlite"
)

// maxStatements bounds the prepared statements a connection keeps. Query texts are constants, so few servers reach it.
const maxStatements = 512

// sqliteConnector opens connections that cache their prepared statements by text.
type sqliteConnector struct{ driver.Connector }

func newSQLiteConnector(source string) (driver.Connector, error) {
	c, err := sqlite.NewConnector(source)
	if err != nil {
		return nil, err
	}
	return sqliteConnector{c}, nil
}

func (c sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &sqliteConn{driverConn: conn.(driverConn), idle: map[string]driver.Stmt{}}
	s.RegisterRollbackHook(func() { s.rolledBack = true })
	return s, nil
}

// driverConn is what the driver's connections can do.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.SessionResetter
	driver.Validator
	sqlite.DBStatus
	RegisterRollbackHook(sqlite.RollbackHookFn)
}

// sqliteConn caches prepared statements below database/sql, because only there is it known when the rows of one are closed
// and it may be used again.
type sqliteConn struct {
	driverConn
	idle map[string]driver.Stmt
	args []driver.NamedValue // those of run, kept for the next
	// rolledBack is set by SQLite itself when it drops a whole transaction, asked to or not.
	rolledBack bool
	// guarded makes the connection refuse every statement once the transaction was dropped, as it would commit by itself.
	guarded bool
}

var errDropped = errors.New("SQLite dropped the transaction")

// rawOf returns the connection beneath database/sql's. It stays valid until conn is closed.
func rawOf(conn *sql.Conn) *sqliteConn {
	var raw *sqliteConn
	_ = conn.Raw(func(c any) error { raw = c.(*sqliteConn); return nil })
	return raw
}

func (c *sqliteConn) take(ctx context.Context, query string) (driver.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.guarded && c.rolledBack {
		return nil, errDropped
	}
	if s, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return s, nil
	}
	return c.PrepareContext(ctx, unnamed(query))
}

// unnamed writes the parameters of a query as "?" if they stand in their order, each once and nowhere in a literal. To the driver "$1" is
// a name, which it reads and looks up at every execution.
func unnamed(query string) string {
	parts := strings.Split(query, "$")
	for i := 1; i < len(parts); i++ {
		rest, ok := strings.CutPrefix(parts[i], strconv.Itoa(i))
		if !ok || rest != "" && '0' <= rest[0] && rest[0] <= '9' {
			return query
		}
		parts[i] = rest
	}
	return strings.Join(parts, "?")
}

func (c *sqliteConn) put(query string, s driver.Stmt) error {
	if _, taken := c.idle[query]; taken || len(c.idle) >= maxStatements {
		return s.Close()
	}
	c.idle[query] = s
	return nil
}

func (c *sqliteConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := s.(driver.StmtExecContext).ExecContext(ctx, args)
	if perr := c.put(query, s); err == nil {
		err = perr
	}
	return res, err
}

func (c *sqliteConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		_ = c.put(query, s) // the first error says more
		return nil, err
	}
	return &sqliteRows{Rows: rows, conn: c, stmt: s, query: query}, nil
}

// exec runs a statement that has neither arguments nor rows, without database/sql's bookkeeping. Nobody may be using the
// connection: every result of an earlier statement is closed.
func (c *sqliteConn) exec(query string) error {
	_, err := c.ExecContext(context.Background(), query, nil)
	return err
}

// run is exec with arguments, which returns how many rows were affected. Results of earlier statements may be open, if whoever reads
// them is who calls.
func (c *sqliteConn) run(query string, args []any) (int64, error) {
	c.args = c.args[:0]
	for i, arg := range args {
		value, err := driver.DefaultParameterConverter.ConvertValue(arg) // as database/sql does
		if err != nil {
			return 0, fmt.Errorf("argument $%d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	res, err := c.ExecContext(context.Background(), query, c.args)
	clear(c.args) // a body is not to be kept
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Close closes the cached statements and the connection.
func (c *sqliteConn) Close() error {
	var errs []error
	for _, s := range c.idle {
		errs = append(errs, s.Close())
	}
	clear(c.idle)
	return errors.Join(append(errs, c.driverConn.Close())...)
}

// sqliteRows hands its statement back when it is closed.
type sqliteRows struct {
	driver.Rows
	conn   *sqliteConn
	stmt   driver.Stmt
	query  string
	closed bool
}

func (r *sqliteRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return errors.Join(r.Rows.Close(), r.conn.put(r.query, r.stmt))
}
