package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

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
