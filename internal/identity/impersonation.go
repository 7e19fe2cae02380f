package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

// TokenLife is how long a token of an impersonation role can be used.
const TokenLife = 900 * time.Second

// Impersonation gives out the tokens of impersonation roles and says what their holders may do. A token holds all there is to
// know of it, so that it survives a restart and is good on every server with the same root key; what the role may do is
// looked up at each use.
type Impersonation struct {
	policy *policy.Service
	audit  *audit.Log
	clock  clock.Clock
	log    *slog.Logger
	key    []byte
}

// NewImpersonation returns the impersonation in the roles of p. A nil log discards.
func NewImpersonation(p *policy.Service, a *audit.Log, root *secret.Key, c clock.Clock, log *slog.Logger) *Impersonation {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Impersonation{policy: p, audit: a, clock: c, log: log, key: root.Derive("impersonation tokens")}
}

// Assume gives out a token that stands for a role until TokenLife has passed. Faults: NotFound (Resource).
func (i *Impersonation) Assume(ctx context.Context, p principal.Principal, org directory.OrgID, role policy.RoleID) (token string, err error) {
	if _, err := i.policy.DescribeRole(ctx, p, org, role); err != nil {
		return "", err
	}
	if err := i.audit.Record(ctx, audit.Of(p, string(org), "AssumeImpersonationRole", string(role))); err != nil {
		return "", err
	}
	return i.seal(roleToken{expires: i.clock.Now().Add(TokenLife), org: org, role: role}), nil
}

// Acting is what the holder of a token may do for one user.
type Acting struct {
	// Principal is the role; it came in by EWS.
	Principal principal.Principal
	User      directory.Entity // enabled
	// ReadOnly says that nothing may be modified, sent or deleted.
	ReadOnly bool
}

// impersonateOperation is the operation of the audit records of a token's use, whose subject is the user.
const impersonateOperation = "Impersonate"

// Act answers whether the holder of a token may act for a user, who is named by address (or id, or name), and write: the token is
// good and its role still exists, the role's rules allow the user, the user is enabled, the access rules let the role in by
// EWS from the client's address, and a READ_ONLY role doesn't write. Each answer is recorded. Faults: Unauthenticated for the
// token; Denied for all else, in words that do not tell why.
func (i *Impersonation) Act(ctx context.Context, token, user string, write bool, how Circumstances) (*Acting, error) {
	p := principal.Principal{Kind: principal.Role, Protocol: "EWS", Address: how.Address, UserAgent: how.UserAgent, RequestID: how.RequestID}
	t, ok := i.open(token)
	if !ok {
		return nil, i.refuse(ctx, p, "", fault.Unauthenticated, "not a token of this server")
	}
	p.ID, p.Organization = string(t.role), string(t.org)
	if !i.clock.Now().Before(t.expires) {
		return nil, i.refuse(ctx, p, "", fault.Unauthenticated, "the token has expired")
	}
	effect, err := i.policy.RoleEffect(ctx, principal.TheSystem("EWS"), t.org, t.role, user)
	switch f := fault.As(err); {
	case f != nil && (f.Subject == fault.Resource || f.Subject == fault.Organization):
		return nil, i.refuse(ctx, p, "", fault.Unauthenticated, "the role or its organization is gone")
	case f != nil && f.Subject == fault.Entity:
		return nil, i.refuse(ctx, p, "", fault.Denied, "no enabled user")
	case err != nil:
		return nil, err
	}
	p.Name = effect.Role.Name
	user, rules := string(effect.User.ID), ruleIDs(effect.Rules)
	told := []audit.Told{i.told(p, effect.User.ID, how, scopeImpersonation, effect.Allowed, rules)}
	if !effect.Allowed {
		return nil, i.refuse(ctx, p, user, fault.Denied, because("impersonation rule", rules), told...)
	}
	v, err := i.policy.MayEnter(ctx, t.org, policy.Access{Action: p.Protocol, Address: how.Address, Role: t.role})
	if err != nil {
		return nil, err
	}
	told = append(told, i.told(p, effect.User.ID, how, scopeAccess, v.Allowed, v.Rules))
	switch {
	case !v.Allowed:
		return nil, i.refuse(ctx, p, user, fault.Denied, because(accessRule, v.Rules), told...)
	case write && effect.Role.ReadOnly:
		return nil, i.refuse(ctx, p, user, fault.Denied, "the role is READ_ONLY", told...)
	}
	r := audit.Of(p, p.Organization, impersonateOperation, user)
	r.Told = told
	if r.Detail = "read"; write {
		r.Detail = "write"
	}
	if err := i.audit.Record(ctx, r); err != nil {
		return nil, err
	}
	return &Acting{Principal: p, User: effect.User, ReadOnly: effect.Role.ReadOnly}, nil
}

func ruleIDs(rules []policy.RoleRule) (ids []string) {
	for i := range rules {
		ids = append(ids, rules[i].ID)
	}
	return ids
}

var (
	errBadToken  = &fault.Error{Kind: fault.Unauthenticated, Message: "the token is none of this server's, or has expired: assume the role again"}
	errMayNotAct = &fault.Error{Kind: fault.Denied, Message: "the impersonation role may not do this for this user"}
)

// refuse records a refusal and returns what the caller is told.
func (i *Impersonation) refuse(ctx context.Context, p principal.Principal, user string, kind fault.Kind, reason string, told ...audit.Told) error {
	r := audit.Of(p, p.Organization, impersonateOperation, user)
	r.Outcome, r.Detail, r.Told = kind.String(), reason, told
	if err := i.audit.Record(ctx, r); err != nil {
		// The refusal stands even where it can't be recorded.
		i.log.ErrorContext(ctx, "a refused impersonation was not recorded", "error", err, "address", p.Address)
	}
	if kind == fault.Unauthenticated {
		return errBadToken
	}
	return errMayNotAct
}

// roleToken is what a token says.
type roleToken struct {
	expires time.Time
	org     directory.OrgID
	role    policy.RoleID
}

const (
	roleTokenVersion = 1
	organizationSize = len("m-") + 32
	roleTokenHead    = 1 + 8 + organizationSize
)

// seal writes a token: version, expiry in seconds, organisation, role, and the HMAC-SHA-256 of all that, as base64. With the
// longest role it has 186 characters of the 256 that it may have.
func (i *Impersonation) seal(t roleToken) string {
	b := binary.BigEndian.AppendUint64([]byte{roleTokenVersion}, uint64(t.expires.Unix()))
	b = append(append(b, t.org...), t.role...)
	return base64.RawURLEncoding.EncodeToString(append(b, i.mac(b)...))
}

// open reads a token that this or another server with the same root key sealed.
func (i *Impersonation) open(token string) (t roleToken, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= roleTokenHead+sha256.Size || b[0] != roleTokenVersion || strings.ContainsAny(token, "\r\n") { // which base64 passes over
		return t, false
	}
	b, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, i.mac(b)) {
		return t, false
	}
	return roleToken{
		expires: time.Unix(int64(binary.BigEndian.Uint64(b[1:9])), 0),
		org:     directory.OrgID(b[9:roleTokenHead]), role: policy.RoleID(b[roleTokenHead:]),
	}, true
}

func (i *Impersonation) mac(b []byte) []byte {
	h := hmac.New(sha256.New, i.key)
	h.Write(b)
	return h.Sum(nil)
}
