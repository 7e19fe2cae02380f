package availability

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// Check looks for configurations of organisations that are gone, without one provider, or with a password that can't be opened,
// and returns a line per find. It reads everything.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	organizations, err := organizationsTx(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, key := range organizations {
		o, err := s.directory.OrganizationByKeyTx(ctx, tx, key)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			faults = append(faults, fmt.Sprintf("availability: configurations of organization %d, which does not exist", key))
			continue
		case err != nil:
			return nil, err
		case o.State == directory.OrgDeleted:
			faults = append(faults, fmt.Sprintf("availability: configurations of organization %s, which is deleted", o.ID))
		}
		for after, full := "", true; full; {
			rows, err := rowsTx(ctx, tx, listFrom, key, after, pageLimit)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				if why := s.wrong(o.ID, &rows[i]); why != "" {
					faults = append(faults, fmt.Sprintf("availability: configuration of %s in organization %s: %s", rows[i].domain, o.ID, why))
				}
				after = rows[i].domain
			}
			full = len(rows) == pageLimit
		}
	}
	return faults, nil
}

func (s *Service) wrong(org directory.OrgID, r *row) string {
	if (r.endpoint == "") == (r.function == "") {
		return "not exactly one provider"
	}
	if _, err := s.provider(org, r); err != nil {
		return err.Error()
	}
	return ""
}

func organizationsTx(ctx context.Context, tx *db.Tx) ([]int64, error) {
	keys, err := db.All(ctx, tx, db.Value[int64], `SELECT DISTINCT organization FROM availability_configuration`)
	if err != nil {
		return nil, fmt.Errorf("check availability configurations: %w", err)
	}
	return keys, nil
}
