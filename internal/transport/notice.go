package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/lazy"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Tell tells the sender of a queued message (RFC 3464). It implements queue.Teller.
func (t *Transport) Tell(ctx context.Context, n *queue.Notice, done func(context.Context, *db.Tx) error) error {
	d := dsn.Notice{
		ID: id.UUID(), Host: t.Hostname, To: n.From, Time: t.Clock.Now(),
		EnvelopeID: n.ID, Arrived: n.Queued, Full: n.Return == queue.ReturnFull, Original: n.Body, Size: n.Size,
	}
	for _, r := range n.Reports {
		d.Recipients = append(d.Recipients, dsn.Recipient{
			Address: r.Recipient.Address, Original: r.Recipient.Original, Action: actions.Get()[r.Action],
			Status: r.Outcome.Status, Reply: r.Outcome.Reply, Host: r.Outcome.Host, Tried: r.Tried, Until: r.Until,
		})
	}
	var a about
	if err := a.read(&n.Envelope); err != nil {
		return err
	}
	deputy, _ := message.ParseAddress(a.Actor) // there is none of what has no actor
	return t.tell(ctx, &d, &notice{deputy: deputy, members: isJournal(&n.Envelope), since: n.Queued, trace: n.Trace, requireTLS: n.RequireTLS}, done)
}

var actions = lazy.Value[map[queue.Action]dsn.Action]{Make: func() map[queue.Action]dsn.Action {
	return map[queue.Action]dsn.Action{
		queue.ActionFailed: dsn.Failed, queue.ActionDelayed: dsn.Delayed, queue.ActionDelivered: dsn.Delivered, queue.ActionRelayed: dsn.Relayed,
	}
}}

// tell sends what d says as n, which it completes.
func (t *Transport) tell(ctx context.Context, d *dsn.Notice, n *notice, done func(context.Context, *db.Tx) error) error {
	var b bytes.Buffer
	if err := dsn.Write(&b, d); err != nil {
		return fmt.Errorf("write a notice of message %s: %w", n.trace, err)
	}
	n.to, n.text = d.To, b.Bytes()
	return t.sendNotice(ctx, n, done)
}

// successKind are the jobs that tell senders of mailboxes that took their messages, and of rules that did not let them.
const successKind = "delivered-notice"

// success is what such a job needs.
type success struct {
	From       message.Address   `json:"from"`
	Trace      string            `json:"trace"`
	EnvelopeID string            `json:"envelopeId,omitempty"`
	Arrived    time.Time         `json:"arrived"`
	RequireTLS bool              `json:"requireTLS,omitempty"`
	Actor      string            `json:"actor,omitempty"` // as in about
	Header     []byte            `json:"header"`          // of the message, cut
	To         []queue.Recipient `json:"to"`
	// Failure, where it is not empty, is why they do not get it, and Status its code.
	Failure  string            `json:"failure,omitempty"`
	Status   string            `json:"status,omitempty"`
	Expanded []queue.Recipient `json:"expanded,omitempty"`
}

// maxNoticeHeader is how much of a header a notice of success brings back.
const maxNoticeHeader = 8 << 10

// successes returns what orders a notice for the recipients here whose sender wants to hear of success, in the transaction that
// stores the message, whose header is given; nil where nobody does (RFC 3461 section 5.2.1).
func (x *Transaction) successes(header []byte) func(context.Context, *db.Tx) error {
	var s success
	if s.To, s.Expanded = x.Succeeded(); len(s.To)+len(s.Expanded) == 0 {
		return nil
	}
	return x.order(header, s)
}

// order returns what orders a notice.
func (x *Transaction) order(header []byte, s success) func(context.Context, *db.Tx) error {
	s.From, s.EnvelopeID, s.RequireTLS, s.Actor, s.Arrived = x.sender.From, x.sender.EnvelopeID, x.sender.RequireTLS, x.actor, x.transport.Clock.Now()
	s.Trace = x.trace
	s.Header = header[:min(message.HeaderEnd(header), maxNoticeHeader)]
	return func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, successKind, id.UUID(), s, x.transport.Clock.Now())
	}
}

// tellSuccess tells once, whatever befalls: the job notes it in the transaction of the notice.
func (t *Transport) tellSuccess(ctx context.Context, j job.Job) error {
	var told bool
	if found, err := j.Progress(&told); err != nil || found && told {
		return err
	}
	var s success
	if err := j.Decode(&s); err != nil {
		return err
	}
	d := dsn.Notice{
		ID: id.UUID(), Host: t.Hostname, To: s.From, Time: t.Clock.Now(), EnvelopeID: s.EnvelopeID, Arrived: s.Arrived,
		Original: bytes.NewReader(s.Header), Size: int64(len(s.Header)),
	}
	for _, r := range s.To {
		told := dsn.Recipient{Address: r.Address, Original: r.Original, Action: dsn.Delivered, Status: "2.1.5"}
		if s.Failure != "" {
			told.Action, told.Status, told.Reply = dsn.Failed, s.Status, s.Failure
		}
		d.Recipients = append(d.Recipients, told)
	}
	for _, r := range s.Expanded {
		d.Recipients = append(d.Recipients, dsn.Recipient{Address: r.Address, Original: r.Original, Action: dsn.Expanded, Status: "2.1.5"})
	}
	deputy, _ := message.ParseAddress(s.Actor) // there is none of what has no actor
	n := &notice{deputy: deputy, since: s.Arrived, trace: s.Trace, requireTLS: s.RequireTLS}
	return t.tell(ctx, &d, n, func(ctx context.Context, tx *db.Tx) error { return j.SaveTx(ctx, tx, true) })
}

// about is what a queued message's events and notices need of it; it travels in queue.Envelope.About.
type about struct {
	Organization directory.OrgID `json:"organization"`
	Sender       string          `json:"sender,omitempty"`
	From         string          `json:"from,omitempty"`
	MessageID    string          `json:"messageId,omitempty"`
	// Actor is an address of the user who submitted the message, whoever it is from.
	Actor string `json:"actor,omitempty"`
	// Held is of a message that waits for a function.
	Held *held `json:"held,omitempty"`
}

func (a *about) read(e *queue.Envelope) error {
	if len(e.About) == 0 {
		return nil
	}
	if err := json.Unmarshal(e.About, a); err != nil {
		return fmt.Errorf("read what is kept of message %s: %w", e.Trace, err)
	}
	return nil
}

// Record tells an organisation's log group that another server took a message, or will not, in the transaction that notes it, and the
// sender of one that waited for a function and does not go on. It is
// queue.Options.Record.
func (t *Transport) Record(ctx context.Context, tx *db.Tx, e queue.Event) error {
	if strings.HasPrefix(e.Recipient.Route, functionRoute) { // nothing left
		return t.heldTx(ctx, tx, &e)
	}
	if isJournal(&e.Envelope) {
		t.countReport(tx, e.Kind)
		return nil
	}
	if e.Envelope.Organization == 0 || len(e.Envelope.About) == 0 || t.Audit == nil || !t.Audit.Ships() {
		return nil
	}
	var told mailEvent
	var a about
	if err := a.read(&e.Envelope); err != nil {
		return err
	}
	recipient := e.Recipient.Address.String()
	switch e.Kind {
	case queue.Sent:
		told = mailEvent{Name: "OUTGOING_EMAIL_SENT", Recipient: recipient, Sender: a.Sender, From: a.From, MessageID: a.MessageID}
	case queue.Bounced, queue.Expired:
		told = bouncedEvent(outgoingBounced, recipient, e.Outcome.Reply, e.Outcome.Status)
	default:
		return nil
	}
	m, err := t.Policy.MonitoringTx(ctx, tx, e.Envelope.Organization)
	if fault.KindOf(err) == fault.NotFound || err == nil && m.LogGroup == "" {
		return nil
	} else if err != nil {
		return err
	}
	return t.Audit.EmitTx(ctx, tx, m.LogGroup, audit.EmailEvents, string(a.Organization), mailRecord{told, e.Envelope.Trace})
}
