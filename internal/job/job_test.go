package job_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/job"
)

// start runs a runner until the returned function is called, which waits for its end.
func start(t *testing.T, d *db.DB, handlers map[string]job.Handler) (stop func()) {
	t.Helper()
	r := job.NewRunner(d, clock.System{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	for kind, h := range handlers {
		r.Handle(kind, h)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRunStoppedAtOnce(t *testing.T) {
	dbtest.Run(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := job.NewRunner(d, clock.System{}, slog.New(slog.DiscardHandler))
		r.Handle("k", func(context.Context, job.Job) error { return nil })
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v, want nil: it was told to stop", err)
		}
	})
}

func TestRunnersOfOtherKindsLeaveAJobAlone(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		begun, goOn := make(chan struct{}, 10), make(chan struct{})
		defer start(t, d, map[string]job.Handler{"slow": func(context.Context, job.Job) error {
			begun <- struct{}{}
			<-goOn
			return nil
		}})()
		for _, key := range []string{"1", "2", "3", "4", "5"} {
			enqueue(t, d, "slow", key, nil, time.Now())
		}
		for range 4 {
			<-begun // as many as run at once
		}
		ran := make(chan struct{}, 1)
		defer start(t, d, map[string]job.Handler{"quick": func(context.Context, job.Job) error {
			ran <- struct{}{}
			return nil
		}})()
		enqueue(t, d, "quick", "", nil, time.Now())
		<-ran
		synctest.Wait()
		close(goOn)
		eventually(t, "all are done", gone(t, d))
		if n := 4 + len(begun); n != 5 {
			t.Errorf("five jobs were begun %d times", n)
		}
	})
}

// TestAKindHasOneHandler also among runners beside each other: only one of them would run its jobs.
func TestAKindHasOneHandler(t *testing.T) {
	r := job.NewRunner(nil, clock.System{}, slog.New(slog.DiscardHandler))
	first, second := r.Beside(), r.Beside()
	first.Handle("k", nil)
	for _, other := range []*job.Runner{r, first, second} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a kind has two handlers")
				}
			}()
			other.Handle("k", nil)
		}()
	}
}

// TestWhatARunnerBesideWaitsForHoldsUpNobody: its workers are its own, and one Run serves both.
func TestWhatARunnerBesideWaitsForHoldsUpNobody(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		r := job.NewRunner(d, clock.System{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
		ran, goOn := make(chan string, 10), make(chan struct{})
		r.Handle("quick", func(_ context.Context, j job.Job) error { ran <- j.Key; return nil })
		slow := r.Beside()
		slow.Workers, slow.PerShare = 3, 2
		slow.Handle("slow", func(_ context.Context, j job.Job) error {
			ran <- j.Key
			<-goOn
			return nil
		})
		for _, key := range []string{"a 1", "a 2", "a 3", "b 1", "b 2"} {
			enqueue(t, d, "slow", key, nil, time.Now())
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		begun := map[string]int{}
		for range 3 {
			begun[(<-ran)[:1]]++
		}
		if begun["a"] != 2 || begun["b"] != 1 {
			t.Errorf("of each share were begun %v, want two and one", begun)
		}
		synctest.Wait()
		began := time.Now()
		enqueue(t, d, "quick", "q", nil, began)
		if key := <-ran; key != "q" || time.Since(began) > time.Second {
			t.Errorf("%s ran after %v", key, time.Since(began))
		}
		close(goOn)
		eventually(t, "all are done", gone(t, d))
	})
}

func enqueue(t *testing.T, d *db.DB, kind, key string, payload any, due time.Time) {
	t.Helper()
	err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, kind, key, payload, due)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func pending(t *testing.T, d *db.DB) []job.Pending {
	t.Helper()
	list, err := job.List(t.Context(), d, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// eventually lets (bubble) time pass until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 1000 {
		if holds() {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func gone(t *testing.T, d *db.DB) func() bool {
	return func() bool { return len(pending(t, d)) == 0 }
}

func TestADueJobStartsAtOnceAndALaterOneAtItsTime(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		began := time.Now()
		type mark struct {
			key   string
			after time.Duration
		}
		ran := make(chan mark, 10)
		defer start(t, d, map[string]job.Handler{"k": func(_ context.Context, j job.Job) error {
			var text string
			if err := j.Decode(&text); err != nil || text != "for "+j.Key {
				t.Errorf("payload %s: %q, %v", j.Payload, text, err)
			}
			ran <- mark{j.Key, time.Since(began)}
			return nil
		}})()
		synctest.Wait() // the runner rests
		enqueue(t, d, "k", "later", "for later", began.Add(time.Hour))
		enqueue(t, d, "k", "now", "for now", began)
		if m := <-ran; m.key != "now" || m.after > time.Second {
			t.Errorf("first ran %+v", m)
		}
		if m := <-ran; m.key != "later" || m.after < time.Hour || m.after > time.Hour+time.Second {
			t.Errorf("then ran %+v", m)
		}
		eventually(t, "both are done", gone(t, d))
	})
}

func TestAFailingJobIsTriedAgainEverMoreRarely(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		var at []time.Time
		var attempts []int
		defer start(t, d, map[string]job.Handler{"k": func(_ context.Context, j job.Job) error {
			at, attempts = append(at, time.Now()), append(attempts, j.Attempts)
			switch len(at) {
			case 13:
				return nil
			case 2:
				panic("it panics once")
			}
			return errors.New("not \x00 yet \xff")
		}})()
		enqueue(t, d, "k", "", nil, time.Now())
		<-time.After(time.Second)
		if p := pending(t, d); len(p) != 1 || p[0].Attempts != 1 || p[0].Error != "not � yet �" || p[0].Running {
			t.Errorf("after the first failure: %+v", p)
		}
		<-time.After(4 * time.Hour)
		if len(at) != 13 || len(pending(t, d)) != 0 {
			t.Fatalf("%d attempts, left: %+v", len(at), pending(t, d))
		}
		want := 5 * time.Second
		for i := 1; i < len(at); i++ {
			if pause := at[i].Sub(at[i-1]); pause < want || pause > want+time.Second || attempts[i] != i {
				t.Errorf("pause %d was %v, want %v; attempts told %d", i, pause, want, attempts[i])
			}
			want = min(2*want, time.Hour)
		}
	})
}

func TestEnqueueingAgain(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		begun, goOn := make(chan string), make(chan struct{})
		defer start(t, d, map[string]job.Handler{"k": func(_ context.Context, j job.Job) error {
			begun <- string(j.Payload)
			<-goOn
			return nil
		}})()
		t0 := time.Now()
		enqueue(t, d, "k", "a", 1, t0.Add(time.Hour))
		enqueue(t, d, "k", "a", 2, t0.Add(time.Minute)) // earlier: moves it
		enqueue(t, d, "k", "a", 3, t0.Add(2*time.Hour)) // later: does not
		if got := <-begun; got != "3" || time.Since(t0) > time.Minute+time.Second {
			t.Errorf("ran with %s after %v", got, time.Since(t0))
		}
		enqueue(t, d, "k", "a", 4, time.Now().Add(time.Hour)) // while it runs: once more, an hour later
		again := time.Now()
		goOn <- struct{}{}
		if got := <-begun; got != "4" || time.Since(again) < time.Hour {
			t.Errorf("ran again with %s after %v", got, time.Since(again))
		}
		goOn <- struct{}{}
		eventually(t, "it is done", gone(t, d))
	})
}

func TestALongJobKeepsItsLeaseAndALostOneStops(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		runs, stopped := make(chan job.Job, 10), make(chan error, 1)
		defer start(t, d, map[string]job.Handler{"k": func(ctx context.Context, j job.Job) error {
			runs <- j
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return context.Cause(ctx)
		}})()
		enqueue(t, d, "k", "", nil, time.Now())
		j := <-runs
		<-time.After(time.Hour)
		if len(runs) != 0 || !pending(t, d)[0].Running {
			t.Fatalf("a job that runs was started again: %+v", pending(t, d))
		}
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if err := j.SaveTx(ctx, tx, 1); err != nil {
				t.Errorf("SaveTx of the holder: %v", err)
			}
			was, err := job.CancelTx(ctx, tx, "k", "")
			if !was {
				t.Error("there was nothing to cancel")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-stopped; !errors.Is(err, job.ErrLost) {
			t.Errorf("the handler was stopped by %v", err)
		}
		err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { return j.SaveTx(ctx, tx, 2) })
		if !errors.Is(err, job.ErrLost) {
			t.Errorf("SaveTx after the loss: %v", err)
		}
	})
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		enqueue(t, d, "k", "", nil, time.Now())
		half := make(chan struct{})
		stop := start(t, d, map[string]job.Handler{"k": func(ctx context.Context, j job.Job) error {
			err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return j.SaveTx(ctx, tx, 50) })
			if err != nil {
				t.Error(err)
			}
			close(half)
			<-ctx.Done()
			return ctx.Err()
		}})
		<-half
		stop()
		if p := pending(t, d); len(p) != 1 || p[0].Running || p[0].Attempts != 0 {
			t.Fatalf("stopping is no failure: %+v", p)
		}
		var done int
		stop = start(t, d, map[string]job.Handler{"k": func(_ context.Context, j job.Job) error {
			_, err := j.Progress(&done)
			return err
		}})
		eventually(t, "it is done", gone(t, d))
		stop()
		if done != 50 {
			t.Errorf("the second run began at %d, want 50", done)
		}
	})
}

func TestWhatAKilledServerHeldRunsAgain(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		enqueue(t, d, "k", "", nil, time.Now())
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error { // as a killed server leaves it
			_, err := tx.Exec(ctx, "UPDATE job SET lease = $1, token = 7, claimed = generation", time.Now().Add(time.Minute).UnixMicro())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		began, ran := time.Now(), make(chan time.Time, 1)
		defer start(t, d, map[string]job.Handler{"k": func(context.Context, job.Job) error { ran <- time.Now(); return nil }})()
		after := (<-ran).Sub(began)
		switch {
		case d.Engine() == db.SQLite && after > time.Second:
			t.Errorf("it ran after %v; nobody else can hold it, so at once", after)
		case d.Engine() == db.PostgreSQL && (after < 59*time.Second || after > time.Minute+time.Second):
			t.Errorf("it ran after %v; another server may hold it, so after its lease of a minute", after)
		}
		eventually(t, "it is done", gone(t, d))
	})
}

// TestWhatAKilledServerHeldRunsAtOnceOnADatabaseOfOnesOwn needs no bubble: what would take an hour is nobody's lease.
func TestWhatAKilledServerHeldRunsAtOnceOnADatabaseOfOnesOwn(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{URL: dbtest.PostgresURL(t, nil), Alone: true, Migrations: job.Migrations(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	enqueue(t, d, "k", "", nil, time.Now())
	err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE job SET lease = $1, token = 7, claimed = generation", time.Now().Add(time.Hour).UnixMicro())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{}, 1)
	defer start(t, d, map[string]job.Handler{"k": func(context.Context, job.Job) error { ran <- struct{}{}; return nil }})()
	<-ran
}

func TestTwoRunnersShareTheWorkOnce(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		const jobs = 100
		var mu sync.Mutex
		ran := map[string]int{}
		handlers := map[string]job.Handler{"k": func(_ context.Context, j job.Job) error {
			mu.Lock()
			defer mu.Unlock()
			ran[j.Key]++
			return nil
		}}
		defer start(t, d, handlers)()
		defer start(t, d, handlers)()
		synctest.Wait() // both rest: a runner that begins alone takes what is held for abandoned
		for i := range jobs {
			enqueue(t, d, "k", string(rune('a'+i)), nil, time.Now())
		}
		enqueue(t, d, "unknown", "", nil, time.Now())
		eventually(t, "all are done", func() bool { return len(pending(t, d)) == 1 })
		mu.Lock()
		defer mu.Unlock()
		for key, n := range ran {
			if n != 1 {
				t.Errorf("job %q ran %d times", key, n)
			}
		}
		if len(ran) != jobs {
			t.Errorf("%d jobs ran, want %d", len(ran), jobs)
		}
	})
}

// TestAShareThatHangsLeavesOthersTheirTurn: many jobs of one share, all due first, run no more than a few at a time.
func TestAShareThatHangsLeavesOthersTheirTurn(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		r := job.NewRunner(d, clock.System{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
		r.Workers, r.PerShare = 6, 2
		var mu sync.Mutex
		running, most, ended := map[string]int{}, map[string]int{}, map[string]int{}
		goOn := make(chan struct{})
		r.Handle("k", func(_ context.Context, j job.Job) error {
			s, _, _ := strings.Cut(j.Key, " ")
			mu.Lock()
			running[s]++
			most[s] = max(most[s], running[s])
			mu.Unlock()
			if s == "hangs" {
				<-goOn
			}
			mu.Lock()
			defer mu.Unlock()
			running[s]--
			ended[s]++
			return nil
		})
		began := time.Now()
		for i := range 30 {
			enqueue(t, d, "k", fmt.Sprintf("hangs %d", i), nil, began.Add(-time.Minute))
		}
		for i := range 10 {
			enqueue(t, d, "k", fmt.Sprintf("answers %d", i), nil, began)
		}
		enqueue(t, d, "k", "alone", nil, began)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- r.Run(ctx) }()
		of := func(share string) (n int) {
			mu.Lock()
			defer mu.Unlock()
			return ended[share]
		}
		eventually(t, "others have their turn", func() bool { return of("answers") == 10 && of("alone") == 1 })
		if after := time.Since(began); after > time.Second {
			t.Errorf("others had their turn after %v", after)
		}
		var waiting int
		if err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
			waiting, err = job.OfShareTx(ctx, tx, "k", "hangs", 100)
			return err
		}); err != nil || waiting != 30 {
			t.Errorf("%d of those that hang are counted (%v)", waiting, err)
		}
		if n, err := job.Count(t.Context(), d, "k"); err != nil || n != 30 {
			t.Errorf("%d are counted in all (%v)", n, err)
		}
		close(goOn)
		eventually(t, "all are done", gone(t, d))
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if most["hangs"] != 2 || most["answers"] > 2 {
			t.Errorf("at once ran %v", most)
		}
	})
}

// looks counts how often the time is asked for, and stops who asks without end.
type looks struct {
	clock.System
	n    atomic.Int64
	stop context.CancelFunc
}

func (l *looks) Now() time.Time {
	if l.n.Add(1) == 1000 {
		l.stop()
	}
	return l.System.Now()
}

// TestALeaseThatRanOutInAFullShareIsWaitedFor, and not looked at again and again.
func TestALeaseThatRanOutInAFullShareIsWaitedFor(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := &looks{stop: cancel}
		r := job.NewRunner(d, c, slog.New(slog.DiscardHandler))
		r.Workers, r.PerShare = 6, 2
		begun, goOn, over := make(chan struct{}, 10), make(chan struct{}), make(chan error, 1)
		r.Handle("k", func(context.Context, job.Job) error { begun <- struct{}{}; <-goOn; return nil })
		for i := range 3 {
			enqueue(t, d, "k", fmt.Sprintf("hangs %d", i), nil, time.Now())
		}
		go func() { over <- r.Run(ctx) }()
		<-begun
		<-begun
		if err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE job SET lease = 1, token = 5 WHERE lease = 0") // as a killed server leaves it
			tx.Notify("job")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		n := c.n.Load()
		close(goOn)
		if n >= 1000 {
			t.Errorf("the runner looked %d times and more in a minute", n)
		} else {
			eventually(t, "all are done", gone(t, d))
		}
		cancel()
		<-over
	})
}

func TestAJobOfARolledBackTransactionDoesNotExist(t *testing.T) {
	dbtest.Bubble(t, job.Migrations(), func(t *testing.T, d *db.DB) {
		boom := errors.New("boom")
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if err := job.EnqueueTx(ctx, tx, "k", "", nil, time.Now()); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) || len(pending(t, d)) != 0 {
			t.Errorf("%v, left: %+v", err, pending(t, d))
		}
	})
}

// TestJobsOfAStoreFromBefore, from when they had no share, have that of their key and run.
func TestJobsOfAStoreFromBefore(t *testing.T) {
	shares := map[string]string{"plain": "", "org item": "org", "org two items": "org", "o'rg  spaces": "o'rg", "ö/x y": "ö/x", "": "", " x": "", "a  ": "a"}
	dbtest.Upgrade(t, job.Migrations()[:1], job.Migrations(), func(t *testing.T, d *db.DB) {
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			id := 0
			for key := range shares {
				id++
				if _, err := tx.Exec(ctx, `INSERT INTO job (id, kind, "key", payload, due, lease, token, generation, claimed, attempts, error)
VALUES ($1, 'k', $2, $3, 0, 0, 0, 1, 0, 0, '')`, id, key, []byte("null")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, d *db.DB) {
		got := map[string]string{}
		err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.Each(ctx, func(row db.Row) error {
				var key, share string
				err := row.Scan(&key, &share)
				got[key] = share
				return err
			}, `SELECT "key", share FROM job`)
		})
		if err != nil || !maps.Equal(got, shares) {
			t.Errorf("the shares are %q, want %q; %v", got, shares, err)
		}
		ran := make(chan string, len(shares))
		defer start(t, d, map[string]job.Handler{"k": func(_ context.Context, j job.Job) error { ran <- j.Key; return nil }})()
		for range shares {
			<-ran
		}
	})
}
