package policy

import (
	"context"
	"net/netip"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// Access is somebody who wants to come in: a user, or a program in an impersonation role.
type Access struct {
	// Action is the way in, one of Actions.
	Action string
	// Address is the client's. Rules are written in IPv4: another address is in no range.
	Address netip.Addr
	// Either of the two is set.
	User directory.EntityID
	Role RoleID
}

// RoleID identifies an impersonation role inside its organisation.
type RoleID string

// Actions are the ways in that access rules speak of, spelled as WorkMail does.
func Actions() []string {
	return []string{"ActiveSync", "AutoDiscover", "EWS", "IMAP", "SMTP", "WindowsOutlook", "WebMail"}
}

// actionEWS is the one action that a role can be used for.
const actionEWS = "EWS"

// Verdict is what the access rules say of an access.
type Verdict struct {
	Allowed bool
	// Rules are the names of those that made it so; none where no rule allowed it.
	Rules []string
}

// MayEnter judges an access by the rules of the organisation: a matching rule that denies wins, else one that allows; where
// none matches, nobody comes in. The rules are remembered, so that it costs no query. An organisation that is not active lets
// nobody in.
func (s *Service) MayEnter(ctx context.Context, org directory.OrgID, a Access) (Verdict, error) {
	rules, err := s.accessRules(ctx, org)
	if fault.Is(err, fault.State, fault.Organization) || fault.Is(err, fault.NotFound, fault.Organization) {
		return Verdict{}, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	return judge(rules, a), nil
}

// judge is the one reading of access rules. It depends on nothing else.
func judge(rules []compiledRule, a Access) Verdict {
	a.Address = a.Address.Unmap()
	var allowing, denying []string
	for i := range rules {
		switch r := &rules[i]; {
		case !r.matches(a):
		case r.Allow:
			allowing = append(allowing, r.Name)
		default:
			denying = append(denying, r.Name)
		}
	}
	if len(denying) > 0 {
		return Verdict{Rules: denying}
	}
	return Verdict{Allowed: len(allowing) > 0, Rules: allowing}
}

// compiledRule is a rule with its ranges ready to be compared.
type compiledRule struct {
	AccessRule
	in, notIn []netip.Prefix
}

// matches reports whether all conditions of the rule hold.
func (r *compiledRule) matches(a Access) bool {
	return (len(r.in) == 0 || anyContains(r.in, a.Address)) && !anyContains(r.notIn, a.Address) &&
		listed(r.Actions, r.NotActions, a.Action) && r.concerns(a)
}

// concerns reports whether the rule's conditions on who comes in hold. Those on users speak of users alone and those on roles
// of roles alone: a rule with only the one kind does not concern the other, a rule with neither concerns both.
func (r *compiledRule) concerns(a Access) bool {
	ofUsers, ofRoles := len(r.Users)+len(r.NotUsers) > 0, len(r.Roles)+len(r.NotRoles) > 0
	if a.Role != "" {
		return listed(r.Roles, r.NotRoles, a.Role) && (ofRoles || !ofUsers)
	}
	return listed(r.Users, r.NotUsers, a.User) && (ofUsers || !ofRoles)
}

// listed reports whether value is in the one list, if that has any, and not in the other.
func listed[T comparable](in, notIn []T, value T) bool {
	return (len(in) == 0 || slices.Contains(in, value)) && !slices.Contains(notIn, value)
}

func anyContains(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// AccessEffect is MayEnter for an administrator who asks what would happen. Faults: Invalid for an unknown action, an address
// that is not IPv4, for both or neither of a user and a role, and for a role with another action than EWS; NotFound (Entity)
// for the user, who is named by id, NotFound (Resource) for the role.
func (s *Service) AccessEffect(ctx context.Context, p principal.Principal, org directory.OrgID, a Access) (Verdict, error) {
	err := s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		switch {
		case !a.Address.Is4():
			return fault.New(fault.Invalid, fault.None, "the address %s is not IPv4", a.Address)
		case (a.User == "") == (a.Role == ""):
			return fault.New(fault.Invalid, fault.None, "give either a user or an impersonation role")
		case a.Role != "" && a.Action != actionEWS:
			return fault.New(fault.Invalid, fault.None, "an impersonation role is used by %s alone, not by %q", actionEWS, a.Action)
		}
		if err := checkActions(a.Action); err != nil {
			return err
		}
		if a.Role != "" {
			return s.rolesTx(ctx, tx, o, a.Role)
		}
		return s.usersTx(ctx, tx, o, a.User)
	})
	if err != nil {
		return Verdict{}, err
	}
	return s.MayEnter(ctx, org, a)
}
