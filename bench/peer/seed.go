package peer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/principal"
)

// seeders is how many users are made at once: one group of the database's writer.
const seeders = 128

// Seed makes n users without a password in an organisation while the server is down, by the core's own verb but without
// its syncs and the protocol above it: a million by the API would take longer than all that is measured.
func (p *Pennypost) Seed(ctx context.Context, organization string, n int) (err error) {
	if p.process != nil {
		return errors.New("users can be seeded only while the server is down")
	}
	d, err := db.Open(ctx, db.Options{Path: filepath.Join(p.Data(), "pennypost.db"), NoSync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	service := directory.New(directory.Config{
		DB: d, Audit: audit.New(d, clock.System{}, audit.Config{}), Clock: clock.System{}, Feed: feed.New(),
	})
	out, err := drive.Closed(ctx, seeders, n, time.Hour, func(context.Context, int) (drive.Worker, error) {
		return seeder{ctx, service, directory.OrgID(organization)}, nil
	})
	if err == nil && out.Done != n {
		err = fmt.Errorf("%d users were made of %d: %w", out.Done, n, out.FirstFail)
	}
	return err
}

type seeder struct {
	ctx          context.Context
	service      *directory.Service
	organization directory.OrgID
}

func (s seeder) Do(i int) error {
	_, err := s.service.CreateUser(s.ctx, principal.Principal{Kind: principal.Operator, Name: "bench"}, s.organization,
		directory.NewUser{Name: fmt.Sprintf("user.%07d", i), DisplayName: fmt.Sprintf("User %d", i)})
	return err
}

func (s seeder) Close() error { return nil }
