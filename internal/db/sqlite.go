package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/pennypost/pennypost/internal/stack"
)

// How the SQLite file is kept. The figures behind the choices are in DESIGN.md.
const (
	pageSize = 8192
	// readerCacheKiB and writerCacheKiB are the connections' own page caches; the operating system's stands behind them. What
	// the writer changed stays in its cache until the commit, or until it is full: then it goes to the log early.
	readerCacheKiB = 1 << 10
	writerCacheKiB = 4 << 10
	// movedPages is after how many pages the log is moved into the file: 16 MiB.
	movedPages = 16 << 20 / pageSize
	// logLimit is the size of the log at which the writer waits for readers so that it may begin the log anew.
	logLimit = 128 << 20
	// keptLog is how much of the log file is kept once it was moved.
	keptLog = 64 << 20
	// busyMillis is how long to wait for another process, such as a key command beside the server.
	busyMillis = 10_000
	maxReaders = 8
	// readerPatience is how long a read waits for a reader to come free before it opens another: most reads are over sooner than
	// a new connection has parsed the schema, and each keeps the schema and a cache.
	readerPatience = 2 * time.Millisecond
)

// sqliteStore is the SQLite engine: one writer and a few readers on one file.
type sqliteStore struct {
	counters
	log    *slog.Logger
	pool   *sql.DB // where writer and readers take their connections from
	writer *writer
	// idle are the open readers that nobody uses, and open holds a token for each one there is.
	idle chan *sqliteReader
	open chan struct{}
	// closing keeps close from pulling the connections from under running reads.
	closing sync.RWMutex
	closed  bool
	moving  sync.WaitGroup // of the log
}

func sqliteSource(o Options) string {
	sync := "FULL"
	if o.NoSync {
		sync = "OFF"
	}
	// The driver runs busy_timeout first, then the others of the list by their names, then the journal mode: with it in the list a
	// new file would be made before its page size is set.
	q := url.Values{"_journal_mode": {"WAL"}, "_pragma": {
		"busy_timeout(" + strconv.Itoa(busyMillis) + ")",
		"page_size(" + strconv.Itoa(pageSize) + ")",
		"synchronous(" + sync + ")",
		"foreign_keys(1)",
		"cache_size(-" + strconv.Itoa(readerCacheKiB) + ")",
		"wal_autocheckpoint(" + strconv.Itoa(movedPages) + ")",
		"journal_size_limit(" + strconv.Itoa(keptLog) + ")",
		"temp_store(MEMORY)",
	}}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: o.Path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func openSQLite(ctx context.Context, o Options, h *hub) (*sqliteStore, error) {
	// The driver's default is fsync, which also waits for the file's times; fdatasync keeps the same promise in less time.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	connector, err := newSQLiteConnector(sqliteSource(o))
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(maxReaders + 1)
	pool.SetMaxIdleConns(1)
	s := &sqliteStore{log: o.Log, pool: pool, idle: make(chan *sqliteReader, maxReaders), open: make(chan struct{}, maxReaders)}
	ready := s.firstReader(ctx, o.Path)
	err = migrate(ctx, pool, SQLite, o.Migrations, o.Log)
	<-ready
	if err == nil {
		s.writer, err = startWriter(ctx, pool, o, &s.counters, h, s.moveLog)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeReaders(), pool.Close())
	}
	return s, nil
}

// firstReader begins to open a reader of a file that there is, until ready: it parses the schema while the writer's connection does.
// Where it can't, the first read tells.
func (s *sqliteStore) firstReader(ctx context.Context, path string) (ready <-chan struct{}) {
	done := make(chan struct{})
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 { // the first connection is to make it
		close(done)
		return done
	}
	go func() {
		stack.Deepen()
		defer close(done)
		if r, err := s.openReader(ctx); err == nil {
			s.open <- struct{}{}
			s.idle <- r
		}
	}()
	return done
}

func (s *sqliteStore) write(ctx context.Context, fn Func) error { return s.writer.write(ctx, fn) }

func (s *sqliteStore) close() error {
	s.writer.close()
	s.moving.Wait()
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.closeReaders(), s.pool.Close()) // closing is held, so nobody else takes any
}

func (s *sqliteStore) closeReaders() error {
	var errs []error
	for len(s.idle) > 0 {
		errs = append(errs, (<-s.idle).conn.Close())
	}
	return errors.Join(errs...)
}

// sqliteReader is a connection that may only read.
type sqliteReader struct {
	conn *sql.Conn
	raw  *sqliteConn
}

// takeReader waits for an idle reader, or opens one.
func (s *sqliteStore) takeReader(ctx context.Context) (*sqliteReader, error) {
	select {
	case r := <-s.idle:
		return r, nil
	default:
	}
	var patience <-chan time.Time
	more := s.open
	if len(s.open) > 0 {
		timer := time.NewTimer(readerPatience)
		defer timer.Stop()
		patience, more = timer.C, nil
	}
	for {
		select {
		case r := <-s.idle:
			return r, nil
		case more <- struct{}{}:
			r, err := s.openReader(ctx)
			if err != nil {
				<-s.open
				return nil, unavailable(fmt.Errorf("open a reader: %w", err))
			}
			return r, nil
		case <-patience:
			more = s.open
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dropReader closes a reader that can't be trusted any more.
func (s *sqliteStore) dropReader(r *sqliteReader) {
	drop(r.conn)
	<-s.open
}

func (s *sqliteStore) openReader(ctx context.Context) (*sqliteReader, error) {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA query_only=1"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &sqliteReader{conn, rawOf(conn)}, nil
}

func (s *sqliteStore) read(ctx context.Context, fn Func) error {
	stack.Deepen()
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return ErrClosed
	}
	r, err := s.takeReader(ctx)
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if whole {
			s.idle <- r
		} else { // as if fn ended its goroutine
			s.dropReader(r)
		}
	}()
	s.reads.Add(1)
	if err := r.raw.exec("BEGIN"); err != nil {
		return unavailable(err)
	}
	tx := &Tx{q: r.conn, engine: SQLite}
	err = tx.run(ctx, s.log, fn)
	whole = r.raw.exec("ROLLBACK") == nil
	return err
}

// moveLog moves the log into the database in a goroutine of its own. When it fails the writer, who does the rest, tells.
func (s *sqliteStore) moveLog(done func()) {
	s.moving.Go(func() {
		defer done()
		r, err := s.takeReader(context.Background())
		if err != nil {
			return
		}
		if err := r.raw.exec(moveLog); err != nil {
			s.dropReader(r)
			return
		}
		s.idle <- r
	})
}

// drop closes a connection that can't be trusted any more.
func drop(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // tells the pool not to keep it
	_ = conn.Close()
}

// check asks SQLite to look at every page and index and at every foreign key.
func (s *sqliteStore) check(ctx context.Context) []error {
	var faults []error
	err := s.read(ctx, func(ctx context.Context, tx *Tx) error {
		rows, err := tx.Query(ctx, "PRAGMA integrity_check")
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			if line != "ok" {
				faults = append(faults, errors.New("database file: "+line))
			}
		}
		return rows.Err()
	})
	if err != nil {
		faults = append(faults, fmt.Errorf("check the database file: %w", err))
	}
	err = s.read(ctx, func(ctx context.Context, tx *Tx) error {
		rows, err := tx.Query(ctx, "PRAGMA foreign_key_check")
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var table, parent string
			var row sql.NullInt64
			var key int64
			if err := rows.Scan(&table, &row, &parent, &key); err != nil {
				return err
			}
			faults = append(faults, fmt.Errorf("table %s row %d names a row of %s that is not there", table, row.Int64, parent))
		}
		return rows.Err()
	})
	if err != nil {
		faults = append(faults, fmt.Errorf("check the foreign keys: %w", err))
	}
	return faults
}
