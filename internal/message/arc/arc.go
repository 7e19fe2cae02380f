// Package arc verifies the chain of a message that was passed on, and adds a link to it (RFC 8617).
package arc

import "github.com/pennypost/pennypost/internal/message/dkim"

// Chain is what became of the ARC sets of a message.
type Chain struct {
	// Result is None, Pass or Fail.
	Result dkim.Result
	Reason string // why it failed, in a few words
	// Instance is how many sets the message has.
	Instance int
	// Domains are d= of the seals, the first instance's first.
	Domains []string
	// Oldest is the lowest instance whose message signature still passes; 0 for none but the last.
	Oldest int
	// Results are the authentication results of the last set, as it says them.
	Results string
}
