package transport

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/trace"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// judgement is what was found out about a message from another server, and what becomes of it therefore.
type judgement struct {
	verdict     *mailauth.Verdict
	disposition mailauth.Disposition
	// applied is what the author's domain asks for, by the organisations of recipients that do it.
	applied map[int64]mailauth.Policy
}

// authenticate finds out whether a message from another server is from whom it says, and what the recipients' organisations make of
// that: who refuses it gets none, and where all do the sender is told (Denied Message). b is the message without the
// server's trace.
func (x *Transaction) authenticate(ctx context.Context, b []byte) error {
	t := x.transport
	started := time.Now()
	v := t.Auth.Check(ctx, x.client(), b)
	policy, d := v.Asked()
	defer func() {
		x.step("authenticate", started, nil, trace.Attribute{Key: "mail.spf", Value: v.SPF.Result}, trace.Attribute{Key: "mail.dkim", Value: v.Signed()},
			trace.Attribute{Key: "mail.dmarc", Value: v.DMARC.Result}, trace.Attribute{Key: "mail.dmarc.applied", Value: x.judgement.disposition.Applied})
	}()
	x.judgement = &judgement{verdict: v, disposition: d, applied: map[int64]mailauth.Policy{}}
	x.tellFailures()
	if policy != mailauth.PolicyNone {
		if err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error { return x.applyTx(ctx, tx, policy) }); err != nil {
			return err
		}
	}
	t.Log.InfoContext(ctx, "checked", "trace", x.trace, "remote", x.sender.Principal.Address, "from", x.sender.From.String(), "author", v.DMARC.From, "iprev", v.IPRev.Result,
		"spf", v.SPF.Result, "dkim", v.Signed(), "arc", v.ARC.Result, "dmarc", v.DMARC.Result, "policy", policy, "applied", x.judgement.disposition.Applied,
		"took", time.Since(started))
	switch x.judgement.disposition.Applied {
	case mailauth.PolicyReject:
		return x.drop(ctx, b)
	case mailauth.PolicyQuarantine:
		t.stats.quarantined.Add(1)
	}
	return nil
}

// client is who brings a message from another server.
func (x *Transaction) client() mailauth.Client {
	return mailauth.Client{Address: x.sender.Principal.Address, Hello: x.sender.Hello, From: x.sender.From}
}

// pass asks the greylist for a recipient.
func (x *Transaction) pass(ctx context.Context, to message.Address) error {
	if x.sender.Submitted || x.sender.Taken || x.transport.Greylist == nil {
		return nil
	}
	if x.greylist == nil {
		x.greylist = x.transport.Greylist.Pass(x.client())
	}
	return x.greylist(ctx, to)
}

// delivered returns what tells the greylist; nil where there is nothing to tell.
func (x *Transaction) delivered() func(context.Context, *db.Tx) error {
	if x.judgement == nil || x.transport.Greylist == nil {
		return nil
	}
	return x.transport.Greylist.Delivered(x.judgement.verdict)
}

// applyTx finds the organisations that do what the author's domain asks for.
func (x *Transaction) applyTx(ctx context.Context, tx *db.Tx, policy mailauth.Policy) error {
	j := x.judgement
	clear(j.applied)
	j.disposition = mailauth.Disposition{Applied: mailauth.PolicyNone, Override: mailauth.OverrideLocal, Comment: "the recipient does not enforce DMARC"}
	asked := map[int64]bool{}
	for _, r := range x.accepted {
		if r.organization == 0 || asked[r.organization] {
			continue
		}
		asked[r.organization] = true
		enforced, err := x.transport.Policy.EnforcesDMARCTx(ctx, tx, r.organization)
		if err != nil {
			return err
		}
		if enforced {
			j.applied[r.organization] = policy
			j.disposition = mailauth.Disposition{Applied: policy}
		}
	}
	return nil
}

// drop takes a message from the recipients whose organisations refuse it, or refuses it where that is all.
func (x *Transaction) drop(ctx context.Context, text []byte) error {
	t, j := x.transport, x.judgement
	var dropped []string
	for _, r := range x.accepted {
		if x.refuses(r.organization) {
			dropped = append(dropped, r.address)
		}
	}
	if len(dropped) < len(x.accepted) {
		t.Log.InfoContext(ctx, "dropped for some recipients by the DMARC policy of its author's domain", "trace", x.trace, "author", j.verdict.DMARC.From,
			"from", x.sender.From.String(), "recipients", dropped)
		x.targets = slices.DeleteFunc(x.targets, func(target target) bool { return x.refuses(target.organization) })
		x.forwards = slices.DeleteFunc(x.forwards, func(o outgoing) bool { return x.refuses(o.organization) })
		x.reports = slices.DeleteFunc(x.reports, func(a intake.Address) bool { return x.refuses(a.Key) })
		t.stats.dropped.Add(1)
		return nil
	}
	if told := inOne(x.tell(text, x.policyApplied), x.judged()); told != nil {
		if err := t.DB.Write(ctx, told); err != nil { // the refusal stands even where it can't be told
			t.Log.ErrorContext(ctx, "a refusal is not told", "error", err)
		}
	}
	t.stats.refused.Add(1)
	return fault.New(fault.Denied, fault.Message, "%s", j.verdict.Refusal())
}

// judged returns what tells Options.Judged; nil where there is nothing to tell.
func (x *Transaction) judged() func(context.Context, *db.Tx) error {
	j, tell := x.judgement, x.transport.Judged
	if j == nil || tell == nil {
		return nil
	}
	return func(ctx context.Context, tx *db.Tx) error { return tell(ctx, tx, j.verdict, j.disposition) }
}

// policyApplied is the event of what was done with the message for an organisation's recipients by the wish of its author's domain.
func (x *Transaction) policyApplied(org int64, about mailEvent) []any {
	if x.judgement == nil || x.judgement.applied[org] == "" {
		return nil
	}
	policy := strings.ToUpper(string(x.judgement.applied[org]))
	return []any{mailRecord{mailEvent{Name: "DMARC_POLICY_APPLIED", Recipients: addresses(x.accepted, org), From: about.From, Policy: policy}, x.trace}}
}

// isJunk reports whether the message goes to the Junk E-mail folder of a mailbox. A rule that lets no verdict on spam do that doesn't
// overrule the wish of the author's domain: From, which the rule is for, is what was forged then.
func (x *Transaction) isJunk(t target) bool {
	return t.junk || x.resumed != nil && x.resumed.Quarantined || x.judgement != nil && x.judgement.applied[t.organization] == mailauth.PolicyQuarantine
}

// folder is where the message goes in a mailbox, and what that is called. Every mailbox has both folders for good.
func (x *Transaction) folder(t target) (mailbox.FolderID, string) {
	if x.isJunk(t) || !t.neverJunk && x.isSpam(t.mailbox) {
		return mailbox.JunkID, "Junk E-mail"
	}
	return mailbox.InboxID, inboxName
}

// results is the field that tells what was found out; empty for what was not checked.
func (x *Transaction) results() string {
	if x.resumed != nil {
		return x.resumed.Results
	}
	if x.judgement == nil {
		return ""
	}
	return x.judgement.verdict.Field(x.transport.Hostname)
}

// withoutForged returns the message without results of checks that it says are this server's. b begins with the server's trace, which
// moves towards the body then: a large message is not copied, and what stood in b is there no more.
func (t *Transport) withoutForged(b []byte, traceLength int) []byte {
	end := traceLength + message.HeaderEnd(b[traceLength:])
	header := b[traceLength:end]
	clean := mailauth.WithoutResults(header, t.Hostname)
	if len(clean) == len(header) {
		return b
	}
	start := end - len(clean) - traceLength
	copy(b[start:], b[:traceLength])
	copy(b[start+traceLength:end], clean)
	return b[start:]
}

// describeVerdict puts the verdicts on a message into its event, in the words of SES.
func (e *mailEvent) describeVerdict(j *judgement) {
	if j == nil {
		return
	}
	v := j.verdict
	e.DKIM, e.SPF, e.DMARC = verdictOf(v.Signed()), verdictOf(v.SPF.Result), verdictOf(v.DMARC.Result)
	if v.DMARC.Result == dkim.Fail {
		e.DMARCPolicy = strings.ToUpper(string(v.DMARC.Policy))
	}
}

func verdictOf(r dkim.Result) string {
	switch r {
	case dkim.Pass:
		return "PASS"
	case dkim.Fail, dkim.Policy, mailauth.SoftFail:
		return "FAIL"
	case dkim.TempError, dkim.PermError:
		return "PROCESSING_FAILED"
	}
	return "GRAY"
}

// stats counts messages.
type stats struct {
	refused, dropped, quarantined, journaled, journalsSent, journalsFailed atomic.Uint64
	arrived, submitted                                                     counts
	inbox, junk, full                                                      atomic.Uint64
	rules                                                                  ruleCounts
}

// counts are of messages by what became of them.
type counts struct{ stored, refused, deferred atomic.Uint64 }

func (c *counts) load() Counts { return Counts{c.stored.Load(), c.refused.Load(), c.deferred.Load()} }

// Counts are how many messages were stored, refused whole, or not taken now.
type Counts struct{ Stored, Refused, Deferred uint64 }

// Stats is what was counted since the start.
type Stats struct {
	// Refused, Dropped and Quarantined are messages from other servers that met the enforcement of DMARC: by all of their recipients, for some
	// of them, and those that went to Junk E-mail.
	Refused, Dropped, Quarantined uint64
	// Arrived are messages from other servers, Submitted those of users.
	Arrived, Submitted Counts
	// Inbox and Junk are mailboxes that got one; Full are recipients whose mailbox had no room.
	Inbox, Junk, Full uint64
	// Journaled are reports that were made; of these JournalsSent reached a mailbox or another server, and JournalsFailed never will.
	Journaled, JournalsSent, JournalsFailed uint64
}

// Stats returns what was counted.
func (t *Transport) Stats() Stats {
	s := &t.stats
	return Stats{
		Refused: s.refused.Load(), Dropped: s.dropped.Load(), Quarantined: s.quarantined.Load(), Arrived: s.arrived.load(), Submitted: s.submitted.load(),
		Inbox: s.inbox.Load(), Junk: s.junk.Load(), Full: s.full.Load(),
		Journaled: s.journaled.Load(), JournalsSent: s.journalsSent.Load(), JournalsFailed: s.journalsFailed.Load(),
	}
}
