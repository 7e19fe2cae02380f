package migration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

var (
	admin    = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST", Name: "test", Protocol: "API"}
	operator = principal.Principal{Kind: principal.Operator, Name: "operator", Protocol: "control"}
)

const source = "imap.example ann"

// world is a core with an organisation and its user ann, in a bubble that knows when all wait.
type world struct {
	*migration.Mail
	t         *testing.T
	ctx       context.Context
	db        *db.DB
	directory *directory.Service
	mailboxes *mailbox.Store
	life      *organization.Service
	audit     *audit.Log
	org       directory.OrgID
	ann       mailbox.ID
}

func inBoth(t *testing.T, fn func(w *world)) {
	t.Helper()
	migrations := slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), availability.Migrations(),
		identity.Migrations(), mailbox.Migrations(), export.Migrations(), migration.Migrations())
	dbtest.Bubble(t, migrations, func(t *testing.T, d *db.DB) {
		w := &world{t: t, ctx: t.Context(), db: d}
		log, notices := slog.New(slog.NewTextHandler(t.Output(), nil)), feed.New()
		w.audit = audit.New(d, clock.System{}, audit.Config{})
		w.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: w.audit, Clock: clock.System{}, Feed: notices, Log: log})
		w.mailboxes = mailbox.New(mailbox.Options{
			DB: d, Blobs: &blobs{m: map[string][]byte{}}, Feed: notices, Clock: clock.System{}, Log: log,
			Forget: func(ctx context.Context, tx *db.Tx, id mailbox.ID, limit int) (int, error) {
				return w.ForgetTx(ctx, tx, id, limit)
			},
		})
		w.Mail = migration.NewMail(migration.MailConfig{
			DB: d, Directory: w.directory, Mailboxes: w.mailboxes, Audit: w.audit, MaxMessage: 1 << 20, Spool: t.TempDir(),
		})
		rules := policy.New(w.directory, clock.System{})
		exports, err := export.New(export.Config{DB: d, Directory: w.directory, Mailboxes: w.mailboxes, Clock: clock.System{}, Dir: t.TempDir(), Dialer: dial.New(nil, nil)})
		w.ok(err)
		w.life = organization.New(organization.Config{
			DB: d, Directory: w.directory, Policy: rules, Mailboxes: w.mailboxes, Exports: exports, Audit: w.audit, Clock: clock.System{}, Log: log,
			Center:       identity.NewCenter(identity.CenterConfig{DB: d, Directory: w.directory, Audit: w.audit, Feed: notices, Clock: clock.System{}, Root: secret.Ephemeral()}),
			Availability: availability.New(availability.Config{DB: d, Directory: w.directory, Clock: clock.System{}, Root: secret.Ephemeral(), Dialer: dial.New(nil, nil), Log: log}),
		})
		runner := job.NewRunner(d, clock.System{}, log)
		w.life.Handle(runner)
		w.directory.Handle(runner)
		ctx, cancel := context.WithCancel(w.ctx)
		var ended sync.WaitGroup
		ended.Go(func() { _ = runner.Run(ctx) })
		defer ended.Wait()
		defer cancel()
		w.org, err = w.life.Create(w.ctx, admin, organization.Request{Alias: "acme"})
		w.ok(err)
		synctest.Wait()
		_, err = w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "ann", DisplayName: "ann"})
		w.ok(err)
		w.ok(w.life.Register(w.ctx, admin, w.org, "ann", "ann@acme.awsapps.com"))
		u, err := w.directory.DescribeUser(w.ctx, admin, w.org, "ann")
		w.ok(err)
		w.ann = mailbox.ID(u.Mailbox)
		fn(w)
		w.check(0)
	})
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// check looks for contradictions, of which there should be so many.
func (w *world) check(want int) {
	w.t.Helper()
	var faults []string
	w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		faults, err = w.Check(ctx, tx)
		return err
	}))
	found, err := w.mailboxes.Check(w.ctx)
	w.ok(err)
	if faults = append(faults, found...); len(faults) != want {
		w.t.Errorf("check: %q", faults)
	}
}

// origin is a source that a test makes up: folders of messages by UID.
type origin struct {
	*world
	folders map[string]*originFolder
}

type originFolder struct {
	use      string
	validity uint32
	mail     map[uint32]originMail
}

type originMail struct {
	text  string
	flags []string
}

var received = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)

func (m originMail) identity() int64 {
	return migration.Identity([]byte(m.text), int64(len(m.text)), received)
}

func (w *world) origin() *origin { return &origin{w, map[string]*originFolder{}} }

// mail is a message with an id.
func mail(id string, flags ...string) originMail {
	return originMail{"Message-ID: <" + id + ">\r\nSubject: " + id + "\r\n\r\ntext\r\n", flags}
}

// folder makes a folder with messages, whose UIDs begin with 1.
func (o *origin) folder(name string, mails ...originMail) *originFolder {
	f := &originFolder{validity: uint32(100 + len(o.folders)), mail: map[uint32]originMail{}}
	for i, m := range mails {
		f.mail[uint32(i+1)] = m
	}
	o.folders[name] = f
	return f
}

func (o *origin) plan() migration.MailPlanned {
	o.t.Helper()
	p, err := o.Plan(o.ctx, operator, migration.MailPlan{Mailbox: int64(o.ann), Source: source, Folders: o.list()})
	o.ok(err)
	return p
}

func (o *origin) list() (list []migration.SourceFolder) {
	for _, name := range o.names() {
		f := o.folders[name]
		list = append(list, migration.SourceFolder{Name: name, Path: strings.Split(name, "."), Use: f.use, UIDValidity: f.validity, Subscribed: true})
	}
	return list
}

func (o *origin) names() (names []string) {
	for name := range o.folders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f *originFolder) uids() (uids []uint32) {
	for u := range f.mail {
		uids = append(uids, u)
	}
	slices.Sort(uids)
	return uids
}

// run imports all there is, and returns what was done.
func (o *origin) run() (sum migration.MailSynced, stored int64) {
	o.t.Helper()
	p := o.plan()
	add := func(s migration.MailSynced) {
		sum.Flagged, sum.Removed, sum.Kept, sum.Dropped = sum.Flagged+s.Flagged, sum.Removed+s.Removed, sum.Kept+s.Kept, append(sum.Dropped, s.Dropped...)
	}
	settle := func(key int64, gone bool) {
		for more := true; more; {
			s, err := o.Settle(o.ctx, operator, migration.MailSettle{Mailbox: int64(o.ann), Key: key, Gone: gone})
			o.ok(err)
			add(s)
			more = s.More
		}
	}
	for i, name := range o.names() {
		f, to := o.folders[name], p.Folders[i]
		if to.Reason != "" {
			continue
		}
		page := migration.MailPage{Mailbox: int64(o.ann), Key: to.Key, First: 1, Last: 1<<32 - 1}
		numbers := migration.MailNumbers{Mailbox: int64(o.ann), Key: to.Key}
		for _, u := range f.uids() {
			page.UIDs = append(page.UIDs, mailbox.UIDRange{First: mailbox.UID(u), Last: mailbox.UID(u)})
			page.Flags = append(page.Flags, migration.SourceFlags{UID: u, Flags: f.mail[u].flags})
			numbers.Messages = append(numbers.Messages, migration.MessageNumber{UID: u, Identity: f.mail[u].identity()})
		}
		page.UIDs = mailbox.NewUIDSet(page.UIDs...)
		if to.Renumbered {
			_, err := o.Renumber(o.ctx, operator, numbers)
			o.ok(err)
			settle(to.Key, false)
		}
		s, err := o.Sync(o.ctx, operator, page)
		o.ok(err)
		add(s)
		stored += o.deliver(to.Key, f, s.Wanted).Messages
		_, err = o.Passed(o.ctx, operator, migration.MailPassed{Mailbox: int64(o.ann), Key: to.Key, UIDNext: 1000, ModSeq: 7})
		o.ok(err)
	}
	for _, g := range p.Gone {
		settle(g.Key, true)
	}
	return sum, stored
}

func (o *origin) deliver(key int64, f *originFolder, wanted mailbox.UIDSet) migration.MailTaken {
	o.t.Helper()
	if len(wanted) == 0 {
		return migration.MailTaken{}
	}
	b := migration.MailBatch{Mailbox: int64(o.ann), Key: key}
	var body bytes.Buffer
	for u := range wanted.All() {
		m := f.mail[uint32(u)]
		b.Messages = append(b.Messages, migration.MessageHead{UID: uint32(u), Size: int64(len(m.text)), Flags: m.flags, Received: received, Identity: m.identity()})
		body.WriteString(m.text)
	}
	taken, err := o.Deliver(o.ctx, operator, b, &body)
	o.ok(err)
	return taken
}

// show writes down what is here: "folder: subject flags…" for each message, in the folders' and UIDs' order.
func (w *world) show() string {
	w.t.Helper()
	list, err := w.mailboxes.Folders(w.ctx, w.ann)
	w.ok(err)
	words, err := w.mailboxes.Keywords(w.ctx, w.ann)
	w.ok(err)
	var b strings.Builder
	for _, f := range list.Folders {
		for it, err := range w.mailboxes.Fetch(w.ctx, w.ann, f.ID, mailbox.AllUIDs(), mailbox.WantBody, 0) {
			w.ok(err)
			c, err := w.mailboxes.Open(w.ctx, it)
			w.ok(err)
			text, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
			w.ok(err)
			w.ok(c.Close())
			_, subject, _ := strings.Cut(string(text), "Subject: ")
			subject, _, _ = strings.Cut(subject, "\r\n")
			fmt.Fprintf(&b, "%s: %s", f.Path, subject)
			for i, name := range []string{"seen", "answered", "flagged", "deleted", "draft"} {
				if it.Flags&(1<<i) != 0 {
					b.WriteString(" " + name)
				}
			}
			for _, k := range words.Names(it.Flags) {
				b.WriteString(" " + k)
			}
			b.WriteByte('\n')
			if !it.Received.Equal(received) {
				w.t.Errorf("%s was received at %v", subject, it.Received)
			}
		}
	}
	return b.String()
}

func (w *world) want(lines ...string) {
	w.t.Helper()
	want := ""
	for _, l := range lines {
		want += l + "\n"
	}
	if got := w.show(); got != want {
		w.t.Errorf("here is\n%swant\n%s", got, want)
	}
}

// blobs keeps large bodies in memory.
type blobs struct {
	mu sync.Mutex
	m  map[string][]byte // guarded by mu
}

func (b *blobs) Put(_ context.Context, key string, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[key] = data
	return int64(len(data)), err
}

func (b *blobs) Open(_ context.Context, key string) (mailbox.Blob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return inMemory{bytes.NewReader(b.m[key])}, nil
}

func (b *blobs) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
	return nil
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }
