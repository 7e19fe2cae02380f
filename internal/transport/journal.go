package transport

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// What is taken in is journaled by the transaction that takes it in, once for each organisation whose mail it is, whatever rules then make
// of it: of all recipients for the organisation whose user sends it, of its own ones for another. The report is an item of the queue, so
// that a journaling address that takes nothing keeps no mail back. Those that this server itself delivers have a route of their own: into a
// mailbox of the organisation as they are, to another organisation as mail that arrives there.

// Journals is package journal's Service.
type Journals interface {
	// Rule returns where an organisation's reports go, nil for nowhere. It must not be called in a transaction.
	Rule(ctx context.Context, org int64) (*journal.Rule, error)
	NewID(org int64) string
	IsReturned(org int64, m []byte) bool
}

// journalRoute is the route of reports that this server itself delivers.
const journalRoute = "journal"

// journalAbout is what is kept of a journal report in the queue.
var journalAbout = []byte(`{"journal":true}`)

func isJournal(e *queue.Envelope) bool { return bytes.Equal(e.About, journalAbout) }

// journal makes the journal reports of the message, and returns what writes them into the queue and what tidies up if that never happens,
// as enqueue does.
func (x *Transaction) journal(ctx context.Context, b []byte, traceLength int) (writes []orgWrite, discard func(), err error) {
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
	to := x.addressed(b[traceLength:])
	for _, j := range rules {
		e := queue.Envelope{Trace: x.trace, SMTPUTF8: x.sender.SMTPUTF8, Stranger: !x.sender.Submitted}
		write, p, err := t.report(ctx, j, e, x.sender.From, x.journaled(j.org, to), b, traceLength)
		if err != nil {
			discard()
			return nil, nil, err
		}
		all, writes = append(all, p), append(writes, write)
		x.journals = append(x.journals, j)
	}
	return writes, discard, nil
}

// report makes the report on a message from that reverse-path ready for the queue, and returns what writes it there. Faults: Temporary Message.
func (t *Transport) report(ctx context.Context, j journalOf, e queue.Envelope, from message.Address, to []journal.Recipient, b []byte, traceLength int) (
	write orgWrite, p *queue.Prepared, err error,
) {
	if t.Holding == nil {
		return write, nil, fault.New(fault.Temporary, fault.Message, "the message is to be journaled, and reports can't wait here")
	}
	about := describe(b[traceLength:])
	r := journal.Report{
		ID: t.Journals.NewID(j.org), Rule: j.Rule, Date: t.Clock.Now(), Sender: about.From, Subject: *about.Subject, MessageID: about.MessageID, Recipients: to,
	}
	switch {
	case about.Sender != "":
		r.Sender, r.OnBehalfOf = about.Sender, about.From
	case about.From == "":
		if r.Sender = from.String(); r.Sender == "" {
			r.Sender = "<>"
		}
	}
	p, who, err := t.prepareReport(ctx, j, r.Wrap(b))
	if err != nil {
		return write, nil, err
	}
	// Failures are told to the reverse-path, with the report, where it is not too large: it is nowhere else.
	e.Organization, e.From, e.Return, e.About = j.org, j.Failures, queue.ReturnFull, journalAbout
	e.SMTPUTF8 = e.SMTPUTF8 || !who.Address.IsASCII() || !j.Failures.IsASCII()
	return orgWrite{j.org, func(ctx context.Context, tx *db.Tx) error {
		_, err := t.Holding.EnqueueTx(ctx, tx, p, e, []queue.Recipient{who})
		return err
	}}, p, nil
}

// prepareReport makes a report ready for the queue, for who gets it. Faults: Temporary Message.
func (t *Transport) prepareReport(ctx context.Context, j journalOf, parts [][]byte) (p *queue.Prepared, to queue.Recipient, err error) {
	var w reportWay
	err = t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		w, err = t.reportWayTx(ctx, tx, j.org, j.To)
		return err
	})
	if err != nil && fault.As(err) == nil {
		return nil, to, err
	}
	if to = w.recipient(j.To); err != nil { // it may pass, so it is JournalCourier's to say
		to = queue.Recipient{Address: j.To, Notify: queue.OnFailure, Route: journalRoute}
	}
	if to.Route != journalRoute {
		p, err = t.prepareToLeave(ctx, j.org, j.Failures, parts...)
	} else if p, err = t.Holding.Prepare(ctx, parts...); err != nil {
		err = notJournaled(err)
	}
	return p, to, err
}

// prepareToLeave signs a report for other servers and makes it ready for the queue. Faults: Temporary Message.
func (t *Transport) prepareToLeave(ctx context.Context, org int64, failures message.Address, parts ...[]byte) (*queue.Prepared, error) {
	text := parts[0]
	if len(parts) > 1 { // signatures are of one piece
		size := 0
		for _, b := range parts {
			size += len(b)
		}
		release, err := t.signing.hold(ctx, int64(size))
		if err != nil {
			return nil, err
		}
		defer release()
		text = slices.Concat(parts...)
	}
	ours, err := t.sign(ctx, 0, []message.Address{{Domain: t.Hostname}}, text)
	if err != nil {
		return nil, err
	}
	theirs, err := t.sign(ctx, org, []message.Address{failures}, text)
	if err != nil {
		return nil, err
	}
	p, err := t.Holding.Prepare(ctx, theirs, ours, text)
	if err != nil {
		return nil, notJournaled(err)
	}
	return p, nil
}

func notJournaled(err error) error {
	return fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be journaled; send it again")
}

// reportWay is where an organisation's report goes.
type reportWay struct {
	here  *directory.Entity // who has the address; nil where that is nobody here
	other bool              // it is of another organisation of this server
	away  message.Address   // on another server; zero where it stays here
	route string            // by which it gets there
}

// recipient is who it is for in the queue.
func (w *reportWay) recipient(asked message.Address) queue.Recipient {
	switch {
	case w.away.IsZero():
		return queue.Recipient{Address: asked, Notify: queue.OnFailure, Route: journalRoute}
	case w.away == asked:
		return queue.Recipient{Address: asked, Notify: queue.OnFailure, Route: w.route}
	}
	return queue.Recipient{Address: w.away, Original: dsn.EncodeOriginal(asked), Notify: queue.OnFailure, Route: w.route}
}

// reportWayTx finds where a report of an organisation for an address goes. Faults: NotFound Address, Unsupported Address (it leads to another server
// whose domain is served here).
func (t *Transport) reportWayTx(ctx context.Context, tx *db.Tx, org int64, to message.Address) (w reportWay, err error) {
	found, _, err := t.recipientTx(ctx, tx, to)
	if fault.Is(err, fault.NotFound, fault.Domain) {
		return reportWay{away: to, route: t.Route}, nil
	}
	if err == nil && found.Entity.State != directory.Enabled {
		err = fault.New(fault.NotFound, fault.Address, "nobody has the address")
	}
	if err != nil {
		if !fault.Is(err, fault.NotFound, fault.Address) {
			return w, err
		}
		o, failed := t.Directory.DomainOrganizationTx(ctx, tx, message.FoldDomain(to.Domain))
		switch {
		case failed != nil:
			return w, failed
		case o.Key != org: // where nobody may be one who takes reports
			return reportWay{other: true}, nil
		case t.relay(to) != "":
			return reportWay{away: to, route: t.relay(to)}, nil
		}
		return w, err
	}
	e := &found.Entity
	w = reportWay{here: e, other: e.OrgKey != org}
	if !w.other && e.Role == directory.RoleRemote {
		var r reach
		if err := t.awayTx(ctx, tx, to, e, &r); err != nil {
			return w, err
		}
		w.away, w.route = r.away[0], t.Route
	}
	return w, nil
}

// journalReply makes the journal reports of an automatic reply, as journal does: for the user's organisation, and for that of who gets it here.
func (t *Transport) journalReply(ctx context.Context, r *automaticReply) (write func(context.Context, *db.Tx) error, discard func(), err error) {
	var all []*queue.Prepared
	discard = func() {
		for _, p := range all {
			p.Discard(context.WithoutCancel(ctx))
		}
	}
	if t.Journals == nil {
		return nil, discard, nil
	}
	orgs := []int64{r.Organization}
	err = t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		orgs = orgs[:1]
		found, _, err := t.recipientTx(ctx, tx, r.To)
		if err == nil && found.Entity.OrgKey != r.Organization {
			orgs = append(orgs, found.Entity.OrgKey)
		}
		if fault.KindOf(err) == fault.NotFound {
			return nil // it is elsewhere
		}
		return err
	})
	if err != nil {
		return nil, discard, err
	}
	slices.Sort(orgs) // see prepare
	var writes []func(context.Context, *db.Tx) error
	for _, org := range orgs {
		rule, err := t.Journals.Rule(ctx, org)
		if err == nil && rule != nil {
			var p *queue.Prepared
			e := queue.Envelope{Trace: r.Trace}
			to := []journal.Recipient{{Kind: journal.To, Address: r.To.String()}}
			var one orgWrite
			if one, p, err = t.report(ctx, journalOf{org, rule}, e, r.From, to, r.Text, 0); err == nil {
				all, writes = append(all, p), append(writes, one.do)
			}
		}
		if err != nil {
			discard()
			return nil, func() {}, err
		}
	}
	return inOne(writes...), discard, nil
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
	for _, t := range x.targets { // by rules of mailboxes of others
		if t.copied != nil && t.organization != t.copied.organization && !slices.Contains(orgs, t.organization) {
			orgs = append(orgs, t.organization)
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
	}) && !slices.ContainsFunc(x.targets, func(t target) bool {
		return t.copied != nil && t.organization == org && !strings.EqualFold(t.address, failures.String())
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
				case r.reach.route != "": // the address itself, at the old side
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
	return x.ruledOn(org, list)
}

// ruledOn adds those whom rules of mailboxes pass the message on to.
func (x *Transaction) ruledOn(org int64, list []journal.Recipient) []journal.Recipient {
	known := map[string]bool{}
	for _, r := range list {
		known[r.Address] = true
	}
	add := func(address, via string) {
		if !known[address] {
			known[address] = true
			list = append(list, journal.Recipient{Kind: journal.RecipientKind, Address: address, Forwarded: via})
		}
	}
	for _, o := range x.forwards {
		for _, r := range o.to {
			if o.organization == org {
				add(r.Address.String(), o.via)
			}
		}
	}
	for _, t := range x.targets {
		if t.copied != nil && (t.organization == org || t.copied.organization == org) {
			add(t.address, t.copied.via)
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

// JournalCourier is a queue.Courier that delivers journal reports here, and hands all else to Next.
type JournalCourier struct {
	Transport *Transport
	Next      queue.Courier
}

// Local is queue.Options.Local.
func Local(to queue.Destination) bool { return to.Route == journalRoute || Functions{}.Local(to) }

// Deliver implements queue.Courier.
func (c JournalCourier) Deliver(ctx context.Context, to queue.Destination, m *queue.Message) []queue.Outcome {
	if to.Route != journalRoute {
		return c.Next.Deliver(ctx, to, m)
	}
	o := queue.Outcome{Status: "4.3.0", Reply: "this server could not deliver the report", Ours: true}
	if len(m.Recipients) != 1 { // each is queued alone
		return slices.Repeat([]queue.Outcome{o}, len(m.Recipients))
	}
	got, err := c.Transport.deliverReport(ctx, m)
	switch {
	case err == nil:
		o = got
	case ctx.Err() == nil:
		c.Transport.Log.ErrorContext(ctx, "a journal report could not be delivered", "to", m.Recipients[0].Address.String(), "trace", m.Trace, "error", err)
	}
	return []queue.Outcome{o}
}

func reportFails(status, reply string) (queue.Outcome, error) {
	return queue.Outcome{Result: queue.Failed, Status: status, Reply: reply}, nil
}

// deliverReport brings a journal report where it goes, in one transaction with taking it off the queue.
func (t *Transport) deliverReport(ctx context.Context, m *queue.Message) (queue.Outcome, error) {
	to := m.Recipients[0].Address
	var w reportWay
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		w, err = t.reportWayTx(ctx, tx, m.Organization, to)
		return err
	})
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return reportFails("5.1.1", "nobody has the address")
	case fault.Is(err, fault.Unsupported, fault.Address):
		return reportFails("5.4.4", sayable(err))
	case err != nil:
		return queue.Outcome{}, err
	case !w.other && w.away.IsZero() && w.here.Kind == directory.KindGroup:
		return reportFails("5.1.3", "journal reports go to one mailbox, and this is a group")
	case !w.other && w.away.IsZero() && w.here.Mailbox == 0:
		return reportFails("5.1.1", "it has no mailbox")
	}
	release, err := t.memory.hold(ctx, m.Size)
	if err != nil {
		return queue.Outcome{}, err
	}
	defer release()
	b, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
	switch {
	case err != nil:
		return queue.Outcome{}, err
	case w.other:
		return t.reportArrives(ctx, m, b)
	case !w.away.IsZero():
		return t.passReportOn(ctx, m, w.recipient(to), b)
	}
	o := queue.Outcome{Result: queue.Delivered, Status: "2.1.5", Reply: "in the mailbox"}
	target := mailbox.Target{
		Mailbox: mailbox.ID(w.here.Mailbox), Prefix: []byte("Return-Path: <" + m.From.String() + ">\r\nDelivered-To: " + to.String() + "\r\n"),
	}
	_, err = t.Mailboxes.DeliverWith(ctx, content.Message(b, mailbox.Source{Bytes: b}), func(ctx context.Context, tx *db.Tx) error {
		return m.End(ctx, tx, []queue.Outcome{o})
	}, target)
	switch {
	case fault.Is(err, fault.OverQuota, fault.Mailbox):
		return queue.Outcome{Status: "4.2.2", Reply: "the mailbox is full"}, nil
	case fault.Is(err, fault.TooLarge, fault.Message):
		return reportFails("5.3.4", "the report is too large for a mailbox")
	case fault.Is(err, fault.State, fault.Mailbox), fault.Is(err, fault.NotFound, fault.Mailbox):
		return reportFails("5.2.1", "the mailbox is closed")
	}
	return o, err
}

// passReportOn queues a report anew whose address leads to another server since it was made: there it waits with all that goes there, and counts as another.
func (t *Transport) passReportOn(ctx context.Context, m *queue.Message, to queue.Recipient, b []byte) (queue.Outcome, error) {
	o := queue.Outcome{Result: queue.Delivered, Status: "2.0.0", Reply: "queued for another server"}
	p, err := t.prepareToLeave(ctx, m.Organization, m.From, b)
	if err != nil {
		return o, err
	}
	e := m.Envelope
	e.SMTPUTF8 = e.SMTPUTF8 || !to.Address.IsASCII()
	err = t.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := m.End(ctx, tx, []queue.Outcome{o}); err != nil {
			return err
		}
		_, err := t.Holding.EnqueueTx(ctx, tx, p, e, []queue.Recipient{to})
		return err
	})
	if err != nil {
		p.Discard(context.WithoutCancel(ctx))
	}
	return o, err
}

// reportArrives takes a report in for another organisation of this server, as any mail that arrives there: its rules hold for it, and those of its
// mailboxes.
func (t *Transport) reportArrives(ctx context.Context, m *queue.Message, b []byte) (queue.Outcome, error) {
	o := queue.Outcome{Result: queue.Delivered, Status: "2.1.5", Reply: "taken in by another organization of this server"}
	x, err := t.Begin(ctx, Sender{Principal: principal.TheSystem("journal"), From: m.From, Size: m.Size, Return: m.Return, SMTPUTF8: m.SMTPUTF8})
	if err != nil {
		return o, err
	}
	x.trace = m.Trace
	x.greylist = func(context.Context, message.Address) error { return nil } // this server will be back
	if err = x.Add(ctx, queue.Recipient{Address: m.Recipients[0].Address}); err == nil {
		err = x.checkRounds(b)
	}
	if err == nil {
		err = x.applyRules(ctx, b)
	}
	if err == nil {
		err = x.finish(ctx, b, 0, func(ctx context.Context, tx *db.Tx) error { return m.End(ctx, tx, []queue.Outcome{o}) })
	}
	if err == nil || fault.As(err) == nil {
		return o, err
	}
	switch fault.KindOf(err) {
	case fault.NotFound, fault.State:
		return reportFails("5.1.1", sayable(err))
	case fault.Denied, fault.Unsupported, fault.Invalid:
		return reportFails("5.7.1", sayable(err))
	case fault.TooLarge:
		return reportFails("5.3.4", sayable(err))
	}
	return queue.Outcome{Status: "4.3.0", Reply: sayable(err)}, nil
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
