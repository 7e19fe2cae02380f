package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// Limits on a document.
const (
	maxDocument = 6144 // bytes, as for an IAM managed policy
	maxName     = 128  // characters of Sid and Id
)

// Parse reads a policy document. An error says which element is wrong or not supported, and what is.
func Parse(document []byte) (*Policy, error) {
	if len(document) > maxDocument {
		return nil, fmt.Errorf("the policy has %d bytes; %d are the most", len(document), maxDocument)
	}
	top, err := object(document)
	if err != nil {
		return nil, fmt.Errorf("the policy: %w", err)
	}
	p := &Policy{text: string(document)}
	for _, e := range top {
		switch e.name {
		case "Version":
			if v, err := text(e.value); err != nil || v != "2012-10-17" && v != "2008-10-17" {
				return nil, fmt.Errorf("the policy: Version must be \"2012-10-17\" or \"2008-10-17\"")
			}
		case "Id":
			if v, err := text(e.value); err != nil || len(v) > maxName {
				return nil, fmt.Errorf("the policy: Id must be a string of at most %d bytes", maxName)
			}
		case "Statement":
			if p.statements, err = statements(e.value); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("the policy: the element %q is not supported; Version, Id and Statement are", e.name)
		}
	}
	if len(p.statements) == 0 {
		return nil, errors.New("the policy has no Statement")
	}
	return p, nil
}

func statements(raw json.RawMessage) ([]statement, error) {
	list := []json.RawMessage{raw}
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("the policy: Statement: %w", err)
		}
	}
	all := make([]statement, 0, len(list))
	for i, raw := range list {
		s, err := parseStatement(raw)
		if err != nil {
			return nil, fmt.Errorf("statement %d of the policy: %w", i+1, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func parseStatement(raw json.RawMessage) (s statement, err error) {
	elements, err := object(raw)
	if err != nil {
		return s, err
	}
	for _, e := range elements {
		switch e.name {
		case "Sid":
			if v, bad := text(e.value); bad != nil || len(v) > maxName {
				err = fmt.Errorf("must be a string of at most %d bytes", maxName)
			}
		case "Effect":
			s.effect, err = effect(e.value)
		case "Action":
			s.actions, err = actions(e.value)
		case "Resource":
			s.resources, err = resources(e.value)
		case "Condition":
			s.sources, err = conditions(e.value)
		default:
			err = errors.New("this element is not supported; Sid, Effect, Action, Resource and Condition are")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", e.name, err)
		}
	}
	switch {
	case s.effect == "":
		return s, errors.New("the element Effect is missing")
	case len(s.actions) == 0:
		return s, errors.New("the element Action is missing or empty")
	case len(s.resources) == 0:
		return s, errors.New("the element Resource is missing or empty")
	}
	return s, nil
}

func effect(raw json.RawMessage) (Effect, error) {
	v, err := text(raw)
	if err != nil || v != string(Allow) && v != string(Deny) {
		return "", errors.New(`must be "Allow" or "Deny"`)
	}
	return Effect(v), nil
}

var actionForm = lazyregexp.New(`\A(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)\z`)

// actions reads action patterns. They are compared without case, as IAM does.
func actions(raw json.RawMessage) ([]glob, error) {
	list, err := texts(raw)
	if err != nil {
		return nil, err
	}
	var all []glob
	for _, a := range list {
		if !actionForm.MatchString(a) {
			return nil, fmt.Errorf("%q is neither \"*\" nor of the form service:Operation, where the operation may have * and ?", a)
		}
		all = append(all, glob(strings.ToLower(a)))
	}
	return all, nil
}

func resources(raw json.RawMessage) ([]resource, error) {
	list, err := texts(raw)
	if err != nil {
		return nil, err
	}
	var all []resource
	for _, r := range list {
		if r == "*" {
			all = append(all, resource{everything: true})
			continue
		}
		parts := strings.SplitN(r, ":", arnParts)
		if len(parts) != arnParts || parts[0] != "arn" {
			return nil, fmt.Errorf("%q is neither \"*\" nor an ARN like arn:aws:workmail:REGION:ACCOUNT:organization/m-…", r)
		}
		if strings.Contains(r, "${") {
			return nil, fmt.Errorf("%q has a policy variable; these are not supported", r)
		}
		var x resource
		for i, part := range parts {
			x.parts[i] = glob(part)
		}
		all = append(all, x)
	}
	return all, nil
}

func conditions(raw json.RawMessage) ([]sources, error) {
	operators, err := object(raw)
	if err != nil {
		return nil, err
	}
	var all []sources
	for _, operator := range operators {
		if operator.name != "IpAddress" && operator.name != "NotIpAddress" {
			return nil, fmt.Errorf("the operator %q is not supported; IpAddress and NotIpAddress are", operator.name)
		}
		keys, err := object(operator.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", operator.name, err)
		}
		for _, key := range keys {
			if !strings.EqualFold(key.name, "aws:SourceIp") {
				return nil, fmt.Errorf("%s: the key %q is not supported; aws:SourceIp is", operator.name, key.name)
			}
			prefixes, err := ranges(key.value)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", operator.name, key.name, err)
			}
			all = append(all, sources{prefixes: prefixes, negated: operator.name == "NotIpAddress"})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("it has no condition")
	}
	return all, nil
}

// ranges reads addresses and ranges of addresses, at least one.
func ranges(raw json.RawMessage) ([]netip.Prefix, error) {
	list, err := texts(raw)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("at least one address is needed")
	}
	var all []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, bad := netip.ParseAddr(s)
			if bad != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%q is neither an address nor a range like 203.0.113.0/24", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is an IPv4 address in IPv6 form; write the IPv4 form", s)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

type element struct {
	name  string
	value json.RawMessage
}

// object reads a JSON object strictly: no duplicates, nothing behind it.
func object(raw []byte) ([]element, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	var all []element
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // a decoder inside an object returns nothing else
		if seen[name] {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		all = append(all, element{name, value})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the object")
	}
	return all, nil
}

func text(raw json.RawMessage) (string, error) {
	if raw[0] != '"' {
		return "", errors.New("must be a string")
	}
	var s string
	return s, json.Unmarshal(raw, &s)
}

// texts reads a string or a list of strings.
func texts(raw json.RawMessage) ([]string, error) {
	if raw[0] == '"' {
		s, err := text(raw)
		return []string{s}, err
	}
	var list []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("must be a string or a list of strings")
	}
	all := make([]string, 0, len(list))
	for _, raw := range list {
		s, err := text(raw)
		if err != nil {
			return nil, errors.New("must be a string or a list of strings")
		}
		all = append(all, s)
	}
	return all, nil
}
