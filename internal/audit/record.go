// Package audit keeps the durable record of who changed what, and of what was refused. A record of a change is written in
// the transaction that makes the change, so that neither exists without the other; a record never holds a secret, a
// password or anything out of a message.
//
// It also sends what organisations want told of their mail and of who came in to log groups, through an outbox: see Log.EmitTx
// and Log.Run.
package audit

import (
	"net/netip"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// Done is the outcome of what was carried out. Any other outcome is the name of the fault that refused it.
const Done = "done"

// Record is one line of the audit trail.
type Record struct {
	// Key is unique and set by the log.
	Key int64
	// Time is set by the log.
	Time time.Time
	// Organization is the organisation's id ("m-…"), empty where none is concerned or known.
	Organization string
	// Operation is what was asked for, in the words of the API ("CreateUser") or of the protocol ("IMAP LOGIN").
	Operation string
	// Subject is the id of what was changed: an entity, a domain, an access key. May be empty.
	Subject string
	// Outcome is Done, or why it was refused.
	Outcome string
	// Detail is a few words for a reader: a new state, a count. Never a secret. Cut to 1,024 bytes.
	Detail string
	// Actor is who did it.
	Actor principal.Principal
	// Told is what log groups that take the organisation's audit logs are told of it. It is not kept here.
	Told []Told
}

// Told is a record of an audit log.
type Told struct {
	Stream Stream
	Event  any // becomes one JSON object
}

// Of begins a record of p's operation that was carried out.
func Of(p principal.Principal, organization, operation, subject string) Record {
	return Record{Organization: organization, Operation: operation, Subject: subject, Outcome: Done, Actor: p}
}

// Refused begins a record of p's operation that failed with err. Only the fault's kind and subject are kept: a message may
// repeat what the caller sent.
func Refused(p principal.Principal, organization, operation, subject string, err error) Record {
	r := Of(p, organization, operation, subject)
	r.Outcome = fault.KindOf(err).String()
	if f := fault.As(err); f != nil && f.Subject != fault.None {
		r.Outcome += ": " + string(f.Subject)
	}
	return r
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}
