package directory

import (
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

// TestForeignIdentifiers hands every verb ids, names and addresses of another organisation: each must answer as for unknown
// ones.
func TestForeignIdentifiers(t *testing.T) {
	onBoth(t, func(f *fixture) {
		home := f.org
		f.org = f.organization("other")
		user, group, resource := f.user("xuser"), f.group("xgroup"), f.resource("xroom")
		f.enable(user, "xuser@other.awsapps.com")
		f.ok(f.AddMember(f.ctx, admin, f.org.ID, "xgroup", "xuser"))
		f.org = home
		f.group("g")
		f.resource("r")
		o := home.ID
		for _, ident := range []string{string(user), string(group), string(resource), "xuser", "xgroup", "xroom", "xuser@other.awsapps.com"} {
			_, describeUser := f.DescribeUser(f.ctx, admin, o, ident)
			_, describeGroup := f.DescribeGroup(f.ctx, admin, o, ident)
			_, describeResource := f.DescribeResource(f.ctx, admin, o, ident)
			_, describeEntity := f.DescribeEntity(f.ctx, admin, o, ident)
			_, _, members := f.ListMembers(f.ctx, admin, o, ident, Page{})
			_, _, groups := f.ListGroupsOf(f.ctx, admin, o, ident, "", Page{})
			_, _, delegates := f.ListDelegates(f.ctx, admin, o, ident, Page{})
			_, _, aliases := f.ListAliases(f.ctx, admin, o, EntityID(ident), Page{})
			for what, err := range map[string]error{
				"DescribeUser": describeUser, "DescribeGroup": describeGroup, "DescribeResource": describeResource,
				"DescribeEntity": describeEntity, "ListMembers": members, "ListGroupsOf": groups, "ListDelegates": delegates,
				"ListAliases":       aliases,
				"UpdateUser":        f.UpdateUser(f.ctx, admin, o, ident, UserChange{City: ptr("x")}),
				"UpdateGroup":       f.UpdateGroup(f.ctx, admin, o, ident, ptr(true)),
				"UpdateResource":    f.UpdateResource(f.ctx, admin, o, ident, ResourceChange{Hidden: ptr(true)}),
				"AddMember":         f.AddMember(f.ctx, admin, o, "g", ident),
				"AddMember to":      f.AddMember(f.ctx, admin, o, ident, "g"),
				"RemoveMember":      f.RemoveMember(f.ctx, admin, o, "g", ident),
				"AddDelegate":       f.AddDelegate(f.ctx, admin, o, "r", ident),
				"AddDelegate to":    f.AddDelegate(f.ctx, admin, o, ident, "g"),
				"RemoveDelegate":    f.RemoveDelegate(f.ctx, admin, o, "r", ident),
				"CreateAlias":       f.CreateAlias(f.ctx, admin, o, EntityID(ident), "x@acme.awsapps.com"),
				"DeleteAlias":       f.DeleteAlias(f.ctx, admin, o, EntityID(ident), "xuser@other.awsapps.com"),
				"SetPrimaryAddress": f.SetPrimaryAddress(f.ctx, admin, o, ident, "x@acme.awsapps.com"),
				"SetPassword":       f.SetPassword(f.ctx, admin, o, ident, "examplePa$$w0rd", Narrow{}),
			} {
				if !fault.Is(err, fault.NotFound, fault.Entity) {
					f.t.Errorf("%s of %s: %v", what, ident, err)
				}
			}
		}
		f.wantFault(f.CreateAlias(f.ctx, admin, o, f.enabled("ann"), "ann@other.awsapps.com"), fault.NotFound, fault.Domain)
		_, err := f.GetDomain(f.ctx, admin, o, "other.awsapps.com")
		f.wantFault(err, fault.NotFound, fault.Domain)
		f.wantFault(f.SetDefaultDomain(f.ctx, admin, o, "other.awsapps.com"), fault.NotFound, fault.Domain)
		f.ok(f.DeregisterDomain(f.ctx, admin, o, "other.awsapps.com"))
		if must(f.GetDomain(f.ctx, admin, must(f.SignInByName(f.ctx, `other\xuser`))(f.t).Organization, "other.awsapps.com"))(f.t) == nil {
			f.t.Error("another organisation's domain is gone")
		}
	})
}

// enabled makes a user with an address.
func (f *fixture) enabled(name string) EntityID {
	f.t.Helper()
	id := f.user(name)
	f.enable(id, name+"@acme.awsapps.com")
	return id
}
