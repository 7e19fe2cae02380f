// Package mailauth finds out whether a message that arrives is from whom it says: iprev, SPF, DKIM, DMARC and ARC.
package mailauth

import (
	"net/netip"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// Client is who hands a message in.
type Client struct {
	Address netip.Addr
	Hello   string          // what it said in EHLO or HELO
	From    message.Address // the reverse-path; zero for none
}

// Outcome is the result of a check and whom it is of, in the words of RFC 8601.
type Outcome struct {
	Result dkim.Result // of SPF also softfail
	Domain string      // whom it is of: a domain, for iprev the client's name
	Reason string      // in a few words, where there is one
}

// SoftFail is a result of SPF alone.
const SoftFail dkim.Result = "softfail"

// Policy is what the owner of a domain asks to be done with mail that fails (RFC 7489 section 6.3: p, sp, np).
type Policy string

// The policies.
const (
	PolicyNone       Policy = "none"
	PolicyQuarantine Policy = "quarantine"
	PolicyReject     Policy = "reject"
)

// DMARC is what became of the check of the author's domain.
type DMARC struct {
	Result dkim.Result // none, pass, fail, temperror, permerror
	From   string      // the author's domain, A-labels in lower case
	Domain string      // where the record is; empty where there is none
	// Record is the domain's own wish, as it was found; nil where there is none.
	Record *Record
	// Policy is what is asked for From, if it fails: p, sp or np of Record.
	Policy Policy
	// SPFAligned and DKIMAligned say by what it passes.
	SPFAligned, DKIMAligned bool
	// Tested says that the owner is only trying the policy out, and one level less is to be done: t=y, or pct=0 of RFC 7489.
	Tested bool
	Reason string // why there is no better result, in a few words
}

// Record is a DMARC record.
type Record struct {
	Policy, Subdomains, NonExistent Policy   // p, sp and np with what they are without
	StrictDKIM, StrictSPF           bool     // adkim=s, aspf=s
	Percent                         int      // pct, 100 without
	Testing                         bool     // t=y
	Aggregate                       []string // rua, as URIs, some with a size: mailto:a@example.com!10m
	FailureOptions                  string   // fo
	PublicSuffix                    string   // psd: y, n, or u where it is not said
}

// Verdict is what became of all checks of a message.
type Verdict struct {
	Client Client
	IPRev  Outcome
	// SPF is of the reverse-path, or of Hello where there is none; Hello is of Hello.
	SPF, Hello Outcome
	DKIM       []dkim.Signature // empty for a message that is not signed
	ARC        arc.Chain
	// DMARC is of the author's domain; where From names several, of the one that fares worst.
	DMARC DMARC
	// Vouched is the trusted sealer whose word on how the message fared before it was passed on makes up for a failure of DMARC; empty
	// for none.
	Vouched string
	// Local says that the client is on this machine, so that its address proves nothing and disproves nothing.
	Local bool
}

// Disposition is what was done with a message because of its verdict, in the words of aggregate reports (RFC 7489 appendix C).
type Disposition struct {
	// Applied is the strictest policy that was applied for a recipient: with PolicyReject the message was refused, or dropped for
	// some of its recipients.
	Applied Policy
	// Override says why less was applied than the domain's owner asks for: OverrideLocal or OverrideTest; empty where
	// nothing less was.
	Override string
	Comment  string // on Override
}

// The reasons for which less is applied, as reports write them.
const (
	OverrideLocal = "local_policy"     // the recipients' organisations don't enforce, or a trusted sealer vouches
	OverrideTest  = "policy_test_mode" // of the successor of RFC 7489; in its own words this is "other"
)
