package route

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pennypost/pennypost/internal/dns"
)

// dane returns what DANE says of a host whose addresses were found; a TLS without Source where it says nothing.
func (r *Router) dane(ctx context.Context, e *exchange, host string, addresses dns.Answer[netip.Addr]) (TLS, error) {
	if !e.secure {
		return TLS{}, nil
	}
	bases, err := r.bases(ctx, host, addresses)
	if err != nil {
		return TLS{}, r.unusable(ctx, e, host, host, err)
	}
	for _, base := range bases {
		answer, err := r.Resolver.LookupTLSA(ctx, fmt.Sprintf("_%d._tcp.%s", r.Port, base))
		switch {
		case err != nil && !errors.Is(err, dns.ErrNotFound):
			return TLS{}, r.unusable(ctx, e, host, base, err)
		case err == nil && answer.Secure:
			return byDANE(e, base, answer.Records), nil
		}
	}
	return TLS{}, nil
}

// bases are the names whose TLSA records speak for the host, in the order in which they are asked (RFC 7672 section 2.2.3).
func (r *Router) bases(ctx context.Context, host string, addresses dns.Answer[netip.Addr]) ([]string, error) {
	switch {
	case addresses.Secure && addresses.Name != host:
		return []string{addresses.Name, host}, nil
	case addresses.Secure:
		return []string{host}, nil
	case addresses.Name == host:
		return nil, nil // servers of unsigned zones often fail on TLSA
	}
	// An alias out of a signed zone to a host that is not in one: only the alias's own records can be secure.
	alias, err := r.Resolver.LookupCNAME(ctx, host)
	if err == nil && alias.Secure {
		return []string{host}, nil
	}
	if errors.Is(err, dns.ErrNotFound) {
		err = nil
	}
	return nil, err
}

// unusable says that mail must not go to a host of which DNS does not say whether it has records (RFC 7672 section 2.1.2): somebody
// may be keeping them from us.
func (r *Router) unusable(ctx context.Context, e *exchange, host, base string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	said := r.said(ctx, err)
	s := Session{
		Domain: e.domain, Policy: Policy{Type: PolicyTLSA, Domain: base}, Host: host, Result: ValidationFailure, Info: "TLSA: " + said,
	}
	if errors.Is(err, dns.ErrBogus) {
		s.Result = DNSSECInvalid
	}
	r.report(ctx, s)
	return &Error{false, "4.7.5", fmt.Sprintf("DNS does not say how %s is to be authenticated (DANE): %s", host, said)}
}

// byDANE is what secure records demand.
func byDANE(e *exchange, base string, records []dns.TLSA) TLS {
	t := TLS{
		Level: Required, Source: "DANE", Policy: Policy{Type: PolicyTLSA, Domain: base},
		// RFC 7672 section 3.2.2.
		Names: []string{base},
	}
	for _, name := range []string{e.domain, e.canonical} {
		if !slices.Contains(t.Names, name) {
			t.Names = append(t.Names, name)
		}
	}
	for _, record := range records {
		t.Policy.Strings = append(t.Policy.Strings, fmt.Sprintf("%d %d %d %x", record.Usage, record.Selector, record.Matching, record.Data))
		if own := TLSA(record); own.usable() {
			t.Level = Verified
			t.Records = append(t.Records, own)
		}
	}
	// Of a pair of digests the weaker one does not count (RFC 7671 section 9).
	strong := slices.Clone(t.Records)
	t.Records = slices.DeleteFunc(t.Records, func(weak TLSA) bool {
		return weak.Matching == inSHA256 && slices.ContainsFunc(strong, func(r TLSA) bool {
			return r.Matching == inSHA512 && r.Usage == weak.Usage && r.Selector == weak.Selector
		})
	})
	return t
}

// usable reports whether the record is one that SMTP uses and is well formed (RFC 7672 section 3.1).
func (r TLSA) usable() bool {
	if r.Usage != daneTA && r.Usage != daneEE || r.Selector > publicKey {
		return false
	}
	switch r.Matching {
	case inSHA256:
		return len(r.Data) == sha256.Size
	case inSHA512:
		return len(r.Data) == sha512.Size
	case exact:
		var err error
		if r.Selector == fullCert {
			_, err = x509.ParseCertificate(r.Data)
		} else {
			_, err = x509.ParsePKIXPublicKey(r.Data)
		}
		return err == nil
	}
	return false
}
