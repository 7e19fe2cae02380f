package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
)

// Gateway is an SMTP server that takes mail for others: [gateway.NAME].
type Gateway struct {
	// Address is its host:port.
	Address string `toml:"address"`
	// TLS is "starttls" (the default), "implicit" (from the first byte) or, for a loopback address alone, "none".
	TLS string `toml:"tls"`
	// CAFile holds the certificates, PEM, that vouch for it, in place of the system's.
	CAFile string `toml:"ca_file"`
	// Username and the password in PasswordFile sign in there. Without them nobody does. Space around the password doesn't count.
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
}

func (c *Config) checkOutbound() (faults []error) {
	if _, ok := c.Gateways[c.Outbound]; !ok && c.Outbound != "mx" && c.Outbound != "off" {
		faults = append(faults, fmt.Errorf("%s: %q is neither mx nor off nor the name of a [gateway.NAME]", c.Origin["outbound"], c.Outbound))
	}
	if c.OutboundPort < 1 || c.OutboundPort > 65535 {
		faults = append(faults, fmt.Errorf("%s: the port must be a number from 1 to 65535", c.Origin["outbound_port"]))
	}
	if days := c.DKIMRotationDays; days != 0 && (days < 30 || days > 3650) {
		faults = append(faults, fmt.Errorf("%s: %d is neither 0 nor between 30 and 3650", c.Origin["dkim_rotation_days"], days))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Gateways)) {
		g := c.Gateways[name]
		wrong := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("gateway.%q: %s", name, fmt.Sprintf(format, args...)))
		}
		if name == "mx" || name == "off" {
			wrong("a gateway can't have this name, which outbound gives another meaning")
		}
		if err := checkAddress(g.Address); err != nil {
			wrong("address %v", err)
		} else if _, port, _ := net.SplitHostPort(g.Address); port == "0" {
			wrong("address %q has no port", g.Address)
		}
		switch {
		case !slices.Contains([]string{"", "starttls", "implicit", "none"}, g.TLS):
			wrong("tls %q is none of starttls, implicit, none", g.TLS)
		case g.TLS == "none" && !loopback(g.Address):
			wrong("without TLS only a loopback address is reached")
		case g.TLS == "none" && g.Username != "":
			wrong("a password is not sent without TLS")
		case (g.Username == "") != (g.PasswordFile == ""):
			wrong("username and password_file go together")
		}
	}
	return faults
}
