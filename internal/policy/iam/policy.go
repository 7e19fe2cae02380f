// Package iam holds the policies of access keys: documents in the language of AWS IAM, of which it knows Effect, Action,
// Resource and the IpAddress and NotIpAddress conditions on aws:SourceIp. A document that says anything else is refused
// when it is read, so that no policy means less, or more, than its author believes.
package iam

import (
	"net/netip"
	"slices"
	"strings"
)

// Effect is what a statement does.
type Effect string

// The effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Policy decides what the holder of an access key may do. The zero value allows nothing.
type Policy struct {
	statements []statement
	text       string
}

type statement struct {
	effect    Effect
	actions   []glob
	resources []resource
	// sources holds one set per condition operator; all must hold.
	sources []sources
}

// sources is one condition on the client's address.
type sources struct {
	prefixes []netip.Prefix
	negated  bool
}

// Request is what a policy is asked.
type Request struct {
	// Action is "service:Operation".
	Action string
	// Resource is the ARN that the operation works on, "*" for an operation on no single resource.
	Resource string
	// Source is the client's address.
	Source netip.Addr
}

// Decision is what a policy answers.
type Decision uint8

// The decisions. Only Allowed lets a request pass.
const (
	DeniedByDefault Decision = iota // no statement allows it
	DeniedExplicitly
	Allowed
)

// Decide answers a request: a matching Deny wins, else a matching Allow, else it is denied.
func (p *Policy) Decide(r Request) Decision {
	decision := DeniedByDefault
	for i := range p.statements {
		s := &p.statements[i]
		if !s.matches(r) {
			continue
		}
		if s.effect == Deny {
			return DeniedExplicitly
		}
		decision = Allowed
	}
	return decision
}

// Names reports whether a statement is about the resource of a request, whatever it says of it. One about everything is where it is about
// the action too.
func (p *Policy) Names(r Request) bool {
	return slices.ContainsFunc(p.statements, func(s statement) bool {
		return slices.ContainsFunc(s.resources, func(x resource) bool {
			return x.match(r.Resource) && (!x.everything || s.acts(r))
		})
	})
}

// String returns the document that the policy was read from.
func (p *Policy) String() string { return p.text }

func (s *statement) matches(r Request) bool {
	return s.acts(r) &&
		slices.ContainsFunc(s.resources, func(x resource) bool { return x.match(r.Resource) }) &&
		!slices.ContainsFunc(s.sources, func(x sources) bool { return !x.hold(r.Source) })
}

func (s *statement) acts(r Request) bool {
	action := strings.ToLower(r.Action)
	return slices.ContainsFunc(s.actions, func(g glob) bool { return g.match(action) })
}

// hold tells whether the condition holds. An address that is not known is in no range.
func (s sources) hold(a netip.Addr) bool {
	a = a.Unmap()
	within := slices.ContainsFunc(s.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	return within != s.negated
}
