package courier

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/pennypost/pennypost/internal/transport/route"
)

var errNoRecord = errors.New("the certificate is none of those that the domain's TLSA records name")

// tlsConfig is for a connection to host under policy.
func (c *Courier) tlsConfig(policy *route.TLS, host string) *tls.Config {
	cfg := &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it: by other names and by DNS
	}
	if len(policy.Names) > 0 {
		cfg.ServerName = policy.Names[0] // RFC 7672 section 8.1
	}
	if policy.Level == route.Verified {
		cfg.VerifyConnection = func(state tls.ConnectionState) error { return c.verify(policy, state) }
	}
	return cfg
}

// verify says what is wrong with a server's certificate by the policy's names and records.
func (c *Courier) verify(policy *route.TLS, state tls.ConnectionState) error {
	chain := state.PeerCertificates
	if len(policy.Records) > 0 {
		for _, r := range policy.Records {
			if r.Matches(chain, policy.Names) {
				return nil
			}
		}
		return errNoRecord
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	roots := c.o.Roots
	if policy.Roots != nil {
		roots = policy.Roots
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: c.o.Clock.Now()})
	if err != nil {
		return err
	}
	err = errors.New("no name is known that the certificate should bear")
	for _, name := range policy.Names {
		if err = chain[0].VerifyHostname(name); err == nil {
			return nil
		}
	}
	return err
}

// resultOf is what TLS reports call an error of a handshake (RFC 8460 section 4.3).
func resultOf(err error) route.Result {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return route.CertificateHostMismatch
	case errors.As(err, &authority):
		return route.CertificateNotTrusted
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return route.CertificateExpired
	}
	return route.ValidationFailure
}
