package server

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/dial"
)

// TestPrivateAddressesAreRefused names addresses of the server's own network, by number and by name, where log groups and external
// directories lead, and lets a log sink that is allowed lead to one that is not. The other features have this test beside them.
func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inner server was reached") }))
	t.Cleanup(inner.Close)
	at, err := url.Parse(inner.URL)
	if err != nil {
		t.Fatal(err)
	}
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.2:"+at.Port()+"/", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(outer.Close)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(kind, url string, d *dial.Dialer) error {
		const group = "arn:aws:logs:us-east-1:000000000000:log-group:/mail:*"
		s, err := newSink(group, config.LogGroup{Kind: kind, URL: url}, d)
		if err != nil {
			t.Fatal(err)
		}
		return s.Send(t.Context(), []audit.LogRecord{{Time: clock.System{}.Now(), Organization: "m-0", JSON: []byte("{}")}})
	}
	features := map[string]func(host string, d *dial.Dialer) error{
		"a directory": func(host string, d *dial.Dialer) error {
			found, err := externalDirectories(&config.Config{Directory: map[string]config.Directory{"d-0123456789": {
				URL: "ldaps://" + host, Preset: "rfc", Base: "dc=x", BindDN: "cn=x", BindPasswordFile: password,
			}}}, d)
			if err != nil {
				t.Fatal(err)
			}
			defer found["d-0123456789"].Close()
			return found["d-0123456789"].Probe(t.Context())
		},
	}
	for _, kind := range []string{"https", "otlp", "cloudwatch"} {
		features[kind] = func(host string, d *dial.Dialer) error { return send(kind, "https://"+host+"/", d) }
	}
	for name, reach := range features {
		for host, allowed := range map[string]string{
			at.Host: "10.0.0.0/8", "localhost:" + at.Port(): "10.0.0.0/8", "[::ffff:127.0.0.1]:" + at.Port(): "10.0.0.0/8",
			"10.1.2.3:636": "127.0.0.0/8", "192.168.1.1:636": "127.0.0.0/8", "169.254.169.254:80": "127.0.0.0/8", "[fe80::1]:636": "127.0.0.0/8",
		} {
			err := reach(host, dial.New(nil, []netip.Prefix{netip.MustParsePrefix(allowed)}))
			if !dial.IsRefused(err) {
				t.Errorf("%s at %s: %v", name, host, err)
			}
		}
	}
	for kind, words := range map[string]string{"otlp": "has not allowed it", "cloudwatch": "307"} { // the AWS SDK follows no redirect of these
		if err := send(kind, outer.URL, dial.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s, redirected: %v", kind, err)
		}
	}
}
