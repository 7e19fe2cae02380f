package transport

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// What is taken in is journaled by the transaction that takes it in, once for each organisation whose mail it is, whatever rules then make
// of it: of all recipients for the organisation whose user sends it, of its own ones for another. The report is an item of the queue, so
// that a journaling address that takes nothing keeps no mail back. Reports for a mailbox here have a route of their own.

// Journals is package journal's Service.
type Journals interface {
	// Rule returns where an organisation's reports go, nil for nowhere. It must not be called in a transaction.
	Rule(ctx context.Context, org int64) (*journal.Rule, error)
	NewID(org int64) string
	IsReturned(org int64, m []byte) bool
}

// journalRoute is the route of reports for a mailbox here.
const journalRoute = "journal"

// journalAbout is what is kept of a journal report in the queue.
var journalAbout = []byte(`{"journal":true}`)

func isJournal(e *queue.Envelope) bool { return bytes.Equal(e.About, journalAbout) }

// journal makes the journal reports of the message, and returns what writes them into the queue and what tidies up if that never happens,
// as enqueue does.
func (x *Transaction) journal(ctx context.Context, b []byte, traceLength int) (write func(context.Context, *db.Tx) error, discard func(), err error) {
	t := x.transport
	var all []*queue.Prepared
	discard = func() {
		for _, p := range all {
			p.Discard(context.WithoutCancel(ctx))
		}
	}
	rules, err := x.journaling(ctx, b[traceLength:])
	if err != nil || len(rules) == 0 {
		return nil, discard, err
	}
	if x.trace == "" {
		x.trace = id.UUID()
	}
	about := describe(b[traceLength:])
	to := x.addressed(b[traceLength:])
	var writes []func(context.Context, *db.Tx) error
	for _, j := range rules {
		r := journal.Report{
			ID: t.Journals.NewID(j.org), Rule: j.Rule, Date: t.Clock.Now(), Sender: about.From, Subject: *about.Subject, MessageID: about.MessageID,
			Recipients: x.journaled(j.org, to),
		}
		switch {
		case about.Sender != "":
			r.Sender, r.OnBehalfOf = about.Sender, about.From
		case about.From == "":
			if r.Sender = x.sender.From.String(); r.Sender == "" {
				r.Sender = "<>"
			}
		}
		p, e, route, err := t.prepareReport(ctx, j.org, j.Rule, r.Wrap(b))
		if err != nil {
			discard()
			return nil, nil, err
		}
		all = append(all, p)
		e.Trace, e.RequireTLS, e.SMTPUTF8 = x.trace, x.sender.RequireTLS, e.SMTPUTF8 || x.sender.SMTPUTF8
		writes = append(writes, func(ctx context.Context, tx *db.Tx) error {
			_, err := t.Holding.EnqueueTx(ctx, tx, p, e, []queue.Recipient{{Address: j.To, Notify: queue.OnFailure, Route: route}})
			return err
		})
		x.journals = append(x.journals, j)
	}
	return inOne(writes...), discard, nil
}

// prepareReport makes a report ready for the queue. Faults: Temporary Message.
func (t *Transport) prepareReport(ctx context.Context, org int64, r *journal.Rule, text []byte) (p *queue.Prepared, e queue.Envelope, route string, err error) {
	// Failures are told to the reverse-path, with the report, where it is not too large: it is nowhere else.
	e = queue.Envelope{Organization: org, From: r.Failures, Return: queue.ReturnFull, SMTPUTF8: !r.To.IsASCII() || !r.Failures.IsASCII(), About: journalAbout}
	here := false
	err = t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		here, err = t.Directory.IsLocalDomainTx(ctx, tx, message.FoldDomain(r.To.Domain))
		return err
	})
	if err != nil {
		return nil, e, "", err
	}
	if route = journalRoute; !here {
		route = t.Route
		ours, err := t.sign(ctx, 0, []message.Address{{Domain: t.Hostname}}, text)
		if err != nil {
			return nil, e, "", err
		}
		theirs, err := t.sign(ctx, org, []message.Address{r.Failures}, text)
		if err != nil {
			return nil, e, "", err
		}
		text = slices.Concat(theirs, ours, text)
	}
	if p, err = t.Holding.Prepare(ctx, text); err != nil {
		return nil, e, "", fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be journaled; send it again")
	}
	return p, e, route, nil
}

// journalOf is the rule of an organisation that journals the message.
type journalOf struct {
	org int64
	*journal.Rule
}

// journaling returns the rules that the message, without the server's trace, is journaled by.
func (x *Transaction) journaling(ctx context.Context, b []byte) (rules []journalOf, err error) {
	t := x.transport
	if t.Journals == nil {
		return nil, nil
	}
	var orgs []int64
	if x.sends() {
		orgs = append(orgs, x.organization)
	}
	for i := range x.accepted {
		if r := &x.accepted[i]; x.reaches(r) && r.organization != x.organization && !slices.Contains(orgs, r.organization) {
			orgs = append(orgs, r.organization)
		}
	}
	for _, org := range orgs {
		rule, err := t.Journals.Rule(ctx, org)
		if err != nil {
			return nil, err
		}
		if rule != nil && !x.isForFailures(org, rule.Failures) && (x.sender.Submitted || !t.Journals.IsReturned(org, b)) {
			rules = append(rules, journalOf{org, rule})
		}
	}
	if len(rules) > 0 && t.Holding == nil {
		return nil, fault.New(fault.Temporary, fault.Message, "the message is to be journaled, and reports can't wait here")
	}
	return rules, nil
}

// sends reports whether the message leaves a user of this server now. What goes on after a function did so before.
func (x *Transaction) sends() bool { return x.sender.Submitted && x.resumed == nil }

// reaches reports whether the message arrives for a recipient's organisation now: no outbound rule keeps it, DMARC does not refuse it, and it
// did not wait for that organisation's function.
func (x *Transaction) reaches(r *recipient) bool {
	switch {
	case r.organization == 0, r.lost, r.reach.reports != nil, x.refuses(r.organization), x.resumed != nil && x.resumed.Direction == flow.Inbound:
		return false
	}
	return !slices.ContainsFunc(r.rules, func(rule *flow.Rule) bool { return rule.Direction == flow.Outbound && rule.Effect() != flow.Default })
}

// isForFailures reports whether the message is another server's to nobody in the organisation but its report address: a notice of a journal report that
// failed, or an answer to one. To journal that would never end.
func (x *Transaction) isForFailures(org int64, failures message.Address) bool {
	return !x.sender.Submitted && !slices.ContainsFunc(x.accepted, func(r recipient) bool {
		return r.organization == org && r.asked.Address.Fold() != failures.Fold()
	})
}

// addressed returns how the header of what a user sends names a recipient: who is not in it is in Bcc. Others' headers prove nothing.
func (x *Transaction) addressed(header []byte) func(a message.Address) string {
	if !x.sender.Submitted {
		return func(message.Address) string { return journal.RecipientKind }
	}
	named := map[message.Address]string{}
	e := message.ParseEnvelope(header[:message.HeaderEnd(header)])
	for _, field := range []struct {
		kind string
		list []message.Entry
	}{{journal.To, e.To}, {journal.Cc, e.Cc}} {
		for _, entry := range field.list {
			if a := (message.Address{Local: entry.Local, Domain: entry.Domain}).Fold(); entry.Kind == message.Mailbox && named[a] == "" {
				named[a] = field.kind
			}
		}
	}
	other := journal.Bcc
	if len(e.To) >= message.MaxEntries || len(e.Cc) >= message.MaxEntries { // not all was read
		other = journal.RecipientKind
	}
	return func(a message.Address) string {
		if kind := named[a.Fold()]; kind != "" {
			return kind
		}
		return other
	}
}

// journaled are the recipients in an organisation's report: of the sender's organisation all, of another its own. Its groups are
// expanded, each member once; a member who is named too stands there twice.
func (x *Transaction) journaled(org int64, kind func(message.Address) string) (list []journal.Recipient) {
	sends := x.sends() && org == x.organization
	named, members, elsewhere := map[message.Address]bool{}, map[mailbox.ID]bool{}, map[message.Address]bool{}
	for i := range x.accepted {
		r := &x.accepted[i]
		k := r.asked.Address.Fold()
		if !sends && (r.organization != org || !x.reaches(r)) || named[k] {
			continue
		}
		named[k] = true
		one := journal.Recipient{Kind: kind(r.asked.Address), Address: r.address}
		before := len(list)
		if r.organization == org {
			for _, m := range r.reach.targets {
				if r.reach.group != "" && !members[m.mailbox] {
					members[m.mailbox] = true
					list = append(list, journal.Recipient{Kind: one.Kind, Address: m.address, Expanded: r.address})
				}
			}
			for _, a := range r.reach.away {
				switch {
				case r.reach.group == "":
					list = append(list, journal.Recipient{Kind: one.Kind, Address: a.String(), Forwarded: r.address})
				case !elsewhere[a]:
					elsewhere[a] = true
					list = append(list, journal.Recipient{Kind: one.Kind, Address: a.String(), Expanded: r.address})
				}
			}
		}
		if len(list) == before {
			list = append(list, one)
		}
	}
	return list
}

// journalEvents are the events of an organisation's journal report.
func (x *Transaction) journalEvents(org int64) (events []any) {
	for _, j := range x.journals {
		if j.org == org {
			events = append(events, mailRecord{mailEvent{Name: "JOURNALING_INITIATED", JournalingAddress: j.To.String()}, x.trace})
		}
	}
	return events
}

// JournalCourier is a queue.Courier that puts journal reports into mailboxes here, and hands all else to Next.
type JournalCourier struct {
	Transport *Transport
	Next      queue.Courier
}

// Deliver implements queue.Courier.
func (c JournalCourier) Deliver(ctx context.Context, to queue.Destination, m *queue.Message) []queue.Outcome {
	if to.Route != journalRoute {
		return c.Next.Deliver(ctx, to, m)
	}
	outcomes := make([]queue.Outcome, len(m.Recipients))
	for i := range m.Recipients {
		outcomes[i] = queue.Outcome{Status: "4.3.0", Reply: "this server could not deliver the report", Ours: true}
	}
	if len(m.Recipients) != 1 { // each is queued alone
		return outcomes
	}
	o, away, err := c.Transport.deliverReport(ctx, m)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			c.Transport.Log.ErrorContext(ctx, "a journal report could not be delivered", "to", m.Recipients[0].Address.String(), "trace", m.Trace, "error", err)
		}
		return outcomes
	case away.IsZero():
		return []queue.Outcome{o}
	}
	there := *m
	there.Recipients = slices.Clone(m.Recipients)
	there.Recipients[0].Address, there.Recipients[0].Route = away, c.Transport.Route
	d := queue.Destination{Route: c.Transport.Route}
	if d.Route == "" {
		d.Domain = message.FoldDomain(away.Domain)
	}
	outcomes = c.Next.Deliver(ctx, d, &there)
	for i := range outcomes {
		outcomes[i].Down = false // that is about another destination
	}
	return outcomes
}

// deliverReport puts a journal report into its mailbox, in one transaction with taking it off the queue, or returns the address on another server
// that it is to go to.
func (t *Transport) deliverReport(ctx context.Context, m *queue.Message) (o queue.Outcome, away message.Address, err error) {
	to := m.Recipients[0].Address
	var e *directory.Entity
	err = t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		e = nil
		r, _, err := t.recipientTx(ctx, tx, to)
		if err != nil {
			return err
		}
		e = &r.Entity
		return nil
	})
	failed := func(status, reply string) (queue.Outcome, message.Address, error) {
		return queue.Outcome{Result: queue.Failed, Status: status, Reply: reply}, message.Address{}, nil
	}
	switch {
	case fault.Is(err, fault.NotFound, fault.Domain): // it is somebody else's by now
		return o, to, nil
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return failed("5.1.1", "nobody has the address")
	case err != nil:
		return o, away, err
	case e.State != directory.Enabled:
		return failed("5.1.1", "nobody has the address")
	case e.Kind == directory.KindGroup:
		return failed("5.1.3", "journal reports go to one mailbox, and this is a group")
	case e.Role == directory.RoleRemote:
		if away, err = message.ParseAddress(e.Email); err != nil {
			return o, away, err
		}
		return o, away, nil
	case e.Mailbox == 0:
		return failed("5.1.1", "it has no mailbox")
	}
	release, err := t.memory.hold(ctx, m.Size)
	if err != nil {
		return o, away, err
	}
	defer release()
	b, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
	if err != nil {
		return o, away, err
	}
	o = queue.Outcome{Result: queue.Delivered, Status: "2.1.5", Reply: "in the mailbox"}
	target := mailbox.Target{
		Mailbox: mailbox.ID(e.Mailbox), Prefix: []byte("Return-Path: <" + m.From.String() + ">\r\nDelivered-To: " + to.String() + "\r\n"),
	}
	_, err = t.Mailboxes.DeliverWith(ctx, content.Message(b, mailbox.Source{Bytes: b}), func(ctx context.Context, tx *db.Tx) error {
		return m.End(ctx, tx, []queue.Outcome{o})
	}, target)
	switch {
	case fault.Is(err, fault.OverQuota, fault.Mailbox):
		return queue.Outcome{Status: "4.2.2", Reply: "the mailbox is full"}, away, nil
	case fault.Is(err, fault.TooLarge, fault.Message):
		return failed("5.3.4", "the report is too large for a mailbox")
	case fault.Is(err, fault.State, fault.Mailbox), fault.Is(err, fault.NotFound, fault.Mailbox):
		return failed("5.2.1", "the mailbox is closed")
	}
	return o, away, err
}

// countReport counts what became of a journal report, once that is durable.
func (t *Transport) countReport(tx *db.Tx, kind queue.EventKind) {
	switch kind {
	case queue.Queued:
		tx.OnCommit(func() { t.stats.journaled.Add(1) })
	case queue.Sent:
		tx.OnCommit(func() { t.stats.journalsSent.Add(1) })
	case queue.Bounced, queue.Expired:
		tx.OnCommit(func() { t.stats.journalsFailed.Add(1) })
	}
}
