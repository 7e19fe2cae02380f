package imap

import (
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/message"
)

// appendEnvelope appends ENVELOPE (RFC 3501 section 7.4.2).
func appendEnvelope(b []byte, e *message.Envelope) []byte {
	b = wire.AppendNString(append(b, '('), e.Date)
	b = wire.AppendNString(append(b, ' '), e.Subject)
	sender, replyTo := e.Sender, e.ReplyTo
	if len(sender) == 0 {
		sender = e.From
	}
	if len(replyTo) == 0 {
		replyTo = e.From
	}
	for _, list := range [...][]message.Entry{e.From, sender, replyTo, e.To, e.Cc, e.Bcc} {
		b = appendAddresses(append(b, ' '), list)
	}
	b = wire.AppendNString(append(b, ' '), e.InReplyTo)
	b = wire.AppendNString(append(b, ' '), e.MessageID)
	return append(b, ')')
}

// appendAddresses appends a list of addresses. A group begins with an entry that has no host and ends with one that has
// nothing at all.
func appendAddresses(b []byte, list []message.Entry) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i := range list {
		switch a := &list[i]; a.Kind {
		case message.GroupStart:
			b = append(wire.AppendString(append(b, "(NIL NIL "...), a.Name), " NIL)"...)
		case message.GroupEnd:
			b = append(b, "(NIL NIL NIL NIL)"...)
		default: // an empty host must not be NIL, which would make the address the beginning of a group
			b = wire.AppendNString(append(b, '('), a.Name)
			b = wire.AppendNString(append(b, ' '), a.Route)
			b = wire.AppendString(append(b, ' '), a.Local)
			b = append(wire.AppendString(append(b, ' '), a.Domain), ')')
		}
	}
	return append(b, ')')
}
