package organization

import (
	"context"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// Check compares entities with mailboxes: every enabled user and resource has an open one, every other one that is kept is
// closed; a REMOTE_USER has none. An organisation that is being deleted loses mailboxes first, and is passed over. It returns a line
// per find and reads every entity.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	going, err := s.directory.DeletingTx(ctx, tx)
	if err != nil {
		return nil, err
	}
	var after int64
	for {
		entities, err := s.directory.EntitiesAfterTx(ctx, tx, after, batchRows)
		if err != nil {
			return nil, err
		}
		for i := range entities {
			e := &entities[i]
			if slices.Contains(going, e.OrgKey) {
				continue
			}
			if e.Kind == directory.KindGroup || e.Role == directory.RoleRemote && e.State == directory.Enabled {
				continue
			}
			why, err := s.wrong(ctx, tx, e)
			if err != nil {
				return nil, err
			}
			if why != "" {
				faults = append(faults, fmt.Sprintf("organization: %s %s: %s", e.Kind, e.ID, why))
			}
		}
		if len(entities) < batchRows {
			return faults, nil
		}
		after = entities[len(entities)-1].Key
	}
}

func (s *Service) wrong(ctx context.Context, tx *db.Tx, e *directory.Entity) (why string, err error) {
	m, err := s.mailboxes.ByOwnerTx(ctx, tx, owner(e))
	missing := fault.Is(err, fault.NotFound, fault.Mailbox)
	switch {
	case err != nil && !missing:
		return "", err
	case e.State != directory.Enabled && missing:
		return "", nil
	case missing:
		return "is enabled and has no mailbox", nil
	case e.State == directory.Enabled && m.State != mailbox.Open:
		return fmt.Sprintf("is enabled and mailbox %s is not open", m.ID), nil
	case e.State == directory.Enabled && int64(m.ID) != e.Mailbox:
		return fmt.Sprintf("has mailbox %d and owns mailbox %s", e.Mailbox, m.ID), nil
	case e.State != directory.Enabled && m.State == mailbox.Open:
		return fmt.Sprintf("is %s and mailbox %s is open", e.State, m.ID), nil
	}
	return "", nil
}
