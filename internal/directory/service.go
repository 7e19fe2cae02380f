package directory

import (
	"context"
	"log/slog"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/principal"
)

// Limits bound what an organisation may hold. Zero means the default; for Organizations and Users the default is no limit,
// because those bounds of the real service are its business and not a matter of safety.
type Limits struct {
	Aliases       int // addresses of one entity beside its primary one; default 100
	Domains       int // mail domains of one organisation; default 1,000
	Tags          int // tags of one organisation; default 50
	Organizations int // organisations that are not deleted; default unlimited
	Users         int // users of one organisation that are not deleted; default unlimited
}

func (l Limits) withDefaults() Limits {
	if l.Aliases == 0 {
		l.Aliases = 100
	}
	if l.Domains == 0 {
		l.Domains = 1000
	}
	if l.Tags == 0 {
		l.Tags = 50
	}
	return l
}

// DefaultTestDomainSuffix is the domain under which organisations get their test domains.
const DefaultTestDomainSuffix = "awsapps.com"

// Config is what a Service is made of. DB, Audit, Clock and Feed are required.
type Config struct {
	DB    *db.DB
	Audit *audit.Log
	Clock clock.Clock
	Feed  *feed.Feed
	Log   *slog.Logger // nil discards
	// Resolver looks up the proofs of domains. Without one only an operator can verify a domain.
	Resolver Resolver
	Limits   Limits
	HashCost HashCost
	// TestDomainSuffix is a domain name; empty means DefaultTestDomainSuffix.
	TestDomainSuffix string
	// Remember is how long a disabled entity's aliases, a deleted entity's row and their mailboxes are kept; zero means
	// 30 days.
	Remember time.Duration
	// External holds the external directories by directory id ("d-…").
	External map[string]Directory
	// Registered and Deregistered hear, in its transaction, of a domain that an organisation registers or begins to prove anew, and of
	// one that it gives up; not of test domains, nor of the end of an organisation. nil tells nobody.
	Registered, Deregistered DomainHook
}

// DomainHook does what belongs to a change of a domain of the organisation with the key org, in its transaction.
type DomainHook func(ctx context.Context, tx *db.Tx, org int64, domain string) error

func nobody(context.Context, *db.Tx, int64, string) error { return nil }

// DefaultRemember is how long what was disabled or deleted is kept.
const DefaultRemember = 30 * 24 * time.Hour

// Service is the directory. It is safe for concurrent use.
type Service struct {
	db       *db.DB
	audit    *audit.Log
	clock    clock.Clock
	feed     *feed.Feed
	log      *slog.Logger
	resolver Resolver
	limits   Limits
	suffix   string
	remember time.Duration
	own      *own
	external map[string]Directory
	// Domain hooks, never nil.
	registered, deregistered DomainHook
	// Organisations as readers and, on SQLite, as the one writer may take them for granted.
	committed, written organizationMemory
}

// New returns the directory kept in c.DB.
func New(c Config) *Service {
	s := &Service{
		db: c.DB, audit: c.Audit, clock: c.Clock, feed: c.Feed, log: c.Log, resolver: c.Resolver,
		limits: c.Limits.withDefaults(), suffix: Fold(c.TestDomainSuffix), remember: c.Remember,
		own: &own{hasher: NewHasher(c.HashCost)}, external: c.External, registered: c.Registered, deregistered: c.Deregistered,
	}
	if s.registered == nil {
		s.registered = nobody
	}
	if s.deregistered == nil {
		s.deregistered = nobody
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.suffix == "" {
		s.suffix = DefaultTestDomainSuffix
	}
	if s.remember <= 0 {
		s.remember = DefaultRemember
	}
	return s
}

// Remember is how long what was disabled or deleted is kept.
func (s *Service) Remember() time.Duration { return s.remember }

// Limits returns the limits in force.
func (s *Service) Limits() Limits { return s.limits }

// View runs fn in a read transaction on an organisation that is active. A user's principal is refused: these are the
// administrators' verbs.
func (s *Service) View(ctx context.Context, p principal.Principal, org OrgID,
	fn func(ctx context.Context, tx *db.Tx, o *Organization) error,
) error {
	if err := mayAdminister(p); err != nil {
		return err
	}
	known, generation := s.committed.find(org)
	return s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		o := known
		if o == nil {
			if o, err = s.OrganizationTx(ctx, tx, org); err == nil {
				s.committed.keep(o, generation)
			}
		}
		if o, err = activeOr(o, err); err != nil {
			return err
		}
		return fn(ctx, tx, o)
	})
}

// changeFunc makes a change and returns the id of what it changed, for the audit record. It may run more than once.
type changeFunc = func(ctx context.Context, tx *db.Tx, o *Organization) (subject string, err error)

// Change runs fn in a write transaction on an organisation that is active and stays so until the commit, and appends the
// audit record of operation on the subject that fn returns.
func (s *Service) Change(ctx context.Context, p principal.Principal, org OrgID, operation string, fn changeFunc) error {
	return s.change(ctx, p, org, operation, s.GateTx, fn)
}

// ChangeAlone is Change while nobody else writes in the organisation.
func (s *Service) ChangeAlone(ctx context.Context, p principal.Principal, org OrgID, operation string, fn changeFunc) error {
	return s.change(ctx, p, org, operation, s.ExclusiveTx, fn)
}

func (s *Service) change(ctx context.Context, p principal.Principal, org OrgID, operation string,
	gate func(context.Context, *db.Tx, OrgID) (*Organization, error), fn changeFunc,
) error {
	if err := mayAdminister(p); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := gate(ctx, tx, org)
		if err != nil {
			return err
		}
		subject, err := fn(ctx, tx, o)
		if err != nil {
			return err
		}
		return s.audit.AppendTx(ctx, tx, audit.Of(p, string(org), operation, subject))
	})
}

func mayAdminister(p principal.Principal) error {
	if p.Kind == principal.User || p.Kind == principal.Role {
		return fault.New(fault.Denied, fault.None, "a user may not administer the organization")
	}
	return nil
}

// publishUser tells, after the commit, that a user's password, state or registration changed.
func (s *Service) publishUser(tx *db.Tx, org OrgID, id EntityID) {
	tx.OnCommit(func() { s.feed.Publish(feed.Topic{Kind: "user", Key: string(org) + "/" + string(id)}) })
}

// directoryOf returns the directory that masters o.
func (s *Service) directoryOf(o *Organization) (Directory, error) {
	if o.DirectoryType == OwnDirectoryType {
		return s.own, nil
	}
	if d, ok := s.external[o.DirectoryID]; ok {
		return d, nil
	}
	return nil, fault.New(fault.DirectoryDown, fault.Directory,
		"directory %s of organization %s is not configured on this server", o.DirectoryID, o.ID)
}

// active reads the organisation and its directory before any transaction that changes it, for the work that must be done
// outside of one.
func (s *Service) active(ctx context.Context, org OrgID) (o *Organization, d Directory, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = s.ActiveTx(ctx, tx, org)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	d, err = s.directoryOf(o)
	return o, d, err
}

// checkFunc says whether a change of an entity would be accepted, before it is made elsewhere.
type checkFunc = func(ctx context.Context, tx *db.Tx, o *Organization, e *Entity) error

// outside lets an external directory make a change, if check accepts it, before the transaction that mirrors it and checks
// again. For our own directory, whose tables are the directory, there is nothing to do and nothing is read.
func (s *Service) outside(ctx context.Context, org OrgID, ident string, how Narrow, check checkFunc,
	fn func(d Directory, e Entry) error,
) error {
	if len(s.external) == 0 {
		return nil
	}
	o, d, err := s.active(ctx, org)
	if err != nil || d == s.own {
		return err
	}
	var e *Entity
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if e, err = s.ResolveTx(ctx, tx, o, ident, how); err != nil {
			return err
		}
		if check == nil {
			return e.living()
		}
		return check(ctx, tx, o, e)
	})
	if err != nil {
		return err
	}
	return fn(d, e.entry(o))
}

func (e *Entity) entry(o *Organization) Entry {
	return Entry{Organization: o.ID, ID: e.ID, Kind: e.Kind, Name: e.Name}
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
