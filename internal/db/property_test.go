package db_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// tally is the pattern that the whole house stands on: a counter raised first, under its row's lock, and a row for each number.
var tally = []db.Migration{{Version: 1, Name: "tally", SQL: `
CREATE TABLE counter (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL);
CREATE TABLE entry (counter BIGINT NOT NULL REFERENCES counter (id), n BIGINT NOT NULL, author TEXT NOT NULL, PRIMARY KEY (counter, n)) {{.WithoutRowID}};
`}}

var errChosen = errors.New("the function chose to fail")

// deed is one write function: it raises its counters in the order given, then ends as it is told.
type deed struct {
	counters []int64
	end      string
}

func (d deed) run(author string) db.Func {
	return func(ctx context.Context, tx *db.Tx) error {
		for _, c := range d.counters {
			var n int64
			if err := tx.QueryRow(ctx, "UPDATE counter SET n = n + 1 WHERE id = $1 RETURNING n", c).Scan(&n); err != nil {
				return err
			}
			// What a rule depends on is read after the lock: it must see all who held it before.
			var last int64
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM entry WHERE counter = $1", c).Scan(&last); err != nil {
				return err
			}
			if last != n-1 {
				return fmt.Errorf("counter %d: number %d, but %d entries", c, n, last)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO entry (counter, n, author) VALUES ($1, $2, $3)", c, n, author); err != nil {
				return err
			}
		}
		switch d.end {
		case "fail":
			return errChosen
		case "panic":
			panic("as the test asked")
		case "break":
			_, err := tx.Exec(ctx, "INSERT INTO entry (counter, n, author) VALUES (99, 1, 'nobody')") // no such counter
			return err
		}
		return nil
	}
}

// TestSixteenWritersAgainstAModel runs random functions from 16 goroutines and compares the tables with the sum of what was
// acknowledged, while readers look at snapshots.
func TestSixteenWritersAgainstAModel(t *testing.T) {
	const writers, counters = 16, 4
	dbtest.Run(t, tally, func(t *testing.T, d *db.DB) {
		rapid.Check(t, func(r *rapid.T) {
			plan := make([][]deed, writers)
			for w := range plan {
				plan[w] = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) deed {
					return deed{
						counters: rapid.SliceOfNDistinct(rapid.Int64Range(1, counters), 1, counters, rapid.ID).Draw(r, "counters"),
						end:      rapid.SampledFrom([]string{"", "", "", "", "fail", "panic", "break"}).Draw(r, "end"),
					}
				}), 1, 4).Draw(r, "deeds")
				for _, deed := range plan[w] { // several rows are locked in ascending order
					slices.Sort(deed.counters)
				}
			}
			begin(r, d, counters)
			want := perform(r, d, plan)
			if got := entries(r, d); !maps.Equal(got, want) {
				r.Fatalf("entries %v, want %v", got, want)
			}
		})
	})
}

func begin(r *rapid.T, d *db.DB, counters int64) {
	err := d.Write(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		for _, statement := range []string{"DELETE FROM entry", "DELETE FROM counter"} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		for c := range counters {
			if _, err := tx.Exec(ctx, "INSERT INTO counter (id, n) VALUES ($1, 0)", c+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// authorship counts the entries of a counter by author.
type authorship struct {
	counter int64
	author  string
}

// perform runs the plan and returns the entries that the acknowledged functions made.
func perform(r *rapid.T, d *db.DB, plan [][]deed) map[authorship]int {
	var mu sync.Mutex
	want := map[authorship]int{}
	var group, watch sync.WaitGroup
	var over atomic.Bool
	watch.Go(func() {
		for !over.Load() {
			if err := d.Read(context.Background(), wholeSnapshot); err != nil {
				r.Error(err)
				return
			}
		}
	})
	for w, deeds := range plan {
		author := fmt.Sprint(w)
		group.Go(func() {
			for _, deed := range deeds {
				err := d.Write(context.Background(), deed.run(author))
				if (err == nil) != (deed.end == "") || deed.end == "fail" && !errors.Is(err, errChosen) {
					r.Errorf("a function that should end with %q: %v", deed.end, err)
				}
				if err != nil {
					continue
				}
				mu.Lock()
				for _, c := range deed.counters {
					want[authorship{c, author}]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	over.Store(true)
	watch.Wait()
	return want
}

// wholeSnapshot checks that each counter has as many entries as it says, by two statements that must see the same.
func wholeSnapshot(ctx context.Context, tx *db.Tx) error {
	said := map[int64]int64{}
	rows, err := tx.Query(ctx, "SELECT id, n FROM counter WHERE n > 0")
	if err != nil {
		return err
	}
	defer rows.Close() // rows.Err tells
	for rows.Next() {
		var c, n int64
		if err := rows.Scan(&c, &n); err != nil {
			return err
		}
		said[c] = n
	}
	if err := rows.Err(); err != nil {
		return err
	}
	found := map[int64]int64{}
	rows, err = tx.Query(ctx, "SELECT counter, count(*), max(n) FROM entry GROUP BY counter")
	if err != nil {
		return err
	}
	defer rows.Close() // rows.Err tells
	for rows.Next() {
		var c, n, last int64
		if err := rows.Scan(&c, &n, &last); err != nil {
			return err
		}
		if found[c] = n; n != last {
			return fmt.Errorf("counter %d has %d entries up to number %d", c, n, last)
		}
	}
	if !maps.Equal(said, found) {
		return fmt.Errorf("a snapshot shows counters %v and entries %v", said, found)
	}
	return rows.Err()
}

func entries(r *rapid.T, d *db.DB) map[authorship]int {
	got := map[authorship]int{}
	err := d.Read(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		rows, err := tx.Query(ctx, "SELECT counter, author FROM entry")
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var a authorship
			if err := rows.Scan(&a.counter, &a.author); err != nil {
				return err
			}
			got[a]++
		}
		return rows.Err()
	})
	if err != nil {
		r.Fatal(err)
	}
	return got
}

// Two functions that lock the same rows in opposite orders: PostgreSQL undoes one of them, which is run again. On SQLite they
// can't meet.
func TestADeadlockIsRunAgain(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{URL: dbtest.PostgresURL(t, tally), NoSync: true, Migrations: tally})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO counter (id, n) VALUES (1, 0), (2, 0)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var meet sync.WaitGroup // each holds its first row until the other does too
	meet.Add(2)
	hooks, runs := atomic.Int32{}, atomic.Int32{}
	write := func(first, second int64) error {
		var once sync.Once
		return d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			runs.Add(1)
			tx.OnCommit(func() { hooks.Add(1) })
			if _, err := tx.Exec(ctx, "UPDATE counter SET n = n + 1 WHERE id = $1", first); err != nil {
				return err
			}
			once.Do(func() { meet.Done(); meet.Wait() })
			_, err := tx.Exec(ctx, "UPDATE counter SET n = n + 1 WHERE id = $1", second)
			return err
		})
	}
	other := make(chan error, 1)
	go func() { other <- write(2, 1) }()
	if err := errors.Join(write(1, 2), <-other); err != nil {
		t.Fatal(err)
	}
	var sum int
	err = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, "SELECT sum(n) FROM counter").Scan(&sum)
	})
	if err != nil || sum != 4 || hooks.Load() != 2 {
		t.Errorf("sum %d, want 4; %d hooks, want 2; %v", sum, hooks.Load(), err)
	}
	if abandoned := d.Stats().Abandoned; abandoned == 0 || uint64(runs.Load()) != 2+abandoned { // they may meet again
		t.Errorf("%d runs, %d abandoned", runs.Load(), abandoned)
	}
}
