// Package dkim signs messages and verifies their signatures (RFC 6376, RFC 8301, RFC 8463). It looks nothing up itself and imports nothing
// of ours but package message. What RFC 8617 borrows from DKIM (Message, Tags, Keys) is exported for package arc.
//
// Messages may be anything: lines that end with LF alone are read as if they ended with CRLF, a header may lack its end. Each signature takes
// time linear in the message, and the body is never copied.
package dkim

import (
	"context"
	"crypto"
	"time"
)

// Key signs for a domain: RSA with SHA-256, or Ed25519 (RFC 8463).
type Key struct {
	Domain   string // d=, A-labels in lower case
	Selector string // s=
	Private  crypto.Signer
}

// Result is what became of a signature, in the words of RFC 8601 section 2.7.1.
type Result string

// The results.
const (
	None      Result = "none" // of a message that is not signed
	Pass      Result = "pass"
	Fail      Result = "fail"
	Policy    Result = "policy" // it is right, but not good enough: too short a key, l=, a header field that must be signed
	Neutral   Result = "neutral"
	TempError Result = "temperror"
	PermError Result = "permerror"
)

// Signature is a signature of a message and what became of it. What it says of itself may be anything that has no control characters.
type Signature struct {
	Result           Result
	Domain, Selector string
	Identity         string // i=, of the signature or what it is without
	Algorithm        string // a=
	Bits             int    // of the key; 0 where it was not read
	Testing          bool   // t=y of the key
	Head             string // the first eight characters or more of b=, which tell it from others (header.b, RFC 6008)
	Reason           string // why it did not pass, in a few words
}

// Resolver looks up TXT records.
type Resolver struct {
	// TXT returns the records of a name, each joined from its strings.
	TXT func(ctx context.Context, name string) ([]string, error)
	// IsNotFound says of an error of TXT that there certainly is no such record.
	IsNotFound func(error) bool
}

// Verifier verifies signatures. It is safe for concurrent use.
type Verifier struct {
	Resolver
	Now func() time.Time
}

// Failure is why something did not pass.
type Failure struct {
	Result Result
	Reason string // in a few words, none of them from the message or a record
}

func permanent(reason string) *Failure { return &Failure{PermError, reason} }
