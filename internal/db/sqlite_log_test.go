package db_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
)

// The log is moved beside the writer, who does the rest, so that the log begins anew.
func TestTheLogBeginsAnew(t *testing.T) {
	const pages = 32
	path := filepath.Join(t.TempDir(), "x.db")
	d, err := db.Open(t.Context(), db.Options{Path: path, NoSync: true, Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	d.SetLogPages(pages)
	for i := range int64(200) {
		if err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO note (id, author, body) VALUES ($1, 'ann', $2)", i, []byte{byte(i)})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		d.AwaitLog()
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if size := info.Size(); size > 3*pages*8192 { // what migrations wrote included
		t.Errorf("the log has %d bytes", size)
	}
}

// Readers that overlap without a gap would let the log grow for ever.
func TestOverlappingReadersDoNotLetTheLogGrow(t *testing.T) {
	const limit = 1 << 20
	path := filepath.Join(t.TempDir(), "x.db")
	d, err := db.Open(t.Context(), db.Options{Path: path, NoSync: true, Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	d.SetLogLimit(limit)
	// Each reader ends only when the other has begun after it.
	stop := make(chan struct{})
	begun := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	var group sync.WaitGroup
	for me := range 2 {
		group.Go(func() {
			for first := me == 0; ; first = false {
				err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
					if err := tx.QueryRow(ctx, "SELECT count(*) FROM reply").Scan(new(int)); err != nil {
						return err
					}
					if !first { // it has nobody before it
						begun[1-me] <- struct{}{}
					}
					select {
					case <-begun[me]:
					case <-stop:
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	var largest int64
	for i := range int64(400) {
		body := strings.Repeat("x", 8000)
		if err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO note (id, author, body) VALUES ($1, $2, $3)", i, body, []byte{byte(i), byte(i >> 8)})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		d.AwaitLog() // which 400 writes without a sync would outrun
		if info, err := os.Stat(path + "-wal"); err == nil {
			largest = max(largest, info.Size())
		}
	}
	close(stop)
	group.Wait()
	if largest < limit*9/10 || largest > 3*limit { // a write alone begins the log anew before it returns
		t.Errorf("the log grew to %d bytes, want about %d", largest, limit)
	}
}
