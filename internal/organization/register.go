package organization

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// Register gives a user, group or resource, named by id or name, its primary address and makes it ENABLED; users and
// resources get a mailbox, or the one they had within the last 30 days, but a REMOTE_USER, whose address says where its mailbox is. Registering again with the same address changes
// nothing. Faults: Invalid (Address), NotFound (Entity), State (Entity) for a deleted one, AlreadyRegistered with another
// address, Unsupported (Entity) for a SYSTEM_USER, and for a REMOTE_USER whose own mailbox is still kept, Unsupported (Address) for
// one with an address in a domain of ours, NotFound and State (Domain), Exists (Address), those of an external directory.
func (s *Service) Register(ctx context.Context, p principal.Principal, org directory.OrgID, ident, email string) error {
	how := directory.Narrow{NoAddress: true}
	a, err := directory.ParseAddress(email)
	if err != nil {
		return s.directory.GateFirst(ctx, org, err)
	}
	check := func(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity) error {
		_, err := s.mayRegisterTx(ctx, tx, o, e, a)
		return err
	}
	if err := s.directory.SetAddressOutside(ctx, org, ident, how, a.Text, check); err != nil {
		return err
	}
	return s.directory.Change(ctx, p, org, "RegisterToWorkMail", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		e, err := s.directory.FindForTx(ctx, tx, o, ident, how)
		if err != nil {
			return "", err
		}
		return string(e.ID), s.registerTx(ctx, tx, o, e, a)
	})
}

// mayRegisterTx reports whether e is registered with the address already; if not, it returns a fault unless it may be.
func (s *Service) mayRegisterTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity, a directory.Address) (already bool, err error) {
	switch {
	case e.State == directory.Deleted:
		return false, fault.New(fault.State, fault.Entity, "%s is deleted", e.ID)
	case e.State == directory.Enabled && directory.Fold(e.Email) == a.Key:
		return true, nil
	case e.State == directory.Enabled:
		return false, fault.New(fault.AlreadyRegistered, fault.Entity,
			"%s is registered with the address %s; use UpdatePrimaryEmailAddress to change it", e.ID, e.Email)
	case e.Role == directory.RoleRemote && e.Mailbox != 0:
		return false, fault.New(fault.Unsupported, fault.Entity,
			"user %s was a USER, and the mailbox it had is kept for %d days: register it after that, or delete it and make another REMOTE_USER",
			e.ID, s.directory.Remember()/(24*time.Hour))
	case e.Kind == directory.KindUser && e.Role != directory.RoleUser && e.Role != directory.RoleRemote:
		return false, fault.New(fault.Unsupported, fault.Entity, "user %s has the role %s: its mailbox is not here", e.ID, e.Role)
	}
	return false, s.directory.MayTakeTx(ctx, tx, o, e, a)
}

func (s *Service) registerTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity, a directory.Address) error {
	if already, err := s.mayRegisterTx(ctx, tx, o, e, a); err != nil || already {
		return err
	}
	var (
		box  int64
		made bool
	)
	if e.Kind != directory.KindGroup && e.Role != directory.RoleRemote {
		id, isNew, err := s.openTx(ctx, tx, e)
		if err != nil {
			return err
		}
		box, made = int64(id), isNew
	}
	if _, err := job.CancelTx(ctx, tx, purgeKind, purgePayload{e.Key, box}.key()); err != nil {
		return err
	}
	return s.directory.EnableTx(ctx, tx, o, e, a, box, made)
}

// Deregister makes a user, group or resource, named by id, address or name, DISABLED: its addresses are free, its sessions
// end, its mailbox is closed and purged after 30 days unless it is registered again. One that is disabled stays so. Faults:
// NotFound (Entity), State (Entity) for a deleted one.
func (s *Service) Deregister(ctx context.Context, p principal.Principal, org directory.OrgID, ident string) error {
	return s.directory.Change(ctx, p, org, "DeregisterFromWorkMail", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		e, err := s.directory.FindForTx(ctx, tx, o, ident, directory.Narrow{})
		if err != nil {
			return "", err
		}
		switch e.State {
		case directory.Deleted:
			return "", fault.New(fault.State, fault.Entity, "%s is deleted", e.ID)
		case directory.Disabled:
			return string(e.ID), nil
		}
		return string(e.ID), s.disableTx(ctx, tx, o, e)
	})
}

func (s *Service) disableTx(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity) error {
	if err := s.directory.DisableTx(ctx, tx, o, e); err != nil {
		return err
	}
	return s.closeTx(ctx, tx, e)
}
