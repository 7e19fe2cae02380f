package directory

import (
	"context"
	"errors"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// TestRememberedOrganizationsAreNeverStale changes an organisation that readers and the writer have in memory.
func TestRememberedOrganizationsAreNeverStale(t *testing.T) {
	onBoth(t, func(f *fixture) {
		inactive := func(what string, err error) {
			f.t.Helper()
			if !fault.Is(err, fault.State, fault.Organization) {
				f.t.Errorf("%s: %v, want the organization's state", what, err)
			}
		}
		view := func() error {
			return f.View(f.ctx, admin, f.org.ID, func(context.Context, *db.Tx, *Organization) error { return nil })
		}
		gate := func(ctx context.Context, tx *db.Tx) error {
			_, err := f.GateTx(ctx, tx, f.org.ID)
			return err
		}
		remember := func() {
			f.t.Helper()
			f.ok(view())
			f.write(gate)
			f.ok(view())
			f.write(gate)
		}
		deleting := func(ctx context.Context, tx *db.Tx) error {
			_, err := f.SetStateTx(ctx, tx, f.org, OrgActive, OrgDeleting, "")
			return err
		}

		remember()
		undone := errors.New("undone")
		err := f.db.Write(f.ctx, func(ctx context.Context, tx *db.Tx) error {
			if err := deleting(ctx, tx); err != nil {
				return err
			}
			inactive("in the transaction that changes it", gate(ctx, tx))
			f.ok(beside(view)) // others still see what is committed
			return undone
		})
		if !errors.Is(err, undone) {
			f.t.Fatal(err)
		}
		remember() // what was undone is not remembered

		f.write(deleting)
		inactive("a reader afterwards", view())
		inactive("the writer afterwards", f.db.Write(f.ctx, gate))
	})
}

// beside runs fn in a goroutine of its own, as another caller would while a transaction is under way.
func beside(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	return <-done
}

// TestALoadThatAChangeOvertookIsNotKept holds a reader between its look-up and its answer.
func TestALoadThatAChangeOvertookIsNotKept(t *testing.T) {
	var m organizationMemory
	old := &Organization{ID: "m-1", State: OrgActive}
	_, generation := m.find("m-1")
	m.forget("m-1") // the change is committed
	m.keep(old, generation)
	if o, _ := m.find("m-1"); o != nil {
		t.Errorf("the old row %+v was kept", o)
	}
	_, generation = m.find("m-1")
	m.keep(old, generation)
	if o, _ := m.find("m-1"); o == nil || *o != *old {
		t.Errorf("found %+v", o)
	}
}
