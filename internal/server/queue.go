package server

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport/manage"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// QueueFilter chooses entries of the outbound queue: those that keep to every field that is not zero.
type QueueFilter struct {
	Organization string `json:"organization,omitempty"` // "m-…"
	Message      int64  `json:"message,omitempty"`
	Trace        string `json:"trace,omitempty"`
	From         string `json:"from,omitempty"`
	Recipient    string `json:"recipient,omitempty"`
	Domain       string `json:"domain,omitempty"`
	Held         *bool  `json:"held,omitempty"`
}

// QueueChange asks for a change of the entries that a filter chooses.
type QueueChange struct {
	QueueFilter
	All    bool `json:"all,omitempty"`    // those of the organisation, or of the server; in place of a filter
	Bounce bool `json:"bounce,omitempty"` // tells the senders of what is dropped
}

// QueueEntry is one recipient of a queued message.
type QueueEntry struct {
	Message      int64     `json:"message,string"` // beyond what JSON's readers take for a whole number
	Trace        string    `json:"trace"`
	Organization string    `json:"organization"` // empty for what the server itself writes
	From         string    `json:"from"`         // empty for a bounce
	Recipient    string    `json:"recipient"`
	Domain       string    `json:"domain"`  // of the destination; empty with a gateway
	Gateway      string    `json:"gateway"` // that takes mail for the recipient
	Held         bool      `json:"held"`
	Size         int64     `json:"size"` // bytes of the message
	Queued       time.Time `json:"queued"`
	Due          time.Time `json:"due"` // of the next attempt
	Expires      time.Time `json:"expires"`
	Attempts     int       `json:"attempts"`
	Status       string    `json:"status"` // of the last attempt
	Reply        string    `json:"reply"`
	Host         string    `json:"host"`
}

// QueueEvent is what happened to a message for one recipient.
type QueueEvent struct {
	Time      time.Time `json:"time"`
	Event     string    `json:"event"` // as in the API: QUEUED, DEFERRED …
	Message   int64     `json:"message,string"`
	From      string    `json:"from"`
	Recipient string    `json:"recipient"`
	Gateway   string    `json:"gateway"`
	Attempts  int       `json:"attempts"`
	Status    string    `json:"status"` // of an attempt
	Reply     string    `json:"reply"`
	Host      string    `json:"host"`
	TLS       string    `json:"tls"`
}

// QueuePage is a part of a list, and what to ask for as After for more; that is empty at the end.
type QueuePage[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// queueList asks for a page of the queue, or of a trace.
type queueList struct {
	QueueFilter
	After string `json:"after,omitempty"`
}

// queueCount is how many entries a change was of.
type queueCount struct {
	Count int `json:"count"`
}

// queuePageSize is how many entries or events are asked for at once.
const queuePageSize = 500

// managed is the outbound queue for those who manage it; nil where the server has none.
func (c *core) managed() *manage.Queue {
	if c.queue == nil {
		return nil
	}
	return &manage.Queue{Manager: c.queue, DB: c.db, Directory: c.directory, Audit: c.audit}
}

// queueVerbs adds what operators do to the outbound queue.
func (c *core) queueVerbs(verbs map[string]verb) {
	q := c.managed()
	if q == nil {
		for _, name := range []string{"list", "hold", "release", "retry", "drop", "trace"} {
			verbs["queue-"+name] = typed(func(context.Context, nothing) (nothing, error) {
				return nothing{}, fault.New(fault.Unsupported, fault.None, "this server has no outbound queue")
			})
		}
		return
	}
	change := func(act func(ctx context.Context, r QueueChange) (int, error)) verb {
		return typed(func(ctx context.Context, r QueueChange) (queueCount, error) {
			n, err := act(ctx, r)
			return queueCount{n}, err
		})
	}
	verbs["queue-list"] = typed(func(ctx context.Context, r queueList) (QueuePage[QueueEntry], error) {
		entries, next, err := q.List(ctx, operator, r.choice(), directory.Page{After: r.After, Limit: queuePageSize})
		return pageOf(entries, next, queueEntry), err
	})
	verbs["queue-hold"] = change(func(ctx context.Context, r QueueChange) (int, error) { return q.Hold(ctx, operator, r.choice()) })
	verbs["queue-release"] = change(func(ctx context.Context, r QueueChange) (int, error) { return q.Release(ctx, operator, r.choice()) })
	verbs["queue-retry"] = change(func(ctx context.Context, r QueueChange) (int, error) { return q.Retry(ctx, operator, r.choice()) })
	verbs["queue-drop"] = change(func(ctx context.Context, r QueueChange) (int, error) {
		return q.Drop(ctx, operator, r.choice(), r.Bounce)
	})
	verbs["queue-trace"] = typed(func(ctx context.Context, r queueList) (QueuePage[QueueEvent], error) {
		events, next, err := q.Trace(ctx, operator, directory.OrgID(r.Organization), r.Trace, directory.Page{After: r.After, Limit: queuePageSize})
		if fault.Is(err, fault.NotFound, fault.Message) {
			err = nil // an answer, which the command line tells from a question that it could not ask
		}
		return pageOf(events, next, queueEvent), err
	})
}

func (f QueueFilter) choice() manage.Choice {
	return manage.Choice{
		Organization: directory.OrgID(f.Organization), Message: queue.ID(f.Message), Trace: f.Trace, From: f.From, Recipient: f.Recipient,
		Domain: f.Domain, Held: f.Held,
	}
}

func (r QueueChange) choice() manage.Choice {
	c := r.QueueFilter.choice()
	c.All = r.All
	return c
}

func pageOf[From, To any](from []From, next string, turn func(*From) To) QueuePage[To] {
	page := QueuePage[To]{Items: make([]To, len(from)), Next: next}
	for i := range from {
		page.Items[i] = turn(&from[i])
	}
	return page
}

func queueEntry(e *manage.Entry) QueueEntry {
	return QueueEntry{
		Message: int64(e.Message), Trace: e.Trace, Organization: string(e.OrganizationID), From: e.From, Recipient: e.Recipient,
		Domain: e.Destination.Domain, Gateway: e.Destination.Route, Held: e.Held, Size: e.Size, Queued: e.Queued, Due: e.Due, Expires: e.Expires,
		Attempts: e.Attempts, Status: e.Status, Reply: e.Reply, Host: e.Host,
	}
}

func queueEvent(e *queue.Event) QueueEvent {
	return QueueEvent{
		Time: e.At, Event: manage.EventName(e.Kind), Message: int64(e.Message), From: e.Envelope.From.String(), Recipient: e.Recipient.Address.String(),
		Gateway: e.Recipient.Route, Attempts: e.Attempts, Status: e.Outcome.Status, Reply: e.Outcome.Reply, Host: e.Outcome.Host, TLS: e.Outcome.TLS,
	}
}

// ListQueue returns a page of the entries that f chooses.
func (o *Operator) ListQueue(ctx context.Context, f QueueFilter, after string) (page QueuePage[QueueEntry], err error) {
	return page, o.do(ctx, "queue-list", queueList{f, after}, &page)
}

// ChangeQueue carries out a change, "hold", "release", "retry" or "drop", and returns how many entries it was of.
func (o *Operator) ChangeQueue(ctx context.Context, change string, r QueueChange) (int, error) {
	var n queueCount
	err := o.do(ctx, "queue-"+change, r, &n)
	return n.Count, err
}

// TraceQueue returns a page of what happened to the messages of a trace, the oldest first; nothing for a trace that is not known. The
// organisation may be empty.
func (o *Operator) TraceQueue(ctx context.Context, organization, trace, after string) (page QueuePage[QueueEvent], err error) {
	return page, o.do(ctx, "queue-trace", queueList{QueueFilter{Organization: organization, Trace: trace}, after}, &page)
}
