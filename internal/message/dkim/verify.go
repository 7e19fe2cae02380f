package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

const (
	// MaxSignatures is how many signatures of a message are looked at: the first from the top, where the last hops put theirs.
	MaxSignatures = 10
	maxField      = 64 << 10        // bytes of a signature field
	skew          = 5 * time.Minute // that clocks may be apart
)

// Verify verifies the first MaxSignatures signatures of a message, in order of appearance. Keys are looked up side by side; the body is
// hashed once for each way in which the signatures have it hashed.
//
// Beside what RFC 6376 section 6.1 has: rsa-sha1 is a permanent error (RFC 8301 section 3.1), a key of fewer than 1024 bits policy (section
// 3.2). Policy is also a signature whose l= leaves text unsigned, because whoever passes the message on can then replace all that is shown
// (RFC 6376 section 8.2), and one that leaves a From field unsigned where there are several, because the other may be the one that is shown
// (section 8.15). Where a name has several key records (section 3.6.2.2 leaves that open) one that verifies is enough.
func (v *Verifier) Verify(ctx context.Context, b []byte) []Signature {
	m := Read(b)
	fields := m.Fields("dkim-signature")
	fields = fields[:min(len(fields), MaxSignatures)]
	if len(fields) == 0 {
		return nil
	}
	now := v.Now()
	claims, names, values := make([]*Claim, len(fields)), make([]string, len(fields)), make([]string, len(fields))
	for i, f := range fields {
		claims[i] = m.Claim(f, Plain, now)
		names[i], values[i] = claims[i].KeyName(), claims[i].head
	}
	keys := v.LookUp(ctx, names...)
	values = heads(values)
	signatures := make([]Signature, len(fields))
	for i, c := range claims {
		signatures[i] = m.Check(c, keys)
		signatures[i].Head = values[i]
	}
	return signatures
}

// Kind is what a signature field is.
type Kind int

// The kinds.
const (
	Plain      Kind = iota // DKIM-Signature
	ARCMessage             // ARC-Message-Signature (RFC 8617 section 4.1.2)
	ARCSeal                // ARC-Seal (section 4.1.3)
)

// Claim is a signature field that was read.
type Claim struct {
	Tags Tags

	field     message.Field
	kind      Kind
	signature Signature // what is said of it; Result where it has failed already
	head      string    // all of b=
	at        string    // the domain of i=

	b, bh        []byte
	header, body bool // relaxed
	names        []string
	length       int64
}

// Claim reads a signature field of the message. What is wrong with it Check will tell.
func (m *Message) Claim(f message.Field, kind Kind, now time.Time) *Claim {
	c := &Claim{field: f, kind: kind}
	failure := c.read(now)
	if failure == nil && m.excess {
		failure = &Failure{Policy, "the header is too large"}
	}
	if failure != nil {
		c.signature.Result, c.signature.Reason = failure.Result, failure.Reason
	}
	return c
}

// KeyName is where the key's record is; "" where there is no need of it.
func (c *Claim) KeyName() string {
	if c.signature.Result != "" {
		return ""
	}
	return recordName(c.signature.Selector, c.signature.Domain)
}

// Domain is d=.
func (c *Claim) Domain() string { return c.signature.Domain }

func (c *Claim) read(now time.Time) *Failure {
	if len(c.field.Raw) > maxField {
		return permanent("the signature is too long")
	}
	var err error
	if c.Tags, err = ParseTags(string(c.field.Raw)); err != nil {
		return permanent(err.Error())
	}
	s := &c.signature
	s.Domain, s.Selector = c.Tags.Text("d"), c.Tags.Text("s")
	s.Algorithm = strings.ToLower(c.Tags.Text("a"))
	if c.b, err = c.Tags.Bytes("b"); err != nil {
		return permanent(err.Error())
	}
	c.head = c.Tags.Text("b")
	domain, isDomain := domainName(s.Domain)
	if isDomain {
		s.Domain = domain
	}
	if c.kind == Plain {
		s.Identity, c.at = "@"+s.Domain, s.Domain
		if identity, ok := c.Tags.Get("i"); ok {
			s.Identity = withoutSpace(identity)
			at := strings.LastIndexByte(s.Identity, '@')
			if at < 0 {
				return permanent("i= is no address")
			}
			if c.at, ok = domainName(s.Identity[at+1:]); ok {
				s.Identity = s.Identity[:at+1] + c.at
			}
		}
		if c.Tags.Text("v") != "1" {
			return permanent("v= is not 1")
		}
	}
	_, isSelector := domainName(s.Selector)
	switch {
	case s.Algorithm == "":
		return permanent("there is no a=")
	case s.Algorithm == "rsa-sha1":
		return permanent("rsa-sha1 is no longer believed")
	case s.Algorithm != "rsa-sha256" && s.Algorithm != "ed25519-sha256":
		return permanent("a= is unknown")
	case len(c.b) == 0:
		return permanent("there is no b=")
	case !isDomain:
		return permanent("d= is no domain")
	case !isSelector || len(recordName(s.Selector, s.Domain)) > maxName:
		return permanent("s= is no selector")
	case c.kind == Plain && !isWithin(c.at, s.Domain):
		return permanent("i= is not of d=")
	}
	s.Selector, _ = domainName(s.Selector)
	if failure := c.readTimes(now); failure != nil || c.kind == ARCSeal {
		return failure
	}
	return c.readScope()
}

// readTimes reads t= and x= (RFC 6376 section 3.5).
func (c *Claim) readTimes(now time.Time) *Failure {
	made, err := c.Tags.Number("t")
	if err != nil {
		return permanent(err.Error())
	}
	ends, err := c.Tags.Number("x")
	switch {
	case err != nil:
		return permanent(err.Error())
	case ends >= 0 && ends <= made:
		return permanent("x= is not behind t=")
	case made > now.Add(skew).Unix():
		return permanent("it is from the future")
	case ends >= 0 && ends < now.Add(-skew).Unix():
		return permanent("it has expired")
	}
	return nil
}

// readScope reads what is signed, and how.
func (c *Claim) readScope() *Failure {
	var err error
	if c.bh, err = c.Tags.Bytes("bh"); err != nil {
		return permanent(err.Error())
	}
	if c.length, err = c.Tags.Number("l"); err != nil {
		if c.length = digits(c.Tags.Text("l")); c.length < 0 {
			return permanent(err.Error())
		}
	}
	header, body, _ := strings.Cut(strings.ToLower(c.Tags.Text("c")), "/")
	var known, bodyKnown bool
	c.header, known = isRelaxed(header)
	c.body, bodyKnown = isRelaxed(body)
	query, hasQuery := c.Tags.list("q")
	var hasNames bool
	c.names, hasNames = c.Tags.list("h")
	switch {
	case len(c.bh) == 0:
		return permanent("there is no bh=")
	case !known || !bodyKnown:
		return permanent("c= is unknown")
	case hasQuery && !slices.Contains(query, "dns/txt"):
		return permanent("q= is unknown")
	case !hasNames:
		return permanent("there is no h=")
	case !slices.Contains(c.names, "from"):
		return permanent("From is not signed")
	}
	if c.kind == ARCMessage {
		for _, name := range c.names {
			if name == "arc-seal" { // RFC 8617 section 4.1.2 leaves the other two to who knows what they do
				return permanent("ARC-Seal is signed")
			}
		}
	}
	return nil
}

func isRelaxed(name string) (relaxed, known bool) {
	return name == "relaxed", name == "relaxed" || name == "simple" || name == ""
}

// digits is what more than twelve digits mean, which l= may have: more than any message has; -1 for what is no number.
func digits(s string) int64 {
	if s == "" || len(s) > 76 || strings.Trim(s, "0123456789") != "" {
		return -1
	}
	return 1 << 50
}

// Check says what became of a signature, with the keys that were found.
func (m *Message) Check(c *Claim, keys Keys) Signature {
	return m.CheckSeal(c, keys, nil)
}

// CheckSeal is Check for an ARC seal, with what it signs (see SealDigests).
func (m *Message) CheckSeal(c *Claim, keys Keys, digest []byte) Signature {
	s := c.signature
	if s.Result != "" {
		return s
	}
	failure := m.check(c, keys[c.KeyName()], &s, digest)
	if failure == nil {
		failure = &Failure{Result: Pass}
	}
	s.Result, s.Reason = failure.Result, failure.Reason
	return s
}

func (m *Message) check(c *Claim, found Found, s *Signature, digest []byte) *Failure {
	switch {
	case found.Failure != nil:
		return found.Failure
	case len(found.Records) == 0: // the name was not among those that were looked up
		return permanent("no key")
	}
	var right *Record
	var first *Failure
	for i := range found.Records {
		r := &found.Records[i]
		failure := r.allows(s.Algorithm, c.at, s.Domain)
		if failure == nil {
			if digest == nil {
				var f *Failure
				if digest, f = m.digest(c); f != nil {
					s.Bits, s.Testing = r.bits(), r.Testing
					return f
				}
			}
			if r.verify(digest, c.b) {
				right = r
				break
			}
			failure = &Failure{Fail, "the signature does not verify"}
		}
		if first == nil || failure.Result == Fail && first.Result != Fail {
			first = failure
			s.Bits, s.Testing = r.bits(), r.Testing
		}
	}
	if right == nil {
		return first
	}
	s.Bits, s.Testing = right.bits(), right.Testing
	switch {
	case c.kind == ARCSeal:
		return nil
	case c.length >= 0 && c.length < m.bodySum(c.bodyKey()).total:
		return &Failure{Policy, "l= leaves text unsigned"}
	case !m.covers(c.names, "from"):
		return &Failure{Policy, "a From field is not signed"}
	}
	return nil
}

func (c *Claim) bodyKey() bodyKey { return bodyKey{c.body, c.length} }

// digest hashes what a claim says is signed. A body that is not the one that was signed is told at once.
func (m *Message) digest(c *Claim) ([]byte, *Failure) {
	body := m.bodySum(c.bodyKey())
	switch {
	case c.length > body.total:
		return nil, &Failure{Fail, "the body is shorter than l="}
	case !bytes.Equal(body.sum, c.bh):
		return nil, &Failure{Fail, "the body was changed"}
	}
	s := newSink(sha256.New(), -1)
	m.writeHeader(s, c.names, c.field, c.header)
	writeSigned(s, m.header, c.field, c.header)
	return s.sum(), nil
}
