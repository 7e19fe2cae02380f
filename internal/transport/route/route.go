package route

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message"
)

const (
	maxHosts     = 20 // of a domain; those of lesser preference are left out
	maxAddresses = 8  // of a host
	lookups      = 8  // hosts of a domain that are looked up at once
)

// Options are what a Router needs.
type Options struct {
	DB       *db.DB
	Clock    clock.Clock
	Log      *slog.Logger
	Resolver *dns.Resolver
	// Dialer fetches the policies of MTA-STS, whose host others name.
	Dialer *dial.Dialer
	// Names are those of this server, to which nothing may be sent on.
	Names []string
	// Port is where hosts take mail; zero for 25.
	Port uint16
	// PolicyPort is where policies are fetched; zero for 443.
	PolicyPort uint16
	// Roots judge the certificates of hosts with policies; nil for the system's.
	Roots *x509.CertPool
	// Shuffle puts n things in random order (math/rand/v2.Shuffle).
	Shuffle func(n int, swap func(i, j int))
	// Report is told what kept the Router from offering a host as a policy wants it. It must not block. May be nil.
	Report func(ctx context.Context, s Session)
}

// Router finds routes. It is safe for concurrent use. Its owner calls Run.
type Router struct {
	Options
	names    []string // folded
	policies *STSFetcher
	turns    turns
}

// New returns a Router.
func New(o Options) *Router {
	if o.Port == 0 {
		o.Port = 25
	}
	r := &Router{Options: o, policies: NewSTSFetcher(o.Dialer, o.Roots, o.PolicyPort)}
	for _, name := range o.Names {
		r.names = append(r.names, message.FoldDomain(strings.TrimSuffix(name, ".")))
	}
	return r
}

// candidate is a host by name.
type candidate struct {
	name       string
	preference uint16
}

// exchange is who takes mail for a domain.
type exchange struct {
	domain    string // folded
	canonical string // where its MX records are: the domain itself, or what it is an alias of
	hosts     []candidate
	secure    bool // DNSSEC holds that good
}

// Hosts returns the hosts that take mail for domain, in the order in which they are to be tried: at least one. What keeps mail from
// going anywhere is an *Error; any other error is of the database, or of ctx.
func (r *Router) Hosts(ctx context.Context, domain string) ([]Host, error) {
	if strings.HasPrefix(domain, "[") {
		return r.literal(domain)
	}
	e, err := r.exchange(ctx, message.FoldDomain(strings.TrimSuffix(domain, ".")))
	if err != nil {
		return nil, err
	}
	p, err := r.policy(ctx, e.domain)
	if err != nil {
		return nil, err
	}
	found, troubles := make([]*Host, len(e.hosts)), make([]error, len(e.hosts))
	g := new(errgroup.Group)
	g.SetLimit(lookups)
	for i, c := range e.hosts {
		g.Go(func() error {
			found[i], troubles[i] = r.host(ctx, e, c.name, p)
			return nil
		})
	}
	_ = g.Wait() // none fails as a whole
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var hosts []Host
	for _, h := range found {
		if h != nil {
			hosts = append(hosts, *h)
		}
	}
	if len(hosts) == 0 {
		return nil, gravest(troubles)
	}
	return hosts, nil
}

// gravest is the error of a domain none of whose hosts can be used: the first that may pass, else the first.
func gravest(troubles []error) error {
	for _, err := range troubles {
		if e := (*Error)(nil); !errors.As(err, &e) || !e.Permanent {
			return err
		}
	}
	return troubles[0]
}

// literal is the route to an address literal (RFC 5321 section 4.1.3).
func (r *Router) literal(domain string) ([]Host, error) {
	inside, closed := strings.CutSuffix(domain[1:], "]")
	isSix := len(inside) > 5 && strings.EqualFold(inside[:5], "IPv6:")
	if isSix {
		inside = inside[5:]
	}
	a, err := netip.ParseAddr(inside)
	if err != nil || !closed || a.Is6() != isSix || a.Zone() != "" {
		return nil, &Error{true, "5.1.3", domain + " is not an address literal"}
	}
	return []Host{{
		Name: domain, Addresses: []netip.Addr{a.Unmap()}, Port: r.Port, TLS: TLS{Policy: Policy{Type: PolicyNone, Domain: domain}},
	}}, nil
}

// exchange finds the names of the hosts that take mail for a folded domain.
func (r *Router) exchange(ctx context.Context, domain string) (*exchange, error) {
	answer, err := r.Resolver.LookupMX(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNoName):
		return nil, &Error{true, "5.1.2", "the domain " + domain + " does not exist"}
	case errors.Is(err, dns.ErrNotFound): // the domain is its own host
		if slices.Contains(r.names, domain) {
			return nil, loop(domain)
		}
		// Who hides an MX record can't make the domain's own address secure.
		return &exchange{domain: domain, canonical: domain, hosts: []candidate{{name: domain}}, secure: true}, nil
	case err != nil:
		return nil, r.trouble(ctx, domain, err)
	}
	if len(answer.Records) == 1 && answer.Records[0].Host == "" {
		return nil, &Error{true, "5.1.10", "the domain " + domain + " takes no mail (null MX)"}
	}
	e := &exchange{domain: domain, canonical: answer.Name, secure: answer.Secure}
	records := answer.Records
	if r.Shuffle != nil {
		r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	}
	slices.SortStableFunc(records, func(a, b dns.MX) int { return int(a.Preference) - int(b.Preference) })
	ours := false
	for _, mx := range records {
		if slices.Contains(r.names, mx.Host) {
			ours = true
			// Those of our own preference, too (RFC 5321 section 5.1).
			e.hosts = slices.DeleteFunc(e.hosts, func(c candidate) bool { return c.preference == mx.Preference })
			break
		}
		if mx.Host != "" && !slices.ContainsFunc(e.hosts, func(c candidate) bool { return c.name == mx.Host }) {
			e.hosts = append(e.hosts, candidate{mx.Host, mx.Preference})
		}
	}
	switch {
	case len(e.hosts) == 0 && ours:
		return nil, loop(domain)
	case len(e.hosts) == 0:
		return nil, &Error{true, "5.1.10", "the domain " + domain + " takes no mail (null MX)"}
	}
	e.hosts = e.hosts[:min(len(e.hosts), maxHosts)]
	return e, nil
}

// host looks up one host, and says how the connection to it must be protected. An error says that mail may not go there now.
func (r *Router) host(ctx context.Context, e *exchange, name string, p *STSPolicy) (*Host, error) {
	answer, err := r.Resolver.LookupAddresses(ctx, name)
	if errors.Is(err, dns.ErrNotFound) {
		if e.hosts[0].name == e.domain {
			return nil, &Error{true, "5.4.4", "the domain " + e.domain + " names no host that takes mail"}
		}
		return nil, &Error{true, "5.4.4", "the host " + name + " of " + e.domain + " has no address"}
	}
	if err != nil {
		return nil, r.trouble(ctx, name, err)
	}
	h := &Host{Name: name, Addresses: alternate(answer.Records), Port: r.Port}
	if h.TLS, err = r.dane(ctx, e, name, answer); err != nil {
		return nil, err
	}
	if h.TLS.Source == "" {
		h.TLS, err = r.sts(ctx, e.domain, name, p)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// alternate puts IPv6 and IPv4 addresses in turn, so that a network without one of them costs a host one attempt, and leaves those
// that are too many out.
func alternate(addresses []netip.Addr) []netip.Addr {
	var six, four, out []netip.Addr
	for _, a := range addresses {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	for i := range max(len(six), len(four)) {
		out = append(out, six[min(i, len(six)):min(i+1, len(six))]...)
		out = append(out, four[min(i, len(four)):min(i+1, len(four))]...)
	}
	return out[:min(len(out), maxAddresses)]
}

func loop(domain string) error {
	return &Error{true, "5.4.6", "mail for " + domain + " would come back to this server, which does not take it"}
}

// trouble says that DNS did not answer, unless ctx ended.
func (r *Router) trouble(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{false, "4.4.3", fmt.Sprintf("DNS does not say where mail for %s goes: %s", name, r.said(ctx, err))}
}

// said is what others may know of a failed look-up. The rest, such as whom we asked, goes to the log.
func (r *Router) said(ctx context.Context, err error) string {
	r.Log.InfoContext(ctx, "DNS does not say how to deliver mail", "error", err)
	if errors.Is(err, dns.ErrBogus) {
		return dns.ErrBogus.Error()
	}
	return "the look-up failed"
}

func (r *Router) report(ctx context.Context, s Session) {
	if r.Report != nil {
		r.Report(ctx, s)
	}
}
