package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

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

// TestIssuedWhileTheServerStops: what the CA has issued is not ordered again.
func TestIssuedWhileTheServerStops(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		h := newHouse(t, d, "a.example")
		ctx, stop := context.WithCancel(t.Context())
		h.ca.forge = func(*x509.Certificate) { stop() }
		if _, err := h.round(ctx); err != nil {
			t.Error(err)
		}
		h.ca.ordered()
		if h = h.again(nil); h.shown("a.example") == nil {
			t.Error("there is no certificate after a restart")
		}
		if names, _ := h.work(); len(names) > 0 {
			t.Errorf("ordered again: %v", names)
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
