package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/message"
)

const (
	// maxAge is the longest that a policy may be kept (RFC 8461 section 3.2), and minAge the shortest that we do.
	maxAge = 31557600 * time.Second
	minAge = 5 * time.Minute
)

// STSPolicy is a policy of MTA-STS.
type STSPolicy struct {
	mode  STSMode
	mx    []string // patterns, folded
	age   time.Duration
	lines []string
}

// Mode is what the policy asks for.
func (p *STSPolicy) Mode() STSMode { return p.mode }

// STSMode says what a sender does that meets a host against the policy.
type STSMode string

// The modes: leave the message for later, send it and report, or as without a policy.
const (
	STSEnforce STSMode = "enforce"
	STSTesting STSMode = "testing"
	STSNone    STSMode = "none"
)

// sts returns what a policy, nil where there is none, says of a host.
func (r *Router) sts(ctx context.Context, domain, host string, p *STSPolicy) (TLS, error) {
	t := TLS{Names: []string{host}, Policy: Policy{Type: PolicyNone, Domain: domain}}
	if p == nil || p.mode == STSNone {
		return t, nil
	}
	t.Policy = Policy{Type: PolicySTS, Domain: domain, Strings: p.lines, MX: p.mx}
	if !p.Matches(host) {
		r.report(ctx, Session{Domain: domain, Policy: t.Policy, Host: host, Result: ValidationFailure, Info: "the MTA-STS policy does not name the host"})
		if p.mode == STSEnforce {
			return TLS{}, &Error{false, "4.7.5", fmt.Sprintf("the MTA-STS policy of %s does not name its host %s", domain, host)}
		}
		t.Policy = Policy{} // it has been counted
		return t, nil
	}
	t.Source = "MTA-STS"
	if p.mode == STSEnforce {
		t.Level = Verified
	}
	return t, nil
}

// Matches reports whether the policy names the folded host (RFC 8461 section 4.1).
func (p *STSPolicy) Matches(host string) bool {
	return slices.ContainsFunc(p.mx, func(pattern string) bool {
		if parent, wild := strings.CutPrefix(pattern, "*."); wild {
			label, rest, _ := strings.Cut(host, ".")
			return label != "" && rest == parent
		}
		return pattern == host
	})
}

// parseSTS reads a policy (RFC 8461 section 3.2).
func parseSTS(body string) (*STSPolicy, error) {
	if !utf8.ValidString(body) || strings.ContainsRune(body, 0) {
		return nil, errors.New("the policy is not text")
	}
	p := &STSPolicy{age: -1}
	version := ""
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, errors.New("a line of the policy has no colon")
		}
		p.lines = append(p.lines, line)
		value = strings.Trim(value, " \t")
		// Of a field that stands twice the first counts.
		switch key = strings.TrimRight(key, " \t"); {
		case key == "version" && version == "":
			version = value
		case key == "mode" && p.mode == "":
			p.mode = STSMode(value)
		case key == "max_age" && p.age < 0:
			seconds, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return nil, errors.New("max_age is not a number of seconds")
			}
			p.age = max(time.Duration(min(seconds, uint64(maxAge/time.Second)))*time.Second, minAge)
		case key == "mx":
			pattern, err := foldPattern(value)
			if err != nil {
				return nil, err
			}
			p.mx = append(p.mx, pattern)
		}
	}
	switch {
	case version != "STSv1":
		return nil, errors.New("the policy's version is not STSv1")
	case p.mode != STSEnforce && p.mode != STSTesting && p.mode != STSNone:
		return nil, errors.New("the policy's mode is none of enforce, testing and none")
	case p.age < 0:
		return nil, errors.New("the policy has no max_age")
	case len(p.mx) == 0 && p.mode != STSNone:
		return nil, errors.New("the policy names no mx")
	}
	return p, nil
}

// foldPattern checks and folds a pattern of hosts.
func foldPattern(pattern string) (string, error) {
	name, wild := strings.CutPrefix(pattern, "*.")
	folded := message.FoldDomain(strings.TrimSuffix(name, "."))
	for label := range strings.SplitSeq(folded, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(c rune) bool {
			return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
		}) {
			return "", errors.New("an mx of the policy is not the name of a host")
		}
	}
	if wild {
		folded = "*." + folded
	}
	return folded, nil
}

// ParseSTSRecord reads the TXT records of _mta-sts, and returns the id of the one that speaks of MTA-STS (RFC 8461 section 3.1);
// ok is false where not exactly one does.
func ParseSTSRecord(records []string) (id string, ok bool) {
	fields, ok := Fields(records, "STSv1")
	if !ok {
		return "", false
	}
	for _, f := range fields {
		if key, value, found := strings.Cut(f, "="); found && strings.Trim(key, " \t") == "id" {
			id = strings.Trim(value, " \t")
			break
		}
	}
	alphanumeric := func(c rune) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	if id == "" || len(id) > 32 || strings.ContainsFunc(id, func(c rune) bool { return !alphanumeric(c) }) {
		return "", false
	}
	return id, true
}

// Fields returns the fields after the version of the only TXT record that begins with it, as "v=STSv1; id=1"; ok is false where
// not exactly one does.
func Fields(records []string, version string) (fields []string, ok bool) {
	for _, record := range records {
		first, rest, more := strings.Cut(record, ";")
		if !more || strings.TrimRight(first, " \t") != "v="+version {
			continue
		}
		if ok {
			return nil, false
		}
		fields, ok = strings.Split(rest, ";"), true
	}
	return fields, ok
}
