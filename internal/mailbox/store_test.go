package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
)

// rig is a store under test.
type rig struct {
	*Store
	t     testing.TB
	clock *clock.Fake
	blobs *memoryBlobs
}

var testStart = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// newRig makes a store whose consistency is checked when the test ends.
func newRig(t testing.TB, d *db.DB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, clock: clock.NewFake(testStart), blobs: &memoryBlobs{m: map[string][]byte{}}}
	o := Options{DB: d, Blobs: r.blobs, Feed: feed.New(), Clock: r.clock, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	r.Store = New(o)
	t.Cleanup(r.check)
	return r
}

// onBoth runs fn with a store on each engine.
func onBoth(t *testing.T, fn func(t *testing.T, r *rig), change ...func(*Options)) {
	t.Helper()
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) { fn(t, newRig(t, d, change...)) })
}

func (r *rig) check() {
	r.t.Helper()
	faults, err := r.Check(context.Background())
	if err != nil {
		r.t.Errorf("Check: %v", err)
	}
	for _, f := range faults {
		r.t.Errorf("Check: %s", f)
	}
}

const testQuota = 1 << 40

// mailbox makes a mailbox of an entity of organisation 7.
func (r *rig) mailbox(entity string) ID { return r.mailboxOf(Owner{7, entity}, testQuota) }

func (r *rig) mailboxOf(o Owner, quota int64) (id ID) {
	r.t.Helper()
	r.write(func(ctx context.Context, tx *db.Tx) (err error) {
		id, err = r.CreateTx(ctx, tx, o, quota)
		return err
	})
	return id
}

func (r *rig) write(fn func(context.Context, *db.Tx) error) {
	r.t.Helper()
	if err := r.db.Write(context.Background(), fn); err != nil {
		r.t.Fatal(err)
	}
}

// text is a message of a few lines.
func text(body string) Message {
	return Message{
		Source:    Source{Bytes: []byte("Subject: test\r\n\r\n" + body)},
		Envelope:  []byte("envelope of " + body),
		Structure: []byte("structure of " + body),
	}
}

// put delivers a message to one folder.
func (r *rig) put(id ID, f FolderID, body string, flags Flags) Stored {
	r.t.Helper()
	out, err := r.Deliver(context.Background(), text(body), Target{Mailbox: id, Folder: f, Flags: flags})
	if err != nil {
		r.t.Fatalf("Deliver: %v", err)
	}
	return out[0]
}

// folder makes a folder.
func (r *rig) folder(id ID, path string) Folder {
	r.t.Helper()
	f, err := r.CreateFolder(context.Background(), id, path, Mail, NoUse)
	if err != nil {
		r.t.Fatalf("CreateFolder(%q): %v", path, err)
	}
	return f
}

// get reads a folder's row.
func (r *rig) get(id ID, f FolderID) Folder {
	r.t.Helper()
	out, err := r.FolderByID(context.Background(), id, f)
	if err != nil {
		r.t.Fatalf("FolderByID(%d): %v", f, err)
	}
	return out
}

// items reads all items of a folder.
func (r *rig) items(id ID, f FolderID, want Want) (out []Item) {
	r.t.Helper()
	for it, err := range r.Fetch(context.Background(), id, f, AllUIDs(), want, 0) {
		if err != nil {
			r.t.Fatalf("Fetch: %v", err)
		}
		out = append(out, *it)
	}
	return out
}

// bytes reads the message of an item that was fetched WantBody.
func (r *rig) bytes(it *Item) []byte {
	r.t.Helper()
	c, err := r.Open(context.Background(), it)
	if err != nil {
		r.t.Fatalf("Open: %v", err)
	}
	defer c.Close()
	data := make([]byte, c.Size())
	if _, err := c.ReadAt(data, 0); err != nil && err != io.EOF {
		r.t.Fatalf("ReadAt: %v", err)
	}
	if b := c.Bytes(); b != nil && !bytes.Equal(b, data) {
		r.t.Error("Bytes and ReadAt differ")
	}
	return data
}

// wantFault fails the test unless err is a fault of the kind and subject.
func wantFault(t testing.TB, err error, kind fault.Kind, subject fault.Subject) {
	t.Helper()
	if !fault.Is(err, kind, subject) {
		t.Errorf("got error %v, want a fault %v %s", err, kind, subject)
	}
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// memoryBlobs is Blobs in memory. It fails on command.
type memoryBlobs struct {
	mu                sync.Mutex
	m                 map[string][]byte
	failPut, failOpen error
	before            func(verb, key string) // of a Put and a Delete
}

func (b *memoryBlobs) Put(_ context.Context, key string, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	if b.before != nil {
		b.before("put", key)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failPut != nil {
		return 0, b.failPut
	}
	b.m[key] = data
	return int64(len(data)), nil
}

func (b *memoryBlobs) Open(_ context.Context, key string) (Blob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failOpen != nil {
		return nil, b.failOpen
	}
	data, ok := b.m[key]
	if !ok {
		return nil, fmt.Errorf("blob %q: %w", key, fs.ErrNotExist)
	}
	return memoryBlob{bytes.NewReader(data)}, nil
}

func (b *memoryBlobs) Delete(_ context.Context, key string) error {
	if b.before != nil {
		b.before("delete", key)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
	return nil
}

func (b *memoryBlobs) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.m)
}

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }
