package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// The bounds of access rules.
const (
	maxAccessRules = 10   // of an organisation
	maxRanges      = 1024 // in one list of a rule
	maxListed      = 10   // in any other list of a rule
	maxDescription = 255  // characters
)

// AccessRule says who may, or may not, come in by which way from where. It matches an access for which all its conditions
// hold; an empty list is no condition.
type AccessRule struct {
	Name        string // 1 to 64 of [a-zA-Z0-9_-], unique in the organisation
	Allow       bool
	Description string
	AccessConditions
	Created, Modified time.Time // 1970 for the rule that an organisation begins with
}

// AccessConditions are the lists of an access rule: of each pair one value of the first must fit, and none of the second.
type AccessConditions struct {
	IPRanges    []string             `json:"ip_ranges,omitempty"` // IPv4 networks, 192.0.2.0/24
	NotIPRanges []string             `json:"not_ip_ranges,omitempty"`
	Actions     []string             `json:"actions,omitempty"`
	NotActions  []string             `json:"not_actions,omitempty"`
	Users       []directory.EntityID `json:"users,omitempty"` // the id of one who was deleted fits nobody
	NotUsers    []directory.EntityID `json:"not_users,omitempty"`
	Roles       []RoleID             `json:"roles,omitempty"`
	NotRoles    []RoleID             `json:"not_roles,omitempty"`
}

const (
	upsertAccessRule = `INSERT INTO access_rule (organization, name, allow, description, conditions, created, modified)
		VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (organization, name) DO UPDATE
		SET allow = excluded.allow, description = excluded.description, conditions = excluded.conditions, modified = excluded.modified`
	countOtherAccessRules = `SELECT COUNT(*) FROM access_rule WHERE organization = $1 AND name <> $2`
	deleteAccessRule      = `DELETE FROM access_rule WHERE organization = $1 AND name = $2`
	listAccessRules       = `SELECT name, allow, description, conditions, created, modified FROM access_rule WHERE organization = $1 ORDER BY name`
)

// PutAccessRule makes a rule, or replaces the one of that name. It counts for sign-ins from the commit on and ends sessions that
// it forbids. Faults: Invalid for a name, range or action that can't be and for lists that are too long; NotFound (Entity) for
// a user, named by id, NotFound (Resource) for a role; Limit for an eleventh rule.
func (s *Service) PutAccessRule(ctx context.Context, p principal.Principal, org directory.OrgID, r AccessRule) error {
	return s.directory.ChangeAlone(ctx, p, org, "PutAccessControlRule", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		if _, err := r.compile(); err != nil {
			return "", err
		}
		if err := s.usersTx(ctx, tx, o, slices.Concat(r.Users, r.NotUsers)...); err != nil {
			return "", err
		}
		if err := s.rolesTx(ctx, tx, o, slices.Concat(r.Roles, r.NotRoles)...); err != nil {
			return "", err
		}
		return r.Name, s.putAccessRuleTx(ctx, tx, o, r)
	})
}

func (s *Service) putAccessRuleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r AccessRule) error {
	var others int
	if err := tx.QueryRow(ctx, countOtherAccessRules, o.Key, r.Name).Scan(&others); err != nil {
		return fmt.Errorf("count access rules: %w", err)
	}
	if others >= maxAccessRules {
		return fault.New(fault.Limit, fault.Resource, "organization %s has %d access control rules, the most it can have; delete one first", o.ID, others)
	}
	conditions, err := json.Marshal(r.AccessConditions)
	if err != nil {
		return fmt.Errorf("put access rule: %w", err)
	}
	_, err = tx.Exec(ctx, upsertAccessRule, o.Key, r.Name, r.Allow, r.Description, string(conditions), s.clock.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("put access rule: %w", err)
	}
	s.accessChanged(tx, o)
	return nil
}

// DeleteAccessRule removes a rule. Where there is none of the name, nothing happens. Without any rule nobody comes in.
func (s *Service) DeleteAccessRule(ctx context.Context, p principal.Principal, org directory.OrgID, name string) error {
	return s.directory.Change(ctx, p, org, "DeleteAccessControlRule", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return name, s.DeleteAccessRuleTx(ctx, tx, o, name)
	})
}

// DeleteAccessRuleTx is DeleteAccessRule in a transaction.
func (s *Service) DeleteAccessRuleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, name string) error {
	if _, err := tx.Exec(ctx, deleteAccessRule, o.Key, name); err != nil {
		return fmt.Errorf("delete access rule: %w", err)
	}
	s.accessChanged(tx, o)
	return nil
}

// ListAccessRules lists all rules in the order of their names.
func (s *Service) ListAccessRules(ctx context.Context, p principal.Principal, org directory.OrgID) (rules []AccessRule, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		rules, err = s.AccessRulesTx(ctx, tx, o)
		return err
	})
	return rules, err
}

// AccessRulesTx is ListAccessRules in a transaction.
func (s *Service) AccessRulesTx(ctx context.Context, tx *db.Tx, o *directory.Organization) ([]AccessRule, error) {
	found, err := accessRulesTx(ctx, tx, o.Key)
	rules := make([]AccessRule, len(found))
	for i := range found {
		rules[i] = found[i].AccessRule
	}
	return rules, err
}

// errBadRule says that a stored rule can't be read.
var errBadRule = errors.New("a stored rule can't be read:")

// accessRulesTx reads the rules of an organisation.
func accessRulesTx(ctx context.Context, tx *db.Tx, org int64) ([]compiledRule, error) {
	var rules []compiledRule
	err := tx.Each(ctx, func(row db.Row) error {
		var (
			r                 AccessRule
			conditions        []byte
			created, modified int64
		)
		if err := row.Scan(&r.Name, &r.Allow, &r.Description, &conditions, &created, &modified); err != nil {
			return err
		}
		r.Created, r.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
		err := json.Unmarshal(conditions, &r.AccessConditions)
		compiled, wrong := r.compile()
		if err := errors.Join(err, wrong); err != nil {
			return fmt.Errorf("%w access rule %s: %s", errBadRule, r.Name, err) // no fault of who reads it
		}
		rules = append(rules, compiled)
		return nil
	}, listAccessRules, org)
	if err != nil {
		return nil, fmt.Errorf("read access rules: %w", err)
	}
	return rules, nil
}

// compile checks a rule by itself and makes it ready to be compared. Its fault is Invalid.
func (r AccessRule) compile() (compiledRule, error) {
	invalid := func(format string, args ...any) (compiledRule, error) {
		return compiledRule{}, fault.New(fault.Invalid, fault.None, format, args...)
	}
	if !ruleName(r.Name) {
		return invalid("the name of an access control rule is 1 to 64 letters, digits, - and _; this is %q", r.Name)
	}
	if len([]rune(r.Description)) > maxDescription || strings.ContainsFunc(r.Description, func(c rune) bool { return c < ' ' || c > '\u00ff' }) {
		return invalid("the description of an access control rule is at most %d characters of Latin-1", maxDescription)
	}
	c := compiledRule{AccessRule: r}
	for _, list := range []struct {
		from []string
		to   *[]netip.Prefix
	}{{r.IPRanges, &c.in}, {r.NotIPRanges, &c.notIn}} {
		if len(list.from) > maxRanges {
			return invalid("%d ranges were given; a list has at most %d", len(list.from), maxRanges)
		}
		for _, text := range list.from {
			prefix, err := netip.ParsePrefix(text)
			if err != nil || !prefix.Addr().Is4() {
				return invalid("%q is not a range of IPv4 addresses, as 192.0.2.0/24", text)
			}
			*list.to = append(*list.to, prefix)
		}
	}
	for _, n := range []int{len(r.Actions), len(r.NotActions), len(r.Users), len(r.NotUsers), len(r.Roles), len(r.NotRoles)} {
		if n > maxListed {
			return invalid("%d values were given; a list has at most %d", n, maxListed)
		}
	}
	return c, checkActions(slices.Concat(r.Actions, r.NotActions)...)
}

// ruleName reports whether a rule can have the name, or a role or its rule the id.
func ruleName(name string) bool {
	return len(name) >= 1 && len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

func checkActions(actions ...string) error {
	for _, action := range actions {
		if !slices.Contains(Actions(), action) {
			return fault.New(fault.Invalid, fault.None, "action %q is none of %s", action, strings.Join(Actions(), ", "))
		}
	}
	return nil
}

// usersTx returns NotFound (Entity) unless all ids are of users who are not deleted.
func (s *Service) usersTx(ctx context.Context, tx *db.Tx, o *directory.Organization, ids ...directory.EntityID) error {
	for _, id := range ids {
		e, err := s.directory.ResolveTx(ctx, tx, o, string(id), directory.Narrow{Kind: directory.KindUser, IDOnly: true})
		if err != nil {
			return err
		}
		if e.State == directory.Deleted {
			return fault.New(fault.NotFound, fault.Entity, "user %s is deleted", id)
		}
	}
	return nil
}
