package transport

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/sieve"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/script"
)

// Replies is package autoreply's Service.
type Replies interface {
	// Standing returns the replies that stand now of those mailboxes. It must not be called in a transaction, and nor must Look.
	Standing(ctx context.Context, of ...mailbox.ID) (map[mailbox.ID]autoreply.Standing, error)
	// Look returns the text for a sender; empty for none.
	Look(ctx context.Context, box mailbox.ID, st autoreply.Standing, sender message.Address, internal bool) (string, error)
	// RememberTx notes that a sender is answered, and reports whether it is to be.
	RememberTx(ctx context.Context, tx *db.Tx, box mailbox.ID, st autoreply.Standing, sender message.Address) (bool, error)
}

// asked are the scripts and the replies of mailboxes.
func (x *Transaction) asked(ctx context.Context, boxes []mailbox.ID) (scripts map[mailbox.ID]*sieve.Script, replies map[mailbox.ID]autoreply.Standing, err error) {
	t := x.transport
	if t.Scripts != nil {
		scripts, err = t.Scripts.Active(ctx, boxes...)
	}
	if t.Replies != nil && err == nil && !x.sender.From.IsZero() {
		replies, err = t.Replies.Standing(ctx, boxes...)
	}
	return scripts, replies, err
}

// answering is what a reply of a mailbox's user to the sender needs.
type answering struct {
	user  *directory.Entity
	named bool   // the header names the user as a recipient
	usage *usage // of the limits of a day
}

// mayAnswer finds out whether a mailbox's user may answer the sender: not one who is not proven to be whom it says, nor oneself, nor where no mail
// goes; nil where not.
func (r *ruler) mayAnswer(ctx context.Context, t target) (a *answering, err error) {
	tr, to := r.transport, r.sender.From
	if to.IsZero() || r.forged() {
		return nil, nil
	}
	err = tr.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		a = nil
		found, _, err := tr.recipientTx(ctx, tx, to)
		organization := int64(0)
		switch {
		case err == nil && found.Entity.Mailbox == int64(t.mailbox):
			return nil
		case err == nil:
			organization = found.Entity.OrgKey
		case fault.Is(err, fault.NotFound, fault.Domain), fault.Is(err, fault.NotFound, fault.Address) && tr.relay(to) != "":
			from, err := message.ParseAddress(t.address)
			if err != nil {
				return err
			}
			if tr.Queue == nil {
				return nil
			}
			if test, err := tr.Directory.IsTestDomainTx(ctx, tx, message.FoldDomain(from.Domain)); test || err != nil {
				return err
			}
		default:
			return err
		}
		user, err := tr.userTx(ctx, tx, t)
		if err != nil || user == nil {
			return err
		}
		b := &answering{user: user}
		err = tr.eachOwnTx(ctx, tx, t, r.header, func(message.Address) bool {
			b.named = true
			return false
		})
		if err != nil {
			return err
		}
		if b.usage, err = tr.ownUsageTx(ctx, tx, t, organization); err != nil {
			return err
		}
		a = b
		return nil
	})
	if fault.As(err) != nil { // nobody has the address, or there is no more room in the day
		return nil, nil
	}
	return a, err
}

// eachOwnTx hands on the recipients named in the header that are the mailbox's.
func (t *Transport) eachOwnTx(ctx context.Context, tx *db.Tx, of target, header []byte, yield func(message.Address) bool) error {
	for a := range autoreply.Named(header) {
		own := strings.EqualFold(a.String(), of.address)
		if !own {
			found, _, err := t.recipientTx(ctx, tx, a)
			if err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
			own = err == nil && found.Entity.Mailbox == int64(of.mailbox)
		}
		if own && !yield(a) {
			return nil
		}
	}
	return nil
}

// answer orders the automatic reply of a mailbox, unless the message must not have one or the sender had it.
func (r *ruler) answer(ctx context.Context, t target, st autoreply.Standing) error {
	n, tr, to := r.rulings[t.mailbox], r.transport, r.sender.From
	internal := r.sender.Submitted && r.organization == t.organization
	if n != nil && n.answers || !internal && st.Audience == autoreply.NoAudience || !autoreply.Answerable(r.header, to) {
		return nil
	}
	a, err := r.mayAnswer(ctx, t)
	if err != nil || a == nil || !a.named {
		return err
	}
	text, err := tr.Replies.Look(ctx, t.mailbox, st, to, internal)
	if err != nil || strings.TrimSpace(text) == "" {
		return err
	}
	if !internal && st.Audience == autoreply.Known {
		if known, err := r.knows(ctx, t, to); err != nil || !known {
			return err
		}
	}
	if n == nil {
		n = &ruling{filings: []filing{{folder: mailbox.InboxID, path: inboxName}}}
		if r.rulings == nil {
			r.rulings = map[mailbox.ID]*ruling{}
		}
		r.rulings[t.mailbox] = n
	}
	reply := autoreply.Reply{Subject: autoreply.Subject("Automatic reply: ", r.header), Text: text}
	r.reply(n, t, a, &reply, func(ctx context.Context, tx *db.Tx) (bool, error) {
		return tr.Replies.RememberTx(ctx, tx, t.mailbox, st, to)
	})
	n.name = "Automatic reply"
	n.act(t, "REPLY", mailEvent{TargetRecipient: to.String()})
	tr.stats.rules.replied.Add(1)
	return nil
}

// vacation orders a script's reply, unless the sender had it.
func (r *ruler) vacation(ctx context.Context, n *ruling, t target, v *sieve.Vacation) error {
	tr, to := r.transport, r.sender.From
	if !autoreply.Answerable(r.header, to) { // as it came: a script may have made it look otherwise
		return nil
	}
	a, err := r.mayAnswer(ctx, t)
	if err != nil || a == nil {
		return err
	}
	key, seen := v.Handle+"\x00"+to.Fold().String(), false
	from := message.Address{}
	if list := message.ParseAddressList(v.From); len(list) == 1 && list[0].Kind == message.Mailbox {
		from = message.Address{Local: list[0].Local, Domain: list[0].Domain}
		a.user.DisplayName = cmp.Or(message.DecodeWords(list[0].Name), a.user.DisplayName)
	}
	err = tr.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if seen, err = tr.Scripts.SeenTx(ctx, tx, t.mailbox, script.Answered, key); err != nil || from.IsZero() {
			return err
		}
		found, _, err := tr.recipientTx(ctx, tx, from)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
		if err != nil || found.Entity.Mailbox != int64(t.mailbox) || found.Tag != "" { // it is not the user's
			from = message.Address{}
		}
		return nil
	})
	n.answers = true
	if err != nil || seen {
		return err
	}
	if !from.IsZero() {
		t.address = from.String()
	}
	reply := autoreply.Reply{Subject: v.Subject, Text: v.Reason, Entity: v.MIME}
	if reply.Subject == "" {
		reply.Subject = autoreply.Subject("Auto: ", r.header)
	}
	until := tr.Clock.Now().Add(v.Again)
	r.reply(n, t, a, &reply, func(ctx context.Context, tx *db.Tx) (bool, error) {
		return tr.Scripts.ClaimTx(ctx, tx, t.mailbox, script.Answered, key, until)
	})
	n.act(t, "REPLY", mailEvent{TargetRecipient: to.String()})
	tr.stats.rules.answered.Add(1)
	return nil
}

// maxKnown is how many sent messages are looked at, and knowTime for how long.
const (
	maxKnown = 5000
	knowTime = 2 * time.Second
)

// knows reports whether the mailbox's user wrote to an address: lately, by what lies in Sent Items.
func (r *ruler) knows(ctx context.Context, t target, a message.Address) (bool, error) {
	m := r.transport.Mailboxes
	within, cancel := context.WithTimeout(ctx, knowTime)
	defer cancel()
	f, err := m.FolderByID(within, t.mailbox, mailbox.SentID)
	if err != nil {
		return false, err
	}
	first := mailbox.UID(1)
	if f.UIDNext > maxKnown {
		first = f.UIDNext - maxKnown
	}
	text := "<" + a.String() + ">"
	found, err := m.Search(within, t.mailbox, f.ID, &mailbox.Criterion{Op: mailbox.And, Sub: []mailbox.Criterion{
		{Op: mailbox.InUIDs, UIDs: mailbox.UIDSet{{First: first, Last: mailbox.MaxUID}}},
		{Op: mailbox.Or, Sub: []mailbox.Criterion{{Op: mailbox.HeaderHas, Field: "To", Text: text}, {Op: mailbox.HeaderHas, Field: "Cc", Text: text}}},
	}}, content.Matcher{}, false)
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		return false, nil
	}
	return found.UIDs.Len() > 0, err
}

// replyKind are the jobs that send automatic replies.
const replyKind = "automatic-reply"

// automaticReply is what such a job needs.
type automaticReply struct {
	From         message.Address `json:"from"`
	To           message.Address `json:"to"`
	Organization int64           `json:"organization"`
	ID           directory.OrgID `json:"id"`
	Trace        string          `json:"trace"`
	Time         time.Time       `json:"time"`
	RequireTLS   bool            `json:"requireTLS,omitempty"`
	Text         []byte          `json:"text"`
}

// reply completes a reply and orders it, where fresh says in the transaction that it is one.
func (r *ruler) reply(n *ruling, t target, a *answering, reply *autoreply.Reply, fresh func(context.Context, *db.Tx) (bool, error)) {
	tr := r.transport
	from, _ := message.ParseAddress(t.address) // it was parsed before
	user := *a.user
	user.Email = from.String()
	reply.From, reply.To, reply.About, reply.Time = senderOf(&user), r.sender.From, r.header, tr.Clock.Now()
	reply.ID = id.UUID() + "@" + message.FoldDomain(from.Domain)
	if r.trace == "" {
		r.trace = id.UUID()
	}
	order := automaticReply{
		From: from, To: reply.To, Organization: t.organization, ID: t.id, Trace: r.trace, Time: reply.Time, RequireTLS: r.sender.RequireTLS,
		Text: autoreply.Compose(reply),
	}
	n.answers = true
	n.then = append(n.then, func(ctx context.Context, tx *db.Tx) error {
		if ok, err := fresh(ctx, tx); err != nil || !ok {
			return err
		}
		if a.usage != nil {
			if err := tr.countOwn(a.usage)(ctx, tx); err != nil {
				return err
			}
		}
		return job.EnqueueTx(ctx, tx, replyKind, id.UUID(), order, order.Time)
	})
}

// maxReplyTries is how often sending a reply is tried.
const maxReplyTries = 8

// sendReply sends once, whatever befalls: the job notes it in the transaction that stores or queues the reply.
func (t *Transport) sendReply(ctx context.Context, j job.Job) error {
	var sent bool
	if found, err := j.Progress(&sent); err != nil || found && sent {
		return err
	}
	var r automaticReply
	if err := j.Decode(&r); err != nil {
		return err
	}
	n := &notice{to: r.To, since: r.Time, trace: r.Trace, requireTLS: r.RequireTLS, text: r.Text, author: r.From, organization: r.Organization, id: r.ID}
	journal, withdraw, err := t.journalReply(ctx, &r)
	if err == nil {
		if err = t.sendNotice(ctx, n, inOne(journal, func(ctx context.Context, tx *db.Tx) error { return j.SaveTx(ctx, tx, true) })); err != nil {
			withdraw()
		}
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case j.Attempts+1 >= maxReplyTries:
		t.Log.ErrorContext(ctx, "an automatic reply is not sent", "from", r.From.String(), "to", r.To.String(), "trace", r.Trace, "error", err)
		return nil
	}
	return fmt.Errorf("send an automatic reply of %s: %w", r.From, err)
}
