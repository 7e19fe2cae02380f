package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

const domain = "acme.example"

// A domain's keys come from its registration, by its job.
func TestARegisteredDomainGetsKeys(t *testing.T) {
	onBoth(t, func(w *world) {
		w.register(domain)
		if s := w.state(domain); s == nil || s.Status != directory.DomainPending || len(s.Keys) != 0 || !s.Checked.IsZero() {
			t.Fatalf("at its registration it has %+v", s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		runner, ended := job.NewRunner(w.DB, w.clock, w.Log), make(chan error, 1)
		w.Handle(runner)
		go func() { ended <- runner.Run(ctx) }()
		for w.state(domain).Checked.IsZero() { // the job was done
			if t.Context().Err() != nil {
				t.Fatal("the job is not done")
			}
		}
		cancel()
		w.must(<-ended)
		got := w.state(domain)
		for i, want := range []place{{RSA, Current}, {RSA, Next}, {Ed25519, Current}, {Ed25519, Next}} {
			k := got.Keys[i]
			r, err := dkim.ParseRecord(k.Value)
			if err != nil || r.Key == nil || k.Algorithm != want.algorithm || k.Role != want.role || !k.Seen.IsZero() ||
				k.Name != k.Selector+"._domainkey.acme.example" || !strings.HasPrefix(k.Selector, want.algorithm.String()+"-20261123-") || len(k.Selector) > 32 {
				t.Errorf("key %d is %+v, %v", i, k, err)
			}
		}
		if got.Status != directory.DomainPending || len(got.Keys) != 4 {
			t.Errorf("before they are published: %+v", got)
		}
		if w.state("acme.awsapps.com") != nil || w.Ensure(t.Context(), w.org.Key, "acme.awsapps.com") != nil || w.state("acme.awsapps.com") != nil {
			t.Error("a test domain has keys")
		}
	})
}

// The one test that waits for real keys.
func TestNewKeys(t *testing.T) {
	key, err := generate(RSA)
	if private, ok := key.(*rsa.PrivateKey); err != nil || !ok || private.N.BitLen() != 2048 {
		t.Errorf("%T, %v", key, err)
	}
}

func TestConcurrentEnsuresMakeOneSet(t *testing.T) {
	onBoth(t, func(w *world) {
		w.register(domain)
		other := w.again() // whose memory and turns are its own, as on another machine
		var all errgroup.Group
		for i := range 8 {
			s := w.Service
			if i%4 == 3 {
				s = other.Service
			}
			all.Go(func() error { return s.Ensure(t.Context(), w.org.Key, domain) })
		}
		w.must(all.Wait())
		if n := len(w.state(domain).Keys); n != 4 || w.made.Load() > 4 {
			t.Errorf("%d keys are there, %d of RSA were made", n, w.made.Load())
		}
		before := w.made.Load()
		w.must(w.Ensure(t.Context(), w.org.Key, "ACME.Example."))
		if w.made.Load() != before {
			t.Error("keys were made again")
		}
	})
}

// A domain that goes away while its keys are made gets none.
func TestKeysOfADomainThatIsGone(t *testing.T) {
	onBoth(t, func(w *world) {
		w.register(domain)
		o := w.Options
		o.Generate = func(a Algorithm) (crypto.Signer, error) {
			w.must(w.Directory.DeregisterDomain(t.Context(), admin, w.org.ID, domain))
			return w.generate(a)
		}
		w.must(New(o).Ensure(t.Context(), w.org.Key, domain))
		if s := w.state(domain); s != nil {
			t.Errorf("it has %+v", s)
		}
		w.look(domain) // its job finds nothing to do
	})
}

func TestSigning(t *testing.T) {
	onBoth(t, func(w *world) {
		w.register(domain)
		if got := w.signedBy(domain); len(got) != 0 {
			t.Errorf("a domain that is not proven is signed for by %q", got)
		}
		w.vouch(domain)
		// The first message makes the keys.
		rsaKey := func() string { return w.key(domain, RSA, Current).Selector }
		if got := w.signedBy(domain); len(got) != 1 || got[0] != rsaKey() {
			t.Errorf("signed by %q", got)
		}
		// Ed25519 signs while its record is there.
		ed := w.key(domain, Ed25519, Current)
		w.publish(ed)
		w.look(domain)
		if got := w.signedBy(domain); !slices.Equal(got, []string{rsaKey(), ed.Selector}) {
			t.Errorf("signed by %q", got)
		}
		w.zone.Fail(ed.Name, mdns.TypeTXT, mdns.RcodeServerFailure)
		w.look(domain)
		if got := w.signedBy(domain); len(got) != 2 {
			t.Errorf("while DNS does not answer, signed by %q", got)
		}
		w.zone.Repair(ed.Name, mdns.TypeTXT)
		w.withdraw(ed)
		w.look(domain)
		if got := w.signedBy(domain); len(got) != 1 {
			t.Errorf("without its record, signed by %q", got)
		}
		// The name as others may write it.
		fields, err := w.Sign(t.Context(), w.org.Key, "ACME.Example", []byte(text))
		if err != nil || !bytes.Contains(fields, []byte("d=acme.example;")) {
			t.Errorf("%s, %v", fields, err)
		}
		for org, name := range map[int64]string{w.org.Key: "else.example", w.organization("other").Key: domain, Server: domain} {
			if fields, err := w.Sign(t.Context(), org, name, []byte(text)); len(fields) > 0 || err != nil {
				t.Errorf("%s of %d: %s, %v", name, org, fields, err)
			}
		}
		if s := w.Stats(); s.Signed != 5 || s.Unsigned != 4 || s.Failed != 0 {
			t.Errorf("counted are %+v", s)
		}
	})
}

// A domain that loses its proof is signed for no more.
func TestNoSignatureForADomainThatFailed(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		if got := w.signedBy(domain); len(got) != 1 {
			t.Errorf("signed by %q", got)
		}
		w.exec(`UPDATE domain SET status = 2 WHERE name = $1`, domain)
		if got := w.signedBy(domain); len(got) != 0 {
			t.Errorf("signed by %q", got)
		}
	})
}

func TestTheServersOwnKeys(t *testing.T) {
	onBoth(t, func(w *world) {
		if got := w.signedBy(hostname); len(got) != 1 || w.key(hostname, RSA, Current).Selector != got[0] {
			t.Errorf("signed by %q", got)
		}
		w.publishAll(hostname)
		w.must(w.tend(t.Context(), Server, hostname))
		if s := w.state(hostname); s.Status != directory.DomainVerified {
			t.Errorf("published they are %+v", s)
		}
		renamed := w.again()
		renamed.Hostname = "new.pennypost.example"
		w.must(renamed.tend(t.Context(), Server, hostname))
		if s := w.state(hostname); s != nil {
			t.Errorf("under another name the server keeps %+v", s)
		}
		renamed.Hostname = "localhost"
		if fields, err := renamed.Sign(t.Context(), Server, "localhost", []byte(text)); len(fields) > 0 || err != nil {
			t.Errorf("for localhost: %s, %v", fields, err)
		}
	})
}

// What is passed on is sealed once everybody can see the key.
func TestSealing(t *testing.T) {
	onBoth(t, func(w *world) {
		none := arc.Chain{Result: dkim.None}
		if sets, err := w.Seal(t.Context(), []byte(text), "mail; spf=pass", none); len(sets) > 0 || err != nil {
			t.Errorf("with a key that nobody can see: %s, %v", sets, err)
		}
		w.publishAll(hostname)
		w.must(w.tend(t.Context(), Server, hostname))
		v := &dkim.Verifier{Resolver: dkim.Resolver{TXT: w.Resolver.LookupTXT, IsNotFound: func(err error) bool { return errors.Is(err, dns.ErrNotFound) }}, Now: w.clock.Now}
		b, chain := []byte(text), none
		for i := range 2 {
			sets, err := w.Seal(t.Context(), b, "mail; spf=pass", chain)
			w.must(err)
			b = append(sets, b...)
			if chain = arc.Verify(t.Context(), v, b); chain.Result != dkim.Pass || chain.Instance != i+1 || chain.Domains[i] != hostname || chain.Results != "mail; spf=pass" {
				t.Errorf("the chain is %+v", chain)
			}
		}
		local := w.again()
		local.Hostname = "localhost"
		if sets, err := local.Seal(t.Context(), []byte(text), "mail; spf=pass", none); len(sets) > 0 || err != nil {
			t.Errorf("of localhost: %s, %v", sets, err)
		}
	})
}

// What is damaged refuses mail until the job replaces it.
func TestADamagedKeyIsReplaced(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		w.look(domain)
		w.publishAll(domain)
		w.look(domain)
		damaged, next := w.key(domain, RSA, Current), w.key(domain, RSA, Next)
		w.exec(`UPDATE dkim_key SET sealed = $2 WHERE selector = $1`, damaged.Selector, []byte("nonsense"))
		if faults := w.check(); len(faults) != 1 || !strings.Contains(faults[0], damaged.Selector) {
			t.Errorf("check says %q", faults)
		}
		w.Service = w.again().Service // with an empty memory
		w.exec(`DELETE FROM job`)
		_, err := w.Sign(t.Context(), w.org.Key, domain, []byte(text))
		if !fault.Is(err, fault.Temporary, fault.Message) || w.Stats().Failed != 1 {
			t.Errorf("%v, counted are %+v", err, w.Stats())
		}
		w.must(w.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if ordered, err := job.ExistsTx(ctx, tx, keysKind, fmt.Sprintf("%d/%s", w.org.Key, domain)); err != nil || !ordered {
				t.Errorf("no job is ordered: %v", err)
			}
			return nil
		}))
		w.look(domain)
		if got := w.signedBy(domain); len(got) != 2 || got[0] != next.Selector {
			t.Errorf("signed by %q, want %s", got, next.Selector)
		}
		if k := w.key(domain, RSA, Old); k == nil || k.Selector != damaged.Selector {
			t.Errorf("what it signed before can be verified by %+v", k)
		}
		w.look(domain)
		if w.key(domain, RSA, Next) == nil {
			t.Error("no key is next")
		}
		w.exec(`DELETE FROM dkim_key WHERE selector = $1`, damaged.Selector) // so that nothing is wrong
	})
}

// A next key that is damaged is made anew, and never signs.
func TestADamagedNextKeyIsMadeAnew(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		w.look(domain)
		damaged := w.key(domain, RSA, Next)
		w.exec(`UPDATE dkim_key SET sealed = $2 WHERE selector = $1`, damaged.Selector, []byte("nonsense"))
		w.look(domain)
		w.look(domain)
		if k := w.key(domain, RSA, Next); k == nil || k.Selector == damaged.Selector {
			t.Errorf("next is %+v", k)
		}
	})
}

func TestKeysGoWithTheirDomain(t *testing.T) {
	onBoth(t, func(w *world) {
		for _, name := range []string{domain, "second.example", "third.example"} {
			w.vouch(name)
			w.look(name)
			w.signedBy(name)
		}
		before := w.key(domain, RSA, Current).Selector
		w.must(w.Directory.DeregisterDomain(t.Context(), admin, w.org.ID, domain))
		if s := w.state(domain); s != nil || len(w.signedBy(domain)) != 0 {
			t.Errorf("it has %+v", s)
		}
		w.vouch(domain)
		w.look(domain)
		if w.key(domain, RSA, Current).Selector == before {
			t.Error("a key is back from the dead")
		}
		w.write(func(ctx context.Context, tx *db.Tx) error {
			for n := 0; ; {
				more, err := w.EraseTx(ctx, tx, w.org, 4)
				if n += more; err != nil || more < 4 {
					if n != 15 {
						t.Errorf("%d rows were erased", n)
					}
					return err
				}
			}
		})
		w.exec(`DELETE FROM domain WHERE NOT is_test`)
		if s := w.state("second.example"); s != nil {
			t.Errorf("of the organization is left %+v", s)
		}
	})
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		w.look(domain)
		w.register("second.example")
		w.exec(`DELETE FROM dkim_domain WHERE domain = 'second.example'`)
		w.exec(`INSERT INTO dkim_domain (organization, domain, status, begun, checked, seen) VALUES (1, 'third.example', 0, 0, 0, 0)`)
		w.exec(`UPDATE dkim_key SET public = 'AAAA' WHERE selector = $1`, w.key(domain, RSA, Next).Selector)
		w.exec(`UPDATE dkim_key SET organization = 1 WHERE selector = $1`, w.key(domain, Ed25519, Next).Selector)
		if faults := w.check(); len(faults) != 4 {
			t.Errorf("found are %d: %q", len(faults), faults)
		}
		w.exec(`DELETE FROM dkim_key`)
		w.exec(`DELETE FROM dkim_domain`)
		w.exec(`DELETE FROM domain WHERE NOT is_test`)
	})
}

func TestWhichRecordsHoldAKey(t *testing.T) {
	key := Key{Value: "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}
	const p = "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	for record, want := range map[string]bool{
		key.Value:        true,
		"k=ed25519;" + p: true,
		"v=DKIM1;t=y;k=ed25519;n=ours;" + p + ";":                                                true,
		"v=DKIM1; k=ed25519; s=email; h=sha256; p=11qYAYKxCrfVS/7TyWQH Og7hcvPapiMlrwIaaPcHURo=": true,
		"v=DKIM1; k=ed25519; h=sha1; " + p:                                                       false,
		"v=DKIM1; k=ed25519; s=other; " + p:                                                      false,
		"v=DKIM1; " + p:                                                                          false,
		"v=DKIM1; k=ed25519; p=":                                                                 false,
		"v=spf1 -all":                                                                            false,
	} {
		if got := key.In([]string{"something else", record}); got != want {
			t.Errorf("%s: %v", record, got)
		}
	}
}

func TestUnpublishedKeysAreCounted(t *testing.T) {
	onBoth(t, func(w *world) {
		w.register(domain)
		w.look(domain)
		w.publish(w.key(domain, RSA, Current))
		w.look(domain)
		if n, err := w.Unpublished(t.Context()); n != 3 || err != nil {
			t.Errorf("%d keys are not in DNS, %v", n, err)
		}
	})
}

// A registration that failed begins anew with its domain.
func TestRegisteringAgainBeginsAnew(t *testing.T) {
	onBoth(t, func(w *world) {
		w.register(domain)
		w.look(domain)
		w.clock.Advance(patience + time.Minute)
		w.look(domain)
		if s := w.state(domain); s.Status != directory.DomainFailed {
			t.Fatalf("after 72 hours without: %+v", s)
		}
		w.exec(`UPDATE domain SET status = 2 WHERE name = $1`, domain)
		w.register(domain)
		w.look(domain)
		if s := w.state(domain); s.Status != directory.DomainPending || len(s.Keys) != 4 {
			t.Errorf("registered again: %+v", s)
		}
	})
}
