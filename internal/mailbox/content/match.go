package content

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

// Matcher answers a search's questions about messages. Texts are compared as people read them: encoded words, transfer
// encodings and charsets decoded, HTML without its markup, and without case. Its zero value is ready.
type Matcher struct{}

// maxPartText is how many bytes of one text part a search looks at, before they are decoded, and maxHeader how many of a
// header.
const (
	maxPartText = 4 << 20
	maxHeader   = message.MaxHeader
)

// MatchEnvelope answers from the envelope what it can.
func (Matcher) MatchEnvelope(c *mailbox.Criterion, envelope []byte) (match, known bool) {
	e, err := message.DecodeEnvelope(envelope)
	if err != nil {
		return false, false // a form that this version does not know: the message itself answers
	}
	switch c.Op {
	case mailbox.SentFrom:
		return !e.Sent.IsZero() && !day(e.Sent).Before(c.Time), true
	case mailbox.SentBefore:
		return !e.Sent.IsZero() && day(e.Sent).Before(c.Time), true
	case mailbox.HeaderHas:
		return envelopeHas(e, strings.ToLower(c.Field), c.Text)
	}
	return false, false
}

// day returns the date as it was written, whatever the zone, as midnight UTC (RFC 3501 section 6.4.4, SENTSINCE).
func day(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// envelopeHas answers for a field that the envelope holds. One that is empty there may be missing or only empty, which
// the header tells apart.
func envelopeHas(e *message.Envelope, field, text string) (match, known bool) {
	n := newNeedle(text)
	has := func(list []message.Entry) (bool, bool) {
		for i := range list {
			if entryHas(&list[i], n) {
				return true, true
			}
		}
		return false, len(list) > 0 && len(list) < message.MaxEntries
	}
	words := func(value string) (bool, bool) {
		if value == "" || len(value) >= message.MaxValue {
			return false, false
		}
		return n.in(message.DecodeWords(value)), true
	}
	switch field {
	case "subject":
		return words(e.Subject)
	case "from":
		return has(e.From)
	case "to":
		return has(e.To)
	case "cc":
		return has(e.Cc)
	case "bcc":
		return has(e.Bcc)
	case "sender":
		return has(e.Sender)
	case "reply-to":
		return has(e.ReplyTo)
	case "message-id":
		return words(e.MessageID)
	case "in-reply-to":
		return words(e.InReplyTo)
	}
	return false, false
}

// entryHas looks into an address as it stands in a header: name and address together.
func entryHas(a *message.Entry, n needle) bool {
	if a.Kind == message.GroupEnd {
		return n.text == ""
	}
	text := message.DecodeWords(a.Name)
	if a.Local != "" || a.Domain != "" {
		if text != "" {
			text += " "
		}
		text += "<" + a.Local + "@" + a.Domain + ">"
	}
	return n.in(text)
}

// MatchMessage answers from the message itself. It reads the header and the text parts, not the attachments.
func (Matcher) MatchMessage(c *mailbox.Criterion, structure []byte, body mailbox.Content, prefix int) (bool, error) {
	s, err := message.DecodeStructure(structure)
	if err != nil {
		return false, fmt.Errorf("search: %w", err)
	}
	n := newNeedle(c.Text)
	switch c.Op {
	case mailbox.SentFrom, mailbox.SentBefore, mailbox.HeaderHas, mailbox.TextHas:
		header, err := read(body, 0, int64(prefix+s.Parts[0].BodyStart), maxHeader)
		if err != nil {
			return false, err
		}
		if match := headerMatches(c, header, n); match || c.Op != mailbox.TextHas {
			return match, nil
		}
	}
	for i := range s.Parts {
		text, err := partText(s, i, body, prefix)
		if err != nil {
			return false, err
		}
		if n.in(text) {
			return true, nil
		}
	}
	return false, nil
}

func headerMatches(c *mailbox.Criterion, header []byte, n needle) bool {
	if c.Op == mailbox.SentFrom || c.Op == mailbox.SentBefore {
		value, _ := message.FirstValue(header, "date")
		sent, ok := message.ParseDate(value)
		return ok && (c.Op == mailbox.SentFrom) != day(sent).Before(c.Time)
	}
	field := strings.ToLower(c.Field)
	for f := range message.Fields(header) {
		if c.Op == mailbox.HeaderHas && !f.Is(field) {
			continue
		}
		value := message.DecodeWords(f.Value())
		if n.in(value) || c.Op == mailbox.TextHas && n.in(string(f.Name)+": "+value) {
			return true
		}
	}
	return false
}

// partText returns what people read in a part: decoded text, and the header of a message inside the message.
func partText(s *message.Structure, i int, body mailbox.Content, prefix int) (string, error) {
	p := &s.Parts[i]
	if p.Parent >= 0 && s.Parts[p.Parent].IsMessage() {
		header, err := read(body, int64(prefix+p.HeaderStart), int64(p.BodyStart-p.HeaderStart), maxHeader)
		if err != nil {
			return "", err
		}
		text, err := leafText(p, body, prefix)
		return message.DecodeWords(string(header)) + "\n" + text, err
	}
	return leafText(p, body, prefix)
}

func leafText(p *message.Part, body mailbox.Content, prefix int) (string, error) {
	if p.Type != "text" {
		return "", nil
	}
	b, err := read(body, int64(prefix+p.BodyStart), int64(p.End-p.BodyStart), maxPartText)
	if err != nil {
		return "", err
	}
	text := message.DecodeCharset(p.Param("charset"), message.DecodeTransfer(p.Encoding, b))
	if p.Subtype == "html" {
		text = message.HTMLText(text)
	}
	return text, nil
}

// read returns n bytes of the message from offset, limit at most.
func read(c mailbox.Content, offset, n int64, limit int) ([]byte, error) {
	n = min(n, int64(limit), c.Size()-offset)
	if n <= 0 {
		return nil, nil
	}
	if b := c.Bytes(); b != nil {
		return b[offset : offset+n], nil
	}
	b := make([]byte, n)
	if m, err := c.ReadAt(b, offset); m < len(b) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("search a message: %w", err)
	}
	return b, nil
}
