package smtp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// client is the other end of a session, driven by a script.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// play runs a script. Its lines are:
//
//	C: text     send text and CRLF; C: lines that follow each other go out in one write
//	C> "quoted" send exactly the bytes of the Go string
//	S: text     read a line that begins with text
//	S= text     read a line that is text
//	S* code     read a reply of several lines, all with that code
//	TLS         make a TLS handshake
//	END         the server closes the connection
//
// Lines that begin with # and empty ones are passed over.
func (c *client) play(script string) {
	c.t.Helper()
	var out strings.Builder
	send := func() {
		if out.Len() > 0 {
			if _, err := io.WriteString(c.conn, out.String()); err != nil {
				c.t.Fatalf("send %q: %v", out.String(), err)
			}
			out.Reset()
		}
	}
	for line := range strings.SplitSeq(script, "\n") {
		line = strings.TrimLeft(line, "\t ")
		verb, text, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
			continue
		case "C:":
			out.WriteString(text + "\r\n")
			continue
		case "C>":
			raw, err := strconv.Unquote(text)
			if err != nil {
				c.t.Fatalf("%s: %v", line, err)
			}
			out.WriteString(raw)
			continue
		}
		send()
		switch verb {
		case "S:", "S=":
			got := c.line()
			if !strings.HasPrefix(got, text) || verb == "S=" && got != text {
				c.t.Fatalf("the server said\n\t%s\nthe script has\n\t%s", got, line)
			}
		case "S*":
			c.reply(text)
		case "TLS":
			t := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
			if err := t.Handshake(); err != nil {
				c.t.Fatalf("handshake: %v", err)
			}
			c.conn, c.in = t, bufio.NewReader(t)
		case "END":
			if got, err := c.in.ReadString('\n'); err == nil {
				c.t.Fatalf("the server said %q, the script ends there", got)
			} else if isTimeout(err) {
				c.t.Fatal("the server keeps the connection open")
			}
		default:
			c.t.Fatalf("the script has %q", line)
		}
	}
	send()
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func (c *client) line() string {
	c.t.Helper()
	got, err := c.in.ReadString('\n')
	if err != nil || !strings.HasSuffix(got, "\r\n") {
		c.t.Fatalf("read a reply: %q, %v", got, err)
	}
	return strings.TrimSuffix(got, "\r\n")
}

// reply reads a reply of one line or more and returns its lines.
func (c *client) reply(code string) (lines []string) {
	c.t.Helper()
	for {
		got := c.line()
		if !strings.HasPrefix(got, code) {
			c.t.Fatalf("the server said\n\t%s\nwanted %s", got, code)
		}
		lines = append(lines, got[min(4, len(got)):])
		if len(got) < 4 || got[3] != '-' {
			return lines
		}
	}
}

// core is a transport that keeps what it is given, and fails on command.
type core struct {
	mu     sync.Mutex
	stored []stored
	refuse map[string]error // by recipient
	begin  error
	store  error
	inside chan struct{} // Store waits for it where it is set
	calls  chan Sender   // every MAIL, where it is set
}

type stored struct {
	sender Sender
	to     []string
	asked  []queue.Recipient
	trace  string
	body   string
	onDisk bool
}

func (k *core) Begin(_ context.Context, s Sender) (Transaction, error) {
	if k.calls != nil {
		k.calls <- s
	}
	if k.begin != nil {
		return nil, k.begin
	}
	return &coreTransaction{core: k, sender: s}, nil
}

type coreTransaction struct {
	core   *core
	sender Sender
	to     []string
	asked  []queue.Recipient
}

func (x *coreTransaction) Add(_ context.Context, to queue.Recipient) error {
	address := to.Address.String()
	if err := x.core.refuse[address]; err != nil {
		return err
	}
	x.to, x.asked = append(x.to, address), append(x.asked, to)
	return nil
}

func (x *coreTransaction) Trace() string { return "" }

func (x *coreTransaction) Store(ctx context.Context, m *spool.Spool, trace int) error {
	if x.core.inside != nil {
		select {
		case <-x.core.inside:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if x.core.store != nil {
		return x.core.store
	}
	b, err := m.Bytes()
	if err != nil {
		return err
	}
	x.core.mu.Lock()
	defer x.core.mu.Unlock()
	x.core.stored = append(x.core.stored, stored{x.sender, x.to, x.asked, string(b[:trace]), string(b[trace:]), m.OnDisk()})
	return nil
}

// bodies returns the bodies stored so far.
func (k *core) bodies() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := []string{}
	for _, s := range k.stored {
		out = append(out, s.body)
	}
	return out
}

// door lets ann in with the password "secret".
type door struct{ ended chan struct{} }

func (d *door) authenticate(_ context.Context, username, password string, _ netip.Addr) (*SignIn, error) {
	switch {
	case username == "broken":
		return nil, errors.New("the database is on fire")
	case username == "busy":
		return nil, fault.New(fault.Temporary, fault.None, "too many sign-ins wait")
	case username != "ann@example.com" || password != "secret":
		return nil, fault.New(fault.Unauthenticated, fault.None, "no")
	}
	return &SignIn{Principal: principal.Principal{Kind: principal.User, ID: "ann"}, Done: d.ended, Close: func() {}}, nil
}

// certificate is made once for all tests.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// testServer is a running server.
type testServer struct {
	*Server
	t    testing.TB
	core *core
	door *door
	addr string
	// connect makes a connection; nil dials addr.
	connect func() (net.Conn, error)
}

// serve starts a server; change may change its configuration.
func serve(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, change)
}

func serveOn(t testing.TB, l net.Listener, change func(*Config)) *testServer {
	t.Helper()
	k := &core{refuse: map[string]error{}}
	ts := &testServer{t: t, core: k, door: &door{ended: make(chan struct{})}}
	cfg := Config{
		Hostname: "mail.test", Begin: k.Begin, Log: slog.New(slog.DiscardHandler), SpoolDir: t.TempDir(), SpoolMemory: 32 << 10,
		Clock: clock.NewFake(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)),
		TLS:   &tls.Config{Certificates: []tls.Certificate{certificate()}},
	}
	if change != nil {
		change(&cfg)
	}
	ts.Server = New(cfg)
	ts.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- ts.Serve(l, false) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := ts.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return ts
}

// submission starts a server for users.
func submission(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	d := &door{ended: make(chan struct{})}
	ts := serve(t, d.guard(change))
	ts.door = d
	return ts
}

// guard makes a server one for users, and changes what change does.
func (d *door) guard(change func(*Config)) func(*Config) {
	return func(c *Config) {
		c.Authenticate = d.authenticate
		if change != nil {
			change(c)
		}
	}
}

// dial opens a session.
func (ts *testServer) dial() *client {
	ts.t.Helper()
	connect, patience := ts.connect, time.Hour // of a bubble
	if connect == nil {
		connect, patience = func() (net.Conn, error) { return net.Dial("tcp", ts.addr) }, time.Minute
	}
	conn, err := connect()
	if err != nil {
		ts.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: ts.t, conn: conn, in: bufio.NewReader(conn)}
}

// play opens a session and runs a script in it.
func (ts *testServer) play(script string) *client {
	ts.t.Helper()
	c := ts.dial()
	c.play(script)
	return c
}

// wantBodies checks what was stored.
func (ts *testServer) wantBodies(want ...string) {
	ts.t.Helper()
	got := ts.core.bodies()
	if len(got) != len(want) {
		ts.t.Fatalf("%d messages were stored, wanted %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			ts.t.Errorf("message %d is %q, wanted %q", i, got[i], want[i])
		}
	}
}
