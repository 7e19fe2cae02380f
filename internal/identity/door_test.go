package identity_test

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

const password = "examplePa$$w0rd"

var (
	admin    = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST"}
	newYear  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fromHome = identity.Circumstances{Protocol: "IMAP", Address: netip.MustParseAddr("192.0.2.7")}
)

// house is a door with its directory on an empty store, and Run running.
type house struct {
	*identity.Door
	t         *testing.T
	db        *db.DB
	feed      *feed.Feed
	clock     *clock.Fake
	audit     *audit.Log
	sink      auditSink // of all audit logs
	directory *directory.Service
	policy    *policy.Service
	center    *identity.Center
}

func onBoth(t *testing.T, limits identity.Limits, fn func(h *house)) {
	t.Helper()
	migrations := slices.Concat(directory.Migrations(), policy.Migrations(), audit.Migrations(), job.Migrations(), identity.Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) {
		f := feed.New()
		h := &house{t: t, db: d, feed: f, clock: clock.NewFake(newYear), sink: make(auditSink, 1000)}
		h.audit = audit.New(d, h.clock, audit.Config{Groups: map[string]audit.Group{"arn": {Sink: h.sink, AuditLogs: audit.AuditStreams()}}})
		h.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: h.audit, Clock: h.clock, Feed: f})
		h.policy = policy.New(h.directory, h.clock)
		h.center = identity.NewCenter(identity.CenterConfig{
			DB: d, Directory: h.directory, Audit: h.audit, Feed: f, Clock: h.clock, Root: secret.Ephemeral(), Account: "000000000000",
			Mapped: func(arn string) bool { return arn == instance },
		})
		h.Door = identity.NewDoor(h.directory, h.policy, h.center, h.audit, f, h.clock, nil, limits)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		fn(h)
	})
}

func (h *house) write(fn func(ctx context.Context, tx *db.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(h.t.Context(), fn); err != nil {
		h.t.Fatal(err)
	}
}

// trail is what the audit knows of an organisation and of sign-ins that named none, in the order of its making.
func (h *house) trail(o *directory.Organization) []audit.Record {
	h.t.Helper()
	var all []audit.Record
	for _, organization := range []string{"", string(o.ID)} {
		records, err := h.audit.Read(h.t.Context(), audit.Query{Organization: organization})
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, records...)
	}
	slices.SortFunc(all, func(a, b audit.Record) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

func (h *house) organization(alias string) (o *directory.Organization) {
	h.t.Helper()
	h.write(func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = h.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: alias, Account: "000000000000", Region: "us-east-1"})
		if err != nil {
			return err
		}
		if err := h.directory.AddTestDomainTx(ctx, tx, o); err != nil {
			return err
		}
		if err := h.policy.BeginTx(ctx, tx, o); err != nil {
			return err
		}
		_, err = h.directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgActive, "")
		return err
	})
	o.State = directory.OrgActive
	return o
}

// user makes a user and, where address is not empty, enables it.
func (h *house) user(o *directory.Organization, name, address string) directory.EntityID {
	h.t.Helper()
	secret := password
	id, err := h.directory.CreateUser(h.t.Context(), admin, o.ID, directory.NewUser{Name: name, DisplayName: name, Password: &secret})
	if err != nil {
		h.t.Fatal(err)
	}
	if address == "" {
		return id
	}
	h.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := h.directory.FindForTx(ctx, tx, o, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		a, err := directory.ParseAddress(address)
		if err != nil {
			return err
		}
		return h.directory.EnableTx(ctx, tx, o, e, a, 1, true)
	})
	return id
}

func (h *house) disable(o *directory.Organization, id directory.EntityID) {
	h.t.Helper()
	h.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := h.directory.FindForTx(ctx, tx, o, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		return h.directory.DisableTx(ctx, tx, o, e)
	})
}

func (h *house) admits(name, secret string) *identity.Session {
	h.t.Helper()
	s, err := h.Authenticate(h.t.Context(), identity.Credentials{Username: name, Password: secret}, fromHome)
	if err != nil {
		h.t.Fatalf("%q was refused: %v", name, err)
	}
	h.t.Cleanup(s.Close)
	return s
}

func (h *house) refuses(name, secret string) {
	h.t.Helper()
	s, err := h.Authenticate(h.t.Context(), identity.Credentials{Username: name, Password: secret}, fromHome)
	if err == nil {
		s.Close()
		h.t.Fatalf("%q was let in as %s", name, s.Principal.ID)
	}
	const words = "the user name or the password is wrong, or this user may not sign in"
	if fault.KindOf(err) != fault.Unauthenticated || err.Error() != words {
		h.t.Errorf("%q: %v, want the words of every refusal", name, err)
	}
}

// ends waits for a session to end by itself.
func (h *house) ends(s *identity.Session) {
	h.t.Helper()
	select {
	case <-s.Done():
	case <-time.After(time.Minute): // a test's patience; the promise is a second
		h.t.Fatal("the session did not end")
	}
}

func TestSignInNames(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, other := h.organization("acme"), h.organization("other")
		ann := h.user(acme, "Ann", "ann@acme.awsapps.com")
		bob := h.user(acme, "bob", "robert@acme.awsapps.com")
		h.user(other, "bob", "bob@other.awsapps.com")
		// A name that looks like somebody else's address must not capture it.
		h.user(other, "ann@acme.awsapps.com", "imposter@other.awsapps.com")
		h.user(acme, "dora", "") // never enabled
		for name, want := range map[string]directory.EntityID{
			"ann@acme.awsapps.com": ann, "ANN@ACME.awsapps.COM": ann, "ann": ann, "ANN": ann, `acme\ann`: ann, `ACME\Ann`: ann,
			`acme.awsapps.com\ann`: ann, `acme\bob`: bob, "robert@acme.awsapps.com": bob,
		} {
			if s := h.admits(name, password); s.Principal.ID != string(want) || s.Principal.Organization != string(acme.ID) {
				t.Errorf("%q is %s of %s, want %s", name, s.Principal.ID, s.Principal.Organization, want)
			}
		}
		if err := cmp.Or(
			h.directory.RegisterDomain(t.Context(), admin, acme.ID, "xn--bcher-kva.example", ""),
			h.directory.VouchForDomain(t.Context(), admin, acme.ID, "xn--bcher-kva.example"),
		); err != nil {
			t.Fatal(err)
		}
		zoe := h.user(acme, "zoe", "zoe@xn--bcher-kva.example")
		for _, name := range []string{"zoe@xn--bcher-kva.example", "zoe@bücher.example", "Zoe@BU\u0308CHER.example"} {
			if s := h.admits(name, password); s.Principal.ID != string(zoe) {
				t.Errorf("%q is %s, want %s", name, s.Principal.ID, zoe)
			}
		}
		for _, name := range []string{
			"bob" /* two have it */, "dora", `acme\dora`, `other\ann`, `nobody\ann`, "nobody", "", `\`, "@", `acme\`,
			"ann@other.awsapps.com", "bob@acme.awsapps.com", "ann\x00", strings.Repeat("a", 10_000),
		} {
			h.refuses(name, password)
		}
		h.refuses("ann", "wrong Pa$$w0rd")
		h.refuses("ann", "")
	})
}

func TestSessionsEndWithWhatAllowedThem(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		ann := h.user(acme, "ann", "ann@acme.awsapps.com")
		bob := h.user(acme, "bob", "bob@acme.awsapps.com")
		annIn, bobIn := h.admits("ann", password), h.admits("bob", password)

		if err := h.directory.SetPassword(t.Context(), admin, acme.ID, string(ann), "another Pa$$w0rd", directory.Narrow{}); err != nil {
			t.Fatal(err)
		}
		h.ends(annIn)
		h.refuses("ann", password) // remembered, and of an older version
		annIn = h.admits("ann", "another Pa$$w0rd")

		h.disable(acme, bob)
		h.ends(bobIn)
		h.refuses("bob", password)
		select {
		case <-annIn.Done():
			t.Error("ann's session ended with bob's")
		default:
		}
	})
}

// A change is announced once: a session that can't be judged then would go on for ever.
func TestASessionEndsWhereItsUserChangedAndCannotBeLookedUp(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		ann := h.user(acme, "ann", "ann@acme.awsapps.com")
		s := h.admits("ann", password)
		h.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `ALTER TABLE password RENAME TO password_gone`)
			return err
		})
		h.feed.Publish(feed.Topic{Kind: "user", Key: string(acme.ID) + "/" + string(ann)})
		h.ends(s)
	})
}

func TestGuessingIsLimited(t *testing.T) {
	onBoth(t, identity.Limits{AccountFailures: 3, AccountRefill: time.Minute}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(acme, "bob", "bob@acme.awsapps.com")
		h.admits("bob", password)
		for range 3 {
			h.refuses("ann", "wrong Pa$$w0rd")
			h.refuses("bob", "wrong Pa$$w0rd")
		}
		h.refuses("ann", password) // the right one, but too many were wrong
		h.admits("bob", password)  // who signed in before is remembered: a stranger can't lock him out
		h.clock.Advance(time.Minute)
		h.admits("ann", password)
	})
}

func TestUnknownUsersAreLimitedByAddress(t *testing.T) {
	onBoth(t, identity.Limits{AddressFailures: 2, AddressRefill: time.Minute}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.refuses("nobody", password)
		h.refuses("nobody else", password)
		h.refuses("ann", password)
		away := identity.Circumstances{Protocol: "IMAP", Address: netip.MustParseAddr("2001:db8::1")}
		s, err := h.Authenticate(t.Context(), identity.Credentials{Username: "ann", Password: password}, away)
		if err != nil {
			t.Fatalf("another address: %v", err)
		}
		s.Close()
	})
}

// A refusal that comes without the cost of a hash tells that a limit was reached: it must not tell whether the name is known.
func TestUnknownAndDisabledUsersAreLimitedAsKnownOnes(t *testing.T) {
	onBoth(t, identity.Limits{AccountFailures: 2, AccountRefill: time.Minute}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(acme, "dis", "")
		for _, c := range []identity.Credentials{
			{Username: "ann", Password: "wrong Pa$$w0rd"},
			{Username: "Nobody@acme.awsapps.com", Password: "wrong Pa$$w0rd"},
			{Username: `acme\dis`, Password: password},
		} {
			for range 4 {
				h.refuses(c.Username, c.Password)
			}
			h.tally()
			last := ""
			for _, r := range h.trail(acme) {
				if r.Operation == "SignIn" && r.Actor.Name == c.Username {
					last = r.Detail
				}
			}
			if last != "too many failures for the account: 2 in a minute" {
				t.Errorf("%s: the third refusal is for %q", c.Username, last)
			}
		}
	})
}

// tally writes down what the door has counted.
func (h *house) tally() {
	h.t.Helper()
	ended, end := context.WithCancel(h.t.Context())
	end()
	if err := h.Tally(ended); err != nil {
		h.t.Fatal(err)
	}
}

func TestEverySignInIsRecorded(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		ann := h.user(acme, "ann", "ann@acme.awsapps.com")
		h.admits("ann", password)
		h.refuses("ann", "wrong Pa$$w0rd")
		h.refuses("nobody", password)
		var got []string
		for _, r := range h.trail(acme) {
			if r.Operation != "SignIn" {
				continue
			}
			if r.Actor.Address != fromHome.Address || r.Actor.Protocol != "IMAP" {
				t.Errorf("record without its circumstances: %+v", r)
			}
			if strings.Contains(r.Detail+r.Actor.Name, "Pa$$") {
				t.Errorf("a password stands in the audit record: %+v", r)
			}
			got = append(got, r.Subject+"|"+r.Outcome+"|"+r.Detail+"|"+r.Actor.Name)
		}
		want := []string{
			string(ann) + "|done||ann", string(ann) + "|unauthenticated|wrong password|ann", "|unauthenticated|unknown user|nobody",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("records:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
