package signing

import (
	"context"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/job"
)

const keysKind = "dkim-keys"

// scheduleTx makes the job of a domain look at due. Its key is all it needs.
func scheduleTx(ctx context.Context, tx *db.Tx, org int64, domain string, due time.Time) error {
	return job.EnqueueTx(ctx, tx, keysKind, fmt.Sprintf("%d/%s", org, domain), nil, due)
}

// One that failed begins anew.
const beginDomain = `INSERT INTO dkim_domain (organization, domain, ` + domainColumns + `) VALUES ($1, $2, 0, $3, 0, 0)
	ON CONFLICT (organization, domain) DO UPDATE SET status = CASE WHEN dkim_domain.status = 2 THEN 0 ELSE dkim_domain.status END,
		begun = CASE WHEN dkim_domain.status = 2 THEN excluded.begun ELSE dkim_domain.begun END`

// RegisteredTx makes a domain one that has keys, in the transaction that registers it, and orders them. It is
// directory.Config.Registered.
func (s *Service) RegisteredTx(ctx context.Context, tx *db.Tx, org int64, domain string) error {
	now := s.Clock.Now()
	if _, err := tx.Exec(ctx, beginDomain, org, domain, now.UnixMicro()); err != nil {
		return fmt.Errorf("begin the DKIM keys of %s: %w", domain, err)
	}
	return scheduleTx(ctx, tx, org, domain, now)
}

// DeregisteredTx removes a domain's keys. It is directory.Config.Deregistered.
func (s *Service) DeregisteredTx(ctx context.Context, tx *db.Tx, org int64, domain string) error {
	for _, statement := range []string{
		`DELETE FROM dkim_domain WHERE organization = $1 AND domain = $2`, // first: who adds keys waits for it
		`DELETE FROM dkim_key WHERE organization = $1 AND domain = $2`,
	} {
		if _, err := tx.Exec(ctx, statement, org, domain); err != nil {
			return fmt.Errorf("remove the DKIM keys of %s: %w", domain, err)
		}
	}
	tx.OnCommit(s.memory.clear)
	return nil
}

// EraseTx removes up to limit rows of an organisation that is being deleted, and returns how many.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (n int, err error) {
	for _, statement := range []string{
		`DELETE FROM dkim_domain WHERE (organization, domain) IN (SELECT organization, domain FROM dkim_domain WHERE organization = $1 LIMIT $2)`,
		`DELETE FROM dkim_key WHERE (domain, selector) IN (SELECT domain, selector FROM dkim_key WHERE organization = $1 LIMIT $2)`,
	} {
		if n < limit {
			gone, err := tx.Exec(ctx, statement, o.Key, int64(limit-n))
			if err != nil {
				return n, fmt.Errorf("erase the DKIM keys of organization %s: %w", o.ID, err)
			}
			n += int(gone)
		}
	}
	tx.OnCommit(s.memory.clear)
	return n, nil
}
