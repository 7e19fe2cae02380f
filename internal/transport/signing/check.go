package signing

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// Check looks for what contradicts itself, and for keys that can't be opened, and returns a line per find. It reads everything.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	have, err := domainsTx(ctx, tx)
	if err != nil {
		return nil, err
	}
	registered, err := s.Directory.OwnDomainsTx(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, d := range registered {
		if o := (owner{d.Organization, d.Name}); !have[o] {
			faults = append(faults, fmt.Sprintf("signing: domain %s of organization %d is registered and gets no DKIM keys", d.Name, d.Organization))
		} else {
			delete(have, o)
		}
	}
	for o := range have {
		if o.organization != Server {
			faults = append(faults, fmt.Sprintf("signing: domain %s has DKIM keys and is not registered with organization %d", o.domain, o.organization))
		}
	}
	keys, err := s.checkKeys(ctx, tx)
	return append(faults, keys...), err
}

// owner is who has keys of a domain.
type owner struct {
	organization int64
	domain       string
}

func domainsTx(ctx context.Context, tx *db.Tx) (map[owner]bool, error) {
	all := map[owner]bool{}
	err := tx.Each(ctx, func(row db.Row) error {
		var o owner
		if err := row.Scan(&o.organization, &o.domain); err != nil {
			return err
		}
		all[o] = true
		return nil
	}, `SELECT organization, domain FROM dkim_domain`)
	if err != nil {
		return nil, fmt.Errorf("read the domains with DKIM keys: %w", err)
	}
	return all, nil
}

const everyKey = `SELECT k.organization, k.domain, k.selector, k.public, k.sealed, d.domain IS NOT NULL FROM dkim_key k
	LEFT JOIN dkim_domain d ON d.organization = k.organization AND d.domain = k.domain ORDER BY k.domain, k.selector`

func (s *Service) checkKeys(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		var o owner
		var selector, public string
		var sealed []byte
		var owned bool
		if err := row.Scan(&o.organization, &o.domain, &selector, &public, &sealed, &owned); err != nil {
			return err
		}
		why := ""
		if private, err := s.open(o.organization, o.domain, selector, sealed); err != nil {
			why = err.Error()
		} else if text, err := publicText(private); err != nil || text != public {
			why = fmt.Sprintf("the two halves of DKIM key %s of %s are not of one key", selector, o.domain)
		} else if !owned {
			why = fmt.Sprintf("DKIM key %s is of %s, which has none", selector, o.domain)
		}
		if why != "" {
			faults = append(faults, "signing: "+why)
		}
		return nil
	}, everyKey)
	if err != nil {
		return nil, fmt.Errorf("read the DKIM keys: %w", err)
	}
	return faults, nil
}
