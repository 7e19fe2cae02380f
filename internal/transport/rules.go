package transport

import (
	"cmp"
	"context"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Rules is package flow's Service.
type Rules interface {
	// Sets returns the rules of organisations. It must not be called in a transaction.
	Sets(ctx context.Context, d flow.Direction, orgs ...int64) (map[int64]*flow.Set, error)
	// Call calls a function, for as long as that may take. Errors that are faults may be shown to administrators.
	Call(ctx context.Context, arn string, e *flow.Event) ([]byte, error)
}

// blocked is what senders are told of a message that a rule bounces.
const (
	blocked       = "the message was blocked by the administrator"
	blockedStatus = "5.7.1"
)

// applyRules does what the mail flow rules of the sender's organisation, and then those of the recipients', make of a message with the
// header, recipient by recipient. Where all of a message from another server bounces, it is refused: Denied Message.
func (x *Transaction) applyRules(ctx context.Context, header []byte) error {
	out, in, err := x.matchers(ctx, header)
	if err != nil || out == nil && len(in) == 0 && x.resumed == nil {
		return err
	}
	bounced := 0
	for i := range x.accepted {
		r := &x.accepted[i]
		if r.reach.reports != nil { // nobody's mail
			continue
		}
		if out != nil {
			x.apply(r, out.Rule(r.asked.Address))
		}
		action := r.acted() // or what a function decided
		if m := in[r.organization]; m != nil && action == flow.Default && !r.lost && !x.refuses(r.organization) {
			action = x.apply(r, m.Rule(r.asked.Address))
		}
		if action == flow.RouteToSMTP && x.transport.Queue == nil {
			return fault.New(fault.Unsupported, fault.Message, "the rule %q sends the message through an SMTP gateway, and this server is set not to send mail to others (setting outbound)", r.rules[0].Name)
		}
		if action == flow.Bounce {
			bounced++
		}
		if len(r.rules) > 0 {
			x.transport.Log.InfoContext(ctx, "a mail flow rule applies", "trace", x.trace, "rule", r.rules[len(r.rules)-1].Name, "action", action,
				"from", x.sender.From.String(), "recipient", r.address)
		}
	}
	if bounced == len(x.accepted) && !x.sender.Submitted && !x.sender.Taken && x.resumed == nil {
		if told := x.tell(header, x.ruleEvents); told != nil {
			if err := x.transport.DB.Write(ctx, told); err != nil { // the refusal stands even where it can't be told
				x.transport.Log.ErrorContext(ctx, "a refusal is not told", "error", err)
			}
		}
		x.transport.flow.count(x.applied)
		return fault.New(fault.Denied, fault.Message, "%s", blocked)
	}
	if err := x.mayRoute(ctx); err != nil {
		return err
	}
	x.redirect()
	return nil
}

// matchers are the rules that may act on the message: of the organisation whose user sends it, nil for none, and of recipients' ones.
func (x *Transaction) matchers(ctx context.Context, header []byte) (out *flow.Matcher, in map[int64]*flow.Matcher, err error) {
	t := x.transport
	if t.Rules == nil {
		return nil, nil, nil
	}
	var senders, receivers []int64
	if x.sender.Submitted && x.resumed == nil {
		senders = append(senders, x.organization)
	}
	for _, r := range x.accepted {
		if x.resumed != nil && x.resumed.Direction == flow.Inbound {
			break
		}
		if r.organization != 0 && !slices.Contains(receivers, r.organization) {
			receivers = append(receivers, r.organization)
		}
	}
	outs, err := t.Rules.Sets(ctx, flow.Outbound, senders...)
	if err != nil {
		return nil, nil, err
	}
	ins, err := t.Rules.Sets(ctx, flow.Inbound, receivers...)
	if err != nil {
		return nil, nil, err
	}
	author := flow.Author{}
	for _, sets := range []map[int64]*flow.Set{outs, ins} {
		for org, set := range sets {
			if set.Empty() {
				continue
			}
			if author.From == nil && author.Sender == nil {
				author = flow.AuthorOf(header)
			}
			if m := set.For(author); set.Direction() == flow.Outbound {
				out = m
			} else {
				if in == nil {
					in = map[int64]*flow.Matcher{}
				}
				in[org] = m
			}
		}
	}
	return out, in, nil
}

// apply notes that a rule acts for the recipient, and returns what that means: Default where there is none.
func (x *Transaction) apply(r *recipient, rule *flow.Rule) flow.Action {
	if rule == nil {
		return flow.Default
	}
	r.rules = append(r.rules, rule)
	x.applied = append(x.applied, rule)
	return rule.Effect()
}

// countRules returns what counts the rules that applied, once the message is stored; nil for none.
func (x *Transaction) countRules() func(context.Context, *db.Tx) error {
	if len(x.applied) == 0 {
		return nil
	}
	return func(_ context.Context, tx *db.Tx) error {
		tx.OnCommit(func() { x.transport.flow.count(x.applied) })
		return nil
	}
}

// mayRoute refuses a message that a rule sends through a gateway for recipients of this server, where it may not leave; and counts these as
// recipients elsewhere. Faults: those of Add.
func (x *Transaction) mayRoute(ctx context.Context) error {
	var routed []*recipient
	for i := range x.accepted {
		if r := &x.accepted[i]; r.acted() == flow.RouteToSMTP && !r.passedOn {
			routed = append(routed, r)
		}
	}
	if len(routed) == 0 {
		return nil
	}
	if x.usage != nil {
		for _, r := range routed {
			if r.organization == x.usage.organization {
				x.usage.external++
			}
		}
	}
	return x.transport.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, from := range append([]message.Address{x.sender.From}, x.authors...) {
			if err := x.mayLeaveTx(ctx, tx, from, routed[0].asked.Address); err != nil {
				return err
			}
		}
		return nil
	})
}

// acted is what the rules make of the message for the recipient: the last that applied says it.
func (r *recipient) acted() flow.Action {
	if len(r.rules) == 0 {
		return flow.Default
	}
	return r.rules[len(r.rules)-1].Effect()
}

// stays reports whether the message goes where it would without rules.
func (r *recipient) stays() bool {
	switch r.acted() {
	case flow.Drop, flow.Bounce, flow.RouteToSMTP, flow.RunLambda:
		return false
	}
	return !r.lost
}

// redirect settles anew who gets the message, once rules were applied.
func (x *Transaction) redirect() {
	x.targets, x.remote, x.forwards = x.targets[:0], nil, nil
	clear(x.reached)
	clear(x.sent)
	for i := range x.accepted {
		r := &x.accepted[i]
		action := r.acted()
		if action == flow.RouteToSMTP {
			x.route(r.asked, flow.RouteOf(x.organization, r.rules[len(r.rules)-1].Gateway))
		}
		if !r.stays() || x.refuses(r.organization) {
			continue
		}
		for _, t := range r.reach.targets {
			if !x.reached[t.mailbox] {
				x.reached[t.mailbox] = true
				t.junk, t.neverJunk = action == flow.MoveToJunk, action == flow.BypassSpam
				x.targets = append(x.targets, t)
			}
		}
		whose := cmp.Or(r.organization, x.organization)
		x.goAway(r, slices.DeleteFunc(slices.Clone(r.reach.away), func(a message.Address) bool { return x.sent[passageTo(whose, a)] }))
	}
}

// goAway has the message go to those addresses on other servers that a recipient leads to and that don't get it yet.
func (x *Transaction) goAway(r *recipient, added []message.Address) {
	switch {
	case len(added) == 0:
	case r.organization == 0:
		x.route(r.asked, x.transport.Route)
	default:
		x.forward(r.asked, &r.reach, added)
		for _, a := range added {
			x.sent[passageTo(r.organization, a)] = true
		}
	}
}

// route has a recipient whom the sender named get the message by another server, once.
func (x *Transaction) route(r queue.Recipient, route string) {
	if p := passageTo(x.organization, r.Address); !x.sent[p] {
		x.sent[p] = true
		r.Route = route
		x.remote = append(x.remote, r)
	}
}

// refuses reports whether an organisation takes no such message, by the wish of its author's domain.
func (x *Transaction) refuses(org int64) bool {
	return x.judgement != nil && x.judgement.applied[org] == mailauth.PolicyReject
}

// ruleEvents are the events of the rules of an organisation that acted on the message.
func (x *Transaction) ruleEvents(org int64, _ mailEvent) (events []any) {
	type key struct {
		d    flow.Direction
		name string
	}
	at := map[key]int{}
	for i := range x.accepted {
		r := &x.accepted[i]
		for _, rule := range r.rules {
			if rule.Direction == flow.Inbound && r.organization != org || rule.Direction == flow.Outbound && x.organization != org {
				continue
			}
			k := key{rule.Direction, rule.Name}
			n, known := at[k]
			if !known {
				n, at[k] = len(events), len(events)
				kind := map[flow.Direction]string{flow.Inbound: "INBOUND_RULE", flow.Outbound: "OUTBOUND_RULE"}[rule.Direction]
				events = append(events, mailRecord{mailEvent{Name: "RULE_APPLIED", RuleName: rule.Name, RuleType: kind}, x.trace})
			}
			e := events[n].(mailRecord)
			e.Event.addAction(string(rule.Action), r.address)
			events[n] = e
		}
	}
	for i := range x.accepted {
		r := &x.accepted[i]
		if r.acted() != flow.Bounce && !r.lost {
			continue
		}
		name := outgoingBounced
		if r.rules[len(r.rules)-1].Direction == flow.Inbound {
			if name = incomingBounced; r.organization != org {
				continue
			}
		} else if x.organization != org {
			continue
		}
		events = append(events, mailRecord{bouncedEvent(name, r.address, cmp.Or(r.failure, blocked), cmp.Or(r.status, blockedStatus)), x.trace})
	}
	return events
}

// bounces returns what orders a notice for the recipients whom a rule bounces the message for, in the transaction that stores it; nil
// where nobody is to be told: who wants that not, or who did not send the message, by what was found out.
func (x *Transaction) bounces(header []byte) func(context.Context, *db.Tx) error {
	if x.sender.From.IsZero() || x.forged() {
		return nil
	}
	type reason struct{ failure, status string }
	var reasons []reason
	to := map[reason][]queue.Recipient{}
	for i := range x.accepted {
		r := &x.accepted[i]
		if r.acted() != flow.Bounce && !r.lost || r.asked.Notify != 0 && r.asked.Notify&queue.OnFailure == 0 {
			continue
		}
		k := reason{cmp.Or(r.failure, blocked), cmp.Or(r.status, blockedStatus)}
		if to[k] == nil {
			reasons = append(reasons, k)
		}
		to[k] = append(to[k], r.asked)
	}
	for _, u := range x.unable {
		k := reason{u.reason, u.status}
		if to[k] == nil {
			reasons = append(reasons, k)
		}
		to[k] = append(to[k], u.asked)
	}
	var orders []func(context.Context, *db.Tx) error
	for _, k := range reasons {
		orders = append(orders, x.order(header, success{To: to[k], Failure: k.failure, Status: k.status}))
	}
	return inOne(orders...)
}

// forged reports whether the message was checked and is not proven to be from its sender, who is therefore not told of it: a pass of
// DMARC for another domain in From says nothing of the reverse-path.
func (x *Transaction) forged() bool {
	if x.resumed != nil {
		return x.resumed.Forged
	}
	return x.judgement != nil && !x.proven()
}
