package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/figure"
	"github.com/pennypost/pennypost/bench/peer"
)

// settle is how long a server may tidy up before its memory is read.
const settle = time.Second

// start ends a server and starts it again on its data.
func start(ctx context.Context, b *bench, t *target, round int) error {
	t.forget()
	if err := t.Stop(ctx); err != nil {
		return err
	}
	ready, err := t.Start(ctx)
	if err != nil {
		return err
	}
	b.add(round, t.Name(), took(sectionIdle, "start", "ms to the first greeting"), milliseconds(ready))
	return b.addMemory(ctx, t, round, "start", "MB when idle")
}

// memory reads what the loads before it left.
func memory(ctx context.Context, b *bench, t *target, round int) error {
	t.forget()
	return b.addMemory(ctx, t, round, "memory", "MB after all loads")
}

func (b *bench) addMemory(ctx context.Context, t *target, round int, name, what string) error {
	n, err := settled(ctx, t)
	if err == nil {
		b.add(round, t.Name(), took(sectionIdle, name, what), float64(n)/1e6)
	}
	return err
}

func settled(ctx context.Context, t *target) (int64, error) {
	rest(ctx, settle)
	return t.Memory()
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// idle opens connections that idle on their inboxes, weighs them, and delivers to their users one message at a time. All
// users have signed in once before, so that the memory of their hashes is not weighed as that of connections.
func idle(ctx context.Context, b *bench, t *target, round int) error {
	if _, err := t.stored(ctx); err != nil {
		return err
	}
	t.forget()
	before, err := settled(ctx, t)
	if err != nil {
		return err
	}
	e := t.Endpoint()
	crowd, err := assemble(ctx, e, b.scale.idle)
	defer crowd.leave()
	if err != nil {
		return err
	}
	after, err := settled(ctx, t)
	if err != nil {
		return err
	}
	b.add(round, t.Name(), took(sectionIdle, "idle", "KB per connection"), float64(after-before)/1e3/float64(b.scale.idle))

	d, err := e.Deliver(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing hangs on it
	maker := drive.NewMaker(4<<10, fmt.Sprintf("idle.%d", round))
	var delays []time.Duration
	for i := range b.scale.notices {
		to := e.Address(peer.User(i))
		crowd.hush(i)
		sent := time.Now()
		if err := d.Deliver(to, maker.Append(nil, i, to)); err != nil {
			return err
		}
		told, err := crowd.told(ctx, i)
		if err != nil {
			return err
		}
		delays = append(delays, told.Sub(sent))
	}
	b.add(round, t.Name(), took(sectionIdle, "idle", "ms from sent to notified, median"), milliseconds(figure.Percentile(delays, 0.5)))
	b.add(round, t.Name(), took(sectionIdle, "idle", "ms from sent to notified, 99 %"), milliseconds(figure.Percentile(delays, 0.99)))
	return nil
}

// crowd is many idling connections; connection i belongs to user i modulo peer.Users.
type crowd struct {
	connections []*drive.IMAP
	notices     []chan time.Time // of the first connection of each user
	watching    sync.WaitGroup
}

// assemble opens n connections, a few at a time; those that were opened are in the crowd even after an error.
func assemble(ctx context.Context, e peer.Endpoint, n int) (*crowd, error) {
	c := &crowd{connections: make([]*drive.IMAP, n)}
	errs := make([]error, n)
	room := make(chan struct{}, 2*runtime.NumCPU())
	var opening sync.WaitGroup
	for i := range n {
		opening.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			c.connections[i], errs[i] = idler(ctx, e, peer.User(i))
		})
	}
	opening.Wait()
	for i, m := range c.connections {
		if m == nil {
			continue
		}
		heard := make(chan time.Time, 1)
		if i < peer.Users {
			c.notices = append(c.notices, heard)
		}
		c.watching.Go(func() {
			m.Watch(func(at time.Time) {
				select {
				case heard <- at:
				default: // nobody waits for this connection
				}
			})
		})
	}
	return c, errors.Join(errs...)
}

func idler(ctx context.Context, e peer.Endpoint, user string) (*drive.IMAP, error) {
	m, err := e.IMAP(ctx, user, 4096)
	if err != nil {
		return nil, err
	}
	if _, err = m.Do("SELECT INBOX"); err == nil {
		err = m.Idle()
	}
	if err != nil {
		_ = m.Close() // the error says more
		return nil, err
	}
	return m, nil
}

// hush forgets what the user's first connection was told before.
func (c *crowd) hush(user int) {
	select {
	case <-c.notices[user%peer.Users]:
	default:
	}
}

// told waits until the user's first connection was told of a message.
func (c *crowd) told(ctx context.Context, user int) (time.Time, error) {
	select {
	case at := <-c.notices[user%peer.Users]:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-time.After(10 * time.Second):
		return time.Time{}, fmt.Errorf("%s was not told of a message within 10 s", peer.User(user))
	}
}

// leave closes all connections.
func (c *crowd) leave() {
	for _, m := range c.connections {
		if m != nil {
			_ = m.Close() // nothing hangs on it
		}
	}
	c.watching.Wait()
}
