package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// DNSProvider is who keeps the DNS zones of domains and takes changes of them: [dns_provider.NAME].
type DNSProvider struct {
	// Kind is "rfc2136" (a name server that takes dynamic updates) or "route53".
	Kind string `toml:"kind"`
	// Server is the host:port of the primary name server, for rfc2136.
	Server string `toml:"server"`
	// KeyName and KeyAlgorithm are of the key that signs updates (TSIG), for rfc2136; hmac-sha256 where no algorithm is named.
	KeyName      string `toml:"key_name"`
	KeyAlgorithm string `toml:"key_algorithm"`
	// AccessKeyID is of an AWS key, for route53. Without it the AWS environment signs.
	AccessKeyID string `toml:"access_key_id"`
	// Endpoint is a URL in place of Amazon's own, for route53.
	Endpoint string `toml:"endpoint"`
	// SecretFile holds the key in base64 (rfc2136) or the secret access key (route53). Space around it doesn't count.
	SecretFile string `toml:"secret_file"`
}

// maxSecretFile bounds the file that SecretFile names.
const maxSecretFile = 64 << 10

// Secret reads the provider's secret; empty where it has no file.
func (p DNSProvider) Secret() (string, error) {
	if p.SecretFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(p.SecretFile)
	if err != nil {
		return "", fmt.Errorf("secret_file: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || len(text) > maxSecretFile {
		return "", fmt.Errorf("secret_file: %s does not hold a secret", p.SecretFile)
	}
	return secret, nil
}

// tsigAlgorithms are those of RFC 8945 that are still good.
var tsigAlgorithms = []string{"", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}

func (c *Config) checkDomains() (faults []error) {
	if !slices.Contains([]string{"testing", "enforce", "none"}, c.MTASTS) {
		faults = append(faults, fmt.Errorf("%s: %q is none of testing, enforce, none", c.Origin["mta_sts"], c.MTASTS))
	}
	if c.SPFInclude != "" && (!isHostname(strings.ReplaceAll(c.SPFInclude, "_", "x")) || !strings.Contains(c.SPFInclude, ".")) {
		faults = append(faults, fmt.Errorf("%s: %q is no domain", c.Origin["spf_include"], c.SPFInclude))
	}
	if _, err := c.publicPorts(); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", c.Origin["public_ports"], err))
	}
	for _, name := range slices.Sorted(maps.Keys(c.DNSProviders)) {
		if err := c.DNSProviders[name].check(); err != nil {
			faults = append(faults, fmt.Errorf("dns_provider.%q: %w", name, err))
		}
	}
	return faults
}

func (p DNSProvider) check() error {
	others := map[string]bool{
		"server": p.Server != "" && p.Kind != "rfc2136", "key_name": p.KeyName != "" && p.Kind != "rfc2136",
		"key_algorithm": p.KeyAlgorithm != "" && p.Kind != "rfc2136", "access_key_id": p.AccessKeyID != "" && p.Kind != "route53",
		"endpoint": p.Endpoint != "" && p.Kind != "route53",
	}
	for _, key := range slices.Sorted(maps.Keys(others)) {
		if others[key] {
			return fmt.Errorf("%s does not go with the kind %q", key, p.Kind)
		}
	}
	switch p.Kind {
	case "rfc2136":
		if err := checkAddress(p.Server); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		if p.KeyName == "" || p.SecretFile == "" {
			return errors.New("key_name and secret_file are needed: updates are signed")
		}
		if !slices.Contains(tsigAlgorithms, p.KeyAlgorithm) {
			return fmt.Errorf("key_algorithm %q is none of %s", p.KeyAlgorithm, strings.Join(tsigAlgorithms[1:], ", "))
		}
	case "route53":
		if (p.AccessKeyID == "") != (p.SecretFile == "") {
			return errors.New("access_key_id and secret_file go together")
		}
	default:
		return fmt.Errorf("kind %q is neither rfc2136 nor route53", p.Kind)
	}
	return nil
}

// publicService is a listener that DNS and the settings of mail programs speak of.
type publicService struct {
	key, address string
	port         int // the service's own
}

func (c *Config) publicServices() []publicService {
	return []publicService{
		{"https", c.HTTPS, 443},
		{"imap", c.IMAP, 143},
		{"imaps", c.IMAPS, 993},
		{"managesieve", c.ManageSieve, 4190},
		{"submission", c.Submission, 587},
		{"submissions", c.Submissions, 465},
	}
}

// PortsSeen are the ports by which others reach the services, by the listeners' keys; 0 for one that is not offered.
func (c *Config) PortsSeen() map[string]int {
	seen, err := c.publicPorts()
	if err != nil {
		return map[string]int{} // Load has refused it
	}
	return seen
}

func (c *Config) publicPorts() (map[string]int, error) {
	seen := map[string]int{}
	for _, s := range c.publicServices() {
		if s.address == "" {
			seen[s.key] = 0
			continue
		}
		seen[s.key] = s.port
		_, text, _ := net.SplitHostPort(s.address)
		if port, err := strconv.Atoi(text); err == nil && port != 0 && !loopback(s.address) {
			seen[s.key] = port
		}
	}
	for part := range strings.SplitSeq(c.PublicPorts, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, text, _ := strings.Cut(part, "=")
		port, err := strconv.ParseUint(text, 10, 16)
		if _, known := seen[key]; !known || err != nil {
			return nil, fmt.Errorf("%q is not of the form SERVICE=PORT with https, imap, imaps, managesieve, submission or submissions", part)
		}
		seen[key] = int(port)
	}
	return seen, nil
}
