package organization_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/organization"
)

// zone answers TXT look-ups from a table that a test may change.
type zone struct {
	mu      sync.Mutex
	records map[string]string
	asked   int
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if text, ok := z.records[name]; ok {
		return []string{text}, nil
	}
	return nil, fmt.Errorf("look up %s: %w", name, dns.ErrNotFound)
}

func (z *zone) set(name, text string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = map[string]string{name: text}
}

func (z *zone) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

// TestDomainIsVerifiedByTheJob registers a domain, publishes its proof, and waits.
func TestDomainIsVerifiedByTheJob(t *testing.T) {
	z := &zone{}
	inBothWith(t, directory.Config{Resolver: z}, func(w *world) {
		z.set("", "")
		org := w.acme()
		ann := w.user(org, "ann")
		w.ok(w.directory.RegisterDomain(w.ctx, admin, org, "shop.example", ""))
		status := func() directory.DomainStatus {
			d, err := w.directory.GetDomain(w.ctx, admin, org, "shop.example")
			w.ok(err)
			return d.Status
		}
		w.pass(time.Second)
		w.wantFault(w.Register(w.ctx, admin, org, "ann", "ann@shop.example"), fault.State, fault.Domain)
		d, err := w.directory.GetDomain(w.ctx, admin, org, "shop.example")
		w.ok(err)
		z.set(d.Proof.Hostname, d.Proof.Value)
		w.pass(2 * time.Minute)
		w.until("the domain is verified", func() bool { return status() == directory.DomainVerified })
		w.register(org, ann, "ann@shop.example")
		local := func() (here bool) {
			w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) (err error) {
				here, err = w.directory.IsLocalDomainTx(ctx, tx, "SHOP.example")
				return err
			}))
			return here
		}
		if !local() {
			t.Error("a verified domain receives no mail")
		}
		z.set("", "") // the proof goes away
		for range 5 {
			w.pass(25 * time.Hour)
		}
		w.until("the domain is lost", func() bool { return status() == directory.DomainFailed })
		if local() {
			t.Error("a lost domain receives mail")
		}
		_, err = w.Delete(w.ctx, admin, org, organization.Deletion{Force: true})
		w.ok(err)
		w.untilState(org, directory.OrgDeleted)
		w.pass(7 * time.Hour)
		asked := z.count()
		w.pass(1000 * time.Hour)
		if z.count() != asked {
			t.Error("the domain of a deleted organisation is still looked up")
		}
	})
}

// TestOrganizationFails takes the test domain away from an organisation before it is made.
func TestOrganizationFails(t *testing.T) {
	inBothWithoutJobs(t, func(w *world) {
		squatter, err := w.Create(w.ctx, admin, organization.Request{Alias: "squatter"})
		w.ok(err)
		org, err := w.Create(w.ctx, admin, organization.Request{Alias: "acme"})
		w.ok(err)
		w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error { // as a server with another suffix would have let it
			_, err := tx.Exec(ctx, `INSERT INTO domain (organization, name, status, is_test, token, vouched, created, verified, checked, proof_seen)
				SELECT key, 'acme.awsapps.com', 1, FALSE, 't', TRUE, 0, 0, 0, 0 FROM organization WHERE id = $1`, string(squatter))
			return err
		}))
		defer w.startJobs()()
		w.untilState(org, directory.OrgFailed)
		o, err := w.directory.DescribeOrganization(w.ctx, admin, org)
		w.ok(err)
		if o.Error == "" {
			t.Error("a failed organisation does not say why")
		}
		_, err = w.directory.CreateUser(w.ctx, admin, org, directory.NewUser{Name: "ann"})
		w.wantFault(err, fault.State, fault.Organization)
		_, err = w.Delete(w.ctx, admin, org, organization.Deletion{})
		w.ok(err)
		w.untilState(org, directory.OrgDeleted)
	})
}
