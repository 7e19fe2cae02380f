package transport

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// maxForwards is how many addresses here one message is passed on for: each is a copy of its own, so that nobody learns from it of
// the others.
const maxForwards = 20

// outgoing is a copy of the message for other servers.
type outgoing struct {
	organization int64 // whose mail it is
	id           directory.OrgID
	via          string // the address here that leads there; empty where the sender named the recipients
	list         string // the field that says that this is a group
	to           []queue.Recipient
	body         []byte // as rules edited it; nil as it came
}

// passage is an address on another server that gets the message as an organisation's mail: once, however many addresses lead there.
type passage struct {
	organization int64
	to           message.Address
}

// passageTo is the passage to an address, whose domain is the same in upper and lower case.
func passageTo(org int64, to message.Address) passage {
	to.Domain = message.FoldDomain(to.Domain)
	return passage{org, to}
}

// forward has the message passed on to addresses of other servers, to which the recipient leads. The reverse-path stays the sender's.
// For a group that is the expansion of an alias, not of a list with an owner of its own (RFC 3461 section 5.2.7.3): success is told of
// the group, by us. A stranger hears of nothing, or of failures where it is proven to be whom it says, see tellFailures.
func (x *Transaction) forward(asked queue.Recipient, r *reach, away []message.Address) {
	notify, original := asked.Notify, asked.Original
	switch {
	case !x.sender.Submitted:
		if notify = queue.Never; x.proven() { // known already where rules settle anew who gets it
			notify = queue.OnFailure
		}
	case r.group != "" && notify&queue.OnSuccess != 0:
		if notify &^= queue.OnSuccess; notify == 0 {
			notify = queue.Never
		}
	}
	if original == "" {
		original = dsn.EncodeOriginal(asked.Address)
	}
	o := outgoing{organization: r.organization, id: r.id, via: asked.Address.String(), list: r.list}
	for _, a := range away {
		o.to = append(o.to, queue.Recipient{Address: a, Original: original, Notify: notify, Route: cmp.Or(r.route, x.transport.Route)})
	}
	x.forwards = append(x.forwards, o)
}

// tellFailures has the reverse-path of another server's message told of failures of what is passed on, where it is proven that the message
// is of its domain: of a forged one those would hear who have nothing to do with it.
func (x *Transaction) tellFailures() {
	if !x.proven() {
		return
	}
	for _, o := range x.forwards {
		for i := range o.to {
			o.to[i].Notify = queue.OnFailure
		}
	}
}

// proven reports whether another server's message is of its reverse-path's domain, by what was found out.
func (x *Transaction) proven() bool {
	if x.resumed != nil {
		return x.resumed.Proven
	}
	if x.judgement == nil {
		return false
	}
	v := x.judgement.verdict
	return v.SPF.Result == dkim.Pass || v.DMARC.Result == dkim.Pass && v.DMARC.From == message.FoldDomain(x.sender.From.Domain)
}

// copies are what goes to other servers.
func (x *Transaction) copies() []outgoing {
	if len(x.remote) == 0 {
		return x.forwards
	}
	named := outgoing{organization: x.organization, id: directory.OrgID(x.sender.Principal.Organization), to: x.remote}
	return append([]outgoing{named}, x.forwards...)
}

// maxPassed is for how many addresses it is known that a message was passed on before: the field is put in front each time, so what came
// round has it above others.
const maxPassed = 1000

// passedFor are the addresses for which a message was passed on before, by its Delivered-To fields, in lower case.
func passedFor(header []byte) map[string]bool {
	passed := map[string]bool{}
	for f := range message.Fields(header) {
		if f.Is("delivered-to") && len(passed) < maxPassed {
			passed[strings.ToLower(strings.Trim(strings.TrimSpace(f.Value()), "<>"))] = true
		}
	}
	return passed
}

// checkPassed refuses a message of another server that was passed on from here for the address before.
func (x *Transaction) checkPassed(via string) error {
	if x.sender.Submitted || !x.passed[strings.ToLower(via)] {
		return nil
	}
	return fault.New(fault.Limit, fault.Message, "the message goes round in a circle: it was passed on for %s before", via)
}

// enqueue makes the message ready for its recipients on other servers, and returns what writes it into the queue in the
// transaction that takes it in, and what tidies up if that never happens.
func (x *Transaction) enqueue(ctx context.Context, b []byte, traceLength int) (writes []orgWrite, discard func(), err error) {
	t, copies := x.transport, x.copies()
	var prepared []*queue.Prepared
	discard = func() {
		for _, p := range prepared {
			p.Discard(context.WithoutCancel(ctx))
		}
	}
	if len(copies) == 0 {
		return nil, discard, nil
	}
	fields, err := x.seal(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	a := x.about(b[traceLength:])
	for i := range copies {
		text, front := b, fields
		if own := copies[i].body; own != nil {
			text, front = own, nil // nothing was found out about that
		}
		p, err := t.Queue.Prepare(ctx, copies[i].trace(), front, text)
		if err != nil {
			discard()
			return nil, nil, fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be kept for other servers; send it again")
		}
		prepared = append(prepared, p)
		e := x.envelope(copies[i].organization)
		a.Organization = copies[i].id
		if e.About, err = json.Marshal(a); err != nil {
			discard()
			return nil, nil, err
		}
		writes = append(writes, orgWrite{e.Organization, func(ctx context.Context, tx *db.Tx) error {
			_, err := t.Queue.EnqueueTx(ctx, tx, p, e, copies[i].to)
			return err
		}})
	}
	return writes, discard, nil
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
		Stranger: !x.sender.Submitted,
	}
}

// found is what was found out about a message from another server, as its ARC set has it; no chain where it was not checked.
func (x *Transaction) found() (results string, chain *arc.Chain) {
	switch {
	case x.resumed != nil:
		_, results, _ = strings.Cut(strings.TrimSuffix(x.resumed.Results, "\r\n"), ": ") // the field's value
		return results, x.resumed.Chain
	case x.judgement != nil:
		return x.judgement.verdict.Results(x.transport.Hostname), &x.judgement.verdict.ARC
	}
	return "", nil
}

// trace are the fields by which it is known that a copy was passed on from here.
func (o *outgoing) trace() []byte {
	if o.via == "" {
		return nil
	}
	return []byte("Delivered-To: " + o.via + "\r\n" + o.list)
}

// seal returns the fields that go in front of the message on its way to other servers: the signatures of a user's, or the ARC set by
// which the next server can know what was found out here; it is passed on without one that can't be made. Faults: Temporary Message.
func (x *Transaction) seal(ctx context.Context, b []byte) (fields []byte, err error) {
	t := x.transport
	switch {
	case x.sender.Submitted:
		return t.sign(ctx, x.organization, x.authors, b)
	case t.Signer == nil:
		return nil, nil
	}
	results, chain := x.found()
	if chain == nil {
		return nil, nil
	}
	if fields, err = t.Signer.Seal(ctx, b, results, *chain); err != nil {
		t.Log.ErrorContext(ctx, "a message is passed on without an ARC seal", "error", err, "from", x.sender.From.String())
		return nil, nil
	}
	return fields, nil
}
