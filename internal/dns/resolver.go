// Package dns asks the domain name system. The resolver is handed in everywhere, so that what depends on DNS is tested
// against a local server, and an operator can name the resolver to trust (setting dns_resolver).
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrNotFound says that the answer is certain and empty: the name or the record does not exist (NXDOMAIN or no data). Any
// other error of a look-up is a failure to find out, and may be different the next time.
var ErrNotFound = errors.New("no such record")

// queryTimeout bounds one look-up, retries included.
const queryTimeout = 10 * time.Second

// Resolver looks names up through one DNS server, or through the system's. It is safe for concurrent use.
type Resolver struct {
	r net.Resolver
}

// New returns a resolver that asks the DNS server at address (host:port), or the system's servers where it is empty.
func New(address string) *Resolver {
	r := &Resolver{r: net.Resolver{PreferGo: true}}
	if address != "" {
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
