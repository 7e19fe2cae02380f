// Package transporttest makes a small world for tests of mail on its way: an organisation with users, groups, resources
// and mailboxes, on a real store.
package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/gate"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/script"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// Password is the password of users who have one.
const Password = "examplePa$$w0rd"

// Admin is who makes the world.
var Admin = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST"}

// Start is when the world's clock begins.
var Start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// World is a transport with all that it stands on, and one organisation, "acme", with the domain acme.awsapps.com.
type World struct {
	*transport.Transport
	T         testing.TB
	DB        *db.DB
	Clock     *clock.Fake
	Feed      *feed.Feed
	Audit     *audit.Log
	Sink      *Sink // of LogGroup
	Directory *directory.Service
	Policy    *policy.Service
	Mailboxes *mailbox.Store
	Flow      *flow.Service
	Autoreply *autoreply.Service
	Scripts   *script.Service
	Journal   *journal.Service
	Contents  *flow.Contents
	Objects   Objects
	Acme      *directory.Organization
	// Filed is told what users say of messages by filing them; nil tells nobody.
	Filed func(ctx context.Context, tx *db.Tx, f mailbox.Filed) error

	blobs *memoryBlobs
}

// MaxMessage is how many bytes a message has that Contents take.
const MaxMessage = 1 << 20

// Objects is a bucket, whose objects have their versions behind a # in their keys.
type Objects map[string]string

// Object reads an object of the bucket.
func (o Objects) Object(_ context.Context, _ directory.OrgID, bucket, key, version string) ([]byte, error) {
	if version != "" {
		key += "#" + version
	}
	text, ok := o[key]
	switch {
	case !ok || bucket != "bucket":
		return nil, fault.New(fault.Invalid, fault.Location, "there is no %s in %s", key, bucket)
	case len(text) > MaxMessage:
		return nil, fault.New(fault.TooLarge, fault.Location, "it is too large")
	}
	return []byte(text), nil
}

// LogGroup is the log group that the world's server is configured with.
const LogGroup = "arn:aws:logs:us-east-1:000000000000:log-group:/mail:*"

// Sink keeps the records of a log group.
type Sink struct{ records chan audit.LogRecord }

// Send keeps the records.
func (s *Sink) Send(_ context.Context, records []audit.LogRecord) error {
	for _, r := range records {
		s.records <- r
	}
	return nil
}

// Told runs the log groups until the sink got n records, and returns them.
func (w *World) Told(n int) (lines []string) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Audit.Run(ctx) }()
	for len(lines) < n {
		select {
		case r := <-w.Sink.records:
			lines = append(lines, string(r.JSON))
		case <-ctx.Done():
			w.T.Fatalf("%d records were told, want %d: %q", len(lines), n, lines)
		}
	}
	cancel()
	w.Must(<-ended)
	if more := len(w.Sink.records); more > 0 {
		w.T.Errorf("%d records more than %d were told", more, n)
	}
	return lines
}

// OnBoth runs fn in a new world on each engine. change may change the transport's options.
func OnBoth(t *testing.T, change func(*transport.Options), fn func(w *World)) {
	t.Helper()
	dbtest.Run(t, migrations(), func(t *testing.T, d *db.DB) { fn(newWorld(t, d, change)) })
}

// OnSQLite makes a world on SQLite with all its syncs, for benchmarks.
func OnSQLite(t testing.TB) *World {
	t.Helper()
	d, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "bench.db"), Migrations: migrations(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return newWorld(t, d, nil)
}

func migrations() []db.Migration {
	return slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), mailbox.Migrations(), transport.Migrations(), queue.Migrations(), dayreport.Migrations(), intake.Migrations(), spam.Migrations(), gate.Migrations(), flow.Migrations(), journal.Migrations(), autoreply.Migrations(), script.Migrations())
}

func newWorld(t testing.TB, d *db.DB, change func(*transport.Options)) *World {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := &World{T: t, DB: d, Clock: clock.NewFake(Start), Feed: feed.New()}
	w.Sink = &Sink{make(chan audit.LogRecord, 10_000)}
	w.Audit = audit.New(d, w.Clock, audit.Config{Groups: map[string]audit.Group{LogGroup: {Sink: w.Sink}}})
	w.Directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: w.Audit, Clock: w.Clock, Feed: w.Feed, Log: log})
	w.Policy = policy.New(w.Directory, w.Clock)
	w.blobs = &memoryBlobs{m: map[string][]byte{}}
	w.Mailboxes = mailbox.New(mailbox.Options{DB: d, Blobs: w.blobs, Feed: w.Feed, Clock: w.Clock, Log: log, Filed: func(ctx context.Context, tx *db.Tx, f mailbox.Filed) error {
		if w.Filed == nil {
			return nil
		}
		return w.Filed(ctx, tx, f)
	}, Filling: func(ctx context.Context, tx *db.Tx, f mailbox.Filling) error { return w.FillingTx(ctx, tx, f) }})
	w.Flow = flow.New(flow.Options{DB: d, Directory: w.Directory, Clock: w.Clock, Root: secret.Ephemeral()})
	w.Autoreply = autoreply.New(autoreply.Options{DB: d, Directory: w.Directory, Mailboxes: w.Mailboxes, Clock: w.Clock})
	w.Scripts = script.New(script.Options{DB: d, Mailboxes: w.Mailboxes, Audit: w.Audit, Clock: w.Clock, Log: log, Key: make([]byte, 32)})
	w.Journal = journal.New(journal.Options{DB: d, Directory: w.Directory, Clock: w.Clock, Root: secret.Ephemeral()})
	w.Objects = Objects{}
	w.Contents = flow.NewContents(flow.ContentOptions{DB: d, Directory: w.Directory, Blobs: w.blobs, Clock: w.Clock, Objects: w.Objects, MaxMessage: MaxMessage})
	o := transport.Options{
		DB: d, Directory: w.Directory, Policy: w.Policy, Mailboxes: w.Mailboxes, Audit: w.Audit, Clock: w.Clock, Log: log, Hostname: "mail.acme.awsapps.com",
		Rules: w.Flow, Scripts: w.Scripts, Replies: w.Autoreply, Contents: w.Contents, Journals: w.Journal,
		Reports: intake.New(intake.Options{DB: d, Directory: w.Directory, Clock: w.Clock, Log: log}),
	}
	if change != nil {
		change(&o)
	}
	w.Transport = transport.New(o)
	w.Acme = w.Organization("acme")
	t.Cleanup(func() {
		faults, err := w.Mailboxes.Check(context.Background())
		if err != nil || len(faults) > 0 {
			t.Errorf("check after the test: %q, %v", faults, err)
		}
		faults, err = w.Contents.CheckBodies(context.Background())
		if err != nil || len(faults) > 0 {
			t.Errorf("check of contents after the test: %q, %v", faults, err)
		}
	})
	return w
}

// Organization makes another organisation with its test domain.
func (w *World) Organization(alias string) (o *directory.Organization) {
	w.T.Helper()
	w.Write(func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = w.Directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: alias, Account: "000000000000", Region: "us-east-1"})
		if err != nil {
			return err
		}
		if err := w.Directory.AddTestDomainTx(ctx, tx, o); err != nil {
			return err
		}
		if err := w.Policy.BeginTx(ctx, tx, o); err != nil {
			return err
		}
		_, err = w.Directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgActive, "")
		return err
	})
	o.State = directory.OrgActive
	return o
}

// Write runs fn in a write transaction.
func (w *World) Write(fn func(ctx context.Context, tx *db.Tx) error) {
	w.T.Helper()
	if err := w.DB.Write(w.T.Context(), fn); err != nil {
		w.T.Fatal(err)
	}
}

// Must ends the test for an error.
func (w *World) Must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// User makes an enabled user of acme with a mailbox and the address name@acme.awsapps.com, but no password.
func (w *World) User(name string) directory.EntityID { return w.user(w.Acme, name, nil) }

// UserOf makes such a user of an organisation.
func (w *World) UserOf(o *directory.Organization, name string) directory.EntityID {
	return w.user(o, name, nil)
}

// UserWithPassword makes a user of acme who can sign in, with Password.
func (w *World) UserWithPassword(name string) directory.EntityID {
	secret := Password
	return w.user(w.Acme, name, &secret)
}

func (w *World) user(o *directory.Organization, name string, secret *string) directory.EntityID {
	w.T.Helper()
	id, err := w.Directory.CreateUser(w.T.Context(), Admin, o.ID, directory.NewUser{Name: name, DisplayName: "The " + name, Password: secret})
	w.Must(err)
	w.Enable(o, id, name+"@"+o.Alias+".awsapps.com")
	return id
}

// Group makes an enabled group of acme with the members.
func (w *World) Group(name string, members ...directory.EntityID) directory.EntityID {
	w.T.Helper()
	id, err := w.Directory.CreateGroup(w.T.Context(), Admin, w.Acme.ID, directory.NewGroup{Name: name})
	w.Must(err)
	w.Enable(w.Acme, id, name+"@acme.awsapps.com")
	for _, m := range members {
		w.Must(w.Directory.AddMember(w.T.Context(), Admin, w.Acme.ID, string(id), string(m)))
	}
	return id
}

// Remote makes an enabled REMOTE_USER of acme, whose mailbox is at the address, with aliases.
func (w *World) Remote(name, address string, aliases ...string) directory.EntityID {
	w.T.Helper()
	id, err := w.Directory.CreateUser(w.T.Context(), Admin, w.Acme.ID, directory.NewUser{Name: name, DisplayName: name, Role: directory.RoleRemote})
	w.Must(err)
	w.Enable(w.Acme, id, address)
	for _, alias := range aliases {
		w.Must(w.Directory.CreateAlias(w.T.Context(), Admin, w.Acme.ID, id, alias))
	}
	return id
}

// Enable gives an entity an address, and a mailbox unless it is a group or a REMOTE_USER.
func (w *World) Enable(o *directory.Organization, id directory.EntityID, address string) {
	w.T.Helper()
	a, err := directory.ParseAddress(address)
	w.Must(err)
	w.Write(func(ctx context.Context, tx *db.Tx) error {
		e, err := w.Directory.FindForTx(ctx, tx, o, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		var box mailbox.ID
		if e.Kind != directory.KindGroup && e.Role != directory.RoleRemote {
			if box, err = w.Mailboxes.CreateTx(ctx, tx, mailbox.Owner{Org: mailbox.OrgKey(o.Key), Entity: string(id)}, 1<<20); err != nil {
				return err
			}
		}
		return w.Directory.EnableTx(ctx, tx, o, e, a, int64(box), true)
	})
}

// Disable takes an entity's address and closes its mailbox.
func (w *World) Disable(id directory.EntityID) {
	w.T.Helper()
	w.Write(func(ctx context.Context, tx *db.Tx) error {
		e, err := w.Directory.FindForTx(ctx, tx, w.Acme, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		if e.Mailbox != 0 {
			if _, err := w.Mailboxes.CloseTx(ctx, tx, w.Owner(id), w.Clock.Now().Add(time.Hour)); err != nil {
				return err
			}
		}
		return w.Directory.DisableTx(ctx, tx, w.Acme, e)
	})
}

// Owner is an entity of acme as the mailbox store knows it.
func (w *World) Owner(id directory.EntityID) mailbox.Owner {
	return mailbox.Owner{Org: mailbox.OrgKey(w.Acme.Key), Entity: string(id)}
}

// SetQuota sets the quota of an entity of acme in bytes.
func (w *World) SetQuota(id directory.EntityID, bytes int64) {
	w.T.Helper()
	w.Write(func(ctx context.Context, tx *db.Tx) error { return w.Mailboxes.SetQuotaTx(ctx, tx, w.Owner(id), bytes) })
}

// Grant gives a user of acme rights on an entity.
func (w *World) Grant(owner, grantee directory.EntityID, rights policy.Rights) {
	w.T.Helper()
	w.Must(w.Policy.PutPermissions(w.T.Context(), Admin, w.Acme.ID, string(owner), string(grantee), rights))
}

// Message is one in an inbox.
type Message struct {
	Text string // prefix and body
	Item mailbox.Item
}

// Inbox returns the messages in the inbox of an entity of acme.
func (w *World) Inbox(id directory.EntityID) []Message {
	w.T.Helper()
	return w.folder(w.Owner(id), mailbox.InboxID)
}

// Box is the mailbox of an entity of acme.
func (w *World) Box(id directory.EntityID) mailbox.ID {
	w.T.Helper()
	d, err := w.Mailboxes.ByOwner(w.T.Context(), w.Owner(id))
	w.Must(err)
	return d.ID
}

// Script makes a Sieve script the rules of an entity of acme.
func (w *World) Script(id directory.EntityID, source string) {
	w.T.Helper()
	p, box := principal.Principal{Kind: principal.User, ID: string(id), Organization: string(w.Acme.ID)}, w.Box(id)
	w.Must(w.Scripts.Put(w.T.Context(), p, box, "rules", []byte(source)))
	w.Must(w.Scripts.Activate(w.T.Context(), p, box, "rules"))
}

// Junk returns the messages in the Junk E-mail folder of an entity of acme.
func (w *World) Junk(id directory.EntityID) []Message {
	w.T.Helper()
	return w.folder(w.Owner(id), mailbox.JunkID)
}

// InboxOf returns the messages in the inbox of an entity of an organisation.
func (w *World) InboxOf(o *directory.Organization, id directory.EntityID) []Message {
	w.T.Helper()
	return w.folder(mailbox.Owner{Org: mailbox.OrgKey(o.Key), Entity: string(id)}, mailbox.InboxID)
}

func (w *World) folder(o mailbox.Owner, folder mailbox.FolderID) (messages []Message) {
	w.T.Helper()
	ctx := w.T.Context()
	box, err := w.Mailboxes.ByOwner(ctx, o)
	w.Must(err)
	for it, err := range w.Mailboxes.Fetch(ctx, box.ID, folder, mailbox.AllUIDs(), mailbox.WantMeta|mailbox.WantBody, 0) {
		w.Must(err)
		c, err := w.Mailboxes.Open(ctx, it)
		w.Must(err)
		text, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		w.Must(err)
		w.Must(c.Close())
		m := Message{Text: string(text), Item: *it}
		m.Item.Envelope, m.Item.Structure, m.Item.Prefix = bytes.Clone(it.Envelope), bytes.Clone(it.Structure), bytes.Clone(it.Prefix)
		messages = append(messages, m)
	}
	return messages
}

// Blobs are the keys of large bodies that begin with prefix.
func (w *World) Blobs(prefix string) (keys []string) {
	w.blobs.mu.Lock()
	defer w.blobs.mu.Unlock()
	for key := range w.blobs.m {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// FailBlobs makes the store of large bodies answer readers with err; nil makes it work again.
func (w *World) FailBlobs(err error) {
	w.blobs.mu.Lock()
	defer w.blobs.mu.Unlock()
	w.blobs.failOpen = err
}

// memoryBlobs keeps large bodies in memory.
type memoryBlobs struct {
	mu sync.Mutex
	m  map[string][]byte

	failOpen error
}

func (b *memoryBlobs) Put(_ context.Context, key string, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[key] = data
	return int64(len(data)), nil
}

func (b *memoryBlobs) Open(_ context.Context, key string) (mailbox.Blob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failOpen != nil {
		return nil, b.failOpen
	}
	data, ok := b.m[key]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", key, fs.ErrNotExist)
	}
	return blob{bytes.NewReader(data)}, nil
}

func (b *memoryBlobs) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
	return nil
}

type blob struct{ *bytes.Reader }

func (blob) Close() error { return nil }
