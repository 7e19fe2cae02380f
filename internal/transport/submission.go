package transport

import (
	"bytes"
	"context"
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// originators are the fields of a submitted message that say who it is from.
type originators struct {
	from, sender, resentFrom, resentSender []message.Address
	hasDate, hasMessageID                  bool
}

// submit checks what a user submits and returns it as it is to be stored: without Bcc, with Date, Message-ID and the Sender
// that is due. b begins with the server's trace, traceLength bytes. It may change the transaction's reverse-path.
//
// Faults: Invalid Message (a header that leaves open who the message is from), Denied Address.
func (x *Transaction) submit(ctx context.Context, b []byte, traceLength int) ([]byte, error) {
	headerEnd := traceLength + message.HeaderEnd(b[traceLength:])
	header := b[traceLength:headerEnd]
	o, err := readOriginators(header)
	if err != nil {
		return nil, err
	}
	t := x.transport
	var s senderRule
	var actor *directory.Entity
	err = t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if _, actor, err = t.actorTx(ctx, tx, x.sender.Principal); err != nil {
			return err
		}
		if s, err = t.senderRuleTx(ctx, tx, actor, o); err != nil {
			return err
		}
		if s.hidesActor && !x.sender.From.IsZero() {
			x.sender.From = o.from[0]
		}
		if copies := x.copies(); len(copies) > 0 {
			for _, from := range o.from {
				if err := x.mayLeaveTx(ctx, tx, from, copies[0].to[0].Address); err != nil {
					return err
				}
			}
		}
		if x.usage != nil {
			x.usage.fromTest, err = t.fromTestTx(ctx, tx, append(o.from, x.sender.From)...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	x.authors = o.from
	remove := []string{"bcc", "resent-bcc", "return-path"}
	if s.dropSender {
		remove = append(remove, "sender")
	}
	out := make([]byte, 0, len(b)+512)
	out = append(out, b[:traceLength]...)
	if !o.hasDate {
		out = append(out, "Date: "+t.Clock.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700")+"\r\n"...)
	}
	if !o.hasMessageID {
		out = append(out, "Message-ID: <"+id.UUID()+"@"+message.FoldDomain(o.from[0].Domain)+">\r\n"...)
	}
	if s.addSender {
		out = append(out, "Sender: "+senderOf(actor)+"\r\n"...)
	}
	out = append(out, mailauth.WithoutResults(message.WithoutFields(header, remove...), t.Hostname)...)
	return append(out, b[headerEnd:]...), nil
}

// readOriginators reads who a message says it is from. What readers of mail could understand differently is refused: two
// From or Sender fields, a NUL, a first line that continues nothing, a name that is From but for a character nobody sees, an address
// that is none.
func readOriginators(header []byte) (o originators, err error) {
	if bytes.IndexByte(header, 0) >= 0 {
		return o, fault.New(fault.Invalid, fault.Message, "the header of a message can't hold NUL")
	}
	if len(header) > 0 && (header[0] == ' ' || header[0] == '\t') { // it would go on with the last field put before it
		return o, fault.New(fault.Invalid, fault.Message, "the header begins with the continuation of a field")
	}
	lists := map[string]*[]message.Address{"from": &o.from, "sender": &o.sender, "resent-from": &o.resentFrom, "resent-sender": &o.resentSender}
	if message.Hides(header, slices.Collect(maps.Keys(lists))...) {
		return o, fault.New(fault.Invalid, fault.Message, "the header has the name of a field with characters that can't be in it")
	}
	count := map[string]int{}
	for f := range message.Fields(header) {
		name := strings.ToLower(string(f.Name))
		to := lists[name]
		switch {
		case name == "date":
			o.hasDate = true
		case name == "message-id":
			o.hasMessageID = true
		case to != nil:
			if count[name]++; count[name] > 1 && !strings.HasPrefix(name, "resent-") {
				return o, fault.New(fault.Invalid, fault.Message, "the message has two %s fields; one is allowed", f.Name)
			}
			list, err := addressesOf(f)
			if err != nil {
				return o, err
			}
			*to = append(*to, list...)
		}
	}
	switch {
	case len(o.from) == 0:
		return o, fault.New(fault.Invalid, fault.Message, "the message has no From field with an address")
	case len(o.sender) > 1:
		return o, fault.New(fault.Invalid, fault.Message, "the Sender field has more than one address")
	}
	return o, nil
}

// maxOriginators is how many addresses one field can say a message is from.
const maxOriginators = 100

func addressesOf(f message.Field) ([]message.Address, error) {
	var list []message.Address
	for _, e := range message.ParseAddressList(f.Value()) {
		a := message.Address{Local: e.Local, Domain: e.Domain}
		switch {
		case e.Kind != message.Mailbox:
			return nil, fault.New(fault.Invalid, fault.Message, "the %s field has a group; a message is from somebody", f.Name)
		case a.Local == "" || a.Domain == "" || len(list) == maxOriginators:
			return nil, fault.New(fault.Invalid, fault.Message, "the %s field has something that is no address, or too many", f.Name)
		}
		list = append(list, a)
	}
	if ambiguous(f.Value()) {
		return nil, fault.New(fault.Invalid, fault.Message, "the %s field can be read in more than one way: write name <address>", f.Name)
	}
	return list, nil
}

// senderRule is what becomes of the Sender field.
type senderRule struct {
	dropSender, addSender bool
	// hidesActor says that the message is from the owner alone, so the reverse-path is the owner's too.
	hidesActor bool
}

// senderRuleTx checks every address that the message says it is from. With SEND_AS the owner is in From and, where there is
// one, in Sender, and the user is nowhere; with SEND_ON_BEHALF the user is in Sender.
func (t *Transport) senderRuleTx(ctx context.Context, tx *db.Tx, actor *directory.Entity, o originators) (r senderRule, err error) {
	own, as, both := 0, 0, 0
	for _, a := range o.from {
		g, err := t.mayUseTx(ctx, tx, actor, a)
		if err != nil {
			return r, err
		}
		switch {
		case g.Own:
			own++
		case g.MaySendAs():
			as++
			if g.MaySendOnBehalf() {
				both++
			}
		}
	}
	onBehalf := own+as < len(o.from)
	senderIsOwn := false
	for _, a := range o.sender {
		g, err := t.mayUseTx(ctx, tx, actor, a)
		if err != nil {
			return r, err
		}
		if !g.MaySendAs() {
			return r, notInSender(a)
		}
		senderIsOwn = g.Own
	}
	switch {
	case onBehalf:
		r.dropSender, r.addSender = len(o.sender) > 0 && !senderIsOwn, !senderIsOwn
	case as == len(o.from):
		// A user who may do both and names itself in Sender wants to be seen.
		r.dropSender = senderIsOwn && both < as
		r.hidesActor = !senderIsOwn || r.dropSender
	case len(o.from) > 1 && len(o.sender) == 0: // RFC 5322 section 3.6.2
		r.addSender = true
	}
	return r, t.mayResendTx(ctx, tx, actor, o)
}

// mayResendTx checks the fields of who resent a message. Where that is on behalf of somebody, the user must be in
// Resent-Sender already: which of several resendings a field belongs to, its place in the header says.
func (t *Transport) mayResendTx(ctx context.Context, tx *db.Tx, actor *directory.Entity, o originators) error {
	senders := 0
	for _, a := range o.resentSender {
		g, err := t.mayUseTx(ctx, tx, actor, a)
		if err != nil {
			return err
		}
		if !g.MaySendAs() {
			return notInSender(a)
		}
		if g.Own {
			senders++
		}
	}
	for _, a := range o.resentFrom {
		g, err := t.mayUseTx(ctx, tx, actor, a)
		if err != nil {
			return err
		}
		if !g.MaySendAs() && senders == 0 {
			return fault.New(fault.Denied, fault.Address, "to resend on behalf of %s, put yourself in Resent-Sender", a)
		}
	}
	return nil
}

func notInSender(a message.Address) error {
	return fault.New(fault.Denied, fault.Address, "you may send on behalf of %s, but not as it: it can't be the sender", a)
}

// senderOf is the user as the Sender field has it.
func senderOf(e *directory.Entity) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 127 {
			return -1
		}
		return r
	}, e.DisplayName)
	switch encoded := mime.BEncoding.Encode("utf-8", name); {
	case name == "":
		return "<" + e.Email + ">"
	case encoded != name: // beyond ASCII; the Q-encoding would leave characters bare that mean something in an address
		return strings.ReplaceAll(encoded, "?= =?", "?=\r\n\t=?") + " <" + e.Email + ">"
	default:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + e.Email + ">"
	}
}
