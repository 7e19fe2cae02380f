package scan

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sync/semaphore"
)

// How many scans run at the same time; clamd has 10 threads unless it is told otherwise.
const (
	userTurns     = 4
	strangerTurns = 5
	networkTurns  = 2 // of those of strangers, for one network
)

// turns are to be had by users, who wait for no stranger, and by strangers, of whom none waits for all that another sends.
type turns struct {
	users, strangers *semaphore.Weighted

	mu       sync.Mutex
	networks map[netip.Addr]*network // that have or wait for a turn
}

type network struct {
	*semaphore.Weighted
	messages int
}

func newTurns() *turns {
	return &turns{users: semaphore.NewWeighted(userTurns), strangers: semaphore.NewWeighted(strangerTurns), networks: map[netip.Addr]*network{}}
}

// take waits for a turn of a user, or else of a network, and returns what gives it back.
func (t *turns) take(ctx context.Context, submitted bool, from netip.Addr) (back func(), err error) {
	if submitted {
		return take(ctx, t.users)
	}
	own, leave := t.enter(from)
	ofNetwork, err := take(ctx, own)
	if err != nil {
		leave()
		return nil, err
	}
	ofAll, err := take(ctx, t.strangers)
	if err != nil {
		ofNetwork()
		leave()
		return nil, err
	}
	return func() { ofAll(); ofNetwork(); leave() }, nil
}

func take(ctx context.Context, from *semaphore.Weighted) (back func(), err error) {
	if err := from.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("clamd: wait for a turn: %w", err)
	}
	return func() { from.Release(1) }, nil
}

// enter returns the turns of a network.
func (t *turns) enter(from netip.Addr) (own *semaphore.Weighted, leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.networks[from]
	if n == nil {
		n = &network{Weighted: semaphore.NewWeighted(networkTurns)}
		t.networks[from] = n
	}
	n.messages++
	return n.Weighted, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if n.messages--; n.messages == 0 {
			delete(t.networks, from)
		}
	}
}
