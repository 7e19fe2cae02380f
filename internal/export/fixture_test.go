package export_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

var admin = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST", Name: "test", Protocol: "API"}

func migrations() []db.Migration {
	return slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), availability.Migrations(), identity.Migrations(), mailbox.Migrations(), export.Migrations())
}

const (
	part = 64 << 10
	role = "arn:aws:iam::111122223333:role/Export"
	key  = "arn:aws:kms:eu-west-1:111122223333:key/1"
)

// world is a core with a bucket, in a bubble that knows when all wait.
type world struct {
	*export.Service
	t         testing.TB
	ctx       context.Context
	db        *db.DB
	log       *slog.Logger
	dir       string // of parts
	files     string // the bucket "files"
	bucket    *export.MemoryBucket
	more      map[string]export.Bucket // beside "files" and "memory"
	directory *directory.Service
	policy    *policy.Service
	mailboxes *mailbox.Store
	life      *organization.Service
	audit     *audit.Log
	feed      *feed.Feed
	blobs     *blobs
	org       directory.OrgID
	ann       mailbox.ID
	stopJobs  func()
}

func inBoth(t *testing.T, fn func(w *world)) {
	t.Helper()
	dbtest.Bubble(t, migrations(), func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		defer func() { w.stopJobs() }()
		w.begin()
		fn(w)
		w.check()
	})
}

func newWorld(t testing.TB, d *db.DB) *world {
	w := &world{
		t: t, ctx: t.Context(), db: d, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
		dir: filepath.Join(t.TempDir(), "exports"), files: t.TempDir(), bucket: &export.MemoryBucket{}, blobs: &blobs{m: map[string][]byte{}},
	}
	notices := feed.New()
	w.feed = notices
	w.audit = audit.New(d, clock.System{}, audit.Config{})
	w.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: w.audit, Clock: clock.System{}, Feed: notices, Log: w.log})
	w.policy = policy.New(w.directory, clock.System{})
	w.mailboxes = mailbox.New(mailbox.Options{DB: d, Blobs: w.blobs, Feed: notices, Clock: clock.System{}, Log: w.log})
	w.restart()
	return w
}

// restart makes a new service and lets it work, as after a crash.
func (w *world) restart() {
	w.t.Helper()
	w.restartWith(part)
}

func (w *world) restartWith(partSize int64) {
	w.t.Helper()
	var err error
	buckets := map[string]export.Bucket{"files": {URL: "file://" + w.files}}
	maps.Copy(buckets, w.more)
	w.Service, err = export.New(export.Config{
		DB: w.db, Directory: w.directory, Mailboxes: w.mailboxes, Clock: clock.System{}, Log: w.log, Dir: w.dir, PartSize: partSize,
		Buckets: buckets, Dialer: dial.New(nil, nil),
	})
	w.ok(err)
	if partSize > 0 {
		w.UseBucket("memory", w.bucket)
	}
	w.life = organization.New(organization.Config{
		DB: w.db, Directory: w.directory, Policy: w.policy, Mailboxes: w.mailboxes, Exports: w.Service, Audit: w.audit, Clock: clock.System{}, Log: w.log,
	})
	w.runJobs()
}

func (w *world) runJobs() {
	runner := job.NewRunner(w.db, clock.System{}, w.log)
	w.life.Handle(runner)
	w.directory.Handle(runner)
	w.Handle(runner)
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	w.stopJobs = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the job runner: %v", err)
		}
	})
}

// begin makes an organisation with an enabled user, ann.
func (w *world) begin() {
	w.t.Helper()
	var err error
	w.org, err = w.life.Create(w.ctx, admin, organization.Request{Alias: "acme"})
	w.ok(err)
	synctest.Wait()
	w.ann = w.user("ann")
}

func (w *world) user(name string) mailbox.ID {
	w.t.Helper()
	_, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: name, DisplayName: name})
	w.ok(err)
	w.ok(w.life.Register(w.ctx, admin, w.org, name, name+"@acme.awsapps.com"))
	u, err := w.directory.DescribeUser(w.ctx, admin, w.org, name)
	w.ok(err)
	return mailbox.ID(u.Mailbox)
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) wantFault(err error, kind fault.Kind, subject fault.Subject) {
	w.t.Helper()
	if !fault.Is(err, kind, subject) {
		w.t.Errorf("got %v (%v), want a fault %v of %q", err, fault.KindOf(err), kind, subject)
	}
}

func request(entity, bucket string) export.Request {
	return export.Request{Entity: entity, Description: "all of it", Bucket: bucket, Prefix: "exports/ann", RoleARN: role, KMSKeyARN: key}
}

func (w *world) start(entity, bucket string) string {
	w.t.Helper()
	id, err := w.Start(w.ctx, admin, w.org, request(entity, bucket))
	w.ok(err)
	return id
}

func (w *world) job(id string) *export.Job {
	w.t.Helper()
	j, err := w.Describe(w.ctx, admin, w.org, id)
	w.ok(err)
	return j
}

// until lets (bubble) time pass until a job has the state.
func (w *world) until(id string, state export.State) *export.Job {
	w.t.Helper()
	for range 2000 {
		synctest.Wait()
		if j := w.job(id); j.State == state {
			return j
		}
		w.ok((clock.System{}).Sleep(w.ctx, 30*time.Second))
	}
	w.t.Fatalf("the job never became %v: %+v", state, w.job(id))
	return nil
}

// rest lets time pass while no job runs: a runner looks often.
func (w *world) rest(d time.Duration) {
	w.t.Helper()
	w.stopJobs()
	w.ok((clock.System{}).Sleep(w.ctx, d))
	w.runJobs()
}

// nothingLeft lets the cleaning end, and looks at what it left.
func (w *world) nothingLeft() {
	w.t.Helper()
	for range 100 {
		synctest.Wait()
		if len(w.left()) == 0 {
			return
		}
		w.ok((clock.System{}).Sleep(w.ctx, 30*time.Second))
	}
	w.t.Errorf("left behind: %v", w.left())
}

func (w *world) left() (left []string) {
	entries, err := os.ReadDir(w.dir)
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	for _, table := range []string{"export_chunk", "export_part"} {
		var n int
		w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM `+table).Scan(&n)
		}))
		if n > 0 {
			left = append(left, fmt.Sprint(n, " rows of ", table))
		}
	}
	if n := w.bucket.Uploads(); n > 0 {
		left = append(left, fmt.Sprint(n, " uploads"))
	}
	return left
}

func (w *world) check() {
	w.t.Helper()
	w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, check := range []func(context.Context, *db.Tx) ([]string, error){w.directory.Check, w.life.Check, w.Service.Check} {
			faults, err := check(ctx, tx)
			if err != nil {
				return err
			}
			for _, f := range faults {
				w.t.Errorf("after the test: %s", f)
			}
		}
		return nil
	}))
}

// deliver puts a message of about a size into a folder. What is random can't be packed.
func (w *world) deliver(m mailbox.ID, f mailbox.FolderID, name string, size int, random bool, flags mailbox.Flags) mailbox.ItemID {
	w.t.Helper()
	text := bytes.Repeat([]byte("abcdefgh\r\n"), size/10+1)[:size]
	if random {
		c := rand.NewChaCha8(sha(name))
		_, _ = c.Read(text)
	}
	data := append([]byte("Subject: "+name+"\r\n\r\n"), text...)
	stored, err := w.mailboxes.Deliver(w.ctx, mailbox.Message{Source: mailbox.Source{Bytes: data}}, mailbox.Target{
		Mailbox: m, Folder: f, Flags: flags, Prefix: []byte("Delivered-To: " + name + "\r\n"), Received: time.Date(2020, 1, 2, 3, 4, 5, 678000, time.UTC),
	})
	w.ok(err)
	return stored[0].ID
}

func sha(name string) (seed [32]byte) { copy(seed[:], name); return seed }

func (w *world) mkdir(path string) mailbox.FolderID {
	w.t.Helper()
	f, err := w.mailboxes.CreateFolder(w.ctx, w.ann, path, mailbox.Mail, mailbox.NoUse)
	w.ok(err)
	return f.ID
}

// zipped is what a reader of the format that knows nothing of the package makes of a zip.
type zipped struct {
	Head     map[string]any
	Folders  map[int64]map[string]any
	Messages map[int64]message // by item
	Order    []int64
	Log      map[string]string
	Paths    []string // subscriptions
}

type message struct {
	Folder, UID, Item, Size int64
	File, SHA384            string
	Flags, Keywords         []string
	Received, Saved         time.Time
	Missing                 bool
	text                    []byte
}

// read reads a zip by Go's own package, and holds it to docs/export.md.
func read(t testing.TB, data []byte) *zipped {
	t.Helper()
	return readAt(t, bytes.NewReader(data), int64(len(data)))
}

func readAt(t testing.TB, r io.ReaderAt, size int64) *zipped {
	t.Helper()
	archive, err := zip.NewReader(r, size)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range archive.File {
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if !fs.ValidPath(f.Name) || files[f.Name] != nil {
			t.Errorf("the file name %q", f.Name)
		}
		files[f.Name] = text
	}
	z := &zipped{Folders: map[int64]map[string]any{}, Messages: map[int64]message{}}
	sum := sha512.Sum384(files["manifest.jsonl"])
	if err := json.Unmarshal(files["export.json"], &z.Log); err != nil || z.Log["sha384Hash"] != hex.EncodeToString(sum[:]) {
		t.Errorf("the log %s (%v) isn't of this manifest", files["export.json"], err)
	}
	lines := bufio.NewScanner(bytes.NewReader(files["manifest.jsonl"]))
	total, perFolder := int64(0), map[int64]float64{}
	for lines.Scan() {
		var of struct{ Type string }
		if err := json.Unmarshal(lines.Bytes(), &of); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		var m map[string]any
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		switch of.Type {
		case "export":
			z.Head = m
		case "folder":
			z.Folders[int64(m["id"].(float64))] = m
		case "subscription":
			z.Paths = append(z.Paths, m["path"].(string))
		case "message":
			var msg message
			if err := json.Unmarshal(lines.Bytes(), &msg); err != nil {
				t.Fatal(err)
			}
			if _, twice := z.Messages[msg.Item]; twice {
				t.Errorf("item %d is there twice", msg.Item)
			}
			if !msg.Missing {
				msg.text = files[msg.File]
				sum := sha512.Sum384(msg.text)
				if int64(len(msg.text)) != msg.Size || hex.EncodeToString(sum[:]) != msg.SHA384 {
					t.Errorf("file %q has %d bytes of sum %x: %s", msg.File, len(msg.text), sum, lines.Bytes())
				}
				perFolder[msg.Folder]++
				total += msg.Size
				delete(files, msg.File)
			}
			if z.Folders[msg.Folder] == nil {
				t.Errorf("no folder of %s", lines.Bytes())
			}
			z.Messages[msg.Item] = msg
			z.Order = append(z.Order, msg.Item)
		default:
			t.Errorf("a line of type %q", of.Type)
		}
	}
	if len(files) != 2 {
		t.Errorf("files beside messages, manifest and log: %d", len(files))
	}
	n := 0.0
	for id, f := range z.Folders {
		n += f["messages"].(float64)
		if f["messages"] != perFolder[id] {
			t.Errorf("folder %v has %v messages", f, perFolder[id])
		}
	}
	if z.Head["messages"] != n || z.Head["bytes"] != float64(total) || z.Log["totalMessages"] != fmt.Sprint(n) || z.Log["totalBytes"] != strconv.FormatInt(total, 10) ||
		z.Log["totalFolders"] != fmt.Sprint(len(z.Folders)) {
		t.Errorf("%v messages of %d bytes in %d folders: %v, %v", n, total, len(z.Folders), z.Head, z.Log)
	}
	return z
}

// same compares a zip with the mailbox as it stands, but for the places of messages.
func (w *world) same(id mailbox.ID, z *zipped) {
	w.t.Helper()
	list, err := w.mailboxes.Folders(w.ctx, id)
	w.ok(err)
	keywords, err := w.mailboxes.Keywords(w.ctx, id)
	w.ok(err)
	n := 0
	for i := range list.Folders {
		f := &list.Folders[i]
		if got := z.Folders[int64(f.ID)]; got == nil || got["path"] != f.Path || got["name"] != f.Name || got["parent"] != float64(f.Parent) || got["subscribed"] != f.Subscribed {
			w.t.Errorf("folder %s is %v", f.Path, got)
		}
		for it, err := range w.mailboxes.Fetch(w.ctx, id, f.ID, mailbox.AllUIDs(), mailbox.WantBody, 0) {
			w.ok(err)
			n++
			m, there := z.Messages[int64(it.ID)]
			if !there {
				w.t.Errorf("item %d of %s is not there", it.ID, f.Path)
				continue
			}
			content, err := w.mailboxes.Open(w.ctx, it)
			w.ok(err)
			text := make([]byte, content.Size())
			_, err = content.ReadAt(text, 0)
			if err != io.EOF {
				w.ok(err)
			}
			if !bytes.Equal(text, m.text) || !m.Received.Equal(it.Received) || slices.Contains(m.Flags, `\Seen`) != it.Flags.Has(mailbox.Seen) ||
				!slices.Equal(m.Keywords, append([]string{}, keywords.Names(it.Flags)...)) {
				w.t.Errorf("item %d of %s is %+v", it.ID, f.Path, m)
			}
		}
	}
	if n > len(z.Messages) {
		w.t.Errorf("%d messages are in the zip, and %d in the mailbox", len(z.Messages), n)
	}
}

// zip returns the object of a completed job of the memory bucket.
func (w *world) zip(j *export.Job) *zipped {
	w.t.Helper()
	return read(w.t, w.bucket.Object(j.Path))
}

// blobs keeps large bodies.
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
	if data, ok := b.m[key]; ok {
		return blob{bytes.NewReader(data)}, nil
	}
	return nil, fmt.Errorf("blob %s: %w", key, fs.ErrNotExist)
}

func (b *blobs) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
	return nil
}

func (b *blobs) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.m)
}

type blob struct{ *bytes.Reader }

func (blob) Close() error { return nil }
