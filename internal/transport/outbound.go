package transport

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// mayLeaveTx refuses a recipient that is on another server, or leads there, where the message may not go there: nothing here sends to
// others, or the domain of a user who submits it is a test domain, for which no other server would take it (its name is not ours to
// send from).
func (x *Transaction) mayLeaveTx(ctx context.Context, tx *db.Tx, from, to message.Address) error {
	t := x.transport
	if t.Queue == nil {
		return fault.New(fault.Unsupported, fault.Address, "mail for %s goes to another server; this one is set not to send mail to others (setting outbound)", to)
	}
	if from.IsZero() || !x.sender.Submitted {
		return nil
	}
	test, err := t.Directory.IsTestDomainTx(ctx, tx, message.FoldDomain(from.Domain))
	if err != nil {
		return err
	}
	if test {
		return fault.New(fault.Denied, fault.Address,
			"mail for %s goes to another server, and %s is a test domain: mail from it goes to users of this server alone. Register a domain of your own and send from that", to, from.Domain)
	}
	return nil
}

// sign returns the signatures of the authors' domains, which are to stand in front of a message. Faults: Temporary Message.
func (t *Transport) sign(ctx context.Context, org int64, authors []message.Address, b []byte) (all []byte, err error) {
	if t.Signer == nil {
		return nil, nil
	}
	var signed []string
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
	return all, nil
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
	var away reach
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		away = reach{}
		if r, err = t.recipientTx(ctx, tx, n.to); err == nil && r.Entity.Role == directory.RoleRemote && r.Entity.State == directory.Enabled {
			err = t.awayTx(ctx, tx, n.to, &r.Entity, &away)
		}
		return err
	})
	switch {
	case err != nil && fault.Is(err, fault.NotFound, fault.Domain):
		return t.queueNotice(ctx, n, done)
	case err != nil && (fault.KindOf(err) == fault.NotFound || fault.Is(err, fault.Unsupported, fault.Address)):
		return t.giveUp(ctx, n, err, done)
	case err != nil:
		return err
	case r.Entity.Kind == directory.KindGroup && !n.deputy.IsZero():
		deputy := *n
		deputy.to, deputy.deputy = n.deputy, message.Address{}
		return t.sendNotice(ctx, &deputy, done)
	case len(away.away) > 0:
		there := *n
		there.to = away.away[0]
		return t.queueNotice(ctx, &there, done)
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
	fields, err := t.sign(ctx, 0, []message.Address{{Domain: t.Hostname}}, n.text)
	if err != nil {
		return err
	}
	prepared, err := t.Queue.Prepare(ctx, slices.Concat(fields, n.text))
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
