package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/principal"
)

// The bounds of impersonation roles.
const (
	maxRoles           = 20  // of an organisation
	maxRoleRules       = 10  // of a role
	maxRoleName        = 64  // characters
	maxRoleDescription = 256 // characters
)

// NewRole asks for a role, or for all that a role is to be.
type NewRole struct {
	Name        string
	ReadOnly    bool
	Description string
	Rules       []NewRoleRule
}

const (
	roleColumns = `id, name, read_only, description, rules, created, modified`
	roleByID    = `SELECT ` + roleColumns + ` FROM impersonation_role WHERE organization = $1 AND id = $2`
	listRoles   = `SELECT ` + roleColumns + ` FROM impersonation_role WHERE organization = $1 AND id > $2 ORDER BY id LIMIT $3`
	insertRole  = `INSERT INTO impersonation_role (organization, id, name, read_only, description, rules, created, modified)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`
	updateRole = `UPDATE impersonation_role SET name = $3, read_only = $4, description = $5, rules = $6, modified = $7
		WHERE organization = $1 AND id = $2`
	deleteRole = `DELETE FROM impersonation_role WHERE organization = $1 AND id = $2`
	countRoles = `SELECT COUNT(*) FROM impersonation_role WHERE organization = $1`
)

// CreateRole makes a role and returns its id. The same client token gives the same answer again; an empty one makes every call a
// new one. Faults: Invalid for texts and rules that can't be, Invalid (Token); NotFound and State (Entity) for a target that
// is no enabled user; Limit for one role too many.
func (s *Service) CreateRole(ctx context.Context, p principal.Principal, org directory.OrgID, n NewRole, clientToken string) (RoleID, error) {
	input, err := json.Marshal(n)
	if err != nil {
		return "", fmt.Errorf("create impersonation role: %w", err)
	}
	once := directory.Once{Scope: "CreateImpersonationRole " + string(org), Token: clientToken, Input: input}
	var created string
	err = s.directory.ChangeAlone(ctx, p, org, "CreateImpersonationRole", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		created, err = s.directory.OnceTx(ctx, tx, once, func() (string, error) {
			rules, err := s.checkRoleTx(ctx, tx, o, n)
			if err != nil {
				return "", err
			}
			role := id.UUID()
			return role, s.insertRoleTx(ctx, tx, o, RoleID(role), n, rules)
		})
		return created, err
	})
	return RoleID(created), err
}

// insertRoleTx stores a new role whose rules were checked.
func (s *Service) insertRoleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, role RoleID, n NewRole, rules string) error {
	var count int
	if err := tx.QueryRow(ctx, countRoles, o.Key).Scan(&count); err != nil {
		return fmt.Errorf("count impersonation roles: %w", err)
	}
	if count >= maxRoles {
		return fault.New(fault.Limit, fault.Resource, "organization %s has %d impersonation roles, the most it can have; delete one first", o.ID, count)
	}
	if _, err := tx.Exec(ctx, insertRole, o.Key, string(role), n.Name, n.ReadOnly, n.Description, rules, s.clock.Now().UnixMicro()); err != nil {
		return fmt.Errorf("create impersonation role: %w", err)
	}
	return nil
}

// UpdateRole makes a role all that n says. Tokens that were given out stand for the role as it then is. Faults: those of
// CreateRole; NotFound (Resource).
func (s *Service) UpdateRole(ctx context.Context, p principal.Principal, org directory.OrgID, role RoleID, n NewRole) error {
	return s.directory.Change(ctx, p, org, "UpdateImpersonationRole", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		if err := s.rolesTx(ctx, tx, o, role); err != nil {
			return "", err
		}
		rules, err := s.checkRoleTx(ctx, tx, o, n)
		if err != nil {
			return "", err
		}
		changed, err := tx.Exec(ctx, updateRole, o.Key, string(role), n.Name, n.ReadOnly, n.Description, rules, s.clock.Now().UnixMicro())
		if err != nil {
			return "", fmt.Errorf("update impersonation role: %w", err)
		}
		if changed == 0 { // deleted since it was looked for
			return "", noRole(o, role)
		}
		return string(role), nil
	})
}

// DeleteRole removes a role: its tokens end, and in access rules its id matches nobody. Where there is none, nothing happens.
func (s *Service) DeleteRole(ctx context.Context, p principal.Principal, org directory.OrgID, role RoleID) error {
	return s.directory.Change(ctx, p, org, "DeleteImpersonationRole", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return string(role), s.DeleteRoleTx(ctx, tx, o, role)
	})
}

// DeleteRoleTx is DeleteRole in a transaction.
func (s *Service) DeleteRoleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, role RoleID) error {
	if _, err := tx.Exec(ctx, deleteRole, o.Key, string(role)); err != nil {
		return fmt.Errorf("delete impersonation role: %w", err)
	}
	return nil
}

// DescribeRole reads a role. Faults: NotFound (Resource).
func (s *Service) DescribeRole(ctx context.Context, p principal.Principal, org directory.OrgID, role RoleID) (r *ImpersonationRole, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		r, err = roleTx(ctx, tx, o, role)
		return err
	})
	return r, err
}

// ListRoles lists roles in the order of their ids.
func (s *Service) ListRoles(ctx context.Context, p principal.Principal, org directory.OrgID, page directory.Page) (roles []ImpersonationRole, next string, err error) {
	limit := page.Limit
	if limit <= 0 || limit > maxRoles {
		limit = maxRoles
	}
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		roles, err = rolesAfterTx(ctx, tx, o.Key, page.After, limit+1)
		return err
	})
	if len(roles) > limit {
		roles, next = roles[:limit], string(roles[limit-1].ID)
	}
	return roles, next, err
}

func rolesAfterTx(ctx context.Context, tx *db.Tx, org int64, after string, limit int) (roles []ImpersonationRole, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		r, err := scanRole(row)
		if err != nil {
			return err
		}
		roles = append(roles, *r)
		return nil
	}, listRoles, org, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list impersonation roles: %w", err)
	}
	return roles, nil
}

// roleTx reads a role. Faults: NotFound (Resource).
func roleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, role RoleID) (*ImpersonationRole, error) {
	r, err := scanRole(tx.QueryRow(ctx, roleByID, o.Key, string(role)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noRole(o, role)
	}
	if err != nil {
		return nil, fmt.Errorf("read impersonation role %s: %w", role, err)
	}
	return r, nil
}

func noRole(o *directory.Organization, role RoleID) error {
	return fault.New(fault.NotFound, fault.Resource, "organization %s has no impersonation role %s", o.ID, role)
}

// rolesTx returns NotFound (Resource) unless there are all of the roles.
func (s *Service) rolesTx(ctx context.Context, tx *db.Tx, o *directory.Organization, ids ...RoleID) error {
	for _, role := range ids {
		if _, err := roleTx(ctx, tx, o, role); err != nil {
			return err
		}
	}
	return nil
}

func scanRole(row db.Row) (*ImpersonationRole, error) {
	var (
		r                 ImpersonationRole
		rules             []byte
		created, modified int64
	)
	if err := row.Scan(&r.ID, &r.Name, &r.ReadOnly, &r.Description, &rules, &created, &modified); err != nil {
		return nil, err
	}
	r.Created, r.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	if err := json.Unmarshal(rules, &r.Rules); err != nil {
		return nil, fmt.Errorf("%w impersonation role %s: %s", errBadRule, r.ID, err) // no fault of who reads it
	}
	return &r, nil
}

// checkRoleTx checks what a role is to be, and returns its rules as they are stored.
func (s *Service) checkRoleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, n NewRole) (string, error) {
	if err := checkRole(n); err != nil {
		return "", err
	}
	rules := make([]RoleRule, len(n.Rules))
	for i := range n.Rules {
		var err error
		if rules[i], err = s.ruleTx(ctx, tx, o, n.Rules[i]); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(rules)
	return string(text), err
}

// checkRole checks what can be checked of a role without its targets.
func checkRole(n NewRole) error {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.Invalid, fault.None, format, args...)
	}
	if !roleText(n.Name, maxRoleName, "") || n.Name == "" || !roleText(n.Description, maxRoleDescription, "\n\r") {
		return invalid("a role has a name of up to %d characters and a description of up to %d, without control characters, <, > and \\",
			maxRoleName, maxRoleDescription)
	}
	if len(n.Rules) > maxRoleRules {
		return invalid("%d rules were given; a role has at most %d", len(n.Rules), maxRoleRules)
	}
	seen := map[string]bool{}
	for _, r := range n.Rules {
		switch {
		case !ruleName(r.ID):
			return invalid("the id of an impersonation rule is 1 to 64 letters, digits, - and _; this is %q", r.ID)
		case seen[r.ID]:
			return invalid("two rules have the id %s", r.ID)
		case !roleText(r.Name, maxRoleName, "") || !roleText(r.Description, maxRoleDescription, "\n\r"):
			return invalid("the name or the description of the rule %s is too long, or has control characters, <, > or \\", r.ID)
		}
		seen[r.ID] = true
	}
	return nil
}

// roleText reports whether a name or a description can be. allowed are the control characters that it may have.
func roleText(text string, longest int, allowed string) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= longest && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < ' ' || c == 0x7f || c == '<' || c == '>' || c == '\\') && !strings.ContainsRune(allowed, c)
	})
}
