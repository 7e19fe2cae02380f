// Package drive puts load on a server: a closed loop of workers over raw connections that parse no more than they must
// to count, so that on shared processors the server, not the load, is what is measured.
package drive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Worker is one client with its own connection.
type Worker interface {
	// Do makes the i-th operation of the load, counted over all workers, and returns when the server has answered it.
	Do(i int) error
	Close() error
}

// Outcome is what a load came to.
type Outcome struct {
	Done      int             // operations answered well
	Failed    int             // operations refused or broken
	FirstFail error           // the first of them
	Elapsed   time.Duration   // from the first operation to the end of the last
	Latencies []time.Duration // of the operations done, in no order
}

// PerSecond is the rate of operations done.
func (o Outcome) PerSecond() float64 {
	if o.Elapsed <= 0 {
		return 0
	}
	return float64(o.Done) / o.Elapsed.Seconds()
}

// maxFailures ends a load that only fails.
const maxFailures = 100

// Closed makes count operations with n workers, each beginning its next operation when the last is answered. Connections
// are opened before the clock starts. No operation begins after limit; the rate is then of those that were made.
// The error is of opening a worker; failing operations are counted in the Outcome.
func Closed(ctx context.Context, n, count int, limit time.Duration, open func(ctx context.Context, worker int) (Worker, error)) (Outcome, error) {
	workers := make([]Worker, 0, n)
	defer func() {
		for _, w := range workers {
			_ = w.Close() // nothing hangs on how a connection ends
		}
	}()
	for i := range n {
		w, err := open(ctx, i)
		if err != nil {
			return Outcome{}, fmt.Errorf("open worker %d of %d: %w", i+1, n, err)
		}
		workers = append(workers, w)
	}

	var (
		next   atomic.Int64
		mu     sync.Mutex
		sum    Outcome
		group  sync.WaitGroup
		failed atomic.Int64
	)
	start := time.Now()
	for _, w := range workers {
		group.Go(func() {
			var latencies []time.Duration
			var first error
			for ctx.Err() == nil && failed.Load() < maxFailures {
				i := int(next.Add(1)) - 1
				begin := time.Now()
				if i >= count || begin.Sub(start) > limit {
					break
				}
				if err := w.Do(i); err != nil {
					failed.Add(1)
					if first == nil {
						first = err
					}
					var broken *BrokenError
					if errors.As(err, &broken) {
						break
					}
					continue
				}
				latencies = append(latencies, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Done += len(latencies)
			sum.Latencies = append(sum.Latencies, latencies...)
			if sum.FirstFail == nil {
				sum.FirstFail = first
			}
		})
	}
	group.Wait()
	sum.Elapsed = time.Since(start)
	sum.Failed = int(failed.Load())
	if err := ctx.Err(); err != nil {
		return sum, err
	}
	return sum, nil
}

// BrokenError says that a connection can't be used any more, so that its worker stops.
type BrokenError struct{ Err error }

func (e *BrokenError) Error() string { return "connection lost: " + e.Err.Error() }
func (e *BrokenError) Unwrap() error { return e.Err }

func broken(err error) error {
	if err == nil {
		return nil
	}
	return &BrokenError{err}
}
