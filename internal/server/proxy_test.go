package server

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestClientAddressBehindProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.1:5", nil, "192.0.2.1:5"},
		{"a stranger's header is not believed", "192.0.2.1:5", []string{"198.51.100.9"}, "192.0.2.1:5"},
		{"one proxy", "10.1.1.1:5", []string{"198.51.100.9"}, "198.51.100.9:0"},
		{"what the client wrote itself is not believed", "10.1.1.1:5", []string{"203.0.113.1, 198.51.100.9"}, "198.51.100.9:0"},
		{"two proxies", "10.1.1.1:5", []string{"203.0.113.1, 198.51.100.9, 10.2.2.2"}, "198.51.100.9:0"},
		{"two headers", "10.1.1.1:5", []string{"198.51.100.9", "10.2.2.2"}, "198.51.100.9:0"},
		{"with a port", "10.1.1.1:5", []string{"198.51.100.9:4711"}, "198.51.100.9:0"},
		{"IPv6", "[fd00::1]:5", []string{"2001:db8::7"}, "[2001:db8::7]:0"},
		{"IPv6 in brackets", "[fd00::1]:5", []string{"[2001:db8::7]"}, "[2001:db8::7]:0"},
		{"IPv4 in IPv6", "[::ffff:10.1.1.1]:5", []string{"::ffff:198.51.100.9"}, "198.51.100.9:0"},
		{"nothing readable", "10.1.1.1:5", []string{"unknown"}, "10.1.1.1:5"},
		{"behind something unreadable", "10.1.1.1:5", []string{"198.51.100.9, what, 10.2.2.2"}, "10.2.2.2:0"},
		{"only proxies", "10.1.1.1:5", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			h := behindProxies(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }), trusted, false)
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.RemoteAddr = c.peer
			for _, f := range c.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("the client is %s, want %s", got, c.want)
			}
		})
	}
}

func TestPlainHTTPIsForThisMachineAndTrustedProxies(t *testing.T) {
	h := behindProxies(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, true)
	for peer, want := range map[string]int{
		"127.0.0.1:5": 200, "[::1]:5": 200, "10.9.9.9:5": 200, "192.0.2.1:5": 403, "[2001:db8::1]:5": 403, "@": 500,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", peer, w.Code, want)
		}
	}
}
