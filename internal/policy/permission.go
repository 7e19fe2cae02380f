package policy

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// Permission is what one grantee may do on a mailbox.
type Permission struct {
	Grantee directory.EntityID
	Kind    directory.Kind // of the grantee: a user or a group
	Rights  Rights
}

const (
	upsertPermission = `INSERT INTO permission (owner, grantee, rights) VALUES ($1, $2, $3)
		ON CONFLICT (owner, grantee) DO UPDATE SET rights = excluded.rights`
	deletePermission = `DELETE FROM permission WHERE owner = $1 AND grantee = $2`
	listPermissions  = `SELECT grantee, rights FROM permission WHERE owner = $1 AND grantee > $2 ORDER BY grantee LIMIT $3`
)

// PutPermissions gives a grantee exactly the rights on an owner's mailbox: those it had before are replaced. Both are named
// by id, address or name. Faults: Invalid for no rights at all, for a grant to oneself, for a grantee that is a resource, for
// FULL_ACCESS on a group, which has no mailbox; NotFound (Entity) for either; State (Entity) unless the owner is enabled and
// the grantee not deleted.
func (s *Service) PutPermissions(ctx context.Context, p principal.Principal, org directory.OrgID, owner, grantee string, rights Rights) error {
	return s.directory.Change(ctx, p, org, "PutMailboxPermissions", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return s.grantTx(ctx, tx, o, owner, grantee, rights, false)
	})
}

// grantTx is PutPermissions in a transaction; the owner may be disabled where that is said. It returns the owner's id.
func (s *Service) grantTx(ctx context.Context, tx *db.Tx, o *directory.Organization, owner, grantee string, rights Rights, disabled bool) (string, error) {
	if rights == 0 || rights&^allRights != 0 {
		return "", fault.New(fault.Invalid, fault.Entity, "give at least one of FULL_ACCESS, SEND_AS, SEND_ON_BEHALF")
	}
	to, from, err := s.directory.FindTwoForTx(ctx, tx, o, owner, grantee)
	if err != nil {
		return "", err
	}
	if err := checkGrant(to, from, rights); err != nil {
		return "", err
	}
	if to.State != directory.Enabled && !disabled {
		return "", fault.New(fault.State, fault.Entity, "%s is in state %s; register it to WorkMail first", to.ID, to.State)
	}
	if _, err := tx.Exec(ctx, upsertPermission, to.Key, from.Key, int64(rights)); err != nil {
		return "", fmt.Errorf("put permissions: %w", err)
	}
	return string(to.ID), nil
}

func checkGrant(owner, grantee *directory.Entity, rights Rights) error {
	switch {
	case owner.Key == grantee.Key:
		return fault.New(fault.Invalid, fault.Entity, "%s can't be given permissions on its own mailbox", owner.ID)
	case grantee.Kind == directory.KindResource:
		return fault.New(fault.Invalid, fault.Entity, "resource %s can't be given permissions; only users and groups can", grantee.ID)
	case owner.Kind == directory.KindGroup && rights.Has(FullAccess):
		return fault.New(fault.Invalid, fault.Entity, "group %s has no mailbox to give FULL_ACCESS to", owner.ID)
	}
	return nil
}

// DeletePermissions takes all rights on an owner's mailbox from a grantee. Where there are none, nothing happens. Faults:
// NotFound (Entity) for either; State (Entity) for a deleted one.
func (s *Service) DeletePermissions(ctx context.Context, p principal.Principal, org directory.OrgID, owner, grantee string) error {
	return s.directory.Change(ctx, p, org, "DeleteMailboxPermissions", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return s.DeletePermissionsTx(ctx, tx, o, owner, grantee)
	})
}

// DeletePermissionsTx is DeletePermissions in a transaction. It returns the owner's id.
func (s *Service) DeletePermissionsTx(ctx context.Context, tx *db.Tx, o *directory.Organization, owner, grantee string) (string, error) {
	to, from, err := s.directory.FindTwoForTx(ctx, tx, o, owner, grantee)
	if err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, deletePermission, to.Key, from.Key); err != nil {
		return "", fmt.Errorf("delete permissions: %w", err)
	}
	return string(to.ID), nil
}

// ListPermissions lists who may do what on an owner's mailbox, in the order of the grantees' creation. Deleted grantees, whose
// permissions are yet to be swept, are left out. Faults: NotFound (Entity), also for a deleted owner, since
// ListMailboxPermissions lists no EntityState; Invalid (Token).
func (s *Service) ListPermissions(ctx context.Context, p principal.Principal, org directory.OrgID, owner string, page directory.Page) (permissions []Permission, next string, err error) {
	var after int64
	limit := page.Limit
	if limit <= 0 || limit > 100 {
		limit = 100
	}
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		if page.After != "" {
			if after, err = strconv.ParseInt(page.After, 10, 64); err != nil {
				return fault.New(fault.Invalid, fault.Token, "the page token is not one that this list gave out; begin again without a token")
			}
		}
		e, err := s.directory.ResolveTx(ctx, tx, o, owner, directory.Narrow{})
		if err != nil {
			return err
		}
		if e.State == directory.Deleted {
			return fault.New(fault.NotFound, fault.Entity, "%s is deleted", e.ID)
		}
		rows, err := permissionsTx(ctx, tx, e.Key, after, limit+1)
		if err != nil {
			return err
		}
		permissions, next = nil, ""
		if len(rows) > limit {
			rows = rows[:limit]
			next = strconv.FormatInt(rows[limit-1].grantee, 10)
		}
		for _, row := range rows {
			grantee, err := s.directory.EntityByKeyTx(ctx, tx, row.grantee)
			if err != nil {
				return fmt.Errorf("read grantee: %w", err)
			}
			if grantee.State == directory.Deleted {
				continue
			}
			permissions = append(permissions, Permission{Grantee: grantee.ID, Kind: grantee.Kind, Rights: row.rights})
		}
		return nil
	})
	return permissions, next, err
}

type permissionRow struct {
	grantee int64
	rights  Rights
}

func permissionsTx(ctx context.Context, tx *db.Tx, owner, after int64, limit int) ([]permissionRow, error) {
	found, err := db.All(ctx, tx, func(row db.Row) (r permissionRow, err error) {
		err = row.Scan(&r.grantee, &r.rights)
		return r, err
	}, listPermissions, owner, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list permissions: %w", err)
	}
	return found, nil
}
