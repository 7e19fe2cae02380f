package organization

import (
	"context"
	"log/slog"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/policy"
)

// DefaultAccount and DefaultRegion are what new organisations get where the configuration says nothing.
const (
	DefaultAccount = "000000000000"
	DefaultRegion  = "us-east-1"
)

// Config is what a Service is made of. All but Log, Account and Region are required.
type Config struct {
	DB           *db.DB
	Directory    *directory.Service
	Policy       *policy.Service
	Center       *identity.Center
	Availability *availability.Service
	Mailboxes    *mailbox.Store
	Exports      *export.Service
	Audit        *audit.Log
	Clock        clock.Clock
	Log          *slog.Logger // nil discards
	// Account and Region are what new organisations have in their names (ARN) for good.
	Account, Region string
	// MailboxMB is the quota of a new mailbox, and the largest there is, in units of 1,048,576 bytes; 0 means WorkMail's
	// 51,200.
	MailboxMB int64
	// EraseTx removes up to limit rows that packages above keep of an organisation that is being deleted, and returns how many. May
	// be nil.
	EraseTx func(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error)
	// MirrorEvery and CompareEvery are how often external directories are asked what changed, and compared as a whole; zero
	// means DefaultMirrorEvery and DefaultCompareEvery.
	MirrorEvery, CompareEvery time.Duration
}

// Service carries out the verbs that span packages. It is safe for concurrent use.
type Service struct {
	db              *db.DB
	directory       *directory.Service
	policy          *policy.Service
	center          *identity.Center
	availability    *availability.Service
	mailboxes       *mailbox.Store
	exports         *export.Service
	audit           *audit.Log
	clock           clock.Clock
	log             *slog.Logger
	account, region string
	quotaMB         int64
	retained        retentionCounts
	mirrored        mirrorCounts
	eraseAbove      func(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error)

	mirrorEvery, compareEvery time.Duration
}

// New returns the service.
func New(c Config) *Service {
	s := &Service{
		db: c.DB, directory: c.Directory, policy: c.Policy, center: c.Center, availability: c.Availability, mailboxes: c.Mailboxes, exports: c.Exports, audit: c.Audit, clock: c.Clock, log: c.Log,
		account: c.Account, region: c.Region, quotaMB: c.MailboxMB,
		mirrorEvery: c.MirrorEvery, compareEvery: c.CompareEvery, eraseAbove: c.EraseTx,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.account == "" {
		s.account = DefaultAccount
	}
	if s.quotaMB <= 0 {
		s.quotaMB = defaultQuotaMB
	}
	if s.mirrorEvery <= 0 {
		s.mirrorEvery = DefaultMirrorEvery
	}
	if s.compareEvery <= 0 {
		s.compareEvery = DefaultCompareEvery
	}
	if s.region == "" {
		s.region = DefaultRegion
	}
	return s
}

// The kinds of job. Each job's key is the organisation's id or the entity's number, that of a purge with its mailbox's.
const (
	createKind = "organization-create"
	deleteKind = "organization-delete"
	purgeKind  = "mailbox-purge"
	sweepKind  = "relation-sweep"
)

// Handle makes runner do the work that verbs leave for later.
func (s *Service) Handle(runner *job.Runner) {
	runner.Handle(createKind, s.finishCreation)
	runner.Handle(deleteKind, s.finishDeletion)
	runner.Handle(purgeKind, s.purge)
	runner.Handle(sweepKind, s.sweep)
}

// batchRows is about how many rows one transaction of a job touches.
const batchRows = 500
