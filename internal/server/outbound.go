package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/courier"
	"github.com/pennypost/pennypost/internal/transport/dmarcrpt"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/transport/ses"
	"github.com/pennypost/pennypost/internal/transport/tlsrpt"
)

// keeper is the courier of a server from which no mail leaves: what was queued before waits, and comes back when its time is over.
type keeper struct{}

// Deliver takes nothing anywhere.
func (keeper) Deliver(_ context.Context, _ queue.Destination, m *queue.Message) []queue.Outcome {
	outcomes := make([]queue.Outcome, len(m.Recipients))
	for i := range outcomes {
		outcomes[i] = queue.Outcome{Status: "4.3.2", Reply: "this server is set not to send mail to others (setting outbound)", Down: true}
	}
	return outcomes
}

// outbound is what brings mail to other servers.
type outbound struct {
	queue   *queue.Queue
	courier *courier.Courier // nil where none leaves
	router  *route.Router
	reports *tlsrpt.Reporter
	dmarc   *dmarcrpt.Reporter
}

// openOutbound wires it on the transport.
func (c *core) openOutbound(settings *config.Config, resolver *dns.Resolver, blobs bodies) error {
	options := queue.Options{DB: c.db, Blobs: blobs, Clock: c.clock, Log: c.log, Teller: c.transport, Record: c.transport.Record, Local: transport.Local}
	options.Limits.OrganizationMessages, options.Limits.OrganizationBytes = int64(settings.LimitQueueMessages), int64(settings.LimitQueueMB)<<20
	if settings.Outbound == "off" {
		options.Courier = transport.Traced{Transport: c.transport, Next: transport.Functions{Transport: c.transport, Next: transport.JournalCourier{Transport: c.transport, Next: keeper{}}}}
		c.outbound = &outbound{queue: queue.New(options)}
		c.transport.Holding, c.queue = c.outbound.queue, c.outbound.queue
		return nil
	}
	gateways, err := gatewaysOf(settings)
	if err != nil {
		return err
	}
	dialer := dial.New(resolver.Net(), settings.OutboundNetworks) // strangers name the addresses
	postmaster := "postmaster@" + settings.Hostname
	o := &outbound{}
	o.reports = tlsrpt.New(tlsrpt.Options{
		DB: c.db, Clock: c.clock, Log: c.log, Resolver: resolver, Dialer: dialer, Mailer: c.transport,
		Organization: settings.Hostname, Contact: postmaster, From: postmaster, Random: rand.Int64N,
	})
	jobs := c.jobs.Beside()
	o.reports.Handle(jobs)
	o.dmarc = dmarcrpt.New(dmarcrpt.Options{
		DB: c.db, Clock: c.clock, Log: c.log, Resolver: resolver, Mailer: c.transport, Organizational: c.mailauth.Organizational,
		Organization: settings.Hostname, From: postmaster, Generator: "Pennypost", Random: rand.Int64N,
	})
	o.dmarc.Handle(jobs)
	if settings.DMARCReports {
		c.transport.Judged = o.dmarc.Judged
	}
	o.router = route.New(route.Options{
		DB: c.db, Clock: c.clock, Log: c.log, Resolver: resolver, Dialer: dialer, Names: []string{settings.Hostname},
		Port: uint16(settings.OutboundPort), Shuffle: rand.Shuffle, Report: o.reports.Session,
	})
	way := courier.Options{
		Routes: o.router, Dialer: dialer, Hello: settings.Hostname, Clock: c.clock, Log: c.log, Gateways: gateways, Find: c.organizationGateway, Report: o.reports.Session,
	}
	if _, ok := gateways[settings.Outbound]; ok {
		c.transport.Route = settings.Outbound
	}
	if o.courier, err = courier.New(way); err != nil {
		return err
	}
	c.transport.Relays, c.transport.Callout = settings.RelayUnknown, o.courier.Ask
	options.Courier = transport.Traced{Transport: c.transport, Next: transport.Functions{Transport: c.transport, Next: transport.JournalCourier{Transport: c.transport, Next: o.courier}}}
	o.queue = queue.New(options)
	c.transport.Queue, c.transport.Holding, c.queue, c.outbound = o.queue, o.queue, o.queue, o
	return nil
}

// implicitTLS is the port at which gateways of organisations speak TLS from the first byte (RFC 8314).
const implicitTLS = 465

// organizationGateway finds the gateway of an organisation. Its address is the organisation's word, so it is reached by the guarded dialer.
func (c *core) organizationGateway(ctx context.Context, route string) (*courier.Gateway, string, error) {
	g, err := c.flow.Gateway(ctx, route)
	if fault.Is(err, fault.NotFound, fault.Resource) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	made := &courier.Gateway{Host: g.Host, Port: g.Port, Username: g.Username, Secret: g.Password}
	if g.Port == implicitTLS {
		made.Security = courier.ImplicitTLS
	}
	return made, fmt.Sprintf("%s#%d", route, g.Revision), nil
}

// runOutbound brings mail to other servers until ctx ends.
func (c *core) runOutbound(ctx context.Context) error {
	if c.outbound.courier == nil {
		return c.outbound.queue.Run(ctx)
	}
	g, ctx := newParts(ctx)
	for _, part := range []func(context.Context) error{
		c.outbound.queue.Run, c.outbound.router.Run, c.outbound.reports.Start, c.outbound.reports.Run, c.outbound.dmarc.Start,
		c.outbound.dmarc.Run,
	} {
		g.Go(func() error { return part(ctx) })
	}
	return g.Wait()
}

// check returns one line for each inconsistency of the queue.
func (o *outbound) check(ctx context.Context, d *db.DB) (faults []string, err error) {
	err = d.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		faults, err = o.queue.Check(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	bodies, err := o.queue.CheckBodies(ctx)
	return append(faults, bodies...), err
}

// gatewaysOf reads what gateways need from their files.
func gatewaysOf(c *config.Config) (map[string]courier.Gateway, error) {
	gateways := map[string]courier.Gateway{}
	for name, g := range c.Gateways {
		host, port, err := net.SplitHostPort(g.Where())
		if err != nil {
			return nil, fmt.Errorf("gateway.%q: address: %w", name, err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("gateway.%q: address: port %q: %w", name, port, err)
		}
		made := courier.Gateway{
			Host: host, Port: uint16(n), Username: g.Username, Dialer: &net.Dialer{}, // the operator's own choice, wherever it is
			Security: map[string]courier.Security{"": courier.StartTLS, "starttls": courier.StartTLS, "implicit": courier.ImplicitTLS, "none": courier.Cleartext}[g.TLS],
			SES:      g.Preset == config.PresetSES, NullSender: g.NullSender,
		}
		if made.SES && made.NullSender == "" {
			made.NullSender = "postmaster@" + c.Hostname
		}
		for key, path := range map[string]string{"password_file": g.PasswordFile, "secret_access_key_file": g.SecretAccessKeyFile} {
			if path == "" {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("gateway.%q: %s: %w", name, key, err)
			}
			if made.Secret = strings.TrimSpace(string(text)); made.Secret == "" || len(text) > maxSecret {
				return nil, fmt.Errorf("gateway.%q: %s: %s does not hold one line of at most %d bytes", name, key, path, maxSecret)
			}
			if key == "secret_access_key_file" {
				made.Secret = ses.SMTPPassword(made.Secret, g.Region)
			}
		}
		if g.CAFile != "" {
			text, err := os.ReadFile(g.CAFile)
			if err != nil {
				return nil, fmt.Errorf("gateway.%q: ca_file: %w", name, err)
			}
			made.Roots = x509.NewCertPool()
			if !made.Roots.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("gateway.%q: ca_file: %s holds no certificate in PEM", name, g.CAFile)
			}
		}
		gateways[name] = made
	}
	return gateways, nil
}
