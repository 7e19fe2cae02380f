package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/principal"
)

// DKIM keys come with a domain of an organisation, are counted while nobody publishes them, and go with the organisation.
func TestKeysOfAnOrganization(t *testing.T) {
	s, _ := start(t, settings(t, t.TempDir(), "dns-resolver", dnstest.New(t).Address), Options{})
	admin, ctx := principal.TheSystem("test"), t.Context()
	made, err := s.core.organizations.Create(ctx, admin, organization.Request{Alias: "one", Domains: []string{"one.example"}})
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for !holds() {
			if err := s.core.clock.Sleep(ctx, 5*time.Millisecond); err != nil {
				t.Fatal(what)
			}
		}
	}
	state := func() directory.OrgState {
		o, err := s.core.directory.DescribeOrganization(ctx, admin, made)
		if err != nil {
			t.Fatal(err)
		}
		return o.State
	}
	until("it is active", func() bool { return state() == directory.OrgActive })
	until("its keys are there", func() bool { return strings.Contains(scraped(ctx, t, s), "\npennypost_dkim_keys_unpublished 4\n") })
	if _, err := s.core.organizations.Delete(ctx, admin, made, organization.Deletion{}); err != nil {
		t.Fatal(err)
	}
	until("it is gone", func() bool { return state() == directory.OrgDeleted })
	text := scraped(ctx, t, s)
	if !strings.Contains(text, "\npennypost_dkim_keys_unpublished 0\n") || !strings.Contains(text, "\npennypost_dkim_messages_total{outcome=\"signed\"} 0\n") {
		t.Errorf("afterwards the metrics are %s", text)
	}
	if faults, err := s.core.check(ctx); err != nil || len(faults) > 0 {
		t.Errorf("check: %q, %v", faults, err)
	}
}

// scraped is what /metrics shows.
func scraped(ctx context.Context, t *testing.T, s *Server) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.metrics.handler(s.core.db).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
	return w.Body.String()
}
