// Package clock hands time to everything that waits or expires, so that retention, token expiry and retries are tested
// without waiting.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time and waits.
type Clock interface {
	// Now returns the time, in UTC.
	Now() time.Time
	// Sleep waits for d or until ctx ends, and returns ctx's error in the second case.
	Sleep(ctx context.Context, d time.Duration) error
}

// System is the machine's clock.
type System struct{}

// Now returns the machine's time in UTC.
func (System) Now() time.Time { return time.Now().UTC() }

// Sleep waits for d or until ctx ends.
func (System) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Rest waits for the bell, for d to pass by c or for ctx to end, and reports whether it was not the bell.
func Rest(ctx context.Context, c Clock, bell <-chan struct{}, d time.Duration) (slept bool) {
	select {
	case <-bell:
		return false
	default:
	}
	nap, end := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = c.Sleep(nap, d) // whatever ended it, the caller looks
	}()
	select {
	case <-bell:
	case <-over:
		slept = true
	}
	end()
	<-over
	return slept
}

// Fake is a clock that stands until it is moved. It is safe for concurrent use.
type Fake struct {
	mu       sync.Mutex
	now      time.Time
	sleepers map[chan struct{}]time.Time
}

// NewFake returns a clock that stands at now.
func NewFake(now time.Time) *Fake {
	return &Fake{now: now.UTC(), sleepers: map[chan struct{}]time.Time{}}
}

// Now returns where the clock stands.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the clock by d and wakes those whose time has come.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
	for ch, due := range f.sleepers {
		if !due.After(f.now) {
			close(ch)
			delete(f.sleepers, ch)
		}
	}
}

// Sleep waits until the clock was moved past d from now, or until ctx ends.
func (f *Fake) Sleep(ctx context.Context, d time.Duration) error {
	f.mu.Lock()
	if d <= 0 {
		f.mu.Unlock()
		return ctx.Err()
	}
	ch := make(chan struct{})
	f.sleepers[ch] = f.now.Add(d)
	f.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		f.mu.Lock()
		delete(f.sleepers, ch)
		f.mu.Unlock()
		return ctx.Err()
	}
}
