// Package arc verifies the chain of a message that was passed on, and adds a link to it (RFC 8617).
package arc

import "github.com/pennypost/pennypost/internal/message/dkim"

// MaxSets is how many sets a chain can have (RFC 8617 section 4.2.1).
const MaxSets = 50

// Chain is what became of the ARC sets of a message.
type Chain struct {
	// Result is None, Pass or Fail; TempError where the next key could not be looked up and nothing had failed. RFC 8617 section 5.2.1
	// calls that fail too; it is told apart so that nobody's chain is ended by a resolver of ours.
	Result dkim.Result
	Reason string // why it did not pass, in a few words
	// Instance is how many sets the message has; of a chain that is no chain, the highest instance that it names.
	Instance int
	// Domains are d= of the seals, the first instance's first.
	Domains []string
	// Ended says that the last seal itself has cv=fail: nobody adds to such a chain.
	Ended bool
}
