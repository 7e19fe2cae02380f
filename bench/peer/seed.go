package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
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
// its syncs and the protocol above it: a million by the API would take longer than all that is measured. What the disk has
// yet to write of it, and PostgreSQL to tidy, is done at the end, lest it is in the way of the loads that follow.
func (p *Pennypost) Seed(ctx context.Context, organization string, n int) (err error) {
	if p.process != nil {
		return errors.New("users can be seeded only while the server is down")
	}
	d, err := db.Open(ctx, db.Options{Path: filepath.Join(p.Data(), "pennypost.db"), URL: p.url, NoSync: true})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, d.Close()); err == nil {
			err = p.settle(ctx)
		}
	}()
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

func (p *Pennypost) settle(ctx context.Context) error {
	if p.cluster != nil {
		return p.cluster.tidy(ctx, filepath.Base(p.dir))
	}
	f, err := os.Open(filepath.Join(p.Data(), "pennypost.db"))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
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
