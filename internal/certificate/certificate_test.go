package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/secret"
)

func refused(kind string) error {
	return fmt.Errorf("no: %w", acme.Problem{Type: kind, Detail: "said so"})
}

// check fails for every inconsistency of the store.
func (h *house) check() (faults []string) {
	h.t.Helper()
	err := h.DB.Read(h.t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		faults, err = h.Check(ctx, tx)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return faults
}

func TestOrderedOnceAndKept(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		h := newHouse(t, d, "a.example", "b.example")
		if h.shown("a.example") != nil {
			t.Error("there is a certificate before the first was ordered")
		}
		if names, wait := h.work(); !slices.Equal(names, []string{"a.example", "b.example"}) || wait != askEvery {
			t.Errorf("ordered %v, then nothing for %v", names, wait)
		}
		for asked, want := range map[string]string{
			"a.example": "a.example", "B.Example": "b.example", "": "a.example", "c.example": "a.example", "localhost": "a.example",
		} {
			if got := h.shown(asked); got == nil || got.Subject.CommonName != want {
				t.Errorf("who asks for %q gets %v", asked, got)
			}
		}
		h = h.again(nil)
		if got := h.shown("b.example"); got == nil || got.Subject.CommonName != "b.example" {
			t.Errorf("after a restart: %v", got)
		}
		for range 3 {
			if names, wait := h.work(); len(names) > 0 {
				t.Errorf("ordered again: %v", names)
			} else {
				h.clock.Advance(wait)
			}
		}
		if faults := h.check(); len(faults) > 0 {
			t.Errorf("inconsistent: %v", faults)
		}
	})
}

func TestReplacedInTime(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		h := newHouse(t, d, "a.example")
		h.work()
		first := h.shown("a.example")
		if after, _ := h.pass(); after != 60*day {
			t.Errorf("it is replaced after %v", after)
		}
		second := h.shown("a.example")
		if second.SerialNumber.Cmp(first.SerialNumber) == 0 && second.NotAfter.Equal(first.NotAfter) {
			t.Error("the former one is still shown")
		}
		if second.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) {
			t.Error("the key is the same")
		}
		// The CA wants it back: RFC 9773.
		h.ca.replace, h.ca.again = h.clock.Now().Add(20*day), h.clock.Now().Add(time.Minute)
		if after, _ := h.pass(); after != 20*day {
			t.Errorf("it is replaced after %v, where the CA says 20 days", after)
		}
		// One that wants them back as soon as they are made is not obeyed for ever.
		h.ca.replace, h.ca.again = h.clock.Now().Add(-time.Hour), time.Time{}
		if after, _ := h.pass(); after != 9*day {
			t.Errorf("it is replaced after %v, where the CA wants it back at once", after)
		}
		h.ca.replace = time.Time{}
		h.ca.fail["renewal"] = errors.New("not now")
		if after, _ := h.pass(); after != 60*day {
			t.Errorf("it is replaced after %v, where the CA does not say when", after)
		}
		// The key stays where an operator publishes it.
		h = h.again(func(o *Options) { o.KeepKey = true })
		before := h.shown("a.example")
		if n, err := h.Retry(t.Context(), "A.example.", true); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		h.clock.Advance(time.Second)
		h.work()
		if now := h.shown("a.example"); !now.PublicKey.(*ecdsa.PublicKey).Equal(before.PublicKey) || now.NotAfter.Equal(before.NotAfter) && now.SerialNumber.Cmp(before.SerialNumber) == 0 {
			t.Error("the key is another, or the certificate the same")
		}
	})
}

func TestFailuresAreToldAndTriedAgain(t *testing.T) {
	d := dbtest.SQLite(t, Migrations())
	h := newHouse(t, d, "a.example", "b.example")
	h.ca.fail["a.example"] = errors.New("connection refused")
	h.work()
	if h.shown("a.example").Subject.CommonName != "b.example" {
		t.Error("one failure keeps the other from its certificate")
	}
	delays := func(n int) (list []time.Duration) {
		t.Helper()
		for range n {
			after, names := h.pass()
			if !slices.Equal(names, []string{"a.example"}) {
				t.Fatalf("ordered %v", names)
			}
			list = append(list, after.Round(10*time.Second))
		}
		return list
	}
	if got := delays(9); got[0] > 10*time.Second || got[8] < 20*time.Minute || got[8] > 28*time.Minute {
		t.Errorf("who can't be reached is asked again after %v", got)
	}
	// Five an hour are allowed.
	h.ca.fail["a.example"] = refused(acme.ProblemTypeUnauthorized)
	if _, err := h.Retry(t.Context(), "", false); err != nil {
		t.Fatal(err)
	}
	if got := delays(5); got[0] != 0 || got[1]+got[2]+got[3]+got[4] < 30*time.Minute {
		t.Errorf("who refused is asked again after %v", got)
	}
	reports, err := h.Report(t.Context())
	if err != nil || len(reports) != 2 {
		t.Fatalf("%+v, %v", reports, err)
	}
	if r := reports[0]; r.Name != "a.example" || r.Attempts != 5 || !strings.Contains(r.Error, "said so") || r.Failed.IsZero() || !r.NotAfter.IsZero() || !r.Next.After(h.clock.Now()) {
		t.Errorf("%+v", r)
	}
	if r := reports[1]; r.Attempts != 0 || r.Error != "" || r.NotAfter.IsZero() || r.Directory != h.ca.directory {
		t.Errorf("%+v", r)
	}
	if log := h.log.String(); !strings.Contains(log, "acme_ca_file") || !strings.Contains(log, "acme_http") || !strings.Contains(log, "held_until=never") {
		t.Errorf("the log does not say what to do:\n%s", log)
	}
	h.ca.fail = map[string]error{}
	if _, names := h.pass(); !slices.Equal(names, []string{"a.example"}) || h.shown("a.example").Subject.CommonName != "a.example" {
		t.Errorf("ordered %v", names)
	}
	if reports, err = h.Report(t.Context()); err != nil || reports[0].Attempts != 0 || reports[0].Error != "" {
		t.Errorf("after the success: %+v, %v", reports, err)
	}
	if _, err := h.Retry(t.Context(), "other.example", false); !fault.Is(err, fault.NotFound, fault.Resource) {
		t.Errorf("a name that is to have none: %v", err)
	}
	if n, err := h.Retry(t.Context(), "a.example", false); n != 0 || err != nil {
		t.Errorf("a name that is well: %d, %v", n, err)
	}
}

func TestAdvice(t *testing.T) {
	for kind, want := range map[string]struct {
		first time.Duration
		words string
	}{
		acme.ProblemTypeRateLimited: {time.Hour, "staging"}, acme.ProblemTypeDNS: {2 * time.Minute, "acme_dns_provider"},
		acme.ProblemTypeCAA: {2 * time.Minute, "CAA"}, acme.ProblemTypeRejectedIdentifier: {2 * time.Minute, "take it out"},
		acme.ProblemTypeExternalAccountRequired: {2 * time.Minute, "acme_eab_key_id"}, acme.ProblemTypeUserActionRequired: {2 * time.Minute, "terms"},
		acme.ProblemTypeInvalidContact: {2 * time.Minute, "acme_email"}, acme.ProblemTypeServerInternal: {2 * time.Minute, "says why"},
	} {
		if pause, advice := judge(refused(kind), 1); pause != want.first || !strings.Contains(advice, want.words) {
			t.Errorf("%s: %v, %s", kind, pause, advice)
		}
	}
	err := fmt.Errorf("solving challenges: %w", unwritten{errors.New("NOTAUTH")})
	if first, advice := judge(err, 1); first != 2*time.Minute || !strings.Contains(advice, "acme_dns_provider") {
		t.Errorf("a record that can't be written: %v, %s", first, advice)
	}
	if last, _ := judge(err, 1000); last != 24*time.Hour {
		t.Errorf("a record that can't be written is tried every %v in the end", last)
	}
	if pause, _ := judge(refused(""), 1000); pause != 12*time.Hour {
		t.Errorf("in the end it is tried every %v", pause)
	}
	if text := shown(errors.New(strings.Repeat("ü\x00", 4000))); len(text) > maxTrouble || strings.Contains(text, "\x00") {
		t.Errorf("kept: %d bytes", len(text))
	}
}

func TestUselessCertificatesAreNotShown(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "a.example")
	for words, forge := range map[string]func(*x509.Certificate){
		"not other.example": func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} },
		"expired":           func(c *x509.Certificate) { c.NotAfter = h.clock.Now().Add(-time.Minute) },
	} {
		h.ca.forge = forge
		h.pass()
		reports, err := h.Report(t.Context())
		if err != nil || !strings.Contains(reports[0].Error, "of no use") || h.shown("a.example") != nil {
			t.Errorf("%s: %+v, %v", words, reports, err)
		}
	}
}

func TestNamesOfDomains(t *testing.T) {
	d := dbtest.SQLite(t, Migrations())
	h := newHouse(t, d, "mail.example")
	var more []string
	for i := range burst + 3 {
		more = append(more, fmt.Sprintf("mta-sts.d%02d.example", i))
	}
	more = append(more, "away.example", "mail.example")
	h.More = func(context.Context) ([]string, error) { return more, nil }
	h.Leads = func(_ context.Context, name string) error {
		if name == "away.example" {
			return errors.New("it leads to another server")
		}
		return nil
	}
	names, wait := h.work()
	if len(names) != 1+burst || names[0] != "mail.example" || wait != refill {
		t.Errorf("%d ordered, the first %s, then nothing for %v", len(names), names[0], wait)
	}
	for range 3 {
		if after, names := h.pass(); after != refill || len(names) != 1 {
			t.Errorf("after %v ordered %v", after, names)
		}
	}
	for range 20 { // what leads elsewhere is looked at now and then, and never ordered
		names, wait := h.work()
		if slices.Contains(names, "away.example") {
			t.Fatal("a certificate for a name that leads elsewhere was ordered")
		}
		h.clock.Advance(wait)
	}
	reports, err := h.Report(t.Context())
	if err != nil || reports[0].Name != "away.example" || reports[0].Attempts < 2 || !strings.Contains(reports[0].Error, "another server") {
		t.Errorf("%+v, %v", reports[0], err)
	}
	if h.shown("mta-sts.d22.example").Subject.CommonName != "mta-sts.d22.example" || h.shown("away.example").Subject.CommonName != "mail.example" {
		t.Error("the wrong certificate is shown")
	}
	h = h.again(nil)
	for range 2 { // from the store, then from memory
		if h.shown("mta-sts.d22.example").Subject.CommonName != "mta-sts.d22.example" {
			t.Error("the wrong certificate is shown after a restart")
		}
	}
	// Domains go: what is good stays until its end, what never was goes.
	more = more[:1]
	h.work()
	if reports, err = h.Report(t.Context()); err != nil || len(reports) != burst+3+1 {
		t.Errorf("%d are left, %v", len(reports), err)
	}
	h.clock.Advance(91 * day)
	h.work()
	if reports, err = h.Report(t.Context()); err != nil || len(reports) != 2 {
		t.Errorf("%d are left, %v", len(reports), err)
	}
}

// TestFailingNamesStarveNobody has more names that fail than orders are allowed, and others that come later or have something to lose.
func TestFailingNamesStarveNobody(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "mail.example")
	h.ca.validity = 9 * time.Hour
	more := []string{"z.good.example"}
	h.More = func(context.Context) ([]string, error) { return more, nil }
	h.work()
	for i := range 90 {
		name := fmt.Sprintf("a%02d.bad.example", i)
		more, h.ca.fail[name] = append(more, name), errors.New("connection refused")
	}
	orders := map[string]int{}
	for end := h.clock.Now().Add(7 * time.Hour); h.clock.Now().Before(end); h.clock.Advance(2 * time.Minute) {
		names, _ := h.work()
		for _, name := range names {
			orders[name]++
		}
		if h.clock.Now().Equal(end.Add(-3 * time.Hour)) {
			more = append(more, "zz.late.example")
		}
	}
	for _, name := range []string{"mail.example", "z.good.example", "zz.late.example"} {
		if orders[name] != 1 {
			t.Errorf("%s was ordered %d times", name, orders[name])
		}
	}
}

// TestMemoryIsBounded shows more certificates than are kept in memory.
func TestMemoryIsBounded(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "mail.example")
	var more []string
	for i := range maxLoaded + 20 {
		more = append(more, fmt.Sprintf("d%d.example", i))
	}
	h.More = func(context.Context) ([]string, error) { return more, nil }
	h.tokens, h.refilled = len(more), h.clock.Now()
	for range len(more)/stretch + 1 {
		h.tokens = len(more)
		h.work()
	}
	for _, name := range append(slices.Clone(more), more...) {
		if c := h.shown(name); c == nil || c.Subject.CommonName != name {
			t.Fatalf("%s: %v", name, c)
		}
	}
	n := 0
	for _, held := range h.held {
		if held.certificate != nil {
			n++
		}
	}
	if n > maxLoaded+1 {
		t.Errorf("%d certificates are in memory", n)
	}
}

func TestAnotherCA(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "a.example")
	h.work()
	first := h.shown("a.example")
	other := &ca{directory: "https://other.example/dir", clock: h.clock, validity: 90 * day, key: h.ca.key, fail: map[string]error{"": errors.New("not yet")}}
	h = h.again(func(o *Options) { o.Authority = other })
	h.ca = other
	if names, _ := h.work(); len(names) != 1 || h.shown("a.example").SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Errorf("ordered %v, and the former certificate is not shown meanwhile", names)
	}
	if names, _ := h.work(); len(names) != 0 {
		t.Error("the failure is not waited out")
	}
	other.fail = map[string]error{}
	h.pass()
	if reports, err := h.Report(t.Context()); err != nil || reports[0].Directory != other.directory {
		t.Errorf("%+v, %v", reports, err)
	}
}

func TestDamagedKeysAreFoundAndReplaced(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "a.example")
	h.work()
	if err := h.store.keepAccount(t.Context(), h.ca.directory, &account{key: h.ca.key}, h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	h = h.again(func(o *Options) { o.Root = secret.Ephemeral() })
	if faults := h.check(); len(faults) != 2 || !strings.Contains(faults[0], "a.example") || !strings.Contains(faults[1], h.ca.directory) {
		t.Errorf("found: %q", faults)
	}
	if h.shown("a.example") != nil {
		t.Error("a certificate without its key is shown")
	}
	if names, _ := h.work(); len(names) != 1 || h.shown("a.example") == nil {
		t.Errorf("ordered %v", names)
	}
}

// TestRunWakesForARetry lets the manager's goroutine wait, and tells it to try again, while others shake hands.
func TestRunWakesForARetry(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		h := newHouse(t, d, "a.example")
		h.ca.fail[""] = errors.New("down")
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if err := h.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		until := func(what string, done func() bool) {
			t.Helper()
			for end := time.Now().Add(time.Minute); !done(); {
				if time.Now().After(end) {
					t.Fatal(what)
				}
			}
		}
		tried := func() bool { return len(h.ca.ordered()) > 0 }
		until("it does not begin", tried)
		h.ca.mu.Lock()
		h.ca.fail = map[string]error{}
		h.ca.mu.Unlock()
		until("it does not try again", func() bool {
			_, err := h.Retry(ctx, "", false)
			return err != nil || h.shown("a.example") != nil
		})
		stop()
		all.Wait()
	})
}

func TestNothingIsSentWithoutAnAuthority(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "a.example")
	h.Authority = nil
	if err := h.Run(t.Context()); err != nil || len(h.ca.ordered()) > 0 {
		t.Errorf("%v", err)
	}
}

// TestWhatTheCAFinds asks as a CA does, before, while and after it is to look.
func TestWhatTheCAFinds(t *testing.T) {
	c := acme.Challenge{Token: "tok", KeyAuthorization: "tok.thumb", Identifier: acme.Identifier{Type: "dns", Value: "a.example"}}
	a := NewACME(ACMEOptions{Challenge: HTTP01})
	ask := func(method, path string) string {
		r := httptest.NewRequest(method, path, http.NoBody)
		if a.Serves(r) != strings.HasPrefix(path, challengePath) {
			t.Errorf("%s: served or not", path)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
	}
	h := &house{Manager: New(Options{Authority: a}), t: t}
	handshake := func(name string, protocols ...string) (answered bool) {
		greeted(t, func(info *tls.ClientHelloInfo) { answered = h.Challenge(info) != nil }, name, protocols...)
		return answered
	}
	for _, kind := range []string{HTTP01, TLSALPN01} {
		solver := a.solver(ACMEOptions{Challenge: kind})
		if got := ask("GET", challengePath+"tok"); !strings.HasPrefix(got, "404") || handshake("a.example", acmez.ACMETLS1Protocol) {
			t.Errorf("%s, before: %s", kind, got)
		}
		if err := solver.Present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if kind == HTTP01 {
			for request, want := range map[string]string{"GET tok": "200 tok.thumb", "HEAD tok": "200", "POST tok": "404", "GET other": "404"} {
				method, token, _ := strings.Cut(request, " ")
				if got := ask(method, challengePath+token); !strings.HasPrefix(got, want) {
					t.Errorf("%s: %s", request, got)
				}
			}
			ask("GET", "/elsewhere")
		} else if !handshake("A.example", acmez.ACMETLS1Protocol) || handshake("b.example", acmez.ACMETLS1Protocol) || handshake("a.example", "h2") || handshake("a.example", "h2", acmez.ACMETLS1Protocol) {
			t.Error("the wrong handshakes are the CA's")
		}
		if err := solver.CleanUp(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask("GET", challengePath+"tok"); !strings.HasPrefix(got, "404") || handshake("a.example", acmez.ACMETLS1Protocol) {
		t.Errorf("afterwards: %s", got)
	}
}
