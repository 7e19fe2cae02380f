package signing

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// Sign returns the DKIM-Signature fields that are to stand in front of the message, for a domain that the organisation has proven or the
// server's own; none for any other. It makes the domain's keys where there are none yet. Faults: Temporary (Message) where the message
// must not leave, as it can't be signed.
func (s *Service) Sign(ctx context.Context, org int64, domain string, text []byte) ([]byte, error) {
	domain = message.FoldDomain(domain)
	fields, err := s.sign(ctx, org, domain, text)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		s.failed.Add(1)
		s.Log.ErrorContext(ctx, "a message could not be signed and was refused for now", "domain", domain, "error", err)
		return nil, fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be signed for %s; send it again later", domain)
	case len(fields) == 0:
		s.unsigned.Add(1)
	default:
		s.signed.Add(1)
	}
	return fields, nil
}

func (s *Service) sign(ctx context.Context, org int64, domain string, text []byte) ([]byte, error) {
	keys, err := s.Keys(ctx, org, domain)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return dkim.Sign(text, dkim.SignOptions{Time: s.Clock.Now()}, keys...)
}

// Keys returns the keys that sign for the domain now, RSA's first; none where the organisation has not proven it. It makes them where
// there are none yet.
func (s *Service) Keys(ctx context.Context, org int64, domain string) ([]dkim.Key, error) {
	domain = message.FoldDomain(domain)
	for again := true; ; again = false {
		changes := s.memory.generation()
		mine, sealed, err := s.sealed(ctx, org, domain)
		if err != nil || !mine {
			return nil, err
		}
		if len(sealed) > 0 || !again {
			return s.opened(ctx, org, domain, sealed, changes)
		}
		if err := s.Ensure(ctx, org, domain); err != nil {
			return nil, err
		}
	}
}

// sealedKey is a key that signs.
type sealedKey struct {
	selector string
	sealed   []byte
}

const signing = `SELECT selector, sealed FROM dkim_key WHERE organization = $1 AND domain = $2 AND role = 1 AND (algorithm = 1 OR seen <> 0)
	ORDER BY algorithm`

// sealed reads the keys that sign for the domain, and reports whether the organisation may sign for it.
func (s *Service) sealed(ctx context.Context, org int64, domain string) (mine bool, keys []sealedKey, err error) {
	if !s.mayHaveKeys(org, domain) {
		return false, nil, nil
	}
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		mine, keys = org == Server, nil
		if !mine {
			if mine, err = s.Directory.OwnsDomainTx(ctx, tx, org, domain); err != nil || !mine {
				return err
			}
		}
		err := tx.Each(ctx, func(row db.Row) error {
			var k sealedKey
			if err := row.Scan(&k.selector, &k.sealed); err != nil {
				return err
			}
			keys = append(keys, k)
			return nil
		}, signing, org, domain)
		if err != nil {
			return fmt.Errorf("read the DKIM keys of %s: %w", domain, err)
		}
		return nil
	})
	return mine, keys, err
}

// opened opens what is not open in memory. A key that can't be opened sets off the job that replaces it.
func (s *Service) opened(ctx context.Context, org int64, domain string, sealed []sealedKey, changes uint64) ([]dkim.Key, error) {
	keys := make([]dkim.Key, len(sealed))
	for i, k := range sealed {
		name := keyName{domain, k.selector}
		private := s.memory.get(name)
		if private == nil {
			var err error
			if private, err = s.open(org, domain, k.selector, k.sealed); err != nil {
				return nil, s.replace(ctx, org, domain, err)
			}
			s.memory.add(name, private, changes)
		}
		keys[i] = dkim.Key{Domain: domain, Selector: k.selector, Private: private}
	}
	return keys, nil
}

// replace sets off the job of a domain that has a key that can't be opened, and returns why.
func (s *Service) replace(ctx context.Context, org int64, domain string, why error) error {
	err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return scheduleTx(ctx, tx, org, domain, s.Clock.Now()) })
	if err != nil {
		return fmt.Errorf("%w (and its replacement could not be ordered: %w)", why, err)
	}
	return why
}
