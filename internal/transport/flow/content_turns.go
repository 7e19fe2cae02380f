package flow

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/pennypost/pennypost/internal/fault"
)

// atOnce is how many new contents are read and looked at at the same time, as each is in memory; one of an organisation, so that none
// waits for all that another puts.
const atOnce = 4

// turns are those who read new contents.
type turns struct {
	all *semaphore.Weighted

	mu            sync.Mutex
	organizations map[int64]*turn // that have or wait for one
}

type turn struct {
	*semaphore.Weighted
	puts int
}

func newTurns() *turns {
	return &turns{all: semaphore.NewWeighted(atOnce), organizations: map[int64]*turn{}}
}

// take waits for an organisation's turn, and returns what gives it back. Fault: Temporary Message.
func (t *turns) take(ctx context.Context, org int64) (back func(), err error) {
	own, leave := t.enter(org)
	if err = own.Acquire(ctx, 1); err == nil {
		if err = t.all.Acquire(ctx, 1); err == nil {
			return func() { t.all.Release(1); own.Release(1); leave() }, nil
		}
		own.Release(1)
	}
	leave()
	return nil, fault.Wrap(err, fault.Temporary, fault.Message, "other messages are being changed; try again")
}

func (t *turns) enter(org int64) (own *turn, leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own = t.organizations[org]
	if own == nil {
		own = &turn{Weighted: semaphore.NewWeighted(1)}
		t.organizations[org] = own
	}
	own.puts++
	return own, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if own.puts--; own.puts == 0 {
			delete(t.organizations, org)
		}
	}
}
