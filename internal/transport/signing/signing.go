package signing

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/secret"
)

// Server is the organisation of the server's own keys.
const Server int64 = 0

// Options is what a Service stands on. All but Rotation and Generate are needed.
type Options struct {
	DB        *db.DB
	Directory *directory.Service
	Audit     *audit.Log
	Clock     clock.Clock
	Log       *slog.Logger
	Root      *secret.Key
	Resolver  directory.Resolver
	// Hostname is the server's name, whose keys sign what it sends itself: none for a name without a dot, which means nothing to others.
	Hostname string
	// Rotation is how long a key signs before the next one does; 0 means for ever.
	Rotation time.Duration
	// Generate makes a key; nil means a new one.
	Generate func(Algorithm) (crypto.Signer, error)
}

// Service keeps the keys and signs. It is safe for concurrent use.
type Service struct {
	Options
	making *semaphore.Weighted // whoever makes keys
	memory *memory

	signed, unsigned, failed atomic.Uint64
}

// New returns a Service.
func New(o Options) *Service {
	o.Hostname = message.FoldDomain(o.Hostname)
	if o.Generate == nil {
		o.Generate = generate
	}
	return &Service{Options: o, making: semaphore.NewWeighted(1), memory: &memory{}}
}

func generate(a Algorithm) (crypto.Signer, error) {
	if a == Ed25519 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}

// mayHaveKeys reports whether the domain could have keys at all: of the server's own names that is the one it has.
func (s *Service) mayHaveKeys(org int64, domain string) bool {
	return org != Server || domain == s.Hostname && strings.Contains(domain, ".")
}

// Stats count since the start.
type Stats struct {
	Signed   uint64 // signatures for a domain on a message, whatever the number of keys
	Unsigned uint64 // messages for a domain that has no keys or is not proven
	Failed   uint64 // messages that were refused because they could not be signed
}

// Stats returns the counts.
func (s *Service) Stats() Stats {
	return Stats{Signed: s.signed.Load(), Unsigned: s.unsigned.Load(), Failed: s.failed.Load()}
}

// Unpublished returns how many keys that sign or will DNS did not have at the last look.
func (s *Service) Unpublished(ctx context.Context) (n uint64, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM dkim_key WHERE seen = 0 AND role < 3`).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count the DKIM keys that are not in DNS: %w", err)
	}
	return n, nil
}
