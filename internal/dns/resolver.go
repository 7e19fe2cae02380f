// Package dns asks the domain name system. The resolver is handed in everywhere, so that what depends on DNS is tested
// against a local server, and an operator can name the resolver to trust (setting dns_resolver).
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// ErrNotFound says that the answer is certain and empty: the name or the record does not exist (NXDOMAIN or no data). Any
// other error of a look-up is a failure to find out, and may be different the next time.
var ErrNotFound = errors.New("no such record")

// ErrNoName is the ErrNotFound of a name that does not exist at all (NXDOMAIN). LookupTXT does not tell the two apart.
var ErrNoName error = noName{}

type noName struct{}

func (noName) Error() string { return "no such name: " + ErrNotFound.Error() }
func (noName) Unwrap() error { return ErrNotFound }

// ErrBogus says that the resolver refuses the answer because its signatures do not hold (DNSSEC).
var ErrBogus = errors.New("the answer's signatures do not hold")

// queryTimeout bounds one look-up, retries included.
const queryTimeout = 10 * time.Second

// Resolver looks names up through one DNS server, or through the system's. It is safe for concurrent use.
type Resolver struct {
	r    net.Resolver
	conf string // path of resolv.conf, which names the system's servers
	// fixed is the server to ask, and trusted whether it is believed; empty for the system's servers.
	fixed   string
	trusted bool
}

// TrustAD after the address of a DNS server says that its word on DNSSEC is believed.
const TrustAD = " trust-ad"

// New returns a resolver that asks the DNS server at address (host:port), or the system's servers where it is empty.
//
// What a server says of DNSSEC (the AD bit) is believed where nobody on the way can have set it: when the server is on loopback,
// or the operator vouches for the way to it, by TrustAD after the address or, for the system's servers, the option trust-ad in
// resolv.conf(5).
func New(address string) *Resolver {
	r := &Resolver{r: net.Resolver{PreferGo: true}, conf: "/etc/resolv.conf"}
	if address != "" {
		address, vouched := strings.CutSuffix(address, TrustAD)
		r.fixed, r.trusted = address, vouched || onLoopback(address)
		r.r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}
	}
	return r
}

// Net returns the resolver for connections that are made by name.
func (r *Resolver) Net() *net.Resolver { return &r.r }

// LookupTXT returns the TXT records of name, the strings of each record joined (RFC 7208 section 3.3 reads them so).
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if name == "" { // not the root
		return nil, lookupError("TXT", name, ErrNoName)
	}
	// The final dot keeps the system's search list out of it.
	records, err := r.r.LookupTXT(ctx, name+".")
	if err != nil {
		return nil, lookupError("TXT", name, err)
	}
	return records, nil
}

func lookupError(kind, name string, err error) error {
	var dnsErr *net.DNSError
	if errors.As(err, &dnsErr) && dnsErr.IsNotFound {
		return fmt.Errorf("look up %s of %s: %w", kind, name, ErrNotFound)
	}
	return fmt.Errorf("look up %s of %s: %w", kind, name, err)
}
