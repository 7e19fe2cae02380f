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

// restart ends a server and starts it again on its data.
func (t *target) restart(ctx context.Context) (time.Duration, error) {
	t.forget()
	if err := t.Stop(ctx); err != nil {
		return 0, err
	}
	return t.Start(ctx)
}

func start(ctx context.Context, b *bench, t *target, round int) error {
	ready, err := t.restart(ctx)
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

// steady reads the memory when it no longer changes by more than a hundredth in three times settle, or after 20 s.
func steady(ctx context.Context, t *target) (int64, error) {
	last, same := int64(0), 0
	for range int(20 * time.Second / settle) {
		n, err := settled(ctx, t)
		if err != nil {
			return 0, err
		}
		if difference := max(n-last, last-n); difference <= n/100 {
			same++
		} else {
			last, same = n, 0
		}
		if same == 3 {
			break
		}
	}
	return last, ctx.Err()
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// idle opens connections that idle on their inboxes, weighs them, and delivers to their users one message at a time. The
// server is a fresh one, for what other loads left in a heap would be given back meanwhile. Half as many connections, two
// of each user at least, are opened before and stay: the first of each user leaves tens of megabytes of a hash behind, and
// the others let a garbage collector take them, so that neither is weighed as connections.
func idle(ctx context.Context, b *bench, t *target, round int) error {
	if _, err := t.restart(ctx); err != nil {
		return err
	}
	e := t.Endpoint()
	early, err := assemble(ctx, e, max(b.scale.idle/2, 2*peer.Users))
	defer early.leave()
	if err != nil {
		return err
	}
	before, err := steady(ctx, t)
	if err != nil {
		return err
	}
	crowd, err := assemble(ctx, e, b.scale.idle)
	defer crowd.leave()
	if err != nil {
		return err
	}
	after, err := steady(ctx, t)
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
