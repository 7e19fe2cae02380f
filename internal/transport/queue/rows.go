package queue

import (
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// How values stand in the tables.

// The bits of needs and marks.
const (
	needsTLS  = 1
	needsUTF8 = 2

	markTells = 1
	markDown  = 2
	markOurs  = 4
)

// stored is an address as the tables have it: both parts as they are, joined by the last "@".
func stored(a message.Address) string {
	if a.IsZero() {
		return ""
	}
	return clean(a.Local, 0) + "@" + clean(a.Domain, 0)
}

func address(s string) message.Address {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return message.Address{}
	}
	return message.Address{Local: s[:at], Domain: s[at+1:]}
}

// maxReply bounds what is kept of another server's words, in bytes.
const maxReply = 1000

// clean makes a text fit for both engines: valid UTF-8 without NUL, and at most limit bytes where that is not 0.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if limit > 0 && len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

func (o Outcome) clean() Outcome {
	o.Status, o.Reply, o.Host, o.TLS = clean(o.Status, 100), clean(o.Reply, maxReply), clean(o.Host, 300), clean(o.TLS, 200)
	return o
}

func (o Outcome) marks() (marks int64) {
	if o.Tells {
		marks |= markTells
	}
	if o.Down {
		marks |= markDown
	}
	if o.Ours {
		marks |= markOurs
	}
	return marks
}

func (e *Envelope) needs() (needs int64) {
	if e.RequireTLS {
		needs |= needsTLS
	}
	if e.SMTPUTF8 {
		needs |= needsUTF8
	}
	return needs
}

func (e *Envelope) setNeeds(needs int64) {
	e.RequireTLS, e.SMTPUTF8 = needs&needsTLS != 0, needs&needsUTF8 != 0
}

// destination is where mail for the recipient goes.
func (r *Recipient) destination() Destination {
	if r.Route != "" {
		return Destination{Route: clean(r.Route, 0)}
	}
	return Destination{Domain: clean(message.FoldDomain(r.Address.Domain), 0)}
}

// wants reports whether the sender wants to hear of one of the kinds; what it did not say means failures and delays.
func (n Notify) wants(kind Notify) bool {
	if n == 0 {
		return kind != OnSuccess
	}
	return n&Never == 0 && n&kind != 0
}

// owed reports whether somebody is to hear of one of the kinds.
func (e *Envelope) owed(n Notify, kind Notify) bool { return !e.From.IsZero() && n.wants(kind) }
