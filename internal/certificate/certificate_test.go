package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
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
		// The key stays where an operator publishes it, unless others have seen it.
		h = h.again(func(o *Options) { o.KeepKey = true })
		before := h.shown("a.example")
		h.pass()
		if !h.shown("a.example").PublicKey.(*ecdsa.PublicKey).Equal(before.PublicKey) || h.shown("a.example").NotAfter.Equal(before.NotAfter) {
			t.Error("the key is another, or the certificate the same")
		}
		if n, err := h.Retry(t.Context(), "A.example.", true); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		h.clock.Advance(time.Second)
		h.work()
		if h.shown("a.example").PublicKey.(*ecdsa.PublicKey).Equal(before.PublicKey) {
			t.Error("an operator wanted a certificate replaced, and the key is the same")
		}
	})
}

// TestIssuedCertificatesAreNotLost has a store that takes nothing, before an order and after it.
func TestIssuedCertificatesAreNotLost(t *testing.T) {
	d := dbtest.SQLite(t, Migrations())
	h := newHouse(t, d, "a.example")
	full := func(trigger string) {
		t.Helper()
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, trigger)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if names, _ := h.work(); len(names) != 1 {
		t.Fatal(names)
	}
	first := h.shown("a.example")
	h.clock.Advance(61 * day)
	full("CREATE TRIGGER disk_full BEFORE UPDATE ON acme_certificate BEGIN SELECT RAISE(ABORT, 'full'); END")
	if _, err := h.round(t.Context()); err == nil || len(h.ca.ordered()) > 0 {
		t.Errorf("ordered with nowhere to put it: %v", err)
	}
	full("DROP TRIGGER disk_full")
	full("CREATE TRIGGER disk_full BEFORE UPDATE OF chain ON acme_certificate BEGIN SELECT RAISE(ABORT, 'full'); END")
	for i, want := range []int{1, 0} {
		if _, err := h.round(t.Context()); err == nil || len(h.ca.ordered()) != want || h.shown("a.example").NotAfter.Equal(first.NotAfter) {
			t.Errorf("%d: %v", i, err)
		}
		h.clock.Advance(time.Minute)
	}
	full("DROP TRIGGER disk_full")
	if names, _ := h.work(); len(names) > 0 || h.again(nil).shown("a.example").NotAfter.Equal(first.NotAfter) {
		t.Errorf("ordered again: %v", names)
	}
}

// TestARetryMeanwhileCounts asks while an order is under way.
func TestARetryMeanwhileCounts(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		h := newHouse(t, d, "a.example")
		retry := func(replace bool) {
			h.ca.forge = func(*x509.Certificate) {
				h.ca.forge = nil
				if _, err := h.Retry(t.Context(), "", replace); err != nil {
					t.Error(err)
				}
			}
		}
		orders := func(what string, want ...int) {
			t.Helper()
			for i, n := range want {
				if names, _ := h.work(); len(names) != n {
					t.Errorf("%s, round %d: ordered %v", what, i+1, names)
				}
			}
		}
		retry(false)
		orders("a success is one", 1, 0)
		for _, replace := range []bool{false, true} {
			h.clock.Advance(61 * day)
			retry(replace)
			orders(fmt.Sprint("a renewal, replace ", replace), 1, map[bool]int{true: 1}[replace], 0)
		}
		h.clock.Advance(61 * day)
		h.ca.validity = -day // of no use
		orders("the first failure", 1, 0)
		h.clock.Advance(time.Minute)
		retry(false)
		orders("a failure", 1, 1, 0)
		h.Authority = nil
		if _, err := h.Retry(t.Context(), "", true); !fault.Is(err, fault.State, fault.Resource) {
			t.Errorf("nobody is there to be asked: %v", err)
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
	for wait, want := range map[time.Duration]time.Duration{time.Minute: time.Hour, 30 * time.Hour: 30 * time.Hour, 100 * day: maxWait} {
		if pause, _ := judge(limited{refused(acme.ProblemTypeRateLimited), wait}, 1); pause != want {
			t.Errorf("a CA that wants %v is asked after %v", wait, pause)
		}
	}
	if text := shown(errors.New(strings.Repeat("ü\x00", 4000))); len(text) > maxTrouble || strings.Contains(text, "\x00") {
		t.Errorf("kept: %d bytes", len(text))
	}
}

// TestExpiredCertificatesGiveWay shows what is good to who asks for no name, or one of More.
func TestExpiredCertificatesGiveWay(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "a.example", "b.example")
	h.More = func(context.Context) ([]string, error) { return []string{"mta-sts.example"}, nil }
	h.work()
	h.clock.Advance(50 * day)
	if _, err := h.Retry(t.Context(), "b.example", true); err != nil {
		t.Fatal(err)
	}
	h.work()
	h.clock.Advance(50 * day)
	for asked, want := range map[string]string{"": "b.example", "mta-sts.example": "b.example", "a.example": "a.example", "b.example": "b.example"} {
		if got := h.shown(asked); got.Subject.CommonName != want {
			t.Errorf("who asks for %q gets %s", asked, got.Subject.CommonName)
		}
	}
	h.clock.Advance(50 * day)
	if got := h.shown("").Subject.CommonName; got != "a.example" {
		t.Errorf("where all have expired, %s is shown", got)
	}
}

// TestForgetfulCA has another address for the CA's notices while the CA has forgotten the account, and is told to wait.
func TestForgetfulCA(t *testing.T) {
	d := dbtest.SQLite(t, Migrations())
	h := newHouse(t, d)
	mux := http.NewServeMux()
	s := httptest.NewTLSServer(mux)
	defer s.Close()
	problem := func(w http.ResponseWriter, status int, kind string) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"type": %q}`, kind)
	}
	mux.HandleFunc("/dir", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"newNonce": "%[1]s/nonce", "newAccount": "%[1]s/new", "newOrder": "%[1]s/order"}`, s.URL)
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Replay-Nonce", "n") })
	mux.HandleFunc("/old", func(w http.ResponseWriter, _ *http.Request) { problem(w, 400, acme.ProblemTypeAccountDoesNotExist) })
	mux.HandleFunc("/new", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", s.URL+"/account")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"status": "valid"}`))
	})
	mux.HandleFunc("/order", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		problem(w, http.StatusTooManyRequests, acme.ProblemTypeRateLimited)
	})
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	a := NewACME(ACMEOptions{DB: d, Root: h.Root, Clock: h.clock, Resolver: net.DefaultResolver, URL: s.URL + "/dir", Email: "new@a.example", Roots: roots, Challenge: HTTP01})
	if err := a.store.keepAccount(t.Context(), a.URL, &account{s.URL + "/old", "old@a.example", h.ca.key}, h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	_, err := a.Obtain(t.Context(), Order{Name: "a.example", Key: h.ca.key})
	if pause, _ := judge(err, 1); pause != 2*time.Hour {
		t.Errorf("asked again after %v: %v", pause, err)
	}
	known, err := a.store.account(t.Context(), a.URL)
	if err != nil || known.url != s.URL+"/account" || known.email != a.Email {
		t.Errorf("%+v, %v", known, err)
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
	if err != nil || reports[0].Name != "away.example" || reports[0].Standing != Elsewhere || reports[0].Faulty() || reports[0].Attempts < 2 || !strings.Contains(reports[0].Error, "another server") {
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
	standings := func() map[Standing]int {
		t.Helper()
		h.work()
		if reports, err = h.Report(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := map[Standing]int{}
		for _, r := range reports {
			n[r.Standing]++
		}
		return n
	}
	if n := standings(); len(n) != 2 || n[Wanted] != 2 || n[Unwanted] != burst+2 {
		t.Errorf("left: %v", n)
	}
	former := more
	more = append(slices.Clone(more), reports[2].Name)
	if n := standings(); n[Wanted] != 3 || n[Unwanted] != burst+1 {
		t.Errorf("one came back: %v", n)
	}
	more = former
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
	h.ca.fail[""] = errors.New("down")
	h.work()
	if names, _ := h.work(); len(names) > 0 {
		t.Error("the failure is not waited out")
	}
	h.ca.fail = map[string]error{}
	if _, names := h.pass(); len(names) != 1 || h.shown("a.example") == nil {
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

// zones are DNS zones; an alias that is changed between two look-ups leads elsewhere.
type zones struct {
	records map[Record]bool
	moved   bool
	fail    error
}

func (z *zones) Place(_ context.Context, name string) (zone, at string, err error) {
	if z.moved {
		return "elsewhere.example", name, nil
	}
	return "example", name, nil
}

func (z *zones) Add(_ context.Context, r Record) error {
	z.records[r] = true
	return z.fail
}

func (z *zones) Remove(_ context.Context, r Record) error {
	if z.fail == nil {
		delete(z.records, r)
	}
	return z.fail
}

// TestRecordsAreRemovedWhereTheyWereWritten changes an alias meanwhile, and cuts orders off.
func TestRecordsAreRemovedWhereTheyWereWritten(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		z := &zones{records: map[Record]bool{}}
		a := NewACME(ACMEOptions{DB: d, Root: h.Root, Clock: h.clock, Challenge: DNS01, TXT: z})
		c := acme.Challenge{Token: "tok", KeyAuthorization: "tok.thumb", Identifier: acme.Identifier{Type: "dns", Value: "a.example"}}
		present := func(want error) {
			t.Helper()
			z.moved, z.fail = false, want
			if err := a.solver(a.ACMEOptions).Present(t.Context(), c); !errors.Is(err, want) || want != nil && !errors.As(err, new(unwritten)) {
				t.Fatal(err)
			}
			z.moved, z.fail = true, nil
		}
		present(nil)
		ended, end := context.WithCancel(t.Context())
		end() // the server stops
		if err := a.solver(a.ACMEOptions).CleanUp(ended, c); err != nil || len(z.records) > 0 {
			t.Errorf("%v are left, %v", z.records, err)
		}
		present(errors.New("it timed out")) // and then it is killed
		if err := a.Tidy(t.Context()); err != nil || len(z.records) > 0 {
			t.Errorf("after a restart %v are left, %v", z.records, err)
		}
		present(nil)
		z.fail = errors.New("NOTAUTH")
		if err := a.Tidy(t.Context()); !errors.Is(err, z.fail) {
			t.Errorf("it can't be removed: %v", err)
		}
		h.clock.Advance(leftAfter)
		if err := a.Tidy(t.Context()); !errors.Is(err, z.fail) {
			t.Errorf("it can't be removed for long: %v", err)
		}
		if err := a.Tidy(t.Context()); err != nil {
			t.Errorf("it was given up: %v", err)
		}
	})
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
