package dsn

import (
	"bytes"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

// The limits of Parse. What lies beyond is not looked at.
const (
	maxReport     = 4 << 20
	maxRecipients = 1000
	maxValue      = 4 << 10
)

// Report is what a notification says.
type Report struct {
	// Host is the server that tells.
	Host string
	// EnvelopeID is the message's ENVID, decoded; empty where it had none.
	EnvelopeID string
	Arrived    time.Time // zero where it is not said
	Recipients []Recipient
	// MessageID is that of the message, without brackets, as its returned header has it; empty where nothing was returned.
	MessageID string
}

// Parse reads the notification in the message b. Of broken fields it makes the best; those that are missing stay empty. Original
// has the form of ORCPT again. ok is false where b holds no delivery report.
func Parse(b []byte) (r *Report, ok bool) {
	s := message.Scan(b)
	top := &s.Parts[0]
	if top.Type != "multipart" || top.Subtype != "report" {
		return nil, false
	}
	for _, i := range top.Children {
		p := &s.Parts[i]
		body := b[p.BodyStart:p.End]
		switch {
		case r == nil && p.Type == "message" && (p.Subtype == "delivery-status" || p.Subtype == "global-delivery-status"):
			r = parseReport(message.DecodeTransfer(p.Encoding, body[:min(len(body), maxReport)]))
		case r == nil || r.MessageID != "":
		case p.Envelope != nil:
			r.MessageID = firstID(p.Envelope.MessageID)
		case p.Type == "text" && p.Subtype == "rfc822-headers", p.Type == "message" && p.Subtype == "global-headers":
			header := message.DecodeTransfer(p.Encoding, body[:min(len(body), message.MaxHeader)])
			r.MessageID = firstID(message.ParseEnvelope(header).MessageID)
		}
	}
	return r, r != nil
}

func firstID(s string) string {
	if ids := message.ParseMessageIDs(s); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// parseReport reads the part for programs: groups of fields with empty lines between them, the first about the message.
func parseReport(b []byte) *Report {
	r := &Report{}
	for first := true; len(b) > 0 && len(r.Recipients) < maxRecipients; {
		end := message.HeaderEnd(b)
		group := b[:end]
		b = b[end:]
		if len(bytes.Trim(group, "\r\n")) == 0 {
			continue
		}
		if first {
			first = false
			if !hasField(group, "final-recipient") { // else the fields about the message are missing
				r.readMessage(group)
				continue
			}
		}
		if p, ok := parseRecipient(group); ok {
			r.Recipients = append(r.Recipients, p)
		}
	}
	return r
}

func hasField(group []byte, name string) bool {
	_, ok := message.FirstValue(group, name)
	return ok
}

func (r *Report) readMessage(group []byte) {
	for f := range message.Fields(group) {
		value := fieldValue(f)
		switch {
		case f.Is("original-envelope-id"):
			r.EnvelopeID = value
		case f.Is("reporting-mta"):
			_, r.Host = typed(value)
		case f.Is("arrival-date"):
			r.Arrived, _ = message.ParseDate(value)
		}
	}
}

// parseRecipient reads the fields about one recipient. ok is false where they name none.
func parseRecipient(group []byte) (r Recipient, ok bool) {
	for f := range message.Fields(group) {
		value := fieldValue(f)
		kind, rest := typed(value)
		switch {
		case f.Is("original-recipient"):
			r.Original = encodeOriginal(kind, rest)
		case f.Is("final-recipient"):
			r.Address, ok = parseAddress(kind, rest), true
		case f.Is("action"):
			word, _, _ := strings.Cut(value, " ") // a comment may follow
			r.Action = Action(strings.ToLower(word))
		case f.Is("status"):
			r.Status, _, _ = strings.Cut(value, " ")
		case f.Is("remote-mta"):
			r.Host = rest
		case f.Is("diagnostic-code"):
			r.Reply = rest
		case f.Is("last-attempt-date"):
			r.Tried, _ = message.ParseDate(value)
		case f.Is("will-retry-until"):
			r.Until, _ = message.ParseDate(value)
		}
	}
	return r, ok
}

func fieldValue(f message.Field) string {
	v := f.Value()
	return clean(cut(v, maxValue), true)
}

// typed parts a value with a type before its semicolon, such as "dns; mx.example.com". Some servers leave the type out.
func typed(value string) (kind, rest string) {
	kind, rest, ok := strings.Cut(value, ";")
	if kind = strings.ToLower(strings.TrimSpace(kind)); !ok || !isAtom(kind) {
		return "", strings.TrimSpace(value)
	}
	return kind, strings.TrimSpace(rest)
}

// plainAddress returns the address in a field as it is written elsewhere. In UTF-8 it may be encoded or not.
func plainAddress(kind, s string) string {
	if kind == utf8Type {
		if decoded, ok := DecodeUTF8Address(s); ok {
			s = clean(decoded, true)
		}
	}
	return s
}

// parseAddress reads the address in a field. One that is none is all local part.
func parseAddress(kind, s string) message.Address {
	s = plainAddress(kind, s)
	if path, rest, err := message.ParsePath(s); err == nil && rest == "" { // some write the brackets
		return path
	}
	if a, err := message.ParseAddress(s); err == nil {
		return a
	}
	return message.Address{Local: s}
}

// encodeOriginal returns the address in a field as ORCPT has it.
func encodeOriginal(kind, s string) string {
	switch s = plainAddress(kind, s); kind {
	case "":
		return ""
	case utf8Type:
		return kind + ";" + EncodeUTF8Address(s)
	}
	return kind + ";" + EncodeXtext(s)
}
