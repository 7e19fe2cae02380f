package db_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
)

// TestAlone opens one PostgreSQL database twice: the second is refused until the first has closed.
func TestAlone(t *testing.T) {
	options := db.Options{URL: dbtest.PostgresURL(t, notes), Migrations: notes, Alone: true}
	first, err := db.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Open(t.Context(), options); !errors.Is(err, db.ErrHeld) {
		t.Errorf("a second process on the database: %v, want ErrHeld", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := db.Open(t.Context(), options)
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestAloneAfterALostConnection breaks the connection that keeps others off while another waits for the lock. As long as
// that one has it nothing is written; when it is gone, writes go on by themselves.
func TestAloneAfterALostConnection(t *testing.T) {
	options := db.Options{URL: dbtest.PostgresURL(t, notes), Migrations: notes, Alone: true}
	d, err := db.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	writesBecome := func(what string, holds func(error) bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			err := d.Write(t.Context(), func(context.Context, *db.Tx) error { return nil })
			if holds(err) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("a write gives %v, want %s", err, what)
			}
		}
	}
	rival, operator := connect(t, options.URL), connect(t, options.URL)
	taken := make(chan error)
	go func() {
		_, err := rival.Exec(t.Context(), "SELECT pg_advisory_lock($1)", db.HoldKey)
		taken <- err
	}()
	const locks = "FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
	for waiting := 0; waiting == 0; {
		if err := operator.QueryRow(t.Context(), "SELECT COUNT(*) "+locks+" AND NOT granted").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := operator.Exec(t.Context(), "SELECT pg_terminate_backend(pid) "+locks+" AND granted"); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	writesBecome("a temporary fault", func(err error) bool { return fault.KindOf(err) == fault.Temporary })
	if err := rival.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	writesBecome("success", func(err error) bool { return err == nil })
}

// connect makes a plain connection, which ends with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}
