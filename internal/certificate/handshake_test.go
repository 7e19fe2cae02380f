package certificate

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db/dbtest"
)

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
