package policy

import (
	"context"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// ImpersonationRole lets programs that assume it act for users, as far as its rules allow.
type ImpersonationRole struct {
	ID RoleID
	RoleSettings
	Created, Modified time.Time
}

// RoleSettings are what can be changed of a role.
type RoleSettings struct {
	Name        string // 1 to 64 characters; need not be unique
	ReadOnly    bool   // it may read, and not modify, send or delete
	Description string // up to 256 characters
	Rules       []RoleRule
}

// RoleRule says for whom a role may, or may not, act: for all targets, where there are any, but those that are excepted.
type RoleRule struct {
	ID          string               `json:"id"` // the caller's choice, unique in the role
	Name        string               `json:"name,omitempty"`
	Description string               `json:"description,omitempty"`
	Allow       bool                 `json:"allow"`
	Targets     []directory.EntityID `json:"targets,omitempty"`
	NotTargets  []directory.EntityID `json:"not_targets,omitempty"`
}

// RoleEffect is what a role's rules say of one user.
type RoleEffect struct {
	Role    ImpersonationRole
	User    directory.Entity
	Allowed bool
	// Rules are those that made it so; none where no rule allowed it.
	Rules []RoleRule
}

// judgeRole is the one reading of a role's rules: a matching rule that denies wins, else one that allows; else it is denied.
func judgeRole(rules []RoleRule, user directory.EntityID) (allowed bool, by []RoleRule) {
	var allowing, denying []RoleRule
	for _, r := range rules {
		switch {
		case !listed(r.Targets, r.NotTargets, user):
		case r.Allow:
			allowing = append(allowing, r)
		default:
			denying = append(denying, r)
		}
	}
	if len(denying) > 0 {
		return false, denying
	}
	return len(allowing) > 0, allowing
}

// RoleEffect says whether a role may act for a user, who is named by id, address or name. Access rules are another question:
// MayEnter. Faults: NotFound (Resource) for the role; NotFound (Entity) and, unless it is enabled, State (Entity) for the user.
func (s *Service) RoleEffect(ctx context.Context, p principal.Principal, org directory.OrgID, id RoleID, user string) (effect RoleEffect, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		role, err := roleTx(ctx, tx, o, id)
		if err != nil {
			return err
		}
		e, err := s.targetTx(ctx, tx, o, user)
		if err != nil {
			return err
		}
		effect = RoleEffect{Role: *role, User: *e}
		effect.Allowed, effect.Rules = judgeRole(role.Rules, e.ID)
		return nil
	})
	return effect, err
}

// targetTx finds an enabled user.
func (s *Service) targetTx(ctx context.Context, tx *db.Tx, o *directory.Organization, user string) (*directory.Entity, error) {
	e, err := s.directory.ResolveTx(ctx, tx, o, user, directory.Narrow{Kind: directory.KindUser})
	if err != nil {
		return nil, err
	}
	if e.State != directory.Enabled {
		return nil, fault.New(fault.State, fault.Entity, "user %s is in state %s; register it to WorkMail first", e.ID, e.State)
	}
	return e, nil
}

// NewRoleRule is a rule whose targets are named by id, address or name.
type NewRoleRule struct {
	ID, Name, Description string
	Allow                 bool
	Targets, NotTargets   []string
}

// ruleTx checks a rule and finds its targets.
func (s *Service) ruleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, n NewRoleRule) (RoleRule, error) {
	r := RoleRule{ID: n.ID, Name: n.Name, Description: n.Description, Allow: n.Allow}
	for _, list := range []struct {
		from []string
		to   *[]directory.EntityID
	}{{n.Targets, &r.Targets}, {n.NotTargets, &r.NotTargets}} {
		if len(list.from) > maxListed {
			return RoleRule{}, fault.New(fault.Invalid, fault.None, "%d users were given; a list has at most %d", len(list.from), maxListed)
		}
		for _, ident := range list.from {
			e, err := s.targetTx(ctx, tx, o, ident)
			if err != nil {
				return RoleRule{}, err
			}
			if !slices.Contains(*list.to, e.ID) {
				*list.to = append(*list.to, e.ID)
			}
		}
	}
	return r, nil
}
