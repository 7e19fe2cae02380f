package directory

import (
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

func TestCreateUser(t *testing.T) {
	onBoth(t, func(f *fixture) {
		id := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{
			Name: "Ann.Lee", DisplayName: "Ann Lée", FirstName: "Ann", LastName: "Lée", Hidden: true,
			IdentityProviderUserID: "0123456789-AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE",
		}))(t)
		u := must(f.DescribeUser(f.ctx, admin, f.org.ID, string(id)))(t)
		if u.Name != "Ann.Lee" || u.DisplayName != "Ann Lée" || u.FirstName != "Ann" || u.LastName != "Lée" || !u.Hidden ||
			u.State != Disabled || u.Role != RoleUser || u.Email != "" || !u.Enabled.IsZero() || !u.Created.Equal(newYear) ||
			u.IdentityProviderUserID != "0123456789-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee" {
			t.Errorf("described as %+v", u)
		}
		if got := must(f.DescribeUser(f.ctx, admin, f.org.ID, "aNN.lEE"))(t); got.ID != id {
			t.Errorf("by name found %s", got.ID)
		}
		_, err := f.DescribeGroup(f.ctx, admin, f.org.ID, "ann.lee")
		f.wantFault(err, fault.NotFound, fault.Entity)
	})
}
