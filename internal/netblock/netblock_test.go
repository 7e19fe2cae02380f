package netblock

import (
	"net/netip"
	"testing"
)

func TestAddressesOfOneClient(t *testing.T) {
	for _, c := range []struct{ address, of, near string }{
		{"192.0.2.77", "192.0.2.77/32", "192.0.2.0/24"},
		{"::ffff:192.0.2.77", "192.0.2.77/32", "192.0.2.0/24"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64", "fe80::/64"},
	} {
		a := netip.MustParseAddr(c.address)
		if of, near := Of(a).String(), Near(a).String(); of != c.of || near != c.near {
			t.Errorf("%s is of %s, near %s", c.address, of, near)
		}
	}
	if p := Of(netip.Addr{}); p != (netip.Prefix{}) {
		t.Errorf("the zero address is of %s", p)
	}
}
