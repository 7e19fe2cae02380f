package db

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	// pgUnheard is how many statements are sent at most before their outcomes are read.
	pgUnheard = 64
	// pgGoodbye bounds how long the end of a connection takes.
	pgGoodbye = 5 * time.Second
	// pgStale is after what time without use a connection is asked whether it still stands.
	pgStale = time.Second
)

// What ends a transaction, as PostgreSQL's answer says it too.
const (
	commitWork   = "COMMIT"
	rollbackWork = "ROLLBACK"
)

// postgresConnector opens connections to PostgreSQL.
type postgresConnector struct{ config *pgconn.Config }

func (c postgresConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := pgconn.ConnectConfig(ctx, c.config)
	if err != nil {
		return nil, err
	}
	p := &postgresConn{
		conn: conn, pipe: conn.StartPipeline(context.Background()), types: pgtype.NewMap(), statements: map[string]*postgresStatement{},
	}
	p.watch(ctx)
	err = p.prepare(beginWrite, commitWork, rollbackWork) // to prepare COMMIT at its turn would be to wait for what was sent before it
	p.release()
	if err != nil || p.broken {
		return nil, cmp.Or(errors.Join(err, p.Close()), ctx.Err())
	}
	return p, nil
}

func (postgresConnector) Driver() driver.Driver { return nil } // for sql.DB.Driver, which nobody calls

// postgresConn is a connection to PostgreSQL that is in pipeline mode all the time. To say something and wait for the answer costs both
// processes more than most statements do, so no more is waited for than must be:
//
//   - BEGIN goes with the transaction's first statement, and not at all where there is none;
//   - a statement whose outcome nobody needs yet (send) goes with the next that is waited for, or with COMMIT;
//   - what only reads is neither begun nor ended by a statement: it is all that is asked before PostgreSQL is told to be done (Sync), and
//     that this was heard is read when the connection is used next.
//
// It belongs to the transaction whose it is; its exported methods are for database/sql.
type postgresConn struct {
	conn  *pgconn.PgConn
	pipe  *pgconn.Pipeline
	types *pgtype.Map
	build pgx.ExtendedQueryBuilder
	// statements are those that are prepared, by text.
	statements map[string]*postgresStatement
	// reading says that the transaction only reads. toBegin is what begins another and was not said yet. begun says that a statement was made.
	reading bool
	toBegin string
	begun   bool
	// unheard are the statements whose answers were not read yet.
	unheard int
	// unread says that the answer to the end of what only read comes before them.
	unread bool
	rows   *postgresRows // that are open
	// failed is the error that rows ended with, whoever saw it: the transaction takes no more statements.
	failed error
	// watched is the context that cuts the connection off when it ends, nil for none; unwatch ends that.
	watched context.Context
	unwatch func() bool
	// broken says that the connection can't be used any more.
	broken bool
	used   time.Time // something was said last
}

// postgresStatement is a prepared statement.
type postgresStatement struct {
	*pgconn.StatementDescription
	formats []int16 // of the columns of its result
}

var (
	errRowsOpen   = errors.New("db: a statement was made while the rows of another were open")
	errRolledBack = errors.New("PostgreSQL rolled the transaction back")
	errPipeline   = errors.New("PostgreSQL gave an answer that nobody asked for")
)

// postgresOf returns the connection beneath database/sql's. It stays valid until conn is closed.
func postgresOf(conn *sql.Conn) *postgresConn {
	var raw *postgresConn
	_ = conn.Raw(func(c any) error { raw = c.(*postgresConn); return nil })
	return raw
}

// watch has the end of ctx cut the connection off until release is called. To do so once for a transaction is cheaper than for each of its
// statements.
func (c *postgresConn) watch(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	c.watched = ctx
	c.unwatch = context.AfterFunc(ctx, func() { _ = c.conn.Conn().SetDeadline(time.Unix(1, 0)) })
}

func (c *postgresConn) release() {
	if c.watched != nil && !c.unwatch() {
		c.broken = true
	}
	c.watched = nil
}

// fail returns what the caller is told of an error. One that is not PostgreSQL's answer is the end of the connection.
func (c *postgresConn) fail(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Statements may have to be prepared anew, once tables were changed.
		c.broken = c.broken || e.Severity == "FATAL" || e.Code == pgFeatureNotSupported || e.Code == pgInvalidStatement
		return err
	}
	c.broken = true
	if c.watched != nil && c.watched.Err() != nil {
		return c.watched.Err()
	}
	return err
}

// write makes a transaction of what follows, read one that only reads. ctx cuts it off.
func (c *postgresConn) write(ctx context.Context) {
	c.toBegin = beginWrite
	c.watch(ctx)
}

func (c *postgresConn) read(ctx context.Context) {
	c.reading = true
	c.watch(ctx)
}

// send makes a statement without waiting for its outcome. Its error is that of what is waited for next.
func (c *postgresConn) send(query string, args []any) error {
	if c.unheard >= pgUnheard {
		if err := c.wait(); err != nil {
			return err
		}
	}
	_, err := c.queue(query, args)
	return err
}

// exec makes a statement and returns how many rows it affected.
func (c *postgresConn) exec(query string, args []any) (int64, error) {
	if _, err := c.queue(query, args); err != nil {
		return 0, err
	}
	tag, err := c.outcome()
	return tag.RowsAffected(), err
}

// commit ends the transaction. Where PostgreSQL did not do it, nothing of it is left.
func (c *postgresConn) commit() error {
	defer c.release()
	if !c.begun {
		c.toBegin = ""
		return nil
	}
	_, err := c.queue(commitWork, nil)
	if err != nil {
		c.broken = true // it ends with the connection
		return err
	}
	tag, err := c.outcome()
	switch {
	case c.broken:
	case c.conn.TxStatus() != 'I': // a statement before it failed
		c.undo()
	default:
		c.begun = false
		if err == nil && tag.String() != commitWork {
			err = errRolledBack
		}
	}
	return err
}

// rollback undoes the transaction. If that fails, it ends with the connection.
func (c *postgresConn) rollback() {
	defer c.release()
	c.toBegin, c.failed = "", nil
	if c.unheard > 0 && !c.broken {
		_ = c.wait() // what it says is of no interest any more
	}
	if c.begun && !c.broken {
		c.undo()
	}
}

func (c *postgresConn) undo() {
	if _, err := c.exec(rollbackWork, nil); err != nil {
		c.broken = true
	}
	c.begun = false
}

// leave ends a transaction that only read.
func (c *postgresConn) leave() {
	defer c.release()
	c.broken = c.broken || c.unheard > 0
	if c.begun && !c.broken {
		c.unread = true
		c.broken = c.pipe.Sync() != nil
	}
	c.reading, c.begun, c.failed = false, false, nil
}

// hear reads the answer to the end of a transaction that only read.
func (c *postgresConn) hear() error {
	if !c.unread {
		return nil
	}
	c.unread = false
	return c.settle(nil)
}

// queue hands a statement on, behind what begins the transaction. Nothing is sent yet.
func (c *postgresConn) queue(query string, args []any) (*postgresStatement, error) {
	if c.rows != nil {
		return nil, errRowsOpen
	}
	if c.failed != nil {
		return nil, c.failed
	}
	if c.watched != nil && c.watched.Err() != nil {
		return nil, c.watched.Err()
	}
	s, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	if c.toBegin != "" {
		begin, err := c.statement(c.toBegin)
		if err != nil {
			return nil, err
		}
		c.toBegin, c.begun = "", true
		c.pipe.SendQueryStatement(begin.StatementDescription, nil, nil, nil)
		c.unheard++
	}
	if err := c.build.Build(c.types, s.StatementDescription, args); err != nil {
		return nil, err
	}
	c.begun = c.begun || c.reading
	c.pipe.SendQueryStatement(s.StatementDescription, c.build.ParamValues, c.build.ParamFormats, s.formats)
	c.unheard++
	return s, nil
}

// statement prepares a statement, once.
func (c *postgresConn) statement(query string) (*postgresStatement, error) {
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	if c.unheard > 0 {
		if err := c.wait(); err != nil {
			return nil, err
		}
	}
	if err := c.prepare(query); err != nil {
		return nil, err
	}
	return c.statements[query], nil
}

// prepare prepares statements that are not yet.
func (c *postgresConn) prepare(queries ...string) error {
	first := len(c.statements)
	for i, query := range queries {
		c.pipe.SendPrepare(statementName(first+i), query, nil)
	}
	if err := c.flush(); err != nil {
		return err
	}
	for i, query := range queries {
		got, err := c.pipe.GetResults()
		if err != nil {
			return c.done(err)
		}
		d, ok := got.(*pgconn.StatementDescription)
		if !ok {
			return c.fail(errPipeline)
		}
		d.Name, d.SQL = statementName(first+i), query
		s := &postgresStatement{d, make([]int16, len(d.Fields))}
		for i, f := range d.Fields {
			if isBinary(f.DataTypeOID) {
				s.formats[i] = pgx.BinaryFormatCode
			}
		}
		c.statements[query] = s
	}
	return c.done(nil)
}

func statementName(i int) string { return "s" + strconv.Itoa(i) }

// wait sends what was queued and reads all answers.
func (c *postgresConn) wait() error {
	_, err := c.outcome()
	return err
}

// outcome sends what was queued, reads all answers, and returns the last.
func (c *postgresConn) outcome() (pgconn.CommandTag, error) {
	r, err := c.answer()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := r.Close()
	return tag, c.done(err)
}

// answer sends what was queued, and reads the answers up to the result of the last statement, which is returned. Behind it stands what
// synced reads.
func (c *postgresConn) answer() (*pgconn.ResultReader, error) {
	n := c.unheard
	c.unheard = 0
	if err := c.flush(); err != nil {
		return nil, err
	}
	r, err := c.results(n)
	if err != nil {
		return nil, c.done(err)
	}
	return r, nil
}

// results reads the answers to n statements, and returns the last.
func (c *postgresConn) results(n int) (r *pgconn.ResultReader, err error) {
	for i := range n {
		got, err := c.pipe.GetResults()
		if err != nil {
			return nil, err
		}
		var ok bool
		if r, ok = got.(*pgconn.ResultReader); !ok {
			return nil, errPipeline
		}
		if i < n-1 {
			if _, err := r.Close(); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// flush sends what was queued. Behind it PostgreSQL says that it has answered everything, unless the transaction only reads: that would end
// it.
func (c *postgresConn) flush() error {
	var err error
	if c.reading {
		c.pipe.SendFlushRequest()
		err = c.pipe.Flush()
	} else {
		err = c.pipe.Sync()
	}
	if err != nil {
		return c.fail(err)
	}
	c.used = time.Now()
	return c.hear()
}

// done reads what is left of the answers to what flush sent, and returns what the caller is told of err.
func (c *postgresConn) done(err error) error {
	switch {
	case !c.reading:
		return c.settle(err)
	case err == nil:
		return nil
	case isAnswer(err): // PostgreSQL passes over everything now until it is told to be done
		c.begun = false
		if e := c.pipe.Sync(); e != nil {
			return c.fail(e)
		}
		return c.settle(err)
	}
	return c.fail(err)
}

// settle reads what is left until PostgreSQL says that it has answered everything.
func (c *postgresConn) settle(err error) error {
	for err == nil || isAnswer(err) {
		got, e := c.pipe.GetResults()
		if _, all := got.(*pgconn.PipelineSync); all {
			break
		}
		if e == nil {
			e = errPipeline
		}
		c.broken = c.broken || !isAnswer(e)
		err = cmp.Or(err, e)
		if c.broken {
			break
		}
	}
	if err == nil {
		return nil
	}
	if !c.broken { // pgx mixes up what comes behind statements that PostgreSQL passed over
		c.broken = c.pipe.Close() != nil
		c.pipe = c.conn.StartPipeline(context.Background())
	}
	return c.fail(err)
}

// isAnswer reports whether an error is what PostgreSQL said.
func isAnswer(err error) bool {
	_, ok := errors.AsType[*pgconn.PgError](err)
	return ok
}

// QueryContext is database/sql's way to rows, in a transaction or outside of one.
func (c *postgresConn) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &postgresRows{conn: c, watching: c.watched == nil}
	if r.watching {
		c.watch(ctx)
	}
	s, err := c.queue(query, values(named))
	if err == nil {
		r.fields = s.Fields
		r.result, err = c.answer()
	}
	if err != nil {
		if r.watching {
			c.release()
		}
		return nil, err
	}
	c.rows = r
	return r, nil
}

// ExecContext makes a statement outside of any transaction of ours, as migrations do, and does not keep it prepared.
func (c *postgresConn) ExecContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.watch(ctx)
	defer c.release()
	if err := c.build.Build(c.types, nil, values(named)); err != nil {
		return nil, err
	}
	c.pipe.SendQueryParams(query, c.build.ParamValues, nil, c.build.ParamFormats, nil)
	c.unheard++
	tag, err := c.outcome()
	return driver.RowsAffected(tag.RowsAffected()), err
}

func values(named []driver.NamedValue) []any {
	args := make([]any, len(named))
	for i, n := range named {
		args[i] = n.Value
	}
	return args
}

// CheckNamedValue leaves arguments as they are: pgx knows how to write them.
func (*postgresConn) CheckNamedValue(*driver.NamedValue) error { return nil }

// ResetSession is asked before the connection is used again.
func (c *postgresConn) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	if time.Since(c.used) > pgStale {
		if _, err := c.ExecContext(ctx, "", nil); err != nil {
			return driver.ErrBadConn
		}
	}
	return nil
}

// IsValid is asked before the connection is kept for others. One in a transaction is not: runtime.Goexit leaves that without an end.
func (c *postgresConn) IsValid() bool {
	free := c.toBegin == "" && !c.reading && !c.begun && c.watched == nil && c.unheard == 0 && c.rows == nil && c.failed == nil
	return free && !c.broken && len(c.statements) < maxStatements && !c.conn.IsClosed()
}

// Close ends the connection.
func (c *postgresConn) Close() error {
	c.release()
	ctx, cancel := context.WithTimeout(context.Background(), pgGoodbye)
	defer cancel()
	return c.conn.Close(ctx)
}

// Prepare and Begin are what database/sql would use if it were not for the methods above.
func (*postgresConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }

// Begin is not supported: see begin.
func (*postgresConn) Begin() (driver.Tx, error) { return nil, errors.ErrUnsupported }

// postgresRows are the rows of a result, read as they come.
type postgresRows struct {
	conn     *postgresConn
	result   *pgconn.ResultReader
	fields   []pgconn.FieldDescription
	watching bool // the connection watches a context for these rows alone
	closed   bool
}

// Columns are the names of the columns.
func (r *postgresRows) Columns() []string {
	names := make([]string, len(r.fields))
	for i, f := range r.fields {
		names[i] = f.Name
	}
	return names
}

// Next reads a row.
func (r *postgresRows) Next(dest []driver.Value) error {
	if !r.result.NextRow() {
		return cmp.Or(r.Close(), io.EOF)
	}
	for i, b := range r.result.Values() {
		var err error
		if dest[i], err = valueOf(r.fields[i].DataTypeOID, b); err != nil {
			return fmt.Errorf("read column %s: %w", r.fields[i].Name, err)
		}
	}
	return nil
}

// Close reads what is left.
func (r *postgresRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	c := r.conn
	c.rows = nil
	_, err := r.result.Close()
	c.failed = c.done(err)
	if r.watching {
		c.release()
	}
	return c.failed
}

// isBinary reports whether valueOf reads a type in PostgreSQL's binary form.
func isBinary(oid uint32) bool {
	switch oid {
	case pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float8OID, pgtype.ByteaOID:
		return true
	}
	return false
}

// valueOf is a value as database/sql wants it. What has no binary form is the text that PostgreSQL writes.
func valueOf(oid uint32, b []byte) (driver.Value, error) {
	if b == nil {
		return nil, nil
	}
	switch {
	case oid == pgtype.ByteaOID:
		return b, nil // whoever keeps it copies it
	case !isBinary(oid):
		return string(b), nil
	case oid == pgtype.BoolOID && len(b) == 1:
		return b[0] != 0, nil
	case oid == pgtype.Int2OID && len(b) == 2:
		return int64(int16(binary.BigEndian.Uint16(b))), nil
	case oid == pgtype.Int4OID && len(b) == 4:
		return int64(int32(binary.BigEndian.Uint32(b))), nil
	case oid == pgtype.Int8OID && len(b) == 8:
		return int64(binary.BigEndian.Uint64(b)), nil
	case oid == pgtype.Float8OID && len(b) == 8:
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	}
	return nil, fmt.Errorf("%d bytes are no value of the type %d", len(b), oid)
}

// postgresTx is a transaction on a connection.
type postgresTx struct {
	pool *sql.DB
	conn *sql.Conn
	raw  *postgresConn
}

func (t postgresTx) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	n, err := t.raw.exec(query, args)
	return driver.RowsAffected(n), err
}

// QueryContext hands on no context that could end: the connection watches the transaction's, and database/sql would watch each result's.
func (t postgresTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.conn.QueryContext(context.WithoutCancel(ctx), query, args...)
}

func (t postgresTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if _, refused := ctx.(refusal); refused {
		return t.pool.QueryRowContext(ctx, query, args...) // conn may be closed, which would be the error then
	}
	return t.conn.QueryRowContext(context.WithoutCancel(ctx), query, args...)
}
