package db_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
)

const insertNote = "INSERT INTO note (id, author, body) VALUES ($1, $2, $3)"

// TestWhatIsSentIsKept makes statements whose outcome nobody waits for: they are there after the commit, and in their order.
func TestWhatIsSentIsKept(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		const many = 200
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i := range many {
				if err := tx.Send(ctx, insertNote, i, "ann", []byte{byte(i)}); err != nil {
					return err
				}
			}
			var n int
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(&n); err != nil || n != many {
				t.Errorf("behind what was sent there are %d notes, %v", n, err)
			}
			return tx.Send(ctx, "DELETE FROM note WHERE id >= $1", 10)
		})
		if n := count(t, d); err != nil || n != 10 {
			t.Errorf("%d notes, %v", n, err)
		}
	})
}

// TestWhatIsSentAndFailsIsHeardOf fails at a statement that was sent: nothing of the transaction is kept, whether another follows or not.
func TestWhatIsSentAndFailsIsHeardOf(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		for name, then := range map[string]func(context.Context, *db.Tx) error{
			"the commit":          func(context.Context, *db.Tx) error { return nil },
			"another":             func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, 2, "ann", "b") },
			"another sent":        func(ctx context.Context, tx *db.Tx) error { return tx.Send(ctx, insertNote, 2, "ann", []byte("b")) },
			"one not seen yet":    func(ctx context.Context, tx *db.Tx) error { return tx.Send(ctx, "DELETE FROM note WHERE author = 'x'") },
			"an error of its own": func(context.Context, *db.Tx) error { return errOwn },
		} {
			err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				for range 2 {
					if err := tx.Send(ctx, insertNote, 1, "ann", []byte("a")); err != nil {
						return err
					}
				}
				return then(ctx, tx)
			})
			if !db.IsUnique(err) && !errors.Is(err, errOwn) {
				t.Errorf("then %s: %v, want the second note's", name, err)
			}
			if n := count(t, d); n != 0 {
				t.Errorf("then %s: %d notes were kept", name, n)
			}
		}
		if err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, 1, "ann", "a") }); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

var errOwn = errors.New("the function's own")

// TestWhatIsSentInAReadIsHeardThere sends in reads: the error is that read's, and what follows on the connection is innocent.
func TestWhatIsSentInAReadIsHeardThere(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		send := func(query string, args ...any) error {
			return d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				err := tx.Send(ctx, query, args...)
				if next := tx.QueryRow(ctx, "SELECT count(*) FROM note").Err(); (next == nil) != (err == nil) {
					t.Errorf("what was sent: %v; the next: %v", err, next)
				}
				return err
			})
		}
		for i := range 3 {
			if err := send("SELECT 1"); err != nil {
				t.Errorf("SELECT: %v", err)
			}
			if err := send(insertNote, i, "ann", []byte("sent")); err == nil {
				t.Error("INSERT: no error")
			}
			if err := d.Write(t.Context(), adding(int64(i), fmt.Sprint(i))); err != nil {
				t.Errorf("the next write: %v", err)
			}
		}
		if n := count(t, d); n != 3 {
			t.Errorf("%d notes, want 3", n)
		}
	})
}

// TestAFailedCommitKeepsItsConnection hears at the first COMMIT of a connection that what was sent had failed.
func TestAFailedCommitKeepsItsConnection(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{URL: dbtest.PostgresURL(t, notes), Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var pids [2]int
	for i := range pids {
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if err := tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pids[i]); err != nil {
				return err
			}
			return errors.Join(tx.Send(ctx, insertNote, 1, "ann", []byte("a")), tx.Send(ctx, insertNote, 1, "ann", []byte("a")))
		})
		if !db.IsUnique(err) {
			t.Errorf("the same note twice: %v", err)
		}
	}
	if pids[0] != pids[1] {
		t.Error("a COMMIT that heard of an error cost its connection")
	}
}

// TestAGoroutineThatEndsInATransaction leaves no connection in it for others: not before the first statement, nor behind one.
func TestAGoroutineThatEndsInATransaction(t *testing.T) {
	url := dbtest.PostgresURL(t, notes)
	for _, rehearse := range []bool{true, false} {
		d, err := db.Open(t.Context(), db.Options{URL: url, Migrations: notes, Rehearse: rehearse})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for name, run := range map[string]func(context.Context, func(context.Context, *db.Tx) error) error{"Write": d.Write, "Read": d.Read} {
			for _, statement := range []bool{false, true} {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = run(ctx, func(ctx context.Context, tx *db.Tx) error {
						if statement {
							_ = tx.Send(ctx, "DELETE FROM note WHERE id < 0")
						}
						runtime.Goexit()
						return nil
					})
				}()
				<-ended
				err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
					cancel() // the end of what was watched concerns nobody any more
					var only string
					err := tx.QueryRow(ctx, "SELECT current_setting('transaction_read_only')").Scan(&only)
					if only != "on" {
						t.Errorf("behind a %s: a read that may write: %q", name, only)
					}
					return err
				})
				if err != nil {
					t.Errorf("behind a %s: Read: %v", name, err)
				}
				err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { return tx.Send(ctx, "DELETE FROM note") })
				if err != nil {
					t.Errorf("behind a %s: Write: %v", name, err)
				}
			}
		}
	}
}

// TestASnapshotOutlivesAStatementThatIsNew reads with a statement that must be prepared first, after somebody else wrote.
func TestASnapshotOutlivesAStatementThatIsNew(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i, query := range []string{"SELECT count(*) FROM note", "SELECT count(id) FROM note", "SELECT count(author) FROM note", "SELECT count(*) FROM note"} {
				var n int
				if err := tx.QueryRow(ctx, query).Scan(&n); err != nil || n != 0 {
					t.Errorf("%s in the snapshot: %d, %v", query, n, err)
				}
				err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, int64(i), "ann", fmt.Sprint(i)) })
				if err != nil {
					return err
				}
			}
			return nil
		})
		if n := count(t, d); err != nil || n != 4 {
			t.Errorf("%d notes, %v", n, err)
		}
	})
}

// TestMoreStatementsThanAreKept makes more different statements than a connection keeps prepared.
func TestMoreStatementsThanAreKept(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		for i := range 600 {
			err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				var n int
				err := tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) + %d FROM note", i)).Scan(&n)
				if n != i {
					t.Errorf("the statement %d gives %d", i, n)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestAConnectionLostInATransaction breaks it from within: nothing is kept, and the next transaction has another.
func TestAConnectionLostInATransaction(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{URL: dbtest.PostgresURL(t, notes), Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, run := range map[string]func(context.Context, func(context.Context, *db.Tx) error) error{"Write": d.Write, "Read": d.Read} {
		err := run(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if name == "Write" {
				if err := tx.Send(ctx, insertNote, 1, "ann", []byte("a")); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return err
		})
		if fault.KindOf(err) != fault.Temporary {
			t.Errorf("%s on a connection that is lost: %v, want a temporary fault", name, err)
		}
		if n := count(t, d); n != 0 {
			t.Errorf("%d notes were kept", n)
		}
	}
}

// TestPostgresIsNotWaitedForMoreThanItMust counts what is said to PostgreSQL at a time.
func TestPostgresIsNotWaitedForMoreThanItMust(t *testing.T) {
	address, said := overheard(t, dbtest.PostgresURL(t, notes))
	d, err := db.Open(t.Context(), db.Options{URL: address, Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	write := func() error {
		return d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if err := errors.Join(tx.Send(ctx, "DELETE FROM note"), tx.Send(ctx, insertNote, 1, "ann", []byte("a"))); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(&n); err != nil {
				return err
			}
			return errors.Join(tx.Send(ctx, insertNote, 2, "ann", []byte("b")), tx.Send(ctx, insertNote, 3, "ann", []byte("c")))
		})
	}
	read := func() error {
		return d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			var n int
			return errors.Join(tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(&n), tx.QueryRow(ctx, "SELECT max(id) FROM note").Scan(&n))
		})
	}
	for _, c := range []struct {
		what string
		do   func() error
		most int64
	}{
		{"a write that waits once, and its commit", write, 2},
		{"a read of two statements, and its end", read, 3},
		{"a write with the end of a read before it", write, 3},
		{"a write without a statement", func() error { return d.Write(t.Context(), func(context.Context, *db.Tx) error { return nil }) }, 0},
	} {
		if err := errors.Join(write(), read(), write()); err != nil { // which prepares the statements
			t.Fatal(err)
		}
		before := said.Load()
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if n := said.Load() - before; n > c.most {
			t.Errorf("%s: PostgreSQL was spoken to %d times, want %d at most", c.what, n, c.most)
		}
	}
}

// overheard stands between a client and the PostgreSQL at address, and counts how often it is spoken to.
func overheard(t *testing.T, address string) (instead string, said *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	const name = ".s.PGSQL.5432"
	query, dir := u.Query(), t.TempDir()
	behind := filepath.Join(query.Get("host"), name)
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	l, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	said = &atomic.Int64{}
	go func() { // ends with the listener; what it begins ends with the connections
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", behind)
			if err != nil {
				t.Errorf("dial PostgreSQL: %v", err)
				_ = client.Close()
				return
			}
			go func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			}()
			go func() {
				buf := make([]byte, 64<<10)
				for n, err := client.Read(buf); err == nil; n, err = client.Read(buf) {
					said.Add(1)
					if _, err := server.Write(buf[:n]); err != nil {
						break
					}
				}
				_ = server.Close()
			}()
		}
	}()
	return u.String(), said
}
