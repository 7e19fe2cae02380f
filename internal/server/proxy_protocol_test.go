package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

const annsPassword = "examplePa$$w0rd"

// ann makes an organisation with the enabled user ann.
func ann(t *testing.T, s *Server) directory.OrgID {
	t.Helper()
	var o *directory.Organization
	c, ctx, system, secret := s.core, t.Context(), principal.TheSystem("test"), annsPassword
	err := c.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = c.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: "acme", Account: "000000000000", Region: "us-east-1"})
		if err != nil {
			return err
		}
		if err := c.directory.AddTestDomainTx(ctx, tx, o); err != nil {
			return err
		}
		if err := c.policy.BeginTx(ctx, tx, o); err != nil {
			return err
		}
		_, err = c.directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgActive, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.directory.CreateUser(ctx, system, o.ID, directory.NewUser{Name: "ann", DisplayName: "Ann", Password: &secret})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.organizations.Register(ctx, system, o.ID, string(id), "ann@acme.awsapps.com"); err != nil {
		t.Fatal(err)
	}
	return o.ID
}

// proxied connects to a listener and sends a PROXY header of the version for a client, none for version 0.
func proxied(t *testing.T, s *Server, listener string, version byte, client string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.listeners[listener].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // a test's patience
		t.Fatal(err)
	}
	if version > 0 {
		from, to := netip.MustParseAddrPort(client), netip.MustParseAddrPort("192.0.2.1:993")
		if from.Addr().Is6() {
			to = netip.MustParseAddrPort("[2001:db8::1]:993")
		}
		header := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to))
		if _, err := header.WriteTo(conn); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// roots are the development certificate's.
func roots(t *testing.T, s *Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.certs.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: "mail.example"}
}

// talk waits for the greeting, sends lines and returns the last line of the answer to the last.
func talk(t *testing.T, conn net.Conn, lines ...string) (last string) {
	t.Helper()
	return talkOn(t, conn, append([]string{""}, lines...)...)
}

// talkOn is talk where the server has greeted already. An empty line is not sent.
func talkOn(t *testing.T, conn net.Conn, lines ...string) (last string) {
	t.Helper()
	r := bufio.NewReader(conn)
	for _, line := range lines {
		if line != "" {
			if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		for last = ""; len(last) < 4 || last[3] != ' ' && !strings.HasPrefix(last, "a ") && (line != "" || !strings.HasPrefix(last, "* ")); {
			text, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("after %q: %q, %v", line, text, err)
			}
			last = strings.TrimSpace(text)
		}
	}
	return last
}

func plain() string {
	return base64.StdEncoding.EncodeToString([]byte("\x00ann@acme.awsapps.com\x00" + annsPassword))
}

// TestRulesJudgeTheAddressThatAProxyTells signs in through the real listeners behind a proxy: the access rules see the client's
// address, not the proxy's.
func TestRulesJudgeTheAddressThatAProxyTells(t *testing.T) {
	s, _ := start(t, settings(t, t.TempDir(), "trusted-proxies", "127.0.0.0/8"), Options{})
	org := ann(t, s)
	err := s.core.policy.PutAccessRule(t.Context(), principal.TheSystem("test"), org, policy.AccessRule{
		Name: "not-from-there", AccessConditions: policy.AccessConditions{IPRanges: []string{"198.51.100.0/24"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig := roots(t, s)
	for _, version := range []byte{1, 2} {
		for client, want := range map[string]struct{ imap, smtp string }{
			"198.51.100.7:4711":    {"a NO [AUTHENTICATIONFAILED]", "535 5.7.8"},
			"203.0.113.9:4711":     {"a OK", "235 2.7.0"},
			"[2001:db8::7]:4711":   {"a OK", "235 2.7.0"},
			"[::ffff:c633:6407]:1": {"a NO [AUTHENTICATIONFAILED]", "535 5.7.8"},
		} {
			if version == 1 && strings.Contains(client, "ffff") {
				continue // the first version writes such an address as IPv4
			}
			imaps := tls.Client(proxied(t, s, "imaps", version, client), tlsConfig)
			if got := talk(t, imaps, `a LOGIN ann@acme.awsapps.com "`+annsPassword+`"`); !strings.HasPrefix(got, want.imap) {
				t.Errorf("imaps, version %d, %s: %q", version, client, got)
			}
			submissions := tls.Client(proxied(t, s, "submissions", version, client), tlsConfig)
			if got := talk(t, submissions, "EHLO client.example", "AUTH PLAIN "+plain()); !strings.HasPrefix(got, want.smtp) {
				t.Errorf("submissions, version %d, %s: %q", version, client, got)
			}
			for listener, greet := range map[string][]string{"imap": {"a STARTTLS"}, "submission": {"EHLO client.example", "STARTTLS"}} {
				conn := proxied(t, s, listener, version, client)
				talk(t, conn, greet...)
				secure, expected := tls.Client(conn, tlsConfig), want.smtp
				lines := []string{"EHLO client.example", "AUTH PLAIN " + plain()}
				if listener == "imap" {
					lines, expected = []string{`a LOGIN ann@acme.awsapps.com "` + annsPassword + `"`}, want.imap
				}
				if got := talkOn(t, secure, lines...); !strings.HasPrefix(got, expected) {
					t.Errorf("%s, version %d, %s: %q", listener, version, client, got)
				}
			}
		}
	}
	if got := talk(t, proxied(t, s, "smtp", 1, "198.51.100.7:4711"), "EHLO x"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("mail from a server behind the proxy: %q", got)
	}
	// Who is trusted and sends no header would be taken for all clients of the proxy.
	bare := proxied(t, s, "imaps", 0, "")
	if err := tls.Client(bare, tlsConfig).HandshakeContext(t.Context()); err == nil {
		t.Error("a trusted proxy without a header was served")
	}
}

// TestAHeaderOfAStrangerIsHisOwnText holds that nobody but a trusted proxy can tell another address.
func TestAHeaderOfAStrangerIsHisOwnText(t *testing.T) {
	for _, trusted := range []string{"", "192.0.2.9"} {
		s, stop := start(t, settings(t, t.TempDir(), "trusted-proxies", trusted), Options{})
		if got := talk(t, proxied(t, s, "smtp", 1, "198.51.100.7:4711")); !strings.HasPrefix(got, "220 ") {
			t.Errorf("trusting %q: the greeting is %q", trusted, got)
		}
		conn := proxied(t, s, "smtp", 0, "")
		if got := talk(t, conn, "PROXY TCP4 198.51.100.7 192.0.2.1 4711 25"); !strings.HasPrefix(got, "5") {
			t.Errorf("trusting %q: the header is answered %q", trusted, got)
		}
		if err := tls.Client(proxied(t, s, "imaps", 2, "198.51.100.7:4711"), roots(t, s)).HandshakeContext(t.Context()); err == nil {
			t.Errorf("trusting %q: a stranger's header was taken", trusted)
		}
		stop()
	}
}

// TestHTTPBehindBothKindsOfProxy asks an HTTP server what it takes for the client.
func TestHTTPBehindBothKindsOfProxy(t *testing.T) {
	for _, c := range []struct {
		name, header, forwarded, want string
		status                        int
	}{
		{"a PROXY header", "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n", "", "198.51.100.7:4711", 200},
		{"a header of HTTP", "", "198.51.100.8", "198.51.100.8:0", 200},
		{"neither: the proxy itself", "", "", "127.0.0.1:", 200},
		{"what the client behind a PROXY header adds", "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n", "203.0.113.1", "198.51.100.7:4711", 200},
		{"a look of the proxy", "PROXY UNKNOWN\r\n", "", "127.0.0.1:", 200},
		{"a broken header", "PROXY TCP4 what\r\n", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			trusted := proxies{netip.MustParsePrefix("127.0.0.0/8")}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
			go func() {
				done <- serveHTTP(ctx, behind(inner, trusted, true, quiet), nil, behindProxies(echo, trusted, true), quiet)
			}()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request := "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
			if c.forwarded != "" {
				request += "X-Forwarded-For: " + c.forwarded + "\r\n"
			}
			if _, err := io.WriteString(conn, c.header+request+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if c.status == 0 {
				if err == nil {
					t.Errorf("answered %s", answer.Status)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != c.status || !strings.HasPrefix(string(body), c.want) {
				t.Errorf("%s: the client is %q, %v; want %q", answer.Status, body, err, c.want)
			}
		})
	}
}

// pipes is a listener of connections in memory, all of one peer.
type pipes struct {
	peer   net.Addr
	come   chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.come:
		return from{c, p.peer}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.come <- there
	return here
}

type from struct {
	net.Conn
	peer net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.peer }

// TestASlowProxyHoldsUpNobody waits for headers beside each other, each for a bounded time.
func TestASlowProxyHoldsUpNobody(t *testing.T) {
	for _, optional := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			in := &pipes{peer: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, come: make(chan net.Conn), closed: make(chan struct{})}
			l := behind(in, proxies{netip.MustParsePrefix("10.0.0.0/8")}, optional, quiet)
			silent, quick := in.dial(), in.dial()
			began := time.Now()
			go func() { _, _ = io.WriteString(quick, "PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\r\nEHLO") }()
			conn, err := l.Accept()
			if err != nil || conn.RemoteAddr().String() != "198.51.100.7:4711" || time.Since(began) > 0 {
				t.Fatalf("accepted %v, %v after %v", conn, err, time.Since(began))
			}
			if first, err := readText(conn, 4); first != "EHLO" || err != nil {
				t.Errorf("behind the header stands %q, %v", first, err)
			}
			if optional {
				conn, err := l.Accept()
				if err != nil || conn.RemoteAddr() != in.peer || time.Since(began) != proxyHeaderWait {
					t.Errorf("the silent one: %v, %v after %v", conn, err, time.Since(began))
				}
				go func() { _, _ = io.WriteString(silent, "GET") }()
				if text, err := readText(conn, 3); text != "GET" || err != nil {
					t.Errorf("it says %q, %v", text, err)
				}
			} else if _, err := readText(silent, 1); !errors.Is(err, io.EOF) || time.Since(began) != proxyHeaderWait {
				t.Errorf("the silent one: %v after %v", err, time.Since(began))
			}
			waiting := in.dial()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := readText(waiting, 1); !errors.Is(err, io.EOF) {
				t.Errorf("one that waited when the listener closed: %v", err)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("accept of a closed listener: %v", err)
			}
		})
	}
}

func readText(r io.Reader, n int) (string, error) {
	b := make([]byte, n)
	n, err := io.ReadFull(r, b)
	return string(b[:n]), err
}

func TestForwarded(t *testing.T) {
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name      string
		forwarded []string
		want      string
	}{
		{"one proxy", []string{"for=198.51.100.9"}, "198.51.100.9"},
		{"with more to tell", []string{`proto=https;FOR=198.51.100.9;by=10.1.1.1;host="a, b"`}, "198.51.100.9"},
		{"what the client wrote itself", []string{"for=203.0.113.1, for=198.51.100.9"}, "198.51.100.9"},
		{"two proxies", []string{"for=203.0.113.1, for=198.51.100.9,for=10.2.2.2"}, "198.51.100.9"},
		{"two headers", []string{"for=198.51.100.9", "for=10.2.2.2"}, "198.51.100.9"},
		{"a port", []string{`for="198.51.100.9:4711"`}, "198.51.100.9"},
		{"IPv6", []string{`for="[2001:db8::7]"`}, "2001:db8::7"},
		{"IPv6 and a hidden port", []string{`for="[2001:db8::7]:_x"`}, "2001:db8::7"},
		{"IPv6 without brackets", []string{`for="2001:db8::7"`}, ""},
		{"IPv4 in brackets", []string{`for="[198.51.100.9]"`}, ""},
		{"a quote left open by the client", []string{`for="203.0.113.1`, "for=198.51.100.9"}, "198.51.100.9"},
		{"an escaped quote", []string{`for=203.0.113.1;ext="a\", for=203.0.113.2", for=198.51.100.9`}, "198.51.100.9"},
		{"a comma in quotes", []string{`ext="a, b";for=198.51.100.9`}, "198.51.100.9"},
		{"unknown", []string{"for=unknown"}, ""},
		{"hidden", []string{"for=_proxy"}, ""},
		{"two in one", []string{"for=203.0.113.1;for=198.51.100.9"}, ""},
		{"none", []string{"proto=https"}, ""},
		{"only proxies", []string{"for=10.3.3.3, for=10.2.2.2"}, "10.3.3.3"},
	} {
		h := http.Header{"Forwarded": c.forwarded}
		client, ok, agreed := forwardedClient(h, trusted.trust)
		if got := client.String(); ok != (c.want != "") || ok && got != c.want || !agreed {
			t.Errorf("%s: %s, %t, %t; want %q", c.name, got, ok, agreed, c.want)
		}
	}
}

// A proxy that writes the one header lets through what the client wrote into the other: where they differ, neither is believed.
func TestHeadersThatDisagreeAreRefused(t *testing.T) {
	for forwarded, want := range map[string]bool{"for=198.51.100.9": true, "for=203.0.113.1": false, "for=unknown": false, "": false} {
		h := http.Header{"X-Forwarded-For": {"198.51.100.9"}, "Forwarded": {forwarded}}
		client, ok, agreed := forwardedClient(h, proxies{}.trust)
		if agreed != want || agreed && (!ok || client.String() != "198.51.100.9") {
			t.Errorf("with %q: %s, %t, %t", forwarded, client, ok, agreed)
		}
	}
}

// FuzzForwarded holds that whatever a client wrote, the entry that a trusted proxy appends decides.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "for=1.2.3.4", `for="[::1]:5";by=_x`, `for="`, `a\",b"c`, ",,;=", `for="a\\", for=x`, "\x00", "for=10.0.0.1"} {
		f.Add(s)
	}
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, client string) {
		for _, h := range []http.Header{
			{"Forwarded": {client}}, {"X-Forwarded-For": {client}}, {"Forwarded": {client}, "X-Forwarded-For": {client}},
		} {
			if a, ok, _ := forwardedClient(h, trusted.trust); ok && (!a.IsValid() || a.Is4In6() || a.Zone() != "") {
				t.Fatalf("%q gives %v", client, a)
			}
		}
		want := netip.MustParseAddr("198.51.100.9")
		for _, h := range []http.Header{
			{"Forwarded": {client + `, for=198.51.100.9;proto=https, for="10.0.0.2:5"`}},
			{"Forwarded": {client, `host="a, \"b";for=198.51.100.9`}},
			{"X-Forwarded-For": {client + ", 198.51.100.9, 10.0.0.2"}},
			{"X-Forwarded-For": {client, "198.51.100.9"}},
		} {
			if a, ok, agreed := forwardedClient(h, trusted.trust); !ok || !agreed || a != want {
				t.Fatalf("%v gives %v, %t, %t", h, a, ok, agreed)
			}
		}
	})
}
