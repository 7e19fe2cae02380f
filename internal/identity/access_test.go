package identity_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/policy"
)

func (h *house) rule(o *directory.Organization, name string, allow bool, c policy.AccessConditions) {
	h.t.Helper()
	if err := h.policy.PutAccessRule(h.t.Context(), admin, o.ID, policy.AccessRule{Name: name, Allow: allow, AccessConditions: c}); err != nil {
		h.t.Fatal(err)
	}
}

// come is a sign-in of ann by a protocol from an address.
func (h *house) come(protocol, address string) (*identity.Session, error) {
	h.t.Helper()
	s, err := h.Authenticate(h.t.Context(), identity.Credentials{Username: "ann", Password: password},
		identity.Circumstances{Protocol: protocol, Address: netip.MustParseAddr(address)})
	if err == nil {
		h.t.Cleanup(s.Close)
	}
	return s, err
}

// lastReason is the detail of the last refused sign-in.
func (h *house) lastReason(o *directory.Organization) (last string) {
	for _, r := range h.trail(o) {
		if r.Operation == "SignIn" && r.Outcome != audit.Done {
			last = r.Detail
		}
	}
	return last
}

func TestAccessRulesGuardTheDoor(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		ann := h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(acme, "bob", "bob@acme.awsapps.com")
		h.admits("ann", password) // and is remembered
		h.rule(acme, "no-imap", false, policy.AccessConditions{Actions: []string{"IMAP"}, Users: []directory.EntityID{ann}})
		h.rule(acme, "home", false, policy.AccessConditions{IPRanges: []string{"192.0.2.0/28"}, Users: []directory.EntityID{ann}})
		h.refuses("ann", password)
		if got := h.lastReason(acme); got != "denied by access rule home, no-imap" {
			t.Errorf("the record says %q", got)
		}
		h.admits("bob", password)
		if _, err := h.come("SMTP", "198.51.100.1"); err != nil {
			t.Errorf("by SMTP from elsewhere: %v", err)
		}
		if _, err := h.come(identity.ManageSieve, "198.51.100.1"); err == nil || h.lastReason(acme) != "denied by access rule no-imap" {
			t.Errorf("ManageSieve does not go by IMAP's rules: %v, %q", err, h.lastReason(acme))
		}
		if _, err := h.come("SMTP", "::ffff:192.0.2.7"); err == nil {
			t.Error("an IPv4 address in the form of IPv6 was let in")
		}
		if _, err := h.come("SMTP", "2001:db8::1"); err != nil {
			t.Errorf("by IPv6: %v", err)
		}
		h.rule(acme, "default", true, policy.AccessConditions{NotIPRanges: []string{"0.0.0.0/0"}}) // IPv6 alone
		if _, err := h.come("SMTP", "198.51.100.1"); err == nil {
			t.Error("an address that no rule allows was let in")
		}
		if got := h.lastReason(acme); got != "no access rule allows it" {
			t.Errorf("the record says %q", got)
		}
		if _, err := h.come("SMTP", "2001:db8::1"); err != nil {
			t.Errorf("by IPv6, which the last rule allows: %v", err)
		}
		for _, name := range []string{"default", "home", "no-imap"} {
			if err := h.policy.DeleteAccessRule(t.Context(), admin, acme.ID, name); err != nil {
				t.Fatal(err)
			}
		}
		h.refuses("bob", password)
	})
}

func TestAChangedRuleEndsTheSessionsThatItForbids(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, other := h.organization("acme"), h.organization("other")
		ann := h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(other, "bob", "bob@other.awsapps.com")
		office, err := h.come("IMAP", "192.0.2.7")
		if err != nil {
			t.Fatal(err)
		}
		away, err := h.come("IMAP", "198.51.100.1")
		if err != nil {
			t.Fatal(err)
		}
		bob := h.admits("bob", password)
		h.rule(acme, "office", false, policy.AccessConditions{NotIPRanges: []string{"192.0.2.0/24"}, Users: []directory.EntityID{ann}})
		h.ends(away)
		if err := h.policy.DeleteAccessRule(t.Context(), admin, acme.ID, "default"); err != nil {
			t.Fatal(err)
		}
		h.ends(office)
		select {
		case <-bob.Done():
			t.Error("a session of another organization ended")
		default:
		}
	})
}

// The right password of one whom a rule keeps out is no guess: it must not use up what others of the account's ways in need.
// It counts for the address, and is never quicker than a wrong one.
func TestAForbiddenDeviceLocksNobodyOut(t *testing.T) {
	onBoth(t, identity.Limits{AccountFailures: 2, AddressFailures: 5}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.rule(acme, "no-imap", false, policy.AccessConditions{Actions: []string{"IMAP"}})
		for range 5 {
			h.refuses("ann", password)
		}
		if got := h.lastReason(acme); got != "denied by access rule no-imap" {
			t.Errorf("the record says %q", got)
		}
		h.refuses("ann", password)
		h.tally()
		if got := h.lastReason(acme); got != "too many failures from the address: 1 in a minute" {
			t.Errorf("the record says %q", got)
		}
		if _, err := h.come("SMTP", "198.51.100.1"); err != nil {
			t.Errorf("the other way in: %v", err)
		}
	})
}

// BenchmarkSignIn is a sign-in with a remembered password, its audit record on a durable SQLite included; a told one has its
// records sent to a log group.
func BenchmarkSignIn(b *testing.B) {
	for _, c := range []struct {
		name  string
		rules int
		told  bool
	}{{"rules=1", 1, false}, {"rules=10", 10, false}, {"rules=10-told", 10, true}} {
		b.Run(c.name, func(b *testing.B) {
			ctx, now, f := b.Context(), clock.System{}, feed.New()
			d, err := db.Open(ctx, db.Options{
				Path: filepath.Join(b.TempDir(), "bench.db"), Log: slog.New(slog.DiscardHandler),
				Migrations: slices.Concat(directory.Migrations(), policy.Migrations(), audit.Migrations(), job.Migrations(), identity.Migrations()),
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = d.Close() })
			h := &benchHouse{B: b, db: d}
			h.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: audit.New(d, now, audit.Config{}), Clock: now, Feed: f})
			h.policy = policy.New(h.directory, now)
			var config audit.Config
			if c.told {
				config.Linger, config.Groups = 250*time.Millisecond, map[string]audit.Group{"arn": {Sink: nowhere{}, AuditLogs: audit.AuditStreams()}}
			}
			log := audit.New(d, now, config)
			running, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- log.Run(running) }()
			defer func() {
				stop()
				if err := <-ended; err != nil {
					b.Error(err)
				}
			}()
			door := identity.NewDoor(h.directory, h.policy, nil, log, f, now, nil, identity.Limits{})
			h.furnish(c.rules)
			how := identity.Circumstances{Protocol: "IMAP", Address: netip.MustParseAddr("10.8.0.1")}
			b.SetParallelism(16)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					s, err := door.Authenticate(ctx, identity.Credentials{Username: "ann@acme.awsapps.com", Password: password}, how)
					if err != nil {
						b.Error(err)
						return
					}
					s.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signins/s")
		})
	}
}

// nowhere takes every record.
type nowhere struct{}

// Send does nothing.
func (nowhere) Send(context.Context, []audit.LogRecord) error { return nil }

type benchHouse struct {
	*testing.B
	db        *db.DB
	directory *directory.Service
	policy    *policy.Service
}

// furnish makes an organisation with a user and access rules.
func (h *benchHouse) furnish(rules int) {
	must := func(err error) {
		h.Helper()
		if err != nil {
			h.Fatal(err)
		}
	}
	ctx, secret := h.Context(), password
	var o *directory.Organization
	must(h.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if o, err = h.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: "acme"}); err != nil {
			return err
		}
		if err := h.directory.AddTestDomainTx(ctx, tx, o); err != nil {
			return err
		}
		_, err = h.directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgActive, "")
		return err
	}))
	id, err := h.directory.CreateUser(ctx, admin, o.ID, directory.NewUser{Name: "ann", DisplayName: "ann", Password: &secret})
	must(err)
	must(h.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		e, err := h.directory.FindForTx(ctx, tx, o, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		a, err := directory.ParseAddress("ann@acme.awsapps.com")
		if err != nil {
			return err
		}
		return h.directory.EnableTx(ctx, tx, o, e, a, 1, true)
	}))
	for i := range rules {
		must(h.policy.PutAccessRule(ctx, admin, o.ID, policy.AccessRule{Name: fmt.Sprint("rule-", i), Allow: true, AccessConditions: policy.AccessConditions{
			IPRanges: []string{fmt.Sprintf("10.%d.0.0/16", i), "10.8.0.0/16"}, Actions: []string{"IMAP", "SMTP", "EWS"}, Users: []directory.EntityID{id},
		}}))
	}
}
