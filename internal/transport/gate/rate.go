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
