package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWhichAddressesArePublic(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "223.255.255.255": true, "100.63.255.255": true, "100.128.0.0": true, "172.32.0.1": true,
		"2606:4700::1111": true, "2a00::1": true, "2001:200::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "127.0.0.1": false, "127.255.255.255": false, "169.254.169.254": false,
		"172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "100.64.0.1": false, "192.0.0.8": false, "198.19.0.1": false,
		"224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false, "64:ff9b::7f00:1": false,
		"64:ff9b:1::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "::ffff:127.0.0.1": false, "::7f00:1": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is public: %v, want %v", address, got, want)
		}
	}
}

func listen(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestOnlyWhatTheOperatorAllowsIsDialled(t *testing.T) {
	address := listen(t)
	_, port, _ := net.SplitHostPort(address)
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for _, c := range []struct {
		address string
		allowed []netip.Prefix
		want    bool
	}{
		{address, nil, false},
		{"localhost:" + port, nil, false},
		{"[::ffff:127.0.0.1]:" + port, nil, false},
		{address, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, false},
		{address, []netip.Prefix{loopback}, true},
		{"localhost:" + port, []netip.Prefix{loopback}, true},
		{"[::ffff:127.0.0.1]:" + port, []netip.Prefix{loopback}, true},
	} {
		conn, err := New(nil, c.allowed).DialContext(t.Context(), "tcp", c.address)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != c.want || err != nil && !IsRefused(err) {
			t.Errorf("%s with %v allowed: %v", c.address, c.allowed, err)
		}
	}
	if _, err := New(nil, []netip.Prefix{loopback}).DialContext(t.Context(), "udp", address); err == nil {
		t.Error("UDP was dialled")
	}
}

var here = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() // read to its end
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// TestClientsShareATLSConfig lets two clients use one at the same time; net/http writes into the one it is given.
func TestClientsShareATLSConfig(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	given := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	given.RootCAs.AddCert(server.Certificate())
	var both sync.WaitGroup
	for range 2 {
		c := New(nil, here).Client(HTTPOptions{Timeout: time.Minute, MaxBody: 100, TLS: given})
		both.Go(func() {
			if _, err := get(t, c, server.URL); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if given.NextProtos != nil {
		t.Errorf("the config that was given offers %q", given.NextProtos)
	}
}

// TestRedirectsAreCheckedAgain redirects from an allowed address to one that is not.
func TestRedirectsAreCheckedAgain(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inner server was reached") }))
	t.Cleanup(inner.Close)
	port := inner.URL[strings.LastIndexByte(inner.URL, ':'):]
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/inside":
			http.Redirect(w, r, "http://127.0.0.2"+port, http.StatusFound)
		case "/again":
			http.Redirect(w, r, "/again", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, "http://127.0.0.1"+port, http.StatusFound)
		default:
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		}
	}))
	t.Cleanup(outer.Close)
	one := New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	client := one.Client(HTTPOptions{Timeout: time.Minute, MaxBody: 100, AllowHTTP: true})
	if body, err := get(t, client, outer.URL+"/"); err != nil || len(body) != 100 {
		t.Errorf("a body of the size that is allowed: %d bytes, %v", len(body), err)
	}
	if _, err := get(t, client, outer.URL+"/inside"); !IsRefused(err) {
		t.Errorf("a redirect to a refused address: %v", err)
	}
	if _, err := get(t, client, outer.URL+"/again"); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a circle: %v", err)
	}
	small := one.Client(HTTPOptions{Timeout: time.Minute, MaxBody: 99, AllowHTTP: true})
	if _, err := get(t, small, outer.URL+"/"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a body that is too large: %v", err)
	}
	strict := one.Client(HTTPOptions{Timeout: time.Minute, MaxBody: 100})
	if _, err := get(t, strict, outer.URL+"/"); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("a URL without TLS: %v", err)
	}
}

func TestASlowAnswerIsCutOff(t *testing.T) {
	entered := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		close(entered)
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, slow.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := New(nil, here).Client(HTTPOptions{Timeout: time.Minute, MaxBody: 10, AllowHTTP: true}).Do(r)
	if err == nil {
		_, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request: %v", err)
	}
	short := New(nil, here).Client(HTTPOptions{Timeout: time.Nanosecond, MaxBody: 10, AllowHTTP: true})
	if _, err := get(t, short, slow.URL); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}
