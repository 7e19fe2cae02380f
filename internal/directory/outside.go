package directory

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// What an external directory is to do before the transaction of a verb that package organization composes. For our own
// directory these do nothing and read nothing.

// SetAddressOutside makes address the entity's mail address in the external directory, if check accepts it.
func (s *Service) SetAddressOutside(ctx context.Context, org OrgID, ident string, how Narrow, address string, check checkFunc) error {
	return s.outside(ctx, org, ident, how, check, func(d Directory, e Entry) error { return d.SetAddress(ctx, e, address) })
}

// DeleteOutside removes the entity from the external directory, if it may be deleted.
func (s *Service) DeleteOutside(ctx context.Context, org OrgID, ident string, how Narrow, kind Kind) error {
	check := func(_ context.Context, _ *db.Tx, _ *Organization, e *Entity) error { return Deletable(e, kind) }
	return s.outside(ctx, org, ident, how, check, func(d Directory, e Entry) error { return d.Delete(ctx, e) })
}

// Deletable returns Invalid for an entity of another kind and State (Entity) for one that is enabled.
func Deletable(e *Entity, kind Kind) error {
	if e.Kind != kind {
		return fault.New(fault.Invalid, fault.Entity, "%s is a %s, not a %s", e.ID, e.Kind.word(), kind.word())
	}
	if e.State == Enabled {
		return fault.New(fault.State, fault.Entity, "%s %s is enabled; deregister it from WorkMail first", e.Kind.word(), e.ID)
	}
	return nil
}
