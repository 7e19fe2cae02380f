// Package dial makes every connection to an address that an organisation gave: an endpoint for free/busy, a function, a bucket, an
// OpenID provider, a directory, a log sink. Who administers an organisation is not who runs the server, so such an address must
// not lead into the server's own network: loopback, private, link-local (where clouds keep their metadata) and special-purpose
// addresses are refused after the name was resolved, for each connection and each redirect anew, unless the operator allows them.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/pennypost/pennypost/internal/lazy"
)

// connectTimeout bounds the making of one connection, the look-up of its name included.
const connectTimeout = 10 * time.Second

// Refused says that an address may not be dialled. The operator's setting that would allow it is named by who shows it.
type Refused struct{ Address netip.Addr }

// Error says which address, and why.
func (r *Refused) Error() string {
	return fmt.Sprintf("%s is not an address on the public internet, and the operator of this server has not allowed it", r.Address)
}

// Dialer makes guarded connections. It is safe for concurrent use.
type Dialer struct {
	allowed []netip.Prefix
	dialer  net.Dialer
}

// New returns a dialer that looks names up with resolver (nil for the system's) and also reaches the allowed networks.
func New(resolver *net.Resolver, allowed []netip.Prefix) *Dialer {
	d := &Dialer{allowed: slices.Clone(allowed)}
	d.dialer = net.Dialer{Timeout: connectTimeout, Resolver: resolver, ControlContext: d.control}
	return d
}

// DialContext connects to host:port over TCP. A name is looked up and its addresses tried in turn, those that are refused left
// out. The error is, or wraps, a *Refused where all of them were.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return d.dialer.DialContext(ctx, network, address)
	}
	return nil, fmt.Errorf("dial: network %q is not TCP", network)
}

// control sees the address that is about to be connected to, after every look-up: nothing can change between the check and the
// connection.
func (d *Dialer) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	addr := at.Addr().Unmap().WithZone("")
	if Public(addr) || slices.ContainsFunc(d.allowed, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	return &Refused{addr}
}

// IsRefused reports whether err says that an address may not be dialled.
func IsRefused(err error) bool {
	var r *Refused
	return errors.As(err, &r)
}

// special are the blocks of IANA's registries of special-purpose addresses (RFC 6890) that do not lead to hosts on the public
// internet, and those that hold an IPv4 address in an IPv6 one, which may lead anywhere.
var special = lazy.Value[[]netip.Prefix]{Make: func() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),       // this network
		netip.MustParsePrefix("10.0.0.0/8"),      // private (RFC 1918)
		netip.MustParsePrefix("100.64.0.0/10"),   // carrier's NAT (RFC 6598)
		netip.MustParsePrefix("127.0.0.0/8"),     // loopback
		netip.MustParsePrefix("169.254.0.0/16"),  // link-local, and the metadata of clouds
		netip.MustParsePrefix("172.16.0.0/12"),   // private
		netip.MustParsePrefix("192.0.0.0/24"),    // IETF protocols
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation
		netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
		netip.MustParsePrefix("192.168.0.0/16"),  // private
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("224.0.0.0/3"),     // multicast, reserved, broadcast
	}
}}

// internet is the IPv6 space given out for unicast on the internet; all else of IPv6 is special.
var internet = lazy.Value[netip.Prefix]{Make: func() netip.Prefix { return netip.MustParsePrefix("2000::/3") }}

var specialWithin = lazy.Value[[]netip.Prefix]{Make: func() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // IETF protocols, Teredo among them
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4
		netip.MustParsePrefix("3fff::/20"),     // documentation
	}
}}

// Public reports whether addr is an ordinary address on the internet.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	within := func(p netip.Prefix) bool { return p.Contains(addr) }
	if addr.Is4() {
		return !slices.ContainsFunc(special.Get(), within)
	}
	return internet.Get().Contains(addr) && !slices.ContainsFunc(specialWithin.Get(), within)
}
