package organization

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// What is here is for package migration, which brings organisations here from elsewhere.

// Brought is an organisation as it is elsewhere.
type Brought struct {
	directory.NewOrganization
	Completed      time.Time
	MigrationAdmin string
}

// BringTx makes an organisation that is elsewhere, Active at once, with what any new one begins with. Faults: those of Create; InUse
// (Domain) for a test domain that another organisation has; Exists (Organization) for an id that is known here.
func (s *Service) BringTx(ctx context.Context, tx *db.Tx, p principal.Principal, b Brought) (*directory.Organization, error) {
	if _, err := s.directory.HoldTx(ctx, tx, b.ID); fault.KindOf(err) != fault.NotFound {
		if err == nil {
			err = fault.New(fault.Exists, fault.Organization, "the id %s is taken by another organization", b.ID)
		}
		return nil, err
	}
	o, err := s.directory.InsertOrganizationTx(ctx, tx, b.NewOrganization)
	if err != nil {
		return nil, err
	}
	if _, err := s.directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgCreating, ""); err != nil {
		return nil, err
	}
	if err := s.audit.AppendTx(ctx, tx, audit.Of(p, string(o.ID), "CreateOrganization", string(o.ID))); err != nil {
		return nil, err
	}
	if err := s.provisionTx(ctx, tx, o.ID); err != nil {
		return nil, err
	}
	if err := s.directory.DateOrganizationTx(ctx, tx, o, b.Completed, b.MigrationAdmin); err != nil {
		return nil, err
	}
	return s.directory.ActiveTx(ctx, tx, o.ID)
}

// BringRegistrationTx makes the entity with the id of e ENABLED with the address of e, or DISABLED, whichever e is, and gives it the
// dates of e. An address that it has no more is free. Faults: those of Register and SetPrimaryAddress.
func (s *Service) BringRegistrationTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e directory.Entity) error {
	have, err := s.directory.FindForTx(ctx, tx, o, string(e.ID), directory.Narrow{IDOnly: true})
	if err != nil {
		return err
	}
	switch {
	case e.State == directory.Enabled && have.State == directory.Enabled:
		err = s.bringAddressTx(ctx, tx, o, have, e.Email)
	case e.State == directory.Enabled:
		err = s.bringMailboxTx(ctx, tx, o, have, e.Email)
	case e.State == directory.Disabled && have.State == directory.Enabled:
		err = s.disableTx(ctx, tx, o, have)
	case e.State != have.State:
		err = fault.New(fault.State, fault.Entity, "%s is %s", e.ID, have.State)
	}
	if err != nil {
		return err
	}
	return s.directory.DateTx(ctx, tx, have.Key, e)
}

// bringMailboxTx registers an entity, which has no aliases then: those that it has elsewhere come by themselves.
func (s *Service) bringMailboxTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity, email string) error {
	a, err := directory.ParseAddress(email)
	if err != nil {
		return err
	}
	if err := s.directory.ForgetAddressesTx(ctx, tx, e); err != nil {
		return err
	}
	return s.registerTx(ctx, tx, o, e, a)
}

func (s *Service) bringAddressTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity, email string) error {
	if e.Email == email {
		return nil
	}
	a, err := directory.ParseAddress(email)
	if err != nil {
		return err
	}
	if err := s.directory.SetPrimaryTx(ctx, tx, o, e, a); err != nil || directory.Fold(e.Email) == a.Key {
		return err
	}
	return s.directory.DeleteAliasTx(ctx, tx, o, e.ID, e.Email)
}

// BringDeletedTx makes an entity DELETED that is so elsewhere, whether it is here or never was. Faults: Invalid, Exists (Entity).
func (s *Service) BringDeletedTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e directory.Entity, t directory.ResourceType) error {
	have, err := s.directory.EntityByIDTx(ctx, tx, o.Key, e.ID)
	if fault.KindOf(err) != fault.NotFound {
		if err != nil {
			return err
		}
		if err := s.TakeAwayTx(ctx, tx, o, e.ID, e.Kind); err != nil {
			return err
		}
		return s.directory.KeepDeletedTx(ctx, tx, have.Key, e, t)
	}
	made, err := s.directory.BringDeletedTx(ctx, tx, o, e, t)
	if err != nil {
		return err
	}
	return s.schedulePurgeTx(ctx, tx, made)
}

// TakeAwayTx deregisters and deletes the entity with the id, if it is there. Faults: Invalid (Entity) for one of another kind.
func (s *Service) TakeAwayTx(ctx context.Context, tx *db.Tx, o *directory.Organization, entity directory.EntityID, kind directory.Kind) error {
	e, err := s.directory.FindForTx(ctx, tx, o, string(entity), directory.Narrow{IDOnly: true})
	if err != nil || e.State == directory.Deleted {
		if fault.KindOf(err) == fault.NotFound {
			err = nil
		}
		return err
	}
	if e.State == directory.Enabled {
		if err := s.disableTx(ctx, tx, o, e); err != nil {
			return err
		}
		if e, err = s.directory.LockByKeyTx(ctx, tx, e.Key); err != nil {
			return err
		}
	}
	return s.removeTx(ctx, tx, o, e, kind)
}

// QuotaTx returns the quota of a user's or resource's mailbox, in megabytes of 1,048,576 bytes, 0 where it has none.
func (s *Service) QuotaTx(ctx context.Context, tx *db.Tx, e *directory.Entity) (int64, error) {
	m, err := s.mailboxes.ByOwnerTx(ctx, tx, owner(e))
	if fault.Is(err, fault.NotFound, fault.Mailbox) {
		return 0, nil
	}
	return m.Quota / megabyte, err
}
