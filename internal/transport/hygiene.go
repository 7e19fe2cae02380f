package transport

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/netblock"
	"github.com/pennypost/pennypost/internal/trace"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// Filter is package spam's Service.
type Filter interface {
	// Judge returns what is made of a message for each mailbox. Faults: Denied Message, Temporary Message.
	Judge(ctx context.Context, m spam.Message) (*spam.Judgement, error)
	// Delivered is told of a message that was judged and is stored.
	Delivered(j *spam.Judgement)
}

// Scanner is package scan's.
type Scanner interface {
	// Scan refuses a message for what it holds. from is the network that brings what is not submitted, see netblock.Of. Faults: Denied
	// Message, TooLarge Message, Temporary Message.
	Scan(ctx context.Context, text []byte, submitted bool, from netip.Addr) error
	// Waits reports whether Scan waits for another's word.
	Waits() bool
}

// waits reports whether the message waits for anybody's word before it is stored.
func (x *Transaction) waits() bool {
	t := x.transport
	return t.Scanner != nil && t.Scanner.Waits() || !x.sender.Submitted && (t.Auth != nil || t.Spam != nil)
}

// examine refuses a message, without the server's trace, for whom it is from, for what it holds or as spam, or finds out what is to
// become of it.
func (x *Transaction) examine(ctx context.Context, b []byte) error {
	t := x.transport
	if t.Auth != nil && !x.sender.Submitted {
		if err := x.authenticate(ctx, b); err != nil {
			return err
		}
	}
	err := x.checkAttachments(b)
	if err == nil && t.Scanner != nil {
		started := time.Now()
		err = t.Scanner.Scan(ctx, b, x.sender.Submitted, netblock.Of(x.sender.Principal.Address).Addr())
		x.step("scan", started, err)
	}
	if err != nil {
		t.Log.InfoContext(ctx, "refused for what it holds", "trace", x.trace, "remote", x.sender.Principal.Address, "from", x.sender.From.String(),
			"submitted", x.sender.Submitted, "reason", err)
		return err
	}
	if t.Spam != nil && !x.sender.Submitted && len(x.targets) > 0 {
		return x.judge(ctx, b)
	}
	return nil
}

// checkAttachments refuses a message that has too many: TooLarge Message.
func (x *Transaction) checkAttachments(b []byte) error {
	limit := x.transport.Limits.Attachments
	// Each has a delimiter line before it, but for a message that is all attachment: most mail is let through without a look at its parts.
	if limit < 0 || bytes.Count(b, []byte("\n--")) <= limit {
		return nil
	}
	if n := message.Scan(b).Attachments(); n > limit {
		return fault.New(fault.TooLarge, fault.Message, "the message has %d attachments; at most %d are allowed", n, limit)
	}
	return nil
}

// judge finds out for whom the message is spam.
func (x *Transaction) judge(ctx context.Context, b []byte) (err error) {
	t := x.transport
	m := spam.Message{
		Client: mailauth.Client{Address: x.sender.Principal.Address, Hello: x.sender.Hello, From: x.sender.From},
		Listed: x.sender.Listed, Trace: x.trace, Bytes: b,
		Recipients: make([]spam.Recipient, len(x.targets)), Addresses: make([]message.Address, len(x.accepted)),
	}
	if x.judgement != nil {
		m.Verdict = x.judgement.verdict
	}
	for i, target := range x.targets {
		m.Recipients[i] = spam.Recipient{Mailbox: target.mailbox, Org: target.organization}
	}
	for i, r := range x.accepted {
		m.Addresses[i] = r.asked.Address
	}
	started := time.Now()
	x.opinions, err = t.Spam.Judge(ctx, m)
	if x.step("spam", started, err, trace.Attribute{Key: "mail.spam", Value: x.opinions.Verdict(0)}); err != nil {
		t.Log.InfoContext(ctx, "refused by the spam filter", "trace", x.trace, "remote", x.sender.Principal.Address, "from", x.sender.From.String(), "reason", err)
		return err
	}
	if v := x.opinions.Verdict(0); v != spam.Pass {
		t.Log.InfoContext(ctx, "judged", "remote", x.sender.Principal.Address, "from", x.sender.From.String(), "spam", v, "trace", x.trace,
			"took", time.Since(started))
	}
	return nil
}

// isSpam reports whether the message is spam for a mailbox.
func (x *Transaction) isSpam(box mailbox.ID) bool {
	if x.resumed != nil {
		return x.resumed.opinion(box).Spam
	}
	return len(x.sender.Listed) > 0 || x.opinions.Of(box).Spam()
}

// spamFields are the lines that say so to its reader.
func (x *Transaction) spamFields(box mailbox.ID) string {
	if x.resumed != nil {
		return x.resumed.opinion(box).Fields
	}
	return x.opinions.Of(box).Fields()
}
