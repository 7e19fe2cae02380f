package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/certificate"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/transport/domain/publish"
)

// someZones remembers what was changed.
type someZones struct {
	zone        string
	remove, add []publish.Record
	err         error
}

func (z *someZones) Records(context.Context, string) ([]publish.Record, error) {
	return nil, errors.New("nobody needs to read a zone for this")
}

func (z *someZones) Change(_ context.Context, zone string, remove, add []publish.Record) error {
	z.zone, z.remove, z.add = zone, remove, add
	return z.err
}

// hurried is a clock on which nobody waits; beforeNext is what happens meanwhile.
type hurried struct {
	clock.System
	beforeNext func(n int) error
	n          int
}

func (h *hurried) Sleep(context.Context, time.Duration) error {
	h.n++
	return h.beforeNext(h.n)
}

// TestChallengeRecords writes a record where an alias leads to, and waits until all name servers have it that answer.
func TestChallengeRecords(t *testing.T) {
	main, slow, down := dnstest.New(t), dnstest.New(t), dnstest.New(t)
	main.Add("example.com. 60 IN SOA ns. root. 1 1 1 1 1", "challenges.example. 60 IN SOA ns. root. 1 1 1 1 1", "_acme-challenge.a.example.com. 60 IN CNAME a.challenges.example.",
		"_acme-challenge.mta-sts.example.com. 60 IN CNAME www.challenges.example.")
	zones := &someZones{}
	h := &hurried{beforeNext: func(n int) error {
		if n == 3 {
			slow.Add(`a.challenges.example. 60 IN TXT "text"`)
		}
		if n > 3 {
			return context.DeadlineExceeded
		}
		return nil
	}}
	r := &challengeRecords{zones, dns.New(main.Address), h, []string{"a.example.com", "b.example.com"}}
	for name, want := range map[string]string{
		"_acme-challenge.a.example.com": "a.challenges.example", "_acme-challenge.b.example.com": "_acme-challenge.b.example.com",
		"_acme-challenge.mta-sts.example.com": "_acme-challenge.mta-sts.example.com", // whose alias is a tenant's
	} {
		zone, at, err := r.Place(t.Context(), name)
		if err != nil || at != want || !strings.HasSuffix(want, zone) {
			t.Errorf("%s: to be written into %s as %s, %v", name, zone, at, err)
		}
		record := certificate.Record{Zone: zone, Name: at, Text: "text"}
		if err := r.Add(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		if len(zones.add) != 1 || zones.zone != zone || zones.add[0].Name != want || zones.add[0].Data != "text" {
			t.Errorf("%s: written into %s: %+v", name, zones.zone, zones.add)
		}
		if err := r.Remove(t.Context(), record); err != nil || len(zones.remove) != 1 || zones.remove[0].Name != want {
			t.Errorf("%s: removed %+v, %v", name, zones.remove, err)
		}
	}
	if h.n != 3 {
		t.Errorf("where the name servers are not known it waited %d times for three records", h.n)
	}
	h.n = 0
	if err := r.writable(t.Context(), "mta-sts.example.com"); err != nil || zones.zone != "example.com" || len(zones.add)+len(zones.remove) > 0 {
		t.Errorf("changed in %s: %v and %v, %v", zones.zone, zones.add, zones.remove, err)
	}
	zones.err = errors.New("NOTAUTH")
	if err := r.writable(t.Context(), "mta-sts.example.com"); !errors.Is(err, zones.err) {
		t.Errorf("a zone of somebody else: %v", err)
	}
	down.FailAll(2)
	slow.Remove("a.challenges.example.", 16)
	record := certificate.Record{Name: "a.challenges.example", Text: "text"}
	if err := r.await(t.Context(), []*dns.Resolver{dns.New(slow.Address), dns.New(down.Address)}, record); err != nil || h.n != 3 {
		t.Errorf("asked %d times, %v", h.n, err)
	}
	record.Text = "another"
	if err := r.await(t.Context(), []*dns.Resolver{dns.New(slow.Address)}, record); err != nil {
		t.Errorf("what does not come in time: %v", err)
	}
}

// TestACMEIsForKeptStores starts servers with and without a store that is kept.
func TestACMEIsForKeptStores(t *testing.T) {
	more := []string{"acme", "mail.example", "acme-accept-terms", "true", "acme-directory", "https://127.0.0.1:1/dir", "acme-http", "127.0.0.1:0"}
	if _, err := New(t.Context(), settings(t, t.TempDir(), more...), Options{Memory: true, Log: quiet}); err == nil || !strings.Contains(err.Error(), "acme") {
		t.Errorf("a server that keeps nothing: %v", err)
	}
	s, _ := start(t, settings(t, t.TempDir(), more...), Options{})
	for path, want := range map[string]int{"/.well-known/acme-challenge/x": http.StatusNotFound, "/": http.StatusTeapot} {
		w := httptest.NewRecorder()
		s.answering(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })).
			ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	// Another thing than a challenge is not served there.
	answer, err := http.Get("http://" + s.listeners["acme_http"].Addr().String() + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("at acme_http the sign-in page answers %d", answer.StatusCode)
	}
	var b strings.Builder
	s.writeCertificates(&b)
	if !strings.Contains(b.String(), `pennypost_certificate_expiry_timestamp_seconds{name=""} `) {
		t.Errorf("the metrics: %s", b.String())
	}
}
