package db_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
)

func openSQLite(t *testing.T, path string) *db.DB {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	d, err := db.Open(t.Context(), db.Options{Path: path, Migrations: notes, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fault := range d.Check(context.Background()) {
			t.Errorf("after the test: %v", fault)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// inOneGroup runs the functions in one group of SQLite's writer, in their order, and returns what each caller was told. The first
// holds the writer until the others wait.
func inOneGroup(t *testing.T, d *db.DB, fns ...db.Func) []error {
	t.Helper()
	return inOneGroupFor(t, d, slices.Repeat([]context.Context{t.Context()}, len(fns)), fns)
}

// inOneGroupFor is inOneGroup for callers with these contexts.
func inOneGroupFor(t *testing.T, d *db.DB, callers []context.Context, fns []db.Func) []error {
	t.Helper()
	before := d.Stats()
	results := make([]chan error, len(fns))
	holding, goOn := make(chan struct{}), make(chan struct{})
	for i, fn := range fns {
		results[i] = make(chan error, 1)
		if i == 0 {
			held, inner := false, fn
			fn = func(ctx context.Context, tx *db.Tx) error {
				if !held { // it may run again
					held = true
					close(holding)
					<-goOn
				}
				return inner(ctx, tx)
			}
		}
		go func() {
			err := errGoroutineEnded
			defer func() { results[i] <- err }()
			err = d.Write(callers[i], fn)
		}()
		if i == 0 {
			<-holding
		}
		for d.Waiting() < i {
			runtime.Gosched()
		}
	}
	close(goOn)
	errs := make([]error, len(fns))
	for i := range results {
		errs[i] = <-results[i]
	}
	if after := d.Stats(); after.Commits+after.Abandoned == before.Commits+before.Abandoned {
		t.Error("no group was committed or abandoned")
	}
	return errs
}

var errGoroutineEnded = errors.New("the goroutine ended in Write")

func adding(id int64, body string) db.Func {
	return func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, id, "ann", body) }
}

// ids returns what the table holds.
func ids(t *testing.T, d *db.DB) string {
	t.Helper()
	var list []string
	err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(ctx, "SELECT id FROM note ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close() // rows.Err tells
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			list = append(list, fmt.Sprint(id))
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

func TestAGroupIsOneCommitAndAFailureHurtsNoNeighbour(t *testing.T) {
	d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
	boom := errors.New("boom")
	before := d.Stats()
	var order []int
	note := func(i int, fn db.Func) db.Func {
		return func(ctx context.Context, tx *db.Tx) error {
			tx.OnCommit(func() { order = append(order, i) })
			return fn(ctx, tx)
		}
	}
	errs := inOneGroup(t, d,
		note(0, adding(1, "a")),
		note(1, func(ctx context.Context, tx *db.Tx) error { return errors.Join(adding(2, "b")(ctx, tx), boom) }),
		note(2, adding(3, "c")),
		note(3, func(ctx context.Context, tx *db.Tx) error { _ = adding(4, "d")(ctx, tx); panic("boom") }),
		note(4, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO nowhere VALUES (1)")
			return err
		}),
		note(5, func(ctx context.Context, tx *db.Tx) error {
			return errors.Join(adding(6, "e")(ctx, tx), adding(1, "twice")(ctx, tx))
		}),
		note(6, func(ctx context.Context, tx *db.Tx) error {
			if err := adding(7, "f")(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Query(ctx, "SELECT id FROM note") // left open, which is the point
			return err
		}),
		note(7, adding(8, "g")),
	)
	want := []bool{true, false, true, false, false, false, false, true}
	for i, err := range errs {
		if (err == nil) != want[i] {
			t.Errorf("function %d: %v", i, err)
		}
	}
	if !errors.Is(errs[1], boom) || !db.IsUnique(errs[5]) {
		t.Errorf("the functions' own errors: %v; %v", errs[1], errs[5])
	}
	if got := ids(t, d); got != "1 3 8" {
		t.Errorf("rows %s, want 1 3 8", got)
	}
	if fmt.Sprint(order) != "[0 2 7]" {
		t.Errorf("hooks ran as %v, want 0 2 7", order)
	}
	s := d.Stats()
	if s.Commits-before.Commits != 1 || s.Functions-before.Functions != 3 || s.Refused-before.Refused != 5 || s.Abandoned != before.Abandoned {
		t.Errorf("counted %+v, before %+v", s, before)
	}
}

func TestACallerWhoGivesUp(t *testing.T) {
	d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
	ctx, cancel := context.WithCancel(t.Context())
	waited, begun := make(chan error, 1), make(chan error, 1)
	err := d.Write(t.Context(), func(c context.Context, tx *db.Tx) error {
		if c.Done() != nil {
			t.Error("the writer's context can end")
		}
		go func() { waited <- d.Write(ctx, adding(1, "never")) }()
		for d.Waiting() < 1 {
			runtime.Gosched()
		}
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) { // while the writer is still busy with us
			t.Errorf("a caller whose function never began: %v", err)
		}
		return adding(2, "stays")(c, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(ctx, adding(3, "never")); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who had given up before: %v", err)
	}
	// Given up in the middle: the function ends undisturbed, although it hands its statements the caller's own context.
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		begun <- d.Write(ctx, func(_ context.Context, tx *db.Tx) error {
			if err := add(ctx, tx, 4, "ann", "first"); err != nil {
				return err
			}
			cancel()
			return add(ctx, tx, 5, "ann", "second")
		})
	}()
	if err := <-begun; err != nil {
		t.Errorf("a caller who gave up after its function began: %v", err)
	}
	if got := ids(t, d); got != "2 4 5" {
		t.Errorf("rows %s, want 2 4 5", got)
	}
}

func TestCallersWhoGiveUpInAGroupOf16(t *testing.T) {
	d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
	callers, cancels := make([]context.Context, 16), make([]context.CancelFunc, 16)
	var fns []db.Func
	for i := range callers {
		callers[i], cancels[i] = context.WithCancel(t.Context())
		defer cancels[i]()
		fns = append(fns, func(_ context.Context, tx *db.Tx) error { // its statements have the caller's own context
			if i == 7 { // one that has run, its own, and every other that waits
				for _, k := range []int{3, 7, 9, 11, 13, 15} {
					cancels[k]()
				}
			}
			return add(callers[i], tx, int64(i), "ann", fmt.Sprint(i))
		})
	}
	errs := inOneGroupFor(t, d, callers, fns)
	there := strings.Fields(ids(t, d))
	for i, err := range errs {
		waited := i > 7 && i%2 == 1 // it may have begun before it was withdrawn
		if err != nil && (!waited || !errors.Is(err, context.Canceled)) || (err == nil) != slices.Contains(there, fmt.Sprint(i)) {
			t.Errorf("function %d: %v; rows %s", i, err, there)
		}
	}
}

// A full file: SQLite refuses to let it grow, which drops the whole transaction as a full disk does.
func TestAFullDiskFailsOnlyWhoFillsIt(t *testing.T) {
	d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
	err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		var pages int64
		return tx.QueryRow(ctx, "PRAGMA max_page_count = 40").Scan(&pages)
	})
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	fns := make([]db.Func, 16)
	for i := range fns {
		fns[i] = adding(int64(i), fmt.Sprint(i))
	}
	fns[8] = func(ctx context.Context, tx *db.Tx) error {
		runs++
		err := adding(8, strings.Repeat("x", 1<<20))(ctx, tx)
		if err == nil {
			t.Error("there was room")
		}
		// A careless function goes on. Had SQLite dropped the transaction, this would be committed by itself.
		if err := adding(20, "must not be there")(ctx, tx); err == nil {
			t.Error("the transaction took a statement after one had failed")
		}
		return nil
	}
	for i, err := range inOneGroup(t, d, fns...) {
		if (err == nil) != (i != 8) {
			t.Errorf("function %d: %v", i, err)
		}
	}
	t.Logf("the one who filled it ran %d times", runs)
	if got := ids(t, d); got != "0 1 2 3 4 5 6 7 9 10 11 12 13 14 15" {
		t.Errorf("rows %s", got)
	}
	if err := d.Write(t.Context(), adding(16, "d")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A function that ends the transaction itself stands for whatever makes SQLite drop one.
func TestALostTransactionIsNeverAcknowledged(t *testing.T) {
	d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
	hooks := 0
	for i, end := range []string{"ROLLBACK", "RELEASE f"} {
		t.Run(end, func(t *testing.T) {
			first := int64(10 * i)
			errs := inOneGroup(t, d, adding(first, "a"+end),
				func(ctx context.Context, tx *db.Tx) error {
					tx.OnCommit(func() { hooks++ })
					_, err := tx.Exec(ctx, end)
					return err
				},
				adding(first+2, "b"+end))
			if fault.KindOf(errs[1]) != fault.Temporary {
				t.Errorf("the function that lost it: %v", errs[1])
			}
			if errs[0] != nil || errs[2] != nil || !strings.HasSuffix(" "+ids(t, d), fmt.Sprintf(" %d %d", first, first+2)) {
				t.Errorf("its neighbours: %v, %v; rows %s", errs[0], errs[2], ids(t, d))
			}
			if hooks != 0 {
				t.Error("its hook ran")
			}
		})
	}
}

// TestAFunctionThatEndsItsGoroutine, by runtime.Goexit, hurts only those of its group, who are told.
func TestAFunctionThatEndsItsGoroutine(t *testing.T) {
	ends := func(ctx context.Context, tx *db.Tx) error {
		if err := add(ctx, tx, 99, "ann", "x"); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	}
	for name, c := range map[string]struct{ functions, from, first, last int }{ // its group begins at from; first to last end it
		"of a caller":                       {16, 0, 8, 8},
		"of the writer":                     {65, 64, 64, 64}, // a group has 64
		"of the writer, one behind another": {8, 0, 0, 6},
		"of its only one":                   {1, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
			var fns []db.Func
			for i := range c.functions {
				fns = append(fns, adding(int64(i), fmt.Sprint(i)))
			}
			for i := c.first; i <= c.last; i++ {
				fns[i] = ends
			}
			for i, err := range inOneGroup(t, d, fns...) {
				kept := i < c.from || i > c.last
				told := fault.KindOf(err) == fault.Temporary || i == 0 && errors.Is(err, errGoroutineEnded) // the goroutine was its caller's
				if kept && err != nil || !kept && !told {
					t.Errorf("function %d: %v", i, err)
				}
			}
			want := c.functions - (c.last - c.from + 1)
			if n := count(t, d); n != want {
				t.Errorf("%d rows, want %d", n, want)
			}
			if err := d.Write(t.Context(), adding(100, "y")); err != nil || count(t, d) != want+1 {
				t.Errorf("afterwards: %v, %d rows", err, count(t, d))
			}
		})
	}
	t.Run("in a hook", func(t *testing.T) {
		d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
		var ran []int64
		ends := func(id int64) db.Func {
			return func(ctx context.Context, tx *db.Tx) error {
				tx.OnCommit(runtime.Goexit)
				tx.OnCommit(func() { ran = append(ran, id) })
				return adding(id, fmt.Sprint(id))(ctx, tx)
			}
		}
		errs := inOneGroup(t, d, ends(1), ends(2), ends(3))
		if !errors.Is(errs[0], errGoroutineEnded) || errs[1] != nil || errs[2] != nil || ids(t, d) != "1 2 3" {
			t.Errorf("%v; rows %s", errs, ids(t, d))
		}
		if fmt.Sprint(ran) != "[1 2 3]" {
			t.Errorf("of the hooks behind one that ended the goroutine ran %v", ran)
		}
	})
	t.Run("in reads", func(t *testing.T) {
		d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
		for range 20 { // more than there are readers
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
					defer runtime.Goexit()
					return tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(new(int))
				})
			}()
			<-ended
		}
		if err := d.Write(t.Context(), adding(1, "a")); err != nil || count(t, d) != 1 {
			t.Errorf("afterwards: %v, %d rows", err, count(t, d))
		}
	})
}

func TestATransactionThatIsOverRefuses(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		for verb, do := range map[string]func(context.Context, func(context.Context, *db.Tx) error) error{"Write": d.Write, "Read": d.Read} {
			var kept *db.Tx
			if err := do(t.Context(), func(_ context.Context, tx *db.Tx) error { kept = tx; return nil }); err != nil {
				t.Fatal(err)
			}
			if err := add(t.Context(), kept, 1, "ann", "late"); err == nil || !strings.Contains(err.Error(), "over") {
				t.Errorf("%s: Exec afterwards: %v", verb, err)
			}
			if err := kept.QueryRow(t.Context(), "SELECT 1").Scan(new(int)); err == nil || !strings.Contains(err.Error(), "over") {
				t.Errorf("%s: QueryRow afterwards: %v", verb, err)
			}
			for inner, nested := range map[string]func(context.Context, func(context.Context, *db.Tx) error) error{"Write": d.Write, "Read": d.Read} {
				err := do(t.Context(), func(ctx context.Context, _ *db.Tx) error {
					return nested(ctx, func(context.Context, *db.Tx) error { return nil })
				})
				if err == nil || !strings.Contains(err.Error(), "inside") {
					t.Errorf("%s inside %s: %v", inner, verb, err)
				}
			}
		}
		if err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, 1, "ann", "x") }); err == nil {
			t.Error("a read transaction wrote")
		}
		if n := count(t, d); n != 0 {
			t.Errorf("%d rows, want none", n)
		}
	})
}

func TestAReadIsASnapshot(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		number := func(ctx context.Context, tx *db.Tx) (n int) {
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(&n); err != nil {
				t.Error(err)
			}
			return n
		}
		err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			before := number(ctx, tx)
			if err := d.Write(t.Context(), adding(1, "x")); err != nil {
				return err
			}
			if after := number(ctx, tx); before != 0 || after != 0 {
				t.Errorf("a snapshot went from %d rows to %d", before, after)
			}
			return nil
		})
		if err != nil || count(t, d) != 1 {
			t.Errorf("%v, %d rows", err, count(t, d))
		}
		// The same statement twice at once: each has its own place.
		if err := d.Write(t.Context(), adding(2, "y")); err != nil {
			t.Fatal(err)
		}
		if d.Engine() != db.SQLite {
			return // PostgreSQL reads one result at a time on a connection
		}
		err = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			pairs := 0
			outer, err := tx.Query(ctx, "SELECT id FROM note")
			if err != nil {
				return err
			}
			defer outer.Close() // outer.Err tells
			for outer.Next() {
				inner, err := tx.Query(ctx, "SELECT id FROM note")
				if err != nil {
					return err
				}
				for inner.Next() {
					pairs++
				}
				if err := errors.Join(inner.Err(), inner.Close()); err != nil {
					return err
				}
			}
			if pairs != 4 {
				t.Errorf("%d pairs of 2 rows", pairs)
			}
			return outer.Err()
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestACancelledReadLeavesTheReaderWhole(t *testing.T) {
	dbtest.Run(t, notes, func(t *testing.T, d *db.DB) {
		for range 20 { // more than there are readers
			ctx, cancel := context.WithCancel(t.Context())
			err := d.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
				rows, err := tx.Query(ctx, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT i FROM n")
				if err != nil {
					return err
				}
				defer rows.Close() // rows.Err tells
				rows.Next()
				cancel()
				for rows.Next() {
				}
				return rows.Err()
			})
			cancel()
			if err == nil {
				t.Error("a cancelled read succeeded")
			}
		}
		if err := d.Write(t.Context(), adding(1, "x")); err != nil || count(t, d) != 1 {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestWhatAFailedFunctionWroteIsUndoneWhereverItStands(t *testing.T) {
	boom := errors.New("boom")
	writesAndFails := func(ctx context.Context, tx *db.Tx) error { return errors.Join(adding(9, "x")(ctx, tx), boom) }
	readsAndFails := func(ctx context.Context, tx *db.Tx) error {
		return errors.Join(tx.QueryRow(ctx, "SELECT COUNT(*) FROM note").Scan(new(int)), boom)
	}
	returning := func(ctx context.Context, tx *db.Tx) error {
		row := tx.QueryRow(ctx, "INSERT INTO note (id, author, body) VALUES (9, 'ann', 'x') RETURNING id")
		return errors.Join(row.Scan(new(int64)), boom)
	}
	for name, c := range map[string]struct {
		group []db.Func
		want  string
	}{
		"alone":            {[]db.Func{writesAndFails}, ""},
		"first":            {[]db.Func{writesAndFails, adding(1, "a"), adding(2, "b")}, "1 2"},
		"in the middle":    {[]db.Func{adding(1, "a"), writesAndFails, adding(2, "b")}, "1 2"},
		"last":             {[]db.Func{adding(1, "a"), adding(2, "b"), writesAndFails}, "1 2"},
		"twice":            {[]db.Func{writesAndFails, writesAndFails, adding(1, "a"), writesAndFails}, "1"},
		"in a query":       {[]db.Func{adding(1, "a"), returning, adding(2, "b")}, "1 2"},
		"after it read":    {[]db.Func{adding(1, "a"), readsAndFails, adding(2, "b")}, "1 2"},
		"all of the group": {[]db.Func{writesAndFails, readsAndFails, returning}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
			for i, err := range inOneGroup(t, d, append(c.group, adding(20, "z"))...) {
				failed := errors.Is(err, boom)
				if i == len(c.group) && err != nil || err != nil && !failed {
					t.Errorf("function %d: %v", i, err)
				}
			}
			if got := ids(t, d); got != strings.TrimSpace(c.want+" 20") {
				t.Errorf("rows %q, want %q and 20", got, c.want)
			}
		})
	}
}

func TestAfterClose(t *testing.T) {
	for name, o := range map[string]db.Options{
		"sqlite":   {Path: filepath.Join(t.TempDir(), "x.db"), Migrations: notes},
		"postgres": {URL: dbtest.PostgresURL(t, notes), Migrations: notes},
	} {
		d, err := db.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Close(), d.Close()); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
		if err := d.Write(t.Context(), adding(1, "x")); !errors.Is(err, db.ErrClosed) {
			t.Errorf("%s: Write: %v", name, err)
		}
		if err := d.Read(t.Context(), adding(1, "x")); !errors.Is(err, db.ErrClosed) {
			t.Errorf("%s: Read: %v", name, err)
		}
	}
}

func TestALostConnection(t *testing.T) {
	d := dbtest.Postgres(t, notes)
	err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		if err := adding(1, "x")(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	})
	if fault.KindOf(err) != fault.Temporary {
		t.Errorf("Write: %v, want a temporary fault", err)
	}
	err = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, "SELECT pg_terminate_backend(pg_backend_pid())").Scan(new(bool))
	})
	if fault.KindOf(err) != fault.Temporary {
		t.Errorf("Read: %v, want a temporary fault", err)
	}
	if err := d.Write(t.Context(), adding(2, "y")); err != nil || ids(t, d) != "2" {
		t.Errorf("afterwards: %v, rows %s", err, ids(t, d))
	}
}
