package transport

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/trace"
)

// Store stores the message for all accepted recipients in one commit, in the queue for those on other servers, and returns when
// that is on disk. m begins with the
// trace that the face put there, traceLength bytes. On an error nothing is stored: Invalid Message, Denied Address (a
// submitted message says it is from somebody else), Limit Message (it went round in a circle), Limit Allowance (too many
// recipients of a day, see Daily), Denied Message (see authenticate, applyRules, Filter and Scanner), TooLarge Message, OverQuota Mailbox, Temporary.
func (x *Transaction) Store(ctx context.Context, m *spool.Spool, traceLength int) (err error) {
	defer func() { x.way(err, m.Size()) }()
	if len(x.targets)+len(x.sent)+len(x.reports)+len(x.unable) == 0 {
		return fault.New(fault.Invalid, fault.Message, "the message has no recipient")
	}
	b, release, err := x.read(ctx, m, traceLength)
	if err != nil {
		return err
	}
	defer release()
	if err := x.checkRounds(b[traceLength:]); err != nil {
		return err
	}
	if x.sender.Submitted {
		if b, err = x.submit(ctx, b, traceLength); err != nil {
			x.transport.tellDenied(x.sender.Principal, err)
			return err
		}
	} else {
		b = x.transport.withoutForged(b, traceLength)
	}
	started := time.Now()
	err = x.applyRules(ctx, b[traceLength:])
	if x.step("rules", started, err); err != nil {
		return err
	}
	return x.finish(ctx, b, traceLength, nil)
}

// finish stores the message, once all is decided, with what else is to be done in that transaction, which may be nil.
func (x *Transaction) finish(ctx context.Context, b []byte, traceLength int, done func(context.Context, *db.Tx) error) (err error) {
	started := time.Now()
	defer func() {
		x.step("store", started, err, trace.Attribute{Key: "mail.mailboxes", Value: len(x.targets)}, trace.Attribute{Key: "mail.queued", Value: len(x.sent)})
	}()
	x.nameLists(b[traceLength:])
	forget, err := x.ruleMailboxes(ctx, b, traceLength)
	defer forget()
	if err != nil {
		return err
	}
	write, undo, err := x.prepare(ctx, b, traceLength)
	if err != nil {
		return err
	}
	parcels := x.parcels(b)
	switch also := inOne(done, write, x.ruled(), x.also(b[traceLength:])); {
	case len(parcels) > 0:
		_, err = x.transport.Mailboxes.DeliverParcels(ctx, also, parcels...)
	case also != nil:
		err = x.transport.DB.Write(ctx, also)
	}
	if err != nil {
		undo()
	} else {
		x.countDelivered()
		if x.opinions != nil {
			x.transport.Spam.Delivered(x.opinions)
		}
	}
	if fault.Is(err, fault.OverQuota, fault.Mailbox) {
		if len(x.accepted) == 1 {
			x.tellFull(ctx, x.accepted[0])
		} else {
			x.transport.cramped.note(ctx, x, int64(len(b)))
		}
	}
	return x.answerFor(err)
}

// prepare makes ready what goes elsewhere than into mailboxes: to other servers, to functions that decide, to the archive, to functions
// that are told. write is done in the transaction that stores the message; undo tidies up if that never happens.
func (x *Transaction) prepare(ctx context.Context, b []byte, traceLength int) (write func(context.Context, *db.Tx) error, undo func(), err error) {
	var writes []orgWrite
	var undone []func()
	undo = func() {
		for _, fn := range undone {
			fn()
		}
	}
	for _, part := range []func(context.Context, []byte, int) ([]orgWrite, func(), error){x.enqueue, x.hold, x.journal, x.calls} {
		w, u, err := part(ctx, b, traceLength)
		if err != nil {
			undo()
			return nil, nil, err
		}
		writes, undone = append(writes, w...), append(undone, u)
	}
	// Two messages between organisations that both have rows to lock don't wait for each other.
	slices.SortStableFunc(writes, func(a, b orgWrite) int { return cmp.Compare(a.organization, b.organization) })
	var all []func(context.Context, *db.Tx) error
	for _, w := range writes {
		all = append(all, w.do)
	}
	return inOne(all...), undo, nil
}

// orgWrite is what is written as an organisation's in the transaction that stores a message.
type orgWrite struct {
	organization int64
	do           func(context.Context, *db.Tx) error
}

// read returns the message once it is examined and its reports are read, and what gives its room in memory back. One that lies in a
// file takes memory from here on. While it waits for DNS and filters it has room of another kind, so that nothing else waits with it,
// and no user's message with those of strangers, who can make DNS slow.
// Faults: Temporary Message (no room in time).
func (x *Transaction) read(ctx context.Context, m *spool.Spool, traceLength int) (b []byte, release func(), err error) {
	t, waits := x.transport, x.waits()
	if !waits {
		if release, err = t.memory.hold(ctx, m.Size()); err != nil {
			return nil, nil, err
		}
	} else if m.OnDisk() {
		var looked func()
		if x.sender.Submitted {
			looked, err = t.scanning.hold(ctx, m.Size())
		} else {
			looked, err = t.checking.hold(ctx, x.sender.Principal.Address, m.Size())
		}
		if err != nil {
			return nil, nil, err
		}
		defer looked()
	}
	if b, err = m.Bytes(); err != nil {
		if release != nil {
			release()
		}
		return nil, nil, fmt.Errorf("store a message: %w", err)
	}
	if err = x.examine(ctx, b[traceLength:]); err == nil {
		err = x.readReports(ctx, b[traceLength:])
	}
	switch {
	case err == nil && waits:
		release, err = t.memory.hold(ctx, m.Size())
	case err != nil && release != nil:
		release()
	}
	return b, release, err
}

// also returns what else is done in the transaction that stores the message, whose header is given: keeping the reports in it, telling of
// it, then counting it; nil where there is nothing to do.
func (x *Transaction) also(header []byte) func(context.Context, *db.Tx) error {
	return inOne(x.keep, x.successes(header), x.bounces(header), x.events(header), x.submission(), x.count(), x.countRules(), x.judged(), x.delivered(), x.sender.Also)
}

// inOne returns what does all that is not nil, one after the other; nil where that is nothing.
func inOne(do ...func(context.Context, *db.Tx) error) func(context.Context, *db.Tx) error {
	do = slices.DeleteFunc(do, func(fn func(context.Context, *db.Tx) error) bool { return fn == nil })
	if len(do) == 0 {
		return nil
	}
	return func(ctx context.Context, tx *db.Tx) error {
		for _, fn := range do {
			if err := fn(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	}
}

// count returns what counts the message in the transaction that stores it; nil where nothing is to be counted.
func (x *Transaction) count() func(context.Context, *db.Tx) error {
	if x.usage == nil {
		return nil
	}
	t, now := x.transport, x.transport.Clock.Now()
	shares := t.shares(*x.usage)
	if len(shares) == 0 {
		return nil
	}
	return func(ctx context.Context, tx *db.Tx) error { return t.countTx(ctx, tx, shares, now) }
}

// prefix is a mailbox's own lines in front of the message: where answers about its delivery go, the address that led
// here (RFC 5321 section 4.4), and what was found out about it. The results stand there and not in the body, which thus is not copied.
func (x *Transaction) prefix(t target, results string) string {
	via := ""
	if t.copied != nil {
		via = "Delivered-To: " + t.copied.via + "\r\n"
	}
	return "Return-Path: <" + x.sender.From.String() + ">\r\nDelivered-To: " + t.address + "\r\n" + via + x.lists[t.mailbox] + results + x.spamFields(t.mailbox)
}

// checkRounds refuses a message that has been through too many servers (RFC 5321 section 6.3), or was passed on from here before for
// an address that it is to be passed on for again.
func (x *Transaction) checkRounds(b []byte) error {
	n := 0
	for f := range message.Fields(b) {
		if f.Is("received") {
			n++
		}
	}
	x.passed = passedFor(b)
	for _, o := range x.forwards {
		if err := x.checkPassed(o.via); err != nil {
			return err
		}
	}
	if limit := x.transport.Limits.Received; n > limit {
		return fault.New(fault.Limit, fault.Message, "the message has %d Received fields; more than %d mean that it goes round in a circle", n, limit)
	}
	return nil
}

// answerFor turns what went wrong with one of several mailboxes into an answer for all recipients: it must be sent again to
// all, and then the one that is full (see cramped) or closed is refused by itself.
func (x *Transaction) answerFor(err error) error {
	switch f := fault.As(err); {
	case f == nil:
		return err
	case f.Subject != fault.Mailbox && f.Subject != fault.Folder:
		return err
	case f.Kind == fault.OverQuota && len(x.accepted) == 1:
		// How much a mailbox holds is nothing for a stranger.
		return fault.Wrap(err, fault.OverQuota, fault.Mailbox, "the recipient's mailbox is full")
	case f.Kind == fault.OverQuota, f.Kind == fault.State, f.Kind == fault.NotFound:
		return fault.Wrap(err, fault.Temporary, fault.Mailbox, "a recipient's mailbox can't take the message any more; send it again")
	}
	return err
}
