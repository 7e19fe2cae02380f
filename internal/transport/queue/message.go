package queue

import (
	"context"
	"io"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/message"
)

// Envelope is what is said of a message beside its bytes.
type Envelope struct {
	// Organization is the key of the organisation whose mail it is; 0 for what the server itself writes to strangers.
	Organization int64
	// Trace ties together everything that happens to the message.
	Trace string
	// From is the reverse-path; zero where nobody is to be told of a failure (a bounce, RFC 5321 section 4.5.5).
	From message.Address
	// ID and Return are ENVID and RET of who sent it (RFC 3461 sections 4.3 and 4.4).
	ID     string
	Return Return
	// RequireTLS keeps the message off connections without verified TLS (RFC 8689).
	RequireTLS bool
	// SMTPUTF8 says that an address or a header field may be beyond ASCII (RFC 6531).
	SMTPUTF8 bool
	// Stranger says that another server's client sent it: it has room in half of its organisation's alone (see RoomTx). It is not kept.
	Stranger bool
	// About is what who enqueued the message wants back in Options.Record: a few hundred bytes as a rule, which the queue does not read.
	About []byte
}

// Return is how much of the message its sender wants back.
type Return uint8

// What RET can say.
const (
	ReturnUnsaid Return = iota // the server chooses: the header
	ReturnHeaders
	ReturnFull
)

// Notify says of what the sender wants to be told; zero where it said nothing: of failures, and of delays.
type Notify uint8

// What NOTIFY can say (RFC 3461 section 4.1). Never stands alone.
const (
	OnSuccess Notify = 1 << iota
	OnFailure
	OnDelay
	Never
)

// Recipient is one who is to get a message on another server.
type Recipient struct {
	Address message.Address
	// Original is ORCPT as it was given (RFC 3461 section 4.2), type and all; empty where it was not.
	Original string
	Notify   Notify
	// Route names the gateway that takes mail for the recipient; empty where its domain says who does.
	Route string
	// Expiry is how long attempts go on; 0 for as long as the queue's limits say. It is not kept for those who read the recipient later.
	Expiry time.Duration
}

// Destination is where messages go together: they share connections, and its troubles hold all of them back.
type Destination struct {
	Route  string // as in Recipient
	Domain string // folded (message.FoldDomain); empty with a route
}

// Message is a message on its way to one destination.
type Message struct {
	Envelope
	Recipients []Recipient
	Queued     time.Time
	Attempts   int         // that failed so far, the most of a recipient
	Size       int64       // bytes of Body
	Body       io.ReaderAt // without a byte where they are elsewhere
	// End records outcomes, one for each of the recipients, in a transaction of the courier's own: for what is to happen if and only if
	// they are recorded. Once that is durable Deliver returns the same outcomes. It does no I/O, and may be run more than once.
	End func(ctx context.Context, tx *db.Tx, outcomes []Outcome) error
}

// Courier takes messages to other servers. Several goroutines call it at once, for one destination and for many.
type Courier interface {
	// Deliver offers m to the destination and returns one outcome for each of m's recipients, in their order. It keeps to
	// ctx: when that ends, recipients of whom nothing was heard are Deferred.
	Deliver(ctx context.Context, to Destination, m *Message) []Outcome
}

// Result is what became of an attempt.
type Result uint8

// The results. Delivered means that the other server has taken the message over for good.
const (
	Deferred Result = iota
	Delivered
	Failed
)

// Outcome is what became of an attempt for one recipient.
type Outcome struct {
	Result Result
	// Status is the enhanced status code (RFC 3463): 2.x.y, 4.x.y or 5.x.y, as Result is.
	Status string
	// Reply is what the other server said, code and all, or what went wrong before it could, in words for the sender.
	Reply string
	// Host is the name of the other server; empty where none was reached.
	Host string
	// TLS is how the connection was protected, as "TLSv1.3 verified by DANE"; empty for one in the clear.
	TLS string
	// Tells says that the other server took over to tell the sender what becomes of the message (it has DSN).
	Tells bool
	// Down says that it was not this message or recipient: nothing can be taken there now, so the others need not try either.
	Down bool
	// By is when to try again at the latest, of one that is deferred; zero for when the queue would.
	By time.Time
	// Ours says that the trouble is this server's own, and so nothing was learned of the destination: whether it is down stays as it
	// was. It goes with Deferred, and without Down.
	Ours bool
	// Untried says of one that is deferred that nothing was attempted: it waits as long as after its last failure, and no other is counted.
	Untried bool
}
