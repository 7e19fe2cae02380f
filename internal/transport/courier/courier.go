package courier

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/smtpclient"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
)

const (
	maxPerHost    = 4   // connections made for one message to one host
	maxAttempts   = 20  // connections made for one message
	maxRecipients = 100 // in one transaction

	maxSESRecipients = 50 // of Amazon SES, which refuses the whole message for one more
)

// Routes says where mail for a domain goes. An error that is expected is a *route.Error.
type Routes interface {
	Hosts(ctx context.Context, domain string) ([]route.Host, error)
}

// Dialer makes connections, as net.Dialer does.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Options are what a Courier needs. Those without a word on their zero value are required.
type Options struct {
	Routes Routes
	Dialer Dialer // guarded: domains name any address
	// Hello is how the server calls itself: its host name.
	Hello string
	// Roots judge the certificates that no DNS record holds good; nil for the system's.
	Roots *x509.CertPool
	Clock clock.Clock
	Log   *slog.Logger
	// Gateways take mail by Recipient.Route.
	Gateways map[string]Gateway
	// Find finds gateways that are not among these, and a name under which connections to one are kept, another one after each
	// change; nil for one that does not exist. It may be nil itself.
	Find func(ctx context.Context, route string) (g *Gateway, name string, err error)
	// Report is told how each connection to a domain's host came to its TLS, or did not. It must not block. May be nil.
	Report   func(ctx context.Context, s route.Session)
	Timeouts smtpclient.Timeouts
}

// Courier is a queue.Courier. It is safe for concurrent use. Its owner calls Close.
type Courier struct {
	o     Options
	pool  pool
	stats counters
	asked answers
}

// New returns a Courier, or says what is wrong with a gateway.
func New(o Options) (*Courier, error) {
	for name, g := range o.Gateways {
		if err := g.check(); err != nil {
			return nil, fmt.Errorf("gateway %s: %w", name, err)
		}
	}
	c := &Courier{o: o, asked: answers{known: map[question]answer{}, open: map[question]chan struct{}{}, slots: map[string]chan struct{}{}}}
	c.pool.open(o.Clock)
	return c, nil
}

// Close says good-bye on the connections that are kept. Deliver goes on to work, and keeps none.
func (c *Courier) Close() { c.pool.close() }

// Stats returns what happened since the start.
func (c *Courier) Stats() Stats {
	n := &c.stats
	return Stats{
		Connections: n.connections.Load(), Reused: n.reused.Load(), Refused: n.refused.Load(),
		TLS: n.tls.Load(), Verified: n.verified.Load(), TLSFailed: n.tlsFailed.Load(),
		Delivered: n.delivered.Load(), Deferred: n.deferred.Load(), Failed: n.failed.Load(), Idle: c.pool.len(),
	}
}

// target is one address of a host.
type target struct {
	key
	address   string // host:port, to dial
	tls       route.TLS
	domain    string   // the recipients', for reports; empty for a gateway
	gateway   *Gateway // nil for a domain's host
	requireOK bool     // its name is vouched for, so that REQUIRETLS makes sense
}

// targets are the addresses to try, in order.
func (c *Courier) targets(ctx context.Context, to queue.Destination) ([]target, *trouble) {
	if to.Route != "" {
		return c.gateway(ctx, to.Route)
	}
	hosts, err := c.o.Routes.Hosts(ctx, to.Domain)
	var known *route.Error
	switch {
	case errors.As(err, &known):
		return nil, &trouble{permanent: known.Permanent, status: known.Status, text: known.Text, down: !known.Permanent}
	case err != nil:
		c.o.Log.Error("a route was not found", "domain", to.Domain, "error", err)
		return nil, &trouble{status: "4.3.0", text: "this server could not find out where the mail goes", ours: true}
	}
	var all []target
	for _, h := range hosts {
		k := keyOf("", h.Name, h.Port, &h.TLS)
		for _, a := range h.Addresses[:min(len(h.Addresses), maxPerHost)] {
			all = append(all, target{
				key: k, address: netip.AddrPortFrom(a, h.Port).String(), tls: h.TLS, domain: to.Domain, requireOK: h.TLS.Level == route.Verified,
			})
		}
	}
	if len(all) == 0 {
		return nil, &trouble{status: "4.4.4", text: "no host of " + to.Domain + " has an address", down: true}
	}
	return all[:min(len(all), maxAttempts)], nil
}

// gateway is the one that a route names.
func (c *Courier) gateway(ctx context.Context, name string) ([]target, *trouble) {
	if g, ok := c.o.Gateways[name]; ok {
		return []target{g.target(name)}, nil
	}
	var g *Gateway
	var err error
	kept := name
	if c.o.Find != nil {
		if g, kept, err = c.o.Find(ctx, name); err == nil && g != nil {
			err = g.check()
		}
	}
	switch {
	case err != nil:
		c.o.Log.Error("a gateway was not found", "route", name, "error", err)
		return nil, &trouble{status: "4.3.0", text: "this server could not find out where the mail goes"}
	case g == nil:
		return nil, &trouble{status: "4.3.5", text: "the gateway " + name + " is not set up", down: true}
	}
	return []target{g.target(kept)}, nil
}

// Deliver implements queue.Courier.
func (c *Courier) Deliver(ctx context.Context, to queue.Destination, m *queue.Message) []queue.Outcome {
	started := time.Now()
	d := &delivery{c: c, m: m, outcomes: make([]queue.Outcome, len(m.Recipients))}
	for i := range m.Recipients {
		d.open = append(d.open, i)
	}
	targets, t := c.targets(ctx, to)
	if t != nil {
		d.note(t)
	}
	for i := range targets {
		if len(d.open) == 0 || ctx.Err() != nil {
			break
		}
		d.offer(ctx, &targets[i])
	}
	d.settle(ctx)
	c.stats.count(d.outcomes)
	d.log(to, time.Since(started))
	return d.outcomes
}

func joinPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
