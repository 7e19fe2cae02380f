package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// zone answers from a table: no entry is a certain no, an error is none.
type zone map[string]any

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	switch answer := z[name].(type) {
	case []string:
		return answer, nil
	case error:
		return nil, answer
	}
	return nil, fmt.Errorf("look up %s: %w", name, dns.ErrNotFound)
}

func TestDomains(t *testing.T) {
	onBothWith(t, Config{Limits: Limits{Domains: 3}}, func(f *fixture) {
		register := func(name string) error { return f.RegisterDomain(f.ctx, admin, f.org.ID, name, "") }
		f.ok(register("Shop.Example"))
		f.ok(register("shop.example"))
		d := must(f.GetDomain(f.ctx, admin, f.org.ID, "SHOP.example"))(f.t)
		if d.Name != "shop.example" || d.Status != DomainPending || d.Test || d.Default {
			f.t.Errorf("described as %+v", d)
		}
		token := d.Proof
		if token.Type != "TXT" || token.Hostname != "_pennypost.shop.example" || len(token.Value) != 44 {
			f.t.Errorf("proof %+v", token)
		}
		test := must(f.GetDomain(f.ctx, admin, f.org.ID, "acme.awsapps.com"))(f.t)
		if !test.Test || !test.Default || test.Status != DomainVerified || test.Proof != (DNSRecord{}) {
			f.t.Errorf("test domain %+v", test)
		}
		_, err := f.GetDomain(f.ctx, admin, f.org.ID, "unknown.example")
		f.wantFault(err, fault.NotFound, fault.Domain)
		f.wantFault(register("other.awsapps.com"), fault.InUse, fault.Domain)
		f.wantFault(register("nodot"), fault.Invalid, fault.Domain)
		f.wantFault(register("-bad.example"), fault.Invalid, fault.Domain)
		f.ok(register("second.example"))
		f.wantFault(register("third.example"), fault.Limit, fault.Domain)

		operator := principal.Principal{Kind: principal.Operator}
		other := f.organization("other")
		holder := func(name string, want OrgID) {
			f.t.Helper()
			if got := must(f.DomainHolder(f.ctx, operator, name))(f.t); got != want {
				f.t.Errorf("%s is %s's", name, got)
			}
		}
		holder("Shop.example", f.org.ID)
		for _, name := range []string{"shop.example", "second.example"} {
			f.ok(f.RegisterDomain(f.ctx, admin, other.ID, name, ""))
		}
		_, err = f.DomainHolder(f.ctx, operator, "second.example")
		f.wantFault(err, fault.Invalid, fault.Domain)
		for _, nobodys := range []string{"unknown.example", "\x00", "\xff"} {
			_, err = f.DomainHolder(f.ctx, operator, nobodys)
			f.wantFault(err, fault.NotFound, fault.Domain)
		}
		_, err = f.DomainHolder(f.ctx, admin, "shop.example")
		f.wantFault(err, fault.Denied, fault.None)

		f.wantFault(f.SetDefaultDomain(f.ctx, admin, f.org.ID, "shop.example"), fault.State, fault.Domain)
		f.wantFault(f.SetDefaultDomain(f.ctx, admin, f.org.ID, "unknown.example"), fault.NotFound, fault.Domain)
		f.ok(f.VouchForDomain(f.ctx, admin, f.org.ID, "shop.example"))
		holder("shop.example", f.org.ID) // who proved it, not who claims it
		f.ok(f.SetDefaultDomain(f.ctx, admin, f.org.ID, "SHOP.example"))
		f.ok(f.SetDefaultDomain(f.ctx, admin, f.org.ID, "shop.example"))

		domains, next, err := f.ListDomains(f.ctx, admin, f.org.ID, Page{Limit: 2})
		f.ok(err)
		if len(domains) != 2 || domains[0].Name != "acme.awsapps.com" || domains[1].Name != "second.example" || next == "" {
			f.t.Errorf("first page %+v %q", domains, next)
		}
		domains, next, err = f.ListDomains(f.ctx, admin, f.org.ID, Page{Limit: 2, After: next})
		f.ok(err)
		if len(domains) != 1 || !domains[0].Default || next != "" {
			f.t.Errorf("second page %+v %q", domains, next)
		}

		deregister := func(name string) error { return f.DeregisterDomain(f.ctx, admin, f.org.ID, name) }
		f.wantFault(deregister("shop.example"), fault.InUse, fault.Domain)     // the default
		f.wantFault(deregister("acme.awsapps.com"), fault.InUse, fault.Domain) // the test domain
		f.ok(f.SetDefaultDomain(f.ctx, admin, f.org.ID, "acme.awsapps.com"))
		ann := f.user("ann")
		f.enable(ann, "ann@shop.example")
		f.wantFault(deregister("Shop.example"), fault.InUse, fault.Domain) // has an address
		f.disable(ann)
		f.ok(deregister("Shop.example"))
		f.ok(deregister("shop.example"))
		_, err = f.GetDomain(f.ctx, admin, f.org.ID, "shop.example")
		f.wantFault(err, fault.NotFound, fault.Domain)
		f.enable(ann, "ann@acme.awsapps.com") // the address of the lost domain does not come back
		if got := f.aliases(ann); len(got) != 1 {
			f.t.Errorf("addresses %v", got)
		}
	})
}

func TestDomainToken(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, "one.example", "t"))
		f.ok(f.DeregisterDomain(f.ctx, admin, f.org.ID, "one.example"))
		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, "ONE.example", "t")) // answered from memory
		_, err := f.GetDomain(f.ctx, admin, f.org.ID, "one.example")
		f.wantFault(err, fault.NotFound, fault.Domain)
		f.wantFault(f.RegisterDomain(f.ctx, admin, f.org.ID, "two.example", "t"), fault.Invalid, fault.Token)
		other := f.organization("other")
		f.ok(f.RegisterDomain(f.ctx, admin, other.ID, "two.example", "t")) // tokens are an organisation's own
		f.clock.Advance(tokenLife + time.Second)
		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, "two.example", "t"))
	})
}

// TestDomainProof follows a domain that two organisations want, through what DNS says about it.
func TestDomainProof(t *testing.T) {
	z := zone{}
	onBothWith(t, Config{Resolver: z}, func(f *fixture) {
		clear(z)
		const name, host = "shop.example", "_pennypost.shop.example"
		other := f.organization("other")
		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, name, ""))
		f.ok(f.RegisterDomain(f.ctx, admin, other.ID, name, ""))
		mine := must(f.GetDomain(f.ctx, admin, f.org.ID, name))(f.t).Proof.Value
		theirs := must(f.GetDomain(f.ctx, admin, other.ID, name))(f.t).Proof.Value
		if mine == theirs {
			f.t.Fatal("two organisations have one token")
		}
		look := func(o *Organization, want DomainStatus) {
			f.t.Helper()
			f.ok(f.checkDomain(f.ctx, o.Key, name))
			if got := must(f.GetDomain(f.ctx, admin, o.ID, name))(f.t).Status; got != want {
				f.t.Errorf("%s: %s, want %s", o.Alias, got, want)
			}
		}
		look(f.org, DomainPending)
		z[host] = []string{"v=spf1 -all", theirs}
		look(f.org, DomainPending)
		look(other, DomainVerified)
		z[host] = []string{theirs, mine} // too late
		look(f.org, DomainPending)
		f.wantFault(f.VouchForDomain(f.ctx, admin, f.org.ID, name), fault.InUse, fault.Domain)
		f.wantFault(f.RegisterDomain(f.ctx, admin, f.organization("third").ID, name, ""), fault.InUse, fault.Domain)

		z[host] = errors.New("no server answered")
		f.clock.Advance(30 * 24 * time.Hour)
		look(other, DomainVerified) // nothing follows from no answer
		z[host] = []string{theirs}
		look(other, DomainVerified)
		z[host] = []string{mine}
		f.clock.Advance(71 * time.Hour)
		look(other, DomainVerified)
		f.clock.Advance(2 * time.Hour)
		look(other, DomainFailed)
		look(f.org, DomainVerified)
		var judged []string
		for _, r := range must(f.audit.Read(f.ctx, audit.Query{Organization: string(other.ID)}))(f.t) {
			if r.Operation == "MailDomainState" {
				judged = append(judged, r.Subject+" "+r.Detail)
			}
		}
		if !slices.Equal(judged, []string{name + " VERIFIED", name + " FAILED"}) {
			f.t.Errorf("the audit trail says %q", judged)
		}

		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, "late.example", ""))
		f.clock.Advance(73 * time.Hour)
		f.ok(f.checkDomain(f.ctx, f.org.Key, "late.example"))
		late := must(f.GetDomain(f.ctx, admin, f.org.ID, "late.example"))(f.t)
		if late.Status != DomainFailed {
			f.t.Errorf("after 73 hours: %s", late.Status)
		}
		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, "late.example", "")) // begins anew
		z["_pennypost.late.example"] = []string{late.Proof.Value}
		f.ok(f.checkDomain(f.ctx, f.org.Key, "late.example"))
		if got := must(f.GetDomain(f.ctx, admin, f.org.ID, "late.example"))(f.t).Status; got != DomainVerified {
			f.t.Errorf("proven late: %s", got)
		}
		f.ok(f.checkDomain(f.ctx, f.org.Key, "deregistered.example"))
	})
}

// TestDomainRace lets organisations prove one domain at once: one wins.
func TestDomainRace(t *testing.T) {
	onBoth(t, func(f *fixture) {
		var (
			group sync.WaitGroup
			mu    sync.Mutex
			won   int
		)
		var organizations []*Organization
		for i := range 6 {
			o := f.organization(fmt.Sprint("o", i))
			f.ok(f.RegisterDomain(f.ctx, admin, o.ID, "prize.example", ""))
			organizations = append(organizations, o)
		}
		for _, o := range organizations {
			group.Go(func() {
				err := f.VouchForDomain(f.ctx, admin, o.ID, "prize.example")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case !fault.Is(err, fault.InUse, fault.Domain):
					f.t.Error(err)
				}
			})
		}
		group.Wait()
		if won != 1 {
			f.t.Errorf("%d organisations proved one domain", won)
		}
	})
}

func TestRecipients(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann, list := f.user("ann"), f.group("list")
		f.enable(ann, "ann@acme.awsapps.com")
		f.enable(list, "ann+list@acme.awsapps.com")
		f.ok(f.RegisterDomain(f.ctx, admin, f.org.ID, "pending.example", ""))
		for _, c := range []struct {
			address string
			want    EntityID
			tag     string
			subject fault.Subject
		}{
			{"Ann@ACME.awsapps.com", ann, "", ""},
			{"ann+list@acme.awsapps.com", list, "", ""}, // a real address wins over the tag
			{"ann+Shop+x@acme.awsapps.com", ann, "Shop+x", ""},
			{"ann+@acme.awsapps.com", ann, "", ""},
			{"ben@acme.awsapps.com", "", "", fault.Address},
			{"+x@acme.awsapps.com", "", "", fault.Address},
			{"ann@pending.example", "", "", fault.Domain},
			{"ann@elsewhere.example", "", "", fault.Domain},
			{"no at", "", "", fault.Address},
			{"", "", "", fault.Address},
			{"a\x00nn@acme.awsapps.com", "", "", fault.Address},
			{"ann\xff@acme.awsapps.com", "", "", fault.Address},
			{strings.Repeat("a", 300) + "@acme.awsapps.com", "", "", fault.Address},
		} {
			f.read(func(ctx context.Context, tx *db.Tx) error {
				r, err := f.RecipientTx(ctx, tx, c.address)
				if c.want == "" {
					if !fault.Is(err, fault.NotFound, c.subject) {
						f.t.Errorf("%q: %v", c.address, err)
					}
					return nil
				}
				if err != nil || r.Entity.ID != c.want || r.Tag != c.tag || r.Organization != f.org.ID {
					f.t.Errorf("%q: %+v, %v", c.address, r, err)
				}
				return nil
			})
		}
		f.setState(f.org, OrgDeleting)
		f.read(func(ctx context.Context, tx *db.Tx) error {
			_, err := f.RecipientTx(ctx, tx, "ann@acme.awsapps.com")
			f.wantFault(err, fault.NotFound, fault.Domain)
			return nil
		})
	})
}

func TestSignInNames(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann := f.user("ann")
		f.enable(ann, "ann@acme.awsapps.com")
		f.ok(f.CreateAlias(f.ctx, admin, f.org.ID, ann, "boss@acme.awsapps.com"))
		f.user("off")
		mallory := f.user("ann@acme.awsapps.com") // a name that looks like ann's address
		f.enable(mallory, "mallory@acme.awsapps.com")
		list := f.group("list")
		f.enable(list, "list@acme.awsapps.com")
		find := func(name string) EntityID {
			who, err := f.SignInByName(f.ctx, name)
			if err != nil {
				f.wantFault(err, fault.NotFound, fault.Entity)
				return ""
			}
			return who.ID
		}
		for name, want := range map[string]EntityID{
			"ann": ann, "ANN@acme.AWSAPPS.com": ann, "boss@acme.awsapps.com": ann, `ACME\Ann`: ann, `acme.awsapps.com\ann`: ann,
			`acme\ann@acme.awsapps.com`: mallory, "list@acme.awsapps.com": "", "list": "", "nobody": "", `other\ann`: "", "off": "",
			"ann+tag@acme.awsapps.com": "", "": "", "\x00": "", "\xff": "",
		} {
			if got := find(name); got != want {
				f.t.Errorf("%q is %s, want %s", name, got, want)
			}
		}
		home := f.org
		f.org = f.organization("other")
		second := f.user("Ann")
		f.enable(second, "ann@other.awsapps.com")
		f.org = home
		if got := find("ann"); got != "" {
			f.t.Errorf("a bare name that two have is %s", got)
		}
		if got := find(`other\ann`); got != second {
			f.t.Errorf("with its organisation it is %s", got)
		}
	})
}
