package directory

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

const racers = 16

// raceFor runs do in 16 goroutines and returns how many succeeded; the others must fail with the fault.
func (f *fixture) raceFor(kind fault.Kind, subject fault.Subject, do func(i int) error) (won int) {
	f.t.Helper()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	for i := range racers {
		group.Go(func() {
			err := do(i)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !fault.Is(err, kind, subject):
				f.t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	group.Wait()
	return won
}

func TestOneName(t *testing.T) {
	onBoth(t, func(f *fixture) {
		won := f.raceFor(fault.Exists, fault.Entity, func(i int) (err error) {
			switch i % 3 {
			case 0:
				_, err = f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "Prize"})
			case 1:
				_, err = f.CreateGroup(f.ctx, admin, f.org.ID, NewGroup{Name: "prize"})
			case 2:
				_, err = f.CreateResource(f.ctx, admin, f.org.ID, NewResource{Name: "PRIZE", Type: Room})
			}
			return err
		})
		if won != 1 {
			f.t.Errorf("%d took one name", won)
		}
	})
}

func TestOneNameByRenaming(t *testing.T) {
	onBoth(t, func(f *fixture) {
		for i := range racers {
			f.resource(fmt.Sprint("r", i))
		}
		won := f.raceFor(fault.Exists, fault.Entity, func(i int) error {
			return f.UpdateResource(f.ctx, admin, f.org.ID, fmt.Sprint("r", i), ResourceChange{Name: ptr("prize")})
		})
		if won != 1 {
			f.t.Errorf("%d took one name", won)
		}
	})
}

func TestOneAddress(t *testing.T) {
	onBoth(t, func(f *fixture) {
		var ids []EntityID
		for i := range racers {
			ids = append(ids, f.enabled(fmt.Sprint("u", i)))
		}
		won := f.raceFor(fault.Exists, fault.Address, func(i int) error {
			return f.CreateAlias(f.ctx, admin, f.org.ID, ids[i], "prize@acme.awsapps.com")
		})
		if won != 1 {
			f.t.Errorf("%d took one address", won)
		}
	})
}

func TestLimitsHoldUnderRaces(t *testing.T) {
	onBothWith(t, Config{Limits: Limits{Aliases: 5, Users: 3, Domains: 4, Organizations: 4}}, func(f *fixture) {
		ann := f.enabled("ann")
		if won := f.raceFor(fault.Limit, fault.Address, func(i int) error {
			return f.CreateAlias(f.ctx, admin, f.org.ID, ann, fmt.Sprintf("a%d@acme.awsapps.com", i))
		}); won != 5 {
			f.t.Errorf("%d aliases, want 5", won)
		}
		if won := f.raceFor(fault.Invalid, fault.Entity, func(i int) error {
			_, err := f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: fmt.Sprint("u", i)})
			return err
		}); won != 2 {
			f.t.Errorf("%d more users, want 2", won)
		}
		if won := f.raceFor(fault.Limit, fault.Domain, func(i int) error {
			return f.RegisterDomain(f.ctx, admin, f.org.ID, fmt.Sprintf("d%d.example", i), "")
		}); won != 3 {
			f.t.Errorf("%d more domains, want 3", won)
		}
		if won := f.raceFor(fault.Limit, fault.Organization, func(i int) error {
			return f.db.Write(f.ctx, func(ctx context.Context, tx *db.Tx) error {
				_, err := f.InsertOrganizationTx(ctx, tx, NewOrganization{Alias: fmt.Sprint("o", i)})
				return err
			})
		}); won != 3 {
			f.t.Errorf("%d more organisations, want 3", won)
		}
	})
}

// TestOneToken repeats one request at once, as a client does that gave up waiting.
func TestOneToken(t *testing.T) {
	onBoth(t, func(f *fixture) {
		runs := make(chan struct{}, 10*racers)
		won := f.raceFor(fault.Invalid, fault.Token, func(int) error {
			return f.db.Write(f.ctx, func(ctx context.Context, tx *db.Tx) error {
				answer, err := f.OnceTx(ctx, tx, Once{Scope: "s", Token: "t", Input: []byte("in")}, func() (string, error) {
					tx.OnCommit(func() { runs <- struct{}{} })
					return "done", nil
				})
				if err == nil && answer != "done" {
					f.t.Errorf("answered %q", answer)
				}
				return err
			})
		})
		if len(runs) != 1 || won != racers {
			f.t.Errorf("carried out %d times for %d of %d", len(runs), won, racers)
		}
	})
}
