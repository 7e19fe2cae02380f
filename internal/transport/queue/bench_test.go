package queue

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// counting is a courier that takes everything at once and closes all after so many.
type counting struct {
	left atomic.Int64
	all  chan struct{}
}

func newCounting(n int) *counting {
	c := &counting{all: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *counting) Deliver(_ context.Context, _ Destination, m *Message) []Outcome {
	out := make([]Outcome, len(m.Recipients))
	for i := range out {
		out[i].Result = Delivered
		if c.left.Add(-1) == 0 {
			close(c.all)
		}
	}
	return out
}

// BenchmarkDrain measures how fast a queue of 4 KB messages runs empty where other servers take no time, with syncs.
func BenchmarkDrain(b *testing.B) {
	for name, o := range map[string]db.Options{"sqlite": {Path: filepath.Join(b.TempDir(), "x.db")}, "postgres": {URL: dbtest.PostgresURL(b, Migrations())}} {
		o.Migrations = Migrations()
		d, err := db.Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		for _, destinations := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/destinations=%d", name, destinations), func(b *testing.B) {
				c := newCounting(b.N)
				q := New(Options{DB: d, Clock: clock.System{}, Courier: c})
				body := make([]byte, 4096)
				for sent := 0; sent < b.N; {
					n := min(b.N-sent, 200)
					err := d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) error {
						for i := range n {
							list := to(fmt.Sprintf("ann@d%d.example", (sent+i)%destinations))
							if _, err := q.EnqueueTx(ctx, tx, &Prepared{queue: q, data: body, size: 4096}, Envelope{Organization: 1}, list); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
					sent += n
				}
				ctx, stop := context.WithCancel(b.Context())
				b.ResetTimer()
				ended := make(chan error)
				go func() { ended <- q.Run(ctx) }()
				<-c.all
				stop()
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEnqueue measures how fast 16 at a time queue 4 KB messages of one organisation, with syncs.
func BenchmarkEnqueue(b *testing.B) {
	for name, o := range map[string]db.Options{"sqlite": {Path: filepath.Join(b.TempDir(), "x.db")}, "postgres": {URL: dbtest.PostgresURL(b, Migrations())}} {
		b.Run(name, func(b *testing.B) {
			o.Migrations = Migrations()
			d, err := db.Open(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			q := New(Options{DB: d, Clock: clock.System{}, Limits: Limits{OrganizationMessages: 1 << 40, OrganizationBytes: 1 << 40}})
			body := make([]byte, 4096)
			var n atomic.Int64
			b.SetParallelism(16 / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					list := to(fmt.Sprintf("ann@d%d.example", n.Add(1)%100))
					err := d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) error {
						_, err := q.EnqueueTx(ctx, tx, &Prepared{queue: q, data: body, size: 4096}, Envelope{Organization: 1}, list)
						return err
					})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			if err := d.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// A million messages, made in the tables: number i has the keys i and goes to destination i % the number of those.
var millionTexts = []string{
	`INSERT INTO queue_destination (id, route, domain, org, due, not_before, failures, status, reply, host)
		WITH RECURSIVE n (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT i, '', 'd' || i || '.example', i % 50, 1, 0, 0, '', '', '' FROM n`,
	`INSERT INTO queue_message (id, org, trace, sender, envid, ret, needs, about, queued, size, ref, pending)
		WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
		SELECT i, i % $1 % 50, 't' || i, 'ann@here.example', '', 0, 0, CAST('' AS BLOB), 1, 100, '', 1 FROM n`,
	`INSERT INTO queue_body (message, data) SELECT id, CAST('` + fmt.Sprintf("%0100d", 0) + `' AS BLOB) FROM queue_message`,
	`INSERT INTO queue_delivery (id, message, destination, state, due, alarm, expires, attempts, tried, recipient, original, notify, status, reply, host, tls)
		SELECT id, id, id % $1, 0, 1, 9000000000000000, 9000000000000000, 0, 0, 'u' || id || '@x.example', '', 0, '', '', '', '' FROM queue_message`,
	`INSERT INTO queue_usage (org, part, messages, bytes) SELECT org, id % 64, COUNT(*), SUM(size) FROM queue_message GROUP BY org, id % 64`,
}

// BenchmarkMillion measures how long a queue of 1,000,000 messages takes from being opened to its hundredth delivery, and the memory of
// that.
func BenchmarkMillion(b *testing.B) {
	for _, destinations := range []int{1, 100_000} {
		for name, o := range map[string]db.Options{"sqlite": {Path: filepath.Join(b.TempDir(), "x.db")}, "postgres": {URL: dbtest.PostgresURL(b, Migrations())}} {
			b.Run(fmt.Sprintf("%s/destinations=%d", name, destinations), func(b *testing.B) {
				o.Migrations = Migrations()
				makeMillion(b, o, int64(destinations))
				for b.Loop() {
					startMillion(b, o)
				}
			})
		}
	}
}

func makeMillion(b *testing.B, o db.Options, destinations int64) {
	b.Helper()
	o.NoSync = true
	d, err := db.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	for i, text := range millionTexts {
		args := []any{destinations}
		switch i {
		case 0:
			args = []any{destinations - 1}
		case 2, 4:
			args = nil
		}
		if d.Engine() == db.PostgreSQL {
			text = strings.ReplaceAll(text, "BLOB", "BYTEA")
		}
		err := d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, text, args...)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}

func startMillion(b *testing.B, o db.Options) {
	b.Helper()
	before := heap()
	began := time.Now()
	d, err := db.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	c := newCounting(100)
	q := New(Options{DB: d, Clock: clock.System{}, Courier: c})
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()
	<-c.all
	b.ReportMetric(time.Since(began).Seconds()*1000, "ms-to-100")
	b.ReportMetric(float64(heap()-before)/1e6, "MB-heap")
	asked := time.Now()
	if waiting, _, _, err := q.Depth(b.Context()); err != nil || waiting < 900_000 {
		b.Errorf("%d wait, %v", waiting, err)
	}
	b.ReportMetric(time.Since(asked).Seconds()*1000, "ms-depth")
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}

// heap is what is in use, after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
