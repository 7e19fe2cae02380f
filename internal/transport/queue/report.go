package queue

import (
	"context"
	"io"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// Action is what a sender is told of a recipient, in RFC 3464's words (section 2.3.3).
type Action uint8

// The actions.
const (
	ActionFailed    Action = iota // it will not be delivered: refused, or its time is over
	ActionDelayed                 // not yet delivered; attempts go on
	ActionDelivered               // taken over by a mailbox
	ActionRelayed                 // taken over by a server that tells nobody
)

// Report is what a sender is told of one recipient.
type Report struct {
	Recipient Recipient
	Action    Action
	Outcome   Outcome // of the last attempt
	Tried     time.Time
	Until     time.Time // when attempts end; for ActionDelayed
}

// Notice is what the sender of one message is told.
type Notice struct {
	Envelope
	Queued  time.Time
	Size    int64
	Body    io.ReaderAt
	Reports []Report
}

// Teller tells senders. A notice to nobody (Envelope.From is zero) never reaches it.
type Teller interface {
	// Tell makes the notice durable, as a message to its sender, in one transaction with done, which takes it off the list of what
	// is to be told; or returns an error, and is called again later. done may be run more than once and does no I/O.
	Tell(ctx context.Context, n *Notice, done func(context.Context, *db.Tx) error) error
}

// Event is what happened to a message for one recipient.
type Event struct {
	Envelope  Envelope
	Message   ID
	Recipient Recipient
	Kind      EventKind
	Outcome   Outcome // of an attempt
	At        time.Time
	Attempts  int
}

// EventKind says what happened. The numbers are stored.
type EventKind uint8

// The kinds.
const (
	Queued    EventKind = 1
	Attempted EventKind = 2 // deferred: it will be tried again
	Sent      EventKind = 3
	Bounced   EventKind = 4 // refused for good
	Expired   EventKind = 5 // its time was over
	Held      EventKind = 6 // by an operator, as the next ones
	Released  EventKind = 7
	Retried   EventKind = 8
	Dropped   EventKind = 9
	Told      EventKind = 10 // the sender was told of a failure, a delay or a success
)

// ID is a queued message's number: positive, never used again.
type ID int64

// Entry is one recipient of a queued message, as operators see it.
type Entry struct {
	Delivery     int64 // the entry's own number, by which it is held, retried and dropped
	Message      ID
	Organization int64
	Trace        string
	From         string
	Recipient    string
	Destination  Destination
	Held         bool
	Size         int64
	Queued       time.Time
	Due          time.Time // of the next attempt
	Expires      time.Time
	Attempts     int
	Status       string // of the last attempt
	Reply        string
	Host         string
}

// Filter chooses entries; zero fields choose all.
type Filter struct {
	Organization int64
	Message      ID
	Trace        string
	From         string // address, without case
	Recipient    string // address, without case
	Domain       string // of the destination
	Held         *bool
}

// Cursor is where a list goes on. Its fields are for the queue alone.
type Cursor struct{ Lane, Delivery int64 }

// Manager is what operators can do to a queue. All changes are durable when they return, and are recorded as events.
type Manager interface {
	// List returns entries, at most limit, from after on; next is what to pass as after for more, zero at the end. They come in the
	// order of their numbers, and where an organisation, a domain or a recipient is chosen destination by destination. It looks at a
	// bounded number of entries, so there may be fewer than limit, or none, and more to come.
	List(ctx context.Context, f Filter, after Cursor, limit int) (entries []Entry, next Cursor, err error)
	// Hold, Release, Retry and Drop act on the entries that the filter chooses now, a bounded number in each transaction, and
	// return how many that were. Hold keeps an entry from being tried until Release; its time goes on, but it does not expire while
	// held, nor within the hour after Release (60 times Limits.FirstRetry). Retry makes it due now, its destination too. Drop removes it, and nobody is told unless bounce is said.
	Hold(ctx context.Context, f Filter) (int, error)
	Release(ctx context.Context, f Filter) (int, error)
	Retry(ctx context.Context, f Filter) (int, error)
	Drop(ctx context.Context, f Filter, bounce bool) (int, error)
	// Trace returns what happened to the messages of a trace, oldest first, as long as it is remembered. Faults: NotFound Message.
	Trace(ctx context.Context, organization int64, trace string) ([]Event, error)
	// Depth is how many entries wait, are held, and how old the oldest is.
	Depth(ctx context.Context) (waiting, held int64, oldest time.Time, err error)
}
