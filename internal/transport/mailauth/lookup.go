package mailauth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/pennypost/pennypost/internal/dns"
)

// Resolver looks names up; a *dns.Resolver does.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) (dns.Answer[dns.MX], error)
	LookupIPv4(ctx context.Context, name string) (dns.Answer[netip.Addr], error)
	LookupIPv6(ctx context.Context, name string) (dns.Answer[netip.Addr], error)
	LookupPTR(ctx context.Context, addr netip.Addr) (dns.Answer[string], error)
	LookupCNAME(ctx context.Context, name string) (dns.Answer[string], error)
}

// maxNames is how many names of an address are looked at (RFC 7208 section 4.6.4, RFC 8601 section 3).
const maxNames = 10

// lookups are those of one message: what two checks ask for is asked once.
type lookups struct {
	Resolver
	client netip.Addr

	mu    sync.Mutex
	texts map[string]func() ([]string, error)
}

func newLookups(r Resolver, client netip.Addr) *lookups {
	return &lookups{Resolver: r, client: client, texts: map[string]func() ([]string, error){}}
}

// text returns the TXT records of a name.
func (l *lookups) text(ctx context.Context, name string) ([]string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	l.mu.Lock()
	once := l.texts[name]
	if once == nil {
		once = sync.OnceValues(func() ([]string, error) { return l.LookupTXT(ctx, name) })
		l.texts[name] = once
	}
	l.mu.Unlock()
	return once()
}

// addresses returns those addresses of a name that are of the client's family, and for an IPv6 client the others too: a mechanism
// "exists" asks for IPv4 whoever the client is. A failure is one, also where the other family's look-up found something.
func (l *lookups) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	four, err := l.LookupIPv4(ctx, name)
	if err != nil && !errors.Is(err, dns.ErrNotFound) || l.client.Is4() {
		return four.Records, err
	}
	six, sixErr := l.LookupIPv6(ctx, name)
	if sixErr != nil && !errors.Is(sixErr, dns.ErrNotFound) {
		return nil, sixErr
	}
	if all := append(six.Records, four.Records...); len(all) > 0 {
		return all, nil
	}
	return nil, err
}

// errNotConfirmed says that no name of an address leads back to it.
var errNotConfirmed = errors.New("no name of the address leads to it")

// confirmed returns the client's names that lead back to its address. Where there are none: dns.ErrNotFound if it has no name,
// errNotConfirmed if it has, another error where that could not be found out.
func (l *lookups) confirmed(ctx context.Context) ([]string, error) {
	ptr, err := l.LookupPTR(ctx, l.client)
	if err != nil {
		return nil, err
	}
	all := ptr.Records[:min(len(ptr.Records), maxNames)]
	good, failed := make([]bool, len(all)), make([]error, len(all))
	var wait sync.WaitGroup
	for i, name := range all {
		wait.Go(func() {
			found, err := l.ofFamily(ctx, name)
			good[i] = slices.Contains(found, l.client)
			if err != nil && !errors.Is(err, dns.ErrNotFound) {
				failed[i] = err
			}
		})
	}
	wait.Wait()
	var names []string
	for i, name := range all {
		if good[i] {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	return nil, errNotConfirmed
}

// ofFamily returns the addresses of a name that are of the client's family.
func (l *lookups) ofFamily(ctx context.Context, name string) ([]netip.Addr, error) {
	look := l.LookupIPv6
	if l.client.Is4() {
		look = l.LookupIPv4
	}
	a, err := look(ctx, name)
	return a.Records, err
}

// exists reports whether a domain has records of any kind, or domains below it (RFC 9989 section 3.2.13: only NXDOMAIN says that it has
// not). An alias does, wherever it leads: who owns the name there can have look-ups through it fail.
func (l *lookups) exists(ctx context.Context, domain string) (bool, error) {
	_, err := l.LookupIPv4(ctx, domain)
	if there(err) {
		return true, nil
	}
	_, aliasErr := l.LookupCNAME(ctx, domain)
	if there(aliasErr) {
		return true, nil
	}
	for _, err := range []error{err, aliasErr} {
		if !errors.Is(err, dns.ErrNoName) {
			return false, err
		}
	}
	return false, nil
}

// there reports whether a look-up says that the name exists.
func there(err error) bool {
	return err == nil || errors.Is(err, dns.ErrNotFound) && !errors.Is(err, dns.ErrNoName)
}

// forSPF are the look-ups as package spf wants them.
type forSPF struct{ *lookups }

var errMalformed = errors.New("the record is malformed")

// LookupTXT looks up TXT records. A record of SPF with an error anywhere is one as a whole (RFC 7208 section 4.6), which package spf,
// that reads a record as far as it needs, does not see.
func (l forSPF) LookupTXT(ctx context.Context, name string) ([]string, error) {
	records, err := l.text(ctx, inDNS(name))
	for _, r := range records {
		if isSPF(r) && !isWellFormedSPF(r) {
			return nil, errMalformed
		}
	}
	return records, netError(name, err)
}

// inDNS is a name that macros made, as look-ups want it: without its final dot, with any backslash escaped, and without the labels on
// the left that are too much (RFC 7208 section 7.3).
func inDNS(name string) string {
	name = strings.ReplaceAll(strings.TrimSuffix(name, "."), `\`, `\\`)
	for len(name) > maxName {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			break
		}
		name = rest
	}
	return name
}

const maxName = 253

// LookupMX looks up hosts for mail.
func (l forSPF) LookupMX(ctx context.Context, name string) (list []*net.MX, err error) {
	a, err := l.lookups.LookupMX(ctx, inDNS(name))
	for _, mx := range a.Records {
		if mx.Host != "" { // the null MX
			list = append(list, &net.MX{Host: mx.Host, Pref: mx.Preference})
		}
	}
	return list, netError(name, err)
}

// LookupIPAddr looks up addresses.
func (l forSPF) LookupIPAddr(ctx context.Context, name string) (list []net.IPAddr, err error) {
	found, err := l.addresses(ctx, inDNS(name))
	for _, a := range found {
		list = append(list, net.IPAddr{IP: a.AsSlice()})
	}
	return list, netError(name, err)
}

// LookupAddr looks up the names of the client, the only address that is asked for.
func (l forSPF) LookupAddr(ctx context.Context, address string) (list []string, err error) {
	a, err := l.LookupPTR(ctx, l.client)
	return a.Records, netError(address, err)
}

// netError is err as package spf reads it.
func netError(name string, err error) error {
	if err == nil {
		return nil
	}
	found := errors.Is(err, dns.ErrNotFound)
	return &net.DNSError{Err: err.Error(), Name: name, IsNotFound: found, IsTemporary: !found}
}
