package audit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Stream is what a record in a log group is about: an event of mail, or one of WorkMail's types of audit logs.
type Stream string

// The streams. Where a log group has streams of its own, they have these names.
const (
	EmailEvents          Stream = "EMAIL_EVENTS"
	AccessControlLogs    Stream = "ACCESS_CONTROL_LOGS"
	AuthenticationLogs   Stream = "AUTHENTICATION_LOGS"
	MailboxAccessLogs    Stream = "WORKMAIL_MAILBOX_ACCESS_LOGS"
	AvailabilityLogs     Stream = "WORKMAIL_AVAILABILITY_PROVIDER_LOGS"
	PersonalAccessTokens Stream = "WORKMAIL_PERSONAL_ACCESS_TOKEN_LOGS"
)

const (
	outboxLimit           = 64 << 20 // bytes that wait for one log group
	batchBytes            = 512 << 10
	batchRows             = 500
	firstRetry, lastRetry = time.Second, time.Minute
	sendTimeout           = 30 * time.Second
	refusals              = 5 // how often a sink may refuse one row before it is dropped
)

// AuditStreams are the types of audit logs.
func AuditStreams() []Stream {
	return []Stream{AccessControlLogs, AuthenticationLogs, MailboxAccessLogs, AvailabilityLogs, PersonalAccessTokens}
}

// LogRecord is one record on its way to a log group.
type LogRecord struct {
	Time         time.Time
	Stream       Stream
	Organization string // its id
	JSON         []byte // one object, without line breaks
}

// Sink is where the records of a log group go.
type Sink interface {
	// Send hands records over, in the order in which they became durable here, and returns when the other side has them. After
	// an error all of them are sent again, so that some may arrive twice.
	Send(ctx context.Context, records []LogRecord) error
}

// ErrRefused says, wrapped by a sink's error, that it will never take these records, however often they are sent.
var ErrRefused = errors.New("the records were refused")

// Group is a log group.
type Group struct {
	Sink Sink
	// AuditLogs are the types of audit logs that go here beside the mail of the organisations that name the group.
	AuditLogs []Stream
	// Organizations are the ids of those whose audit logs go here; empty means all.
	Organizations []string
}

// Rejected is a sink's error that says that the other side has the records but for some, which are lost.
type Rejected struct {
	Records int64
	Why     string
}

// Error says how many, and why.
func (r *Rejected) Error() string {
	return fmt.Sprintf("%d records were rejected: %s", r.Records, r.Why)
}
