package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// SetPassword gives a user a new password. After the commit the user's topic of the feed is published, so that sessions and
// remembered sign-ins end. Faults: BadPassword, NotFound (Entity), State (Entity) unless the user is enabled or disabled,
// those of the external directory.
func (s *Service) SetPassword(ctx context.Context, p principal.Principal, org OrgID, ident, password string, how Narrow) error {
	how.Kind = KindUser
	var e *Entity
	o, d, err := s.active(ctx, org)
	if err != nil {
		return err
	}
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		if e, err = s.ResolveTx(ctx, tx, o, ident, how); err != nil {
			return err
		}
		return e.living()
	})
	if err != nil {
		return err
	}
	if e.Role != RoleUser {
		return fault.New(fault.State, fault.Entity, "user %s has the role %s and so no password here", e.ID, e.Role)
	}
	if err := CheckPassword(password); err != nil {
		return err
	}
	secret, err := d.SetPassword(ctx, e.entry(o), password)
	if err != nil {
		return err
	}
	return s.Change(ctx, p, org, "ResetPassword", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		locked, err := s.lockLivingTx(ctx, tx, e)
		if err != nil {
			return "", err
		}
		s.publishUser(tx, o.ID, e.ID)
		if secret == "" { // an external directory keeps it; the row is there for the version, which ends sessions
			if _, err := tx.Exec(ctx, forgetPasswordSet, locked.Key); err != nil {
				return "", fmt.Errorf("store password: %w", err)
			}
		}
		if _, err := tx.Exec(ctx, insertPassword, locked.Key, secret, s.clock.Now().UnixMicro()); err != nil {
			return "", fmt.Errorf("store password: %w", err)
		}
		return string(e.ID), nil
	})
}
