package policy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// Grant is what one user may do on behalf of one entity and on its mailbox.
type Grant struct {
	// Own says that the user is the owner: everything is allowed.
	Own    bool
	Rights Rights
}

// MaySendAs reports whether the user may send with the owner's address in From and Sender.
func (g Grant) MaySendAs() bool { return g.Own || g.Rights.Has(SendAs) }

// MaySendOnBehalf reports whether the user may send with the owner's address in From and its own in Sender.
func (g Grant) MaySendOnBehalf() bool { return g.Own || g.Rights.Has(SendOnBehalf) }

// MayOpen reports whether the user may read and write the owner's mailbox.
func (g Grant) MayOpen() bool { return g.Own || g.Rights.Has(FullAccess) }

const rightsOf = `SELECT rights FROM permission WHERE owner = $1 AND grantee = $2`

// GrantTx computes what the user actor may do on owner: what it was given itself and what any group was given that contains
// it, directly or through other groups. Only enabled users act, and only on enabled owners: for others nothing is allowed.
func (s *Service) GrantTx(ctx context.Context, tx *db.Tx, owner, actor *directory.Entity) (Grant, error) {
	if actor.Kind != directory.KindUser || actor.State != directory.Enabled || owner.State != directory.Enabled ||
		actor.OrgKey != owner.OrgKey {
		return Grant{}, nil
	}
	if owner.Key == actor.Key {
		return Grant{Own: true, Rights: allRights}, nil
	}
	groups, err := s.directory.GroupsAboveTx(ctx, tx, actor.Key)
	if err != nil {
		return Grant{}, err
	}
	var g Grant
	for _, grantee := range append(groups, actor.Key) {
		var rights Rights
		err := tx.QueryRow(ctx, rightsOf, owner.Key, grantee).Scan(&rights)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return Grant{}, fmt.Errorf("read permissions: %w", err)
		}
		if g.Rights |= rights; g.Rights == allRights {
			break
		}
	}
	if owner.Kind == directory.KindGroup {
		g.Rights &^= FullAccess // it has no mailbox
	}
	return g, nil
}
