package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dial"
)

// TestPrivateProvidersAreRefused names addresses of the server's own network as the issuer, by number and by name, and lets one that is
// allowed lead to one that is not.
func TestPrivateProvidersAreRefused(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inner server was reached") }))
	t.Cleanup(inner.Close)
	at, err := url.Parse(inner.URL)
	if err != nil {
		t.Fatal(err)
	}
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.2:"+at.Port()+"/", http.StatusFound)
	}))
	t.Cleanup(outer.Close)
	for issuer, allowed := range map[string]string{
		inner.URL: "10.0.0.0/8", "http://localhost:" + at.Port(): "10.0.0.0/8", "http://[::ffff:127.0.0.1]:" + at.Port(): "10.0.0.0/8",
		"https://10.1.2.3": "127.0.0.0/8", "https://192.168.1.1": "127.0.0.0/8", "http://169.254.169.254": "127.0.0.0/8", "https://[fe80::1]": "127.0.0.0/8",
		outer.URL: "127.0.0.1/32",
	} {
		p := newProvider(Provider{Issuer: issuer}, dial.New(nil, []netip.Prefix{netip.MustParsePrefix(allowed)}), clock.System{})
		if _, err := p.discover(t.Context()); !dial.IsRefused(err) {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}
