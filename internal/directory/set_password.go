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
		return string(e.ID), s.storePasswordTx(ctx, tx, o, locked, secret)
	})
}

// storePasswordTx keeps what the directory made of a new password of a locked user.
func (s *Service) storePasswordTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, secret string) error {
	s.publishUser(tx, o.ID, e.ID)
	if secret == "" { // an external directory keeps it; the row is there for the version, which ends sessions
		if _, err := tx.Exec(ctx, forgetPasswordSet, e.Key); err != nil {
			return fmt.Errorf("store password: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, insertPassword, e.Key, secret, s.clock.Now().UnixMicro()); err != nil {
		return fmt.Errorf("store password: %w", err)
	}
	return nil
}

// HashedPassword is what our own directory keeps of a password that satisfies the policy.
type HashedPassword struct{ secret string }

// HashPassword checks a password of our own directory and hashes it, outside any transaction. Faults: BadPassword, Temporary where
// too many wait.
func (s *Service) HashPassword(ctx context.Context, password string) (HashedPassword, error) {
	if err := CheckPassword(password); err != nil {
		return HashedPassword{}, err
	}
	secret, err := s.own.hasher.Hash(ctx, password)
	return HashedPassword{secret}, err
}

// StorePasswordTx is SetPassword's transaction for a verb that decides more in its own. The user must be locked, and of an
// organisation whose passwords are kept here.
func (s *Service) StorePasswordTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, h HashedPassword) error {
	if err := KeepsPasswords(o); err != nil {
		return err
	}
	return s.storePasswordTx(ctx, tx, o, e, h.secret)
}

// KeepsPasswords returns Unsupported (Directory) for an organisation whose passwords an external directory keeps.
func KeepsPasswords(o *Organization) error {
	if o.DirectoryType == OwnDirectoryType {
		return nil
	}
	return fault.New(fault.Unsupported, fault.Directory,
		"the passwords of organization %s are kept in its directory %s: users who are there sign in with what they have there", o.ID, o.DirectoryID)
}

const usersWithoutPassword = `SELECT ` + prefixedEntityColumns + ` FROM entity e WHERE e.organization = $1 AND e.kind = 1 AND e.state = 1
	AND e.role = 1 AND (e.name_key, e.key) > ($2, $3) AND NOT EXISTS (SELECT 1 FROM password p WHERE p.entity = e.key)
	ORDER BY e.name_key, e.key LIMIT $4`

// UsersWithoutPassword lists the enabled users who have a mailbox and no password, in the order of their names. Faults:
// Unsupported (Directory) where an external directory keeps the passwords, Invalid (Token).
func (s *Service) UsersWithoutPassword(ctx context.Context, p principal.Principal, org OrgID, page Page) (users []Entity, next string, err error) {
	after, err := textCursor(page)
	if err != nil {
		return nil, "", err
	}
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		if err := KeepsPasswords(o); err != nil {
			return err
		}
		users, err = queryEntities(ctx, tx, usersWithoutPassword, o.Key, after.text, after.key, page.limit()+1)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	users, next = cutPage(users, page, func(e *Entity) string { return position{text: Fold(e.Name), key: e.Key}.String() })
	return users, next, nil
}
