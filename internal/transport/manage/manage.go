// Package manage is what administrators and operators do to the outbound queue: it knows whose messages are whose, asks that
// a change says which messages it means, and keeps in the audit trail who changed what. The queue itself carries it out.
package manage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Queue is the outbound queue as it is managed. All fields are required.
type Queue struct {
	Manager   queue.Manager
	DB        *db.DB
	Directory *directory.Service
	Audit     *audit.Log
}

// Choice says which entries of the queue are meant: those that keep to every field that is not zero.
type Choice struct {
	// Organization is whose messages are meant. Operators may leave it out; administrators' is always an active one.
	Organization directory.OrgID
	Message      queue.ID
	Trace        string
	From         string // address, without case
	Recipient    string // address, without case
	Domain       string // of the destination, without case
	Held         *bool
	// All is said by a change that means all of the organisation's messages, so that nobody means them by leaving the rest out.
	All bool

	bounce bool // for the audit trail
}

// Entry is an entry of the queue and whose it is; the id is empty for what the server itself writes.
type Entry struct {
	queue.Entry
	OrganizationID directory.OrgID
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// List returns the chosen entries page by page: 100 at once where the page does not say, 1,000 at most. A page may have fewer, or
// none, and be followed by others (queue.Manager).
func (q *Queue) List(ctx context.Context, p principal.Principal, c Choice, page directory.Page) (entries []Entry, next string, err error) {
	f, err := q.filter(ctx, p, c)
	if err != nil {
		return nil, "", err
	}
	after, err := cursor(page)
	if err != nil {
		return nil, "", err
	}
	found, after, err := q.Manager.List(ctx, f, after, limit(page))
	if err != nil {
		return nil, "", err
	}
	if after != (queue.Cursor{}) {
		next = fmt.Sprintf("%d-%d", after.Lane, after.Delivery)
	}
	entries, err = q.named(ctx, found, map[int64]directory.OrgID{0: "", f.Organization: c.Organization})
	return entries, next, err
}

// Hold keeps the chosen entries from being tried until they are released, and returns how many it held.
func (q *Queue) Hold(ctx context.Context, p principal.Principal, c Choice) (int, error) {
	return q.change(ctx, p, "HoldQueuedMessages", c, q.Manager.Hold)
}

// Release lets the chosen entries that are held go on, and returns how many they were.
func (q *Queue) Release(ctx context.Context, p principal.Principal, c Choice) (int, error) {
	return q.change(ctx, p, "ReleaseQueuedMessages", c, q.Manager.Release)
}

// Retry makes the chosen entries due now, and returns how many they were.
func (q *Queue) Retry(ctx context.Context, p principal.Principal, c Choice) (int, error) {
	return q.change(ctx, p, "RetryQueuedMessages", c, q.Manager.Retry)
}

// Drop takes the chosen entries off the queue, and returns how many they were. Their senders are told if bounce says so.
func (q *Queue) Drop(ctx context.Context, p principal.Principal, c Choice, bounce bool) (int, error) {
	c.bounce = bounce
	return q.change(ctx, p, "DropQueuedMessages", c, func(ctx context.Context, f queue.Filter) (int, error) {
		return q.Manager.Drop(ctx, f, bounce)
	})
}

// Trace returns what happened to the messages of a trace, the oldest first, page by page. Operators may leave the organisation out.
// Faults: NotFound Message.
func (q *Queue) Trace(ctx context.Context, p principal.Principal, org directory.OrgID, trace string, page directory.Page) (events []queue.Event, next string, err error) {
	f, err := q.filter(ctx, p, Choice{Organization: org})
	if err != nil {
		return nil, "", err
	}
	told, err := position(page) // how many events the pages before had: new ones come at the end
	if err != nil {
		return nil, "", err
	}
	events, err = q.Manager.Trace(ctx, f.Organization, trace)
	if err != nil {
		return nil, "", err
	}
	events = events[min(int(told), len(events)):]
	if most := limit(page); len(events) > most {
		events, next = events[:most], strconv.FormatInt(told+int64(most), 10)
	}
	return events, next, nil
}

// Depth is how long the queue is, over all organisations.
type Depth struct {
	Waiting, Held int64     // entries
	Oldest        time.Time // when the oldest was queued; zero in an empty queue
}

// Describe tells how long the queue of the server is.
func (q *Queue) Describe(ctx context.Context, p principal.Principal) (d Depth, err error) {
	if err := mayManage(p); err != nil {
		return d, err
	}
	d.Waiting, d.Held, d.Oldest, err = q.Manager.Depth(ctx)
	return d, err
}

// change carries out a change of the chosen entries. It may take several transactions, so its audit record can't stand in one with
// it. The record comes first: nothing is changed without it.
func (q *Queue) change(ctx context.Context, p principal.Principal, operation string, c Choice, act func(context.Context, queue.Filter) (int, error)) (int, error) {
	f, err := q.filter(ctx, p, c)
	if err != nil {
		return 0, err
	}
	whole := f == queue.Filter{Organization: f.Organization}
	if whole != c.All {
		return 0, fault.New(fault.Invalid, fault.None, "say which messages are meant by at least one filter, or say that all are; not both")
	}
	record := audit.Of(p, string(c.Organization), operation, subject(c))
	record.Detail = c.String()
	if err := q.Audit.Record(ctx, record); err != nil {
		return 0, err
	}
	n, err := act(ctx, f)
	if err != nil {
		failed := audit.Refused(p, string(c.Organization), operation, subject(c), err)
		failed.Detail = fmt.Sprintf("after %d entries", n)
		err = errors.Join(err, q.Audit.Record(context.WithoutCancel(ctx), failed))
	}
	return n, err
}

// filter is the choice in the queue's own words.
func (q *Queue) filter(ctx context.Context, p principal.Principal, c Choice) (queue.Filter, error) {
	org, err := q.organization(ctx, p, c.Organization)
	return queue.Filter{
		Organization: org, Message: c.Message, Trace: c.Trace, From: c.From, Recipient: c.Recipient, Domain: message.FoldDomain(c.Domain), Held: c.Held,
	}, err
}

// organization finds the key of an organisation. It must be active for all but operators, who may also mean one that is not, or all
// of them.
func (q *Queue) organization(ctx context.Context, p principal.Principal, id directory.OrgID) (key int64, err error) {
	read := func(_ context.Context, _ *db.Tx, o *directory.Organization) error {
		key = o.Key
		return nil
	}
	switch {
	case p.Kind != principal.Operator:
		return key, q.Directory.View(ctx, p, id, read)
	case id == "":
		return 0, nil
	}
	return key, q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := q.Directory.OrganizationTx(ctx, tx, id)
		if err != nil {
			return err
		}
		return read(ctx, tx, o)
	})
}

func mayManage(p principal.Principal) error {
	if p.Kind == principal.User || p.Kind == principal.Role {
		return fault.New(fault.Denied, fault.None, "a user may not manage the queue")
	}
	return nil
}

// named adds to entries whose they are; ids are the organisations that are known.
func (q *Queue) named(ctx context.Context, found []queue.Entry, ids map[int64]directory.OrgID) ([]Entry, error) {
	entries := make([]Entry, len(found))
	for i, e := range found {
		id, known := ids[e.Organization]
		if !known {
			var err error
			if id, err = q.id(ctx, e.Organization); err != nil {
				return nil, err
			}
			ids[e.Organization] = id
		}
		entries[i] = Entry{e, id}
	}
	return entries, nil
}

// id is the id of an organisation by its key, empty for one that is not known.
func (q *Queue) id(ctx context.Context, key int64) (id directory.OrgID, err error) {
	err = q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := q.Directory.OrganizationByKeyTx(ctx, tx, key)
		if err == nil {
			id = o.ID
		}
		return err
	})
	if fault.Is(err, fault.NotFound, fault.Organization) {
		return "", nil
	}
	return id, err
}

func limit(page directory.Page) int {
	if page.Limit <= 0 {
		return defaultPage
	}
	return min(page.Limit, maxPage)
}

// cursor reads where a page of the queue begins.
func cursor(page directory.Page) (c queue.Cursor, err error) {
	if page.After == "" {
		return c, nil
	}
	lane, delivery, _ := strings.Cut(page.After, "-")
	if c.Lane, err = strconv.ParseInt(lane, 10, 64); err == nil && c.Lane >= 0 {
		if c.Delivery, err = strconv.ParseInt(delivery, 10, 64); err == nil && c.Delivery >= 0 {
			return c, nil
		}
	}
	return queue.Cursor{}, errToken
}

var errToken = &fault.Error{Kind: fault.Invalid, Subject: fault.Token, Message: "the page token is not one that this list gave out; begin again without a token"}

// position reads how many events of a trace the pages before had.
func position(page directory.Page) (int64, error) {
	if page.After == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(page.After, 10, 64)
	if err != nil || n <= 0 {
		return 0, errToken
	}
	return n, nil
}

// subject is what the audit trail calls the object of a change: the message, where one is meant.
func subject(c Choice) string {
	if c.Message == 0 {
		return ""
	}
	return strconv.FormatInt(int64(c.Message), 10)
}

// String is the choice for a reader of the audit trail.
func (c Choice) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("message", subject(c))
	add("trace", c.Trace)
	add("from", c.From)
	add("recipient", c.Recipient)
	add("domain", c.Domain)
	if c.Held != nil {
		add("held", strconv.FormatBool(*c.Held))
	}
	if c.All {
		parts = append(parts, "all")
	}
	if c.bounce {
		parts = append(parts, "bounced")
	}
	return strings.Join(parts, " ")
}

var eventNames = [...]string{
	queue.Queued: "QUEUED", queue.Attempted: "DEFERRED", queue.Sent: "SENT", queue.Bounced: "BOUNCED", queue.Expired: "EXPIRED",
	queue.Held: "HELD", queue.Released: "RELEASED", queue.Retried: "RETRIED", queue.Dropped: "DROPPED", queue.Told: "SENDER_TOLD",
}

// EventName is what a kind of event is called, empty for one that there is not.
func EventName(k queue.EventKind) string {
	if int(k) >= len(eventNames) {
		return ""
	}
	return eventNames[k]
}
