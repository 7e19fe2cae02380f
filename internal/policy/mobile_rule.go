package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/principal"
)

// MobileRule lets devices synchronise, or doesn't. Two rules may have the same name.
type MobileRule struct {
	ID          string
	Name        string
	Description string // may be empty
	Allow       bool
	Conditions  MobileConditions
	// Created and Modified are set by the service.
	Created, Modified time.Time
}

// MobileConditions say which devices a rule matches: those for which all hold. Each value is a prefix, compared without case;
// "$NONE" matches a device that does not report the property. The Not lists match devices that report something else. An
// empty list is no condition.
type MobileConditions struct {
	Types               []string `json:"types,omitempty"`
	NotTypes            []string `json:"notTypes,omitempty"`
	Models              []string `json:"models,omitempty"`
	NotModels           []string `json:"notModels,omitempty"`
	OperatingSystems    []string `json:"operatingSystems,omitempty"`
	NotOperatingSystems []string `json:"notOperatingSystems,omitempty"`
	UserAgents          []string `json:"userAgents,omitempty"`
	NotUserAgents       []string `json:"notUserAgents,omitempty"`
}

// mobileRuleLimit is how many mobile device rules an organisation may have.
const mobileRuleLimit = 10

const (
	insertMobileRule = `INSERT INTO mobile_rule (organization, id, name, allow, description, conditions, created, modified)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`
	updateMobileRule = `UPDATE mobile_rule SET name = $3, allow = $4, description = $5, conditions = $6, modified = $7
		WHERE organization = $1 AND id = $2`
	deleteMobileRule = `DELETE FROM mobile_rule WHERE organization = $1 AND id = $2`
	countMobileRules = `SELECT COUNT(*) FROM mobile_rule WHERE organization = $1`
	listMobileRules  = `SELECT id, name, allow, description, conditions, created, modified FROM mobile_rule
		WHERE organization = $1 ORDER BY created, id`
)

// CreateMobileRule makes a rule and returns its id; the same token with the same rule gives the id again. Faults: Limit
// (Resource) for more than ten rules; Invalid (Token).
func (s *Service) CreateMobileRule(ctx context.Context, p principal.Principal, org directory.OrgID, r MobileRule, clientToken string) (ruleID string, err error) {
	input, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("create mobile device rule: %w", err)
	}
	once := directory.Once{Scope: "CreateMobileDeviceAccessRule " + string(org), Token: clientToken, Input: input}
	err = s.directory.ChangeAlone(ctx, p, org, "CreateMobileDeviceAccessRule", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		ruleID, err = s.directory.OnceTx(ctx, tx, once, func() (string, error) { return s.createMobileRuleTx(ctx, tx, o, r) })
		return ruleID, err
	})
	return ruleID, err
}

func (s *Service) createMobileRuleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r MobileRule) (string, error) {
	r.ID = id.UUID()
	return r.ID, s.insertMobileRuleTx(ctx, tx, o, r)
}

func (s *Service) insertMobileRuleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r MobileRule) error {
	var have int
	if err := tx.QueryRow(ctx, countMobileRules, o.Key).Scan(&have); err != nil {
		return fmt.Errorf("count mobile device rules: %w", err)
	}
	if have >= mobileRuleLimit {
		return fault.New(fault.Limit, fault.Resource, "the organization has %d mobile device access rules, which is the limit; delete one first", have)
	}
	conditions, err := json.Marshal(r.Conditions)
	if err != nil {
		return fmt.Errorf("create mobile device rule: %w", err)
	}
	if _, err := tx.Exec(ctx, insertMobileRule, o.Key, r.ID, r.Name, r.Allow, r.Description, string(conditions), s.clock.Now().UnixMicro()); err != nil {
		return fmt.Errorf("create mobile device rule: %w", err)
	}
	return nil
}

// UpdateMobileRule replaces all of the rule with r.ID, but for its date of creation. Faults: NotFound (Entity).
func (s *Service) UpdateMobileRule(ctx context.Context, p principal.Principal, org directory.OrgID, r MobileRule) error {
	conditions, err := json.Marshal(r.Conditions)
	if err != nil {
		return fmt.Errorf("update mobile device rule: %w", err)
	}
	return s.directory.Change(ctx, p, org, "UpdateMobileDeviceAccessRule", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		n, err := tx.Exec(ctx, updateMobileRule, o.Key, r.ID, r.Name, r.Allow, r.Description, string(conditions), s.clock.Now().UnixMicro())
		if err != nil {
			return "", fmt.Errorf("update mobile device rule: %w", err)
		}
		if n == 0 {
			return "", fault.New(fault.NotFound, fault.Entity, "there is no mobile device access rule %s", r.ID)
		}
		return r.ID, nil
	})
}

// DeleteMobileRule removes a rule. One that does not exist is no error.
func (s *Service) DeleteMobileRule(ctx context.Context, p principal.Principal, org directory.OrgID, ruleID string) error {
	return s.directory.Change(ctx, p, org, "DeleteMobileDeviceAccessRule", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return ruleID, s.DeleteMobileRuleTx(ctx, tx, o, ruleID)
	})
}

// DeleteMobileRuleTx is DeleteMobileRule in a transaction.
func (s *Service) DeleteMobileRuleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, ruleID string) error {
	if _, err := tx.Exec(ctx, deleteMobileRule, o.Key, ruleID); err != nil {
		return fmt.Errorf("delete mobile device rule: %w", err)
	}
	return nil
}

// MobileRules lists an organisation's rules in the order of their creation.
func (s *Service) MobileRules(ctx context.Context, p principal.Principal, org directory.OrgID) (rules []MobileRule, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		rules, err = s.MobileRulesTx(ctx, tx, o)
		return err
	})
	return rules, err
}

// MobileRulesTx is MobileRules in a transaction.
func (s *Service) MobileRulesTx(ctx context.Context, tx *db.Tx, o *directory.Organization) ([]MobileRule, error) {
	return mobileRulesTx(ctx, tx, o)
}

func mobileRulesTx(ctx context.Context, tx *db.Tx, o *directory.Organization) ([]MobileRule, error) {
	var rules []MobileRule
	err := tx.Each(ctx, func(row db.Row) error {
		var (
			r                 MobileRule
			conditions        string
			created, modified int64
		)
		if err := row.Scan(&r.ID, &r.Name, &r.Allow, &r.Description, &conditions, &created, &modified); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(conditions), &r.Conditions); err != nil {
			return fmt.Errorf("read the conditions of mobile device rule %s: %w", r.ID, err)
		}
		r.Created, r.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
		rules = append(rules, r)
		return nil
	}, listMobileRules, o.Key)
	if err != nil {
		return nil, fmt.Errorf("list mobile device rules: %w", err)
	}
	return rules, nil
}
