package dns

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

const (
	maxServers = 3        // as the C library
	maxConf    = 64 << 10 // bytes of resolv.conf that are read
)

// servers are the addresses to ask, and whether what they say of DNSSEC is believed.
func (r *Resolver) servers() (addresses []string, trusted bool, err error) {
	if r.fixed != "" {
		return []string{r.fixed}, r.trusted, nil
	}
	// It is read each time: it is small, and changes when the machine moves to another network.
	f, err := os.Open(r.conf)
	if err != nil {
		return nil, false, fmt.Errorf("the system's DNS servers: %w", err)
	}
	defer f.Close() // nothing was written
	conf, err := io.ReadAll(io.LimitReader(f, maxConf))
	if err != nil {
		return nil, false, fmt.Errorf("the system's DNS servers: %w", err)
	}
	addresses, trusted = parseConf(string(conf))
	return addresses, trusted, nil
}

// parseConf reads a resolv.conf(5).
func parseConf(conf string) (addresses []string, trusted bool) {
	for line := range strings.Lines(conf) {
		switch f := strings.Fields(line); {
		case len(f) < 2:
		case f[0] == "nameserver" && len(addresses) < maxServers:
			if a, err := netip.ParseAddr(f[1]); err == nil {
				addresses = append(addresses, net.JoinHostPort(a.String(), "53"))
			}
		case f[0] == "options":
			trusted = trusted || slices.Contains(f[1:], "trust-ad")
		}
	}
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1:53", "[::1]:53"}
	}
	foreign := slices.ContainsFunc(addresses, func(a string) bool { return !onLoopback(a) })
	return addresses, trusted || !foreign
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
