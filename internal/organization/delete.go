package organization

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// Deletion asks for the end of an organisation.
type Deletion struct {
	// Force deletes enabled users and their mail too.
	Force bool
	// Directory is accepted and changes nothing yet: our own directory ends with its organisation, an external one is never
	// deleted.
	Directory bool
	// Application deletes the organisation's Identity Center application too, unless another organisation uses it.
	Application bool
	// ClientToken makes a repetition give the same answer; empty means that every call is a new one.
	ClientToken string
}

// Delete begins the end of an organisation and returns its state, Deleting; a job removes all it has and makes it Deleted.
// There is no way back and no grace for mailboxes. Faults: NotFound (Organization); State (Organization) when it has enabled
// users and Force is not given, or is deleted or being created; Invalid (Token).
func (s *Service) Delete(ctx context.Context, p principal.Principal, org directory.OrgID, d Deletion) (directory.OrgState, error) {
	if err := mayAdminister(p); err != nil {
		return "", err
	}
	once := directory.Once{
		Scope: "DeleteOrganization " + string(org), Token: d.ClientToken,
		Input: fmt.Appendf(nil, "%t %t", d.Force, d.Directory),
	}
	if d.Application { // and as before it where not, for tokens that are remembered
		once.Input = append(once.Input, " application"...)
	}
	var state string
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.directory.HoldTx(ctx, tx, org)
		if err != nil {
			return err
		}
		state, err = s.directory.OnceTx(ctx, tx, once, func() (string, error) { return s.deleteTx(ctx, tx, p, o, d) })
		return err
	})
	return directory.OrgState(state), err
}

func (s *Service) deleteTx(ctx context.Context, tx *db.Tx, p principal.Principal, o *directory.Organization, d Deletion) (string, error) {
	if o.State != directory.OrgActive && o.State != directory.OrgFailed {
		return "", fault.New(fault.State, fault.Organization, "organization %s is in state %s; only one in state %s or %s can be deleted",
			o.ID, o.State, directory.OrgActive, directory.OrgFailed)
	}
	if !d.Force {
		enabled, err := s.directory.AnyEnabledTx(ctx, tx, o)
		if err != nil {
			return "", err
		}
		if enabled {
			return "", fault.New(fault.State, fault.Organization,
				"organization %s has enabled users; deregister them from WorkMail first, or give ForceDelete", o.ID)
		}
	}
	if _, err := s.directory.SetStateTx(ctx, tx, o, o.State, directory.OrgDeleting, ""); err != nil {
		return "", err
	}
	if err := job.EnqueueTx(ctx, tx, deleteKind, string(o.ID), deletion{d.Application}, s.clock.Now()); err != nil {
		return "", err
	}
	return string(directory.OrgDeleting), s.audit.AppendTx(ctx, tx, audit.Of(p, string(o.ID), "DeleteOrganization", string(o.ID)))
}

// deletion is the payload of the job; the jobs of older versions have none.
type deletion struct{ Application bool }

// finishDeletion removes all that an organisation has, a few hundred rows at a time, and makes it Deleted. Writers who began
// before the state changed were waited for by that change, so that nothing is added any more.
func (s *Service) finishDeletion(ctx context.Context, j job.Job) error {
	var asked deletion
	if err := j.Decode(&asked); err != nil {
		return err
	}
	o, err := s.organization(ctx, directory.OrgID(j.Key))
	if err != nil {
		return err
	}
	if o.State != directory.OrgDeleting {
		return nil
	}
	for done := false; !done; {
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			n, err := s.exports.EraseTx(ctx, tx, o, batchRows/10)
			done = n < batchRows/10
			return err
		})
		if err != nil {
			return fmt.Errorf("delete organization %s: %w", o.ID, err)
		}
	}
	for done := false; !done; {
		if done, err = s.eraseEntities(ctx, o); err != nil {
			return fmt.Errorf("delete organization %s: %w", o.ID, err)
		}
	}
	for done := s.eraseAbove == nil; !done; {
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			n, err := s.eraseAbove(ctx, tx, o, batchRows)
			done = n < batchRows
			return err
		})
		if err != nil {
			return fmt.Errorf("delete organization %s: %w", o.ID, err)
		}
	}
	for done := false; !done; {
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			done, err = s.directory.EraseRestTx(ctx, tx, o, batchRows)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete organization %s: %w", o.ID, err)
		}
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.policy.EraseTx(ctx, tx, o); err != nil {
			return err
		}
		if err := s.center.EraseTx(ctx, tx, o, asked.Application); err != nil {
			return err
		}
		if err := s.availability.EraseTx(ctx, tx, o); err != nil {
			return err
		}
		if err := s.directory.MarkDeletedTx(ctx, tx, o); err != nil {
			return err
		}
		return s.audit.AppendTx(ctx, tx, stateRecord(o, directory.OrgDeleted))
	})
}

func (s *Service) organization(ctx context.Context, id directory.OrgID) (o *directory.Organization, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err = s.directory.OrganizationTx(ctx, tx, id)
		return err
	})
	return o, err
}

// entitiesAtOnce is how many entities without many relations are removed in one transaction.
const entitiesAtOnce = 50

// eraseEntities removes some entities with their mailboxes, and reports whether none are left.
func (s *Service) eraseEntities(ctx context.Context, o *directory.Organization) (done bool, err error) {
	var entities []directory.Entity
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		entities, err = s.directory.SomeEntitiesTx(ctx, tx, o, entitiesAtOnce)
		return err
	})
	if err != nil || len(entities) == 0 {
		return true, err
	}
	for i := range entities {
		if err := s.eraseMailbox(ctx, &entities[i]); err != nil {
			return false, err
		}
	}
	return false, s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		room := batchRows
		for i := range entities {
			n, err := s.untieTx(ctx, tx, entities[i].Key, room)
			if err != nil {
				return err
			}
			if room -= n; room <= 0 {
				return nil // the rest of this one and the others are for the next transaction
			}
			if err := s.directory.EraseTx(ctx, tx, &entities[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// untieTx removes up to limit rows that tie an entity to others and returns how many; fewer means that none are left.
func (s *Service) untieTx(ctx context.Context, tx *db.Tx, entity int64, limit int) (int, error) {
	swept, err := s.directory.SweepTx(ctx, tx, entity, limit)
	if err != nil || swept == limit {
		return swept, err
	}
	forgotten, err := s.policy.ForgetTx(ctx, tx, entity, limit-swept)
	if swept += forgotten; err != nil || swept == limit {
		return swept, err
	}
	tokens, err := s.center.ForgetTx(ctx, tx, entity, limit-swept)
	return swept + tokens, err
}

// eraseMailbox closes an entity's mailbox, if it has one, and purges it.
func (s *Service) eraseMailbox(ctx context.Context, e *directory.Entity) error {
	if e.Mailbox == 0 {
		return nil
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := s.mailboxes.CloseTx(ctx, tx, owner(e), s.clock.Now())
		if fault.As(err) != nil { // closed already, or purged by an earlier attempt
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.purgeAll(ctx, e.Mailbox)
}
