package db_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
)

// Every reader costs memory and a reading of the schema: those that come one after the other share one.
func TestReadsInTurnShareAReader(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "x.db"), NoSync: true, Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	for range 10 {
		if err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(new(int))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.OpenConnections(); n != 2 {
		t.Errorf("%d connections are open, want the writer's and one reader's", n)
	}
}

// A server's start reads soon: the reader opens beside the writer, and sees what an upgrade adds meanwhile.
func TestAReaderOpensBesideTheWriterOfAFileThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	for i, steps := range [][]db.Migration{notes, append(notes[:len(notes):len(notes)], db.Migration{Version: 99, Name: "more", SQL: "CREATE TABLE more (id BIGINT NOT NULL PRIMARY KEY);"})} {
		d, err := db.Open(t.Context(), db.Options{Path: path, NoSync: true, Migrations: steps})
		if err != nil {
			t.Fatal(err)
		}
		if n := d.OpenConnections(); n != 1+i {
			t.Errorf("opened %d times: %d connections", 1+i, n)
		}
		if i == 1 {
			if err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				return tx.QueryRow(ctx, "SELECT count(*) FROM more").Scan(new(int))
			}); err != nil {
				t.Error(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The pragma stood in the source and had no effect, since the driver sets the journal mode before it unless told otherwise.
func TestPageSizeIsSetBeforeTheFileIsMade(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "x.db"), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	if err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		var size int
		var mode string
		if err := tx.QueryRow(ctx, "PRAGMA page_size").Scan(&size); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
			return err
		}
		if size != 8192 || mode != "wal" {
			t.Errorf("pages have %d bytes and the journal is %s, want 8192 and wal", size, mode)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyParametersInTheirOrderLoseTheirNames(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                           "SELECT 1",
		"VALUES ($1, $2)":                    "VALUES (?, ?)",
		"$1$2$3$4$5$6$7$8$9$10$11":           "???????????",
		"SET a = $2 WHERE b = $1":            "SET a = $2 WHERE b = $1",
		"VALUES ($1, $1)":                    "VALUES ($1, $1)",
		"VALUES ($10)":                       "VALUES ($10)",
		"SELECT json_extract(a, '$.b') = $1": "SELECT json_extract(a, '$.b') = $1",
	} {
		if got := db.Unnamed(query); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
}
