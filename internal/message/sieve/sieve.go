// Package sieve reads and runs Sieve scripts (RFC 5228), a user's rules for the mail that arrives. A script is compiled once, and runs
// on a message without any effect of its own: it returns the actions that are to be taken.
//
// Compile reads statements (lexer.go, parser.go) and binds their arguments by the table of commands and tests (signature.go), so that all that
// doesn't depend on a message is known to be right. A run walks the tree (run.go). Whatever it does costs steps, by the bytes that are looked at
// (spend), so that a script and a message together can't take long; what a script can make larger has a limit of its own. An error ends the run
// with nothing done.
package sieve

import (
	"context"
	"time"
)

// Limits bound a script and a run of it. Zero values mean the defaults.
type Limits struct {
	Script    int // bytes of a script; 64 KB
	Nesting   int // blocks and tests in each other; 15, RFC 5228 wants that at least
	Steps     int // commands and tests that a run takes, and one more for each 8 KB that they look at; 100,000
	Actions   int // actions of a run; 32
	Redirects int // redirects among them; 4
	Variables int // variables of a run; 128, RFC 5229 wants that at least
	Value     int // bytes of a variable; 16,000, as RFC 5229 wants 4,000 characters at least
}

// Environment is what a run is told of the delivery.
type Environment struct {
	From, To string    // the envelope's addresses; From is empty for a notice
	Own      []string  // further addresses of the recipient: mail that names none of his in To, Cc or Bcc is not answered
	Now      time.Time // in the zone that dates are shown in
	// Exists reports whether the mailbox of that name (UTF-8, levels parted by "/") can be delivered to (RFC 5490).
	Exists func(ctx context.Context, mailbox string) (bool, error)
	// Uses reports whether the mailbox has all of the special uses, "\\Junk" and the like; an empty name asks whether any has (RFC 8579).
	// That is asked about one use at a time.
	Uses func(ctx context.Context, mailbox string, uses []string) (bool, error)
	// Seen reports whether an earlier delivery remembered the id, of the test duplicate (RFC 7352).
	Seen func(ctx context.Context, id string) (bool, error)
	// Items are those of the test environment (RFC 5183), "remote-ip" and the like, besides "name", "location" and "phase".
	Items map[string]string
}

// Action is one thing to do with the message: *Keep, *FileInto, *Redirect, *Reject or *Vacation.
type Action interface{ action() }

// Keep puts the message into the inbox, as does "fileinto" with that name. Message is the message as the script edited it up to there (RFC 5293), nil as it arrived.
type Keep struct {
	Flags   []string
	Message []byte
}

// FileInto puts the message into a mailbox.
type FileInto struct {
	Mailbox    string
	SpecialUse string // the mailbox with this use takes its place if there is one (RFC 8579); empty for none
	Create     bool   // makes it if it is missing (RFC 5490); else the message goes to the inbox
	Flags      []string
	Message    []byte
}

// Redirect sends the message on.
type Redirect struct {
	To      string
	Message []byte
}

// Reject refuses the message. Extended says ereject: in the protocol if that is possible; a notice if not (RFC 5429).
type Reject struct {
	Reason   string // UTF-8
	Extended bool
}

// Vacation answers the sender, once in a time (RFC 5230). That the message is one to be answered (RFC 3834, RFC 5230 section 4.6)
// the run has made sure of, as far as the message and its envelope tell.
type Vacation struct {
	Handle  string        // tells answers apart that may be given beside each other; made of the arguments where the script gives none
	Again   time.Duration // for which a sender isn't answered again (RFC 6131); at least a second
	Subject string        // UTF-8; empty for the usual
	From    string        // a mailbox, perhaps with a name in UTF-8; empty for the recipient's address
	Reason  string        // UTF-8; a MIME entity with its header if MIME is set
	MIME    bool
}

func (*Keep) action()     {}
func (*FileInto) action() {}
func (*Redirect) action() {}
func (*Reject) action()   {}
func (*Vacation) action() {}

// Result is what a run decided. No action means that the message is discarded.
type Result struct {
	Actions []Action
	// Duplicates are ids to be remembered once the message is delivered (RFC 7352).
	Duplicates []Duplicate
}

// Duplicate is an id that is to be remembered until then.
type Duplicate struct {
	ID    string
	Until time.Time
}
