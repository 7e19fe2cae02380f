package organization

import (
	"context"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// DeleteUser removes a disabled user, named by id or name, with its memberships, delegations and permissions; its mailbox is
// purged after 30 days. A user that does not exist is no error. Faults: State (Entity) for an enabled one, Invalid for a
// group or resource, those of an external directory.
func (s *Service) DeleteUser(ctx context.Context, p principal.Principal, org directory.OrgID, ident string) error {
	return s.remove(ctx, p, org, "DeleteUser", ident, directory.KindUser)
}

// DeleteGroup removes a disabled group as DeleteUser removes a user.
func (s *Service) DeleteGroup(ctx context.Context, p principal.Principal, org directory.OrgID, ident string) error {
	return s.remove(ctx, p, org, "DeleteGroup", ident, directory.KindGroup)
}

// DeleteResource removes a disabled resource as DeleteUser removes a user.
func (s *Service) DeleteResource(ctx context.Context, p principal.Principal, org directory.OrgID, ident string) error {
	return s.remove(ctx, p, org, "DeleteResource", ident, directory.KindResource)
}

// errGone says that there is nothing to delete, which is what was asked for.
var errGone = errors.New("the entity is gone already")

func (s *Service) remove(ctx context.Context, p principal.Principal, org directory.OrgID, operation, ident string, kind directory.Kind) error {
	how := directory.Narrow{NoAddress: true}
	err := s.directory.DeleteOutside(ctx, org, ident, how, kind)
	if err == nil {
		err = s.directory.Change(ctx, p, org, operation, func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
			e, err := s.directory.FindForTx(ctx, tx, o, ident, how)
			if err != nil {
				return "", err
			}
			return string(e.ID), s.removeTx(ctx, tx, o, e, kind)
		})
	}
	if errors.Is(err, errGone) || fault.Is(err, fault.NotFound, fault.Entity) {
		return nil
	}
	return err
}

func (s *Service) removeTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity, kind directory.Kind) error {
	if e.State == directory.Deleted {
		return errGone
	}
	if err := directory.Deletable(e, kind); err != nil {
		return err
	}
	if err := s.directory.DeleteTx(ctx, tx, o, e); err != nil {
		return err
	}
	n, err := s.untieTx(ctx, tx, e.Key, batchRows)
	if err != nil {
		return err
	}
	if n == batchRows { // the rest means nothing any more, and goes in later transactions
		if err := job.EnqueueTx(ctx, tx, sweepKind, fmt.Sprint(e.Key), nil, s.clock.Now()); err != nil {
			return err
		}
	}
	return s.schedulePurgeTx(ctx, tx, e)
}

// sweep removes what ties a deleted entity to others, as far as the transaction of its deletion did not.
func (s *Service) sweep(ctx context.Context, j job.Job) error {
	var entity int64
	if err := parseKey(j.Key, &entity); err != nil {
		return err
	}
	for n := batchRows; n == batchRows; {
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = s.untieTx(ctx, tx, entity, batchRows)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ResetPassword gives a user, named by id, a new password. Sessions and remembered sign-ins end after the commit. Faults:
// BadPassword, NotFound (Entity), State (Entity), those of an external directory.
func (s *Service) ResetPassword(ctx context.Context, p principal.Principal, org directory.OrgID, user directory.EntityID, password string) error {
	return s.directory.SetPassword(ctx, p, org, string(user), password, directory.Narrow{IDOnly: true})
}
