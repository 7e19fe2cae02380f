package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

const organizationColumns = `key, id, alias, state, error, account, region, directory_id, directory_type, default_domain,
	key_arn, migration_admin, interoperability, created, completed, deleted`

// prefixedOrganizationColumns are the same of the table with the alias o.
const prefixedOrganizationColumns = `o.key, o.id, o.alias, o.state, o.error, o.account, o.region, o.directory_id, o.directory_type,
	o.default_domain, o.key_arn, o.migration_admin, o.interoperability, o.created, o.completed, o.deleted`

const (
	organizationByID    = `SELECT ` + organizationColumns + ` FROM organization WHERE id = $1`
	organizationByKey   = `SELECT ` + organizationColumns + ` FROM organization WHERE key = $1`
	organizationByAlias = `SELECT ` + organizationColumns + ` FROM organization WHERE alias_key = $1`
)

// organizationScan collects the columns of an organisation.
type organizationScan struct {
	o                           Organization
	created, completed, deleted int64
}

func (s *organizationScan) targets() []any {
	o := &s.o
	return []any{
		&o.Key, &o.ID, &o.Alias, &o.State, &o.Error, &o.Account, &o.Region, &o.DirectoryID, &o.DirectoryType,
		&o.DefaultDomain, &o.KeyARN, &o.MigrationAdmin, &o.Interoperability, &s.created, &s.completed, &s.deleted,
	}
}

func (s *organizationScan) organization() *Organization {
	o := s.o
	o.Created, o.Completed, o.Deleted = fromMicros(s.created), fromMicros(s.completed), fromMicros(s.deleted)
	return &o
}

func scanOrganization(row db.Row) (*Organization, error) {
	var s organizationScan
	if err := row.Scan(s.targets()...); err != nil {
		return nil, err
	}
	return s.organization(), nil
}

// OrganizationTx reads an organisation in whatever state it is.
func (s *Service) OrganizationTx(ctx context.Context, tx *db.Tx, id OrgID) (*Organization, error) {
	return organizationOr(scanOrganization(tx.QueryRow(ctx, organizationByID, string(id))))(string(id))
}

// OrganizationByKeyTx is OrganizationTx by the server's own number.
func (s *Service) OrganizationByKeyTx(ctx context.Context, tx *db.Tx, key int64) (*Organization, error) {
	return organizationOr(scanOrganization(tx.QueryRow(ctx, organizationByKey, key)))(fmt.Sprint(key))
}

// DeletingTx returns the server's own numbers of the organisations that are being deleted.
func (s *Service) DeletingTx(ctx context.Context, tx *db.Tx) ([]int64, error) {
	keys, err := db.All(ctx, tx, db.Value[int64], `SELECT key FROM organization WHERE state = $1`, string(OrgDeleting))
	if err != nil {
		return nil, fmt.Errorf("read the organizations that are being deleted: %w", err)
	}
	return keys, nil
}

// OrganizationByAliasTx finds the organisation that holds an alias, which compares without case.
func (s *Service) OrganizationByAliasTx(ctx context.Context, tx *db.Tx, alias string) (*Organization, error) {
	return organizationOr(scanOrganization(tx.QueryRow(ctx, organizationByAlias, Fold(alias))))(alias)
}

// ActiveTx reads an organisation and refuses any that is not active.
func (s *Service) ActiveTx(ctx context.Context, tx *db.Tx, id OrgID) (*Organization, error) {
	return activeOr(s.OrganizationTx(ctx, tx, id))
}

func activeOr(o *Organization, err error) (*Organization, error) {
	if err != nil {
		return nil, err
	}
	if o.State != OrgActive {
		return nil, fault.New(fault.State, fault.Organization, "organization %s is in state %s; it must be %s",
			o.ID, o.State, OrgActive)
	}
	return o, nil
}

// NoOrganization is the answer to an id, or an alias, that no organisation has.
func NoOrganization(asked string) error {
	return fault.New(fault.NotFound, fault.Organization, "organization %s does not exist", asked)
}

// organizationOr turns the absence of a row into a fault that repeats what was asked for.
func organizationOr(o *Organization, err error) func(asked string) (*Organization, error) {
	return func(asked string) (*Organization, error) {
		if errors.Is(err, sql.ErrNoRows) {
			return nil, NoOrganization(asked)
		}
		if err != nil {
			return nil, fmt.Errorf("read organization %s: %w", asked, err)
		}
		return o, nil
	}
}
