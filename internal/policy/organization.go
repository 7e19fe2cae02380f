package policy

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// What a new organisation starts with. The real service gives its default access rule the date zero; the name of its default
// mobile rule is not published.
const (
	DefaultRuleName        = "default"
	defaultRuleDescription = "Default WorkMail Rule"
	defaultMobileRuleID    = "default"
	noConditions           = "{}"
)

// BeginTx gives an organisation the rules it starts with: everybody may come in, every device may, and DMARC counts. A
// repetition changes nothing.
func (s *Service) BeginTx(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
	for _, insert := range []struct {
		query string
		args  []any
	}{
		{
			`INSERT INTO access_rule (organization, name, allow, description, conditions, created, modified)
			VALUES ($1, $2, TRUE, $3, $4, 0, 0) ON CONFLICT DO NOTHING`,
			[]any{o.Key, DefaultRuleName, defaultRuleDescription, noConditions},
		},
		{
			`INSERT INTO mobile_rule (organization, id, name, allow, description, conditions, created, modified)
			VALUES ($1, $2, $3, TRUE, $4, $5, $6, $6) ON CONFLICT DO NOTHING`,
			[]any{o.Key, defaultMobileRuleID, DefaultRuleName, defaultRuleDescription, noConditions, s.clock.Now().UnixMicro()},
		},
		{`INSERT INTO policy_setting (organization, dmarc_enforced) VALUES ($1, TRUE) ON CONFLICT DO NOTHING`, []any{o.Key}},
	} {
		if _, err := tx.Exec(ctx, insert.query, insert.args...); err != nil {
			return fmt.Errorf("begin the policy of organization %s: %w", o.ID, err)
		}
	}
	s.accessChanged(tx, o)
	return nil
}

// ForgetTx removes up to limit permissions that an entity gave or was given, and overrides of its devices, and returns how
// many; fewer than limit means that none are left.
func (s *Service) ForgetTx(ctx context.Context, tx *db.Tx, entity int64, limit int) (forgotten int, err error) {
	for _, statement := range []string{
		`DELETE FROM permission WHERE (owner, grantee) IN (SELECT owner, grantee FROM permission WHERE owner = $1 LIMIT $2)`,
		`DELETE FROM permission WHERE (owner, grantee) IN (SELECT owner, grantee FROM permission WHERE grantee = $1 LIMIT $2)`,
		`DELETE FROM mobile_override WHERE entity = $1 AND device_key IN
			(SELECT device_key FROM mobile_override WHERE entity = $1 LIMIT $2)`,
	} {
		if forgotten == limit {
			break
		}
		n, err := tx.Exec(ctx, statement, entity, limit-forgotten)
		if err != nil {
			return 0, fmt.Errorf("remove permissions and overrides: %w", err)
		}
		forgotten += int(n)
	}
	return forgotten, nil
}

// EraseTx removes the rules and settings of an organisation that is being deleted: a handful of rows.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
	for _, statement := range []string{
		`DELETE FROM access_rule WHERE organization = $1`,
		`DELETE FROM mobile_rule WHERE organization = $1`,
		`DELETE FROM monitoring WHERE organization = $1`,
		`DELETE FROM impersonation_role WHERE organization = $1`,
		`DELETE FROM policy_setting WHERE organization = $1`,
		`DELETE FROM retention_policy WHERE organization = $1`,
	} {
		if _, err := tx.Exec(ctx, statement, o.Key); err != nil {
			return fmt.Errorf("erase the policy of organization %s: %w", o.ID, err)
		}
	}
	s.accessChanged(tx, o)
	return nil
}
