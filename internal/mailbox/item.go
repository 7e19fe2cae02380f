package mailbox

import "time"

// Item is one message in a folder. Which fields a verb fills is said there; Fetch fills those of its Want.
type Item struct {
	UID    UID
	ID     ItemID
	Flags  Flags
	ModSeq ModSeq // of the last change
	// Created is the number of the change that made the item in this mailbox; Move keeps it.
	Created  ModSeq
	Size     int64     // bytes of prefix and body together: RFC822.SIZE
	Received time.Time // INTERNALDATE, UTC, whole microseconds
	Saved    time.Time // when it came into this folder (RFC 8514)
	Email    EmailID
	Thread   ThreadID

	// Envelope and Structure are what the parser handed in for Append or Deliver, byte for byte (WantEnvelope, WantMeta). Structure's
	// offsets count from the start of the body, behind the prefix.
	Envelope, Structure []byte
	// ParserVersion is the version of the parser that made them (WantMeta).
	ParserVersion int

	// Prefix is the short header block of this recipient alone, in front of the body (WantPrefix or WantBody).
	Prefix []byte

	body bodyRef
}

// Want is what Fetch reads besides UID and Flags.
type Want uint8

// What can be wanted. They may be combined.
const (
	WantFlags    Want = 0      // nothing: of many items, what is kept in memory tells
	WantItem     Want = 1 << 0 // all the fields of the item's own row
	WantEnvelope Want = 1 << 1 // Envelope
	WantMeta     Want = 1 << 2 // Structure, ParserVersion; implies WantItem and WantEnvelope
	WantPrefix   Want = 1 << 3 // Prefix; implies WantItem
	WantBody     Want = 1 << 4 // the body, ready for Store.Open; implies WantItem and WantPrefix
	WantModSeq   Want = 1 << 5 // ModSeq, as all the above do
)
