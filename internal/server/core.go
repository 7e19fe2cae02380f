package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/certificate"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/directory/ldap"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/owner"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/policy/iam"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
	"github.com/pennypost/pennypost/internal/trace"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/domain"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/gate"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/transport/scan"
	"github.com/pennypost/pennypost/internal/transport/script"
	"github.com/pennypost/pennypost/internal/transport/ses"
	"github.com/pennypost/pennypost/internal/transport/signing"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// core is everything below the faces, wired.
type core struct {
	log           *slog.Logger
	db            *db.DB
	root          *secret.Key
	clock         clock.Clock
	feed          *feed.Feed
	audit         *audit.Log
	keys          *identity.Keys
	directory     *directory.Service
	policy        *policy.Service
	center        *identity.Center
	dialer        *dial.Dialer // makes every connection to an address that an organisation gave
	availability  *availability.Service
	mailboxes     *mailbox.Store
	exports       *export.Service
	mailImport    *migration.Mail
	organizations *organization.Service
	migration     *migration.Service
	transport     *transport.Transport
	reports       *intake.Box // those of others
	mailauth      *mailauth.Checker
	domains       *domain.Service
	certificates  *certificate.Manager
	acme          *certificate.ACME // nil where certificates come from elsewhere
	signing       *signing.Service
	strangers     *gate.Gate // who lets in other servers
	users         *gate.Gate // who lets in users' programs that submit
	greylist      *gate.Greylist
	flow          *flow.Service
	replies       *autoreply.Service
	journal       *journal.Service
	contents      *flow.Contents
	outbound      *outbound
	queue         queue.Manager // outbound's, or a test's
	spam          *spam.Service
	filters       bool // spam judges and learns
	scanner       *scan.Scanner
	scripts       *script.Service
	traces        *trace.Tracer // nil where nobody is told
	ses           *ses.Service
	spool         string // directory of large messages on their way in
	door          *identity.Door
	impersonation *identity.Impersonation
	jobs          *job.Runner
	ldap          map[string]*ldap.Directory
}

// spoolName is the directory of large messages on their way in, in every directory that a kept server works in.
const spoolName = "spool"

// openCore opens the store in dir, which the caller has locked, and wires the core on it. kept says that it must outlive the
// process: without it nothing is synced and secrets are sealed under a key of the moment. The caller must close the core.
func openCore(ctx context.Context, c *config.Config, dir string, kept bool, log *slog.Logger) (_ *core, err error) {
	d, err := db.Open(ctx, db.Options{
		Path:   filepath.Join(dir, "pennypost.db"),
		URL:    c.DatabaseURL,
		Alone:  true,
		NoSync: !kept,
		Migrations: slices.Concat(
			job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), identity.Migrations(),
			mailbox.Migrations(), transport.Migrations(), queue.Migrations(), route.Migrations(), dayreport.Migrations(), intake.Migrations(), spam.Migrations(), signing.Migrations(), gate.Migrations(), flow.Migrations(), autoreply.Migrations(), journal.Migrations(), script.Migrations(), availability.Migrations(), export.Migrations(), migration.Migrations(), certificate.Migrations(),
		),
		Log: log,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	parts := &core{log: log, db: d, clock: clock.System{}, feed: feed.New(), root: secret.Ephemeral()}
	parts.jobs = job.NewRunner(d, parts.clock, log)
	if kept {
		if parts.root, err = rootKey(ctx, d, c); err != nil {
			return nil, err
		}
	}
	if err := identity.BindRoot(ctx, d, parts.root); err != nil {
		return nil, err
	}
	resolver := dns.New(c.DNSResolver)
	parts.dialer = dial.New(resolver.Net(), c.AllowedNetworks)
	groups, err := logGroups(c, parts.dialer)
	if err != nil {
		return nil, err
	}
	parts.audit = audit.New(d, parts.clock, audit.Config{
		Retention: time.Duration(c.AuditRetentionDays) * 24 * time.Hour, Groups: groups, Linger: linger, OrganizationARN: parts.organizationARN, Log: log,
	})
	if parts.ldap, err = externalDirectories(c, parts.dialer); err != nil {
		return nil, err
	}
	external := map[string]directory.Directory{}
	for id, d := range parts.ldap {
		external[id] = d
	}
	parts.directory = directory.New(directory.Config{
		External: external,
		DB:       d, Audit: parts.audit, Clock: parts.clock, Feed: parts.feed, Log: log,
		Resolver:         resolver,
		TestDomainSuffix: c.TestDomainSuffix,
		HashCost:         directory.HashCost{MemoryKiB: uint32(c.PasswordMemoryKiB), Passes: uint32(c.PasswordPasses)},
		Limits: directory.Limits{
			Aliases: c.LimitAliases, Domains: c.LimitDomains, Tags: c.LimitTags,
			Organizations: c.LimitOrganizations, Users: c.LimitUsers,
		},
		Registered: func(ctx context.Context, tx *db.Tx, org int64, domain string) error {
			return parts.signing.RegisteredTx(ctx, tx, org, domain)
		},
		Deregistered: func(ctx context.Context, tx *db.Tx, org int64, domain string) error {
			return parts.signing.DeregisteredTx(ctx, tx, org, domain)
		},
	})
	parts.signing = signing.New(signing.Options{
		DB: d, Directory: parts.directory, Audit: parts.audit, Clock: parts.clock, Log: log, Root: parts.root, Resolver: resolver,
		Hostname: c.Hostname, Rotation: time.Duration(c.DKIMRotationDays) * 24 * time.Hour,
	})
	parts.keys = identity.NewKeys(d, parts.audit, parts.root, parts.feed, parts.clock, iam.Check)
	parts.policy = policy.New(parts.directory, parts.clock)
	parts.center = identity.NewCenter(identity.CenterConfig{
		DB: d, Directory: parts.directory, Audit: parts.audit, Feed: parts.feed, Clock: parts.clock, Root: parts.root, Account: c.AccountID,
		Mapped: func(instance string) bool { _, ok := c.IdentityCenter[instance]; return ok },
	})
	functions, err := functionsOf(c)
	if err != nil {
		return nil, err
	}
	parts.availability = availability.New(availability.Config{
		DB: d, Directory: parts.directory, Clock: parts.clock, Root: parts.root, Dialer: parts.dialer, Audit: parts.audit, Log: log,
		Functions: functions, Limit: c.LimitAvailability,
	})
	parts.spool = filepath.Join(dir, spoolName)
	// What a killed server left there was never acknowledged.
	if err := errors.Join(os.RemoveAll(parts.spool), os.MkdirAll(parts.spool, 0o700)); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	owner.Inherit(parts.spool)
	store, err := blob.New(ctx, blob.Options{URL: c.BlobURL, Dir: filepath.Join(dir, "blobs"), NoSync: !kept})
	if err != nil {
		return nil, err
	}
	parts.mailboxes = mailbox.New(mailbox.Options{
		DB: d, Blobs: bodies{store, parts.spool}, Feed: parts.feed, Clock: parts.clock, Log: log,
		MaxMessage:      c.MaxMessage() + transport.MaxAdded + journal.MaxAdded, // the faces hold senders to the limit itself
		KeepRecoverable: time.Duration(c.RecoverableDays) * 24 * time.Hour,
		Forget:          parts.forget,
		Filed:           parts.filed,
		Filling: func(ctx context.Context, tx *db.Tx, f mailbox.Filling) error {
			return parts.transport.FillingTx(ctx, tx, f)
		},
	})
	if err := parts.openHygiene(c); err != nil {
		return nil, err
	}
	parts.scripts = script.New(script.Options{
		DB: d, Mailboxes: parts.mailboxes, Audit: parts.audit, Clock: parts.clock, Log: log, Key: parts.root.Derive("sieve memory"),
	})
	parts.mailImport = migration.NewMail(migration.MailConfig{
		DB: d, Directory: parts.directory, Mailboxes: parts.mailboxes, Audit: parts.audit, MaxMessage: c.MaxMessage(), Spool: parts.spool,
	})
	parts.exports, err = export.New(export.Config{
		DB: d, Directory: parts.directory, Mailboxes: parts.mailboxes, Clock: parts.clock, Log: log, Dir: filepath.Join(dir, "exports"),
		Buckets: exportBuckets(c.ExportBuckets), Dialer: parts.dialer, MaxObject: c.MaxMessage() + transport.MaxAdded,
	})
	if err != nil {
		return nil, err
	}
	parts.organizations = organization.New(organization.Config{
		DB: d, Directory: parts.directory, Policy: parts.policy, Center: parts.center, Availability: parts.availability, Mailboxes: parts.mailboxes, Exports: parts.exports, Audit: parts.audit,
		Clock: parts.clock, Log: log, Account: c.AccountID, Region: c.Region,
		MailboxMB: int64(c.LimitMailboxMB), MirrorEvery: time.Duration(c.DirectorySeconds) * time.Second,
		EraseTx: parts.eraseAboveTx,
	})
	parts.migration = migration.New(migration.Config{
		DB: d, Directory: parts.directory, Policy: parts.policy, Center: parts.center, Availability: parts.availability,
		Organizations: parts.organizations, Audit: parts.audit,
	})
	parts.door = identity.NewDoor(parts.directory, parts.policy, parts.center, parts.audit, parts.feed, parts.clock, log, identity.Limits{})
	parts.impersonation = identity.NewImpersonation(parts.policy, parts.audit, parts.root, parts.clock, log)
	parts.reports = intake.New(intake.Options{DB: d, Directory: parts.directory, Clock: parts.clock, Log: log})
	parts.mailauth = mailauth.New(mailauth.Options{Resolver: resolver, Clock: parts.clock, Trusted: c.ARCTrusted})
	parts.flow = flow.New(flow.Options{DB: d, Directory: parts.directory, Clock: parts.clock, Root: parts.root, Functions: functions, Dialer: parts.dialer})
	parts.replies = autoreply.New(autoreply.Options{DB: d, Directory: parts.directory, Mailboxes: parts.mailboxes, Clock: parts.clock})
	parts.contents = flow.NewContents(flow.ContentOptions{
		DB: d, Directory: parts.directory, Blobs: bodies{store, parts.spool}, Clock: parts.clock, Objects: parts.exports,
		MaxMessage: c.MaxMessage(), MaxAttachments: c.LimitAttachments, MaxKept: int64(c.LimitQueueMB) << 20,
	})
	parts.journal = journal.New(journal.Options{DB: d, Directory: parts.directory, Clock: parts.clock, Root: parts.root, NoneLeaves: c.Outbound == "off"})
	parts.transport = transport.New(transport.Options{
		DB: d, Directory: parts.directory, Policy: parts.policy, Mailboxes: parts.mailboxes, Audit: parts.audit, Clock: parts.clock, Log: log,
		Hostname: c.Hostname, Limits: transport.Limits{Recipients: c.LimitRecipients, Attachments: cmp.Or(c.LimitAttachments, -1)}, Auth: parts.mailauth, Signer: parts.signing, Reports: parts.reports, Rules: parts.flow, Scripts: parts.scripts, Replies: parts.replies, Contents: parts.contents, Journals: parts.journal,
		Daily: transport.Daily{
			UserExternal: c.LimitDailyUserExternal, AccountExternal: c.LimitDailyAccountExternal, AccountTest: c.LimitDailyAccountTest,
		},
	})
	if parts.filters {
		parts.transport.Spam = parts.spam
	}
	if parts.scanner.Clamd != nil || !parts.scanner.Types.None() {
		parts.transport.Scanner = parts.scanner
	}
	if err := parts.openGates(c, resolver); err != nil {
		return nil, err
	}
	if err := parts.openOutbound(c, resolver, bodies{store, parts.spool}); err != nil {
		return nil, err
	}
	parts.openDomains(c, resolver)
	if err := parts.openCertificates(c, resolver); err != nil {
		return nil, err
	}
	if err := parts.openSES(c); err != nil {
		return nil, err
	}
	parts.audit.Handle(parts.jobs)
	parts.organizations.Handle(parts.jobs)
	parts.transport.Handle(parts.jobs)
	parts.greylist.Handle(parts.jobs)
	parts.scripts.Handle(parts.jobs)
	parts.replies.Handle(parts.jobs)
	// Those that wait for functions, buckets, external directories, or DNS, which may not answer, or have much to go through, hold up nobody else.
	functionJobs := parts.jobs.Beside()
	functionJobs.Workers = transport.ParallelCalls * (len(functions) + 1) // one more for those that are not configured, which fail at once
	parts.transport.HandleFunctions(functionJobs)
	parts.reports.Handle(parts.jobs)
	parts.directory.Handle(parts.jobs.Beside())
	parts.signing.Handle(parts.jobs.Beside())
	parts.organizations.HandleRetention(parts.jobs.Beside())
	parts.exports.Handle(parts.jobs.Beside())
	parts.organizations.HandleMirrors(parts.jobs.Beside())
	return parts, nil
}

// eraseAboveTx removes up to limit rows that packages which know organisations from above keep of one that is being deleted.
func (c *core) eraseAboveTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (n int, err error) {
	for _, erase := range []func(context.Context, *db.Tx, *directory.Organization, int) (int, error){c.signing.EraseTx, migration.EraseTx, intake.EraseTx, c.spam.EraseTx, c.flow.EraseTx, c.journal.EraseTx, c.contents.EraseTx} {
		more, err := erase(ctx, tx, o, limit-n)
		if n += more; err != nil || n == limit {
			return n, err
		}
	}
	return n, nil
}

func exportBuckets(buckets map[string]config.ExportBucket) map[string]export.Bucket {
	out := make(map[string]export.Bucket, len(buckets))
	for name, b := range buckets {
		out[name] = export.Bucket(b)
	}
	return out
}

// rootKey loads the key that seals secrets. It is made where the database holds no sealed value yet; a database that does
// is useless without its own key, and the server must not start as if nothing had happened.
func rootKey(ctx context.Context, d *db.DB, c *config.Config) (*secret.Key, error) {
	bound, err := identity.RootID(ctx, d)
	if err != nil {
		return nil, err
	}
	key, err := secret.LoadOrCreate(c.SecretKeyPath(), bound == "")
	if errors.Is(err, fs.ErrNotExist) && bound != "" {
		return nil, fmt.Errorf("the secret key file %s is missing, and the secrets in the database are sealed under key %s: "+
			"put the file back from its backup, or name where it is with --secret-key-file", c.SecretKeyPath(), bound)
	}
	return key, err
}

// firstKey makes sure that there is an administrator's access key: where the database never had any, the one in the data
// directory is taken into it, and made if need be. The file is on disk before the database knows the key, so that a crash
// between the two loses nothing. It reports whether this was the first start.
func (c *core) firstKey(ctx context.Context, dir string, fresh bool) (first bool, err error) {
	any, err := c.keys.Any(ctx)
	if err != nil || any {
		return false, err
	}
	key, err := ReadAdminKey(dir)
	if fresh || errors.Is(err, os.ErrNotExist) {
		id, secret := identity.NewKeyPair()
		key = AccessKey{id, secret}
		err = writeAdminKey(dir, key)
	}
	if err != nil {
		return false, err
	}
	return true, c.keys.Import(ctx, key.ID, key.Secret, "first administrator", iam.AdministratorAccess)
}

// DefaultPolicy is the managed policy of a key that is made without naming one: unlike the first administrator's, it leaves the messages that
// functions are asked about alone.
const DefaultPolicy = iam.WorkMailFullAccess

// ManagedPolicies are the names of the policies that a key can be given without a document.
func ManagedPolicies() []string { return iam.Managed() }

// run does the work that nobody waits for until ctx ends: jobs, upkeep, and the ending of sessions.
func (c *core) run(ctx context.Context) (err error) {
	told, last := context.WithCancel(context.WithoutCancel(ctx)) // the others tell of how they end
	traces := make(chan error, 1)
	go func() { traces <- c.traces.Run(told) }()
	defer func() { last(); err = errors.Join(err, <-traces) }()
	g, inner := newParts(ctx)
	for _, part := range []func(context.Context) error{c.audit.Start, c.audit.Run, c.transport.Start, c.reports.Start, c.greylist.Start, c.scripts.Start, c.jobs.Run, c.spam.Run, c.ses.Start, c.ses.Run, c.door.Run, c.door.Tally, c.upkeep, c.runOutbound, c.certificates.Run} {
		g.Go(func() error { return part(inner) })
	}
	if err := g.Wait(); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (c *core) organizationARN(ctx context.Context, id string) (string, error) {
	o, err := c.directory.DescribeOrganization(ctx, principal.TheSystem("log groups"), directory.OrgID(id))
	if err != nil {
		return "", err
	}
	return o.ARN(), nil
}

// check returns one line for each inconsistency of the store, or an error when it could not look.
func (c *core) check(ctx context.Context) ([]string, error) {
	faults := []string{}
	for _, err := range c.db.Check(ctx) {
		faults = append(faults, "database: "+err.Error())
	}
	for _, look := range []func(context.Context, *db.Tx) ([]string, error){
		c.directory.Check, c.policy.Check, c.center.Check, c.availability.Check, c.organizations.Check, c.exports.Check, c.migration.Check,
		c.mailImport.Check, c.spam.Check, c.signing.Check, c.reports.Check, c.flow.Check, c.contents.Check, c.scripts.Check, c.replies.Check, c.certificates.Check,
	} {
		var found []string
		err := c.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			found, err = look(ctx, tx)
			return err
		})
		if err != nil {
			return nil, err
		}
		faults = append(faults, found...)
	}
	found, err := c.mailboxes.Check(ctx)
	if faults = append(faults, found...); err != nil {
		return faults, err
	}
	found, err = c.contents.CheckBodies(ctx)
	if faults = append(faults, found...); err != nil {
		return faults, err
	}
	found, err = c.outbound.check(ctx, c.db)
	return append(faults, found...), err
}

// close closes the store, and what is connected to external directories and other servers.
func (c *core) close() error {
	if c.outbound.courier != nil {
		c.outbound.courier.Close()
	}
	for _, d := range c.ldap {
		d.Close()
	}
	return c.db.Close()
}
