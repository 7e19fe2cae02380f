package transport

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// A message that a synchronous function decides on waits in the queue, from the transaction that acknowledges it on, with one
// recipient whose route names the function. All else that is needed to go on with it is in queue.Envelope.About; its bytes are in Contents,
// where the function can read and change them. What the function decides is done in the transaction that takes it off the queue, with the
// bytes of then.

// functionRoute begins the routes of messages that wait for a function.
const functionRoute = "function/"

// held is a message that waits for a function.
type held struct {
	Direction flow.Direction `json:"direction"`
	Rule      string         `json:"rule"`
	Lambda    flow.Lambda    `json:"lambda"`
	Until     time.Time      `json:"until"` // when the function's time is over
	MessageID string         `json:"messageId"`
	Call      string         `json:"call"` // the invocation's id
	// To are the recipients that it decides on.
	To []queue.Recipient `json:"to"`
	// Header is the message's, cut.
	Header []byte `json:"header,omitempty"`
	// Trace is how many bytes of the message the server put there.
	Trace int `json:"trace"`
	// Kept says that the message is in Contents, behind Results. It is in the queue where a server kept it before there were Contents.
	Kept      bool  `json:"kept,omitempty"`
	Submitted bool  `json:"submitted,omitempty"`
	SenderOrg int64 `json:"senderOrg,omitempty"`
	// Usage is whose limits of a day count what the function adds to a message that was submitted.
	Usage *heldUsage `json:"usage,omitempty"`
	// Authors are those in From of what was submitted, as they were checked.
	Authors []message.Address `json:"authors,omitempty"`
	// What was found out about a message from another server.
	Results     string     `json:"results,omitempty"`
	Chain       *arc.Chain `json:"chain,omitempty"`
	Quarantined bool       `json:"quarantined,omitempty"`
	Forged      bool       `json:"forged,omitempty"` // the sender is not told of a bounce
	Proven      bool       `json:"proven,omitempty"` // the sender is told of failures of what is passed on
	// Opinions are those on spam, each for some mailboxes.
	Opinions []heldOpinion              `json:"opinions,omitempty"`
	by       map[mailbox.ID]heldOpinion // the same, once it was asked for
}

// heldUsage is a usage without what it counts.
type heldUsage struct {
	User     string `json:"user"`
	Account  string `json:"account"`
	FromTest bool   `json:"fromTest,omitempty"`
}

// heldOpinion is what was made of a message for mailboxes.
type heldOpinion struct {
	Mailboxes []mailbox.ID `json:"mailboxes"`
	Spam      bool         `json:"spam,omitempty"`
	Fields    string       `json:"fields,omitempty"`
}

// keepOpinions keeps what was made of the message for mailboxes.
func (h *held) keepOpinions(x *Transaction, boxes map[mailbox.ID]bool) {
	type made struct {
		spam   bool
		fields string
	}
	at := map[made]int{}
	for _, box := range slices.Sorted(maps.Keys(boxes)) {
		o := made{x.isSpam(box), x.spamFields(box)}
		if o == (made{}) {
			continue
		}
		i, known := at[o]
		if !known {
			i, at[o] = len(h.Opinions), len(h.Opinions)
			h.Opinions = append(h.Opinions, heldOpinion{Spam: o.spam, Fields: o.fields})
		}
		h.Opinions[i].Mailboxes = append(h.Opinions[i].Mailboxes, box)
	}
}

// opinion returns what was made of the message for a mailbox.
func (h *held) opinion(box mailbox.ID) heldOpinion {
	if h.by == nil {
		h.by = map[mailbox.ID]heldOpinion{}
		for _, o := range h.Opinions {
			for _, m := range o.Mailboxes {
				h.by[m] = o
			}
		}
	}
	return h.by[box]
}

// longest is how long a message can wait for a function, also while the server doesn't run: what has no answer by then is not lost, but
// its fallback is what becomes of it.
const longest = 10 * 365 * 24 * time.Hour

// hold makes the message ready for the functions that decide on it, and returns what writes it into the queue and what tidies up if that
// never happens, as enqueue does.
func (x *Transaction) hold(ctx context.Context, b []byte, traceLength int) (writes []orgWrite, discard func(), err error) {
	t := x.transport
	var rules []*flow.Rule
	to := map[*flow.Rule][]queue.Recipient{}
	org := map[*flow.Rule]int64{}
	boxes := map[*flow.Rule]map[mailbox.ID]bool{}
	for i := range x.accepted {
		r := &x.accepted[i]
		if r.acted() != flow.RunLambda || x.refuses(r.organization) {
			continue
		}
		rule := r.rules[len(r.rules)-1]
		if to[rule] == nil {
			rules, org[rule], boxes[rule] = append(rules, rule), r.organization, map[mailbox.ID]bool{}
			if rule.Direction == flow.Outbound {
				org[rule] = x.organization
			}
		}
		for _, t := range r.reach.targets {
			boxes[rule][t.mailbox] = true
		}
		to[rule] = append(to[rule], queue.Recipient{Address: r.asked.Address, Original: r.asked.Original, Notify: r.asked.Notify})
	}
	var all []discarded
	discard = func() { discardAll(ctx, all) }
	if len(rules) == 0 {
		return nil, discard, nil
	}
	if t.Holding == nil {
		return nil, nil, fault.New(fault.Temporary, fault.Message, "the rule %q asks a function, and messages can't wait for it here", rules[0].Name)
	}
	for _, rule := range rules {
		body, err := t.Contents.Prepare(ctx, x.results(), b)
		if err != nil {
			discard()
			return nil, nil, notKept(err)
		}
		all = append(all, body)
		a := x.about(b[traceLength:])
		a.Held = &held{
			Direction: rule.Direction, Rule: rule.Name, Lambda: *rule.Lambda, Until: t.Clock.Now().Add(rule.Lambda.Timeout),
			MessageID: id.UUID(), Call: strings.ReplaceAll(id.UUID(), "-", ""), To: to[rule], Trace: traceLength, Kept: true,
			Header:    b[traceLength:][:min(message.HeaderEnd(b[traceLength:]), maxHeldHeader)],
			Submitted: x.sender.Submitted, SenderOrg: x.organization, Authors: x.authors, Results: x.results(), Forged: x.forged(), Proven: x.proven(),
			Quarantined: x.isJunk(target{organization: org[rule]}),
		}
		a.Held.keepOpinions(x, boxes[rule])
		_, a.Held.Chain = x.found()
		if u := x.usage; u != nil {
			a.Held.Usage = &heldUsage{u.user, u.account, u.fromTest}
		}
		e := x.envelope(org[rule])
		if e.About, err = json.Marshal(a); err != nil {
			discard()
			return nil, nil, err
		}
		first := queue.Recipient{Address: to[rule][0].Address, Notify: queue.Never, Route: functionRoute + rule.Lambda.ARN, Expiry: longest}
		told := flow.Told{ID: a.Held.MessageID, Organization: org[rule], Direction: rule.Direction, Own: len(a.Held.Results) + traceLength, Waits: true}
		p := t.Holding.Elsewhere(int64(len(b)))
		writes = append(writes, orgWrite{org[rule], func(ctx context.Context, tx *db.Tx) error { return t.Contents.KeepTx(ctx, tx, told, body) }})
		writes = append(writes, orgWrite{org[rule], func(ctx context.Context, tx *db.Tx) error {
			_, err := t.Holding.EnqueueTx(ctx, tx, p, e, []queue.Recipient{first})
			return err
		}})
	}
	return writes, discard, nil
}

func notKept(err error) error {
	return fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be kept for a function; send it again")
}

// discarded is what was made ready and may not be used.
type discarded interface{ Discard(ctx context.Context) }

func discardAll(ctx context.Context, all []discarded) {
	for _, d := range all {
		d.Discard(context.WithoutCancel(ctx))
	}
}

// Functions is a queue.Courier that asks functions about messages which wait for them, and hands all others to Next.
type Functions struct {
	Transport *Transport
	Next      queue.Courier
}

// Deliver implements queue.Courier.
func (f Functions) Deliver(ctx context.Context, to queue.Destination, m *queue.Message) []queue.Outcome {
	arn, ours := strings.CutPrefix(to.Route, functionRoute)
	if !ours {
		return f.Next.Deliver(ctx, to, m)
	}
	outcome, err := f.Transport.ask(ctx, arn, m)
	if err != nil {
		f.Transport.Log.ErrorContext(ctx, "a message that waits for a function can't go on", "function", arn, "trace", m.Trace, "error", err)
		outcome = f.Transport.setBack(ctx, m, err)
	}
	return slices.Repeat([]queue.Outcome{outcome}, len(m.Recipients))
}

// patienceAfter is how long after a function's time is over a message waits for what keeps this server from going on with it.
const patienceAfter = 5 * 24 * time.Hour

// setBack is what becomes of a message that this server can't go on with: it waits, or where that would not help comes back, see Record.
func (t *Transport) setBack(ctx context.Context, m *queue.Message, why error) queue.Outcome {
	o := queue.Outcome{Status: "4.3.0", Reply: "this server could not go on with the message"}
	f := fault.As(why)
	if f != nil {
		o.Reply = f.Message
	}
	var a about
	if ctx.Err() != nil || a.read(&m.Envelope) != nil || a.Held == nil {
		return o
	}
	hopeless := false
	if f != nil && f.Subject != fault.Organization && f.Subject != fault.Allowance { // a full queue and a limit of a day pass
		switch f.Kind {
		case fault.Invalid, fault.Limit, fault.TooLarge, fault.Unsupported, fault.Denied:
			hopeless = true
		}
	}
	if hopeless || t.Clock.Now().After(a.Held.Until.Add(patienceAfter)) {
		o.Result, o.Status = queue.Failed, "5.3.0"
	}
	return o
}

// heldTx ends that a message waits for a function where it does not go on, and orders the notice for its recipients: the queue knows one of
// them alone.
func (t *Transport) heldTx(ctx context.Context, tx *db.Tx, e *queue.Event) error {
	var a about
	if err := a.read(&e.Envelope); err != nil {
		return err
	}
	h, failed := a.Held, e.Kind == queue.Bounced || e.Kind == queue.Expired
	if h != nil && h.Kept && (failed || e.Kind == queue.Dropped) {
		if err := t.Contents.GivenUpTx(ctx, tx, h.MessageID); err != nil {
			return err
		}
	}
	if h == nil || !failed || h.Forged || e.Envelope.From.IsZero() {
		return nil
	}
	now := t.Clock.Now()
	s := success{
		From: e.Envelope.From, Trace: e.Envelope.Trace, EnvelopeID: e.Envelope.ID, Arrived: now, RequireTLS: e.Envelope.RequireTLS, Actor: a.Actor,
		Header: h.Header, Failure: e.Outcome.Reply, Status: e.Outcome.Status,
	}
	for _, r := range h.To {
		if r.Notify == 0 || r.Notify&queue.OnFailure != 0 {
			s.To = append(s.To, r)
		}
	}
	if len(s.To) == 0 {
		return nil
	}
	return job.EnqueueTx(ctx, tx, successKind, id.UUID(), s, now)
}

// maxHeldHeader is how much of a header is kept beside a message that waits, for a notice that has no more of it.
const maxHeldHeader = 2 << 10

// maxEventHeader is how much of a header is read for a function's event.
const maxEventHeader = 256 << 10

// ask asks a function about a message, and does what it decides, or what the rule falls back on once its time is over.
func (t *Transport) ask(ctx context.Context, arn string, m *queue.Message) (o queue.Outcome, err error) {
	var a about
	if err := a.read(&m.Envelope); err != nil {
		return o, err
	}
	h := a.Held
	if h == nil {
		return o, errors.New("nothing is known of what it waits for")
	}
	decisions, why, err := t.decide(ctx, arn, h, m)
	if err != nil {
		return o, err
	}
	if why != nil {
		t.Log.WarnContext(ctx, "a function does not decide", "function", arn, "rule", h.Rule, "trace", m.Trace, "error", why)
		o = queue.Outcome{Status: "4.3.0", Reply: sayable(why), By: h.Until, Untried: errors.Is(why, errNotAsked)}
		if ctx.Err() != nil || t.Clock.Now().Before(h.Until) {
			return o, nil
		}
		decisions = []flow.Decision{{Action: h.Lambda.Fallback, All: true}}
	}
	o = queue.Outcome{Result: queue.Delivered, Status: "2.0.0", Reply: "the function decided"}
	end := Decided
	if why != nil {
		end = FellBack
		o.Reply = "the rule fell back on " + string(h.Lambda.Fallback) + ": " + sayable(why)
	}
	for range maxChanges {
		if err = t.goOn(ctx, &a, m, decisions, end, o); !errors.Is(err, flow.ErrChanged) {
			break
		}
	}
	return o, err
}

// maxChanges is how often what a function decided is tried with a message that is changed meanwhile.
const maxChanges = 5

// waiting is a message that waits for a function, as it is now.
type waiting struct {
	size, revision int64
	first          func(n int64) ([]byte, error) // with the server's trace in front
}

func (t *Transport) waiting(ctx context.Context, h *held, m *queue.Message) (*waiting, error) {
	if !h.Kept {
		return &waiting{size: m.Size, first: func(n int64) ([]byte, error) { return io.ReadAll(io.NewSectionReader(m.Body, 0, min(m.Size, n))) }}, nil
	}
	c, err := t.Contents.Current(ctx, h.MessageID)
	if fault.Is(err, fault.NotFound, fault.Message) { // with its organisation
		err = fault.Wrap(err, fault.Unsupported, fault.Message, "the message is not kept any more")
	}
	if err != nil {
		return nil, err
	}
	front := int64(len(h.Results))
	return &waiting{size: c.Size - front, revision: c.Revision, first: func(n int64) ([]byte, error) {
		b, err := c.First(ctx, front+min(n, c.Size))
		return b[min(front, int64(len(b))):], err
	}}, nil
}

// goOn does what was decided on a message, as it is now: ErrChanged where that is not so any more when it is done.
func (t *Transport) goOn(ctx context.Context, a *about, m *queue.Message, decisions []flow.Decision, end FunctionEnd, o queue.Outcome) error {
	w, err := t.waiting(ctx, a.Held, m)
	if err != nil {
		return err
	}
	release, err := t.memory.hold(ctx, w.size)
	if err != nil {
		return err
	}
	defer release()
	b, err := w.first(w.size)
	if err != nil {
		return err
	}
	return t.resume(ctx, a, &m.Envelope, b, decisions, func(ctx context.Context, tx *db.Tx) error {
		tx.OnCommit(func() { t.flow.messages[end].Add(1) })
		if a.Held.Kept {
			if err := t.Contents.DecidedTx(ctx, tx, a.Held.MessageID, w.revision); err != nil {
				return err
			}
		}
		return m.End(ctx, tx, slices.Repeat([]queue.Outcome{o}, len(m.Recipients)))
	})
}

// sayable is what administrators may read of an error of a function.
func sayable(err error) string {
	if f := fault.As(err); f != nil {
		return f.Message
	}
	return err.Error()
}

// resume goes on with a message for the recipients that a function decided on, in one transaction with done.
func (t *Transport) resume(ctx context.Context, a *about, e *queue.Envelope, b []byte, decisions []flow.Decision, done func(context.Context, *db.Tx) error) error {
	h := a.Held
	x := &Transaction{
		transport: t, organization: h.SenderOrg, actor: a.Actor, authors: h.Authors, trace: e.Trace, resumed: h, reached: map[mailbox.ID]bool{}, sent: map[passage]bool{},
		sender: Sender{
			Principal: principal.Principal{Kind: principal.System, Organization: string(a.Organization)}, Submitted: h.Submitted, From: e.From, Size: int64(len(b)),
			EnvelopeID: e.ID, Return: e.Return, RequireTLS: e.RequireTLS, SMTPUTF8: e.SMTPUTF8,
		},
	}
	header := b[h.Trace:]
	x.passed = passedFor(header)
	accepted := h.decided(decisions, t.Limits.Recipients)
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		x.accepted, x.watched, x.usage = nil, nil, nil
		if u := h.Usage; u != nil {
			x.usage = &usage{user: u.User, organization: h.SenderOrg, account: u.Account, fromTest: u.FromTest}
		}
		x.targets, x.remote, x.forwards = nil, nil, nil
		clear(x.reached)
		clear(x.sent)
		if h.Direction == flow.Outbound {
			if err := x.watchTx(ctx, tx, h.SenderOrg, a.Organization); err != nil {
				return err
			}
		}
		for _, r := range accepted {
			if err := x.againTx(ctx, tx, &r, e.Organization); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	x.room = map[mailbox.ID]error{}
	for i := range x.accepted {
		r := &x.accepted[i]
		if r.lost || !r.stays() {
			continue
		}
		if err := x.checkRoom(ctx, r.asked.Address, r.reach.targets); err != nil {
			if fault.As(err) == nil {
				return err
			}
			r.lose(err)
		}
	}
	if err := x.applyRules(ctx, header); err != nil {
		return err
	}
	return x.finish(ctx, b, h.Trace, done)
}

// decided are the recipients with what is decided for each: by its address, or for all that no decision names, or else what the rule falls
// back on; and those that the function added.
func (h *held) decided(decisions []flow.Decision, most int) (list []recipient) {
	rest := flow.Decision{Action: h.Lambda.Fallback}
	by := map[message.Address]*flow.Decision{}
	var named []message.Address
	for i := range decisions {
		d := &decisions[i]
		if d.All {
			rest = *d
		}
		for _, to := range d.To {
			if k := to.Fold(); by[k] == nil {
				by[k], named = d, append(named, to)
			}
		}
	}
	add := func(asked queue.Recipient, d *flow.Decision, added bool) {
		list = append(list, recipient{
			asked: asked, address: asked.Address.String(), failure: d.BounceMessage, added: added,
			rules: []*flow.Rule{{Direction: h.Direction, Name: h.Rule, Action: d.Action}},
		})
	}
	known := map[message.Address]bool{}
	for _, r := range h.To {
		k := r.Address.Fold()
		known[k] = true
		add(r, cmp.Or(by[k], &rest), false)
	}
	for _, to := range named {
		if d := by[to.Fold()]; !known[to.Fold()] && d.Action != flow.Drop && d.Action != flow.Bounce && len(list) < most {
			add(queue.Recipient{Address: to, Notify: queue.Never}, d, true)
		}
	}
	return list
}

// againTx accepts a recipient anew, a while after it was accepted first. One that can't get the message any more is lost, which its sender is
// told; one that a function added is left out, and so is one who is not of the organisation where mail arrives for that.
func (x *Transaction) againTx(ctx context.Context, tx *db.Tx, r *recipient, org int64) error {
	reach, err := x.resolveTx(ctx, tx, r.asked.Address)
	remote := fault.Is(err, fault.NotFound, fault.Domain) && x.sender.Submitted && x.resumed.Direction == flow.Outbound
	if remote {
		reach.away = []message.Address{r.asked.Address}
	}
	if remote || err == nil && len(reach.away) > 0 {
		err = x.mayLeaveTx(ctx, tx, x.sender.From, r.asked.Address)
	}
	if err == nil && len(reach.away) > 0 {
		err = x.checkPassed(r.address)
	}
	if err != nil && fault.As(err) == nil {
		return err
	}
	whose := cmp.Or(reach.organization, x.organization)
	fresh := slices.DeleteFunc(slices.Clone(reach.targets), func(t target) bool { return x.reached[t.mailbox] })
	away := slices.DeleteFunc(slices.Clone(reach.away), func(a message.Address) bool { return x.sent[passageTo(whose, a)] })
	counts := err == nil && r.stays()
	if counts && (len(x.targets)+len(fresh) > x.transport.Limits.Mailboxes || len(x.sent)+len(away) > queue.MaxRecipients ||
		!remote && len(away) > 0 && len(x.forwards) >= maxForwards) {
		err = limitFault("the message goes to as many as it can without %s", r.address) // as Add holds it, but those it counted have grown since
	}
	if err == nil && r.added && x.usage != nil {
		used := x.usage.with(reach.organization)
		if err = x.transport.lookTx(ctx, tx, *x.usage, used); err != nil && fault.As(err) == nil {
			return err
		}
		if err == nil {
			*x.usage = used
		}
	}
	if r.added && (err != nil || x.resumed.Direction == flow.Inbound && reach.organization != org) {
		x.transport.Log.WarnContext(ctx, "a recipient that a function added is left out", "recipient", r.address, "trace", x.trace, "error", err)
		return nil
	}
	r.reach, r.organization, r.passedOn = reach, reach.organization, len(reach.away) > 0
	if err != nil {
		r.organization = org
		r.lose(err)
	} else if counts { // redirect settles it anew
		for _, t := range fresh {
			x.reached[t.mailbox] = true
		}
		x.targets = append(x.targets, fresh...)
		x.goAway(r, away)
	}
	x.accepted = append(x.accepted, *r)
	return nil
}

// lose notes that a recipient can't get the message any more.
func (r *recipient) lose(err error) {
	if !r.stays() {
		return // it would not get it anyway
	}
	r.lost, r.failure, r.status = true, sayable(err), "5.2.0"
	switch {
	case fault.KindOf(err) == fault.NotFound:
		r.status = "5.1.1"
	case fault.KindOf(err) == fault.OverQuota:
		r.status = "5.2.2"
	case fault.Is(err, fault.Limit, fault.Message): // in a circle
		r.status = "5.4.6"
	}
}

// functionKind are the jobs that tell functions of messages.
const functionKind = "mail-flow-function"

// functionCall is what such a job needs.
type functionCall struct {
	Organization int64       `json:"organization"`
	ARN          string      `json:"arn"`
	Event        *flow.Event `json:"event"`
	Since        time.Time   `json:"since"`
}

// calls returns what keeps the message for asynchronous functions and orders their calls, in the transaction that stores it, and what tidies
// up if that never happens.
func (x *Transaction) calls(ctx context.Context, b []byte, traceLength int) (writes []orgWrite, discard func(), err error) {
	t := x.transport
	var rules []*flow.Rule
	to := map[*flow.Rule][]string{}
	org := map[*flow.Rule]int64{}
	for i := range x.accepted {
		r := &x.accepted[i]
		for _, rule := range r.rules {
			if rule.Action != flow.RunLambda || rule.Lambda.Synchronous || x.refuses(r.organization) {
				continue
			}
			if to[rule] == nil {
				rules, org[rule] = append(rules, rule), r.organization
				if rule.Direction == flow.Outbound {
					org[rule] = x.organization
				}
			}
			to[rule] = append(to[rule], r.address)
		}
	}
	var all []discarded
	discard = func() { discardAll(ctx, all) }
	for _, rule := range rules {
		e := flow.NewEvent(rule.Direction, id.UUID(), strings.ReplaceAll(id.UUID(), "-", ""), x.sender.From, b[traceLength:], to[rule])
		results := x.results()
		body, err := t.Contents.Prepare(ctx, results, b)
		if err != nil {
			discard()
			return nil, nil, notKept(err)
		}
		all = append(all, body)
		told := flow.Told{ID: e.MessageID, Organization: org[rule], Direction: rule.Direction, Own: len(results) + traceLength}
		writes = append(writes, orgWrite{org[rule], func(ctx context.Context, tx *db.Tx) error { return t.Contents.KeepTx(ctx, tx, told, body) }})
		writes = append(writes, orgWrite{org[rule], func(ctx context.Context, tx *db.Tx) error {
			return t.orderTx(ctx, tx, functionCall{org[rule], rule.Lambda.ARN, e, t.Clock.Now()})
		}})
	}
	return writes, discard, nil
}

// maxCalls is how often an asynchronous function is called that fails.
const maxCalls = 5

// HandleFunctions makes runner tell functions of messages. They may take long to answer, so nobody else's work should wait behind it, and
// it should have ParallelCalls workers for each function.
func (t *Transport) HandleFunctions(runner *job.Runner) {
	runner.PerShare = ParallelCalls
	runner.Handle(functionKind, func(ctx context.Context, j job.Job) error {
		var c functionCall
		if err := j.Decode(&c); err != nil {
			return err
		}
		if age := t.Clock.Now().Sub(c.Since); age > maxCallAge && !c.Since.IsZero() {
			t.giveUpCall(ctx, c, fault.New(fault.Temporary, fault.Resource, "its call waited for %v", age.Round(time.Minute)))
			return nil
		}
		err := t.call(ctx, Asynchronous, c.ARN, c.Event, func([]byte) error { return nil })
		switch {
		case err == nil:
			t.flow.messages[Told].Add(1)
			return nil
		case ctx.Err() == nil && j.Attempts+1 >= maxCalls:
			t.giveUpCall(ctx, c, err)
			return nil
		}
		return fmt.Errorf("tell the function %s of message %s: %w", c.ARN, c.Event.MessageID, err)
	})
}
