package db_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// letters is a table as bodies want it: a range of them lies together.
var letters = append([]db.Migration{{Version: 2, Name: "letters", SQL: "CREATE TABLE letter (id {{.RowID}} NOT NULL PRIMARY KEY, body {{.Blob}} NOT NULL);"}}, notes...)

// durable opens a database with its syncs on, for figures.
func durable(b *testing.B, engine db.Engine) *db.DB {
	b.Helper()
	if engine == db.PostgreSQL {
		return dbtest.Postgres(b, letters)
	}
	d, err := db.Open(b.Context(), db.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Migrations: letters})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	return d
}

// shared runs fn b.N times in all from the given number of goroutines.
func shared(b *testing.B, goroutines int, fn func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "per-second")
}

// BenchmarkSync is the disk's own rate: what no durable store can exceed with one writer and no grouping.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close() // a scratch file
	page := bytes.Repeat([]byte("x"), 4096)
	b.ResetTimer()
	shared(b, 1, func(i int64) error {
		if _, err := f.WriteAt(page, i%1024*4096); err != nil {
			return err
		}
		return f.Sync()
	})
}

// BenchmarkGroupCommit is the rate of durable one-row transactions.
func BenchmarkGroupCommit(b *testing.B) {
	for _, size := range []int{20, 4096} {
		body := bytes.Repeat([]byte("x"), size)
		for _, writers := range []int{1, 16} {
			b.Run(strconv.Itoa(size)+"B/"+strconv.Itoa(writers), func(b *testing.B) {
				d := durable(b, db.SQLite)
				b.ResetTimer()
				shared(b, writers, func(i int64) error {
					return d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) error {
						_, err := tx.Exec(ctx, "INSERT INTO letter (id, body) VALUES ($1, $2)", i, body)
						return err
					})
				})
				s := d.Stats()
				b.ReportMetric(float64(s.Functions)/float64(s.Commits), "functions/commit")
			})
		}
	}
}

// BenchmarkRead is the rate of snapshots with one indexed look-up.
func BenchmarkRead(b *testing.B) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		d := durable(b, engine)
		err := d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i := range int64(1000) {
				if err := add(ctx, tx, i, "ann", strconv.FormatInt(i, 10)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, readers := range []int{1, 4} {
			b.Run(string(engine)+"/"+strconv.Itoa(readers), func(b *testing.B) {
				ctx, cancel := context.WithCancel(b.Context()) // as a request's: it may end
				defer cancel()
				shared(b, readers, func(i int64) error {
					return d.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
						var author string
						return tx.QueryRow(ctx, "SELECT author FROM note WHERE id = $1", i%1000).Scan(&author)
					})
				})
			})
		}
	}
}
