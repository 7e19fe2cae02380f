package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// Recipient is who an address belongs to, for mail.
type Recipient struct {
	Organization OrgID
	Entity       Entity
	// Tag is what followed the "+" when the address was found only without it.
	Tag string
}

// findRecipient follows an address through the one verified domain of that name into an active organisation. Only enabled
// entities have addresses.
const findRecipient = `SELECT o.id, ` + prefixedEntityColumns + ` FROM domain d
	JOIN organization o ON o.key = d.organization
	JOIN address a ON a.organization = d.organization AND a.address_key = $2
	JOIN entity e ON e.key = a.entity
	WHERE d.name = $1 AND d.status = 1 AND o.state = 'Active'`

const findMember = `SELECT ` + prefixedOrganizationColumns + `, ` + prefixedEntityColumns + ` FROM organization o
	JOIN entity e ON e.organization = o.key AND e.id = $2 WHERE o.id = $1`

// RecipientTx finds who has a mail address, in whatever organisation. The exact address wins over the reading of a "+" as
// the beginning of a tag. Faults: NotFound (Domain) when no active organisation has proven the domain, NotFound (Address)
// when nobody there has the address.
func (s *Service) RecipientTx(ctx context.Context, tx *db.Tx, address string) (*Recipient, error) {
	domain := address[strings.LastIndexByte(address, '@')+1:]
	if !storable(address) || len(address) > addressLimit || len(domain) == len(address) {
		return nil, fault.New(fault.NotFound, fault.Address, "there is no such address")
	}
	r, err := recipientTx(ctx, tx, Fold(domain), Fold(address))
	if base, ok := Untag(address); ok && errors.Is(err, sql.ErrNoRows) {
		if r, err = recipientTx(ctx, tx, Fold(domain), Fold(base)); err == nil {
			r.Tag = address[len(base)-len(domain) : len(address)-len(domain)-1]
		}
	}
	if err == nil {
		return r, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("find recipient: %w", err)
	}
	here, err := s.IsLocalDomainTx(ctx, tx, domain)
	if err != nil {
		return nil, err
	}
	if !here {
		return nil, fault.New(fault.NotFound, fault.Domain, "domain %s is not served here", domain)
	}
	return nil, fault.New(fault.NotFound, fault.Address, "nobody has the address %s", address)
}

func recipientTx(ctx context.Context, tx *db.Tx, domainKey, addressKey string) (*Recipient, error) {
	var (
		r    Recipient
		scan entityScan
	)
	if err := tx.QueryRow(ctx, findRecipient, domainKey, addressKey).Scan(append([]any{&r.Organization}, scan.targets()...)...); err != nil {
		return nil, err
	}
	r.Entity = scan.entity()
	return &r, nil
}

// MemberTx reads an entity by its id, and its organisation, which must be active. Faults: NotFound and State (Organization), NotFound
// (Entity).
func (s *Service) MemberTx(ctx context.Context, tx *db.Tx, org OrgID, id EntityID) (*Organization, *Entity, error) {
	var o organizationScan
	var e entityScan
	err := tx.QueryRow(ctx, findMember, string(org), string(id)).Scan(append(o.targets(), e.targets()...)...)
	if err == nil {
		organization, err := activeOr(o.organization(), nil)
		entity := e.entity()
		return organization, &entity, err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, nil, fmt.Errorf("read entity %s of organization %s: %w", id, org, err)
	}
	if _, err := s.ActiveTx(ctx, tx, org); err != nil {
		return nil, nil, err
	}
	return nil, nil, notFound(0, string(id))
}

// DomainOrganizationTx returns the active organisation that has proven the domain. Faults: NotFound (Domain).
func (s *Service) DomainOrganizationTx(ctx context.Context, tx *db.Tx, domain string) (*Organization, error) {
	none := fault.New(fault.NotFound, fault.Domain, "domain %s is not served here", domain)
	if !storable(domain) {
		return nil, none
	}
	var owner int64
	err := tx.QueryRow(ctx, domainOwner, Fold(domain)).Scan(&owner)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, none
	}
	if err != nil {
		return nil, fmt.Errorf("find domain %s: %w", domain, err)
	}
	o, err := s.OrganizationByKeyTx(ctx, tx, owner)
	if err == nil && o.State != OrgActive {
		return nil, none
	}
	return o, err
}

// IsLocalDomainTx reports whether an active organisation has proven the domain.
func (s *Service) IsLocalDomainTx(ctx context.Context, tx *db.Tx, domain string) (bool, error) {
	if !storable(domain) {
		return false, nil
	}
	var one int
	err := tx.QueryRow(ctx, `SELECT 1 FROM domain d JOIN organization o ON o.key = d.organization
		WHERE d.name = $1 AND d.status = 1 AND o.state = 'Active'`, Fold(domain)).Scan(&one)
	if err != nil {
		if ignoreNoRows(err) == nil {
			return false, nil
		}
		return false, fmt.Errorf("find domain %s: %w", domain, err)
	}
	return true, nil
}

// IsTestDomainTx reports whether the domain is the test domain of an organisation.
func (s *Service) IsTestDomainTx(ctx context.Context, tx *db.Tx, domain string) (bool, error) {
	if !storable(domain) {
		return false, nil
	}
	var test bool
	err := tx.QueryRow(ctx, `SELECT is_test FROM domain WHERE name = $1 AND status = 1`, Fold(domain)).Scan(&test)
	if ignoreNoRows(err) != nil {
		return false, fmt.Errorf("find domain %s: %w", domain, err)
	}
	return test, nil
}

// OwnsDomainTx reports whether the organisation with the key has proven the domain, which is folded.
func (s *Service) OwnsDomainTx(ctx context.Context, tx *db.Tx, org int64, domain string) (bool, error) {
	if !storable(domain) {
		return false, nil
	}
	var owner int64
	err := tx.QueryRow(ctx, domainOwner, domain).Scan(&owner)
	if ignoreNoRows(err) != nil {
		return false, fmt.Errorf("find domain %s: %w", domain, err)
	}
	return err == nil && owner == org, nil
}

// OwnDomain is a domain that an organisation registered.
type OwnDomain struct {
	Organization int64
	Name         string
}

// OwnDomainsTx returns the domains that organisations registered, so no test domains. It reads all there are.
func (s *Service) OwnDomainsTx(ctx context.Context, tx *db.Tx) (all []OwnDomain, err error) {
	all, err = db.All(ctx, tx, func(row db.Row) (d OwnDomain, err error) {
		err = row.Scan(&d.Organization, &d.Name)
		return d, err
	}, `SELECT organization, name FROM domain WHERE NOT is_test`)
	if err != nil {
		return nil, fmt.Errorf("read all domains: %w", err)
	}
	return all, nil
}

// ProvenDomainsTx returns the domains, but for test domains, that active organisations have proven, in order. It reads all there are.
func (s *Service) ProvenDomainsTx(ctx context.Context, tx *db.Tx) (names []string, err error) {
	names, err = db.All(ctx, tx, db.Value[string], `SELECT d.name FROM domain d JOIN organization o ON o.key = d.organization
		WHERE d.status = 1 AND NOT d.is_test AND o.state = 'Active' ORDER BY d.name`)
	if err != nil {
		return nil, fmt.Errorf("read all proven domains: %w", err)
	}
	return names, nil
}

func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
