package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// CreateGroup makes a group, DISABLED and without an address, and returns its id. Faults are those of CreateUser without
// BadPassword.
func (s *Service) CreateGroup(ctx context.Context, p principal.Principal, org OrgID, g NewGroup) (EntityID, error) {
	return s.create(ctx, p, org, "CreateGroup", NewEntry{Organization: org, Kind: KindGroup, Group: g})
}

// DescribeGroup returns a group by id, address or name, in whatever state.
func (s *Service) DescribeGroup(ctx context.Context, p principal.Principal, org OrgID, ident string) (*Group, error) {
	var g *Group
	err := s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		e, err := s.ResolveTx(ctx, tx, o, ident, Narrow{Kind: KindGroup})
		if err != nil {
			return err
		}
		g = &Group{Entity: *e}
		return nil
	})
	return g, err
}

const updateHidden = `UPDATE entity SET hidden = $2 WHERE key = $1`

// UpdateGroup shows a group in the address book or hides it; nil leaves it as it is. Faults: NotFound and State (Entity), and
// Unsupported while an Exchange server masters groups.
func (s *Service) UpdateGroup(ctx context.Context, p principal.Principal, org OrgID, ident string, hidden *bool) error {
	return s.Change(ctx, p, org, "UpdateGroup", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		if o.Interoperability {
			return "", fault.New(fault.Unsupported, fault.Entity, "organization %s has interoperability enabled: its groups are managed in Exchange", o.ID)
		}
		e, err := s.ResolveTx(ctx, tx, o, ident, Narrow{Kind: KindGroup})
		if err != nil {
			return "", err
		}
		if e, err = s.lockLivingTx(ctx, tx, e); err != nil || hidden == nil {
			return ident, err
		}
		if _, err := tx.Exec(ctx, updateHidden, e.Key, *hidden); err != nil {
			return "", fmt.Errorf("update group %s: %w", e.ID, err)
		}
		return string(e.ID), nil
	})
}
