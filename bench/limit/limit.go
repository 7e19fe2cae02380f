// Package limit measures what the machine and the storage engine can do at best, in the same minutes as the servers: a
// rate of deliveries means little without the rate of syncs of the disk below it.
package limit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// Commits measures durable transactions that insert one row of 100 bytes, on the project's own engine (SQLite) with
// nothing above it. The database is made in dir and removed.
func Commits(ctx context.Context, dir string, callers, count int, most time.Duration) (out drive.Outcome, err error) {
	room, err := os.MkdirTemp(dir, "commit-")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(room)) }()
	d, err := db.Open(ctx, db.Options{
		Path: filepath.Join(room, "commit.sqlite"),
		Migrations: []db.Migration{{
			Version: 1, Name: "bench", SQL: "CREATE TABLE bench (id BIGINT NOT NULL PRIMARY KEY, data {{.Blob}} NOT NULL) {{.WithoutRowID}};",
		}},
	})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return drive.Closed(ctx, callers, count, most, func(context.Context, int) (drive.Worker, error) {
		return committer{ctx, d, make([]byte, 100)}, nil
	})
}

type committer struct {
	ctx  context.Context
	d    *db.DB
	data []byte
}

func (c committer) Do(i int) error {
	return c.d.Write(c.ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO bench (id, data) VALUES ($1, $2)", int64(i), c.data)
		return err
	})
}

func (c committer) Close() error { return nil }
