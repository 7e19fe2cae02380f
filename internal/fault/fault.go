// Package fault is the one vocabulary of what can go wrong in the core. A core verb returns a *fault.Error, a face turns
// its Kind and Subject into the words of its protocol, and any other error is an internal one whose detail goes to the log.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of thing went wrong.
type Kind uint8

// The kinds. Every face has one switch over all of them.
const (
	Internal           Kind = iota // a bug or a broken part; the detail is for the log alone
	Invalid                        // the input is wrong; Message says which value and what is allowed
	NotFound                       // Subject does not exist, or is not the caller's to see
	Exists                         // a name, address, domain or alias is taken
	Reserved                       // a name that nobody may take
	State                          // Subject exists but its state forbids the operation
	InUse                          // Subject can't be removed or taken while something uses it
	AlreadyRegistered              // an entity that is enabled already, with another address
	Limit                          // a configured limit is reached
	OverQuota                      // the mailbox is full
	TooLarge                       // a message, literal or body is larger than allowed
	Unsupported                    // the operation can't be done on this kind of thing, or on a read-only directory
	BadPassword                    // a new password breaks the policy
	BadConfiguration               // a resource's booking options contradict its delegates
	Unauthenticated                // the credentials are wrong; says nothing about which part
	Denied                         // the principal may not do this
	Conflict                       // a precondition (UNCHANGEDSINCE, an idempotency token) does not hold
	Temporary                      // try again later: a full queue, a time-out, a full disk
	DirectoryDown                  // the external directory does not answer
	DirectoryRefusedUs             // the external directory refused the service account
	kindCount
)

var kindNames = [kindCount]string{
	"internal", "invalid", "not found", "exists", "reserved", "state", "in use", "already registered", "limit", "over quota",
	"too large", "unsupported", "bad password", "bad configuration", "unauthenticated", "denied", "conflict", "temporary",
	"directory down", "directory refused us",
}

// String returns the kind in lower-case words.
func (k Kind) String() string {
	if k < kindCount {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Kinds lists every kind, for the table tests of the faces.
func Kinds() []Kind {
	kinds := make([]Kind, kindCount)
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// Subject says what went wrong with what: it lets a face choose between OrganizationNotFoundException and
// EntityNotFoundException.
type Subject string

// The subjects.
const (
	None         Subject = ""
	Organization Subject = "organization"
	Directory    Subject = "directory"
	Entity       Subject = "entity" // a user, group or resource
	Address      Subject = "address"
	Domain       Subject = "domain"
	Resource     Subject = "resource" // in the sense of ResourceNotFoundException: a role, rule, token, tag target
	Tag          Subject = "tag"
	Key          Subject = "access key"
	Mailbox      Subject = "mailbox"
	Folder       Subject = "folder"
	Message      Subject = "message"
	Script       Subject = "script"    // of Sieve
	Location     Subject = "location"  // where what is asked for is to be read from
	Token        Subject = "token"     // a page or idempotency token
	Allowance    Subject = "allowance" // what a user or an account may send in a day
	Client       Subject = "client"    // the program or server at the other end
)

// Error is an expected failure of a core verb.
type Error struct {
	Kind    Kind
	Subject Subject
	// Message tells the person what was wrong, with which value, and what to do. It is safe to show to the caller.
	Message string
	// Cause is for the log and errors.Is; it is never shown. May be nil.
	Cause error
}

// New makes an error whose message is safe to show to the caller.
func New(kind Kind, subject Subject, format string, args ...any) *Error {
	return &Error{Kind: kind, Subject: subject, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with a cause, which is logged and never shown.
func Wrap(cause error, kind Kind, subject Subject, format string, args ...any) *Error {
	return &Error{Kind: kind, Subject: subject, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// Error returns the message, and the cause behind a colon.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// As returns the fault in err's chain, or nil where there is none: then err is an internal error.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// KindOf returns the kind of err, Internal for an error that is not a fault.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is a fault of the kind and subject.
func Is(err error, kind Kind, subject Subject) bool {
	e := As(err)
	return e != nil && e.Kind == kind && e.Subject == subject
}
