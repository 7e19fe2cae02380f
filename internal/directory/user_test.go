package directory

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/principal"
)

func TestCreateUser(t *testing.T) {
	onBoth(t, func(f *fixture) {
		id := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{
			Name: "Ann.Lee", DisplayName: "Ann Lée", FirstName: "Ann", LastName: "Lée", Hidden: true,
			IdentityProviderUserID: "0123456789-AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE",
		}))(f.t)
		u := must(f.DescribeUser(f.ctx, admin, f.org.ID, string(id)))(f.t)
		if u.Name != "Ann.Lee" || u.DisplayName != "Ann Lée" || u.FirstName != "Ann" || u.LastName != "Lée" || !u.Hidden ||
			u.State != Disabled || u.Role != RoleUser || u.Email != "" || !u.Enabled.IsZero() || !u.Created.Equal(newYear) ||
			u.IdentityProviderUserID != "0123456789-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee" {
			f.t.Errorf("described as %+v", u)
		}
		if got := must(f.DescribeUser(f.ctx, admin, f.org.ID, "aNN.lEE"))(f.t); got.ID != id {
			f.t.Errorf("by name found %s", got.ID)
		}
		_, err := f.DescribeGroup(f.ctx, admin, f.org.ID, "ann.lee")
		f.wantFault(err, fault.NotFound, fault.Entity)

		records := must(f.audit.Read(f.ctx, audit.Query{Organization: string(f.org.ID)}))(f.t)
		if len(records) != 1 || records[0].Operation != "CreateUser" || records[0].Subject != string(id) ||
			records[0].Outcome != audit.Done || records[0].Actor.ID != admin.ID || records[0].Actor.RequestID != "req-1" {
			f.t.Errorf("audit trail %+v", records)
		}
	})
}

func TestCreateUserRefusals(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.user("taken")
		f.group("The Group")
		f.resource("room")
		for what, c := range map[string]struct {
			org     OrgID
			user    NewUser
			kind    fault.Kind
			subject fault.Subject
		}{
			"unknown organization first": {unknownOrg, NewUser{Name: "not valid"}, fault.NotFound, fault.Organization},
			"taken by a user":            {f.org.ID, NewUser{Name: "TAKEN"}, fault.Exists, fault.Entity},
			"taken by a resource":        {f.org.ID, NewUser{Name: "Room"}, fault.Exists, fault.Entity},
			"taken, with a password":     {f.org.ID, NewUser{Name: "Room", Password: ptr("examplePa$$w0rd")}, fault.Exists, fault.Entity},
			"invalid name":               {f.org.ID, NewUser{Name: "no blanks"}, fault.Invalid, fault.Entity},
			"reserved name":              {f.org.ID, NewUser{Name: "Guest"}, fault.Reserved, fault.Entity},
			"bad password":               {f.org.ID, NewUser{Name: "x", Password: ptr("short")}, fault.BadPassword, fault.Entity},
			"empty password":             {f.org.ID, NewUser{Name: "x", Password: ptr("")}, fault.BadPassword, fault.Entity},
			"system user":                {f.org.ID, NewUser{Name: "x", Role: RoleSystem}, fault.Invalid, fault.Entity},
			"resource role":              {f.org.ID, NewUser{Name: "x", Role: RoleShared}, fault.Invalid, fault.Entity},
			"NUL in the display name":    {f.org.ID, NewUser{Name: "x", DisplayName: "a\x00b"}, fault.Invalid, fault.Entity},
			"long first name":            {f.org.ID, NewUser{Name: "x", FirstName: strings.Repeat("é", 257)}, fault.Invalid, fault.Entity},
			"bad provider id":            {f.org.ID, NewUser{Name: "x", IdentityProviderUserID: "x"}, fault.Invalid, fault.Entity},
		} {
			_, err := f.CreateUser(f.ctx, admin, c.org, c.user)
			if !fault.Is(err, c.kind, c.subject) {
				f.t.Errorf("%s: %v", what, err)
			}
		}
		_, err := f.CreateGroup(f.ctx, admin, f.org.ID, NewGroup{Name: "taken"})
		f.wantFault(err, fault.Exists, fault.Entity)
		_, err = f.CreateResource(f.ctx, admin, f.org.ID, NewResource{Name: "taken", Type: Room})
		f.wantFault(err, fault.Exists, fault.Entity)
		_, err = f.CreateUser(f.ctx, principal.Principal{Kind: principal.User}, f.org.ID, NewUser{Name: "x"})
		f.wantFault(err, fault.Denied, fault.None)

		f.setState(f.org, OrgDeleting)
		_, err = f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "x"})
		f.wantFault(err, fault.State, fault.Organization)
		f.setState(f.org, OrgActive)
	})
}

func TestUserLimit(t *testing.T) {
	onBothWith(t, Config{Limits: Limits{Users: 2}}, func(f *fixture) {
		f.user("a")
		b := f.user("b")
		_, err := f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "c"})
		f.wantFault(err, fault.Invalid, fault.Entity)
		f.delete(b)
		f.user("c") // deleted ones do not count
	})
}

func TestUpdateUser(t *testing.T) {
	onBoth(t, func(f *fixture) {
		id := f.user("ann")
		f.ok(f.UpdateUser(f.ctx, admin, f.org.ID, "ANN", UserChange{
			DisplayName: ptr("Ann"), FirstName: ptr("A"), LastName: ptr("L"), Hidden: ptr(true), Initials: ptr("AL"),
			Telephone: ptr("+1-555-0100"), Street: ptr("Main"), JobTitle: ptr("Boss"), City: ptr("Ulm"), Company: ptr("Acme"),
			ZipCode: ptr("1"), Department: ptr("D"), Country: ptr("DE"), Office: ptr("9"), Role: ptr(RoleRemote),
			IdentityProviderUserID: ptr("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
		}))
		full := must(f.DescribeUser(f.ctx, admin, f.org.ID, string(id)))(f.t)
		want := Profile{"A", "L", "AL", "+1-555-0100", "Main", "Boss", "Ulm", "Acme", "1", "D", "DE", "9"}
		if full.Profile != want || full.DisplayName != "Ann" || !full.Hidden || full.Role != RoleRemote ||
			full.IdentityProviderUserID != "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee" {
			f.t.Errorf("updated to %+v", full)
		}
		f.ok(f.UpdateUser(f.ctx, admin, f.org.ID, string(id), UserChange{})) // absent changes nothing
		if same := must(f.DescribeUser(f.ctx, admin, f.org.ID, string(id)))(f.t); same.Profile != want || !same.Hidden {
			f.t.Errorf("nothing became %+v", same)
		}
		f.ok(f.UpdateUser(f.ctx, admin, f.org.ID, string(id), UserChange{ // empty clears
			City: ptr(""), DisplayName: ptr(""), IdentityProviderUserID: ptr(""), Hidden: ptr(false), Role: ptr(RoleUser),
		}))
		want.City = ""
		cleared := must(f.DescribeUser(f.ctx, admin, f.org.ID, string(id)))(f.t)
		if cleared.Profile != want || cleared.DisplayName != "" || cleared.IdentityProviderUserID != "" || cleared.Hidden || cleared.Role != RoleUser {
			f.t.Errorf("cleared to %+v", cleared)
		}

		f.wantFault(f.UpdateUser(f.ctx, admin, f.org.ID, "nobody", UserChange{}), fault.NotFound, fault.Entity)
		f.wantFault(f.UpdateUser(f.ctx, admin, f.org.ID, "ann", UserChange{Role: ptr(RoleSystem)}), fault.Invalid, fault.Entity)
		f.wantFault(f.UpdateUser(f.ctx, admin, f.org.ID, "ann", UserChange{Office: ptr("\x00")}), fault.Invalid, fault.Entity)
		f.wantFault(f.UpdateUser(f.ctx, admin, unknownOrg, "ann", UserChange{Office: ptr("\x00")}), fault.NotFound, fault.Organization)
		f.enable(id, "ann@acme.awsapps.com")
		f.wantFault(f.UpdateUser(f.ctx, admin, f.org.ID, "ann", UserChange{Role: ptr(RoleRemote)}), fault.State, fault.Entity)
		f.ok(f.UpdateUser(f.ctx, admin, f.org.ID, "ann@acme.awsapps.com", UserChange{Role: ptr(RoleUser), City: ptr("Bonn")}))
		f.disable(id)
		f.delete(id)
		f.wantFault(f.UpdateUser(f.ctx, admin, f.org.ID, string(id), UserChange{City: ptr("x")}), fault.State, fault.Entity)
	})
}

func TestPassword(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const first, second = "examplePa$$w0rd", "TestTest1234!"
		id := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "ann", Password: ptr(first)}))(f.t)
		f.enable(id, "ann@acme.awsapps.com")
		f.verify("ann@acme.awsapps.com", first, true)
		f.verify("ann@acme.awsapps.com", second, false)

		listener := f.feed.Listen(feed.Topic{Kind: "user", Key: string(f.org.ID) + "/" + string(id)})
		defer listener.Close()
		f.ok(f.SetPassword(f.ctx, admin, f.org.ID, string(id), second, Narrow{IDOnly: true}))
		select {
		case <-listener.C:
		default:
			f.t.Error("nobody heard of the new password")
		}
		f.verify("ann@acme.awsapps.com", first, false)
		f.verify(`acme\ANN`, second, true)
		if ok := must(f.VerifySignIn(f.ctx, SignIn{}, second))(f.t); ok {
			f.t.Error("nobody signed in")
		}

		f.wantFault(f.SetPassword(f.ctx, admin, f.org.ID, string(id), "short", Narrow{}), fault.BadPassword, fault.Entity)
		f.wantFault(f.SetPassword(f.ctx, admin, f.org.ID, "ann", second, Narrow{IDOnly: true}), fault.NotFound, fault.Entity)
		f.wantFault(f.SetPassword(f.ctx, admin, f.org.ID, "\x00\xff long enough", second, Narrow{IDOnly: true}), fault.NotFound, fault.Entity)
		remote := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "far", Role: RoleRemote}))(f.t)
		f.wantFault(f.SetPassword(f.ctx, admin, f.org.ID, string(remote), second, Narrow{}), fault.State, fault.Entity)
		f.disable(id)
		f.delete(id)
		f.wantFault(f.SetPassword(f.ctx, admin, f.org.ID, string(id), second, Narrow{}), fault.State, fault.Entity)
	})
}

// TestEveryTryCostsAHash has the queue for hashes full, so that whoever needs one is told to come back: a try that doesn't would be
// quicker, and tell that nobody has the name, or that the user has no password.
func TestEveryTryCostsAHash(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.user("bare")
		must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "ann", Password: ptr("examplePa$$w0rd")}))(f.t)
		ann, bare := must(f.SignInByName(f.ctx, `acme\ann`))(f.t), must(f.SignInByName(f.ctx, `acme\bare`))(f.t)
		f.own.hasher.waiting.Add(runningHashes + waitingHashes)
		for what, who := range map[string]SignIn{"unknown": {}, "without a password": bare, "known": ann} {
			for _, password := range []string{"examplePa$$w0rd", "wrong", ""} {
				if _, err := f.VerifySignIn(f.ctx, who, password); fault.KindOf(err) != fault.Temporary {
					f.t.Errorf("%s, %q: no hash, %v", what, password, err)
				}
			}
		}
	})
}

// verify fails the test unless the password is (or is not) that of the sign-in name.
func (f *fixture) verify(name, password string, want bool) {
	f.t.Helper()
	who := must(f.SignInByName(f.ctx, name))(f.t)
	if ok := must(f.VerifySignIn(f.ctx, who, password))(f.t); ok != want {
		f.t.Errorf("%s with %q: %t", name, password, ok)
	}
}

func TestPasswordIsRenewedAtNewCost(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const password = "examplePa$$w0rd"
		id := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "ann", Password: ptr(password)}))(f.t)
		f.enable(id, "ann@acme.awsapps.com")
		before := must(f.SignInByName(f.ctx, "ann"))(f.t)
		f.own.hasher = NewHasher(HashCost{Passes: 3})
		f.verify("ann", password, true)
		after := must(f.SignInByName(f.ctx, "ann"))(f.t)
		if !strings.Contains(after.secret, "t=3,") || after.PasswordVersion != before.PasswordVersion {
			f.t.Errorf("kept as %s, version %d", after.secret, after.PasswordVersion)
		}
		f.verify("ann", password, true)
	})
}
