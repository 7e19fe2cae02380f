package domain

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"blitiri.com.ar/go/spf"

	"github.com/pennypost/pennypost/internal/dns"
)

// spf asks what others will: whether mail of the domain may come from the server's addresses.
func (c *check) spf(ctx context.Context, f *Finding) {
	text, ok := c.versioned(ctx, f, "v=spf1", "SPF")
	if !ok {
		return
	}
	var wrong []string
	for _, a := range c.probes() {
		result, err := spf.CheckHostWithSender(net.IP(a.AsSlice()), c.Host, "postmaster@"+c.d.Name, spf.WithContext(ctx), spf.WithResolver(spfResolver{c.Resolver}))
		switch result {
		case spf.TempError:
			f.is(Unknown, fmt.Sprintf("DNS could not tell: %v", err))
			return
		case spf.PermError:
			f.is(Inconsistent, fmt.Sprintf("others take the record for broken: %v", err))
			return
		case spf.Pass:
		default:
			wrong = append(wrong, fmt.Sprintf("%s (%s)", a, result))
		}
	}
	switch {
	case c.Way == Gateway:
		f.is(Right, "mail leaves by a gateway: see that the record includes its addresses")
	case c.Way == Nowhere:
		f.is(Right, "no mail leaves this server (setting outbound)")
	case len(c.addresses) == 0 && text == f.Value:
		f.is(Right, "")
	case len(c.addresses) == 0:
		f.is(Unknown, "whether the record includes this server can't be told while the server's name has no address")
	case len(wrong) > 0:
		f.is(Inconsistent, "the record does not include this server: "+strings.Join(wrong, ", "))
	default:
		f.is(Right, "")
	}
}

// probes are the addresses to try: the server's, or, to see at least whether the record holds, any.
func (c *check) probes() []netip.Addr {
	if c.Way == Direct && len(c.addresses) > 0 {
		return c.addresses
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1})} // for documentation (RFC 5737)
}

// spfResolver is our resolver as the library asks one.
type spfResolver struct{ r *dns.Resolver }

func (s spfResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	texts, err := s.r.LookupTXT(ctx, strings.TrimSuffix(name, "."))
	return texts, spfError(name, err)
}

func (s spfResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	answer, err := s.r.LookupMX(ctx, name)
	var out []*net.MX
	for _, mx := range answer.Records {
		out = append(out, &net.MX{Host: mx.Host, Pref: mx.Preference})
	}
	return out, spfError(name, err)
}

func (s spfResolver) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	answer, err := s.r.LookupAddresses(ctx, name)
	var out []net.IPAddr
	for _, a := range answer.Records {
		out = append(out, net.IPAddr{IP: a.AsSlice()})
	}
	return out, spfError(name, err)
}

func (s spfResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	answer, err := s.r.LookupPTR(ctx, a)
	return answer.Records, spfError(addr, err)
}

// spfError is an error in the form that the library understands.
func spfError(name string, err error) error {
	if err == nil {
		return nil
	}
	absent := errors.Is(err, dns.ErrNotFound)
	return &net.DNSError{Err: err.Error(), Name: name, IsNotFound: absent, IsTemporary: !absent}
}

func isCertificate(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}
