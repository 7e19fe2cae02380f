package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	insertAddress = `INSERT INTO address (organization, address_key, address, domain, entity, kind, primary_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`
	addressHolder = `SELECT entity FROM address WHERE organization = $1 AND address_key = $2`
	countAliases  = `SELECT COUNT(*) FROM address WHERE entity = $1 AND primary_key IS NULL`
	deleteAddress = `DELETE FROM address WHERE organization = $1 AND address_key = $2 AND entity = $3`
	setPrimary    = `UPDATE address SET primary_key = CASE WHEN address_key = $2 THEN address_key END WHERE entity = $1`
	setEmail      = `UPDATE entity SET email = $2 WHERE key = $1`
	listAddresses = `SELECT address, address_key FROM address WHERE entity = $1 AND address_key > $2
		ORDER BY address_key LIMIT $3`
)

// CreateAlias gives an entity one more address. An alias it has already is no error. Faults: Invalid for the address,
// NotFound (Entity), State (Entity) unless enabled, NotFound (Domain) and State (Domain) unless the organisation has proven
// the domain, Exists (Address) for an address of another, Limit (Address).
func (s *Service) CreateAlias(ctx context.Context, p principal.Principal, org OrgID, entity EntityID, alias string) error {
	a, err := ParseAddress(alias)
	if err != nil {
		return s.GateFirst(ctx, org, err)
	}
	return s.Change(ctx, p, org, "CreateAlias", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return string(entity), s.CreateAliasTx(ctx, tx, o, entity, a)
	})
}

// CreateAliasTx is CreateAlias in a transaction.
func (s *Service) CreateAliasTx(ctx context.Context, tx *db.Tx, o *Organization, entity EntityID, a Address) error {
	e, err := s.lockEnabledTx(ctx, tx, o, string(entity), Narrow{IDOnly: true})
	if err != nil {
		return err
	}
	held, err := s.mayHoldTx(ctx, tx, o, e, a, false)
	if err != nil || held {
		return err
	}
	if err := s.roomForAliasTx(ctx, tx, e); err != nil {
		return err
	}
	return insertAddressTx(ctx, tx, e, a, false)
}

// lockEnabledTx finds an entity, locks it and refuses one that is not enabled.
func (s *Service) lockEnabledTx(ctx context.Context, tx *db.Tx, o *Organization, ident string, how Narrow) (*Entity, error) {
	e, err := s.ResolveTx(ctx, tx, o, ident, how)
	if err != nil {
		return nil, err
	}
	if e, err = s.lockTx(ctx, tx, e); err != nil {
		return nil, err
	}
	return e, e.enabled()
}

// mayHoldTx reports whether e has the address already; if not, it returns a fault unless e may take it, as its primary one where
// that is said.
func (s *Service) mayHoldTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, a Address, primary bool) (held bool, err error) {
	if primary && e.Role == RoleRemote {
		err = s.elsewhereTx(ctx, tx, o, a)
	} else {
		err = s.usableDomainTx(ctx, tx, o, a.Domain)
	}
	if err != nil {
		return false, err
	}
	var holder int64
	err = tx.QueryRow(ctx, addressHolder, o.Key, a.Key).Scan(&holder)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find address: %w", err)
	case holder != e.Key:
		return false, addressTaken(a)
	}
	return true, nil
}

// elsewhereTx returns Unsupported (Address) unless the address is in a domain that is not served here: the primary address of a
// REMOTE_USER says where its mailbox is, and mail for a domain of ours comes back to us.
func (s *Service) elsewhereTx(ctx context.Context, tx *db.Tx, o *Organization, a Address) error {
	here, err := s.IsLocalDomainTx(ctx, tx, a.Domain)
	if err == nil && !here {
		_, err = domainTx(ctx, tx, o, a.Domain) // one that is registered is about to be ours
		if here = err == nil; fault.Is(err, fault.NotFound, fault.Domain) {
			err = nil
		}
	}
	if err == nil && here {
		err = fault.New(fault.Unsupported, fault.Address, "the mailbox of a REMOTE_USER is on another server, and %s is a domain of this one: "+
			"give the address that the mailbox has there as the primary one, and addresses in domains of the organization as aliases", a.Domain)
	}
	return err
}

func addressTaken(a Address) error {
	return fault.New(fault.Exists, fault.Address, "the address %s is taken by another user, group or resource", a.Text)
}

func (s *Service) roomForAliasTx(ctx context.Context, tx *db.Tx, e *Entity) error {
	var n int
	if err := tx.QueryRow(ctx, countAliases, e.Key).Scan(&n); err != nil {
		return fmt.Errorf("count aliases: %w", err)
	}
	if n >= s.limits.Aliases {
		return fault.New(fault.Limit, fault.Address, "%s %s has %d aliases, which is the limit", e.Kind.word(), e.ID, n)
	}
	return nil
}

func insertAddressTx(ctx context.Context, tx *db.Tx, e *Entity, a Address, primary bool) error {
	var primaryKey *string
	if primary {
		primaryKey = &a.Key
	}
	n, err := tx.Exec(ctx, insertAddress, e.OrgKey, a.Key, a.Text, a.Domain, e.Key, int64(e.Kind), primaryKey)
	if err != nil {
		return fmt.Errorf("store address: %w", err)
	}
	if n == 0 { // taken since it was looked up
		return addressTaken(a)
	}
	return nil
}

// DeleteAlias takes an alias from an entity. One it does not have is no error. Faults: Invalid for the primary address,
// NotFound (Entity), State (Entity) for a deleted one.
func (s *Service) DeleteAlias(ctx context.Context, p principal.Principal, org OrgID, entity EntityID, alias string) error {
	return s.Change(ctx, p, org, "DeleteAlias", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return string(entity), s.DeleteAliasTx(ctx, tx, o, entity, alias)
	})
}

// DeleteAliasTx is DeleteAlias in a transaction.
func (s *Service) DeleteAliasTx(ctx context.Context, tx *db.Tx, o *Organization, entity EntityID, alias string) error {
	key := Fold(alias)
	e, err := s.ResolveTx(ctx, tx, o, string(entity), Narrow{IDOnly: true})
	if err != nil {
		return err
	}
	if e, err = s.lockLivingTx(ctx, tx, e); err != nil {
		return err
	}
	if Fold(e.Email) == key {
		return fault.New(fault.Invalid, fault.Address,
			"%s is the primary address of %s %s; give it another one first", e.Email, e.Kind.word(), e.ID)
	}
	if _, err := tx.Exec(ctx, deleteAddress, o.Key, key, e.Key); err != nil {
		return fmt.Errorf("delete address: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM remembered_address WHERE entity = $1 AND address_key = $2`, e.Key, key); err != nil {
		return fmt.Errorf("forget address: %w", err)
	}
	return nil
}

// ListAliases lists all addresses of an entity, the primary one included, in alphabetical order. Faults: NotFound (Entity),
// State (Entity) unless enabled, Invalid (Token).
func (s *Service) ListAliases(ctx context.Context, p principal.Principal, org OrgID, entity EntityID, page Page) (addresses []string, next string, err error) {
	after, err := textCursor(page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	var held []heldAddress
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		e, err := s.ResolveTx(ctx, tx, o, string(entity), Narrow{IDOnly: true})
		if err != nil {
			return err
		}
		if err := e.enabled(); err != nil {
			return err
		}
		held, err = addressesTx(ctx, tx, e.Key, after.text, page.limit()+1)
		return err
	})
	held, next = cutPage(held, page, func(h *heldAddress) string { return position{text: h.key}.String() })
	for _, h := range held {
		addresses = append(addresses, h.text)
	}
	return addresses, next, err
}

type heldAddress struct{ text, key string }

func addressesTx(ctx context.Context, tx *db.Tx, entity int64, after string, limit int) ([]heldAddress, error) {
	held, err := db.All(ctx, tx, func(row db.Row) (h heldAddress, err error) {
		err = row.Scan(&h.text, &h.key)
		return h, err
	}, listAddresses, entity, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return held, nil
}

// SetPrimaryAddress makes an address, new or an alias of the same entity, the primary one; the old one becomes an alias.
// Faults are those of CreateAlias, those of the external directory, and Unsupported (Address) for a REMOTE_USER's in a domain of ours.
func (s *Service) SetPrimaryAddress(ctx context.Context, p principal.Principal, org OrgID, ident, email string) error {
	a, err := ParseAddress(email)
	if err != nil {
		return s.GateFirst(ctx, org, err)
	}
	check := func(ctx context.Context, tx *db.Tx, o *Organization, e *Entity) error {
		_, err := s.mayBecomePrimaryTx(ctx, tx, o, e, a)
		return err
	}
	err = s.outside(ctx, org, ident, Narrow{}, check, func(d Directory, e Entry) error { return d.SetAddress(ctx, e, a.Text) })
	if err != nil {
		return err
	}
	return s.Change(ctx, p, org, "UpdatePrimaryEmailAddress", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		e, err := s.FindForTx(ctx, tx, o, ident, Narrow{})
		if err != nil {
			return "", err
		}
		return string(e.ID), s.SetPrimaryTx(ctx, tx, o, e, a)
	})
}

// SetPrimaryTx is SetPrimaryAddress of a locked entity.
func (s *Service) SetPrimaryTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, a Address) error {
	held, err := s.mayBecomePrimaryTx(ctx, tx, o, e, a)
	if err != nil {
		return err
	}
	if !held {
		if err := insertAddressTx(ctx, tx, e, a, false); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, setPrimary, e.Key, a.Key); err != nil {
		return fmt.Errorf("set primary address: %w", err)
	}
	if held {
		if _, err := tx.Exec(ctx, `UPDATE address SET address = $3 WHERE organization = $1 AND address_key = $2`, o.Key, a.Key, a.Text); err != nil {
			return fmt.Errorf("set primary address: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, setEmail, e.Key, a.Text); err != nil {
		return fmt.Errorf("set primary address: %w", err)
	}
	return nil
}

// mayBecomePrimaryTx reports whether e has the address already; if not, it returns a fault unless e may take it as its
// primary one, where the old one becomes an alias.
func (s *Service) mayBecomePrimaryTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, a Address) (held bool, err error) {
	if err := e.enabled(); err != nil {
		return false, err
	}
	if held, err = s.mayHoldTx(ctx, tx, o, e, a, true); err != nil || held {
		return held, err
	}
	return false, s.roomForAliasTx(ctx, tx, e)
}

// DescribeEntity finds the entity that has an address, primary or alias. Faults: NotFound (Entity).
func (s *Service) DescribeEntity(ctx context.Context, p principal.Principal, org OrgID, email string) (*Entity, error) {
	var e *Entity
	err := s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) (err error) {
		e, err = scanEntity(tx.QueryRow(ctx, entityByAddress, o.Key, Fold(email)))
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, fault.Entity, "no user, group or resource of this organization has the address %s", email)
		}
		return err
	})
	return e, err
}
