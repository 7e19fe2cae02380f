package gate

import (
	"net/netip"
	"time"
)

// rate holds something to so many times a minute: that many at once, then evenly. The zero rate was never used.
type rate struct{ next time.Time } // when all that was taken would have been done, evenly

// take counts one, or reports that the minute's are used up. Without a limit it counts nothing.
func (r *rate) take(now time.Time, perMinute int) bool {
	if perMinute <= 0 {
		return true
	}
	next := r.next
	if next.Before(now) {
		next = now
	}
	next = next.Add(time.Minute / time.Duration(perMinute))
	if next.Sub(now) > time.Minute {
		return false
	}
	r.next = next
	return true
}

// networkOf is what is counted together: an IPv4 address, or the /64 that one IPv6 customer has.
func networkOf(a netip.Addr) netip.Prefix { return prefix(a, 32, 64) }

// neighbours are the addresses that a message may be sent again from: servers that share a queue stand side by side.
func neighbours(a netip.Addr) netip.Prefix { return prefix(a, 24, 64) }

func prefix(a netip.Addr, four, six int) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := four
	if a.Is6() {
		bits = six
	}
	p, _ := a.Prefix(bits) // the zero prefix for the zero address, which is right
	return p
}

// exempt are the networks that nothing is asked of.
type exempt []netip.Prefix

func (e exempt) has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsLoopback() {
		return true
	}
	for _, p := range e {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
