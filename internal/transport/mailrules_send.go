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
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
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
		err = r.mayPass(ctx, t, to, &there)
	}
	if err == nil {
		done, err = r.pass(ctx, t, &there, a.Message, whole)
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

// mayPass holds what is passed on for a mailbox to the outbound rules of its organisation and, into another one here, to DMARC and the inbound rules
// of that, which all ran for other recipients. It may change how the message goes there. Faults: Denied Message.
func (r *ruler) mayPass(ctx context.Context, t target, to message.Address, there *reach) error {
	tr := r.transport
	inside := there.organization == t.organization
	if inside && len(there.away) == 0 {
		return nil
	}
	denied := fault.New(fault.Denied, fault.Message, "it may not be passed on, by a mail flow rule or DMARC")
	author := flow.AuthorOf(r.header)
	passer := author
	if a, err := message.ParseAddress(t.address); err == nil {
		passer = flow.Author{From: []message.Address{a}}
	}
	out, err := r.flowRule(ctx, flow.Outbound, t.organization, to, author, passer)
	switch {
	case err != nil:
		return err
	case out == nil:
	case out.Effect() == flow.RouteToSMTP && len(there.targets) == 0:
		there.route = flow.RouteOf(t.organization, out.Gateway)
	default:
		return denied
	}
	if inside || there.organization == 0 {
		return nil
	}
	in, err := r.flowRule(ctx, flow.Inbound, there.organization, to, author)
	if err != nil {
		return err
	}
	there.targets = slices.Clone(there.targets) // a group's are shared
	for i := range there.targets {
		switch o := &there.targets[i]; {
		case in == nil:
		case in.Effect() == flow.MoveToJunk:
			o.junk = true
		case in.Effect() == flow.BypassSpam:
			o.neverJunk = true
		default:
			return denied
		}
	}
	if in != nil && len(there.targets) == 0 || r.resumed != nil && r.resumed.Forged { // what DMARC asks for is not known any more
		return denied
	}
	if r.judgement == nil {
		return nil
	}
	policy, _ := r.judgement.verdict.Asked()
	if policy == mailauth.PolicyNone {
		return nil
	}
	return tr.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		enforced, err := tr.Policy.EnforcesDMARCTx(ctx, tx, there.organization)
		switch {
		case err != nil || !enforced:
			return err
		case policy == mailauth.PolicyReject:
			return denied
		}
		r.judgement.applied[there.organization] = policy
		return nil
	})
}

// flowRule is the first rule of an organisation that changes what becomes of a message from one of the authors; nil for none.
func (r *ruler) flowRule(ctx context.Context, d flow.Direction, org int64, to message.Address, authors ...flow.Author) (*flow.Rule, error) {
	if r.transport.Rules == nil {
		return nil, nil
	}
	sets, err := r.transport.Rules.Sets(ctx, d, org)
	if err != nil {
		return nil, err
	}
	if set := sets[org]; set != nil && !set.Empty() {
		for _, a := range authors {
			if rule := set.For(a).Rule(to); rule != nil && rule.Effect() != flow.Default {
				return rule, nil
			}
		}
	}
	return nil, nil
}

// edit is the message that is passed on to other servers as it was edited, without the mailbox's own lines; nil as it came. So is what users of
// this server send: edited it would go on signed, and in the name of who never wrote it.
func (r *ruler) edit(edited, whole []byte) []byte {
	if edited == nil || r.sender.Submitted || !r.spend(edited, whole) {
		return nil
	}
	own, end := whole[:len(whole)-len(r.plain)], message.HeaderEnd(edited)
	if i := bytes.Index(edited[:end], own); i >= 0 {
		return slices.Concat(edited[:i], edited[i+len(own):])
	}
	// Some of its lines were edited too.
	return slices.Concat(mailauth.WithoutResults(message.WithoutFields(edited[:end], "return-path"), r.transport.Hostname), edited[end:])
}

// pass has the message go where an address leads, and reports whether that is anywhere: into mailboxes here as it came, as what was found out
// about it goes with it. Faults: those of mailboxes that can't take it.
func (r *ruler) pass(ctx context.Context, t target, there *reach, edited, whole []byte) (done bool, err error) {
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
		to.copied = &copied{via: t.address, organization: t.organization, origin: t.origin()}
		if err := tr.Mailboxes.CheckRoom(ctx, to.mailbox, int64(len(r.plain)+len(r.prefix(to, r.results())))); err != nil {
			return done, err
		}
		r.targets = append(r.targets, to)
		done = true
	}
	o := outgoing{organization: t.organization, id: t.id, via: t.address}
	notify := queue.OnFailure
	if !r.sender.Submitted && !r.proven() { // see forward
		notify = queue.Never
	}
	original := t.address
	if a, err := message.ParseAddress(t.address); err == nil {
		original = dsn.EncodeOriginal(a)
	}
	for _, a := range there.away {
		if !r.sent[passageTo(t.organization, a)] {
			o.to = append(o.to, queue.Recipient{Address: a, Original: original, Notify: notify, Route: cmp.Or(there.route, tr.Route)})
		}
	}
	switch {
	case len(o.to) == 0:
		return done || len(there.away) > 0, nil
	case len(r.forwards) >= maxForwards:
		return done, limitFault("the message is passed on as often as it can")
	}
	for _, to := range o.to {
		r.sent[passageTo(t.organization, to.Address)] = true
	}
	o.body = r.edit(edited, whole)
	r.forwards = append(r.forwards, o)
	return true, nil
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
	alone := len(r.accepted) == 1 && len(r.targets) == 1 && len(r.forwards)+len(r.remote)+len(r.reports)+len(r.unable) == 0
	if alone && r.resumed == nil && !r.sender.Taken {
		n.bounce(t, reason)
		r.tellNow(r.mailboxEvents)
		return true, fault.New(fault.Denied, fault.Message, "%s", reason)
	}
	origin := t.origin()
	i := slices.IndexFunc(r.accepted, func(a recipient) bool {
		return slices.ContainsFunc(a.reach.targets, func(o target) bool { return o.mailbox == origin })
	})
	if r.sender.From.IsZero() || i < 0 {
		return false, nil
	}
	n.bounce(t, reason)
	if asked := r.accepted[i].asked; !r.forged() && (asked.Notify == 0 || asked.Notify&queue.OnFailure != 0) {
		n.then = append(n.then, r.order(r.header, success{To: []queue.Recipient{asked}, Failure: reason, Status: blockedStatus}))
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
	n.events = append(n.events, bouncedEvent(incomingBounced, t.address, reason, blockedStatus))
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
