package job_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/job"
)

// order is one enqueueing: after a pause, of a key, due a while later.
type order struct {
	pause, due time.Duration
	key        string
}

// course is what an attempt does: it takes a time, then succeeds or not.
type course struct {
	takes time.Duration
	fails bool
}

// watch sees every attempt and holds them to what the package promises.
type watch struct {
	mu      sync.Mutex
	running map[string]bool
	// done is, by key, the start of the last attempt that succeeded and the payload it saw.
	done    map[string]attempt
	courses []course // taken in turn, then all succeed at once
	faults  []string
}

type attempt struct {
	began   time.Time
	payload int
}

func (w *watch) handle(ctx context.Context, j job.Job) error {
	w.mu.Lock()
	if w.running[j.Key] {
		w.faults = append(w.faults, "two attempts of "+j.Key+" at once")
	}
	w.running[j.Key] = true
	a := attempt{began: time.Now()}
	if err := j.Decode(&a.payload); err != nil {
		w.faults = append(w.faults, err.Error())
	}
	if a.began.Before(j.Due) {
		w.faults = append(w.faults, fmt.Sprintf("%s began %v early", j.Key, j.Due.Sub(a.began)))
	}
	var c course
	if len(w.courses) > 0 {
		c, w.courses = w.courses[0], w.courses[1:]
	}
	w.mu.Unlock()
	<-time.After(c.takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[j.Key] = false
	if c.fails {
		return errors.New("this attempt was to fail")
	}
	w.done[j.Key] = a
	return nil
}

// plan is what a run of the test does.
type plan struct {
	orders  []order
	courses []course
}

func drawPlan(r *rapid.T) plan {
	pauses := rapid.Custom(func(r *rapid.T) time.Duration {
		return time.Duration(rapid.IntRange(0, 12).Draw(r, "tens of seconds")) * 10 * time.Second
	})
	return plan{
		orders: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) order {
			return order{pauses.Draw(r, "pause"), pauses.Draw(r, "due"), rapid.SampledFrom([]string{"a", "b"}).Draw(r, "key")}
		}), 1, 8).Draw(r, "orders"),
		courses: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) course {
			return course{pauses.Draw(r, "takes"), rapid.Bool().Draw(r, "fails")}
		}), 0, 8).Draw(r, "courses"),
	}
}

// TestNoOrderIsLost enqueues at random while attempts last, fail and succeed: after the last order of each key an attempt has
// begun that saw its payload and succeeded, never two of a key ran at once, and nothing is left.
func TestNoOrderIsLost(t *testing.T) {
	for name, o := range map[string]db.Options{
		"sqlite":   {Path: filepath.Join(t.TempDir(), "x.db")},
		"postgres": {URL: dbtest.PostgresURL(t, job.Migrations())},
	} {
		o.NoSync, o.Migrations = true, job.Migrations()
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				p := drawPlan(r)
				var faults []string
				synctest.Test(t, func(t *testing.T) { faults = p.perform(t, o) })
				for _, fault := range faults {
					r.Error(fault)
				}
			})
		})
	}
}

// perform runs the plan and returns what went wrong.
func (p plan) perform(t *testing.T, o db.Options) []string {
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	w := &watch{running: map[string]bool{}, done: map[string]attempt{}, courses: p.courses}
	defer start(t, d, map[string]job.Handler{"k": w.handle})()
	last := map[string]attempt{}
	for i, o := range p.orders {
		<-time.After(o.pause)
		enqueue(t, d, "k", o.key, i, time.Now().Add(o.due))
		last[o.key] = attempt{time.Now(), i}
	}
	for began := time.Now(); len(pending(t, d)) > 0; <-time.After(10 * time.Second) {
		if time.Since(began) > 24*time.Hour {
			return []string{"jobs are left after a day"}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, ordered := range last {
		if ran := w.done[key]; ran.payload != ordered.payload || ran.began.Before(ordered.began) {
			w.faults = append(w.faults, fmt.Sprintf("key %s was last ordered as %+v and last done as %+v", key, ordered, ran))
		}
	}
	return w.faults
}
