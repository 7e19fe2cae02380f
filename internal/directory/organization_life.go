package directory

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	aliasLimit    = 62 // characters
	listOrgsLimit = `SELECT ` + organizationColumns + ` FROM organization WHERE alias_key > $1 ORDER BY alias_key LIMIT $2`

	insertOrganization = `INSERT INTO organization (key, id, alias, alias_key, state, error, account, region, directory_id,
		directory_key, directory_type, default_domain, key_arn, migration_admin, interoperability, created, completed, deleted)
		VALUES ($1, $2, $3, $4, $5, '', $6, $7, $8, $9, $10, $11, $12, '', $13, $14, 0, 0) ON CONFLICT DO NOTHING`
	organizationByDirectory = `SELECT ` + organizationColumns + ` FROM organization WHERE directory_key = $1`

	countOrganizations = `SELECT COUNT(*) FROM (SELECT 1 AS one FROM organization WHERE alias_key > '' LIMIT $1) AS counted`
)

// CheckAlias checks an organisation's alias: 1 to 62 letters, digits and single inner hyphens, not beginning with "d-".
func CheckAlias(alias string) error {
	bad := fault.New(fault.Invalid, fault.Organization,
		"alias %q must have 1 to %d letters, digits and single hyphens between them, and must not begin with d-", alias, aliasLimit)
	if len(alias) > aliasLimit || strings.HasPrefix(Fold(alias), "d-") {
		return bad
	}
	for part := range strings.SplitSeq(alias, "-") {
		if part == "" || !only(part, isAlnum) {
			return bad
		}
	}
	return nil
}

// NewOrganization asks for an organisation.
type NewOrganization struct {
	// ID and OwnDirectoryID are those of an organisation that is brought here from elsewhere; empty makes new ones.
	ID             OrgID
	OwnDirectoryID string
	Alias          string
	// DirectoryID names an external directory; empty makes one of our own.
	DirectoryID      string
	Account, Region  string
	KeyARN           string
	Interoperability bool
}

// CheckNewOrganization checks what can be checked without the store. Faults: Invalid, DirectoryDown (Directory) for a
// directory that is not known here.
func (s *Service) CheckNewOrganization(n NewOrganization) error {
	if err := CheckAlias(n.Alias); err != nil {
		return err
	}
	if n.ID != "" && !isOrgID(n.ID) {
		return fault.New(fault.Invalid, fault.Organization, "%.64q is not the id of an organization", n.ID)
	}
	if n.OwnDirectoryID != "" && !isDirectoryID(n.OwnDirectoryID) {
		return fault.New(fault.Invalid, fault.Directory, "%.64q is not the id of a directory", n.OwnDirectoryID)
	}
	if n.Interoperability && n.DirectoryID == "" {
		return fault.New(fault.Invalid, fault.Directory, "interoperability needs an external directory: give a DirectoryId")
	}
	return nil
}

// InsertOrganizationTx makes an organisation in the state Requested. Faults: those of CheckNewOrganization, Exists
// (Organization) for a taken alias, InUse (Directory), Limit (Organization).
func (s *Service) InsertOrganizationTx(ctx context.Context, tx *db.Tx, n NewOrganization) (*Organization, error) {
	if err := s.CheckNewOrganization(n); err != nil {
		return nil, err
	}
	o := &Organization{
		Key: id.Key(), ID: OrgID(id.Organization()), Alias: n.Alias, State: OrgRequested, Account: n.Account, Region: n.Region,
		DirectoryID: n.DirectoryID, DirectoryType: OwnDirectoryType, DefaultDomain: s.TestDomain(n.Alias), KeyARN: n.KeyARN,
		Interoperability: n.Interoperability, Created: s.clock.Now(),
	}
	if n.ID != "" {
		o.ID = n.ID
	}
	if n.DirectoryID == "" {
		if o.DirectoryID = n.OwnDirectoryID; o.DirectoryID == "" {
			o.DirectoryID = id.Directory()
		} else if err := s.ownDirectoryTx(ctx, tx, n.OwnDirectoryID); err != nil {
			return nil, err
		}
	} else {
		d, err := s.freeDirectoryTx(ctx, tx, n.DirectoryID)
		if err != nil {
			return nil, err
		}
		if o.DirectoryType = d.Type(); n.Interoperability && o.DirectoryType != ReadOnlyDirectoryType {
			return nil, fault.New(fault.Invalid, fault.Directory,
				"interoperability needs a directory that is only read; %s is a %s", n.DirectoryID, o.DirectoryType)
		}
	}
	if err := s.mayAddOrganizationTx(ctx, tx); err != nil {
		return nil, err
	}
	rows, err := tx.Exec(ctx, insertOrganization, o.Key, string(o.ID), o.Alias, Fold(o.Alias), string(o.State), o.Account, o.Region,
		o.DirectoryID, o.DirectoryID, o.DirectoryType, o.DefaultDomain, o.KeyARN, o.Interoperability, o.Created.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("create organization: %w", err)
	}
	if rows == 0 {
		return nil, fault.New(fault.Exists, fault.Organization, "the alias %q is taken by another organization", n.Alias)
	}
	return o, nil
}

// ownDirectoryTx returns an InUse (Directory) fault unless a directory of our own can have the id.
func (s *Service) ownDirectoryTx(ctx context.Context, tx *db.Tx, directoryID string) error {
	if _, ok := s.external[directoryID]; ok {
		return fault.New(fault.InUse, fault.Directory, "directory %s is configured on this server as an external one", directoryID)
	}
	return unusedDirectoryTx(ctx, tx, directoryID)
}

func unusedDirectoryTx(ctx context.Context, tx *db.Tx, directoryID string) error {
	o, err := organizationOr(scanOrganization(tx.QueryRow(ctx, organizationByDirectory, directoryID)))(directoryID)
	if err == nil {
		return fault.New(fault.InUse, fault.Directory, "directory %s is used by organization %s", directoryID, o.ID)
	}
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// freeDirectoryTx returns the external directory that an organisation may use.
func (s *Service) freeDirectoryTx(ctx context.Context, tx *db.Tx, directoryID string) (Directory, error) {
	if err := unusedDirectoryTx(ctx, tx, directoryID); err != nil {
		return nil, err
	}
	if d, ok := s.external[directoryID]; ok {
		return d, nil
	}
	return nil, fault.New(fault.DirectoryDown, fault.Directory, "directory %s is not configured on this server", directoryID)
}

func (s *Service) mayAddOrganizationTx(ctx context.Context, tx *db.Tx) error {
	if s.limits.Organizations <= 0 {
		return nil
	}
	if err := lockOrganizationsTx(ctx, tx); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(ctx, countOrganizations, s.limits.Organizations).Scan(&n); err != nil {
		return fmt.Errorf("count organizations: %w", err)
	}
	if n >= s.limits.Organizations {
		return fault.New(fault.Limit, fault.Organization, "the server has %d organizations, which is the limit", n)
	}
	return nil
}

// TestDomain is the domain that an organisation of the alias always has.
func (s *Service) TestDomain(alias string) string { return Fold(alias) + "." + s.suffix }

// AliasOf returns the alias of the organisation that a host is named after, <alias>.<suffix>, empty for another host.
func (s *Service) AliasOf(host string) string {
	alias, ok := strings.CutSuffix(Fold(host), "."+s.suffix)
	if !ok || strings.Contains(alias, ".") {
		return ""
	}
	return alias
}

// isTestDomain reports whether name is one that TestDomain gives out.
func (s *Service) isTestDomain(name string) bool {
	alias, ok := strings.CutSuffix(name, "."+s.suffix)
	return ok && !strings.Contains(alias, ".")
}

// AddTestDomainTx adds the organisation's test domain, verified. A repetition changes nothing. Faults: InUse (Domain) when
// another organisation has proven it, which only a changed suffix makes possible.
func (s *Service) AddTestDomainTx(ctx context.Context, tx *db.Tx, o *Organization) error {
	now := s.clock.Now().UnixMicro()
	_, err := tx.Exec(ctx, insertDomain+` ON CONFLICT DO NOTHING`, o.Key, s.TestDomain(o.Alias), int64(DomainVerified), true, "", true, now, now)
	if err != nil {
		return fmt.Errorf("add test domain: %w", err)
	}
	err = s.usableDomainTx(ctx, tx, o, s.TestDomain(o.Alias))
	if fault.Is(err, fault.NotFound, fault.Domain) {
		return fault.New(fault.InUse, fault.Domain, "the test domain %s is used by another organization", s.TestDomain(o.Alias))
	}
	return err
}

// SetStateTx moves an organisation from one state to another, and reports whether it was in the first. why explains Failed.
func (s *Service) SetStateTx(ctx context.Context, tx *db.Tx, o *Organization, from, to OrgState, why string) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE organization SET state = $3, error = $4,
		completed = CASE WHEN $5 THEN $6 ELSE completed END WHERE key = $1 AND state = $2`,
		o.Key, string(from), string(to), why, to == OrgActive, s.clock.Now().UnixMicro())
	if err != nil {
		return false, fmt.Errorf("set state of organization %s: %w", o.ID, err)
	}
	if n == 1 {
		s.organizationChanged(tx, o.ID)
	}
	return n == 1, nil
}

// MarkDeletedTx ends an organisation: its alias and its directory are free from now on.
func (s *Service) MarkDeletedTx(ctx context.Context, tx *db.Tx, o *Organization) error {
	_, err := tx.Exec(ctx, `UPDATE organization SET state = $2, deleted = $3, alias_key = NULL, directory_key = NULL WHERE key = $1`,
		o.Key, string(OrgDeleted), s.clock.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("delete organization %s: %w", o.ID, err)
	}
	s.organizationChanged(tx, o.ID)
	return nil
}

// DescribeOrganization returns an organisation in whatever state, deleted ones too. Faults: NotFound (Organization).
func (s *Service) DescribeOrganization(ctx context.Context, p principal.Principal, org OrgID) (o *Organization, err error) {
	if err := mayAdminister(p); err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err = s.OrganizationTx(ctx, tx, org)
		return err
	})
	return o, err
}

// ListOrganizations lists the organisations that are not deleted, by alias. Faults: Invalid (Token).
func (s *Service) ListOrganizations(ctx context.Context, p principal.Principal, page Page) (organizations []Organization, next string, err error) {
	if err := mayAdminister(p); err != nil {
		return nil, "", err
	}
	after, err := textCursor(page)
	if err != nil {
		return nil, "", err
	}
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		organizations = nil
		err := tx.Each(ctx, func(row db.Row) error {
			o, err := scanOrganization(row)
			if err != nil {
				return err
			}
			organizations = append(organizations, *o)
			return nil
		}, listOrgsLimit, after.text, page.limit()+1)
		if err != nil {
			return fmt.Errorf("list organizations: %w", err)
		}
		return nil
	})
	organizations, next = cutPage(organizations, page, func(o *Organization) string { return position{text: Fold(o.Alias)}.String() })
	return organizations, next, err
}

// AnyEnabledTx reports whether an organisation has an enabled user.
func (s *Service) AnyEnabledTx(ctx context.Context, tx *db.Tx, o *Organization) (bool, error) {
	var one int
	err := tx.QueryRow(ctx, `SELECT 1 FROM entity WHERE organization = $1 AND kind = 1 AND state = 1 LIMIT 1`, o.Key).Scan(&one)
	if err != nil {
		return false, ignoreNoRows(err)
	}
	return true, nil
}

// SomeEntitiesTx returns up to limit entities of an organisation, for those who take it apart.
func (s *Service) SomeEntitiesTx(ctx context.Context, tx *db.Tx, o *Organization, limit int) ([]Entity, error) {
	return queryEntities(ctx, tx, `SELECT `+entityColumns+` FROM entity WHERE organization = $1 ORDER BY id LIMIT $2`, o.Key, limit)
}

// EraseTx removes the row, the addresses and the password of an entity of an organisation that is being deleted, after
// SweepTx found nothing left.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, e *Entity) error {
	for _, statement := range []string{
		freeAddresses, forgetAddresses, `DELETE FROM password WHERE entity = $1`, forgetPlace, `DELETE FROM entity WHERE key = $1`,
	} {
		if _, err := tx.Exec(ctx, statement, e.Key); err != nil {
			return fmt.Errorf("erase %s: %w", e.ID, err)
		}
	}
	return nil
}

// EraseRestTx removes up to limit domains and tags of an organisation that is being deleted, and reports whether all are gone.
func (s *Service) EraseRestTx(ctx context.Context, tx *db.Tx, o *Organization, limit int) (done bool, err error) {
	done = true
	for _, statement := range []string{
		`DELETE FROM domain WHERE (organization, name) IN (SELECT organization, name FROM domain WHERE organization = $1 LIMIT $2)`,
		`DELETE FROM organization_tag WHERE (organization, tag) IN (SELECT organization, tag FROM organization_tag WHERE organization = $1 LIMIT $2)`,
		`DELETE FROM mirror WHERE organization IN (SELECT organization FROM mirror WHERE organization = $1 LIMIT $2)`,
	} {
		n, err := tx.Exec(ctx, statement, o.Key, limit)
		if err != nil {
			return false, fmt.Errorf("erase the rest of organization %s: %w", o.ID, err)
		}
		done = done && n < int64(limit)
	}
	return done, nil
}
