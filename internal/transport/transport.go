package transport

import (
	"context"
	"log/slog"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/trace"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// Options is what a Transport stands on, and its limits. All but Audit, Hostname, Limits, Daily and what stands below them are needed.
type Options struct {
	DB        *db.DB
	Directory *directory.Service
	Policy    *policy.Service
	Mailboxes *mailbox.Store
	Clock     clock.Clock
	Log       *slog.Logger
	// Contents keeps the messages that functions are told of.
	Contents Contents
	// Audit takes the events of the mail of organisations that want them told; nil tells nobody.
	Audit *audit.Log
	// Hostname is the server's name. Mail for <postmaster> without a domain goes to the postmaster of this name, or else of
	// the domain above it, where somebody has that address.
	Hostname string
	Limits   Limits
	Daily    Daily
	// Queue takes messages for other servers; nil refuses them. Route is the gateway that takes them all; empty for where DNS leads.
	Queue Outbound
	Route string
	// Relays are the gateways that take mail for those whom nobody knows here, by their domains: while a domain moves here, for who is still
	// at the old side. Callout asks such a gateway whether it knows them (see courier.Courier.Ask); nil asks nobody.
	Relays  map[string]string
	Callout func(ctx context.Context, route string, to message.Address, probe bool) error
	// Holding takes messages that functions decide on. It is the queue, also where no mail leaves; nil refuses such messages for now.
	Holding Holding
	// Reports takes reports on the domains of organisations, at addresses that nobody has; nil refuses them as those of others.
	Reports *intake.Box
	// Signer signs what goes into the queue; nil leaves it unsigned.
	Signer Signer
	// Rules are the mail flow rules of organisations; nil for none.
	Rules Rules
	// Scripts are the rules of mailboxes, and Replies their automatic replies; nil for none.
	Scripts Scripts
	Replies Replies
	// Journals are the journaling rules of organisations; nil for none. It needs Holding.
	Journals Journals
	// Auth finds out whether mail from other servers is from whom it says; nil lets all of it in unchecked.
	Auth Checker
	// Greylist puts off servers that were never seen; nil puts nobody off.
	Greylist Greylist
	// Judged is told of each message that Auth checked and of what became of it, in the transaction that stores it; of one that is
	// refused in a transaction of its own. It may be nil.
	Judged func(ctx context.Context, tx *db.Tx, v *mailauth.Verdict, d mailauth.Disposition) error
	// Scanner refuses mail for what it holds, also what users submit; nil refuses none.
	Scanner Scanner
	// Spam judges mail from other servers; nil takes all of it for none.
	Spam Filter
	// Traces is told of each message's way; nil tells nobody.
	Traces *trace.Tracer
}

// Checker is package mailauth's.
type Checker interface {
	Check(ctx context.Context, c mailauth.Client, message []byte) *mailauth.Verdict
}

// Signer is package signing's Service.
type Signer interface {
	// Sign returns the fields that are to stand in front of the message, for a domain of the organisation with the key, 0 for the
	// server's own; none for a domain that is not signed for.
	Sign(ctx context.Context, org int64, domain string, message []byte) (fields []byte, err error)
	// Seal returns the ARC set that is to stand in front of a message that is passed on, with what was found of it.
	Seal(ctx context.Context, message []byte, results string, chain arc.Chain) (fields []byte, err error)
}

// Greylist is package gate's.
type Greylist interface {
	// Pass returns what lets a recipient of one message pass, or puts it off: Temporary Client.
	Pass(c mailauth.Client) func(ctx context.Context, to message.Address) error
	// Delivered returns what is to be done in the transaction that stores a message, nil for nothing.
	Delivered(v *mailauth.Verdict) func(context.Context, *db.Tx) error
}

// Outbound is package queue's queue.
type Outbound interface {
	Prepare(ctx context.Context, parts ...[]byte) (*queue.Prepared, error)
	RoomTx(ctx context.Context, tx *db.Tx, organization, size int64, stranger bool) error
	EnqueueTx(ctx context.Context, tx *db.Tx, p *queue.Prepared, e queue.Envelope, to []queue.Recipient) (queue.ID, error)
}

// Holding is package queue's queue.
type Holding interface {
	Outbound
	Elsewhere(size int64) *queue.Prepared
}

// Contents is package flow's.
type Contents interface {
	Prepare(ctx context.Context, front string, b []byte) (*flow.Body, error)
	KeepTx(ctx context.Context, tx *db.Tx, m flow.Told, b *flow.Body) error
	Current(ctx context.Context, id string) (*flow.Content, error)
	DecidedTx(ctx context.Context, tx *db.Tx, id string, revision int64) error
	GivenUpTx(ctx context.Context, tx *db.Tx, id string) error
}

// Limits bound one message. Zero values mean the defaults, which are WorkMail's where it has one.
type Limits struct {
	Recipients int           // recipients of a message; 500
	Mailboxes  int           // mailboxes that a message goes to, once groups are resolved; 1,000, which is also the most
	Received   int           // Received fields that a message arrives with; 50
	Memory     int64         // bytes of messages that are looked at and stored at the same time; 192 MB
	Checked    int64         // bytes of large messages that wait for look-ups and filters at the same time, a quarter of them from one client, and of as many of users; 96 MB
	Wait       time.Duration // how long a message waits for room among those; two minutes
	// Attachments are those of a message, as message.Structure counts them; 500, and below 0 no limit. It must be less than message.MaxParts, beyond which nobody counts.
	Attachments int
}

// MaxAdded is how many bytes a message can grow by on its way into a mailbox: the trace, what a submitted message lacked, and
// each recipient's own lines. The store's limit for a message must lie that much above the limit for what is sent.
const MaxAdded = 16 << 10

// maxMailboxes is how many targets package mailbox stores in one commit.
const maxMailboxes = 1000

func (l Limits) withDefaults() Limits {
	if l.Recipients <= 0 {
		l.Recipients = 500
	}
	if l.Mailboxes <= 0 || l.Mailboxes > maxMailboxes {
		l.Mailboxes = maxMailboxes
	}
	if l.Received <= 0 {
		l.Received = 50
	}
	if l.Attachments == 0 {
		l.Attachments = 500
	}
	if l.Memory <= 0 {
		l.Memory = 192 << 20
	}
	if l.Checked <= 0 {
		l.Checked = 96 << 20
	}
	if l.Wait <= 0 {
		l.Wait = 2 * time.Minute
	}
	return l
}

// Transport takes messages in. It is safe for concurrent use.
type Transport struct {
	Options
	memory   room
	checking *sharedRoom // of strangers
	scanning room        // of users
	ruling   room        // of what rules of mailboxes edit
	signing  room        // of journal reports
	stats    stats
	flow     flowStats
	hanging  hanging // synchronous functions
	knowing  knowing
	cramped  cramped
}

// New returns a transport.
func New(o Options) *Transport {
	o.Limits = o.Limits.withDefaults()
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	l := &o.Limits
	return &Transport{
		Options: o, hanging: hanging{of: map[function]*hang{}}, knowing: knowing{busy: make(chan struct{}, maxKnowing), strangers: map[stranger]mailbox.UID{}},
		memory: newRoom(l.Memory, l.Wait), checking: newSharedRoom(l.Checked, l.Wait), scanning: newRoom(l.Checked, l.Wait), ruling: newRoom(l.Checked, l.Wait), signing: newRoom(l.Checked, l.Wait),
	}
}

// Sender is who sends a message.
type Sender struct {
	// Principal is the user who submits the message; for mail from another server it says from where it comes.
	Principal principal.Principal
	// Submitted says that the principal is a user of this server and may send only what is theirs to send.
	Submitted bool
	// From is the reverse-path, the zero address for messages that nobody wants an answer to.
	From message.Address
	// Hello is how the client calls itself.
	Hello string
	// Listed are the lists in DNS, named by the operator as reasons for Junk E-mail, that have the client.
	Listed []string
	// Taken says that another server (Amazon SES) has taken the message in this one's place: it is not put off, its recipients' mail flow rules
	// can't have it refused, and who can't get it is told of by a notice (Lose).
	Taken bool
	// Also is done in the transaction that stores the message; nil for nothing.
	Also func(ctx context.Context, tx *db.Tx) error
	// Size is the size that the sender announced in bytes, 0 where it did not.
	Size int64
	// EnvelopeID, Return, RequireTLS and SMTPUTF8 are for who passes the message on, and for who tells the sender of it: see
	// queue.Envelope.
	EnvelopeID           string
	Return               queue.Return
	RequireTLS, SMTPUTF8 bool
}

// Transaction is one message on its way in. It belongs to one goroutine.
type Transaction struct {
	transport    *Transport
	sender       Sender
	organization int64 // of the user who submits the message
	accepted     []recipient
	targets      []target
	remote       []queue.Recipient                   // those on other servers whom the sender named
	forwards     []outgoing                          // those whom addresses here lead to
	reports      []intake.Address                    // those that take reports
	unable       []unable                            // those for whom another server took it, and who can't get it
	keep         func(context.Context, *db.Tx) error // keeps the reports in the message; nil where it is not asked for any
	actor        string                              // address of the user who submits the message
	authors      []message.Address                   // those in From of a message that is submitted
	reached      map[mailbox.ID]bool
	greylist     func(context.Context, message.Address) error
	sent         map[passage]bool  // who gets it on other servers
	leaves       string            // the domain from which mail may go to other servers, as was found
	passed       map[string]bool   // see passedFor
	usage        *usage            // nil where no limit of a day counts the message
	watched      map[int64]watched // organisations that were asked for, by key; nil where nothing is told of mail
	trace        string            // of all that is told of the message
	begun        time.Time
	judgement    *judgement           // nil where the message is not checked
	resumed      *held                // nil unless a function decided on the message
	room         map[mailbox.ID]error // whether mailboxes have room for what is resumed, of those that were asked
	opinions     *spam.Judgement      // nil where the message is not judged
	journals     []journalOf          // by which the message is journaled
	rulings      map[mailbox.ID]*ruling
	unwarned     bool // see notice

	// lists is the List-Id of those that get the message through a group.
	lists map[mailbox.ID]string

	// applied are the rules that apply, each once for each recipient.
	applied []*flow.Rule
}

// recipient is one who was accepted.
type recipient struct {
	asked        queue.Recipient // what the sender said of it; groups and aliases don't change that
	address      string
	organization int64 // 0 for one on another server
	passedOn     bool  // it is on another server, or leads there
	reach        reach // all that the address leads to, also what others lead to
	// rules are those that applied: of the sender's organisation, then of the recipient's.
	rules []*flow.Rule
	// failure and its status are what the sender is told where that is something else than of a rule that bounces.
	failure, status string
	// lost is one who can't get the message any more after a function decided; added is one whom that function added.
	lost, added bool
}

// target is a mailbox that the message goes to, and the address that led there.
type target struct {
	mailbox      mailbox.ID
	address      string
	organization int64
	id           directory.OrgID // of the organisation
	copied       *copied         // nil but for one that rules of another mailbox lead to
	// junk says that it goes to the Junk E-mail folder by a rule, neverJunk that a verdict on spam doesn't bring it there.
	junk, neverJunk bool
}

// Begin starts a message. For one that is submitted it checks that the user may send (Denied Entity where not), and from the
// reverse-path (Denied Address).
func (t *Transport) Begin(ctx context.Context, s Sender) (*Transaction, error) {
	x := &Transaction{transport: t, sender: s, trace: id.UUID(), begun: time.Now(), reached: map[mailbox.ID]bool{}, sent: map[passage]bool{}}
	if !s.Submitted {
		return x, nil
	}
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, actor, err := t.actorTx(ctx, tx, s.Principal)
		if err != nil {
			return err
		}
		if !s.From.IsZero() {
			if _, err := t.mayUseTx(ctx, tx, actor, s.From); err != nil {
				return err
			}
		}
		if x.usage, err = t.usageTx(ctx, tx, o, actor, s.From); err != nil {
			return err
		}
		x.organization, x.actor = o.Key, actor.Email
		return x.watchTx(ctx, tx, o.Key, o.ID)
	})
	if err != nil {
		t.tellDenied(s.Principal, err)
		return nil, err
	}
	return x, nil
}

// Trace is the id by which logs, events and the queue know the message.
func (x *Transaction) Trace() string { return x.trace }

// Targets returns how many mailboxes the message goes to so far.
func (x *Transaction) Targets() int { return len(x.targets) }

// Succeeded returns those recipients of a message whom Store has served whose success the sender wants to hear of, as Add was given
// them: none where the sender has no address, or is a stranger, who could name anybody. expanded are groups of whose members some are
// on other servers. One who is there itself is told of by the queue.
func (x *Transaction) Succeeded() (delivered, expanded []queue.Recipient) {
	if x.sender.From.IsZero() || !x.sender.Submitted {
		return nil, nil
	}
	for _, r := range x.accepted {
		switch {
		case r.asked.Notify&queue.OnSuccess == 0, !r.stays(), x.rejects(&r):
		case !r.passedOn:
			delivered = append(delivered, r.asked)
		case r.reach.group != "":
			expanded = append(expanded, r.asked)
		}
	}
	return delivered, expanded
}

// limitFault is what too many of something is answered with.
func limitFault(format string, args ...any) *fault.Error {
	return fault.New(fault.Limit, fault.Address, format, args...)
}
