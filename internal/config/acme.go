package config

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

func (c *Config) checkACME(wrong func(key, format string, args ...any)) {
	if !slices.Contains([]string{"http-01", "tls-alpn-01", "dns-01"}, c.ACMEChallenge) {
		wrong("acme_challenge", "%q is none of http-01, tls-alpn-01, dns-01", c.ACMEChallenge)
	}
	if u, err := url.Parse(c.ACMEDirectory); err != nil || u.Scheme != "https" || u.Host == "" {
		wrong("acme_directory", "%q is not of the form https://host/path", c.ACMEDirectory)
	}
	if (c.ACMEKeyID == "") != (c.ACMEKeyFile == "") {
		wrong("acme_eab_key_id", "acme_eab_key_id and acme_eab_key_file go together")
	}
	if c.ACMEEmail != "" && (!strings.Contains(c.ACMEEmail, "@") || strings.ContainsAny(c.ACMEEmail, " ,?&<>")) {
		wrong("acme_email", "%q is not the address of a mailbox", c.ACMEEmail)
	}
	if c.ACMEDNSProvider != "" {
		if _, ok := c.DNSProviders[c.ACMEDNSProvider]; !ok {
			wrong("acme_dns_provider", "there is no table [dns_provider.%s]", c.ACMEDNSProvider)
		}
	}
	if len(c.ACME) == 0 {
		if c.ACMEHTTP != "" {
			wrong("acme_http", "nothing is to be answered there: acme names no host")
		}
		return
	}
	for _, name := range c.ACME {
		if !isHostname(name) || !strings.Contains(name, ".") {
			wrong("acme", "%q is not a host name that a CA issues certificates for", name)
		}
	}
	if !c.ACMEAcceptTerms {
		wrong("acme", "a CA issues certificates to who accepts its terms of service: read them, and set acme_accept_terms")
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		wrong("acme", "certificates come by ACME or from tls_cert and tls_key, not both")
	}
	switch {
	case c.ACMEHTTP != "" && c.ACMEChallenge != "http-01":
		wrong("acme_http", "it goes with acme_challenge = http-01")
	case c.ACMEChallenge == "http-01" && c.ACMEHTTP == "" && c.HTTP == "":
		wrong("acme_challenge", "http-01 needs acme_http, or http behind a proxy")
	case c.ACMEChallenge == "tls-alpn-01" && c.HTTPS == "":
		wrong("acme_challenge", "tls-alpn-01 needs https")
	case c.ACMEChallenge == "dns-01" && c.ACMEDNSProvider == "":
		wrong("acme_challenge", "dns-01 needs acme_dns_provider")
	}
}

// ACMERoots are the certificates in ACMECAFile; nil for the system's.
func (c *Config) ACMERoots() (*x509.CertPool, error) {
	if c.ACMECAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.ACMECAFile)
	if err != nil {
		return nil, fmt.Errorf("acme_ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("acme_ca_file: %s holds no certificate in PEM", c.ACMECAFile)
	}
	return roots, nil
}

// ACMEKey reads the MAC key of the external account, in base64url without padding; empty where there is none.
func (c *Config) ACMEKey() (string, error) {
	if c.ACMEKeyFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.ACMEKeyFile)
	if err != nil {
		return "", fmt.Errorf("acme_eab_key_file: %w", err)
	}
	key := strings.TrimRight(strings.TrimSpace(string(text)), "=")
	if _, err := base64.RawURLEncoding.DecodeString(key); err != nil || key == "" || len(text) > maxSecretFile {
		return "", fmt.Errorf("acme_eab_key_file: %s does not hold a key in base64url", c.ACMEKeyFile)
	}
	return key, nil
}
