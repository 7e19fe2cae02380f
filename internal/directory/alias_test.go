package directory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

func TestAliases(t *testing.T) {
	onBothWith(t, Config{Limits: Limits{Aliases: 3}}, func(f *fixture) {
		ann, ben := f.user("ann"), f.user("ben")
		f.enable(ann, "ann@acme.awsapps.com")
		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, "pending.example", ""))
		create := func(who EntityID, alias string) error { return f.CreateAlias(f.ctx, admin, f.org.ID, who, alias) }
		f.wantFault(create(ben, "b@acme.awsapps.com"), fault.State, fault.Entity)
		f.enable(ben, "ben@acme.awsapps.com")
		f.ok(create(ann, "Chief@ACME.awsapps.com"))
		f.ok(create(ann, "chief@acme.awsapps.com")) // its own already
		f.wantFault(create(ben, "CHIEF@acme.awsapps.com"), fault.Exists, fault.Address)
		f.wantFault(create(ben, "ANN@acme.awsapps.com"), fault.Exists, fault.Address)
		f.wantFault(create(ben, "b@pending.example"), fault.State, fault.Domain)
		f.wantFault(create(ben, "b@unknown.example"), fault.NotFound, fault.Domain)
		f.wantFault(create(ben, "not an address"), fault.Invalid, fault.Address)
		f.wantFault(create("ben", "b@acme.awsapps.com"), fault.NotFound, fault.Entity) // ids only
		f.wantFault(create(unknownID, "b@acme.awsapps.com"), fault.NotFound, fault.Entity)
		f.ok(create(ann, "a2@acme.awsapps.com"))
		f.ok(create(ann, "a3@acme.awsapps.com"))
		f.wantFault(create(ann, "a4@acme.awsapps.com"), fault.Limit, fault.Address)
		f.wantFault(f.SetPrimaryAddress(f.ctx, admin, f.org.ID, "ann", "a4@acme.awsapps.com"), fault.Limit, fault.Address)

		if got, want := f.aliases(ann), []string{"a2@acme.awsapps.com", "a3@acme.awsapps.com", "ann@acme.awsapps.com", "Chief@ACME.awsapps.com"}; !slices.Equal(got, want) {
			f.t.Errorf("addresses %v, want %v", got, want)
		}
		f.ok(f.SetPrimaryAddress(f.ctx, admin, f.org.ID, "ann", "CHIEF@acme.awsapps.com")) // a swap
		if u := must(f.DescribeUser(f.ctx, admin, f.org.ID, "chief@acme.awsapps.com"))(f.t); u.ID != ann || u.Email != "CHIEF@acme.awsapps.com" {
			f.t.Errorf("after the swap %+v", u)
		}
		remove := func(who EntityID, alias string) error { return f.DeleteAlias(f.ctx, admin, f.org.ID, who, alias) }
		f.wantFault(remove(ann, "chief@acme.awsapps.com"), fault.Invalid, fault.Address)
		f.ok(remove(ben, "a2@acme.awsapps.com")) // not ben's: nothing happens
		f.ok(remove(ann, "A2@acme.awsapps.com"))
		f.ok(remove(ann, "a2@acme.awsapps.com"))
		f.wantFault(remove(unknownID, "a2@acme.awsapps.com"), fault.NotFound, fault.Entity)
		if got, want := f.aliases(ann), []string{"a3@acme.awsapps.com", "ann@acme.awsapps.com", "CHIEF@acme.awsapps.com"}; !slices.Equal(got, want) {
			f.t.Errorf("addresses %v, want %v", got, want)
		}
		f.ok(f.SetPrimaryAddress(f.ctx, admin, f.org.ID, string(ann), "new@acme.awsapps.com"))
		f.wantFault(f.SetPrimaryAddress(f.ctx, admin, f.org.ID, "ann", "ben@acme.awsapps.com"), fault.Exists, fault.Address)

		e := must(f.DescribeEntity(f.ctx, admin, f.org.ID, "A3@acme.awsapps.com"))(f.t)
		if e.ID != ann || e.Kind != KindUser || e.Name != "ann" {
			f.t.Errorf("described as %+v", e)
		}
		for _, nobody := range []string{"a2@acme.awsapps.com", "ann", string(ann)} {
			_, err := f.DescribeEntity(f.ctx, admin, f.org.ID, nobody)
			f.wantFault(err, fault.NotFound, fault.Entity)
		}

		f.disable(ann)
		_, _, err := f.ListAliases(f.ctx, admin, f.org.ID, ann, Page{})
		f.wantFault(err, fault.State, fault.Entity)
		f.ok(create(ben, "a3@acme.awsapps.com")) // free while ann is disabled
		f.enable(ann, "ann@acme.awsapps.com")
		if got, want := f.aliases(ann), []string{"ann@acme.awsapps.com", "CHIEF@acme.awsapps.com", "new@acme.awsapps.com"}; !slices.Equal(got, want) {
			f.t.Errorf("addresses that came back %v, want %v", got, want)
		}
	})
}

// aliases pages through the addresses of an entity, two at a time.
func (f *fixture) aliases(id EntityID) (all []string) {
	f.t.Helper()
	for page := (Page{Limit: 2}); ; {
		addresses, next, err := f.ListAliases(f.ctx, admin, f.org.ID, id, page)
		f.ok(err)
		all = append(all, addresses...)
		if next == "" {
			return all
		}
		page.After = next
	}
}

func TestHundredAliases(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann := f.user("ann")
		f.enable(ann, "ann@acme.awsapps.com")
		for i := range 100 {
			f.ok(f.CreateAlias(f.ctx, admin, f.org.ID, ann, fmt.Sprintf("a%d@acme.awsapps.com", i)))
		}
		f.wantFault(f.CreateAlias(f.ctx, admin, f.org.ID, ann, "one.more@acme.awsapps.com"), fault.Limit, fault.Address)
		f.disable(ann)
		f.enable(ann, "ann@acme.awsapps.com")
		if got := len(f.aliases(ann)); got != 101 {
			f.t.Errorf("%d addresses came back, want 101", got)
		}
	})
}
