package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/stack"
)

const (
	// workers is Runner.Workers unless that is set.
	workers = 4
	// lease is how long a claim holds without renewal; it is renewed every third of it.
	lease = time.Minute
	// look is how often to look for jobs without being told, for those that another server enqueued.
	look = 15 * time.Second
	// firstRetry doubles with each failure up to lastRetry. A job is never given up: List shows it with its error.
	firstRetry = 5 * time.Second
	lastRetry  = time.Hour
)

// Handler does a job. An error makes it run again later. ctx ends when the server stops or the lease is lost; a handler that
// then returns ctx's error has not failed.
type Handler func(ctx context.Context, j Job) error

// Runner claims jobs of the kinds that it has handlers for and runs them, a few at a time. Kinds that wait for something outside of
// the server, such as DNS, belong to a runner of their own Beside it, so that they hold nobody up.
type Runner struct {
	// Workers is how many handlers run at once; 4 where nobody sets it before Run.
	Workers int
	// PerShare is how many of them may run jobs of one share, which is what stands before the first space of their keys. Jobs without a share
	// have no limit, and none has where it is 0.
	PerShare int

	db       *db.DB
	clock    clock.Clock
	log      *slog.Logger
	handlers map[string]Handler
	wake     chan struct{} // holds one notice
	beside   []*Runner
	taken    map[string]bool // the kinds that this one and those beside it have handlers of

	mu      sync.Mutex
	running map[int64]string // the shares of jobs
}

// NewRunner makes a runner; give it its handlers and Run it.
func NewRunner(d *db.DB, c clock.Clock, log *slog.Logger) *Runner {
	return &Runner{Workers: workers, db: d, clock: c, log: log, handlers: map[string]Handler{}, wake: make(chan struct{}, 1), running: map[int64]string{}, taken: map[string]bool{}}
}

// Handle sets the handler of a kind, before Run. Jobs of kinds without a handler wait for a server that has one.
func (r *Runner) Handle(kind string, h Handler) {
	if r.taken[kind] {
		panic("job: kind " + kind + " has a handler already")
	}
	r.taken[kind] = true
	r.handlers[kind] = h
}

// Beside makes a runner whose jobs r runs too, by workers of their own: what it waits for holds up none of r's. It is not Run itself.
// All of them look for what is due in one query, and at rest they cost no more than one.
func (r *Runner) Beside() *Runner {
	b := NewRunner(r.db, r.clock, r.log)
	b.wake, b.taken = r.wake, r.taken
	r.beside = append(r.beside, b)
	return b
}

// Run runs jobs until ctx ends, then waits for the handlers that run and frees their jobs. It returns nil then.
func (r *Runner) Run(ctx context.Context) error {
	defer r.db.OnNotify(channel, r.poke)()
	all := append([]*Runner{r}, r.beside...)
	all = slices.DeleteFunc(all, func(r *Runner) bool { return len(r.handlers) == 0 })
	if err := r.freeAbandoned(ctx, all); err != nil && ctx.Err() == nil {
		return fmt.Errorf("free the jobs of the last run: %w", err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	for ctx.Err() == nil {
		jobs, next, err := r.claim(ctx, all)
		if err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "jobs could not be claimed; trying again", "error", err)
			_ = r.clock.Sleep(ctx, look) // whatever ended it, the loop looks
			continue
		}
		for _, j := range jobs {
			group.Go(func() {
				stack.Deepen()
				j.by.do(ctx, j)
				r.poke()
			})
		}
		if len(jobs) == 0 {
			r.rest(ctx, next)
		}
	}
	return nil
}

// poke makes the runner look again.
func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// rest waits for a notice, for the next due time, or for the time to look anyway.
func (r *Runner) rest(ctx context.Context, next time.Time) {
	wait := look
	if !next.IsZero() {
		wait = min(wait, max(next.Sub(r.clock.Now()), 0))
	}
	clock.Rest(ctx, r.clock, r.wake, wait)
}

// room is how many more handlers may run.
func (r *Runner) room() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.Workers-len(r.running), 0)
}

// kinds returns the arguments of a statement that chooses jobs of the kinds that the runners handle, but not of the shares.
func kinds(runners []*Runner, shares []string, first ...any) []any {
	for _, r := range runners {
		for _, kind := range slices.Sorted(maps.Keys(r.handlers)) {
			first = append(first, kind)
		}
	}
	for _, s := range shares {
		first = append(first, s)
	}
	return first
}

// share is what jobs belong to that have one limit; empty for none.
func share(key string) string {
	s, _, found := strings.Cut(key, " ")
	if !found {
		return ""
	}
	return s
}

// full returns the shares of which no more jobs may begin, in order.
func (r *Runner) full() (shares []string) {
	if r.PerShare <= 0 {
		return nil
	}
	busy := r.busy()
	for _, s := range slices.Sorted(maps.Keys(busy)) {
		if s != "" && busy[s] >= r.PerShare {
			shares = append(shares, s)
		}
	}
	return shares
}

// busy counts what runs by shares.
func (r *Runner) busy() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	busy := map[string]int{}
	for _, s := range r.running {
		busy[s]++
	}
	return busy
}

// claimed is a job and the generation of it that was claimed.
type claimed struct {
	Job
	generation int64
	by         *Runner
}

// do runs one job and records what came of it.
func (r *Runner) do(ctx context.Context, j claimed) {
	defer r.forget(j.ID)
	work, stop := context.WithCancelCause(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() { r.renew(work, stop, j.Job) })
	err := r.call(work, j.Job)
	stop(nil)
	renewal.Wait()

	interrupted := ctx.Err() != nil && errors.Is(err, ctx.Err())
	if err != nil && !interrupted {
		r.log.WarnContext(ctx, "a job failed; it will run again", "kind", j.Kind, "key", j.Key, "attempt", j.Attempts+1, "error", err)
	}
	// The outcome is written even while the server stops.
	if err := r.settle(context.WithoutCancel(ctx), j, err, interrupted); err != nil {
		r.log.ErrorContext(ctx, "a job's outcome could not be written; it will run again", "kind", j.Kind, "key", j.Key, "error", err)
	}
}

func (r *Runner) call(ctx context.Context, j Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "a job's handler panicked", "kind", j.Kind, "key", j.Key, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	return r.handlers[j.Kind](ctx, j)
}

// renew prolongs the lease until ctx ends, and stops the handler when the job is no longer ours.
func (r *Runner) renew(ctx context.Context, stop context.CancelCauseFunc, j Job) {
	for r.clock.Sleep(ctx, lease/3) == nil {
		var n int64
		err := r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, renewSQL, j.ID, j.token, r.clock.Now().Add(lease).UnixMicro())
			return err
		})
		switch {
		case err != nil && ctx.Err() == nil:
			r.log.ErrorContext(ctx, "a job's lease could not be renewed", "kind", j.Kind, "key", j.Key, "error", err)
		case err == nil && n == 0:
			stop(ErrLost)
			return
		}
	}
}

// retryAfter is how long to wait after the given number of failures.
func retryAfter(failures int) time.Duration {
	if failures > 10 { // 5 s doubled ten times is beyond the ceiling
		return lastRetry
	}
	return min(firstRetry<<(max(failures, 1)-1), lastRetry)
}
