// Package limit measures what the machine and the storage engine can do at best, in the same minutes as the servers: a
// rate of deliveries means little without the rate of syncs of the disk below it.
package limit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/internal/db"
)

// block is what each sync writes.
const block = 4096

// Syncs measures appends of 4 KB, each followed by a sync, with as many files as writers, made in dir and removed.
func Syncs(ctx context.Context, dir string, writers, count int, most time.Duration) (drive.Outcome, error) {
	return drive.Closed(ctx, writers, count, most, func(_ context.Context, i int) (drive.Worker, error) {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("sync-%d", i)))
		return syncer{f, make([]byte, block)}, err
	})
}

type syncer struct {
	f    *os.File
	data []byte
}

func (s syncer) Do(int) error {
	if _, err := s.f.Write(s.data); err != nil {
		return err
	}
	return s.f.Sync()
}

func (s syncer) Close() error { return errors.Join(s.f.Close(), os.Remove(s.f.Name())) }

// Commits measures durable transactions that insert one row of 100 bytes, on one of the project's own engines with nothing
// above it. database is a SQLite file to make, or the URL of an empty PostgreSQL database.
func Commits(ctx context.Context, database string, callers, count int, most time.Duration) (out drive.Outcome, err error) {
	s, err := open(ctx, database)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.d.Close()) }()
	return drive.Closed(ctx, callers, count, most, func(context.Context, int) (drive.Worker, error) {
		return committer{ctx, s}, nil
	})
}

type committer struct {
	ctx context.Context
	s   *store
}

func (c committer) Do(int) error { return c.s.commit(c.ctx) }
func (c committer) Close() error { return nil }

// store is an engine with one table. Safe for concurrent use.
type store struct {
	d    *db.DB
	next atomic.Int64
}

func open(ctx context.Context, database string) (*store, error) {
	o := db.Options{Path: database, Migrations: []db.Migration{{
		Version: 1, Name: "bench", SQL: "CREATE TABLE bench (id BIGINT NOT NULL PRIMARY KEY, data {{.Blob}} NOT NULL) {{.WithoutRowID}};",
	}}}
	if strings.HasPrefix(database, "postgres://") {
		o.Path, o.URL = "", database
	}
	d, err := db.Open(ctx, o)
	return &store{d: d}, err
}

func (s *store) commit(ctx context.Context) error {
	id, data := s.next.Add(1), make([]byte, 100)
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO bench (id, data) VALUES ($1, $2)", id, data)
		return err
	})
}
