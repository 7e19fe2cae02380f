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

const (
	insertDelegate = `INSERT INTO delegate (resource, delegate) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	deleteDelegate = `DELETE FROM delegate WHERE resource = $1 AND delegate = $2`
	anyDelegate    = `SELECT 1 FROM delegate d JOIN entity e ON e.key = d.delegate
		WHERE d.resource = $1 AND e.state <> 3 LIMIT 1`
	listDelegates = `SELECT e.key, e.id, e.kind FROM delegate d JOIN entity e ON e.key = d.delegate
		WHERE d.resource = $1 AND d.delegate > $2 AND e.state <> 3 ORDER BY d.delegate LIMIT $3`
)

// AddDelegate makes a user or group a delegate of a resource. A repetition changes nothing. Faults: NotFound (Entity) for
// either, State (Entity) when one of them is deleted, Invalid for a delegate that is a resource.
func (s *Service) AddDelegate(ctx context.Context, p principal.Principal, org OrgID, resource, ident string) error {
	return s.Change(ctx, p, org, "AssociateDelegateToResource", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return s.SetDelegateTx(ctx, tx, o, resource, ident, true)
	})
}

// RemoveDelegate ends a delegation. One that does not exist is no error. Faults: NotFound (Entity) for either, State (Entity)
// when one of them is deleted, or when the last delegate would go while the resource does not answer by itself.
func (s *Service) RemoveDelegate(ctx context.Context, p principal.Principal, org OrgID, resource, ident string) error {
	return s.Change(ctx, p, org, "DisassociateDelegateFromResource", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return s.SetDelegateTx(ctx, tx, o, resource, ident, false)
	})
}

// SetDelegateTx is AddDelegate or, unless it is to be one, RemoveDelegate, in a transaction. It returns the resource's id.
func (s *Service) SetDelegateTx(ctx context.Context, tx *db.Tx, o *Organization, resource, ident string, is bool) (string, error) {
	if err := o.resourcesHere(); err != nil {
		return "", err
	}
	r, err := s.ResolveTx(ctx, tx, o, resource, Narrow{Kind: KindResource})
	if err != nil {
		return "", err
	}
	d, err := s.ResolveTx(ctx, tx, o, ident, Narrow{})
	if err != nil {
		return "", err
	}
	if r, d, err = s.lockPairTx(ctx, tx, r, d); err != nil {
		return "", err
	}
	if is {
		return string(r.ID), addDelegateTx(ctx, tx, r, d)
	}
	return string(r.ID), s.removeDelegateTx(ctx, tx, r, d)
}

func addDelegateTx(ctx context.Context, tx *db.Tx, r, d *Entity) error {
	if d.Kind == KindResource {
		return fault.New(fault.Invalid, fault.Entity, "resource %s can't be a delegate; only users and groups can", d.ID)
	}
	_, err := tx.Exec(ctx, insertDelegate, r.Key, d.Key)
	return err
}

func (s *Service) removeDelegateTx(ctx context.Context, tx *db.Tx, r, d *Entity) error {
	if _, err := tx.Exec(ctx, deleteDelegate, r.Key, d.Key); err != nil {
		return err
	}
	booking, err := s.ResourceTx(ctx, tx, r)
	if err != nil || booking.Booking.AutoAccept {
		return err
	}
	if err := needsDelegateTx(ctx, tx, r); fault.KindOf(err) != fault.BadConfiguration {
		return err
	}
	return fault.New(fault.State, fault.Entity,
		"resource %s does not answer requests by itself and %s is its last delegate; turn AutoAcceptRequests on or add another delegate first", r.ID, d.ID)
}

// needsDelegateTx returns a BadConfiguration fault when the resource has no delegate.
func needsDelegateTx(ctx context.Context, tx *db.Tx, r *Entity) error {
	var one int
	err := tx.QueryRow(ctx, anyDelegate, r.Key).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.BadConfiguration, fault.Entity,
			"resource %s has no delegate who could answer requests; add one before AutoAcceptRequests is turned off", r.ID)
	}
	return err
}

// ListDelegates lists the delegates of a resource in the order of their creation. Faults: NotFound (Entity), State (Entity)
// for a deleted resource, Invalid (Token).
func (s *Service) ListDelegates(ctx context.Context, p principal.Principal, org OrgID, resource string, page Page) (delegates []Delegate, next string, err error) {
	after, err := keyCursor(page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	var keys []int64
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		if err := o.resourcesHere(); err != nil {
			return err
		}
		r, err := s.ResolveTx(ctx, tx, o, resource, Narrow{Kind: KindResource})
		if err != nil {
			return err
		}
		if err := r.living(); err != nil {
			return err
		}
		delegates, keys = nil, nil
		err = tx.Each(ctx, func(row db.Row) error {
			var (
				key int64
				d   Delegate
			)
			if err := row.Scan(&key, &d.ID, &d.Kind); err != nil {
				return err
			}
			delegates, keys = append(delegates, d), append(keys, key)
			return nil
		}, listDelegates, r.Key, after, page.limit()+1)
		if err != nil {
			return fmt.Errorf("list delegates of %s: %w", r.ID, err)
		}
		return nil
	})
	if len(delegates) > page.limit() {
		delegates, next = delegates[:page.limit()], keyCursorOf(keys[page.limit()-1])
	}
	return delegates, next, err
}
