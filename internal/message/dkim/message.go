package dkim

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// Message is a message as signatures see it. It refers to the bytes that it was read from. It is not safe for concurrent use: it remembers
// the hashes of its body.
type Message struct {
	header []byte
	body   []byte
	fields []message.Field
	named  map[string][]int // indexes of fields by name in lower case
	excess bool             // the header is larger than maxHeader, or has more than maxFields
	hashes map[bodyKey]bodyHash
}

// What a header can be to be signed or verified: it is hashed for each signature, and the table of its fields takes a hundred bytes for each.
const (
	maxHeader = 4 << 20
	maxFields = 50_000
)

type bodyKey struct {
	relaxed bool
	limit   int64 // of bytes; -1 for none
}

type bodyHash struct {
	sum   []byte
	total int64 // bytes of the canonical body
}

// Read finds the fields and the body of a message.
func Read(b []byte) *Message {
	end := message.HeaderEnd(b)
	m := &Message{header: b[:end], body: b[end:], named: map[string][]int{}, excess: end > maxHeader, hashes: map[bodyKey]bodyHash{}}
	for f := range message.Fields(m.header) {
		if len(m.fields) == maxFields {
			m.excess = true
			break
		}
		name := string(bytes.ToLower(f.Name))
		m.named[name] = append(m.named[name], len(m.fields))
		m.fields = append(m.fields, f)
	}
	return m
}

// Fields returns the fields with a name (lower case), from top to bottom.
func (m *Message) Fields(name string) []message.Field {
	found := make([]message.Field, len(m.named[name]))
	for i, index := range m.named[name] {
		found[i] = m.fields[index]
	}
	return found
}

// Whole returns a field as it stands in the message, with its line break.
func (m *Message) Whole(f message.Field) []byte {
	whole := m.header[f.Start:f.End]
	if whole[len(whole)-1] != '\n' { // the message ends inside of the header
		return append(whole[:len(whole):len(whole)], crlf...)
	}
	return whole
}

// bodySum returns the hash of the canonical body, or of its first bytes, which it remembers.
func (m *Message) bodySum(k bodyKey) bodyHash {
	h, ok := m.hashes[k]
	if !ok {
		s := newSink(sha256.New(), k.limit)
		writeBody(s, m.body, k.relaxed)
		h = bodyHash{s.sum(), s.total}
		m.hashes[k] = h
	}
	return h
}

// writeHeader writes the fields that h= names: for each name the lowest of the header that was not taken yet, or nothing (RFC 6376 section
// 5.4.2). The signature itself is not among them (section 3.5, h=). names are in lower case.
func (m *Message) writeHeader(s *sink, names []string, itself message.Field, relaxed bool) {
	taken := map[string]int{}
	for _, name := range names {
		all := m.named[name]
		i := len(all) - 1 - taken[name]
		if i >= 0 && itself.End > 0 && m.fields[all[i]].Start == itself.Start {
			taken[name]++
			i--
		}
		if i >= 0 {
			taken[name]++
			writeField(s, m.header, m.fields[all[i]], relaxed)
		}
	}
}

// covers reports whether h= names every field of a name.
func (m *Message) covers(names []string, name string) bool {
	n := 0
	for _, signed := range names {
		if signed == name {
			n++
		}
	}
	return n >= len(m.named[name])
}

// SealDigests returns what the seals of ARC sets sign, each its own set and those before it (RFC 8617 section 5.1.1). A set is the fields of
// results, message signature and seal.
func (m *Message) SealDigests(sets ...[3]message.Field) [][]byte {
	var digests [][]byte
	before := newSink(sha256.New(), -1)
	for _, set := range sets {
		writeField(before, m.header, set[0], true)
		writeField(before, m.header, set[1], true)
		s := before.fork()
		writeSigned(s, m.header, set[2], true)
		digests = append(digests, s.sum())
		writeField(before, m.header, set[2], true)
	}
	return digests
}

// domainName returns a domain as it stands in DNS: A-labels in lower case (RFC 8616 section 4).
func domainName(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if message.CheckDomain(s) != nil {
		return "", false
	}
	s = message.FoldDomain(s)
	return s, message.CheckDomain(s) == nil
}

// isWithin reports whether a domain is another or below it.
func isWithin(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

// maxHead is how many characters of b= are told at most.
const maxHead = 64

// heads returns of each value of b= as many of its first characters as tell it from the others, eight at least (RFC 6008 section 4).
func heads(values []string) []string {
	short := slices.Clone(values)
	for i, v := range values {
		n := min(8, len(v))
		for j, other := range values {
			if i == j || v == other {
				continue
			}
			for n < min(len(v), maxHead) && strings.HasPrefix(other, v[:n]) {
				n++
			}
		}
		short[i] = v[:n]
	}
	return short
}
