package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/peer"
)

// perConnection is how many messages are handed in before a client connects anew.
const perConnection = 100

func deliveryLoads() []load {
	var list []load
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, n := range []int{1, 16} {
			name := fmt.Sprintf("deliver-c%d-%dk", n, size>>10)
			list = append(list, load{name: name, run: func(ctx context.Context, b *bench, t *target, round int) error {
				count := b.scale.small
				if size > 4<<10 {
					count = b.scale.large
				}
				if n > 1 {
					count *= 3
				}
				return deliver(ctx, b, t, round, name, n, count, size)
			}})
		}
	}
	return list
}

// deliver hands in count messages, each for one of the users in turn, and then counts them in the mailboxes.
func deliver(ctx context.Context, b *bench, t *target, round int, name string, n, count, size int) error {
	before, err := t.stored(ctx)
	if err != nil {
		return err
	}
	maker := drive.NewMaker(size, fmt.Sprintf("%s.%d", name, round))
	e := t.Endpoint()
	out, err := drive.Closed(ctx, n, count, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		d := &deliverer{ctx: ctx, e: e, maker: maker, to: func(i int) string { return e.Address(peer.User(i)) }}
		return d, d.connect()
	})
	if err != nil {
		return err
	}
	rateErr := b.addRate(round, t.Name(), sectionDelivery, name, out, 1, true)
	return errors.Join(rateErr, t.awaitStored(ctx, before+out.Done))
}

// deliverer is a client that connects anew every perConnection messages.
type deliverer struct {
	ctx   context.Context
	e     peer.Endpoint
	maker *drive.Maker
	to    func(i int) string
	d     *drive.Delivery
	sent  int
	buf   []byte
}

func (d *deliverer) connect() (err error) {
	d.d, err = d.e.Deliver(d.ctx)
	d.sent = 0
	return err
}

func (d *deliverer) Do(i int) error {
	if d.sent == perConnection {
		if err := errors.Join(d.d.Close(), d.connect()); err != nil {
			return &drive.BrokenError{Err: err}
		}
	}
	d.sent++
	to := d.to(i)
	d.buf = d.maker.Append(d.buf[:0], i, to)
	return d.d.Deliver(to, d.buf)
}

func (d *deliverer) Close() error {
	if d.d == nil { // it could not connect anew
		return nil
	}
	return d.d.Close()
}

// stored counts the messages in all users' inboxes.
func (t *target) stored(ctx context.Context) (int, error) {
	if t.counters == nil {
		for i := range peer.Users {
			m, err := t.Endpoint().IMAP(ctx, peer.User(i), 4096)
			if err != nil {
				t.forget()
				return 0, err
			}
			t.counters = append(t.counters, m)
		}
	}
	sum := 0
	for _, m := range t.counters {
		n, err := m.Messages("INBOX")
		if err != nil {
			t.forget() // the next count connects anew
			return 0, fmt.Errorf("count messages: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// forget closes the connections that count.
func (t *target) forget() {
	for _, m := range t.counters {
		_ = m.Close() // nothing hangs on it
	}
	t.counters = nil
}

// awaitStored asks until the inboxes hold as many messages as were acknowledged, for a peer may show them a little later.
func (t *target) awaitStored(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		got, err := t.stored(ctx)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the inboxes hold %d messages, %d were acknowledged", got, want)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
