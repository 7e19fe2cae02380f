package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/certificate"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/transport/domain/publish"
)

// openCertificates wires the certificates that a CA issues.
func (c *core) openCertificates(settings *config.Config, resolver *dns.Resolver) error {
	o := certificate.Options{DB: c.db, Root: c.root, Clock: c.clock, Log: c.log, Names: settings.ACME, KeepKey: settings.ACMEKeepKey}
	if len(settings.ACME) > 0 {
		roots, err := settings.ACMERoots()
		if err != nil {
			return err
		}
		key, err := settings.ACMEKey()
		if err != nil {
			return err
		}
		var records *challengeRecords
		a := certificate.ACMEOptions{
			DB: c.db, Root: c.root, Clock: c.clock, Resolver: resolver.Net(), URL: settings.ACMEDirectory, Email: settings.ACMEEmail,
			KeyID: settings.ACMEKeyID, MACKey: key, Roots: roots, Challenge: settings.ACMEChallenge, Agent: "Pennypost",
		}
		if settings.ACMEChallenge == certificate.DNS01 {
			zones, err := OpenZones(settings.DNSProviders[settings.ACMEDNSProvider])
			if err != nil {
				return fmt.Errorf("dns_provider.%q: %w", settings.ACMEDNSProvider, err)
			}
			records = &challengeRecords{zones, resolver, c.clock, settings.ACME}
			a.TXT = records
		}
		c.acme = certificate.NewACME(a)
		o.Authority = c.acme
		if settings.ACMEDomains && settings.HTTPS != "" {
			o.More, o.Leads = c.domains.WebNames, c.domains.LeadsHere
			if records != nil {
				o.Leads = func(ctx context.Context, name string) error {
					if err := c.domains.LeadsHere(ctx, name); err != nil {
						return err
					}
					return records.writable(ctx, name)
				}
			}
		}
	}
	c.certificates = certificate.New(o)
	return nil
}

// OpenZones reaches who keeps the DNS zones.
func OpenZones(p config.DNSProvider) (publish.Zones, error) {
	secret, err := p.Secret()
	if err != nil {
		return nil, err
	}
	if p.Kind == "route53" {
		return &publish.Route53{AccessKeyID: p.AccessKeyID, Secret: secret, Endpoint: p.Endpoint}, nil
	}
	algorithm := p.KeyAlgorithm
	if algorithm == "" {
		algorithm = "hmac-sha256"
	}
	return &publish.Primary{Primary: dns.Primary{Server: p.Server, KeyName: p.KeyName, Algorithm: algorithm, Secret: secret}}, nil
}

// challengeRecords writes the records by which a CA sees that a name is ours.
type challengeRecords struct {
	zones    publish.Zones
	resolver *dns.Resolver
	clock    clock.Clock
	own      []string // the operator's names
}

const (
	// challengeTTL is for how long, in seconds, others keep such a record.
	challengeTTL = 60
	// maxAliases is how many aliases are followed to where a record belongs.
	maxAliases = 8
	// seenTime is how long a record may take to be at all name servers, seenEvery how often they are asked. After that the CA is to look.
	seenTime, seenEvery = 2 * time.Minute, 2 * time.Second
	// blindTime is how long it is given where the name servers can't be found.
	blindTime = 30 * time.Second
)

// challengeLabel is what stands before a name in that of its record (RFC 8555 section 8.4).
const challengeLabel = "_acme-challenge."

// Place follows aliases of the operator's own names to another zone, for those who let nobody change their own. Who has another name
// would choose by one which zone of the operator's is written to.
func (r *challengeRecords) Place(ctx context.Context, name string) (zone, at string, err error) {
	follow := 0
	if slices.Contains(r.own, strings.TrimPrefix(name, challengeLabel)) {
		follow = maxAliases
	}
	for range follow {
		alias, err := r.resolver.LookupCNAME(ctx, name)
		if err != nil || len(alias.Records) == 0 {
			break // there is none, or the next look-up says what is wrong
		}
		name = alias.Records[0]
	}
	zone, err = r.resolver.FindZone(ctx, name)
	return zone, name, err
}

// writable returns why the record for a name can't be written.
func (r *challengeRecords) writable(ctx context.Context, name string) error {
	zone, _, err := r.Place(ctx, challengeLabel+name)
	if err == nil {
		err = r.zones.Change(ctx, zone, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("the zone of %s is none that acme_dns_provider changes: %w", name, err)
	}
	return nil
}

func published(r certificate.Record) []publish.Record {
	return []publish.Record{{Name: r.Name, TTL: challengeTTL, Type: "TXT", Data: r.Text}}
}

// Add adds a record and waits until the zone's name servers have it.
func (r *challengeRecords) Add(ctx context.Context, record certificate.Record) error {
	if err := r.zones.Change(ctx, record.Zone, nil, published(record)); err != nil {
		return err
	}
	return r.await(ctx, r.nameServers(ctx, record.Zone), record)
}

// Remove removes a record.
func (r *challengeRecords) Remove(ctx context.Context, record certificate.Record) error {
	return r.zones.Change(ctx, record.Zone, published(record), nil)
}

// nameServers are those of a zone, as far as they are found.
func (r *challengeRecords) nameServers(ctx context.Context, zone string) (servers []*dns.Resolver) {
	names, err := r.resolver.Net().LookupNS(ctx, zone+".")
	if err != nil {
		return nil
	}
	for _, n := range names {
		if a, err := r.resolver.LookupAddresses(ctx, strings.ToLower(strings.TrimSuffix(n.Host, "."))); err == nil {
			// One address of each: IPv4's, if there is one, as not every server has a way to IPv6.
			servers = append(servers, dns.New(netip.AddrPortFrom(a.Records[len(a.Records)-1], 53).String()))
		}
	}
	return servers
}

// await waits until all of the servers have the record, or for a while where none is known. One that does not answer is not waited for:
// the CA will find out.
func (r *challengeRecords) await(ctx context.Context, servers []*dns.Resolver, record certificate.Record) error {
	if len(servers) == 0 {
		return r.clock.Sleep(ctx, blindTime)
	}
	limited, cancel := context.WithTimeout(ctx, seenTime)
	defer cancel()
	for {
		lacking := false
		for _, s := range servers {
			texts, err := s.LookupTXT(limited, record.Name)
			lacking = lacking || errors.Is(err, dns.ErrNotFound) || err == nil && !slices.Contains(texts, record.Text)
		}
		if !lacking {
			return ctx.Err()
		}
		if r.clock.Sleep(limited, seenEvery) != nil {
			return ctx.Err()
		}
	}
}

// answering answers the CA that looks whether a name is ours.
func (s *Server) answering(next http.Handler) http.Handler {
	if s.core.acme == nil || s.config.ACMEChallenge != certificate.HTTP01 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.core.acme.Serves(r) {
			s.core.acme.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writeCertificates shows until when certificates are valid, and what failed. That is left out where the store does not answer, of which
// /healthz tells.
func (s *Server) writeCertificates(w io.Writer) {
	const expiry, failures, failed = "pennypost_certificate_expiry_timestamp_seconds", "pennypost_certificate_failures", "pennypost_certificate_failed_timestamp_seconds"
	victoria.WriteMetadataIfNeeded(w, expiry, "gauge")
	_, _ = fmt.Fprintf(w, "%s{name=\"\"} %d\n", expiry, s.certs.NotAfter().Unix()) // who asked and went away does not matter
	if s.core.acme == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	reports, err := s.core.certificates.Report(ctx)
	if err != nil {
		return
	}
	reports = slices.DeleteFunc(reports, func(r certificate.Report) bool { return r.Standing != certificate.Wanted }) // nothing to be alarmed of
	for _, r := range reports {
		if !r.NotAfter.IsZero() {
			_, _ = fmt.Fprintf(w, "%s{name=%q} %d\n", expiry, r.Name, r.NotAfter.Unix())
		}
	}
	victoria.WriteMetadataIfNeeded(w, failures, "gauge")
	for _, r := range reports {
		_, _ = fmt.Fprintf(w, "%s{name=%q} %d\n", failures, r.Name, r.Attempts)
	}
	victoria.WriteMetadataIfNeeded(w, failed, "gauge")
	for _, r := range reports {
		if !r.Failed.IsZero() {
			_, _ = fmt.Fprintf(w, "%s{name=%q} %d\n", failed, r.Name, r.Failed.Unix())
		}
	}
}

// CertificateRetry asks for another attempt.
type CertificateRetry struct {
	Name    string `json:"name"`    // empty for all names
	Replace bool   `json:"replace"` // of those that have a good certificate too
}

// certificateCount is how many names an attempt is of.
type certificateCount struct {
	Count int `json:"count"`
}

// certificateVerbs adds what operators do with certificates.
func (c *core) certificateVerbs(verbs map[string]verb) {
	verbs["certificate-list"] = typed(func(ctx context.Context, _ nothing) ([]certificate.Report, error) {
		return c.certificates.Report(ctx)
	})
	verbs["certificate-retry"] = typed(func(ctx context.Context, r CertificateRetry) (certificateCount, error) {
		n, err := c.certificates.Retry(ctx, r.Name, r.Replace)
		return certificateCount{n}, err
	})
}

// Certificates tells of the names that have certificates by ACME or are to have some.
func (o *Operator) Certificates(ctx context.Context) (reports []certificate.Report, err error) {
	return reports, o.do(ctx, "certificate-list", nothing{}, &reports)
}

// RetryCertificates makes orders due now, and returns how many names that is of.
func (o *Operator) RetryCertificates(ctx context.Context, r CertificateRetry) (int, error) {
	var n certificateCount
	err := o.do(ctx, "certificate-retry", r, &n)
	return n.Count, err
}
