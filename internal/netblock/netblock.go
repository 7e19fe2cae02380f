// Package netblock says which addresses count as one client's wherever something is limited or remembered by address.
package netblock

import "net/netip"

// Of is the network of one client: an IPv4 address, or the /64 that one IPv6 customer has. It is the zero prefix for the zero address.
func Of(a netip.Addr) netip.Prefix { return of(a, 32) }

// Near is the network of servers that stand side by side and share what they do: the /24 of IPv4, or the /64.
func Near(a netip.Addr) netip.Prefix { return of(a, 24) }

func of(a netip.Addr, four int) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := four
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero prefix for the zero address, which is right
	return p
}
