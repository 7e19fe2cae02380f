package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/lazyregexp"
)

var (
	accountID   = lazyregexp.New(`\A[0-9]{12}\z`)
	region      = lazyregexp.New(`\A[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}\z`)
	functionARN = lazyregexp.New(`\Aarn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_.-]+(:(\$LATEST|[A-Za-z0-9_-]+))?\z`)
	label       = lazyregexp.New(`\A[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\z`)
)

// check returns one error for each setting that can't be used.
func (c *Config) check() []error {
	var faults []error
	wrong := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", c.Origin[key], fmt.Sprintf(format, args...)))
	}
	for _, l := range c.Listeners() {
		if err := checkAddress(l.Address); err != nil {
			wrong(l.Key, "%v", err)
		}
	}
	if c.HTTP != "" && checkAddress(c.HTTP) == nil && !loopback(c.HTTP) && len(c.TrustedProxies) == 0 {
		wrong("http", "%q can be reached from other machines, and plain HTTP is for this one: use a loopback address, serve "+
			"others with --https, or name the reverse proxies in front with --trusted-proxies", c.HTTP)
	}
	if !isHostname(c.Hostname) {
		wrong("hostname", "%q is not a host name that others could look up", c.Hostname)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		set, missing := "tls_cert", "--tls-key"
		if c.TLSCert == "" {
			set, missing = "tls_key", "--tls-cert"
		}
		wrong(set, "a certificate and its key come together: %s is missing", missing)
	}
	c.checkACME(wrong)
	if c.DatabaseURL != "" {
		// The URL holds a password, so the message does not repeat it.
		u, err := url.Parse(c.DatabaseURL)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			wrong("database_url", "this is not of the form postgres://user:password@host:port/database (leave it empty for SQLite)")
		}
	}
	if c.BlobURL != "" {
		u, err := url.Parse(c.BlobURL)
		if err != nil || u.Scheme != "s3" || u.Host == "" {
			wrong("blob_url", "%q is not of the form s3://bucket/prefix (leave it empty for files in the data directory)", c.BlobURL)
		}
	}
	if !accountID.MatchString(c.AccountID) {
		wrong("account_id", "%q is not an account: it has 12 digits", c.AccountID)
	}
	if !region.MatchString(c.Region) {
		wrong("region", "%q is not a region: it looks like us-east-1", c.Region)
	}
	if !isHostname(c.TestDomainSuffix) || !strings.Contains(c.TestDomainSuffix, ".") {
		wrong("test_domain_suffix", "%q is not a domain of at least two labels", c.TestDomainSuffix)
	}
	if c.DNSResolver != "" {
		if err := checkAddress(strings.TrimSuffix(c.DNSResolver, dns.TrustAD)); err != nil {
			wrong("dns_resolver", "%v", err)
		}
	}
	for _, domain := range c.ARCTrusted {
		if !isHostname(domain) || !strings.Contains(domain, ".") {
			wrong("arc_trusted", "%q is not a domain", domain)
		}
	}
	c.checkHygiene(wrong)
	if _, err := c.ReadDNSLists(); err != nil {
		wrong("dns_lists", "%v", err)
	}
	for _, arn := range slices.Sorted(maps.Keys(c.Functions)) {
		if err := c.Functions[arn].check(arn); err != nil {
			faults = append(faults, fmt.Errorf("function.%q: %w", arn, err))
		}
	}
	for _, l := range []struct {
		key                string
		value, least, most int
	}{
		{"password_memory_kib", c.PasswordMemoryKiB, 19456, 1 << 20},
		{"password_passes", c.PasswordPasses, 2, 64},
		{"directory_seconds", c.DirectorySeconds, 1, 86_400},
		{"limit_aliases", c.LimitAliases, 1, math.MaxInt32},
		{"limit_domains", c.LimitDomains, 1, math.MaxInt32},
		{"limit_tags", c.LimitTags, 1, math.MaxInt32},
		{"mta_sts_max_age", c.MTASTSMaxAge, 3600, 31557600},
		{"recoverable_days", c.RecoverableDays, 1, 3650},
		{"limit_availability", c.LimitAvailability, 1, math.MaxInt32},
		{"limit_mailbox_mb", c.LimitMailboxMB, 1, 1 << 30},
		{"limit_message_mb", c.LimitMessageMB, 1, 1024},
		{"audit_retention_days", c.AuditRetentionDays, 1, 36500},
		{"limit_recipients", c.LimitRecipients, 1, 100_000},
		{"limit_attachments", c.LimitAttachments, 0, 5_000},
	} {
		if l.value < l.least || l.value > l.most {
			wrong(l.key, "%d is not between %d and %d", l.value, l.least, l.most)
		}
	}
	faults = append(faults, c.checkIdentityCenters()...)
	faults = append(faults, c.checkLogGroups()...)
	faults = append(faults, c.checkOutbound()...)
	faults = append(faults, c.checkRelays()...)
	faults = append(faults, c.checkSESInbound()...)
	faults = append(faults, c.checkDomains()...)
	return append(faults, c.checkDirectories()...)
}

func (f Function) check(arn string) error {
	if !functionARN.MatchString(arn) {
		return errors.New("this is not the ARN of a Lambda function")
	}
	// The URL may hold a secret, so the message does not repeat it.
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("url is not of the form https://host/path")
	}
	return nil
}

// Listener is a setting that names an address to listen on.
type Listener struct {
	Key     string // http
	Address string // empty: off
}

// Listeners lists the addresses to listen on, those that are off left out.
func (c *Config) Listeners() []Listener {
	var on []Listener
	for _, l := range []Listener{
		{"http", c.HTTP},
		{"https", c.HTTPS},
		{"smtp", c.SMTP},
		{"submission", c.Submission},
		{"submissions", c.Submissions},
		{"imap", c.IMAP},
		{"imaps", c.IMAPS},
		{"managesieve", c.ManageSieve},
		{"metrics", c.Metrics},
		{"acme_http", c.ACMEHTTP},
	} {
		if l.Address != "" {
			on = append(on, l)
		}
	}
	return on
}

// checkAddress checks host:port.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not of the form host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q: the port must be a number from 0 (any free one) to 65535", address)
	}
	if !isHostname(host) {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("%q: %q is neither an IP address nor a host name", address, host)
		}
	}
	return nil
}

// loopback reports whether only this machine can reach the address.
func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// isHostname reports whether name is a DNS host name (RFC 1123 section 2.1).
func isHostname(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil || len(name) > 253 {
		return false
	}
	for part := range strings.SplitSeq(name, ".") {
		if len(part) > 63 || !label.MatchString(part) {
			return false
		}
	}
	return true
}
