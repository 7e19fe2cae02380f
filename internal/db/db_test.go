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

// TestAnErrorBetweenRowsEndsTheTransaction drops it, in every way to read rows: nothing more is heard or kept.
func TestAnErrorBetweenRowsEndsTheTransaction(t *testing.T) {
	const least = "SELECT abs(CAST(author AS BIGINT)) FROM note" // the second has no absolute value
	ways := map[string]func(context.Context, *db.Tx) error{
		"All": func(ctx context.Context, tx *db.Tx) error {
			_, err := db.All(ctx, tx, db.Value[int64], least)
			return err
		},
		"Query": func(ctx context.Context, tx *db.Tx) error {
			rows, err := tx.Query(ctx, least)
			if err != nil {
				return err
			}
			defer rows.Close() // rows.Err tells
			for rows.Next() {
			}
			return rows.Err()
		},
		"QueryRow": func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, least+" WHERE id = $1", 2).Scan(new(int64))
		},
	}
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return errors.Join(add(ctx, tx, 1, "+1", "a"), add(ctx, tx, 2, "-9223372036854775808", "b"))
		})
		if err != nil {
			t.Fatal(err)
		}
		for way, fails := range ways {
			for verb, do := range map[string]func(context.Context, func(context.Context, *db.Tx) error) error{"Write": d.Write, "Read": d.Read} {
				for _, then := range []bool{false, true} {
					err := do(t.Context(), func(ctx context.Context, tx *db.Tx) error {
						if verb == "Write" {
							if err := add(ctx, tx, 3, "3", "c"); err != nil {
								return err
							}
						}
						failed := fails(ctx, tx)
						if failed == nil {
							t.Errorf("%s by %s: no error", verb, way)
						}
						if then {
							if err := tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(new(int)); err == nil || err.Error() != failed.Error() {
								t.Errorf("%s by %s: the next statement: %v, want %v", verb, way, err, failed)
							}
						}
						return nil
					})
					if err == nil {
						t.Errorf("%s by %s: the transaction succeeded", verb, way)
					}
					if n := count(t, d); n != 2 {
						t.Errorf("%s by %s: %d notes, want 2", verb, way, n)
					}
				}
			}
		}
		if err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, 3, "3", "c") }); err != nil {
			t.Errorf("afterwards: %v", err)
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
