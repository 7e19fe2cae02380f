package policy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// MobileOverride is what one device of one user may do, whatever the rules say.
type MobileOverride struct {
	User        directory.EntityID
	Device      string // letters and digits; compared without case, shown as it was given last
	Allow       bool
	Description string // may be empty
	// Created and Modified are set by the service.
	Created, Modified time.Time
}

const (
	overrideColumns = `entity, device_key, device, allow, description, created, modified`
	upsertOverride  = `INSERT INTO mobile_override (organization, ` + overrideColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
		ON CONFLICT (entity, device_key) DO UPDATE SET device = excluded.device, allow = excluded.allow,
		description = excluded.description, modified = excluded.modified`
	deleteOverride = `DELETE FROM mobile_override WHERE entity = $1 AND device_key = $2`
	findOverride   = `SELECT ` + overrideColumns + ` FROM mobile_override WHERE entity = $1 AND device_key = $2`
	listOverrides  = `SELECT ` + overrideColumns + ` FROM mobile_override
		WHERE organization = $1 AND (device_key, entity) > ($2, $3) ORDER BY device_key, entity LIMIT $4`
	overridesOfDevice = `SELECT ` + overrideColumns + ` FROM mobile_override
		WHERE organization = $1 AND device_key = $2 AND entity > $3 ORDER BY entity LIMIT $4`
	overridesOfUser = `SELECT ` + overrideColumns + ` FROM mobile_override
		WHERE entity = $1 AND device_key > $2 ORDER BY device_key LIMIT $3`
	overridesByKey = `SELECT ` + overrideColumns + ` FROM mobile_override
		WHERE (entity, device_key) > ($1, $2) ORDER BY entity, device_key LIMIT $3`
)

// overrideUser is how the users of overrides are named: by id, name or address.
var overrideUser = directory.Narrow{Kind: directory.KindUser}

// PutMobileOverride makes or changes the override for a user, named by id, name or address, and a device. Faults: NotFound
// (Entity); State (Entity) for a deleted user.
func (s *Service) PutMobileOverride(ctx context.Context, p principal.Principal, org directory.OrgID, user string, v MobileOverride) error {
	return s.directory.Change(ctx, p, org, "PutMobileDeviceAccessOverride", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		e, err := s.putOverrideTx(ctx, tx, o, user, v)
		if err != nil {
			return "", err
		}
		return string(e.ID), nil
	})
}

func (s *Service) putOverrideTx(ctx context.Context, tx *db.Tx, o *directory.Organization, user string, v MobileOverride) (*directory.Entity, error) {
	e, err := s.directory.FindForTx(ctx, tx, o, user, overrideUser)
	if err != nil {
		return nil, err
	}
	if e.State == directory.Deleted {
		return nil, fault.New(fault.State, fault.Entity, "user %s is deleted", e.ID)
	}
	_, err = tx.Exec(ctx, upsertOverride, o.Key, e.Key, directory.Fold(v.Device), v.Device, v.Allow, v.Description, s.clock.Now().UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("put mobile device override: %w", err)
	}
	return e, nil
}

// DeleteMobileOverride removes an override. One that does not exist is no error. Faults: NotFound (Entity), also for a deleted
// user.
func (s *Service) DeleteMobileOverride(ctx context.Context, p principal.Principal, org directory.OrgID, user, device string) error {
	return s.directory.Change(ctx, p, org, "DeleteMobileDeviceAccessOverride", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return s.DeleteOverrideTx(ctx, tx, o, user, device)
	})
}

// DeleteOverrideTx is DeleteMobileOverride in a transaction. It returns the user's id.
func (s *Service) DeleteOverrideTx(ctx context.Context, tx *db.Tx, o *directory.Organization, user, device string) (string, error) {
	e, err := s.livingUserTx(ctx, tx, o, user)
	if err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, deleteOverride, e.Key, directory.Fold(device)); err != nil {
		return "", fmt.Errorf("delete mobile device override: %w", err)
	}
	return string(e.ID), nil
}

// MobileOverride reads one override. Faults: NotFound (Entity), also for a deleted user; NotFound (Resource) where the user has
// none for the device.
func (s *Service) MobileOverride(ctx context.Context, p principal.Principal, org directory.OrgID, user, device string) (v *MobileOverride, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		e, err := s.livingUserTx(ctx, tx, o, user)
		if err != nil {
			return err
		}
		v, err = overrideTx(ctx, tx, e, device)
		return err
	})
	return v, err
}

// ListMobileOverrides lists the overrides of an organisation, or of one user, or of one device, or of both, by device, then
// in the order of the users' creation. Those of deleted users, which are yet to be swept, are left out. Faults: NotFound
// (Entity), also for a deleted user; Invalid (Token).
func (s *Service) ListMobileOverrides(ctx context.Context, p principal.Principal, org directory.OrgID, user, device string, page directory.Page) (overrides []MobileOverride, next string, err error) {
	limit := page.Limit
	if limit <= 0 || limit > 100 {
		limit = 100
	}
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		overrides, next = nil, ""
		var of int64
		if user != "" {
			e, err := s.livingUserTx(ctx, tx, o, user)
			if err != nil {
				return err
			}
			of = e.Key
		}
		after, err := parseOverrideCursor(page.After)
		if err != nil {
			return err
		}
		rows, err := someOverridesTx(ctx, tx, o, of, directory.Fold(device), after, limit+1)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			next = rows[limit-1].overrideKey.String()
		}
		for _, row := range rows {
			e, err := s.directory.EntityByKeyTx(ctx, tx, row.entity)
			if err != nil {
				return fmt.Errorf("read the user of a mobile device override: %w", err)
			}
			if e.State != directory.Deleted {
				row.User = e.ID
				overrides = append(overrides, row.MobileOverride)
			}
		}
		return nil
	})
	return overrides, next, err
}

func (s *Service) livingUserTx(ctx context.Context, tx *db.Tx, o *directory.Organization, user string) (*directory.Entity, error) {
	e, err := s.directory.ResolveTx(ctx, tx, o, user, overrideUser)
	if err != nil {
		return nil, err
	}
	if e.State == directory.Deleted {
		return nil, fault.New(fault.NotFound, fault.Entity, "user %s is deleted", e.ID)
	}
	return e, nil
}

func overrideTx(ctx context.Context, tx *db.Tx, user *directory.Entity, device string) (*MobileOverride, error) {
	row, err := scanOverride(tx.QueryRow(ctx, findOverride, user.Key, directory.Fold(device)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, fault.Resource, "user %s has no override for device %s", user.ID, device)
	}
	if err != nil {
		return nil, fmt.Errorf("read mobile device override: %w", err)
	}
	row.User = user.ID
	return &row.MobileOverride, nil
}

// overrideKey is the place of an override in a list.
type overrideKey struct {
	entity    int64
	deviceKey string
}

func (k overrideKey) String() string { return strconv.FormatInt(k.entity, 10) + ":" + k.deviceKey }

func parseOverrideCursor(cursor string) (k overrideKey, err error) {
	if cursor == "" {
		return k, nil
	}
	entity, device, ok := strings.Cut(cursor, ":")
	if k.entity, err = strconv.ParseInt(entity, 10, 64); !ok || err != nil {
		return k, fault.New(fault.Invalid, fault.Token, "the page token is not one that this list gave out; begin again without a token")
	}
	k.deviceKey = device
	return k, nil
}

type overrideRow struct {
	overrideKey
	MobileOverride // but for User
}

func someOverridesTx(ctx context.Context, tx *db.Tx, o *directory.Organization, of int64, deviceKey string, after overrideKey, limit int) ([]overrideRow, error) {
	switch {
	case of != 0 && deviceKey != "":
		return overridesTx(ctx, tx, findOverride, of, deviceKey)
	case of != 0:
		return overridesTx(ctx, tx, overridesOfUser, of, after.deviceKey, limit)
	case deviceKey != "":
		return overridesTx(ctx, tx, overridesOfDevice, o.Key, deviceKey, after.entity, limit)
	}
	return overridesTx(ctx, tx, listOverrides, o.Key, after.deviceKey, after.entity, limit)
}

func overridesTx(ctx context.Context, tx *db.Tx, query string, args ...any) ([]overrideRow, error) {
	found, err := db.All(ctx, tx, scanOverride, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list mobile device overrides: %w", err)
	}
	return found, nil
}

func scanOverride(from db.Row) (row overrideRow, err error) {
	var created, modified int64
	err = from.Scan(&row.entity, &row.deviceKey, &row.Device, &row.Allow, &row.Description, &created, &modified)
	row.Created, row.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	return row, err
}

// checkOverrides finds overrides of who is no user.
func (s *Service) checkOverrides(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	var after overrideKey
	for {
		page, err := overridesTx(ctx, tx, overridesByKey, after.entity, after.deviceKey, checkPage)
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			e, err := s.directory.EntityByKeyTx(ctx, tx, row.entity)
			why := ""
			if err != nil {
				if why, err = missing(err, "no user"); err != nil {
					return nil, err
				}
			} else if e.Kind != directory.KindUser {
				why = "not a user"
			}
			if why != "" {
				faults = append(faults, fmt.Sprintf("policy: override for device %s of %d: %s", row.Device, row.entity, why))
			}
		}
		if len(page) < checkPage {
			return faults, nil
		}
		after = page[len(page)-1].overrideKey
	}
}
