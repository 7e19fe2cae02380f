// Package content joins mailbox, which keeps messages as bytes, and message, which reads them: what is read out of a message
// when it is stored, and when a search looks into it.
package content

import (
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

// Message makes a message ready for mailbox.Store.Deliver: its bytes, which source gives again, and what the parser reads
// in them. It never fails, whatever the bytes are.
func Message(b []byte, source mailbox.Source) mailbox.Message {
	s := message.Scan(b)
	e := message.ParseEnvelope(b)
	return mailbox.Message{
		Source:   source,
		Envelope: e.AppendBinary(nil), Structure: s.AppendBinary(nil), ParserVersion: message.ParserVersion,
	}
}
