package db_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// onBoth opens databases with changing sets of migrations, on both engines.
func onBoth(t *testing.T, fn func(t *testing.T, open func(...db.Migration) (*db.DB, error))) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.db")
		fn(t, func(m ...db.Migration) (*db.DB, error) {
			return db.Open(t.Context(), db.Options{Path: path, Migrations: m})
		})
	})
	t.Run("postgres", func(t *testing.T) {
		url := dbtest.PostgresURL(t, nil)
		fn(t, func(m ...db.Migration) (*db.DB, error) {
			return db.Open(t.Context(), db.Options{URL: url, NoSync: true, Migrations: m})
		})
	})
}

var (
	first  = db.Migration{Version: 1000, Name: "first", SQL: "CREATE TABLE first (id {{.RowID}} NOT NULL PRIMARY KEY, word TEXT {{.CollateC}} NOT NULL);"}
	second = db.Migration{Version: 1001, Name: "second", SQL: "ALTER TABLE first ADD COLUMN more {{.Blob}};\nUPDATE first SET more = 'filled';"}
	other  = db.Migration{Version: 2000, Name: "other", SQL: "CREATE TABLE other (id BIGINT NOT NULL PRIMARY KEY) {{.WithoutRowID}};\n"}
	broken = db.Migration{Version: 2001, Name: "broken", SQL: "CREATE TABLE half (id BIGINT);\nCREATE TABLE other (id BIGINT);"}
)

func TestANewStepFindsTheOldData(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(...db.Migration) (*db.DB, error)) {
		d, err := open(other, first)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO first (id, word) VALUES (1, 'B'), (2, 'a')")
			return err
		})
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		// A package's new step has a lower number than what another package has applied already.
		if d, err = open(first, second, other); err != nil {
			t.Fatal(err)
		}
		var more []byte
		var least string
		err = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, "SELECT more, word FROM first ORDER BY word LIMIT 1").Scan(&more, &least)
		})
		if err := errors.Join(err, d.Close()); err != nil || string(more) != "filled" || least != "B" {
			t.Errorf("%v: %q; the first in bytewise order is %q", err, more, least)
		}
		// A server from before the new step must leave this database alone.
		if d, err = open(first, other); err == nil || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("an older server opened it: %v, %v", d, err)
		}
	})
}

func TestABrokenStepLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(...db.Migration) (*db.DB, error)) {
		if d, err := open(other, broken); err == nil {
			t.Fatalf("opened: %v", d)
		}
		mended := broken
		mended.SQL = "CREATE TABLE half (id BIGINT);"
		d, err := open(other, mended)
		if err != nil {
			t.Fatalf("the mended step finds a half of the broken one: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Several servers may stand on one PostgreSQL. An SQLite file has one, which holds a lock of its own.
func TestServersThatStartAtOnceMigrateOnce(t *testing.T) {
	url := dbtest.PostgresURL(t, nil)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			d, err := db.Open(t.Context(), db.Options{URL: url, NoSync: true, Migrations: []db.Migration{first, second, other}})
			if err != nil {
				t.Error(err)
				return
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestATemplateWithAnUnknownWord(t *testing.T) {
	_, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "x.db"), Migrations: []db.Migration{{Version: 1, Name: "odd", SQL: "{{.Serial}}"}}})
	if err == nil || !strings.Contains(err.Error(), "odd") {
		t.Errorf("Open: %v", err)
	}
}

func TestWhatCanNotBeOpened(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []db.Options{{}, {Path: filepath.Join(dir, "none", "x.db")}, {Path: text}, {URL: "postgres://me:secret@127.0.0.1:1/x"}, {URL: "mysql://x"}} {
		o.Migrations = notes
		d, err := db.Open(t.Context(), o)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, %v", o, d, err)
		}
	}
}

func TestAPathWithOddCharacters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%41&e", "é.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	d := openSQLite(t, path)
	if err := d.Write(t.Context(), adding(1, "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the file is somewhere else:", err)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	d, err := db.Open(t.Context(), db.Options{Path: path, Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(200) {
		if err := d.Write(t.Context(), adding(i, strings.Repeat("x", 500)+string(rune('a'+i)))); err != nil {
			t.Fatal(err)
		}
	}
	if faults := d.Check(t.Context()); len(faults) != 0 {
		t.Fatalf("a sound database: %v", faults)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-8192] = 0xff // the kind of the last page
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err = db.Open(t.Context(), db.Options{Path: path, Migrations: notes}); err != nil {
		t.Fatal(err)
	}
	if faults := d.Check(t.Context()); len(faults) == 0 {
		t.Error("the damage was not found")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestCheckFindsARowWithoutItsParent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	d := func() *db.DB {
		d, err := db.Open(t.Context(), db.Options{Path: path, Migrations: notes})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	sound := d()
	if err := sound.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path) // without foreign keys, as another program would
	if err == nil {
		_, err = raw.ExecContext(t.Context(), "INSERT INTO reply (id, note) VALUES (1, 77)")
	}
	if err := errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	damaged := d()
	defer damaged.Close() // nothing was written
	if faults := damaged.Check(t.Context()); len(faults) != 1 || !strings.Contains(faults[0].Error(), "reply") {
		t.Errorf("found %v, want one fault of table reply", faults)
	}
}
