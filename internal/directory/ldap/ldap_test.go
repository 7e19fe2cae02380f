package ldap_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	ldaplib "github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/directory/ldap"
	"github.com/pennypost/pennypost/internal/fault"
)

// TestOpenLDAP plays the seam's part against slapd that tells changes as RFC 4533 says, TestPlainLDAP against one that does not,
// TestActiveDirectory against Samba's domain controller.
func TestOpenLDAP(t *testing.T)  { conform(t, openLDAP(t, false)) }
func TestPlainLDAP(t *testing.T) { conform(t, openLDAP(t, true)) }
func TestActiveDirectory(t *testing.T) {
	f := activeDirectory(t)
	conform(t, f)
	t.Run("built-ins", func(t *testing.T) { builtIns(t, f) })
	t.Run("primary groups", func(t *testing.T) { onBoth(t, f, nil, primaryGroups) })
}

func conform(t *testing.T, f flavour) {
	for name, part := range map[string]func(w *world){
		"created": created, "existing": existing, "members": members, "passwords": passwords, "removed there": removedThere,
		"barred there": barredThere, "renamed there": renamedThere, "hostile names": hostileNames, "undone": undone,
	} {
		t.Run(name, func(t *testing.T) { onBoth(t, f, nil, part) })
	}
	t.Run("read-only", func(t *testing.T) { onBoth(t, f, func(c *ldap.Config) { c.Writable = false }, readOnly) })
	t.Run("StartTLS", func(t *testing.T) {
		onBoth(t, f, func(c *ldap.Config) { c.URL = f.server.StartTLS }, func(w *world) {
			w.create("ann")
			w.register("ann")
			w.mayEnter("ann", password)
		})
	})
	t.Run("changes alone are told", func(t *testing.T) { incremental(t, f) })
	t.Run("refused", func(t *testing.T) { refused(t, f) })
	t.Run("down", func(t *testing.T) { onBoth(t, f, nil, down) })
}

// name is the attribute with a user's name.
func (w *world) name() string {
	if w.f.preset == "ad" {
		return "sAMAccountName"
	}
	return "uid"
}

func created(w *world) {
	ann := w.create("ann")
	e := w.there("(" + w.name() + "=ann)")
	if e == nil || e.GetAttributeValue("displayName") != "The ann" {
		w.t.Fatalf("in the directory is %+v", e)
	}
	u := w.user("ann")
	if u.ID != ann || u.State != directory.Disabled || u.Role != directory.RoleUser {
		w.t.Errorf("here is %+v", u)
	}
	if w.f.preset == "rfc" && e.GetAttributeValue("entryUUID") != string(ann) {
		w.t.Errorf("the id %s is not the directory's %s", ann, e.GetAttributeValue("entryUUID"))
	}
	w.mirror()
	if again := w.user("ann"); again.ID != ann || again.DisplayName != "The ann" {
		w.t.Errorf("after the mirror: %+v", again)
	}
	w.create(strings.Repeat("n", 20))
	_, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: strings.Repeat("n", 21)})
	w.wantFault(err, fault.Invalid, fault.Entity)
	w.addUser("unseen")
	_, err = w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "unseen"})
	w.wantFault(err, fault.Exists, fault.Entity)
	_, err = w.directory.CreateGroup(w.ctx, admin, w.org, directory.NewGroup{Name: "unseen"})
	w.wantFault(err, fault.Exists, fault.Entity)

	w.register("ann")
	if e := w.there("(" + w.name() + "=ann)"); e.GetAttributeValue("mail") != "ann@abroad.awsapps.com" {
		w.t.Errorf("the directory has the address %q", e.GetAttributeValue("mail"))
	}
	w.must(w.directory.UpdateUser(w.ctx, admin, w.org, "ann", directory.UserChange{City: ptr("Bonn"), LastName: ptr("Lee"), Hidden: ptr(true), Country: ptr("Peru")}))
	w.must(w.directory.UpdateUser(w.ctx, admin, w.org, "ann", directory.UserChange{LastName: ptr("")}))
	if e := w.there("(" + w.name() + "=ann)"); e.GetAttributeValue("l") != "Bonn" || e.GetAttributeValue("sn") == "Lee" {
		w.t.Errorf("the directory has %+v", e)
	}
	w.replace(w.there("("+w.name()+"=ann)").DN, "l", "Trier")
	w.mirror()
	if u := w.user("ann"); u.City != "Trier" || !u.Hidden || u.Country != "Peru" || u.State != directory.Enabled {
		w.t.Errorf("after a change there: %+v", u)
	}
	w.wantFault(w.DeleteUser(w.ctx, admin, w.org, "ann"), fault.State, fault.Entity)
	w.must(w.Deregister(w.ctx, admin, w.org, "ann"))
	w.must(w.DeleteUser(w.ctx, admin, w.org, "ann"))
	if e := w.there("(" + w.name() + "=ann)"); e != nil {
		w.t.Errorf("the directory still has %s", e.DN)
	}
	w.mirror()
	room, err := w.directory.CreateResource(w.ctx, admin, w.org, directory.NewResource{Name: "room", Type: directory.Room})
	w.must(err)
	w.must(w.Register(w.ctx, admin, w.org, string(room), "room@abroad.awsapps.com"))
	w.must(w.directory.UpdateResource(w.ctx, admin, w.org, "room", directory.ResourceChange{Description: ptr("large")}))
	if !strings.HasPrefix(string(room), "r-") || w.there("(cn=room)") != nil {
		w.t.Errorf("the resource %s is no business of the directory's", room)
	}
}

func existing(w *world) {
	hand := w.addUser("old.hand")
	veterans := w.addGroup("veterans", hand)
	w.addGroup("everybody", veterans)
	w.mirror()
	u := w.user("old.hand")
	if u.State != directory.Disabled || u.Email != "" || u.DisplayName != "The old.hand" || u.City != "Ulm" || u.Role != directory.RoleUser {
		w.t.Errorf("the user is %+v", u)
	}
	if got := w.members("veterans"); !slices.Equal(got, []string{"old.hand"}) {
		w.t.Errorf("veterans has %q", got)
	}
	if got := w.members("everybody"); !slices.Equal(got, []string{"veterans"}) {
		w.t.Errorf("everybody has %q", got)
	}
	w.mayNotEnter(`abroad\old.hand`, password)
	w.register("old.hand")
	w.mayEnter("old.hand@abroad.awsapps.com", password)
}

func members(w *world) {
	w.create("ann")
	w.create("bob")
	g, err := w.directory.CreateGroup(w.ctx, admin, w.org, directory.NewGroup{Name: "all hands"})
	w.must(err)
	w.must(w.directory.AddMember(w.ctx, admin, w.org, string(g), "ann"))
	w.must(w.directory.AddMember(w.ctx, admin, w.org, string(g), "ann"))
	w.must(w.directory.AddMember(w.ctx, admin, w.org, string(g), "bob"))
	ann := w.there("(" + w.name() + "=ann)").DN
	if e := w.there("(cn=all hands)"); !slices.Contains(e.GetAttributeValues("member"), ann) {
		w.t.Errorf("the directory has the members %q", e.GetAttributeValues("member"))
	}
	w.mirror()
	if got := w.members(string(g)); !slices.Equal(got, []string{"ann", "bob"}) {
		w.t.Errorf("members %q", got)
	}
	w.must(w.directory.RemoveMember(w.ctx, admin, w.org, string(g), "bob"))
	w.must(w.directory.RemoveMember(w.ctx, admin, w.org, string(g), "bob"))
	w.mirror()
	if got := w.members(string(g)); !slices.Equal(got, []string{"ann"}) {
		w.t.Errorf("members %q", got)
	}
	dn := w.there("(cn=all hands)").DN
	w.replace(dn, "member", w.there("("+w.name()+"=bob)").DN, w.addUser("carol"))
	w.mirror()
	if got := w.members(string(g)); !slices.Equal(got, []string{"bob", "carol"}) {
		w.t.Errorf("after a change there: members %q", got)
	}
	for _, name := range []string{"bob", "carol"} { // the last one too
		w.must(w.directory.RemoveMember(w.ctx, admin, w.org, string(g), name))
	}
	w.mirror()
	if got := w.members(string(g)); len(got) > 0 {
		w.t.Errorf("members %q", got)
	}
	w.must(w.DeleteGroup(w.ctx, admin, w.org, string(g)))
	if e := w.there("(cn=all hands)"); e != nil {
		w.t.Errorf("the directory still has %s", e.DN)
	}
}

func passwords(w *world) {
	ann := w.create("ann")
	w.register("ann")
	session := w.mayEnter("ann", password)
	w.mayNotEnter("ann", "wrong")
	w.mayNotEnter("ann", "")
	w.must(w.ResetPassword(w.ctx, admin, w.org, ann, other))
	<-session.Done()
	w.mayNotEnter("ann", password)
	w.mayEnter("ann", other)
	w.wantFault(w.ResetPassword(w.ctx, admin, w.org, ann, "weak"), fault.BadPassword, fault.Entity)
	if w.f.preset == "rfc" { // the directory's own policy, which is stricter
		w.wantFault(w.ResetPassword(w.ctx, admin, w.org, ann, "Short1!aA"), fault.BadPassword, fault.Entity)
		_, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "short", Password: ptr("Short1!aA")})
		w.wantFault(err, fault.BadPassword, fault.Entity)
		if w.there("(uid=short)") != nil {
			w.t.Error("the user whose password was refused stays in the directory")
		}
	}
	// Set there: the session ends when that is mirrored. Set by us, it ended at once and the mirror ends no other.
	w.mirror()
	session = w.mayEnter("ann", other)
	w.mirror()
	select {
	case <-session.Done():
		w.t.Error("a password that was reset here ended a session of the new one")
	default:
	}
	w.setPassword(w.there("("+w.name()+"=ann)").DN, password)
	w.mayNotEnter("ann", other)
	w.mirror()
	<-session.Done()
	w.mayEnter("ann", password)
	_, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "bob"})
	w.must(err)
	w.register("bob")
	w.mayNotEnter("bob", password)
	w.mayNotEnter("bob", "")
	w.must(w.ResetPassword(w.ctx, admin, w.org, w.user("bob").ID, password))
	w.mayEnter("bob", password)
}

func removedThere(w *world) {
	ann := w.create("ann")
	w.register("ann")
	w.mirror()
	session := w.mayEnter("ann", password)
	w.remove(w.there("(" + w.name() + "=ann)").DN)
	w.mayNotEnter("ann", password) // before anything was mirrored
	w.wantFault(w.directory.UpdateUser(w.ctx, admin, w.org, "ann", directory.UserChange{City: ptr("Ulm")}), fault.NotFound, fault.Entity)
	w.forgetComparison()
	w.mirror()
	<-session.Done()
	if u := w.user(string(ann)); u.State != directory.Deleted {
		w.t.Errorf("the user is %+v", u)
	}
	again := w.addUser("ann") // the name is free, and its holder another
	w.mirror()
	if u := w.user("ann"); u.ID == ann || u.State != directory.Disabled {
		w.t.Errorf("the new user is %+v", u)
	}
	// Gone and made anew between two looks: the old one holds the name until the directory is asked about it.
	w.remove(again)
	w.addUser("ann")
	before := w.user("ann").ID
	w.mirror()
	if u := w.user("ann"); u.ID == before || u.State != directory.Disabled {
		w.t.Errorf("the newest user is %+v, the one before %s", u, before)
	}
}

// forgetComparison makes the next mirroring compare everything.
func (w *world) forgetComparison() {
	w.t.Helper()
	w.changeState(func(m *directory.MirrorState) { m.Compared = 0 })
}

func barredThere(w *world) {
	w.create("ann")
	w.register("ann")
	w.mirror()
	session := w.mayEnter("ann", password)
	w.must(w.outside.Modify(w.f.bar(w.there("(" + w.name() + "=ann)").DN)))
	w.mayNotEnter("ann", password)
	w.mirror()
	<-session.Done()
	if u := w.user("ann"); u.State != directory.Disabled || u.Email != "" {
		w.t.Errorf("the user is %+v", u)
	}
	w.wantFault(w.Register(w.ctx, admin, w.org, "ann", "ann@abroad.awsapps.com"), fault.State, fault.Entity)
}

func renamedThere(w *world) {
	ann := w.create("ann")
	bob := w.create("bob")
	w.mirror()
	a, b := w.there("("+w.name()+"=ann)").DN, w.there("("+w.name()+"=bob)").DN
	if w.f.preset == "rfc" {
		w.must(w.outside.ModifyDN(ldaplib.NewModifyDNRequest(a, "uid=annie", true, "")))
		w.must(w.outside.ModifyDN(ldaplib.NewModifyDNRequest(b, "uid=ann", true, "")))
	} else {
		for _, rename := range []struct{ dn, name string }{{a, "annie"}, {b, "ann"}} {
			modify := ldaplib.NewModifyRequest(rename.dn, nil)
			modify.Replace("sAMAccountName", []string{rename.name})
			modify.Replace("userPrincipalName", []string{rename.name + "@ad.test"})
			w.must(w.outside.Modify(modify))
		}
	}
	w.mirror()
	if w.user("annie").ID != ann || w.user("ann").ID != bob {
		w.t.Errorf("annie is %s, ann %s; want %s and %s", w.user("annie").ID, w.user("ann").ID, ann, bob)
	}
}

// hostileNames are full of what means something in filters and distinguished names.
func hostileNames(w *world) {
	w.create("ann")
	w.register("ann")
	for _, name := range []string{"*", "a*", "ann)(uid=*", `ann\2a`, `abroad\*`, "*@abroad.awsapps.com", `abroad\ann)(|(uid=*`} {
		w.mayNotEnter(name, password)
	}
	names := []string{"#1 (a*b) ", "a,ou=x", `q"u<o>t;e+s`, `back\slash`, "equal=s"}
	if w.f.preset == "ad" { // sAMAccountName takes few of them
		names = []string{"#1 (a)b", "dots.and-dashes_"}
	}
	for _, name := range names {
		g, err := w.directory.CreateGroup(w.ctx, admin, w.org, directory.NewGroup{Name: name})
		if err != nil {
			w.t.Errorf("group %q: %v", name, err)
			continue
		}
		w.must(w.directory.AddMember(w.ctx, admin, w.org, string(g), "ann"))
		w.mirror()
		if got, err := w.directory.DescribeGroup(w.ctx, admin, w.org, string(g)); err != nil || got.Name != name || got.State != directory.Disabled {
			w.t.Errorf("group %q: %+v, %v", name, got, err)
		}
		if got := w.members(string(g)); !slices.Equal(got, []string{"ann"}) {
			w.t.Errorf("group %q has the members %q", name, got)
		}
		w.must(w.DeleteGroup(w.ctx, admin, w.org, string(g)))
	}
	if w.there("("+w.name()+"=ann)") == nil {
		w.t.Error("a group's deletion took a user with it")
	}
}

// undone makes the transaction behind a creation fail.
func undone(w *world) {
	_, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "ok"})
	w.must(err)
	w.must(w.db.Write(w.ctx, breakInserts))
	_, err = w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "lost"})
	if err == nil {
		w.t.Error("it did not fail")
	}
	if e := w.there("(" + w.name() + "=lost)"); e != nil {
		w.t.Errorf("the directory keeps %s", e.DN)
	}
	w.must(w.db.Write(w.ctx, mendInserts))
}

func readOnly(w *world) {
	hand := w.addUser("old.hand")
	w.addGroup("veterans", hand)
	w.mirror()
	o, err := w.directory.DescribeOrganization(w.ctx, admin, w.org)
	if err != nil || o.DirectoryType != "ADConnector" {
		w.t.Errorf("%+v, %v", o, err)
	}
	id := w.user("old.hand").ID
	_, userErr := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "new"})
	_, groupErr := w.directory.CreateGroup(w.ctx, admin, w.org, directory.NewGroup{Name: "new"})
	for what, err := range map[string]error{
		"create user": userErr, "create group": groupErr,
		"update user":    w.directory.UpdateUser(w.ctx, admin, w.org, "old.hand", directory.UserChange{City: ptr("Bonn")}),
		"reset password": w.ResetPassword(w.ctx, admin, w.org, id, other),
		"remove member":  w.directory.RemoveMember(w.ctx, admin, w.org, "veterans", "old.hand"),
		"delete user":    w.DeleteUser(w.ctx, admin, w.org, "old.hand"),
		"delete group":   w.DeleteGroup(w.ctx, admin, w.org, "veterans"),
	} {
		if !fault.Is(err, fault.Unsupported, fault.Directory) {
			w.t.Errorf("%s: %v", what, err)
		}
	}
	w.must(w.directory.UpdateUser(w.ctx, admin, w.org, "old.hand", directory.UserChange{Hidden: ptr(true)}))
	w.register("old.hand")
	w.mayEnter("old.hand", password)
	w.mayNotEnter("old.hand", "wrong")
}

// told remembers what a directory tells.
type told struct {
	put      []directory.Outside
	gone     []directory.EntityID
	compared int
}

func (m *told) Put(_ context.Context, entries []directory.Outside) error {
	m.put = append(m.put, entries...)
	return nil
}

func (m *told) Gone(_ context.Context, _ directory.Kind, ids []directory.EntityID) error {
	m.gone = append(m.gone, ids...)
	return nil
}

func (m *told) Compare(context.Context, map[directory.EntityID]struct{}) error {
	m.compared++
	return nil
}

// incremental holds that a change costs what changed, not what there is.
func incremental(t *testing.T, f flavour) {
	onBoth(t, f, nil, func(w *world) {
		d := open(t, f.config(t, w.base))
		var dns []string
		for _, name := range []string{"u1", "u2", "u3", "u4"} {
			dns = append(dns, w.addUser(name))
		}
		w.addGroup("g", dns...)
		cursor := ""
		next := func() *told {
			t.Helper()
			m := &told{}
			var err error
			cursor, err = d.Changes(w.ctx, cursor, m)
			w.must(err)
			return m
		}
		if m := next(); len(m.put) != 5 || m.compared != 1 {
			t.Errorf("at first: %d told, compared %d times", len(m.put), m.compared)
		}
		byTime := strings.Contains(cursor, "Stamp") // tells more than changed: all of the last second
		if m := next(); len(m.put) > 0 && !byTime || len(m.gone) > 0 || m.compared > 0 {
			t.Errorf("nothing changed: %+v", m)
		}
		w.replace(dns[1], "l", "Bonn")
		m := next()
		names := map[string]bool{}
		for _, o := range m.put {
			names[o.Name] = true
		}
		if !byTime && !slices.Equal(slices.Collect(maps.Keys(names)), []string{"u2"}) || !names["u2"] || m.compared > 0 {
			t.Errorf("one changed: %+v", m)
		}
		if byTime {
			return // it does not tell what is gone
		}
		w.remove(dns[2])
		if m := next(); len(m.gone) == 0 || m.compared > 0 {
			t.Errorf("one gone: %+v", m)
		}
		cursor = "{}"
		if m := next(); len(m.put) != 4 || m.compared != 1 {
			t.Errorf("a lost cursor: %d told, compared %d times", len(m.put), m.compared)
		}
	})
}

// refused are the ways in which a directory can't be used.
func refused(t *testing.T, f flavour) {
	for name, c := range map[string]struct {
		alter func(*ldap.Config)
		kind  fault.Kind
	}{
		"wrong password": {func(c *ldap.Config) { c.BindPassword = "wrong" }, fault.DirectoryRefusedUs},
		"unknown account": {func(c *ldap.Config) {
			c.BindDN = "cn=nobody," + f.server.Base
		}, fault.DirectoryRefusedUs},
		"unknown authority": {func(c *ldap.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS12} }, fault.DirectoryDown},
		"another's name": {func(c *ldap.Config) {
			_, host, _ := strings.Cut(c.URL, "//")
			host, _, _ = strings.Cut(host, ":")
			c.URL = strings.Replace(c.URL, host, "localhost", 1)
		}, fault.DirectoryDown},
		"no such base": {func(c *ldap.Config) { c.Base = "ou=nowhere," + c.Base }, fault.DirectoryDown},
		"StartTLS, unknown authority": {func(c *ldap.Config) {
			c.URL, c.TLS = f.server.StartTLS, &tls.Config{MinVersion: tls.VersionTLS12}
		}, fault.DirectoryDown},
		"nobody there": {func(c *ldap.Config) { c.URL = "ldaps://127.0.0.1:1" }, fault.DirectoryDown},
		"not allowed": {func(c *ldap.Config) {
			c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) { return nil, net.ErrClosed }
		}, fault.DirectoryDown},
	} {
		t.Run(name, func(t *testing.T) {
			config := f.config(t, f.server.Base)
			c.alter(&config)
			d := open(t, config)
			if err := d.Probe(t.Context()); !fault.Is(err, c.kind, fault.Directory) {
				t.Errorf("Probe: %v", err)
			}
			if name == "no such base" {
				return
			}
			_, _, err := d.Create(t.Context(), directory.NewEntry{Kind: directory.KindUser, User: directory.NewUser{Name: "x"}})
			if !fault.Is(err, c.kind, fault.Directory) {
				t.Errorf("Create: %v", err)
			}
			if _, err := d.Changes(t.Context(), "", &told{}); !fault.Is(err, c.kind, fault.Directory) {
				t.Errorf("Changes: %v", err)
			}
		})
	}
}

func down(w *world) {
	w.create("ann")
	w.register("ann")
	w.mayEnter("ann", password)
	w.mirror()
	w.must(w.f.server.Stop())
	_, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "new"})
	w.wantFault(err, fault.DirectoryDown, fault.Directory)
	_, err = w.signIn("ann", password)
	w.wantFault(err, fault.DirectoryDown, fault.Directory)
	w.wantFault(w.Mirror(w.ctx, w.org), fault.DirectoryDown, fault.Directory)
	if u := w.user("ann"); u.State != directory.Enabled {
		w.t.Errorf("while the directory was down: %+v", u)
	}
	w.must(w.f.server.Start())
	w.outside = w.f.server.Admin(w.t)
	w.mayEnter("ann", password)
	w.addUser("bob")
	w.mirror()
	w.user("bob")
}

// builtIns are there before anybody makes an entry.
func builtIns(t *testing.T, f flavour) {
	onBoth(t, f, func(c *ldap.Config) { c.Base = f.server.Base }, func(w *world) {
		w.mirror()
		for _, name := range []string{"Administrator", "Guest", "krbtgt"} {
			u := w.user(name)
			if u.Role != directory.RoleSystem || u.State != directory.Disabled {
				t.Errorf("%s is %+v", name, u)
			}
			w.wantFault(w.Register(w.ctx, admin, w.org, name, name+"@abroad.awsapps.com"), fault.Unsupported, fault.Entity)
		}
		w.mayNotEnter(`abroad\Administrator`, f.server.Password)

		// All are in Domain Users, which does not list them; whoever comes later changes nothing of the group's entry.
		if got := w.members("Domain Users"); !slices.Contains(got, "Administrator") || !slices.Contains(got, "krbtgt") || slices.Contains(got, "late") {
			t.Errorf("Domain Users has the members %q", got)
		}
		w.addUser("late")
		w.mirror()
		if got := w.members("Domain Users"); !slices.Contains(got, "late") {
			t.Errorf("and then %q", got)
		}
	})
}

// primaryGroups are groups that don't list those whose primary group they are.
func primaryGroups(w *world) {
	has := func(when string, want ...string) {
		w.t.Helper()
		w.mirror()
		if got := w.members("staff"); !slices.Equal(got, want) {
			w.t.Errorf("%s the members are %q, want %q", when, got, want)
		}
	}
	ann, bob := w.addUser("ann"), w.addUser("bob")
	staff := w.addGroup("staff", ann, bob)
	has("at first", "ann", "bob")
	sid := w.there("(cn=staff)").GetRawAttributeValue("objectSid")
	w.replace(ann, "primaryGroupID", fmt.Sprint(binary.LittleEndian.Uint32(sid[len(sid)-4:])))
	if listed := w.there("(cn=staff)").GetAttributeValues("member"); len(listed) != 1 {
		w.t.Fatalf("the directory lists %q", listed)
	}
	has("with ann's primary group", "ann", "bob")
	w.replace(staff, "description", "changed")
	has("after a change of the group", "ann", "bob")
	w.wantFault(w.directory.RemoveMember(w.ctx, admin, w.org, "staff", "ann"), fault.Unsupported, fault.Directory)
	w.must(w.directory.RemoveMember(w.ctx, admin, w.org, "staff", "bob"))
	has("without bob", "ann")

	// A mirror that was kept before primary groups were told is told them now.
	w.must(w.db.Write(w.ctx, forgetPrimaryGroups))
	w.changeState(func(m *directory.MirrorState) { m.Cursor = strings.Replace(m.Cursor, `,"Primary":true`, "", 1) })
	has("after an upgrade", "ann")

	const domainUsers = "513"
	w.replace(ann, "primaryGroupID", domainUsers) // the directory lists her in the former group
	has("with another primary group", "ann")
	modify := ldaplib.NewModifyRequest(staff, nil)
	modify.Delete("member", []string{ann})
	w.must(w.outside.Modify(modify))
	has("not listed any more")
}
