package courier

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/smtpclient"
	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// Pieces of scripts.
const (
	hello    = "S: 220 mx.test ESMTP\nC= EHLO out.test\n"
	offers   = hello + "S: 250-mx.test\nS: 250-8BITMIME\nS: 250 PIPELINING\n"
	startTLS = hello + "S: 250-mx.test\nS: 250-8BITMIME\nS: 250-PIPELINING\nS: 250 STARTTLS\nC= STARTTLS\nS: 220 go\n"
	underTLS = "TLS\nC= EHLO out.test\nS: 250-mx.test\nS: 250-8BITMIME\nS: 250 PIPELINING\n"
	mail     = "C: MAIL FROM:<sender@b.test>\nC= RCPT TO:<one@a.test>\nC= DATA\n"
	accepts  = mail + "S: 250\nS: 250\nS: 354\nMESSAGE\nS: 250 2.0.0 taken\n"
	quit     = "C= QUIT\nS: 221\nEND"
)

// world is a courier with its surroundings.
type world struct {
	t       *testing.T
	courier *Courier
	options Options
	clock   *clock.Fake

	mu        sync.Mutex
	hosts     map[string][]route.Host // by domain
	noRoute   map[string]error
	listeners map[string]string // what is really dialled, by address
	dialled   []string
	reports   []route.Session
	wrap      func(net.Conn) net.Conn // what is dialled; nil leaves it alone
}

// answered is a connection that calls then when all that came up to text was read and more is waited for.
type answered struct {
	net.Conn
	text string
	seen bool
	then func()
}

func (c *answered) Read(b []byte) (int, error) {
	if c.seen {
		c.then()
	}
	n, err := c.Conn.Read(b)
	c.seen = c.seen || strings.Contains(string(b[:n]), c.text)
	return n, err
}

// newWorld makes a world; change may change the courier's options.
func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	w := &world{
		t: t, clock: clock.NewFake(time.Now()), hosts: map[string][]route.Host{}, noRoute: map[string]error{}, listeners: map[string]string{},
	}
	w.options = Options{
		Routes: w, Dialer: w, Hello: "out.test", Clock: w.clock, Log: slog.New(slog.DiscardHandler), Timeouts: smtpclient.Timeouts{Quit: 5 * time.Second},
		Report: func(_ context.Context, s route.Session) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reports = append(w.reports, s)
		},
	}
	if change != nil {
		change(&w.options)
	}
	var err error
	if w.courier, err = New(w.options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.courier.Close)
	return w
}

// Hosts implements Routes.
func (w *world) Hosts(_ context.Context, domain string) ([]route.Host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[domain], w.noRoute[domain]
}

// DialContext implements Dialer.
func (w *world) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	listener := w.listeners[address]
	w.mu.Unlock()
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().IsPrivate() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &dial.Refused{Address: a.Addr()}}
	}
	if listener == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, listener)
	if err == nil && w.wrap != nil {
		conn = w.wrap(conn)
	}
	return conn, err
}

// host adds a host to a.test, at an address whose connections follow scripts.
func (w *world) host(name, address string, policy route.TLS, authority *smtptest.Authority, scripts ...string) *smtptest.Server {
	w.t.Helper()
	a := netip.MustParseAddr(address)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts["a.test"] = append(w.hosts["a.test"], route.Host{Name: name, Addresses: []netip.Addr{a}, Port: 25, TLS: policy})
	return w.listen(netip.AddrPortFrom(a, 25).String(), name, authority, scripts...)
}

func (w *world) listen(address, name string, authority *smtptest.Authority, scripts ...string) *smtptest.Server {
	w.t.Helper()
	if len(scripts) == 0 {
		return nil
	}
	var s *smtptest.Server
	if authority != nil {
		s = smtptest.Serve(w.t, authority.Server(false, name), scripts...)
	} else {
		s = smtptest.Serve(w.t, nil, scripts...)
	}
	w.t.Cleanup(w.courier.Close) // before the server waits for its clients
	w.listeners[address] = s.Addr
	return s
}

// message is from sender@b.test to the local parts at a.test.
func newMessage(to ...string) *queue.Message {
	m := &queue.Message{Envelope: queue.Envelope{Trace: "t", From: message.Address{Local: "sender", Domain: "b.test"}}}
	for _, local := range to {
		m.Recipients = append(m.Recipients, queue.Recipient{Address: message.Address{Local: local, Domain: "a.test"}})
	}
	const text = "From: a@b.test\r\n\r\nx\r\n"
	m.Body, m.Size = strings.NewReader(text), int64(len(text))
	return m
}

// deliver delivers a message to one@a.test.
func (w *world) deliver() queue.Outcome {
	w.t.Helper()
	return w.courier.Deliver(w.t.Context(), queue.Destination{Domain: "a.test"}, newMessage("one"))[0]
}

// want compares an outcome with what it begins with: result, status, host, TLS and whether it is down. Of the reply text must be a part.
func want(t *testing.T, o queue.Outcome, result queue.Result, status, host, tls string, down bool, text string) {
	t.Helper()
	if o.Result != result || o.Status != status || o.Host != host || o.TLS != tls || o.Down != down || !strings.Contains(o.Reply, text) {
		t.Errorf("the outcome is\n%+v, wanted\n{%v %s %q in the reply, %s %q down %v}", o, result, status, text, host, tls, down)
	}
}

// results are the results that were reported, with their hosts.
func (w *world) results() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []string{}
	for _, s := range w.reports {
		if s.Domain != "a.test" || !s.Address.IsLoopback() || !s.Local.IsLoopback() || s.Helo != "mx.test" {
			w.t.Errorf("report %+v", s)
		}
		out = append(out, s.Host+" "+string(s.Result))
	}
	return out
}

func (w *world) wantReports(want ...string) {
	w.t.Helper()
	if got := w.results(); !slices.Equal(got, want) {
		w.t.Errorf("reported %q, wanted %q", got, want)
	}
}

func (w *world) wantStats(want Stats) {
	w.t.Helper()
	if got := w.courier.Stats(); got != want {
		w.t.Errorf("counted %+v, wanted %+v", got, want)
	}
}

// results of several recipients, as "one Delivered 2.0.0".
func show(m *queue.Message, outcomes []queue.Outcome) string {
	names := map[queue.Result]string{queue.Deferred: "deferred", queue.Delivered: "delivered", queue.Failed: "failed"}
	var out []string
	for i, o := range outcomes {
		out = append(out, fmt.Sprintf("%s %s %s", m.Recipients[i].Address.Local, names[o.Result], o.Status))
	}
	return strings.Join(out, ", ")
}

// authority is one of which nobody knows.
func (w *world) authority() *smtptest.Authority { return smtptest.NewAuthority(w.t) }

// dropAll ends the connections that are kept.
func (p *pool) dropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		p.quit(s)
	}
	p.idle = nil
}

// direct dials what the world would not.
type direct struct{ w *world }

func (d direct) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var n net.Dialer
	return n.DialContext(ctx, network, d.w.listeners[address])
}
