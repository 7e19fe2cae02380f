package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// mayLeaveTx refuses a recipient on another server where the message may not go there: nothing here sends to others, or the
// sender's domain is a test domain, for which no other server would take it (its name is not ours to send from).
func (x *Transaction) mayLeaveTx(ctx context.Context, tx *db.Tx, from, to message.Address) error {
	t := x.transport
	if t.Queue == nil {
		return fault.New(fault.Unsupported, fault.Address, "%s is on another server; this one is set not to send mail to others (setting outbound)", to)
	}
	if from.IsZero() {
		return nil
	}
	test, err := t.Directory.IsTestDomainTx(ctx, tx, message.FoldDomain(from.Domain))
	if err != nil {
		return err
	}
	if test {
		return fault.New(fault.Denied, fault.Address,
			"%s is on another server, and %s is a test domain: mail from it goes to users of this server alone. Register a domain of your own and send from that", to, from.Domain)
	}
	return nil
}

// enqueue makes the message ready for its recipients on other servers, and returns what writes it into the queue in the
// transaction that takes it in, and what tidies up if that never happens; nil where it has none.
func (x *Transaction) enqueue(ctx context.Context, b []byte, header []byte) (write func(context.Context, *db.Tx) error, discard func(), err error) {
	if len(x.remote) == 0 {
		return nil, func() {}, nil
	}
	t := x.transport
	if b, err = t.sign(ctx, x.organization, x.authors, b); err != nil {
		return nil, nil, err
	}
	prepared, err := t.Queue.Prepare(ctx, b)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be kept for other servers; send it again")
	}
	if x.trace == "" {
		x.trace = id.UUID()
	}
	e := x.envelope(x.organization)
	if e.About, err = json.Marshal(x.about(header)); err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, tx *db.Tx) error {
		_, err := t.Queue.EnqueueTx(ctx, tx, prepared, e, x.remote)
		return err
	}, func() { prepared.Discard(context.WithoutCancel(ctx)) }, nil
}

// about is what is kept of the message with the header in the queue.
func (x *Transaction) about(header []byte) about {
	m := describe(header)
	return about{Organization: directory.OrgID(x.sender.Principal.Organization), Sender: m.Sender, From: m.From, MessageID: m.MessageID, Actor: x.actor}
}

// envelope is the message's in the queue, as an organisation's.
func (x *Transaction) envelope(org int64) queue.Envelope {
	return queue.Envelope{
		Organization: org, Trace: x.trace, From: x.sender.From,
		ID: x.sender.EnvelopeID, Return: x.sender.Return, RequireTLS: x.sender.RequireTLS, SMTPUTF8: x.sender.SMTPUTF8,
	}
}

// sign returns a message with the signatures of its authors' domains in front. Faults: Temporary Message.
func (t *Transport) sign(ctx context.Context, org int64, authors []message.Address, b []byte) ([]byte, error) {
	if t.Signer == nil {
		return b, nil
	}
	var signed []string
	var all []byte
	for _, a := range authors {
		domain := message.FoldDomain(a.Domain)
		if slices.Contains(signed, domain) {
			continue
		}
		signed = append(signed, domain)
		fields, err := t.Signer.Sign(ctx, org, domain, b)
		if err != nil {
			return nil, err
		}
		all = append(all, fields...)
	}
	if len(all) == 0 {
		return b, nil
	}
	return slices.Concat(all, b), nil
}

// notice is a message of the server itself, which nobody answers, and of whose failure nobody is told.
type notice struct {
	to message.Address
	// deputy gets it where to is of a group, whose members did not send what it is about; zero where nobody does.
	deputy message.Address
	// since is when what it is about happened: a mailbox that is full is asked again for patience from then on.
	since      time.Time
	trace      string
	requireTLS bool // as the message it is about (RFC 8689 section 5)
	text       []byte
}

// patience is how long a notice waits for room in its mailbox.
const patience = 14 * 24 * time.Hour

// sendNotice makes a notice durable in one transaction with done. Where nobody can be told, done happens alone.
func (t *Transport) sendNotice(ctx context.Context, n *notice, done func(context.Context, *db.Tx) error) error {
	var r *directory.Recipient
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		r, err = t.recipientTx(ctx, tx, n.to)
		return err
	})
	switch {
	case err != nil && fault.Is(err, fault.NotFound, fault.Domain):
		return t.queueNotice(ctx, n, done)
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return t.giveUp(ctx, n, err, done)
	case err != nil:
		return err
	case r.Entity.Kind == directory.KindGroup && !n.deputy.IsZero():
		deputy := *n
		deputy.to, deputy.deputy = n.deputy, message.Address{}
		return t.sendNotice(ctx, &deputy, done)
	case r.Entity.State != directory.Enabled || r.Entity.Mailbox == 0:
		return t.giveUp(ctx, n, nil, done)
	}
	prefix := "Return-Path: <>\r\nDelivered-To: " + n.to.String() + "\r\n"
	_, err = t.Mailboxes.DeliverWith(ctx, content.Message(n.text, mailbox.Source{Bytes: n.text}), done,
		mailbox.Target{Mailbox: mailbox.ID(r.Entity.Mailbox), Prefix: []byte(prefix)})
	full := fault.Is(err, fault.OverQuota, fault.Mailbox) && t.Clock.Now().Sub(n.since) > patience
	if full || fault.Is(err, fault.State, fault.Mailbox) || fault.Is(err, fault.NotFound, fault.Mailbox) {
		return t.giveUp(ctx, n, err, done)
	}
	return err
}

func (t *Transport) queueNotice(ctx context.Context, n *notice, done func(context.Context, *db.Tx) error) error {
	if t.Queue == nil {
		return t.giveUp(ctx, n, nil, done)
	}
	text, err := t.sign(ctx, 0, []message.Address{{Domain: t.Hostname}}, n.text)
	if err != nil {
		return err
	}
	prepared, err := t.Queue.Prepare(ctx, text)
	if err != nil {
		return err
	}
	err = t.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		recipients := []queue.Recipient{{Address: n.to, Notify: queue.Never, Route: t.Route}}
		e := queue.Envelope{Trace: n.trace, RequireTLS: n.requireTLS, SMTPUTF8: !n.to.IsASCII()}
		if _, err := t.Queue.EnqueueTx(ctx, tx, prepared, e, recipients); err != nil {
			return err
		}
		return done(ctx, tx)
	})
	if err != nil {
		prepared.Discard(context.WithoutCancel(ctx))
		return fmt.Errorf("queue a notice: %w", err)
	}
	return nil
}

// giveUp ends what can't be told to anybody.
func (t *Transport) giveUp(ctx context.Context, n *notice, why error, done func(context.Context, *db.Tx) error) error {
	t.Log.WarnContext(ctx, "a notice reaches nobody", "to", n.to.String(), "trace", n.trace, "error", why)
	return t.DB.Write(ctx, done)
}
