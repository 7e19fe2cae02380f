package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// The steps of an entity's life. They are parts of verbs that span packages (mailboxes, permissions), which is why they
// take the transaction: package organization composes them.

// FindForTx finds an entity and locks its row for the rest of the transaction.
func (s *Service) FindForTx(ctx context.Context, tx *db.Tx, o *Organization, ident string, how Narrow) (*Entity, error) {
	e, err := s.ResolveTx(ctx, tx, o, ident, how)
	if err != nil {
		return nil, err
	}
	return s.lockTx(ctx, tx, e)
}

// FindTwoForTx finds two entities and locks both, refusing deleted ones.
func (s *Service) FindTwoForTx(ctx context.Context, tx *db.Tx, o *Organization, a, b string) (first, second *Entity, err error) {
	if first, err = s.ResolveTx(ctx, tx, o, a, Narrow{}); err != nil {
		return nil, nil, err
	}
	if second, err = s.ResolveTx(ctx, tx, o, b, Narrow{}); err != nil {
		return nil, nil, err
	}
	return s.lockPairTx(ctx, tx, first, second)
}

// LockByKeyTx locks the row of the entity with the server's own number key.
func (s *Service) LockByKeyTx(ctx context.Context, tx *db.Tx, key int64) (*Entity, error) {
	return s.lockTx(ctx, tx, &Entity{Key: key})
}

// MayTakeTx returns NotFound or State (Domain), Unsupported (Address) for a REMOTE_USER, or Exists (Address), unless a locked entity
// without addresses may take a as its primary one.
func (s *Service) MayTakeTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, a Address) error {
	_, err := s.mayHoldTx(ctx, tx, o, e, a, true)
	return err
}

const enableEntity = `UPDATE entity SET state = 1, email = $2, enabled = $3, mailbox = $4, mailbox_provisioned = $5 WHERE key = $1`

// EnableTx makes a locked, disabled entity ENABLED with the primary address a and brings back the aliases it had when it was
// disabled, as far as they are free. mailbox is what package mailbox calls its mailbox, 0 for a group or a REMOTE_USER; provisioned says that
// it is a new one. Faults: NotFound and State (Domain), Exists (Address).
func (s *Service) EnableTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, a Address, mailbox int64, provisioned bool) error {
	if err := s.MayTakeTx(ctx, tx, o, e, a); err != nil {
		return err
	}
	if err := insertAddressTx(ctx, tx, e, a, true); err != nil {
		return err
	}
	if err := s.restoreAliasesTx(ctx, tx, o, e, a); err != nil {
		return err
	}
	now := s.clock.Now().UnixMicro()
	provisionedAt := micros(e.MailboxProvisioned)
	if provisioned {
		provisionedAt = now
	}
	if _, err := tx.Exec(ctx, enableEntity, e.Key, a.Text, now, mailbox, provisionedAt); err != nil {
		return fmt.Errorf("enable %s: %w", e.ID, err)
	}
	s.publishUser(tx, o.ID, e.ID)
	return nil
}

const (
	rememberAddresses = `INSERT INTO remembered_address (entity, address_key, address, until)
		SELECT entity, address_key, address, CAST($2 AS BIGINT) FROM address WHERE entity = $1
		ON CONFLICT (entity, address_key) DO UPDATE SET until = excluded.until, address = excluded.address`
	freeAddresses   = `DELETE FROM address WHERE entity = $1`
	rememberedOf    = `SELECT address FROM remembered_address WHERE entity = $1 AND until > $2 ORDER BY address_key LIMIT $3`
	forgetAddresses = `DELETE FROM remembered_address WHERE entity = $1`
	disableEntity   = `UPDATE entity SET state = 2, email = '', disabled = $2, mailbox_deprovisioned = $3 WHERE key = $1`
)

func (s *Service) restoreAliasesTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, primary Address) error {
	addresses, err := queryTexts(ctx, tx, rememberedOf, e.Key, s.clock.Now().UnixMicro(), s.limits.Aliases+1)
	if err != nil {
		return fmt.Errorf("recall addresses: %w", err)
	}
	room := s.limits.Aliases
	for _, text := range addresses {
		a, err := ParseAddress(text)
		if err != nil || a.Key == primary.Key || room == 0 {
			continue
		}
		held, err := s.mayHoldTx(ctx, tx, o, e, a, false)
		if fault.As(err) != nil || held {
			continue // somebody else has it now, or the domain is gone
		}
		if err != nil {
			return err
		}
		err = insertAddressTx(ctx, tx, e, a, false)
		if fault.As(err) != nil {
			continue
		}
		if err != nil {
			return err
		}
		room--
	}
	if _, err := tx.Exec(ctx, forgetAddresses, e.Key); err != nil {
		return fmt.Errorf("forget addresses: %w", err)
	}
	return nil
}

// DisableTx makes a locked, enabled entity DISABLED. Its addresses are free from now on, and remembered for Remember.
func (s *Service) DisableTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity) error {
	now := s.clock.Now()
	if _, err := tx.Exec(ctx, rememberAddresses, e.Key, now.Add(s.remember).UnixMicro()); err != nil {
		return fmt.Errorf("remember addresses: %w", err)
	}
	if _, err := tx.Exec(ctx, freeAddresses, e.Key); err != nil {
		return fmt.Errorf("free addresses: %w", err)
	}
	deprovisioned := micros(e.MailboxDeprovisioned)
	if e.Mailbox != 0 {
		deprovisioned = now.UnixMicro()
	}
	if _, err := tx.Exec(ctx, disableEntity, e.Key, now.UnixMicro(), deprovisioned); err != nil {
		return fmt.Errorf("disable %s: %w", e.ID, err)
	}
	s.publishUser(tx, o.ID, e.ID)
	return nil
}

const deleteEntity = `UPDATE entity SET state = 3, email = '', deleted = $2, provider_user = NULL, provider_store = '',
	display_name = '', display_key = NULL, first_name = '', last_name = '', initials = '', telephone = '', street = '',
	job_title = '', city = '', company = '', zip_code = '', department = '', country = '', office = '', description = ''
	WHERE key = $1`

// relations are the tables that tie entities together, from both of their ends.
var relations = [...]string{
	`DELETE FROM member WHERE (group_key, member) IN (SELECT group_key, member FROM member WHERE member = $1 LIMIT $2)`,
	`DELETE FROM member WHERE (group_key, member) IN (SELECT group_key, member FROM member WHERE group_key = $1 LIMIT $2)`,
	`DELETE FROM delegate WHERE (resource, delegate) IN (SELECT resource, delegate FROM delegate WHERE delegate = $1 LIMIT $2)`,
	`DELETE FROM delegate WHERE (resource, delegate) IN (SELECT resource, delegate FROM delegate WHERE resource = $1 LIMIT $2)`,
	`DELETE FROM mirrored_member WHERE (group_key, place) IN (SELECT group_key, place FROM mirrored_member WHERE group_key = $1 LIMIT $2)`,
}

// DeleteTx makes a locked, disabled entity DELETED: its name, addresses, password and attributes are gone. Its memberships
// and delegations mean nothing from now on, because a deleted entity has no part in anything; SweepTx removes them.
func (s *Service) DeleteTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity) error {
	if err := freeResourcesTx(ctx, tx, e); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, deleteEntity, e.Key, s.clock.Now().UnixMicro()); err != nil {
		return fmt.Errorf("delete %s: %w", e.ID, err)
	}
	for _, statement := range []string{freeAddresses, forgetAddresses, `DELETE FROM password WHERE entity = $1`, forgetPlace} {
		if _, err := tx.Exec(ctx, statement, e.Key); err != nil {
			return fmt.Errorf("delete %s: %w", e.ID, err)
		}
	}
	s.publishUser(tx, o.ID, e.ID)
	return nil
}

const (
	lockResourcesOf = `UPDATE entity SET change = change + 1 WHERE key IN (SELECT resource FROM delegate WHERE delegate = $1)`
	// acceptForLastDelegate: nobody but $1, who goes, could answer the requests.
	acceptForLastDelegate = `UPDATE entity SET auto_accept = TRUE WHERE NOT auto_accept
		AND key IN (SELECT d.resource FROM delegate d WHERE d.delegate = $1 AND NOT EXISTS (
			SELECT 1 FROM delegate other JOIN entity e ON e.key = other.delegate
			WHERE other.resource = d.resource AND other.delegate <> $1 AND e.state <> 3))`
)

// freeResourcesTx lets resources answer by themselves that lose their last delegate with e, so that no request stays
// unanswered for ever.
func freeResourcesTx(ctx context.Context, tx *db.Tx, e *Entity) error {
	for _, statement := range []string{lockResourcesOf, acceptForLastDelegate} {
		if _, err := tx.Exec(ctx, statement, e.Key); err != nil {
			return fmt.Errorf("free the resources of %s: %w", e.ID, err)
		}
	}
	return nil
}

// SweepTx removes up to limit memberships and delegations of an entity and returns how many; fewer than limit means that
// none are left.
func (s *Service) SweepTx(ctx context.Context, tx *db.Tx, entity int64, limit int) (swept int, err error) {
	for _, statement := range relations {
		if swept == limit {
			break
		}
		n, err := tx.Exec(ctx, statement, entity, limit-swept)
		if err != nil {
			return 0, fmt.Errorf("remove relations: %w", err)
		}
		swept += int(n)
	}
	return swept, nil
}

// ForgetTx ends what is remembered of a disabled entity when its mailbox is purged.
func (s *Service) ForgetTx(ctx context.Context, tx *db.Tx, e *Entity) error {
	if _, err := tx.Exec(ctx, forgetAddresses, e.Key); err != nil {
		return fmt.Errorf("forget addresses: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE entity SET mailbox = 0 WHERE key = $1`, e.Key); err != nil {
		return fmt.Errorf("forget mailbox: %w", err)
	}
	return nil
}

// RemoveTx takes away the row that a deleted entity left behind.
func (s *Service) RemoveTx(ctx context.Context, tx *db.Tx, e *Entity) error {
	if _, err := tx.Exec(ctx, `DELETE FROM entity WHERE key = $1 AND state = 3`, e.Key); err != nil {
		return fmt.Errorf("remove %s: %w", e.ID, err)
	}
	return nil
}

func queryTexts(ctx context.Context, tx *db.Tx, query string, args ...any) ([]string, error) {
	return db.All(ctx, tx, db.Value[string], query, args...)
}
