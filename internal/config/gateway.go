package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// Gateway is an SMTP server that takes mail for others: [gateway.NAME].
type Gateway struct {
	// Preset is "ses" for the SMTP endpoint of Amazon SES in Region, whose Address need not be given then.
	Preset string `toml:"preset"`
	Region string `toml:"region"`
	// Address is its host:port.
	Address string `toml:"address"`
	// TLS is "starttls" (the default), "implicit" (from the first byte) or, for a loopback address alone, "none".
	TLS string `toml:"tls"`
	// CAFile holds the certificates, PEM, that vouch for it, in place of the system's.
	CAFile string `toml:"ca_file"`
	// Username and the password in PasswordFile sign in there. Without them nobody does. Space around the password doesn't count.
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	// SecretAccessKeyFile holds, for Amazon SES, the secret of the IAM access key that Username is, in place of the SMTP password that is
	// made of it.
	SecretAccessKeyFile string `toml:"secret_access_key_file"`
	// NullSender is the reverse-path of what has none, for a server that refuses the null one. Empty means, for Amazon SES, postmaster at
	// Hostname.
	NullSender string `toml:"null_sender"`
}

// PresetSES is Gateway.Preset for Amazon SES.
const PresetSES = "ses"

// Where is the gateway's host:port.
func (g Gateway) Where() string {
	if g.Address != "" || g.Preset != PresetSES {
		return g.Address
	}
	port := "587"
	if g.TLS == "implicit" {
		port = "465"
	}
	return net.JoinHostPort("email-smtp."+g.Region+".amazonaws.com", port)
}

// SPFDomain is SPFInclude, or what the gateway that takes all mail is known to need in its place.
func (c *Config) SPFDomain() string {
	if c.SPFInclude == "" && c.Gateways[c.Outbound].Preset == PresetSES {
		return "amazonses.com"
	}
	return c.SPFInclude
}

// checkRelays checks RelayUnknown.
func (c *Config) checkRelays() (faults []error) {
	for _, domain := range slices.Sorted(maps.Keys(c.RelayUnknown)) {
		g, known := c.Gateways[c.RelayUnknown[domain]]
		switch {
		case !isHostname(domain) || !strings.Contains(domain, ".") || domain != strings.ToLower(domain):
			faults = append(faults, fmt.Errorf("relay_unknown.%q: this is not a domain in lower case", domain))
		case !known:
			faults = append(faults, fmt.Errorf("relay_unknown.%q: %q is not the name of a [gateway.NAME]", domain, c.RelayUnknown[domain]))
		case g.Preset == PresetSES:
			faults = append(faults, fmt.Errorf("relay_unknown.%q: Amazon SES knows nobody's mailboxes, and sends for verified addresses alone; name the old side's own server", domain))
		case c.Outbound == "off":
			faults = append(faults, fmt.Errorf("relay_unknown.%q: no mail leaves this server (outbound is off)", domain))
		}
	}
	return faults
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
		switch g.Preset {
		case "":
			if g.Region != "" || g.SecretAccessKeyFile != "" {
				wrong("region and secret_access_key_file go with preset = %q", PresetSES)
			}
		case PresetSES:
			if !region.MatchString(g.Region) {
				wrong("region %q is not a region: it looks like us-east-1", g.Region)
				continue
			}
			if g.Username == "" {
				wrong("Amazon SES needs a username, and password_file or secret_access_key_file")
			}
		default:
			wrong("preset %q is not %s", g.Preset, PresetSES)
		}
		if g.NullSender != "" && !isAddress(g.NullSender) {
			wrong("null_sender %q is not an address", g.NullSender)
		}
		where := g.Where()
		if err := checkAddress(where); err != nil {
			wrong("address %v", err)
		} else if _, port, _ := net.SplitHostPort(where); port == "0" {
			wrong("address %q has no port", where)
		}
		secret := cmp.Or(g.PasswordFile, g.SecretAccessKeyFile)
		switch {
		case !slices.Contains([]string{"", "starttls", "implicit", "none"}, g.TLS):
			wrong("tls %q is none of starttls, implicit, none", g.TLS)
		case g.TLS == "none" && !loopback(where):
			wrong("without TLS only a loopback address is reached")
		case g.TLS == "none" && g.Username != "":
			wrong("a password is not sent without TLS")
		case (g.Username == "") != (secret == ""):
			wrong("username and password_file go together")
		case g.PasswordFile != "" && g.SecretAccessKeyFile != "":
			wrong("of password_file and secret_access_key_file one is enough")
		}
	}
	return faults
}

// isAddress reports whether text is local@domain, as settings have it.
func isAddress(text string) bool {
	local, domain, ok := strings.Cut(text, "@")
	return ok && local != "" && !strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>()[]\,;:"`, r) }) && isHostname(domain)
}
