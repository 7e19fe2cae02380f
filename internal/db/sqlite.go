package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"

	"modernc.org/sqlite"
)

// How the SQLite file is kept. The figures behind the choices are in DESIGN.md.
const (
	pageSize = 8192
	// readerCacheKiB and writerCacheKiB are the connections' own page caches; the operating system's stands behind them. What
	// the writer changed stays in its cache until the commit, or until it is full: then it goes to the log early.
	readerCacheKiB = 1 << 10
	writerCacheKiB = 4 << 10
	// checkpointPages is when the writer moves the log into the file: 16 MiB.
	checkpointPages = 16 << 20 / pageSize
	// logLimit is the size of the log at which the writer waits for readers so that it may begin the log anew.
	logLimit = 128 << 20
	// keptLog is how much of the log file is kept once it was moved.
	keptLog = 64 << 20
	// busyMillis is how long to wait for another process, such as a key command beside the server.
	busyMillis = 10_000
	maxReaders = 8
)

// sqliteStore is the SQLite engine: one writer and a few readers on one file.
type sqliteStore struct {
	counters
	log    *slog.Logger
	pool   *sql.DB // where writer and readers take their connections from
	writer *writer
	// turns bounds how many read at once; who has taken one may take an idle reader, or open another.
	turns   chan struct{}
	readers sqliteReaders
	// closing keeps close from pulling the connections from under running reads.
	closing sync.RWMutex
	closed  bool
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
		"wal_autocheckpoint(" + strconv.Itoa(checkpointPages) + ")",
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
	if err := migrate(ctx, pool, SQLite, o.Migrations, o.Log); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	s := &sqliteStore{log: o.Log, pool: pool, turns: make(chan struct{}, maxReaders)}
	if s.writer, err = startWriter(ctx, pool, o, &s.counters, h); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return s, nil
}

func (s *sqliteStore) write(ctx context.Context, fn Func) error { return s.writer.write(ctx, fn) }

func (s *sqliteStore) close() error {
	s.writer.close()
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for r := s.readers.take(); r != nil; r = s.readers.take() {
		errs = append(errs, r.conn.Close())
	}
	return errors.Join(append(errs, s.pool.Close())...)
}

// sqliteReader is a connection that may only read.
type sqliteReader struct {
	conn *sql.Conn
	raw  *sqliteConn
}

// sqliteReaders are the open readers that nobody uses. The one used last is taken first, so that no more are opened than ever
// read at once: each has a cache, and begins by parsing the whole schema.
type sqliteReaders struct {
	mu   sync.Mutex
	idle []*sqliteReader
}

// take returns nil when there is none.
func (s *sqliteReaders) take() *sqliteReader {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return nil
	}
	r := s.idle[n-1]
	s.idle = s.idle[:n-1]
	return r
}

func (s *sqliteReaders) put(r *sqliteReader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, r)
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
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return ErrClosed
	}
	select {
	case s.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turns }()
	r := s.readers.take()
	if r == nil {
		opened, err := s.openReader(ctx)
		if err != nil {
			return unavailable(fmt.Errorf("open a reader: %w", err))
		}
		r = opened
	}
	s.reads.Add(1)
	if err := r.raw.exec("BEGIN"); err != nil {
		drop(r.conn)
		return unavailable(err)
	}
	tx := &Tx{q: r.conn, engine: SQLite}
	err := tx.run(ctx, s.log, fn)
	if endErr := r.raw.exec("ROLLBACK"); endErr != nil {
		drop(r.conn)
		return err
	}
	s.readers.put(r)
	return err
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
