package domain

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// WebNames are the names by which programs fetch what proven domains serve, and so those that are to have certificates beside the
// server's own.
func (s *Service) WebNames(ctx context.Context) (names []string, err error) {
	var domains []string
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		domains, err = s.Directory.ProvenDomainsTx(ctx, tx)
		return err
	})
	labels := []string{"mta-sts.", "autoconfig.", "autodiscover."}
	if s.STS.Mode == route.STSNone {
		labels = labels[1:]
	}
	for _, d := range domains {
		for _, label := range labels {
			names = append(names, label+d)
		}
	}
	return names, err
}

// LeadsHere returns why a name does not lead to this server; nil where it does.
func (s *Service) LeadsHere(ctx context.Context, name string) error {
	host, err := s.Resolver.LookupAddresses(ctx, s.Host)
	c := &check{Service: s, addresses: host.Records, trouble: err}
	f := Finding{Record: Record{Type: "CNAME", Name: name, Value: s.Host}}
	c.alias(ctx, &f)
	switch {
	case f.Status == Right:
		return nil
	case f.Status == Missing:
		return fmt.Errorf("%s is not in DNS", name)
	case len(f.Found) > 0:
		return fmt.Errorf("%s: %s (%s)", name, f.Note, strings.Join(f.Found, ", "))
	}
	return fmt.Errorf("%s: %s", name, f.Note)
}
