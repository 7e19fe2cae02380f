package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
)

// What is here is for package migration, which brings organisations here from elsewhere: rules keep the ids and dates that they
// have there. A rule may name a user or role that is gone there too: it goes on fitting nobody, while without the rule, or without
// the condition, somebody else might come in. Shapes that the API's contract holds are checked here, as no face did.

// BringAccessRuleTx makes the access rule of that name all that r says, in a transaction that holds the organisation for itself.
// Faults: those of PutAccessRule but NotFound.
func (s *Service) BringAccessRuleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r AccessRule) error {
	if _, err := r.compile(); err != nil {
		return err
	}
	for _, user := range slices.Concat(r.Users, r.NotUsers) {
		if err := directory.CheckEntityID(user); err != nil {
			return err
		}
	}
	for _, role := range slices.Concat(r.Roles, r.NotRoles) {
		if !ruleName(string(role)) {
			return fault.New(fault.Invalid, fault.Resource, "%.100q is not the id of an impersonation role", role)
		}
	}
	if err := s.putAccessRuleTx(ctx, tx, o, r); err != nil {
		return err
	}
	return dateTx(ctx, tx, `UPDATE access_rule SET created = $3, modified = $4 WHERE organization = $1 AND name = $2`,
		o, r.Name, r.Created, r.Modified)
}

func dateTx(ctx context.Context, tx *db.Tx, statement string, o *directory.Organization, id string, created, modified time.Time) error {
	if _, err := tx.Exec(ctx, statement, o.Key, id, created.UnixMicro(), modified.UnixMicro()); err != nil {
		return fmt.Errorf("date %s of organization %s: %w", id, o.ID, err)
	}
	return nil
}

// BringMobileRuleTx makes the mobile device rule of that id all that r says, in a transaction that holds the organisation for
// itself. Faults: Invalid, Limit (Resource).
func (s *Service) BringMobileRuleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r MobileRule) error {
	c := r.Conditions
	switch {
	case !ruleName(r.ID):
		return fault.New(fault.Invalid, fault.Resource, "%.100q is not the id of a mobile device access rule", r.ID)
	case r.Name == "" || !plain(r.Name, 64) || !plain(r.Description, 256):
		return fault.New(fault.Invalid, fault.Resource, "mobile device access rule %s has a name or a description that can't be", r.ID)
	}
	for _, list := range [][]string{
		c.Types, c.NotTypes, c.Models, c.NotModels, c.OperatingSystems, c.NotOperatingSystems, c.UserAgents, c.NotUserAgents,
	} {
		if len(list) > maxListed || slices.ContainsFunc(list, func(v string) bool { return v == "" || !plain(v, 256) }) {
			return fault.New(fault.Invalid, fault.Resource, "mobile device access rule %s has a condition that can't be", r.ID)
		}
	}
	conditions, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("bring mobile device rule %s: %w", r.ID, err)
	}
	n, err := tx.Exec(ctx, updateMobileRule, o.Key, r.ID, r.Name, r.Allow, r.Description, string(conditions), s.clock.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("bring mobile device rule %s: %w", r.ID, err)
	}
	if n == 0 {
		if err := s.insertMobileRuleTx(ctx, tx, o, r); err != nil {
			return err
		}
	}
	return dateTx(ctx, tx, `UPDATE mobile_rule SET created = $3, modified = $4 WHERE organization = $1 AND id = $2`,
		o, r.ID, r.Created, r.Modified)
}

// plain reports whether both engines can hold a text and it has at most limit characters.
func plain(s string, limit int) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "\x00") && utf8.RuneCountInString(s) <= limit
}

// BringOverrideTx makes the override of a user, by id, and a device all that v says. Faults: Invalid, NotFound and State (Entity).
func (s *Service) BringOverrideTx(ctx context.Context, tx *db.Tx, o *directory.Organization, v MobileOverride) error {
	if len(v.Device) < 1 || len(v.Device) > 32 || strings.ContainsFunc(v.Device, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) || !plain(v.Description, 256) {
		return fault.New(fault.Invalid, fault.Resource, "the override for device %.100q has an id or a description that can't be", v.Device)
	}
	e, err := s.putOverrideTx(ctx, tx, o, string(v.User), v)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE mobile_override SET created = $3, modified = $4 WHERE entity = $1 AND device_key = $2`,
		e.Key, directory.Fold(v.Device), v.Created.UnixMicro(), v.Modified.UnixMicro())
	if err != nil {
		return fmt.Errorf("date the override of %s: %w", e.ID, err)
	}
	return nil
}

// OverridesTx reads all overrides of an organisation but those of deleted users.
func (s *Service) OverridesTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (all []MobileOverride, err error) {
	for after := (overrideKey{}); ; {
		rows, err := someOverridesTx(ctx, tx, o, 0, "", after, checkPage)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			e, err := s.directory.EntityByKeyTx(ctx, tx, row.entity)
			if err != nil {
				return nil, fmt.Errorf("read the user of a mobile device override: %w", err)
			}
			if row.User = e.ID; e.State != directory.Deleted {
				all = append(all, row.MobileOverride)
			}
		}
		if len(rows) < checkPage {
			return all, nil
		}
		after = rows[len(rows)-1].overrideKey
	}
}

// BringRoleTx makes the impersonation role of that id all that r says, in a transaction that holds the organisation for itself.
// Faults: Invalid, Limit (Resource).
func (s *Service) BringRoleTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r ImpersonationRole) error {
	n := NewRole{Name: r.Name, ReadOnly: r.ReadOnly, Description: r.Description}
	for _, rule := range r.Rules {
		n.Rules = append(n.Rules, NewRoleRule{ID: rule.ID, Name: rule.Name, Description: rule.Description})
		for _, list := range [][]directory.EntityID{rule.Targets, rule.NotTargets} {
			if len(list) > maxListed {
				return fault.New(fault.Invalid, fault.None, "%d users were given; a list has at most %d", len(list), maxListed)
			}
			for _, user := range list {
				if err := directory.CheckEntityID(user); err != nil {
					return err
				}
			}
		}
	}
	if !ruleName(string(r.ID)) {
		return fault.New(fault.Invalid, fault.Resource, "%.100q is not the id of an impersonation role", r.ID)
	}
	if err := checkRole(n); err != nil {
		return err
	}
	if r.Rules == nil {
		r.Rules = []RoleRule{}
	}
	rules, err := json.Marshal(r.Rules)
	if err != nil {
		return fmt.Errorf("bring impersonation role %s: %w", r.ID, err)
	}
	changed, err := tx.Exec(ctx, updateRole, o.Key, string(r.ID), n.Name, n.ReadOnly, n.Description, string(rules), s.clock.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("bring impersonation role %s: %w", r.ID, err)
	}
	if changed == 0 {
		if err := s.insertRoleTx(ctx, tx, o, r.ID, n, string(rules)); err != nil {
			return err
		}
	}
	return dateTx(ctx, tx, `UPDATE impersonation_role SET created = $3, modified = $4 WHERE organization = $1 AND id = $2`,
		o, string(r.ID), r.Created, r.Modified)
}

// RolesTx reads all impersonation roles of an organisation.
func (s *Service) RolesTx(ctx context.Context, tx *db.Tx, o *directory.Organization) ([]ImpersonationRole, error) {
	return rolesAfterTx(ctx, tx, o.Key, "", checkPage)
}

// BringRetentionTx makes r the organisation's retention policy. Faults: Invalid; Limit (Resource) where there is one of another id.
func (s *Service) BringRetentionTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r RetentionPolicy) error {
	if !ruleName(r.ID) || !ruleName(r.Name) || !plain(r.Description, 256) {
		return fault.New(fault.Invalid, fault.Resource, "the retention policy has an id, a name or a description that can't be")
	}
	for _, f := range r.Folders {
		if !slices.Contains([]string{RetainInbox, RetainDeletedItems, RetainSentItems, RetainDrafts, RetainJunkEmail}, f.Folder) ||
			!slices.Contains([]string{RetainForever, RetainDelete, RetainDeleteNow}, f.Action) || f.Days < 0 || f.Days > 730 {
			return fault.New(fault.Invalid, fault.Resource, "the retention policy says %s after %d days of the folder %q", f.Action, f.Days, f.Folder)
		}
	}
	if err := checkRetention(r.Folders); err != nil {
		return err
	}
	have, exists, err := s.RetentionTx(ctx, tx, o.Key)
	switch {
	case err != nil:
		return err
	case exists && have.ID != r.ID:
		return fault.New(fault.Limit, fault.Resource, "the organization has the retention policy %s and can have one only; delete it first", have.ID)
	case !exists:
		if err := tx.QueryRow(ctx, upsertRetention, o.Key, r.ID, r.Name, r.Description, "[]", int64(0)).Scan(&r.ID); err != nil {
			return fmt.Errorf("bring a retention policy: %w", err)
		}
	}
	if _, err := s.putRetentionTx(ctx, tx, o, r); err != nil {
		return err
	}
	return job.EnqueueTx(ctx, tx, RetentionJob, string(o.ID), nil, s.clock.Now())
}

// BringPermissionTx gives a grantee the rights on an owner's mailbox, both by id. An owner that is disabled keeps what it gave.
// Faults: those of PutPermissions.
func (s *Service) BringPermissionTx(ctx context.Context, tx *db.Tx, o *directory.Organization, owner, grantee directory.EntityID, rights Rights) error {
	_, err := s.grantTx(ctx, tx, o, string(owner), string(grantee), rights, true)
	return err
}

// PermissionsTx reads who may do what on an owner's mailbox. Deleted grantees are left out.
func (s *Service) PermissionsTx(ctx context.Context, tx *db.Tx, owner int64) (all []Permission, err error) {
	for after := int64(0); ; {
		rows, err := permissionsTx(ctx, tx, owner, after, checkPage)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			grantee, err := s.directory.EntityByKeyTx(ctx, tx, row.grantee)
			if err != nil {
				return nil, fmt.Errorf("read grantee: %w", err)
			}
			if grantee.State != directory.Deleted {
				all = append(all, Permission{Grantee: grantee.ID, Kind: grantee.Kind, Rights: row.rights})
			}
		}
		if len(rows) < checkPage {
			return all, nil
		}
		after = rows[len(rows)-1].grantee
	}
}
