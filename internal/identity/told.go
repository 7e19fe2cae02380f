package identity

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

// accessRule is the kind of rule that because names in the reasons of refused sign-ins.
const accessRule = "access rule"

// The scopes of access control: which rules decided.
const (
	scopeAccess        = "AccessControl"
	scopeImpersonation = "ImpersonationAccessControl"
)

// authenticationEvent is a record of WorkMail's AUTHENTICATION_LOGS.
type authenticationEvent struct {
	Time       int64  `json:"event_timestamp"`
	RequestID  string `json:"request_id,omitempty"`
	User       string `json:"user,omitempty"` // as it was given
	UserID     string `json:"user_id,omitempty"`
	Protocol   string `json:"protocol"`
	SourceIP   string `json:"source_ip,omitempty"`
	UserAgent  string `json:"user_agent,omitempty"`
	Method     string `json:"method"`
	Successful bool   `json:"auth_successful"`
	Reason     string `json:"auth_failed_reason,omitempty"`
	Token      string `json:"personal_access_token_id,omitempty"`
	// Attempts is ours: how many sign-ins the record tells of, where that is not one.
	Attempts int64 `json:"attempts,omitempty"`
}

// accessEvent is a record of WorkMail's ACCESS_CONTROL_LOGS.
type accessEvent struct {
	Time      int64  `json:"event_timestamp"`
	RequestID string `json:"request_id,omitempty"`
	UserID    string `json:"user_id"`
	Role      string `json:"impersonator_id,omitempty"` // the impersonation role that acts for the user
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"source_ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Scope     string `json:"scope"`
	RuleID    string `json:"rule_id,omitempty"` // the first of those that decided; absent where none matched
	Granted   bool   `json:"access_granted"`
	// Attempts is ours: how many sign-ins the record tells of, where that is not one.
	Attempts int64 `json:"attempts,omitempty"`
}

// tokenEvent is a record of WorkMail's WORKMAIL_PERSONAL_ACCESS_TOKEN_LOGS.
type tokenEvent struct {
	Time      int64    `json:"event_timestamp"`
	RequestID string   `json:"request_id,omitempty"`
	UserID    string   `json:"user_id"`        // whose token it is
	User      string   `json:"user,omitempty"` // the name of the user who did it; absent where it was an administrator
	Protocol  string   `json:"protocol"`
	SourceIP  string   `json:"source_ip,omitempty"`
	UserAgent string   `json:"user_agent,omitempty"`
	Action    string   `json:"action"`
	ID        string   `json:"personal_access_token_id"` // ours: what sign-ins name
	Name      string   `json:"name"`
	Expires   int64    `json:"expires_time,omitempty"` // absent for never
	Scopes    []string `json:"scopes"`
}

// tellTokenTx tells that p made or deleted a token of a user, in the transaction that does.
func (c *Center) tellTokenTx(ctx context.Context, tx *db.Tx, p principal.Principal, o *directory.Organization, action string, t *Token) error {
	e := tokenEvent{
		Time: audit.Millis(c.clock.Now()), RequestID: p.RequestID, UserID: string(t.User), Protocol: p.Protocol,
		SourceIP: addressText(p.Address), UserAgent: p.UserAgent, Action: action, ID: t.ID, Name: t.Name, Scopes: t.Scopes,
	}
	if p.Kind == principal.User {
		e.Protocol, e.User = "webapp", p.Name
	}
	if !t.Expires.IsZero() {
		e.Expires = audit.Millis(t.Expires)
	}
	return c.audit.AuditTx(ctx, tx, audit.PersonalAccessTokens, string(o.ID), e)
}

// byRule reports whether a sign-in was refused by access rules, the password being right.
func byRule(reason string) bool {
	return reason == because(accessRule, nil) || strings.HasPrefix(reason, "denied by "+accessRule+" ")
}

// authentication returns what the authentication log is told of a sign-in that r records; since is when it was, or the first
// of so many, username what it was tried with. Detail is the reason of a refusal. WorkMail leaves the web client's sign-ins out.
func (d *Door) authentication(r audit.Record, username string, how Circumstances, p proof, since time.Time, times int64) []audit.Told {
	if how.Protocol == "WebMail" || !d.audit.WantsAudit(audit.AuthenticationLogs, r.Organization) {
		return nil
	}
	e := authenticationEvent{
		Time: since.UnixMilli(), RequestID: how.RequestID, User: username, UserID: r.Actor.ID, Protocol: how.Protocol,
		SourceIP: addressText(how.Address), UserAgent: how.UserAgent, Method: "basic", Successful: r.Outcome == audit.Done || byRule(r.Detail),
	}
	if !e.Successful {
		e.Reason = r.Detail
	}
	if p.token != nil {
		e.Token = p.token.ID
	}
	if times > 1 {
		e.Attempts = times
	}
	return []audit.Told{{Stream: audit.AuthenticationLogs, Event: e}}
}

// told returns what the audit logs are told of a sign-in that r records, or of so many since then: how it ended, and, where the access
// rules decided, which of them did.
func (d *Door) told(ctx context.Context, r audit.Record, username string, how Circumstances, p proof, since time.Time, times int64) []audit.Told {
	told := d.authentication(r, username, how, p, since, times)
	if r.Outcome != audit.Done && !byRule(r.Detail) || !d.audit.WantsAudit(audit.AccessControlLogs, r.Organization) {
		return told
	}
	e := accessEvent{
		Time: since.UnixMilli(), RequestID: how.RequestID, UserID: r.Actor.ID, Protocol: how.Protocol, SourceIP: addressText(how.Address),
		UserAgent: how.UserAgent, Scope: scopeAccess, Granted: r.Outcome == audit.Done,
	}
	if times > 1 {
		e.Attempts = times
	}
	// The rules are remembered: asking again costs nothing. If they changed meanwhile the record names none.
	v, err := d.policy.MayEnter(ctx, directory.OrgID(r.Organization), policy.Access{
		Action: how.wayIn(), Address: how.Address, User: directory.EntityID(r.Actor.ID),
	})
	if err == nil && v.Allowed == e.Granted && len(v.Rules) > 0 {
		e.RuleID = v.Rules[0]
	}
	return append(told, audit.Told{Stream: audit.AccessControlLogs, Event: e})
}

// told returns what the access control log is told of a role's use: what the rules of a scope decided.
func (i *Impersonation) told(p principal.Principal, user directory.EntityID, how Circumstances, scope string, granted bool, rules []string) audit.Told {
	e := accessEvent{
		Time: audit.Millis(i.clock.Now()), RequestID: how.RequestID, UserID: string(user), Role: p.ID, Protocol: p.Protocol,
		SourceIP: addressText(how.Address), UserAgent: how.UserAgent, Scope: scope, Granted: granted,
	}
	if len(rules) > 0 {
		e.RuleID = rules[0]
	}
	return audit.Told{Stream: audit.AccessControlLogs, Event: e}
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}
