package ldap_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	ldaplib "github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/directory/ldap"
	"github.com/pennypost/pennypost/internal/directory/ldap/ldaptest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	directoryID = "d-0123456789"
	password    = "examplePa$$w0rd"
	other       = "TestTest1234!"
)

var (
	admin    = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST"}
	fromHome = identity.Circumstances{Protocol: "IMAP", Address: netip.MustParseAddr("192.0.2.7")}
)

// flavour is a kind of directory.
type flavour struct {
	preset string
	server *ldaptest.Server
	// What entries of somebody who does not use Pennypost look like.
	user, group func(f flavour, name string, members ...string) *ldaplib.AddRequest
	// bar makes the directory itself refuse a user.
	bar func(dn string) *ldaplib.ModifyRequest
}

// config is the directory as an operator would configure it, with users and groups below base.
func (f flavour) config(t testing.TB, base string) ldap.Config {
	t.Helper()
	schema, err := ldap.Preset(f.preset)
	if err != nil {
		t.Fatal(err)
	}
	config, err := ldaptest.TLS(f.server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	return ldap.Config{
		URL: f.server.URL, TLS: config, Dial: dial.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).DialContext,
		BindDN: f.server.BindDN, BindPassword: f.server.Password, Base: base, Schema: schema, Writable: true,
		Timeout: time.Minute, // the machine may be busy
	}
}

func open(t testing.TB, c ldap.Config) *ldap.Directory {
	t.Helper()
	d, err := ldap.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// openLDAP starts a slapd of its own for the test.
func openLDAP(t testing.TB, plain bool) flavour {
	return flavour{
		preset: "rfc", server: ldaptest.Slapd(t, plain),
		user: func(_ flavour, dn string, name ...string) *ldaplib.AddRequest {
			add := ldaplib.NewAddRequest(dn, nil)
			for attribute, value := range map[string]string{
				"objectClass": "inetOrgPerson", "uid": name[0], "cn": "The " + name[0], "sn": "Hand", "l": "Ulm", "userPassword": password,
			} {
				add.Attribute(attribute, []string{value})
			}
			return add
		},
		group: func(_ flavour, dn string, members ...string) *ldaplib.AddRequest {
			add := ldaplib.NewAddRequest(dn, nil)
			add.Attribute("objectClass", []string{"groupOfNames"})
			add.Attribute("member", members)
			return add
		},
		bar: func(dn string) *ldaplib.ModifyRequest {
			modify := ldaplib.NewModifyRequest(dn, nil)
			modify.Replace("pwdAccountLockedTime", []string{"000001010000Z"})
			return modify
		},
	}
}

// activeDirectory starts a domain controller for the test and its parts.
func activeDirectory(t testing.TB) flavour {
	return flavour{
		preset: "ad", server: ldaptest.Samba(t),
		user: func(_ flavour, dn string, name ...string) *ldaplib.AddRequest {
			add := ldaplib.NewAddRequest(dn, nil)
			for attribute, value := range map[string]string{
				"objectClass": "user", "sAMAccountName": name[0], "displayName": "The " + name[0], "l": "Ulm",
				"userAccountControl": "512", "unicodePwd": utf16Quoted(password),
			} {
				add.Attribute(attribute, []string{value})
			}
			return add
		},
		group: func(_ flavour, dn string, members ...string) *ldaplib.AddRequest {
			add := ldaplib.NewAddRequest(dn, nil)
			parsed, _ := ldaplib.ParseDN(dn)
			for attribute, values := range map[string][]string{
				"objectClass": {"group"}, "sAMAccountName": {parsed.RDNs[0].Attributes[0].Value}, "member": members,
			} {
				add.Attribute(attribute, values)
			}
			return add
		},
		bar: func(dn string) *ldaplib.ModifyRequest {
			modify := ldaplib.NewModifyRequest(dn, nil)
			modify.Replace("userAccountControl", []string{"514"})
			return modify
		},
	}
}

func utf16Quoted(text string) string {
	var b []byte
	for _, c := range []byte(`"` + text + `"`) {
		b = append(b, c, 0)
	}
	return string(b)
}

// world is a core on an empty store, with one organisation on an external directory.
type world struct {
	*organization.Service
	t         *testing.T
	ctx       context.Context
	db        *db.DB
	directory *directory.Service
	door      *identity.Door
	org       directory.OrgID
	outside   *ldaplib.Conn // the directory's administrator
	base      string
	f         flavour
}

var migrations = slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), mailbox.Migrations(), identity.Migrations())

// onBoth runs fn on both engines, below a base of its own in the directory, which alter may change the view of.
func onBoth(t *testing.T, f flavour, alter func(*ldap.Config), fn func(w *world)) {
	t.Helper()
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) {
		w := &world{t: t, ctx: t.Context(), db: d, f: f, outside: f.server.Admin(t), base: "ou=run of a test," + f.server.Base}
		top := ldaplib.NewAddRequest(w.base, nil)
		top.Attribute("objectClass", []string{"organizationalUnit"})
		w.must(w.outside.Add(top))
		t.Cleanup(w.clear)
		config := f.config(t, w.base)
		if alter != nil {
			alter(&config)
		}
		w.wire(config)
		fn(w)
		w.check()
	})
}

func (w *world) wire(config ldap.Config) {
	log, c, notices := slog.New(slog.NewTextHandler(w.t.Output(), nil)), clock.System{}, feed.New()
	records := audit.New(w.db, c, audit.Config{})
	w.directory = directory.New(directory.Config{
		DB: w.db, Audit: records, Clock: c, Feed: notices, Log: log,
		External: map[string]directory.Directory{directoryID: open(w.t, config)},
	})
	policies := policy.New(w.directory, c)
	w.Service = organization.New(organization.Config{
		DB: w.db, Directory: w.directory, Policy: policies, Audit: records, Clock: c, Log: log,
		Mailboxes: mailbox.New(mailbox.Options{DB: w.db, Blobs: noBlobs{}, Feed: notices, Clock: c, Log: log}),
	})
	w.door = identity.NewDoor(w.directory, policies, nil, records, notices, c, log, identity.Limits{})
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.door.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		w.must(<-ended)
	})
	if w.org != "" {
		return
	}
	w.must(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := w.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{
			Alias: "abroad", DirectoryID: directoryID, Account: "000000000000", Region: "us-east-1",
		})
		if err != nil {
			return err
		}
		w.org = o.ID
		if err := errors.Join(w.directory.AddTestDomainTx(ctx, tx, o), policies.BeginTx(ctx, tx, o)); err != nil {
			return err
		}
		_, err = w.directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgActive, "")
		return err
	}))
}

// clear removes what the test made in the directory.
func (w *world) clear() {
	conn := w.f.server.Admin(w.t)
	found, err := conn.Search(search(w.base, "(objectClass=*)"))
	w.must(err)
	slices.SortFunc(found.Entries, func(a, b *ldaplib.Entry) int { return len(b.DN) - len(a.DN) })
	for _, e := range found.Entries {
		w.must(conn.Del(ldaplib.NewDelRequest(e.DN, nil)))
	}
}

func (w *world) check() {
	w.must(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, look := range []func(context.Context, *db.Tx) ([]string, error){w.directory.Check, w.Check} {
			faults, err := look(ctx, tx)
			if err != nil {
				return err
			}
			for _, f := range faults {
				w.t.Errorf("after the test: %s", f)
			}
		}
		return nil
	}))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) wantFault(err error, kind fault.Kind, subject fault.Subject) {
	w.t.Helper()
	if !fault.Is(err, kind, subject) {
		w.t.Errorf("got %v (%v), want a fault %v of %q", err, fault.KindOf(err), kind, subject)
	}
}

func search(base, filter string) *ldaplib.SearchRequest {
	return ldaplib.NewSearchRequest(base, ldaplib.ScopeWholeSubtree, ldaplib.NeverDerefAliases, 0, 0, false, filter, []string{"*", "+"}, nil)
}

// there is the one entry of the directory that a filter finds, nil where there is none.
func (w *world) there(filter string) *ldaplib.Entry {
	w.t.Helper()
	found, err := w.outside.Search(search(w.base, filter))
	w.must(err)
	switch len(found.Entries) {
	case 0:
		return nil
	case 1:
		return found.Entries[0]
	}
	w.t.Fatalf("%s finds %d entries", filter, len(found.Entries))
	return nil
}

// addUser and addGroup make entries in the directory itself.
func (w *world) addUser(name string) (dn string) {
	w.t.Helper()
	dn = "cn=" + ldaplib.EscapeDN(name) + "," + w.base
	w.must(w.outside.Add(w.f.user(w.f, dn, name)))
	return dn
}

func (w *world) addGroup(name string, members ...string) (dn string) {
	w.t.Helper()
	dn = "cn=" + ldaplib.EscapeDN(name) + "," + w.base
	w.must(w.outside.Add(w.f.group(w.f, dn, members...)))
	return dn
}

func (w *world) replace(dn, attribute string, values ...string) {
	w.t.Helper()
	modify := ldaplib.NewModifyRequest(dn, nil)
	modify.Replace(attribute, values)
	w.must(w.outside.Modify(modify))
}

// setPassword sets a password in the directory itself.
func (w *world) setPassword(dn, password string) {
	w.t.Helper()
	if w.f.preset == "ad" {
		w.replace(dn, "unicodePwd", utf16Quoted(password))
		return
	}
	set := func() string { return w.there("(uid=ann)").GetAttributeValue("pwdChangedTime") }
	for before := set(); set() == before; { // it counts in seconds
		_, err := w.outside.PasswordModify(ldaplib.NewPasswordModifyRequest(dn, "", password))
		w.must(err)
	}
}

func (w *world) remove(dn string) {
	w.t.Helper()
	w.must(w.outside.Del(ldaplib.NewDelRequest(dn, nil)))
}

func (w *world) mirror() {
	w.t.Helper()
	w.must(w.Mirror(w.ctx, w.org))
}

func (w *world) create(name string) directory.EntityID {
	w.t.Helper()
	text := password
	id, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: name, DisplayName: "The " + name, Password: &text})
	w.must(err)
	return id
}

func (w *world) register(ident string) {
	w.t.Helper()
	w.must(w.Register(w.ctx, admin, w.org, ident, ident+"@abroad.awsapps.com"))
}

func (w *world) user(ident string) *directory.User {
	w.t.Helper()
	u, err := w.directory.DescribeUser(w.ctx, admin, w.org, ident)
	w.must(err)
	return u
}

func (w *world) members(group string) []string {
	w.t.Helper()
	list, _, err := w.directory.ListMembers(w.ctx, admin, w.org, group, directory.Page{})
	w.must(err)
	names := []string{}
	for i := range list {
		names = append(names, list[i].Name)
	}
	slices.Sort(names)
	return names
}

func (w *world) signIn(name, password string) (*identity.Session, error) {
	s, err := w.door.Authenticate(w.ctx, identity.Credentials{Username: name, Password: password}, fromHome)
	if err == nil {
		w.t.Cleanup(s.Close)
	}
	return s, err
}

func (w *world) mayEnter(name, password string) *identity.Session {
	w.t.Helper()
	s, err := w.signIn(name, password)
	w.must(err)
	return s
}

func (w *world) mayNotEnter(name, password string) {
	w.t.Helper()
	if _, err := w.signIn(name, password); fault.KindOf(err) != fault.Unauthenticated {
		w.t.Errorf("%s with %q: %v", name, password, err)
	}
}

// noBlobs stands where large bodies would go: no test here has any.
type noBlobs struct{}

func (noBlobs) Put(context.Context, string, io.Reader) (int64, error) { return 0, net.ErrClosed }
func (noBlobs) Open(context.Context, string) (mailbox.Blob, error)    { return nil, net.ErrClosed }
func (noBlobs) Delete(context.Context, string) error                  { return nil }

func ptr[T any](v T) *T { return &v }
