package domain

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/transport/signing"
)

// Ports are where others reach the server's services; 0 for one that is not offered.
type Ports struct{ HTTPS, IMAP, IMAPS, ManageSieve, Submission, Submissions int }

// STS is the policy of MTA-STS of all domains, whose only MX is the server.
type STS struct {
	Mode   route.STSMode
	MaxAge time.Duration // how long senders keep it
}

// Way is how mail leaves the server.
type Way uint8

// The ways.
const (
	Direct  Way = iota // the server brings it, from its own addresses
	Gateway            // another server does
	Nowhere            // none leaves
)

// Config is what a Service is made of. All but Include are required.
type Config struct {
	DB        *db.DB
	Directory *directory.Service
	Keys      *signing.Service
	Clock     clock.Clock
	Resolver  *dns.Resolver
	Policies  *route.STSFetcher
	Host      string // the name by which others reach the server
	Ports     Ports
	STS       STS
	Way       Way
	Include   string // the domain whose SPF record lists a gateway's addresses; empty where it is not known
}

// Service knows what domains publish. It is safe for concurrent use.
type Service struct {
	Config
	served served
}

// New returns a Service.
func New(c Config) *Service {
	c.Host, c.Include = directory.Fold(c.Host), directory.Fold(c.Include)
	return &Service{Config: c}
}

// Description is a domain with all that its owner is to publish.
type Description struct {
	directory.Domain
	DKIM    directory.DomainStatus // verified for a test domain, which has no keys
	Records []Record               // empty for a test domain, which is the server's own
	keys    []signing.Key
	lacking bool // its keys are still on their way
	server  bool // it is the server's own name
}

// Describe describes a mail domain. It makes the domain's DKIM keys where they are still on their way. Faults: NotFound (Domain).
func (s *Service) Describe(ctx context.Context, p principal.Principal, org directory.OrgID, name string) (*Description, error) {
	d, key, err := s.describe(ctx, p, org, name)
	if err != nil || !d.lacking {
		return d, err
	}
	if err := s.Keys.Ensure(ctx, key, d.Name); err != nil {
		return nil, err
	}
	d, _, err = s.describe(ctx, p, org, name)
	return d, err
}

// describe reads a domain, and the key of its organisation.
func (s *Service) describe(ctx context.Context, p principal.Principal, org directory.OrgID, name string) (d *Description, key int64, err error) {
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		found, err := s.Directory.DomainTx(ctx, tx, o, name)
		if err != nil {
			return err
		}
		d, key = &Description{Domain: *found, DKIM: directory.DomainVerified, Records: []Record{}}, o.Key
		if found.Test {
			return nil
		}
		state, err := s.Keys.StateTx(ctx, tx, o.Key, found.Name)
		if err != nil {
			return err
		}
		d.DKIM = directory.DomainPending
		if state != nil {
			d.DKIM, d.keys = state.Status, state.Keys
		}
		d.lacking = len(d.keys) == 0
		if found.Name == s.Host { // what the server sends itself is signed for the domain too
			if state, err = s.Keys.StateTx(ctx, tx, signing.Server, s.Host); err != nil {
				return err
			}
			if state != nil {
				d.keys = append(d.keys, state.Keys...)
			}
		}
		d.Records = s.records(d)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return d, key, nil
}

// Server describes the server's own name, which signs what the server sends itself.
func (s *Service) Server(ctx context.Context) (*Description, error) {
	if err := s.Keys.Ensure(ctx, signing.Server, s.Host); err != nil {
		return nil, err
	}
	state, err := s.Keys.State(ctx, signing.Server, s.Host)
	if err != nil {
		return nil, err
	}
	d := &Description{Domain: directory.Domain{Name: s.Host, Status: directory.DomainVerified}, server: true}
	if state != nil {
		d.DKIM, d.keys = state.Status, state.Keys
	}
	d.Records = append(s.spfRecord(s.Host, "a", "-all"), d.dkim()...) // RFC 7208 section 2.3
	return d, nil
}
