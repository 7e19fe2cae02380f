package transport

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// mailRecord is what a log group is told of one event of a message; the trace is the same for all events of the message. The
// names are WorkMail's.
type mailRecord struct {
	Event   mailEvent `json:"event"`
	TraceID string    `json:"traceId"`
}

type mailEvent struct {
	Name       string   `json:"eventName"`
	Recipients []string `json:"recipients,omitempty"`
	Recipient  string   `json:"recipient,omitempty"`
	// Sender is set only for mail that is sent on behalf of From.
	Sender    string  `json:"sender,omitempty"`
	From      string  `json:"from,omitempty"`
	Subject   *string `json:"subject,omitempty"`
	MessageID string  `json:"messageId,omitempty"`
	// The verdicts are PASS, FAIL, GRAY or PROCESSING_FAILED; DMARCPolicy and Policy are NONE, QUARANTINE or REJECT.
	DKIM        string   `json:"dkimVerdict,omitempty"`
	DMARC       string   `json:"dmarcVerdict,omitempty"`
	DMARCPolicy string   `json:"dmarcPolicy,omitempty"` // of one that failed
	SPF         string   `json:"spfVerdict,omitempty"`
	Spam        string   `json:"spamVerdict,omitempty"`
	Timestamp   string   `json:"messageTimestamp,omitempty"`
	Folder      string   `json:"folder,omitempty"`
	Policy      string   `json:"policy,omitempty"`
	Bounced     *bounced `json:"bouncedRecipient,omitempty"`
	// Destination and Reason say of OUTGOING_EMAIL_BOUNCED what Bounced does: WorkMail's documented queries ask for either.
	Destination string `json:"destination,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// JournalingAddress is where the journal report of the message goes.
	JournalingAddress string `json:"journalingAddress,omitempty"`
	RuleName          string `json:"ruleName,omitempty"`
	RuleType          string `json:"ruleType,omitempty"` // INBOUND_RULE, OUTBOUND_RULE or MAILBOX_RULE
	// RuleActions has the action of a rule, or those that its function decided on, and for whom.
	RuleActions []ruleAction `json:"ruleActions,omitempty"`
	// TargetFolder and TargetRecipient are where a mailbox's rule puts or sends a message.
	TargetFolder    string `json:"targetFolder,omitempty"`
	TargetRecipient string `json:"targetRecipient,omitempty"`
}

type ruleAction struct {
	Action     string   `json:"action"`
	Recipients []string `json:"recipients"`
}

type bounced struct {
	Address string `json:"emailAddress"`
	Reason  string `json:"reason"`
	Status  string `json:"status"`
}

// bouncedEvent tells that a recipient got nothing.
func bouncedEvent(name, address, reason, status string) mailEvent {
	e := mailEvent{Name: name, Bounced: &bounced{Address: address, Reason: reason, Status: status}}
	if name == outgoingBounced {
		e.Destination, e.Reason = address, reason
	}
	return e
}

// addAction adds a recipient of an action.
func (e *mailEvent) addAction(action, recipient string) {
	i := slices.IndexFunc(e.RuleActions, func(a ruleAction) bool { return a.Action == action })
	if i < 0 {
		i, e.RuleActions = len(e.RuleActions), append(e.RuleActions, ruleAction{Action: action})
	}
	e.RuleActions[i].Recipients = append(e.RuleActions[i].Recipients, recipient)
}

const (
	incomingBounced = "INCOMING_EMAIL_BOUNCED"
	outgoingBounced = "OUTGOING_EMAIL_BOUNCED"
)

// inboxName is where arriving mail goes.
const inboxName = "INBOX"

// maxSubject is how many bytes of a subject are told.
const maxSubject = 1000

// watched is an organisation whose mail is told to a log group.
type watched struct {
	id    directory.OrgID
	group string
}

// watchTx finds out whether the events of an organisation's mail are to be told.
func (x *Transaction) watchTx(ctx context.Context, tx *db.Tx, key int64, org directory.OrgID) error {
	t := x.transport
	if _, known := x.watched[key]; known || t.Audit == nil || !t.Audit.Ships() {
		return nil
	}
	m, err := t.Policy.MonitoringTx(ctx, tx, key)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	if x.watched == nil {
		x.watched = map[int64]watched{}
	}
	x.watched[key] = watched{org, m.LogGroup}
	return nil
}

// events returns what tells that the message is stored, in the transaction that stores it; nil where nobody is told.
func (x *Transaction) events(header []byte) func(context.Context, *db.Tx) error {
	return x.tell(header, x.eventsOf)
}

// tell returns what tells each organisation that wants to know of its mail the events that of gives; nil where nobody is told.
func (x *Transaction) tell(header []byte, of func(org int64, about mailEvent) []any) func(context.Context, *db.Tx) error {
	told := map[int64][]any{}
	var about mailEvent
	for _, org := range slices.Sorted(maps.Keys(x.watched)) {
		if x.watched[org].group == "" {
			continue
		}
		if about.Subject == nil {
			about = describe(header)
		}
		if events := of(org, about); len(events) > 0 {
			told[org] = events
		}
	}
	if len(told) == 0 {
		return nil
	}
	return func(ctx context.Context, tx *db.Tx) error {
		for _, org := range slices.Sorted(maps.Keys(told)) {
			w := x.watched[org]
			if err := x.transport.Audit.EmitTx(ctx, tx, w.group, audit.EmailEvents, string(w.id), told[org]...); err != nil {
				return err
			}
		}
		return nil
	}
}

// eventsOf are the events of a stored message for one organisation: the sender's, a recipient's, or both in one.
func (x *Transaction) eventsOf(org int64, about mailEvent) (events []any) {
	add := func(e mailEvent) { events = append(events, mailRecord{e, x.trace}) }
	if org == x.organization && (x.resumed == nil || x.resumed.Direction == flow.Outbound) {
		if x.resumed == nil {
			add(mailEvent{Name: "OUTGOING_EMAIL_SUBMITTED", Recipients: addresses(x.accepted, 0), Sender: about.Sender, From: about.From, Subject: about.Subject})
		}
		for i := range x.accepted {
			a := &x.accepted[i]
			if a.organization == 0 || !a.stays() { // the queue tells when another server has it
				continue
			}
			add(mailEvent{Name: "OUTGOING_EMAIL_SENT", Recipient: a.address, Sender: about.Sender, From: about.From, MessageID: about.MessageID})
		}
	}
	if here := addresses(x.accepted, org); len(here) > 0 && x.resumed == nil {
		received := about
		received.Name, received.Recipients = "ORGANIZATION_EMAIL_RECEIVED", here
		received.Timestamp = x.transport.Clock.Now().Format("2006-01-02T15:04:05.000Z07:00")
		received.describeVerdict(x.judgement)
		if received.Spam = string(x.opinions.Verdict(org)); received.Spam == "" && len(x.sender.Listed) > 0 {
			received.Spam = string(spam.Fail)
		}
		add(received)
	}
	events = append(events, x.policyApplied(org, about)...)
	events = append(events, x.journalEvents(org)...)
	events = append(events, x.ruleEvents(org, about)...)
	events = append(events, x.unableEvents(org)...)
	return append(events, x.mailboxEvents(org, about)...)
}

// addresses are those of the accepted recipients of an organisation, of all for 0.
func addresses(accepted []recipient, org int64) (list []string) {
	for _, r := range accepted {
		if org == 0 || r.organization == org {
			list = append(list, r.address)
		}
	}
	return list
}

// describe takes what events tell of a message out of its header.
func describe(header []byte) (e mailEvent) {
	envelope := message.ParseEnvelope(header[:message.HeaderEnd(header)])
	subject := strings.ToValidUTF8(message.DecodeWords(envelope.Subject), "\uFFFD")
	subject = strings.ToValidUTF8(subject[:min(len(subject), maxSubject)], "")
	e.From, e.Sender, e.Subject, e.MessageID = firstAddress(envelope.From), firstAddress(envelope.Sender), &subject, envelope.MessageID
	if strings.EqualFold(e.Sender, e.From) {
		e.Sender = ""
	}
	return e
}

func firstAddress(list []message.Entry) string {
	for _, e := range list {
		if e.Kind == message.Mailbox && e.Domain != "" {
			return message.Address{Local: e.Local, Domain: e.Domain}.String()
		}
	}
	return ""
}

// submission returns what tells the mailbox access log that the user submitted the message, in the transaction that stores it;
// nil where nobody is told.
func (x *Transaction) submission() func(context.Context, *db.Tx) error {
	t, p := x.transport, x.sender.Principal
	if !x.sender.Submitted || x.resumed != nil || t.Audit == nil || !t.Audit.WantsAudit(audit.MailboxAccessLogs, p.Organization) {
		return nil
	}
	return func(ctx context.Context, tx *db.Tx) error {
		return t.Audit.AuditTx(ctx, tx, audit.MailboxAccessLogs, p.Organization, t.submitted(p, true))
	}
}

// tellDenied tells the mailbox access log of a user who may not send, or not as whom the message says, where err is that.
func (t *Transport) tellDenied(p principal.Principal, err error) {
	if t.Audit != nil && err != nil && fault.KindOf(err) == fault.Denied {
		t.Audit.Access(audit.MailboxAccessLogs, p.Organization, t.submitted(p, false))
	}
}

func (t *Transport) submitted(p principal.Principal, allowed bool) audit.MailboxAccess {
	e := audit.MailboxAccess{
		Time: audit.Millis(t.Clock.Now()), RequestID: p.RequestID, UserID: p.ID, Protocol: p.Protocol, UserAgent: p.UserAgent,
		Action: audit.ActSubmit, OwnerID: p.ID, ObjectType: audit.ObjectMessage, Allowed: allowed,
	}
	if p.Address.IsValid() {
		e.SourceIP = p.Address.Unmap().String()
	}
	return e
}

// toldTimeout bounds the telling of a bounce, for which nobody waits.
const toldTimeout = 5 * time.Second

// tellFull tells that a full mailbox refused the message for a recipient. The refusal stands even where it can't be told.
func (x *Transaction) tellFull(ctx context.Context, r recipient) {
	x.transport.stats.full.Add(1)
	w := x.watched[r.organization]
	if w.group == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, toldTimeout)
	defer cancel()
	e := bouncedEvent(incomingBounced, r.address, "The mailbox is full.", "5.2.2")
	err := x.transport.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return x.transport.Audit.EmitTx(ctx, tx, w.group, audit.EmailEvents, string(w.id), mailRecord{e, x.trace})
	})
	if err != nil {
		x.transport.Log.ErrorContext(ctx, "a bounce was not told to its log group", "error", err, "organization", w.id)
	}
}
