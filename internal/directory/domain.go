package directory

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// domainRow is a domain as it is stored.
type domainRow struct {
	organization            int64
	name, token             string
	status                  DomainStatus
	test, vouched           bool
	created, checked, proof int64
}

const domainColumns = `organization, name, status, is_test, token, vouched, created, checked, proof_seen`

const (
	domainByName = `SELECT ` + domainColumns + ` FROM domain WHERE organization = $1 AND name = $2`
	insertDomain = `INSERT INTO domain (organization, name, status, is_test, token, vouched, created, verified, checked, proof_seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)`
	restartDomain = `UPDATE domain SET status = 0, created = $3 WHERE organization = $1 AND name = $2`
	deleteDomain  = `DELETE FROM domain WHERE organization = $1 AND name = $2`
	countDomains  = `SELECT COUNT(*) FROM domain WHERE organization = $1`
	listDomains   = `SELECT ` + domainColumns + ` FROM domain WHERE organization = $1 AND name > $2 ORDER BY name LIMIT $3`
	domainOwner   = `SELECT organization FROM domain WHERE name = $1 AND status = 1`
	addressInside = `SELECT 1 FROM address WHERE organization = $1 AND domain = $2 LIMIT 1`
	verifyDomain  = `UPDATE domain SET status = 1, vouched = $3, verified = $4, checked = $4, proof_seen = $4
		WHERE organization = $1 AND name = $2`
	setDefaultDomain = `UPDATE organization SET default_domain = $2 WHERE key = $1`
)

func scanDomain(row db.Row) (*domainRow, error) {
	var d domainRow
	err := row.Scan(&d.organization, &d.name, &d.status, &d.test, &d.token, &d.vouched, &d.created, &d.checked, &d.proof)
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// domainTx reads a domain of an organisation, NotFound (Domain) where it has none of that name.
func domainTx(ctx context.Context, tx *db.Tx, o *Organization, name string) (*domainRow, error) {
	d, err := (*domainRow)(nil), sql.ErrNoRows
	if storable(name) {
		d, err = scanDomain(tx.QueryRow(ctx, domainByName, o.Key, Fold(name)))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, fault.Domain, "domain %s is not registered in this organization; register it first", strings.ToValidUTF8(name, "\uFFFD"))
	}
	if err != nil {
		return nil, fmt.Errorf("read domain %s: %w", name, err)
	}
	return d, nil
}

// usableDomainTx returns NotFound (Domain) or State (Domain) unless the organisation has proven the domain.
func (s *Service) usableDomainTx(ctx context.Context, tx *db.Tx, o *Organization, name string) error {
	d, err := domainTx(ctx, tx, o, name)
	if err != nil {
		return err
	}
	if d.status != DomainVerified {
		return fault.New(fault.State, fault.Domain,
			"domain %s is not verified (%s): publish the TXT record that GetMailDomain shows", name, d.status)
	}
	return nil
}

// RegisterDomain adds a mail domain, pending until its ownership is proven. The same token with the same domain repeats the
// answer; a domain the organisation has already is no error. Faults: Invalid, Invalid (Token) for a token that was used for
// something else, InUse (Domain) when another organisation has proven it, Limit (Domain).
func (s *Service) RegisterDomain(ctx context.Context, p principal.Principal, org OrgID, name, clientToken string) error {
	if err := checkDomainName(name); err != nil {
		return s.GateFirst(ctx, org, err)
	}
	return s.ChangeAlone(ctx, p, org, "RegisterMailDomain", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		name := Fold(name)
		_, err := s.OnceTx(ctx, tx, Once{Scope: "RegisterMailDomain " + string(org), Token: clientToken, Input: []byte(name)},
			func() (string, error) { return "", s.RegisterDomainTx(ctx, tx, o, name) })
		return name, err
	})
}

// RegisterDomainTx is RegisterDomain in a transaction that holds the organisation for itself.
func (s *Service) RegisterDomainTx(ctx context.Context, tx *db.Tx, o *Organization, name string) error {
	if err := checkDomainName(name); err != nil {
		return err
	}
	name = Fold(name)
	now := s.clock.Now()
	if d, err := domainTx(ctx, tx, o, name); err == nil {
		if d.status != DomainFailed {
			return nil
		}
		if _, err := tx.Exec(ctx, restartDomain, o.Key, name, now.UnixMicro()); err != nil {
			return fmt.Errorf("register domain %s: %w", name, err)
		}
		return s.beginProofTx(ctx, tx, o.Key, name)
	} else if fault.KindOf(err) != fault.NotFound {
		return err
	}
	if err := s.domainIsFreeTx(ctx, tx, name); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(ctx, countDomains, o.Key).Scan(&n); err != nil {
		return fmt.Errorf("count domains: %w", err)
	}
	if n >= s.limits.Domains {
		return fault.New(fault.Limit, fault.Domain, "the organization has %d domains, which is the limit", n)
	}
	if _, err := tx.Exec(ctx, insertDomain, o.Key, name, int64(DomainPending), false, proofToken(), false, now.UnixMicro(), 0); err != nil {
		return fmt.Errorf("register domain %s: %w", name, err)
	}
	return s.beginProofTx(ctx, tx, o.Key, name)
}

// beginProofTx orders what follows from a registration.
func (s *Service) beginProofTx(ctx context.Context, tx *db.Tx, org int64, name string) error {
	if err := s.registered(ctx, tx, org, name); err != nil {
		return err
	}
	return s.scheduleCheckTx(ctx, tx, org, name, s.clock.Now())
}

// domainIsFreeTx returns InUse (Domain) when an organisation has proven the domain, or when it is a test domain: those are
// given out with the alias only.
func (s *Service) domainIsFreeTx(ctx context.Context, tx *db.Tx, name string) error {
	if s.isTestDomain(name) {
		return fault.New(fault.InUse, fault.Domain, "domain %s is reserved for the organization with that alias", name)
	}
	var owner int64
	err := tx.QueryRow(ctx, domainOwner, name).Scan(&owner)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("find domain %s: %w", name, err)
	}
	return fault.New(fault.InUse, fault.Domain, "domain %s is used by another organization", name)
}

// proofToken returns 256 bits of chance in 44 characters of base64.
func proofToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return base64.StdEncoding.EncodeToString(b[:])
}

// DeregisterDomain removes a mail domain. One that is not registered is no error. Faults: InUse (Domain) while an address is
// in it, and for the default domain and the test domain.
func (s *Service) DeregisterDomain(ctx context.Context, p principal.Principal, org OrgID, name string) error {
	return s.ChangeAlone(ctx, p, org, "DeregisterMailDomain", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return Fold(name), s.DeregisterDomainTx(ctx, tx, o, name)
	})
}

// DeregisterDomainTx is DeregisterDomain in a transaction that holds the organisation for itself.
func (s *Service) DeregisterDomainTx(ctx context.Context, tx *db.Tx, o *Organization, name string) error {
	d, err := domainTx(ctx, tx, o, name)
	if fault.Is(err, fault.NotFound, fault.Domain) {
		return nil
	}
	if err != nil {
		return err
	}
	if d.test {
		return fault.New(fault.InUse, fault.Domain, "domain %s is the organization's test domain; it stays", d.name)
	}
	if d.name == o.DefaultDomain {
		return fault.New(fault.InUse, fault.Domain, "domain %s is the organization's default domain; make another one the default first", d.name)
	}
	var one int
	if err := tx.QueryRow(ctx, addressInside, o.Key, d.name).Scan(&one); err == nil {
		return fault.New(fault.InUse, fault.Domain, "domain %s still has addresses of users, groups or resources", d.name)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("look for addresses in %s: %w", d.name, err)
	}
	if _, err := tx.Exec(ctx, deleteDomain, o.Key, d.name); err != nil {
		return fmt.Errorf("deregister domain %s: %w", d.name, err)
	}
	return s.deregistered(ctx, tx, o.Key, d.name)
}

// GetDomain describes a mail domain. Faults: NotFound (Domain).
func (s *Service) GetDomain(ctx context.Context, p principal.Principal, org OrgID, name string) (*Domain, error) {
	var found *Domain
	err := s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) (err error) {
		found, err = s.DomainTx(ctx, tx, o, name)
		return err
	})
	return found, err
}

// DomainTx is GetDomain in a transaction.
func (s *Service) DomainTx(ctx context.Context, tx *db.Tx, o *Organization, name string) (*Domain, error) {
	d, err := domainTx(ctx, tx, o, name)
	if err != nil {
		return nil, err
	}
	described := d.describe(o)
	return &described, nil
}

func (d *domainRow) describe(o *Organization) Domain {
	described := Domain{Name: d.name, Status: d.status, Test: d.test, Default: d.name == o.DefaultDomain, Vouched: d.vouched}
	if !d.test {
		described.Proof = DNSRecord{"TXT", proofHost + d.name, d.token}
	}
	return described
}

// proofHost is the label of the TXT record that proves a domain.
const proofHost = "_pennypost."

// maxHolders is how many organisations DomainHolder tells of.
const maxHolders = 10

const domainHolders = `SELECT o.id, d.status FROM domain d JOIN organization o ON o.key = d.organization
	WHERE d.name = $1 AND o.state = 'Active' ORDER BY o.id LIMIT $2`

// DomainHolder finds the organisation that has proven a domain, else the only one that has registered it. It is for operators, who
// may look into all. Faults: NotFound (Domain), Invalid where several have registered it.
func (s *Service) DomainHolder(ctx context.Context, p principal.Principal, name string) (OrgID, error) {
	if p.Kind != principal.Operator {
		return "", fault.New(fault.Denied, fault.None, "only an operator may ask whose a domain is")
	}
	var holders []string
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		holders = nil
		if !storable(name) {
			return nil
		}
		rows, err := tx.Query(ctx, domainHolders, Fold(name), maxHolders)
		if err != nil {
			return fmt.Errorf("find domain %s: %w", name, err)
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var status DomainStatus
			if err := rows.Scan(&id, &status); err != nil {
				return fmt.Errorf("find domain %s: %w", name, err)
			}
			holders = append(holders, id)
			if status == DomainVerified {
				holders = []string{id}
				break
			}
		}
		return rows.Err()
	})
	switch {
	case err != nil:
		return "", err
	case len(holders) == 0:
		return "", fault.New(fault.NotFound, fault.Domain, "no organization has registered the domain %s", strings.ToValidUTF8(name, "\uFFFD"))
	case len(holders) > 1:
		return "", fault.New(fault.Invalid, fault.Domain, "several organizations have registered the domain %s: name one of %s", name, strings.Join(holders, ", "))
	}
	return OrgID(holders[0]), nil
}

// ListDomains lists mail domains by name. Faults: Invalid (Token).
func (s *Service) ListDomains(ctx context.Context, p principal.Principal, org OrgID, page Page) (domains []Domain, next string, err error) {
	after, err := textCursor(page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		domains = nil
		err := tx.Each(ctx, func(row db.Row) error {
			d, err := scanDomain(row)
			if err != nil {
				return err
			}
			domains = append(domains, d.describe(o))
			return nil
		}, listDomains, o.Key, after.text, page.limit()+1)
		if err != nil {
			return fmt.Errorf("list domains: %w", err)
		}
		return nil
	})
	domains, next = cutPage(domains, page, func(d *Domain) string { return position{text: d.Name}.String() })
	return domains, next, err
}

// SetDefaultDomain makes a verified domain the one that new addresses are proposed in. Faults: NotFound (Domain), State
// (Domain).
func (s *Service) SetDefaultDomain(ctx context.Context, p principal.Principal, org OrgID, name string) error {
	return s.ChangeAlone(ctx, p, org, "UpdateDefaultMailDomain", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return Fold(name), s.SetDefaultDomainTx(ctx, tx, o, name)
	})
}

// SetDefaultDomainTx is SetDefaultDomain in a transaction that holds the organisation for itself.
func (s *Service) SetDefaultDomainTx(ctx context.Context, tx *db.Tx, o *Organization, name string) error {
	if err := s.usableDomainTx(ctx, tx, o, name); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, setDefaultDomain, o.Key, Fold(name)); err != nil {
		return fmt.Errorf("set default domain: %w", err)
	}
	s.organizationChanged(tx, o.ID)
	o.DefaultDomain = Fold(name)
	return nil
}

// VouchForDomain verifies a domain on an operator's word, where DNS can't. It is registered when it was not. Faults: Invalid,
// InUse (Domain) when another organisation has proven it, Limit (Domain).
func (s *Service) VouchForDomain(ctx context.Context, p principal.Principal, org OrgID, name string) error {
	return s.ChangeAlone(ctx, p, org, "VerifyMailDomain", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return Fold(name), s.VouchForDomainTx(ctx, tx, o, name)
	})
}

// VouchForDomainTx is VouchForDomain in a transaction that holds the organisation for itself.
func (s *Service) VouchForDomainTx(ctx context.Context, tx *db.Tx, o *Organization, name string) error {
	if err := s.RegisterDomainTx(ctx, tx, o, name); err != nil {
		return err
	}
	return s.verifyTx(ctx, tx, o.Key, Fold(name), true)
}

// verifyTx marks a domain as proven, unless another organisation did so before: InUse (Domain).
func (s *Service) verifyTx(ctx context.Context, tx *db.Tx, org int64, name string, vouched bool) error {
	inUse := fault.New(fault.InUse, fault.Domain, "domain %s was verified by another organization first", name)
	var owner int64
	err := tx.QueryRow(ctx, domainOwner, name).Scan(&owner)
	switch {
	case err == nil && owner != org:
		return inUse
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("find domain %s: %w", name, err)
	}
	_, err = tx.Exec(ctx, verifyDomain, org, name, vouched, s.clock.Now().UnixMicro())
	if db.IsUnique(err) { // another organisation's transaction was faster
		return inUse
	}
	if err != nil {
		return fmt.Errorf("verify domain %s: %w", name, err)
	}
	return nil
}
