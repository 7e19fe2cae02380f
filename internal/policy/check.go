package policy

import (
	"context"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// checkPage is how many permissions are looked at with one statement.
const checkPage = 500

// Check looks for permissions and settings that contradict the directory, and returns a line per find. It reads everything.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	var owner, grantee int64
	for {
		page, err := allPermissionsTx(ctx, tx, owner, grantee)
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			why, err := s.wrong(ctx, tx, row)
			if err != nil {
				return nil, err
			}
			if why != "" {
				faults = append(faults, fmt.Sprintf("policy: permission of %d on %d: %s", row.grantee, row.owner, why))
			}
		}
		if len(page) < checkPage {
			break
		}
		owner, grantee = page[len(page)-1].owner, page[len(page)-1].grantee
	}
	for _, more := range []func(context.Context, *db.Tx) ([]string, error){s.checkOverrides, s.checkSettings, s.checkRetentions} {
		found, err := more(ctx, tx)
		if err != nil {
			return nil, err
		}
		faults = append(faults, found...)
	}
	return faults, nil
}

type checkedRow struct {
	owner, grantee int64
	rights         Rights
}

func allPermissionsTx(ctx context.Context, tx *db.Tx, owner, grantee int64) ([]checkedRow, error) {
	page, err := db.All(ctx, tx, func(row db.Row) (r checkedRow, err error) {
		err = row.Scan(&r.owner, &r.grantee, &r.rights)
		return r, err
	}, `SELECT owner, grantee, rights FROM permission WHERE (owner, grantee) > ($1, $2)
		ORDER BY owner, grantee LIMIT $3`, owner, grantee, checkPage)
	if err != nil {
		return nil, fmt.Errorf("check permissions: %w", err)
	}
	return page, nil
}

func (s *Service) wrong(ctx context.Context, tx *db.Tx, r checkedRow) (why string, err error) {
	if r.rights == 0 || r.rights&^allRights != 0 {
		return fmt.Sprintf("rights %d", r.rights), nil
	}
	owner, err := s.directory.EntityByKeyTx(ctx, tx, r.owner)
	if err != nil {
		return missing(err, "no owner")
	}
	grantee, err := s.directory.EntityByKeyTx(ctx, tx, r.grantee)
	if err != nil {
		return missing(err, "no grantee")
	}
	switch {
	case owner.OrgKey != grantee.OrgKey:
		return "across organizations", nil
	case grantee.Kind == directory.KindResource:
		return "the grantee is a resource", nil
	case owner.Kind == directory.KindGroup && r.rights.Has(FullAccess):
		return "FULL_ACCESS on a group", nil
	}
	return "", nil
}

func missing(err error, why string) (string, error) {
	if fault.KindOf(err) == fault.NotFound {
		return why, nil
	}
	return "", err
}

// checkSettings finds settings and rules of organisations that are gone.
func (s *Service) checkSettings(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	organizations, err := db.All(ctx, tx, db.Value[int64], `SELECT organization FROM policy_setting UNION SELECT organization FROM access_rule
		UNION SELECT organization FROM mobile_rule UNION SELECT organization FROM mobile_override
		UNION SELECT organization FROM impersonation_role UNION SELECT organization FROM retention_policy
		UNION SELECT organization FROM monitoring`)
	if err != nil {
		return nil, fmt.Errorf("check settings: %w", err)
	}
	for _, key := range organizations {
		o, err := s.directory.OrganizationByKeyTx(ctx, tx, key)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			faults = append(faults, fmt.Sprintf("policy: settings of organization %d, which does not exist", key))
		case err != nil:
			return nil, err
		case o.State == directory.OrgDeleted:
			faults = append(faults, fmt.Sprintf("policy: settings of organization %s, which is deleted", o.ID))
		}
		if err == nil {
			found, err := checkAccessTx(ctx, tx, o)
			if err != nil {
				return nil, err
			}
			faults = append(faults, found...)
		}
	}
	return faults, nil
}

// checkAccessTx finds access rules and impersonation roles that can't be read, and more of them than there may be.
func checkAccessTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (faults []string, err error) {
	rules, err := accessRulesTx(ctx, tx, o.Key)
	roles, roleErr := rolesAfterTx(ctx, tx, o.Key, "", maxRoles+1)
	for _, err := range []error{err, roleErr} {
		if errors.Is(err, errBadRule) {
			faults = append(faults, fmt.Sprintf("policy: organization %s: %v", o.ID, err))
		} else if err != nil {
			return nil, err
		}
	}
	if len(rules) > maxAccessRules || len(roles) > maxRoles {
		faults = append(faults, fmt.Sprintf("policy: organization %s has %d access rules and %d impersonation roles or more", o.ID, len(rules), len(roles)))
	}
	return faults, nil
}
