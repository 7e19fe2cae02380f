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

// Message makes ready to look into a message: into its header and its text parts, not its attachments.
func (Matcher) Message(structure []byte, body mailbox.Content, prefix int) mailbox.MessageMatcher {
	return &opened{encoded: structure, body: body, prefix: prefix}
}

// opened is a message of which a search asks. What one question had decoded is there for the next: a search may ask a
// thousand, and a message may have thousands of parts.
type opened struct {
	encoded   []byte
	body      mailbox.Content
	prefix    int
	structure *message.Structure // nil until it is decoded
	header    []byte             // nil until it is read
	fields    string             // all of it as people read it, "" until it is decoded
	texts     map[int]string     // of parts
	kept      int                // bytes in texts
}

// maxKept is how many bytes of texts of a message are kept for the next question.
const maxKept = 1 << 20

// Match answers from the message itself.
func (m *opened) Match(c *mailbox.Criterion) (match bool, err error) {
	if m.structure == nil {
		if m.structure, err = message.DecodeStructure(m.encoded); err != nil {
			return false, fmt.Errorf("search: %w", err)
		}
	}
	n := newNeedle(c.Text)
	if c.Op != mailbox.BodyHas {
		if match, err := m.headerMatches(c, n); err != nil || match || c.Op != mailbox.TextHas {
			return match, err
		}
	}
	for i := range m.structure.Parts {
		text, err := m.text(i)
		if err != nil {
			return false, err
		}
		if n.in(text) {
			return true, nil
		}
	}
	return false, nil
}

func (m *opened) headerMatches(c *mailbox.Criterion, n needle) (match bool, err error) {
	if m.header == nil {
		if m.header, err = read(m.body, 0, int64(m.prefix+m.structure.Parts[0].BodyStart), maxHeader); err != nil {
			return false, err
		}
	}
	switch c.Op {
	case mailbox.SentFrom, mailbox.SentBefore:
		value, _ := message.FirstValue(m.header, "date")
		sent, ok := message.ParseDate(value)
		return ok && (c.Op == mailbox.SentFrom) != day(sent).Before(c.Time), nil
	case mailbox.TextHas:
		return n.in(m.headerText()), nil
	}
	field := strings.ToLower(c.Field)
	for f := range message.Fields(m.header) {
		if f.Is(field) && n.in(message.DecodeWords(f.Value())) {
			return true, nil
		}
	}
	return false, nil
}

// headerText returns the fields of the header, decoded, with NUL between them, which stands in no text that is looked for.
func (m *opened) headerText() string {
	if m.fields == "" {
		var b strings.Builder
		for f := range message.Fields(m.header) {
			b.Write(f.Name)
			b.WriteString(": " + message.DecodeWords(f.Value()) + "\x00")
		}
		m.fields = b.String()
	}
	return m.fields
}

// text returns what people read in a part: decoded text, and the header of a message inside the message.
func (m *opened) text(i int) (text string, err error) {
	if text, ok := m.texts[i]; ok {
		return text, nil
	}
	p := &m.structure.Parts[i]
	if text, err = leafText(p, m.body, m.prefix); err != nil {
		return "", err
	}
	if p.Parent >= 0 && m.structure.Parts[p.Parent].IsMessage() {
		header, err := read(m.body, int64(m.prefix+p.HeaderStart), int64(p.BodyStart-p.HeaderStart), maxHeader)
		if err != nil {
			return "", err
		}
		text = message.DecodeWords(string(header)) + "\n" + text
	}
	if m.kept+len(text) <= maxKept {
		if m.texts == nil {
			m.texts = map[int]string{}
		}
		m.texts[i], m.kept = text, m.kept+len(text)
	}
	return text, nil
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
