package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// CreateResource makes a resource with DefaultBooking, DISABLED and without an address, and returns its id. Faults are
// those of CreateUser without BadPassword.
func (s *Service) CreateResource(ctx context.Context, p principal.Principal, org OrgID, r NewResource) (EntityID, error) {
	return s.create(ctx, p, org, "CreateResource", NewEntry{Organization: org, Kind: KindResource, Resource: r})
}

func checkNewResource(r NewResource) error {
	if err := checkUserName(r.Name, "resource", resourceNameLimit); err != nil {
		return err
	}
	if r.Type != Room && r.Type != Equipment {
		return fault.New(fault.Invalid, fault.Entity, "resource type must be ROOM or EQUIPMENT")
	}
	return checkText("the description", r.Description, descriptionLimit)
}

// resourcesHere returns an Unsupported fault while the organisation works together with an Exchange server: then resources are that
// server's.
func (o *Organization) resourcesHere() error {
	if o.Interoperability {
		return fault.New(fault.Unsupported, fault.Entity, "organization %s has interoperability enabled: its resources are managed in Exchange", o.ID)
	}
	return nil
}

// DescribeResource returns a resource by id, address or name, in whatever state.
func (s *Service) DescribeResource(ctx context.Context, p principal.Principal, org OrgID, ident string) (*Resource, error) {
	var r *Resource
	err := s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) (err error) {
		if err := o.resourcesHere(); err != nil {
			return err
		}
		e, err := s.ResolveTx(ctx, tx, o, ident, Narrow{Kind: KindResource})
		if err != nil {
			return err
		}
		r, err = s.ResourceTx(ctx, tx, e)
		return err
	})
	return r, err
}

const (
	resourceColumns = `resource_type, description, auto_accept, auto_decline_recurring, auto_decline_conflicting`
	// prefixedResourceColumns are the same of the table with the alias e, to stand behind other columns.
	prefixedResourceColumns = `, e.resource_type, e.description, e.auto_accept, e.auto_decline_recurring, e.auto_decline_conflicting`
)

// ResourceTx reads the rest of a resource.
func (s *Service) ResourceTx(ctx context.Context, tx *db.Tx, e *Entity) (*Resource, error) {
	r := &Resource{Entity: *e}
	err := tx.QueryRow(ctx, `SELECT `+resourceColumns+` FROM entity WHERE key = $1`, e.Key).Scan(r.targets()...)
	if err != nil {
		return nil, fmt.Errorf("read resource %s: %w", e.ID, err)
	}
	return r, nil
}

// targets are where resourceColumns are scanned to.
func (r *Resource) targets() []any {
	return []any{&r.Type, &r.Description, &r.Booking.AutoAccept, &r.Booking.AutoDeclineRecurring, &r.Booking.AutoDeclineConflicting}
}

const updateResource = `UPDATE entity SET name = COALESCE($2, name), name_key = COALESCE($3, name_key),
	resource_type = COALESCE($4, resource_type), description = COALESCE($5, description), hidden = COALESCE($6, hidden),
	auto_accept = COALESCE($7, auto_accept), auto_decline_recurring = COALESCE($8, auto_decline_recurring),
	auto_decline_conflicting = COALESCE($9, auto_decline_conflicting)
	WHERE key = $1`

// UpdateResource changes a resource. Faults: Invalid, Reserved, NotFound and State (Entity), Exists (Entity) for a taken
// name, BadConfiguration when automatic answers would be turned off while there is no delegate to answer, and those of the
// external directory.
func (s *Service) UpdateResource(ctx context.Context, p principal.Principal, org OrgID, ident string, c ResourceChange) error {
	if err := checkResourceChange(c); err != nil {
		return s.GateFirst(ctx, org, err)
	}
	how := Narrow{Kind: KindResource}
	check := func(ctx context.Context, tx *db.Tx, o *Organization, e *Entity) error {
		return mayUpdateResourceTx(ctx, tx, o, e, c)
	}
	err := s.outside(ctx, org, ident, how, check, func(d Directory, e Entry) error { return d.UpdateResource(ctx, e, c) })
	if err != nil {
		return err
	}
	return s.Change(ctx, p, org, "UpdateResource", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		e, err := s.ResolveTx(ctx, tx, o, ident, how)
		if err != nil {
			return "", err
		}
		if e, err = s.lockLivingTx(ctx, tx, e); err != nil {
			return "", err
		}
		if err := mayUpdateResourceTx(ctx, tx, o, e, c); err != nil {
			return "", err
		}
		return string(e.ID), updateResourceTx(ctx, tx, e, c)
	})
}

func mayUpdateResourceTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, c ResourceChange) error {
	if c.Name != nil {
		if err := nameIsFreeTx(ctx, tx, o, e, *c.Name); err != nil {
			return err
		}
	}
	if c.Booking != nil && !c.Booking.AutoAccept {
		return needsDelegateTx(ctx, tx, e)
	}
	return nil
}

func checkResourceChange(c ResourceChange) error {
	if c.Name != nil {
		if err := checkUserName(*c.Name, "resource", resourceNameLimit); err != nil {
			return err
		}
	}
	if c.Type != nil && *c.Type != Room && *c.Type != Equipment {
		return fault.New(fault.Invalid, fault.Entity, "resource type must be ROOM or EQUIPMENT")
	}
	if c.Description != nil {
		return checkText("the description", *c.Description, descriptionLimit)
	}
	return nil
}

func updateResourceTx(ctx context.Context, tx *db.Tx, e *Entity, c ResourceChange) error {
	var (
		nameKey                       *string
		kind                          *int64
		accept, recurring, conflicing *bool
	)
	if c.Name != nil {
		key := Fold(*c.Name)
		nameKey = &key
	}
	if c.Type != nil {
		k := int64(*c.Type)
		kind = &k
	}
	if b := c.Booking; b != nil {
		accept, recurring, conflicing = &b.AutoAccept, &b.AutoDeclineRecurring, &b.AutoDeclineConflicting
	}
	_, err := tx.Exec(ctx, updateResource, e.Key, c.Name, nameKey, kind, c.Description, c.Hidden, accept, recurring, conflicing)
	if db.IsUnique(err) { // somebody else took the name since it was looked up
		return nameTaken(*c.Name)
	}
	if err != nil {
		return fmt.Errorf("update resource %s: %w", e.ID, err)
	}
	return nil
}

// nameIsFreeTx returns an Exists fault when another entity than e has the name.
func nameIsFreeTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, name string) error {
	holder, err := scanEntity(tx.QueryRow(ctx, entityByName, o.Key, Fold(name)))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("find entity: %w", err)
	case holder.Key != e.Key:
		return nameTaken(name)
	}
	return nil
}
