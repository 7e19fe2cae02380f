package migration

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// Migrations returns the steps that make and change the package's tables.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 9100, Name: "what was brought from elsewhere", SQL: broughtTable},
		{Version: 9200, Name: "imported mail", SQL: mailTables},
	}
}

// brought is the ledger: which items of an organisation came from its source.
const broughtTable = `
CREATE TABLE brought (
  organization BIGINT NOT NULL,
  kind TEXT {{.CollateC}} NOT NULL,
  id TEXT {{.CollateC}} NOT NULL,
  PRIMARY KEY (organization, kind, id)
) {{.WithoutRowID}};
`

const (
	insertBrought = `INSERT INTO brought (organization, kind, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	deleteBrought = `DELETE FROM brought WHERE organization = $1 AND kind = $2 AND id = $3`
	listBrought   = `SELECT kind, id FROM brought WHERE organization = $1`
	isBrought     = `SELECT 1 FROM brought WHERE organization = $1 AND kind = $2 AND id = $3`
	eraseBrought  = `DELETE FROM brought WHERE (organization, kind, id) IN
		(SELECT organization, kind, id FROM brought WHERE organization = $1 LIMIT $2)`
)

// EraseTx forgets up to limit items of an organisation that is being deleted and returns how many; fewer than limit means that none
// are left.
func EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error) {
	n, err := tx.Exec(ctx, eraseBrought, o.Key, limit)
	if err != nil {
		return 0, fmt.Errorf("forget what was brought to organization %s: %w", o.ID, err)
	}
	return int(n), nil
}

// Check looks for a ledger of an organisation that is gone, and returns a line per find.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	organizations, err := db.All(ctx, tx, db.Value[int64], `SELECT DISTINCT organization FROM brought`)
	if err != nil {
		return nil, fmt.Errorf("check what was brought from elsewhere: %w", err)
	}
	for _, key := range organizations {
		o, err := s.directory.OrganizationByKeyTx(ctx, tx, key)
		if err != nil {
			return nil, err
		}
		if o.State == directory.OrgDeleted {
			faults = append(faults, fmt.Sprintf("migration: items of organization %s, which is deleted", o.ID))
		}
	}
	return faults, nil
}
