package flow

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

// Direction says which mail a rule is for. The numbers are stored.
type Direction int64

// The directions. Mail inside an organisation goes both ways: first out, then in.
const (
	Inbound  Direction = 1
	Outbound Direction = 2
)

// Action is what a rule does. The words are stored, and are the API's.
type Action string

// The actions.
const (
	Drop        Action = "DROP"
	Bounce      Action = "BOUNCE"
	MoveToJunk  Action = "MOVE_TO_JUNK"
	Default     Action = "DEFAULT"
	BypassSpam  Action = "BYPASS_SPAM_CHECK"
	RouteToSMTP Action = "ROUTE_TO_SMTP_GATEWAY"
	RunLambda   Action = "RUN_LAMBDA"
)

// actions of a direction, the most restrictive first.
func (d Direction) actions() []Action {
	if d == Outbound {
		return []Action{Drop, Bounce, Default, RouteToSMTP, RunLambda}
	}
	return []Action{Drop, Bounce, MoveToJunk, Default, BypassSpam, RunLambda}
}

// Rule is a mail flow rule.
type Rule struct {
	Direction Direction
	Name      string // unique in its organisation and direction, without case
	Action    Action
	// Senders and Recipients are patterns: an address, "example.com", "*.example.com" (its subdomains and itself) or "*".
	Senders, Recipients []string
	// Gateway is the name of the SMTP gateway that RouteToSMTP sends mail through.
	Gateway string
	// Lambda is what RunLambda calls.
	Lambda            *Lambda
	Created, Modified time.Time
}

// Lambda is a function that is called for mail: an endpoint of the server's configuration, by the ARN of a Lambda function.
type Lambda struct {
	ARN string
	// Synchronous functions decide. They are asked again and again until Timeout, whole minutes, is over; then Fallback is what
	// becomes of the message. Other functions are told of messages.
	Synchronous bool
	Timeout     time.Duration
	Fallback    Action
}

// Effect is what a rule does with the message itself.
func (r *Rule) Effect() Action {
	if r.Action == RunLambda && !r.Lambda.Synchronous {
		return Default
	}
	return r.Action
}

func (r *Rule) checkLambda() error {
	l := r.Lambda
	switch {
	case (r.Action == RunLambda) != (l != nil):
		return invalid("a rule has a function if and only if its action is %s", RunLambda)
	case l == nil:
	case l.ARN == "" || len(l.ARN) > maxARN:
		return invalid("a function is named by its ARN, of at most %d characters", maxARN)
	case !l.Synchronous && (l.Fallback != "" || l.Timeout != 0):
		return invalid("an asynchronous function decides nothing: there is no fallback, and no timeout")
	case !l.Synchronous:
	case !slices.Equal(r.Recipients, []string{"*"}):
		return invalid("a synchronous function decides for all recipients: their only pattern is *")
	case !r.Direction.decides(l.Fallback):
		return invalid("%q is not an action to fall back on", l.Fallback)
	case l.Timeout < 0 || l.Timeout > maxTimeout || l.Timeout%time.Minute != 0:
		return invalid("the timeout of a synchronous function is 0 to %d minutes", maxTimeout/time.Minute)
	}
	return nil
}

const (
	maxARN     = 256
	maxTimeout = 240 * time.Minute
)

const (
	maxName         = 64
	maxPatterns     = 250  // on one side of a rule
	maxAllPatterns  = 1000 // on one side of all rules of an organisation
	maxPatternBytes = message.MaxLocal + 1 + message.MaxDomain
)

// check returns the rule as it is kept, or what is wrong with it.
func (r Rule) check() (Rule, error) {
	var err error
	if r.Name, err = checkName(r.Name); err != nil {
		return r, err
	}
	if !slices.Contains(r.Direction.actions(), r.Action) {
		return r, invalid("%q is not an action of such a rule", r.Action)
	}
	if (r.Action == RouteToSMTP) != (r.Gateway != "") {
		return r, invalid("a rule names an SMTP gateway if and only if its action is %s", RouteToSMTP)
	}
	if r.Senders, err = checkPatterns("sender", r.Senders); err != nil {
		return r, err
	}
	if r.Recipients, err = checkPatterns("recipient", r.Recipients); err != nil {
		return r, err
	}
	return r, r.checkLambda()
}

// checkName returns a name of a rule or a gateway without what is around it.
func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 127 }) {
		return "", invalid("a name has 1 to %d characters, and none that controls something", maxName)
	}
	return name, nil
}

// checkPatterns returns patterns as they are kept and compared: folded, each once, in their order.
func checkPatterns(side string, patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		return nil, invalid("a rule needs a %s pattern; * means everybody", side)
	}
	var kept []string
	for _, p := range patterns {
		folded, err := foldPattern(p)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(kept, folded) {
			kept = append(kept, folded)
		}
		if len(kept) > maxPatterns {
			return nil, fault.New(fault.Limit, fault.Resource, "a rule can have %d %s patterns", maxPatterns, side)
		}
	}
	return kept, nil
}

// foldPattern returns a pattern as it is compared.
func foldPattern(p string) (string, error) {
	bad := invalid("%.100q is not a pattern: write an address, a domain, *. and a domain, or *", p)
	local, domain, isAddress := strings.Cut(p, "@")
	stars := ""
	switch {
	case len(p) > maxPatternBytes, strings.Contains(p, "+"):
		return "", invalid("%.100q is not a pattern: it is too long or has a plus sign; an address without it means its tags too", p)
	case p == "*":
		return p, nil
	case isAddress:
		a, err := message.ParseAddress(p)
		if err != nil || a.Local != local || strings.Contains(local, "*") {
			return "", bad
		}
		local = message.FoldLocal(a.Local) + "@"
	default:
		local, domain = "", p
		if rest, ok := strings.CutPrefix(p, "*."); ok {
			stars, domain = "*.", rest
		}
	}
	domain = message.FoldDomain(domain)
	if !isDomain(domain) {
		return "", bad
	}
	return local + stars + domain, nil
}

// isDomain reports whether a folded domain is one, as patterns may have it.
func isDomain(s string) bool {
	if len(s) > message.MaxDomain {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fault.Resource, format, args...)
}
