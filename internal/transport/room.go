package transport

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/netblock"
)

// room is how many bytes of messages may be in memory for one purpose.
type room struct {
	*semaphore.Weighted
	size int64
	wait time.Duration // how long a message waits for it
}

func newRoom(size int64, wait time.Duration) room {
	return room{semaphore.NewWeighted(size), size, wait}
}

// hold waits for room for n bytes, in the order of arrival, and returns what gives it back. Faults: Temporary Message.
func (r *room) hold(ctx context.Context, n int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	return take(ctx, r.Weighted, min(n, r.size))
}

func take(ctx context.Context, from *semaphore.Weighted, n int64) (release func(), err error) {
	if err := from.Acquire(ctx, n); err != nil {
		return nil, fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be stored in time")
	}
	return func() { from.Release(n) }, nil
}

// clientPart is the part of a sharedRoom that one client's messages can have.
const clientPart = 4

// sharedRoom is a room for what takes as long as a client likes: it can fill its share, and nobody else waits behind its messages.
type sharedRoom struct {
	room
	mu      sync.Mutex
	clients map[netip.Addr]*clientRoom // of clients with messages that are here or wait, by network
}

type clientRoom struct {
	*semaphore.Weighted
	messages int
}

func newSharedRoom(size int64, wait time.Duration) *sharedRoom {
	return &sharedRoom{room: newRoom(size, wait), clients: map[netip.Addr]*clientRoom{}}
}

// hold is that of a room, for a message of a client.
func (r *sharedRoom) hold(ctx context.Context, client netip.Addr, n int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	own, leave := r.enter(client)
	ofShare, err := take(ctx, own, min(n, max(r.size/clientPart, 1)))
	if err != nil {
		leave()
		return nil, err
	}
	ofAll, err := r.room.hold(ctx, n)
	if err != nil {
		ofShare()
		leave()
		return nil, err
	}
	return func() { ofAll(); ofShare(); leave() }, nil
}

// enter returns a client's share.
func (r *sharedRoom) enter(client netip.Addr) (own *semaphore.Weighted, leave func()) {
	client = netblock.Of(client).Addr()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.clients[client]
	if s == nil {
		s = &clientRoom{Weighted: semaphore.NewWeighted(max(r.size/clientPart, 1))}
		r.clients[client] = s
	}
	s.messages++
	return s.Weighted, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if s.messages--; s.messages == 0 {
			delete(r.clients, client)
		}
	}
}
