package transport

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/message/sieve"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// redirect has the message go to another address as well, as its sender's, and reports whether it does. What arrives without a sender is not
// passed on, nor what was before, for the same address.
func (r *ruler) redirect(ctx context.Context, n *ruling, t target, a *sieve.Redirect, whole []byte) (done bool, err error) {
	tr := r.transport
	to, err := message.ParseAddress(a.To)
	if err != nil || r.sender.From.IsZero() || r.checkPassed(t.address) != nil {
		tr.Log.InfoContext(ctx, "a rule does not pass a message on, which is kept", "recipient", t.address, "to", a.To, "from", r.sender.From.String(), "trace", r.trace)
		return false, nil
	}
	var there reach
	var u *usage
	err = tr.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		found, _, err := tr.recipientTx(ctx, tx, to)
		switch {
		case err == nil:
			if there, err = r.reachTx(ctx, tx, to, found); err != nil {
				return err
			}
		case fault.Is(err, fault.NotFound, fault.Domain):
			there = reach{away: []message.Address{to}}
		case fault.Is(err, fault.NotFound, fault.Address):
			if there, err = r.relayTx(ctx, tx, to, err); err != nil {
				return err
			}
		default:
			return err
		}
		if len(there.away) > 0 {
			if err := r.mayLeaveTx(ctx, tx, r.sender.From, to); err != nil {
				return err
			}
			if err := tr.Queue.RoomTx(ctx, tx, t.organization, int64(len(whole)), !r.sender.Submitted); err != nil {
				return err
			}
		}
		u, err = tr.ownUsageTx(ctx, tx, t, there.organization)
		return err
	})
	if err == nil {
		err = r.callOut(ctx, &there, to)
	}
	if err == nil {
		done, err = r.pass(ctx, t, &there, r.edit(a.Message, t, whole))
	}
	if fault.As(err) != nil {
		tr.Log.InfoContext(ctx, "a rule can't pass a message on, which is kept", "recipient", t.address, "to", a.To, "trace", r.trace, "error", err)
		return false, nil
	}
	if done && u != nil {
		n.then = append(n.then, tr.countOwn(u))
	}
	return done, err
}

// edit is the message that is passed on as it was edited, without the mailbox's own lines; nil as it came.
func (r *ruler) edit(edited []byte, t target, whole []byte) []byte {
	if edited == nil || !r.spend(edited, whole) {
		if t.copied != nil {
			return t.copied.body
		}
		return nil
	}
	own, end := whole[:len(whole)-len(r.base(t))], message.HeaderEnd(edited)
	if i := bytes.Index(edited[:end], own); i >= 0 {
		return slices.Concat(edited[:i], edited[i+len(own):])
	}
	return slices.Concat(message.WithoutFields(edited[:end], "return-path"), edited[end:]) // some of its lines were edited too
}

// pass has the message go where an address leads, and reports whether that is anywhere. Faults: those of mailboxes that can't take it.
func (r *ruler) pass(ctx context.Context, t target, there *reach, body []byte) (done bool, err error) {
	tr := r.transport
	for _, to := range there.targets {
		if i := slices.IndexFunc(r.targets, func(o target) bool { return o.mailbox == to.mailbox }); i >= 0 {
			// One that sent it here and did not keep it would not have it.
			other := r.rulings[to.mailbox]
			done = done || to.mailbox != t.mailbox && (other == nil || len(other.filings) > 0)
			continue
		}
		if len(r.targets) >= tr.Limits.Mailboxes {
			return done, limitFault("the message goes to as many mailboxes as it can")
		}
		if err := tr.Mailboxes.CheckRoom(ctx, to.mailbox, int64(len(r.plain))); err != nil {
			return done, err
		}
		to.copied = &copied{via: t.address, organization: t.organization, body: body}
		r.targets = append(r.targets, to)
		done = true
	}
	o := outgoing{organization: t.organization, id: t.id, via: t.address, body: body}
	notify := queue.OnFailure
	if !r.sender.Submitted && !r.proven() { // see forward
		notify = queue.Never
	}
	original := t.address
	if a, err := message.ParseAddress(t.address); err == nil {
		original = dsn.EncodeOriginal(a)
	}
	for _, a := range there.away {
		if p := (passage{t.organization, a}); !r.sent[p] {
			r.sent[p] = true
			o.to = append(o.to, queue.Recipient{Address: a, Original: original, Notify: notify, Route: cmp.Or(there.route, tr.Route)})
		}
		done = true
	}
	switch {
	case len(o.to) == 0:
	case len(r.forwards) >= maxForwards:
		return done, limitFault("the message is passed on as often as it can")
	default:
		r.forwards = append(r.forwards, o)
	}
	return done, nil
}

// ownUsageTx is what passing a message on to somebody of an organisation, or replying, takes of the limits of a day of the mailbox's user; nil where
// nothing is limited. Faults: Limit Allowance.
func (t *Transport) ownUsageTx(ctx context.Context, tx *db.Tx, of target, to int64) (*usage, error) {
	if !t.Daily.on() {
		return nil, nil
	}
	a, err := message.ParseAddress(of.address)
	if err != nil {
		return nil, err
	}
	e, _, err := t.recipientTx(ctx, tx, a)
	if err != nil {
		return nil, err
	}
	o, err := t.Directory.OrganizationByKeyTx(ctx, tx, of.organization)
	if err != nil {
		return nil, err
	}
	before, err := t.usageTx(ctx, tx, o, &e.Entity, a)
	if err != nil {
		return nil, err
	}
	after := before.with(to)
	return &after, t.lookTx(ctx, tx, *before, after)
}

// countOwn returns what counts a usage that was looked at. What others took of the limit meanwhile doesn't matter.
func (t *Transport) countOwn(u *usage) func(context.Context, *db.Tx) error {
	now := t.Clock.Now()
	return func(ctx context.Context, tx *db.Tx) error {
		err := t.countTx(ctx, tx, t.shares(*u), now)
		if fault.Is(err, fault.Limit, fault.Allowance) {
			return nil
		}
		return err
	}
}

// rejected is what senders are told where a script's reason can't be.
const rejected = "the recipient does not accept the message"

// reject refuses the message (RFC 5429), where that is for all of it: Denied Message. Otherwise its sender is told, if it is the sender's; what has no
// sender is kept: it reports whether anything was done.
func (r *ruler) reject(n *ruling, t target, reason string) (done bool, err error) {
	reason = strings.Join(strings.Fields(reason), " ")
	if len(reason) > 400 || reason == "" || strings.ContainsFunc(reason, func(c rune) bool { return c < ' ' || c > '~' }) {
		reason = rejected
	}
	if len(r.accepted) == 1 && len(r.targets) == 1 && len(r.forwards)+len(r.remote)+len(r.reports) == 0 && r.resumed == nil {
		n.bounce(t, reason)
		r.tellNow(r.mailboxEvents)
		return true, fault.New(fault.Denied, fault.Message, "%s", reason)
	}
	if r.sender.From.IsZero() {
		return false, nil
	}
	n.bounce(t, reason)
	if r.forged() {
		return true, nil
	}
	for i := range r.accepted {
		a := &r.accepted[i]
		if !slices.ContainsFunc(a.reach.targets, func(o target) bool { return o.mailbox == t.mailbox }) {
			continue
		}
		if a.asked.Notify == 0 || a.asked.Notify&queue.OnFailure != 0 {
			n.then = append(n.then, r.order(r.header, success{To: []queue.Recipient{a.asked}, Failure: reason, Status: blockedStatus}))
		}
		break
	}
	return true, nil
}

// rejects reports whether the rules of the only mailbox that a recipient leads to reject the message.
func (x *Transaction) rejects(a *recipient) bool {
	if len(a.reach.targets) != 1 {
		return false
	}
	n := x.rulings[a.reach.targets[0].mailbox]
	return n != nil && n.rejects
}

// bounce notes that the message does not come.
func (n *ruling) bounce(t target, reason string) {
	n.filings, n.rejects, n.answers = nil, true, true // there is no other answer
	n.act(t, "REJECT", mailEvent{})
	n.events = append(n.events, mailEvent{Name: "INCOMING_EMAIL_BOUNCED", Bounced: &bounced{Address: t.address, Reason: reason, Status: blockedStatus}})
}

// tellNow tells events of a message that is not stored. The refusal stands even where it can't be told.
func (r *ruler) tellNow(of func(org int64, about mailEvent) []any) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.deadline), toldTimeout)
	defer cancel()
	if told := r.tell(r.header, of); told != nil {
		if err := r.transport.DB.Write(ctx, told); err != nil {
			r.transport.Log.ErrorContext(ctx, "a refusal is not told", "error", err)
		}
	}
}

// own are the addresses of a mailbox's user that stand in the header, and the primary one.
func (r *ruler) own(ctx context.Context, t target) (list []string, err error) {
	err = r.transport.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		list = nil
		e, err := r.transport.userTx(ctx, tx, t)
		if err != nil || e == nil {
			return err
		}
		list = append(list, e.Email)
		return r.transport.eachOwnTx(ctx, tx, t, r.header, func(a message.Address) bool {
			list = append(list, a.String())
			return true
		})
	})
	return list, err
}

// userTx finds whose mailbox it is; nil where the address leads elsewhere by now.
func (t *Transport) userTx(ctx context.Context, tx *db.Tx, of target) (*directory.Entity, error) {
	a, err := message.ParseAddress(of.address)
	if err != nil {
		return nil, nil
	}
	found, _, err := t.recipientTx(ctx, tx, a)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	if err != nil || found.Entity.Mailbox != int64(of.mailbox) {
		return nil, nil
	}
	return &found.Entity, nil
}
