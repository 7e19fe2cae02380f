package mailbox

import "math/bits"

// Flags is an item's flags and keywords, one bit each. The system flags and some well-known keywords have fixed bits; the
// other keywords get a bit per mailbox (see Keywords).
type Flags uint64

// The system flags (RFC 3501 section 2.3.2). \Recent is not kept: it belongs to a session, and RFC 9051 dropped it.
const (
	Seen     Flags = 1 << iota // it was read
	Answered                   // it was replied to
	Flagged                    // it was marked for attention
	Deleted                    // it waits for Expunge
	Draft                      // it is not finished
	_
	_
	_
	// The keywords of the IANA registry that clients use most have fixed bits in every mailbox.
	MDNSent       // $MDNSent
	Forwarded     // $Forwarded
	Junk          // $Junk
	NotJunk       // $NotJunk
	Phishing      // $Phishing
	SubmitPending // $SubmitPending
	Submitted     // $Submitted
	Important     // $Important
)

// SystemFlags is every system flag; KeywordFlags every bit that may stand for a keyword.
const (
	SystemFlags  = Seen | Answered | Flagged | Deleted | Draft
	KeywordFlags = Flags(1<<63-1) &^ 0xff
)

const (
	firstFreeBit = 16 // the first bit given out per mailbox
	lastFreeBit  = 62 // bit 63 is the sign of a BIGINT
)

// MaxKeywords is how many keywords besides the well-known ones a mailbox can hold.
const MaxKeywords = lastFreeBit - firstFreeBit + 1

// MaxKeywordLength is the longest keyword in bytes.
const MaxKeywordLength = 100

// Count returns the number of flags and keywords set.
func (f Flags) Count() int { return bits.OnesCount64(uint64(f)) }

// Has reports whether all of g is set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// FlagChange says how Store changes flags: the result is (old &^ Remove) | Add. Replacing all flags by F is
// FlagChange{Remove: AllFlags, Add: F}; so is every mix in between.
type FlagChange struct {
	Add, Remove Flags
}

// AllFlags is every bit an item can have.
const AllFlags = SystemFlags | KeywordFlags

// Apply returns the flags after the change.
func (c FlagChange) Apply(f Flags) Flags { return f&^c.Remove | c.Add }
