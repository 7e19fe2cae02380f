package transport

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
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
	domain := message.FoldDomain(from.Domain)
	if domain == x.leaves { // as the sender of a message with many recipients, who is in From too
		return nil
	}
	test, err := t.Directory.IsTestDomainTx(ctx, tx, domain)
	if err != nil {
		return err
	}
	if test {
		return fault.New(fault.Denied, fault.Address,
			"mail for %s goes to another server, and %s is a test domain: mail from it goes to users of this server alone. Register a domain of your own and send from that", to, from.Domain)
	}
	x.leaves = domain
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
	// members says that a group's members get it: it is about nothing that one of them may have sent.
	members bool
	// since is when what it is about happened: a mailbox that is full is asked again for patience from then on.
	since      time.Time
	trace      string
	requireTLS bool // as the message it is about (RFC 8689 section 5)
	text       []byte
	// unwarned says that it is about a mailbox that is nearly full: nobody is told if it makes one so.
	unwarned bool
	// author is the user whose automatic reply it is, of an organisation; zero for the server's own notices.
	author       message.Address
	organization int64
	id           directory.OrgID
}

// patience is how long a notice waits for room in its mailbox.
const patience = 14 * 24 * time.Hour

// sendNotice makes a notice durable in one transaction with done. Where nobody can be told, done happens alone.
func (t *Transport) sendNotice(ctx context.Context, n *notice, done func(context.Context, *db.Tx) error) error {
	var r *directory.Recipient
	var there reach
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		there = reach{}
		r, _, err = t.recipientTx(ctx, tx, n.to)
		if err != nil || r.Entity.State != directory.Enabled {
			return err
		}
		switch e := &r.Entity; {
		case e.Kind == directory.KindGroup && n.members:
			return t.membersTx(ctx, tx, n.to, e, &there)
		case e.Role == directory.RoleRemote:
			return t.awayTx(ctx, tx, n.to, e, &there)
		case e.Mailbox != 0:
			there.targets = []target{{mailbox: mailbox.ID(e.Mailbox), address: n.to.String(), organization: e.OrgKey, id: r.Organization}}
		}
		return nil
	})
	switch {
	case err != nil && (fault.Is(err, fault.NotFound, fault.Domain) || fault.Is(err, fault.NotFound, fault.Address) && t.relay(n.to) != ""):
		return t.queueNotice(ctx, n, []message.Address{n.to}, nil, done)
	case err != nil && (fault.KindOf(err) == fault.NotFound || fault.Is(err, fault.Unsupported, fault.Address) || fault.Is(err, fault.State, fault.Address)):
		return t.giveUp(ctx, n, err, done)
	case err != nil:
		return err
	case r.Entity.Kind == directory.KindGroup && !n.deputy.IsZero():
		deputy := *n
		deputy.to, deputy.deputy = n.deputy, message.Address{}
		return t.sendNotice(ctx, &deputy, done)
	case len(there.targets)+len(there.away) == 0:
		return t.giveUp(ctx, n, nil, done)
	}
	return t.deliverNotice(ctx, n, &there, done)
}

// deliverNotice stores a notice in mailboxes, and queues it for those on other servers. Of several mailboxes, those that can't take it do
// without.
func (t *Transport) deliverNotice(ctx context.Context, n *notice, to *reach, done func(context.Context, *db.Tx) error) error {
	x := &Transaction{transport: t, trace: n.trace, reached: map[mailbox.ID]bool{}, sent: map[passage]bool{}, unwarned: n.unwarned}
	var without error
	for _, m := range to.targets {
		if len(to.targets)+len(to.away) > 1 {
			err := t.Mailboxes.CheckRoom(ctx, m.mailbox, int64(len(n.text)))
			switch kind := fault.KindOf(err); {
			case err == nil:
			case kind == fault.OverQuota || kind == fault.State || kind == fault.NotFound:
				t.Log.WarnContext(ctx, "a notice does not reach a member of a group", "to", m.address, "trace", n.trace, "error", err)
				without = err
				continue
			default:
				return err
			}
		}
		x.targets = append(x.targets, m)
	}
	forget, err := x.ruleMailboxes(ctx, n.text, 0)
	defer forget()
	if err != nil {
		return err
	}
	here, done := x.parcels(n.text), inOne(x.ruled(), done)
	switch {
	case len(to.away) > 0 && (t.Queue != nil || len(here) == 0):
		return t.queueNotice(ctx, n, to.away, here, done)
	case len(x.targets) == 0:
		return t.giveUp(ctx, n, without, done)
	case len(here) == 0:
		return t.DB.Write(ctx, done)
	}
	_, err = t.Mailboxes.DeliverParcels(ctx, done, here...)
	full := fault.Is(err, fault.OverQuota, fault.Mailbox) && t.Clock.Now().Sub(n.since) > patience
	if full || fault.Is(err, fault.State, fault.Mailbox) || fault.Is(err, fault.NotFound, fault.Mailbox) {
		return t.giveUp(ctx, n, err, done)
	}
	return err
}

// queueNotice queues a notice for addresses on other servers, and stores it in mailboxes.
func (t *Transport) queueNotice(ctx context.Context, n *notice, to []message.Address, here []mailbox.Parcel, done func(context.Context, *db.Tx) error) error {
	if t.Queue == nil {
		return t.giveUp(ctx, n, nil, done)
	}
	e, author := queue.Envelope{Trace: n.trace, RequireTLS: n.requireTLS}, message.Address{Domain: t.Hostname}
	if !n.author.IsZero() {
		author, e.Organization = n.author, n.organization
		var err error
		if e.About, err = json.Marshal(about{Organization: n.id, From: n.author.String()}); err != nil {
			return err
		}
	}
	fields, err := t.sign(ctx, e.Organization, []message.Address{author}, n.text)
	if err != nil {
		return err
	}
	prepared, err := t.Queue.Prepare(ctx, fields, n.text)
	if err != nil {
		return err
	}
	var recipients []queue.Recipient
	for _, a := range to {
		recipients = append(recipients, queue.Recipient{Address: a, Notify: queue.Never, Route: cmp.Or(t.relay(a), t.Route)})
		e.SMTPUTF8 = e.SMTPUTF8 || !a.IsASCII()
	}
	enqueue := func(ctx context.Context, tx *db.Tx) error {
		if _, err := t.Queue.EnqueueTx(ctx, tx, prepared, e, recipients); err != nil {
			return err
		}
		return done(ctx, tx)
	}
	if len(here) == 0 {
		err = t.DB.Write(ctx, enqueue)
	} else {
		_, err = t.Mailboxes.DeliverParcels(ctx, enqueue, here...)
	}
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
