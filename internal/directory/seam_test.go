package directory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// elsewhere is an external directory: names of 20 characters, ids of its own, and a fault for whatever it is asked when one
// is set.
type elsewhere struct {
	fault   error
	entries map[EntityID]string
	calls   []string
	secrets map[EntityID]string
}

func newElsewhere() *elsewhere {
	return &elsewhere{entries: map[EntityID]string{}, secrets: map[EntityID]string{}}
}

func (d *elsewhere) said(what string) error { d.calls = append(d.calls, what); return d.fault }

func (d *elsewhere) Type() string   { return "ADConnector" }
func (d *elsewhere) NameLimit() int { return 20 }

func (d *elsewhere) Create(_ context.Context, e NewEntry) (EntityID, string, error) {
	if err := d.said("create"); err != nil {
		return "", "", err
	}
	id := EntityID("S-1-1-12-" + e.name())
	d.entries[id] = e.name()
	if e.User.Password != nil {
		d.secrets[id] = *e.User.Password
	}
	return id, "", nil
}

func (d *elsewhere) Delete(_ context.Context, e Entry) error {
	delete(d.entries, e.ID)
	return d.said("delete")
}

func (d *elsewhere) UpdateUser(context.Context, Entry, UserChange) error {
	return d.said("update user")
}

func (d *elsewhere) UpdateResource(context.Context, Entry, ResourceChange) error {
	return d.said("update resource")
}

func (d *elsewhere) SetAddress(_ context.Context, _ Entry, address string) error {
	return d.said("address " + address)
}

func (d *elsewhere) SetMember(_ context.Context, group, member Entry, is bool) error {
	return d.said("member " + group.Name + " " + member.Name)
}

func (d *elsewhere) SetPassword(_ context.Context, e Entry, password string) (string, error) {
	if err := d.said("password"); err != nil {
		return "", err
	}
	d.secrets[e.ID] = password
	return "", nil
}

func (d *elsewhere) VerifyPassword(_ context.Context, e Entry, _, password string) (bool, string, error) {
	return d.secrets[e.ID] == password && password != "", "", d.said("verify")
}
func (d *elsewhere) Waste(context.Context, string) error { return nil }

const externalID = "d-0000000001"

// TestCreateUserFaults reaches each of the nine exceptions of CreateUser, the directory's three through a directory that
// fails.
func TestCreateUserFaults(t *testing.T) {
	d := newElsewhere()
	onBothWith(t, Config{External: map[string]Directory{externalID: d}}, func(f *fixture) {
		d.fault = nil
		f.user("taken")
		abroad := f.organizationIn("abroad", externalID)
		closed := f.organization("closed")
		f.setState(closed, OrgDeleting)
		ok := NewUser{Name: "ann", Password: ptr("examplePa$$w0rd")}
		for exception, c := range map[string]struct {
			directory error
			org       OrgID
			user      NewUser
			kind      fault.Kind
			subject   fault.Subject
		}{
			"DirectoryServiceAuthenticationFailed": {fault.New(fault.DirectoryRefusedUs, fault.Directory, "bind refused"), abroad.ID, ok, fault.DirectoryRefusedUs, fault.Directory},
			"DirectoryUnavailable":                 {fault.New(fault.DirectoryDown, fault.Directory, "no answer"), abroad.ID, ok, fault.DirectoryDown, fault.Directory},
			"UnsupportedOperation":                 {fault.New(fault.Unsupported, fault.Directory, "read-only"), abroad.ID, ok, fault.Unsupported, fault.Directory},
			"InvalidParameter":                     {nil, abroad.ID, NewUser{Name: strings.Repeat("a", 21)}, fault.Invalid, fault.Entity},
			"InvalidPassword":                      {nil, f.org.ID, NewUser{Name: "ann", Password: ptr("weak")}, fault.BadPassword, fault.Entity},
			"NameAvailability":                     {nil, f.org.ID, NewUser{Name: "Taken"}, fault.Exists, fault.Entity},
			"OrganizationNotFound":                 {nil, unknownOrg, ok, fault.NotFound, fault.Organization},
			"OrganizationState":                    {nil, closed.ID, ok, fault.State, fault.Organization},
			"ReservedName":                         {nil, f.org.ID, NewUser{Name: "krbtgt"}, fault.Reserved, fault.Entity},
		} {
			d.fault = c.directory
			if _, err := f.CreateUser(f.ctx, admin, c.org, c.user); !fault.Is(err, c.kind, c.subject) {
				f.t.Errorf("%s: %v", exception, err)
			}
		}
	})
}

func TestExternalDirectory(t *testing.T) {
	d := newElsewhere()
	onBothWith(t, Config{External: map[string]Directory{externalID: d}}, func(f *fixture) {
		*d = *newElsewhere()
		f.org = f.organizationIn("abroad", externalID)
		o := must(f.DescribeOrganization(f.ctx, admin, f.org.ID))(f.t)
		if o.DirectoryID != externalID || o.DirectoryType != "ADConnector" {
			f.t.Errorf("described as %+v", o)
		}
		ann := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "ann", Password: ptr("examplePa$$w0rd")}))(f.t)
		if ann != "S-1-1-12-ann" {
			f.t.Errorf("id %s", ann)
		}
		f.read(func(ctx context.Context, tx *db.Tx) error {
			var kept int
			err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM password`).Scan(&kept)
			if kept != 0 {
				f.t.Error("the password of an external directory is kept here")
			}
			return err
		})
		_, err := f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "ANN"})
		f.wantFault(err, fault.Exists, fault.Entity)
		f.group("all")
		f.resource("room")
		f.enable(ann, "ann@abroad.awsapps.com")
		f.verify("ann", "examplePa$$w0rd", true)
		f.verify("ann", "wrong", false)
		d.calls = nil
		f.ok(f.UpdateUser(f.ctx, admin, f.org.ID, "ann", UserChange{City: ptr("Ulm")}))
		f.ok(f.UpdateResource(f.ctx, admin, f.org.ID, "room", ResourceChange{}))
		f.ok(f.AddMember(f.ctx, admin, f.org.ID, "all", "ann"))
		f.ok(f.SetPrimaryAddress(f.ctx, admin, f.org.ID, "ann", "a@abroad.awsapps.com"))
		f.ok(f.SetPassword(f.ctx, admin, f.org.ID, "ann", "TestTest1234!", Narrow{}))
		f.ok(f.SetAddressOutside(f.ctx, f.org.ID, "ann", Narrow{}, "x", nil))
		want := []string{"update user", "update resource", "member all ann", "address a@abroad.awsapps.com", "password", "address x"}
		if !slices.Equal(d.calls, want) {
			f.t.Errorf("the directory was asked %q, want %q", d.calls, want)
		}
		f.wantFault(f.DeleteOutside(f.ctx, f.org.ID, "ann", Narrow{}, KindUser), fault.State, fault.Entity)
		f.wantFault(f.DeleteOutside(f.ctx, f.org.ID, "all", Narrow{}, KindUser), fault.Invalid, fault.Entity)
		f.ok(f.DeleteOutside(f.ctx, f.org.ID, "all", Narrow{}, KindGroup))

		d.fault = fault.New(fault.Unsupported, fault.Directory, "read-only")
		for what, err := range map[string]error{
			"update user":   f.UpdateUser(f.ctx, admin, f.org.ID, "ann", UserChange{City: ptr("Bonn")}),
			"add member":    f.AddMember(f.ctx, admin, f.org.ID, "all", "ann"),
			"remove member": f.RemoveMember(f.ctx, admin, f.org.ID, "all", "ann"),
			"set address":   f.SetPrimaryAddress(f.ctx, admin, f.org.ID, "ann", "b@abroad.awsapps.com"),
			"set password":  f.SetPassword(f.ctx, admin, f.org.ID, "ann", "OtherTest1234!", Narrow{}),
		} {
			if !fault.Is(err, fault.Unsupported, fault.Directory) {
				f.t.Errorf("%s: %v", what, err)
			}
		}
		if u := must(f.DescribeUser(f.ctx, admin, f.org.ID, "ann"))(f.t); u.City != "Ulm" || u.Email != "a@abroad.awsapps.com" {
			f.t.Errorf("changed though the directory refused: %+v", u)
		}
		if _, err := f.DescribeUser(f.ctx, admin, f.org.ID, "ann"); err != nil {
			f.t.Errorf("reading needs the directory: %v", err)
		}
	})
}

// TestExternalUndo makes the transaction behind an external creation fail: the entry must not stay.
func TestExternalUndo(t *testing.T) {
	d := newElsewhere()
	onBothWith(t, Config{External: map[string]Directory{externalID: d}, Limits: Limits{Users: 1}}, func(f *fixture) {
		*d = *newElsewhere()
		f.org = f.organizationIn("abroad", externalID)
		f.user("first")
		_, err := f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "second"})
		f.wantFault(err, fault.Invalid, fault.Entity)
		if got := slices.Collect(maps.Values(d.entries)); !slices.Equal(got, []string{"first"}) {
			f.t.Errorf("entries %q", got)
		}
		d.fault = errors.New("broken pipe")
		if _, err := f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "third"}); fault.As(err) != nil || err == nil {
			f.t.Errorf("an internal error became %v", err)
		}
	})
}

func TestDirectoryThatIsNotConfigured(t *testing.T) {
	onBothWith(t, Config{External: map[string]Directory{externalID: newElsewhere()}}, func(f *fixture) {
		f.org = f.organizationIn("abroad", externalID)
		f.Service = New(Config{DB: f.db, Audit: f.audit, Clock: f.clock, Feed: f.feed, External: map[string]Directory{"d-other": newElsewhere()}})
		_, err := f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "ann"})
		f.wantFault(err, fault.DirectoryDown, fault.Directory)
	})
}
