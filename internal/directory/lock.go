package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// What a rule depends on is read after it was locked. SQLite has one writer, so that its locks are given; PostgreSQL needs
// the statements below. This file is the one place where the package's statements differ by engine.

// GateTx is ActiveTx for a transaction that writes: the organisation stays active until the commit. On PostgreSQL writers share
// a lock of the row; only a change of state waits for them, and they for it. SQLite's one writer remembers the row.
func (s *Service) GateTx(ctx context.Context, tx *db.Tx, id OrgID) (*Organization, error) {
	if tx.Engine() == db.PostgreSQL {
		return activeOr(organizationOr(scanOrganization(tx.QueryRow(ctx, organizationByID+` FOR SHARE`, string(id))))(string(id)))
	}
	o, generation := s.written.find(id)
	if o == nil {
		var err error
		if o, err = s.OrganizationTx(ctx, tx, id); err != nil {
			return nil, err
		}
		row := *o
		tx.OnCommit(func() { s.written.keep(&row, generation) })
	}
	return activeOr(o, nil)
}

// HoldTx reads an organisation in whatever state it is, and lets no other writer into it until the commit.
func (s *Service) HoldTx(ctx context.Context, tx *db.Tx, id OrgID) (*Organization, error) {
	return organizationOr(scanOrganization(tx.QueryRow(ctx, exclusiveQuery, string(id))))(string(id))
}

// organizationsLock is an advisory lock of PostgreSQL; the form with two numbers has a space of its own.
const organizationsLock = `SELECT pg_advisory_xact_lock(1, 0)`

// lockOrganizationsTx lets nobody else in here until the commit: who makes an organisation and counts them first. There is no row
// to lock before it is made.
func lockOrganizationsTx(ctx context.Context, tx *db.Tx) error {
	if tx.Engine() != db.PostgreSQL {
		return nil
	}
	if _, err := tx.Exec(ctx, organizationsLock); err != nil {
		return fmt.Errorf("lock the organizations: %w", err)
	}
	return nil
}

// lockTx locks an entity's row, raises its change number and returns the row as it now is: what was read of it earlier in
// the transaction may be old. One statement does for both engines.
func (s *Service) lockTx(ctx context.Context, tx *db.Tx, e *Entity) (*Entity, error) {
	locked, err := scanEntity(tx.QueryRow(ctx, `UPDATE entity SET change = change + 1 WHERE key = $1
		RETURNING `+entityColumns, e.Key))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(e.Kind, string(e.ID))
	}
	if err != nil {
		return nil, fmt.Errorf("lock entity %s: %w", e.ID, err)
	}
	return locked, nil
}

// lockLivingTx is lockTx for a verb that refuses deleted entities.
func (s *Service) lockLivingTx(ctx context.Context, tx *db.Tx, e *Entity) (*Entity, error) {
	locked, err := s.lockTx(ctx, tx, e)
	if err != nil {
		return nil, err
	}
	return locked, locked.living()
}

// living returns a State fault for an entity that is deleted.
func (e *Entity) living() error {
	if e.State == Deleted {
		return fault.New(fault.State, fault.Entity, "%s %s is deleted", e.Kind.word(), e.ID)
	}
	return nil
}

// enabled returns a State fault for an entity that is not enabled.
func (e *Entity) enabled() error {
	if e.State != Enabled {
		return fault.New(fault.State, fault.Entity, "%s %s is in state %s; register it to WorkMail first", e.Kind.word(), e.ID, e.State)
	}
	return nil
}

// exclusiveQuery reads an organisation and makes everybody else who writes there wait: for the rules about an
// organisation's lists as a whole (limits, cycles of groups). It takes the lock at once instead of raising a shared one, which
// two at a time could not.
const exclusiveQuery = `UPDATE organization SET state = state WHERE id = $1 RETURNING ` + organizationColumns

// ExclusiveTx is GateTx that lets no other writer into the organisation until the commit.
func (s *Service) ExclusiveTx(ctx context.Context, tx *db.Tx, id OrgID) (*Organization, error) {
	return activeOr(s.HoldTx(ctx, tx, id))
}
