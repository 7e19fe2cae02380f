package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/pennypost/pennypost/internal/db/dbtest"
)

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
