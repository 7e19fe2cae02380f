// Package queuetest is a queue in memory for tests of what manages one. Nothing in it is ever sent.
package queuetest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Queue is a queue.Manager. The zero value is empty.
type Queue struct {
	// Fails, where it is not nil, is what changes answer after the first entry.
	Fails error

	mu      sync.Mutex
	entries []queue.Entry // guarded by mu
	events  []queue.Event // guarded by mu
	number  int64         // guarded by mu
}

// Add queues entries as they are, but for their numbers, which it gives where they are 0.
func (q *Queue) Add(entries ...queue.Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		q.number++
		e.Delivery = cmp.Or(e.Delivery, q.number)
		e.Message = cmp.Or(e.Message, queue.ID(e.Delivery))
		q.entries = append(q.entries, e)
		q.happen(queue.Queued, e)
	}
}

// Happen adds an event of an entry.
func (q *Queue) Happen(kind queue.EventKind, e queue.Entry, o queue.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.happen(kind, e)
	q.events[len(q.events)-1].Outcome = o
}

func (q *Queue) happen(kind queue.EventKind, e queue.Entry) {
	from, to := address(e.From), address(e.Recipient)
	q.events = append(q.events, queue.Event{
		Envelope: queue.Envelope{Organization: e.Organization, Trace: e.Trace, From: from}, Message: e.Message,
		Recipient: queue.Recipient{Address: to, Route: e.Destination.Route}, Kind: kind, At: e.Queued.Add(time.Duration(len(q.events)) * time.Second),
		Attempts: e.Attempts,
	})
}

func address(s string) message.Address {
	local, domain, _ := strings.Cut(s, "@")
	return message.Address{Local: local, Domain: domain}
}

func chosen(f queue.Filter, e queue.Entry) bool {
	return (f.Organization == 0 || f.Organization == e.Organization) && (f.Message == 0 || f.Message == e.Message) &&
		(f.Trace == "" || f.Trace == e.Trace) && (f.From == "" || strings.EqualFold(f.From, e.From)) &&
		(f.Recipient == "" || strings.EqualFold(f.Recipient, e.Recipient)) && (f.Domain == "" || f.Domain == e.Destination.Domain) &&
		(f.Held == nil || *f.Held == e.Held)
}

// List returns the chosen entries behind after.
func (q *Queue) List(_ context.Context, f queue.Filter, after queue.Cursor, limit int) (entries []queue.Entry, next queue.Cursor, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if e.Delivery <= after.Delivery || !chosen(f, e) {
			continue
		}
		if len(entries) == limit {
			return entries, queue.Cursor{Delivery: entries[limit-1].Delivery}, nil
		}
		entries = append(entries, e)
	}
	return entries, queue.Cursor{}, nil
}

// change hands the chosen entries to fn, which says whether there is something to do.
func (q *Queue) change(f queue.Filter, kind queue.EventKind, fn func(*queue.Entry) bool) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.entries {
		if e := &q.entries[i]; chosen(f, *e) && fn(e) {
			q.happen(kind, *e)
			if n++; q.Fails != nil {
				return n, q.Fails
			}
		}
	}
	return n, nil
}

// Hold holds the chosen entries.
func (q *Queue) Hold(_ context.Context, f queue.Filter) (int, error) {
	return q.change(f, queue.Held, func(e *queue.Entry) bool {
		was := e.Held
		e.Held = true
		return !was
	})
}

// Release releases the chosen entries.
func (q *Queue) Release(_ context.Context, f queue.Filter) (int, error) {
	return q.change(f, queue.Released, func(e *queue.Entry) bool {
		was := e.Held
		e.Held = false
		return was
	})
}

// Retry makes the chosen entries due when they were queued.
func (q *Queue) Retry(_ context.Context, f queue.Filter) (int, error) {
	return q.change(f, queue.Retried, func(e *queue.Entry) bool {
		e.Due = e.Queued
		return true
	})
}

// Drop removes the chosen entries.
func (q *Queue) Drop(_ context.Context, f queue.Filter, bounce bool) (int, error) {
	gone := map[int64]bool{}
	n, err := q.change(f, queue.Dropped, func(e *queue.Entry) bool {
		gone[e.Delivery] = true
		if bounce {
			q.happen(queue.Told, *e)
		}
		return true
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries = slices.DeleteFunc(q.entries, func(e queue.Entry) bool { return gone[e.Delivery] })
	return n, err
}

// Trace returns the events of a trace.
func (q *Queue) Trace(_ context.Context, organization int64, trace string) (events []queue.Event, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.events {
		if e.Envelope.Trace == trace && (organization == 0 || e.Envelope.Organization == organization) {
			events = append(events, e)
		}
	}
	if events == nil {
		return nil, fault.New(fault.NotFound, fault.Message, "nothing is known of a message with the trace %q", trace)
	}
	return events, nil
}

// Depth counts the entries.
func (q *Queue) Depth(context.Context) (waiting, held int64, oldest time.Time, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if e.Held {
			held++
		} else {
			waiting++
		}
		if oldest.IsZero() || e.Queued.Before(oldest) {
			oldest = e.Queued
		}
	}
	return waiting, held, oldest, nil
}
