package certificate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
)

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
