package dns

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

const (
	tryTimeout = 3 * time.Second // for one question to one server
	rounds     = 2               // how often each server is asked while some do not answer
	maxUDP     = 1232            // bytes of an answer that no network cuts up
	maxRecords = 100             // of an answer; the others are left out
	maxAliases = 10              // that follow one another
)

// Answer is what a look-up found: at least one record.
type Answer[R any] struct {
	Records []R
	// Name is where the records are: the name that was asked for, or the last of its aliases (CNAME). Lower case, no final dot.
	Name string
	// Secure says that the answer, its aliases included, is signed and was held good by a resolver that is believed (see New).
	Secure bool
}

// MX is a host that takes mail for a domain. Host is empty in the record that says that none does (RFC 7505).
type MX struct {
	Host       string
	Preference uint16
}

// TLSA says which certificate a host has (RFC 6698).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// SRV is a host that offers a service (RFC 2782). Target is empty in the record that says that none does.
type SRV struct {
	Target                 string
	Port, Priority, Weight uint16
}

// LookupSRV returns the hosts that offer a service, such as "_imaps._tcp.example.com", in no order.
func (r *Resolver) LookupSRV(ctx context.Context, name string) (Answer[SRV], error) {
	return lookup(ctx, r, name, mdns.TypeSRV, func(rr *mdns.SRV) (SRV, bool) {
		return SRV{fold(rr.Target), rr.Port, rr.Priority, rr.Weight}, true
	})
}

// FindZone returns the zone that name is in: the name, or the nearest above it, that has an SOA record.
func (r *Resolver) FindZone(ctx context.Context, name string) (string, error) {
	for at := fold(name); at != ""; _, at, _ = strings.Cut(at, ".") {
		// An alias of a name at the top of its zone is in another zone.
		a, err := lookup(ctx, r, at, mdns.TypeSOA, func(*mdns.SOA) (struct{}, bool) { return struct{}{}, true })
		if err == nil && a.Name == at {
			return at, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return "", err
		}
	}
	return "", fmt.Errorf("find the zone of %s: %w", name, ErrNotFound)
}

// LookupMX returns the hosts that take mail for name, in no order.
func (r *Resolver) LookupMX(ctx context.Context, name string) (Answer[MX], error) {
	return lookup(ctx, r, name, mdns.TypeMX, func(rr *mdns.MX) (MX, bool) { return MX{fold(rr.Mx), rr.Preference}, true })
}

// LookupTLSA returns the records of name, such as "_25._tcp.mail.example.com".
func (r *Resolver) LookupTLSA(ctx context.Context, name string) (Answer[TLSA], error) {
	return lookup(ctx, r, name, mdns.TypeTLSA, func(rr *mdns.TLSA) (TLSA, bool) {
		data, err := hex.DecodeString(rr.Certificate)
		return TLSA{rr.Usage, rr.Selector, rr.MatchingType, data}, err == nil
	})
}

// LookupCNAME returns what name itself is an alias of: one record.
func (r *Resolver) LookupCNAME(ctx context.Context, name string) (Answer[string], error) {
	return lookup(ctx, r, name, mdns.TypeCNAME, func(rr *mdns.CNAME) (string, bool) { return fold(rr.Target), true })
}

// LookupPTR returns the names that addr's reverse zone gives it.
func (r *Resolver) LookupPTR(ctx context.Context, addr netip.Addr) (Answer[string], error) {
	name, err := mdns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return Answer[string]{}, fmt.Errorf("look up PTR of %s: %w", addr, err)
	}
	return lookup(ctx, r, name, mdns.TypePTR, func(rr *mdns.PTR) (string, bool) { return fold(rr.Ptr), true })
}

// LookupIPv4 returns the IPv4 addresses of name.
func (r *Resolver) LookupIPv4(ctx context.Context, name string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, name, mdns.TypeA, func(rr *mdns.A) (netip.Addr, bool) {
		a, ok := netip.AddrFromSlice(rr.A)
		return a.Unmap(), ok
	})
}

// LookupIPv6 returns the IPv6 addresses of name.
func (r *Resolver) LookupIPv6(ctx context.Context, name string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, name, mdns.TypeAAAA, func(rr *mdns.AAAA) (netip.Addr, bool) { return netip.AddrFromSlice(rr.AAAA) })
}

// LookupAddresses returns the IPv6 and IPv4 addresses of name, IPv6 first. Where the look-up of one kind fails those of the other
// are returned.
func (r *Resolver) LookupAddresses(ctx context.Context, name string) (Answer[netip.Addr], error) {
	var four, six Answer[netip.Addr]
	var fourErr, sixErr error
	var both sync.WaitGroup
	both.Go(func() { four, fourErr = r.LookupIPv4(ctx, name) })
	six, sixErr = r.LookupIPv6(ctx, name)
	both.Wait()
	switch {
	case sixErr != nil && fourErr != nil:
		if errors.Is(fourErr, ErrNotFound) { // the other says more
			return six, sixErr
		}
		return four, fourErr
	case sixErr != nil:
		return four, nil
	case fourErr != nil:
		return six, nil
	}
	six.Records = append(six.Records, four.Records...)
	six.Secure = six.Secure && four.Secure
	return six, nil
}

// lookup asks for the records of one type, and translates them; those that convert refuses are left out.
func lookup[RR mdns.RR, R any](ctx context.Context, r *Resolver, name string, kind uint16, convert func(RR) (R, bool)) (a Answer[R], err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	name, err = written(name)
	var m *mdns.Msg
	trusted := false
	if err == nil {
		m, trusted, err = r.exchange(ctx, name, kind)
	}
	if err == nil {
		a.Secure = trusted && m.AuthenticatedData
		var records []mdns.RR
		if a.Name, records, err = follow(m, name, kind); err == nil {
			for _, record := range records[:min(len(records), maxRecords)] {
				if rr, ok := record.(RR); ok {
					if converted, ok := convert(rr); ok {
						a.Records = append(a.Records, converted)
					}
				}
			}
		}
	}
	switch {
	case err != nil:
	case len(a.Records) > 0:
		return a, nil
	case m.Rcode == mdns.RcodeNameError:
		err = ErrNoName
	default:
		err = ErrNotFound
	}
	return Answer[R]{}, fmt.Errorf("look up %s of %s: %w", mdns.TypeToString[kind], strings.TrimSuffix(name, "."), err)
}

// follow goes from alias to alias in the answer, and returns the last name and the records of the kind there.
func follow(m *mdns.Msg, name string, kind uint16) (string, []mdns.RR, error) {
	at := fold(name)
	for range maxAliases {
		var found []mdns.RR
		alias := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != mdns.ClassINET || fold(h.Name) != at {
				continue
			}
			if h.Rrtype == kind {
				found = append(found, rr)
			} else if c, ok := rr.(*mdns.CNAME); ok {
				alias = fold(c.Target)
			}
		}
		if len(found) > 0 || alias == "" {
			return at, found, nil
		}
		at = alias
	}
	return "", nil, fmt.Errorf("more than %d aliases", maxAliases)
}

// exchange asks the servers in turn until one knows: that the records are these, or that there are none.
func (r *Resolver) exchange(ctx context.Context, name string, kind uint16) (m *mdns.Msg, trusted bool, err error) {
	servers, trusted, err := r.servers()
	if err != nil {
		return nil, false, err
	}
	m, err = askAll(ctx, servers, trusted, name, kind)
	return m, trusted, err
}

// askAll is exchange with servers that are known.
func askAll(ctx context.Context, servers []string, trusted bool, name string, kind uint16) (*mdns.Msg, error) {
	var refusals error // of this round
	for range rounds {
		silent := false
		refusals = nil
		for _, server := range servers {
			m, err := ask(ctx, server, name, kind, trusted)
			switch {
			case ctx.Err() != nil:
				return nil, errors.Join(refusals, ctx.Err())
			case err != nil:
				silent = true
			case m.Rcode == mdns.RcodeSuccess, m.Rcode == mdns.RcodeNameError:
				return m, nil
			case isBogus(m):
				err = ErrBogus
			default:
				err = errors.New("the server answers " + mdns.RcodeToString[m.Rcode])
			}
			refusals = errors.Join(refusals, fmt.Errorf("%s: %w", server, err))
		}
		if !silent {
			break
		}
	}
	return nil, refusals
}

// ask puts one question to one server: over UDP, and over TCP where the answer is cut off.
func ask(ctx context.Context, server, name string, kind uint16, trusted bool) (*mdns.Msg, error) {
	q := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind)
	// Without a resolver to believe there is no reason to ask for signatures.
	q.AuthenticatedData = trusted
	q.SetEdns0(maxUDP, trusted)
	m, err := askOver(ctx, "udp", server, q)
	if m != nil && m.Truncated {
		m, err = askOver(ctx, "tcp", server, q)
	}
	return m, err
}

func askOver(ctx context.Context, network, server string, q *mdns.Msg) (*mdns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	client := mdns.Client{Net: network, Timeout: tryTimeout}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // the exchange is over
	// The client keeps to a deadline, but does not hear of an end.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	m, _, err := client.ExchangeWithConnContext(ctx, q, conn)
	if err != nil {
		if m != nil && m.Id == q.Id && m.Truncated && network == "udp" {
			return m, nil // it is cut off in the middle of a record
		}
		return nil, err
	}
	if !m.Response || len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype || fold(m.Question[0].Name) != fold(q.Question[0].Name) {
		return nil, errors.New("the answer is to another question")
	}
	return m, nil
}

// isBogus reports whether a validating resolver says that signatures do not hold (RFC 8914).
func isBogus(m *mdns.Msg) bool {
	opt := m.IsEdns0()
	if m.Rcode != mdns.RcodeServerFailure || opt == nil {
		return false
	}
	for _, o := range opt.Option {
		if e, ok := o.(*mdns.EDNS0_EDE); ok {
			switch e.InfoCode {
			case mdns.ExtendedErrorCodeDNSBogus, mdns.ExtendedErrorCodeSignatureExpired, mdns.ExtendedErrorCodeSignatureNotYetValid,
				mdns.ExtendedErrorCodeDNSKEYMissing, mdns.ExtendedErrorCodeRRSIGsMissing, mdns.ExtendedErrorCodeNoZoneKeyBitSet,
				mdns.ExtendedErrorCodeNSECMissing, mdns.ExtendedErrorCodeDNSSECIndeterminate:
				return true
			}
		}
	}
	return false
}

// written is a name as answers have it: with escapes for what is no letter of a host's name. Nobody looks for records of the root.
func written(name string) (string, error) {
	if strings.Trim(name, ".") == "" {
		return name, ErrNoName
	}
	var wire [256]byte
	n, err := mdns.PackDomainName(mdns.Fqdn(name), wire[:], 0, nil, false)
	if err != nil {
		return name, ErrNoName // no zone can have it
	}
	name, _, err = mdns.UnpackDomainName(wire[:n], 0)
	return name, err
}

// fold makes names comparable, and ends them without their final dot.
func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
