package mailauth

import (
	"context"
	"net/netip"
)

// Organizational returns the organizational domain of a domain, which is in lower case and A-labels.
func (k *Checker) Organizational(ctx context.Context, domain string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	found, _, err := organizational(newLookups(k.Resolver, netip.Addr{}).walk(ctx, domain))
	return found, err
}
