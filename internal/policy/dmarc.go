package policy

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

// EnforcesDMARCTx reports whether mail that fails its sender's DMARC policy is treated as that policy says.
func (s *Service) EnforcesDMARCTx(ctx context.Context, tx *db.Tx, org int64) (enforced bool, err error) {
	err = tx.QueryRow(ctx, `SELECT dmarc_enforced FROM policy_setting WHERE organization = $1`, org).Scan(&enforced)
	if err != nil {
		return false, fmt.Errorf("read the DMARC setting: %w", err)
	}
	return enforced, nil
}

// EnforceDMARC sets what EnforcesDMARC reads.
func (s *Service) EnforceDMARC(ctx context.Context, p principal.Principal, org directory.OrgID, enforced bool) error {
	return s.directory.Change(ctx, p, org, "PutInboundDmarcSettings", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return fmt.Sprintf("enforced: %t", enforced), s.EnforceDMARCTx(ctx, tx, o, enforced)
	})
}

// EnforceDMARCTx is EnforceDMARC in a transaction.
func (s *Service) EnforceDMARCTx(ctx context.Context, tx *db.Tx, o *directory.Organization, enforced bool) error {
	_, err := tx.Exec(ctx, `UPDATE policy_setting SET dmarc_enforced = $2 WHERE organization = $1`, o.Key, enforced)
	if err != nil {
		return fmt.Errorf("set the DMARC setting: %w", err)
	}
	return nil
}

// EnforcesDMARC is EnforcesDMARCTx for an administrator.
func (s *Service) EnforcesDMARC(ctx context.Context, p principal.Principal, org directory.OrgID) (enforced bool, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		enforced, err = s.EnforcesDMARCTx(ctx, tx, o.Key)
		return err
	})
	return enforced, err
}
