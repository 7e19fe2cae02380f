package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

// rig is a queue with a courier and a teller that do as the test says. It is used in a bubble, where time jumps.
type rig struct {
	*Queue
	t     testing.TB
	blobs *memoryBlobs
	// outcome says what becomes of a recipient; nil delivers all.
	outcome func(to Destination, m *Message, r Recipient) Outcome
	// tellFails says how often telling fails.
	tellFails int

	mu      sync.Mutex
	offers  []offer
	notices []notice
	stop    func()
}

// offer is one call of the courier.
type offer struct {
	at   time.Time
	to   Destination
	who  []string // recipients
	body string
}

// notice is one call of the teller that was committed.
type notice struct {
	at      time.Time
	to      string
	reports []Report
	body    string
}

func newRig(t testing.TB, d *db.DB, l Limits) *rig {
	t.Helper()
	r := &rig{t: t, blobs: &memoryBlobs{m: map[string][]byte{}}, stop: func() {}}
	r.Queue = New(Options{
		DB: d, Blobs: r.blobs, Clock: clock.System{}, Courier: r, Teller: r, Random: rand.NewPCG(1, 2), Limits: l,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	})
	r.lookEvery = time.Hour
	return r
}

// bubble runs a test on both engines.
func bubble(t *testing.T, l Limits, fn func(t *testing.T, r *rig)) {
	t.Helper()
	dbtest.Bubble(t, Migrations(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, l)
		fn(t, r)
		r.stop()
		r.sound()
	})
}

// start runs the queue until the test ends or stop is called.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
		r.stop = func() {}
	}
}

func (r *rig) Deliver(_ context.Context, to Destination, m *Message) []Outcome {
	body, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
	if err != nil {
		r.t.Errorf("read a body: %v", err)
	}
	o := offer{at: time.Now(), to: to, body: string(body)}
	out := make([]Outcome, len(m.Recipients))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, one := range m.Recipients {
		o.who = append(o.who, one.Address.String())
		out[i] = Outcome{Result: Delivered, Status: "2.0.0", Reply: "250 ok", Host: "mx." + to.Domain}
		if r.outcome != nil {
			out[i] = r.outcome(to, m, one)
		}
	}
	r.offers = append(r.offers, o)
	return out
}

var errNotNow = errors.New("not now")

func (r *rig) Tell(ctx context.Context, n *Notice, done func(context.Context, *db.Tx) error) error {
	body, err := io.ReadAll(io.NewSectionReader(n.Body, 0, n.Size))
	if err != nil {
		return err
	}
	r.mu.Lock()
	fails := r.tellFails > 0
	r.tellFails = max(r.tellFails-1, 0)
	r.mu.Unlock()
	if fails {
		return errNotNow
	}
	if err := r.DB.Write(ctx, done); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices = append(r.notices, notice{time.Now(), n.From.String(), n.Reports, string(body)})
	return nil
}

// pass lets time go on, and everything come to rest.
func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func addr(s string) message.Address {
	return address(s)
}

func to(addresses ...string) (list []Recipient) {
	for _, a := range addresses {
		list = append(list, Recipient{Address: addr(a)})
	}
	return list
}

// send queues a message of organisation 1.
func (r *rig) send(body string, to []Recipient) ID {
	r.t.Helper()
	return r.sendAs(Envelope{Organization: 1, Trace: "t", From: addr("ann@here.example")}, body, to)
}

func (r *rig) sendAs(e Envelope, body string, to []Recipient) (m ID) {
	r.t.Helper()
	p, err := r.Prepare(context.Background(), []byte(body))
	r.ok(err)
	defer p.Discard(context.Background())
	r.ok(r.DB.Write(context.Background(), func(ctx context.Context, tx *db.Tx) (err error) {
		m, err = r.EnqueueTx(ctx, tx, p, e, to)
		return err
	}))
	return m
}

// sound checks the tables.
func (r *rig) sound() {
	r.t.Helper()
	r.ok(r.DB.Read(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		faults, err := r.Check(ctx, tx)
		for _, f := range faults {
			r.t.Error(f)
		}
		return err
	}))
	faults, err := r.CheckBodies(context.Background())
	r.ok(err)
	for _, f := range faults {
		r.t.Error(f)
	}
}

// empty holds that nothing is left but history.
func (r *rig) empty() {
	r.t.Helper()
	for _, table := range []string{"queue_message", "queue_body", "queue_upload", "queue_destination", "queue_delivery", "queue_report", "queue_owed"} {
		if n := r.count(table); n != 0 {
			r.t.Errorf("%d rows are left in %s", n, table)
		}
	}
	if n := len(r.blobs.m); n != 0 {
		r.t.Errorf("%d bodies are left", n)
	}
}

func (r *rig) count(table string) (n int) {
	r.t.Helper()
	r.ok(r.DB.Read(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, "SELECT COUNT(*) FROM "+table).Scan(&n)
	}))
	return n
}

// kinds are those of a trace's events, in order.
func (r *rig) kinds(trace string) string {
	r.t.Helper()
	events, err := r.Trace(context.Background(), 1, trace)
	r.ok(err)
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d ", e.Kind)
	}
	return strings.TrimSpace(b.String())
}

func deferred(o Outcome) Outcome {
	o.Status, o.Reply = "4.2.0", "450 later"
	return o
}

func refused() Outcome { return Outcome{Result: Failed, Status: "5.1.1", Reply: "550 nobody"} }

func down() Outcome { return Outcome{Status: "4.4.1", Reply: "no answer", Down: true} }

// memoryBlobs is mailbox.Blobs in memory.
type memoryBlobs struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (b *memoryBlobs) Put(_ context.Context, key string, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[key] = data
	return int64(len(data)), err
}

func (b *memoryBlobs) Open(_ context.Context, key string) (mailbox.Blob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.m[key]
	if !ok {
		return nil, errors.New("no such body")
	}
	return memoryBlob{bytes.NewReader(data)}, nil
}

func (b *memoryBlobs) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
	return nil
}

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }
