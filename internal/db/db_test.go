package db_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

var notes = []db.Migration{{Version: 1, Name: "notes", SQL: `
CREATE TABLE note (
	id BIGINT NOT NULL PRIMARY KEY,
	author TEXT {{.CollateC}} NOT NULL,
	body {{.Blob}} NOT NULL,
	UNIQUE (author, body)
) {{.WithoutRowID}};
CREATE TABLE reply (id BIGINT NOT NULL PRIMARY KEY, note BIGINT NOT NULL REFERENCES note (id));
`}}

func add(ctx context.Context, tx *db.Tx, id int64, author, body string) error {
	_, err := tx.Exec(ctx, "INSERT INTO note (id, author, body) VALUES ($1, $2, $3)", id, author, []byte(body))
	return err
}

func count(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, 1, "ann", "a\x00\xff") })
		if err != nil {
			t.Fatal(err)
		}
		err = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			var author string
			var body []byte
			// Placeholders stand in any order on both engines.
			err := tx.QueryRow(ctx, "SELECT author, body FROM note WHERE author = $2 AND id = $1", 1, "ann").Scan(&author, &body)
			if err != nil || author != "ann" || string(body) != "a\x00\xff" {
				t.Errorf("read %q, %q, %v", author, body, err)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFailingFunctionLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		hooks := 0
		for name, fn := range map[string]func(context.Context, *db.Tx) error{
			"an error":             func(context.Context, *db.Tx) error { return boom },
			"a panic":              func(context.Context, *db.Tx) error { panic("boom") },
			"a statement's error":  func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, 1, "ann", "again") },
			"an error kept quiet":  func(ctx context.Context, tx *db.Tx) error { _ = add(ctx, tx, 1, "ann", "again"); return nil },
			"a row's error, quiet": func(ctx context.Context, tx *db.Tx) error { tx.QueryRow(ctx, "SELECT nothing"); return nil },
			"a foreign key": func(ctx context.Context, tx *db.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO reply (id, note) VALUES (1, 99)")
				return err
			},
		} {
			err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				tx.OnCommit(func() { hooks++ })
				if err := add(ctx, tx, 1, "ann", "hello"); err != nil {
					return err
				}
				return fn(ctx, tx)
			})
			if err == nil {
				t.Errorf("%s: Write gave no error", name)
			}
			if n := count(t, d); n != 0 || hooks != 0 {
				t.Errorf("%s: %d rows left, %d hooks run", name, n, hooks)
			}
		}
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			tx.OnCommit(func() { hooks++ })
			return add(ctx, tx, 1, "ann", "hello")
		})
		if err != nil || count(t, d) != 1 || hooks != 1 {
			t.Errorf("after the failures: %v, %d rows, %d hooks", err, count(t, d), hooks)
		}
	})
}

func TestIsUnique(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		write := func(id int64, author, body string) error {
			return d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, id, author, body) })
		}
		if err := write(1, "ann", "x"); err != nil {
			t.Fatal(err)
		}
		if err := write(1, "bob", "y"); !db.IsUnique(err) {
			t.Errorf("a primary key twice: %v", err)
		}
		if err := write(2, "ann", "x"); !db.IsUnique(err) {
			t.Errorf("a unique pair twice: %v", err)
		}
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, "INSERT INTO note (id, author, body) VALUES (1, 'x', $1) RETURNING id", []byte("z")).Scan(new(int64))
		})
		if !db.IsUnique(err) {
			t.Errorf("by RETURNING: %v", err)
		}
		err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO reply (id, note) VALUES (1, 99)")
			return err
		})
		if err == nil || db.IsUnique(err) || db.IsUnique(sql.ErrNoRows) || db.IsUnique(nil) {
			t.Errorf("a foreign key is no unique violation: %v", err)
		}
	})
}
