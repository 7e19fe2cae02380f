package dayreport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/job"
)

var noon = time.Date(2016, 4, 1, 12, 0, 0, 0, time.UTC)

// fixture reports, to a@ and b@ of domains below "wants", what was counted in words.
type fixture struct {
	t testing.TB
	*Reporter
	clock  *clock.Fake
	sent   chan string
	refuse map[string]bool // addresses
}

func onBoth(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	dbtest.Run(t, slices.Concat(job.Migrations(), Migrations()), func(t *testing.T, d *db.DB) { fn(newFixture(t, d)) })
}

func newFixture(t testing.TB, d *db.DB) *fixture {
	f := &fixture{t: t, clock: clock.NewFake(noon), sent: make(chan string, 100), refuse: map[string]bool{}}
	f.Reporter = New(Options{DB: d, Clock: f.clock, Log: slog.New(slog.DiscardHandler), Kind: "test", Build: f.build, Deliver: f.deliver})
	return f
}

func (f *fixture) build(ctx context.Context, day Day, domain string) (*Report, error) {
	if !strings.HasSuffix(domain, "wants") {
		return nil, nil
	}
	var body []byte
	err := f.Counted(ctx, day, domain, func(policy, detail string, n int64) error {
		body = fmt.Appendf(body, "%s/%s=%d ", policy, detail, n)
		return nil
	})
	if len(body) == 0 {
		return nil, err
	}
	return &Report{Day: day, Domain: domain, ID: "id", To: []string{"a@" + domain, "b@" + domain}, Body: body}, err
}

func (f *fixture) deliver(ctx context.Context, r *Report, to string, done func(context.Context, *db.Tx) error) error {
	if f.refuse[to] {
		return errors.New("refused")
	}
	f.sent <- to + " " + string(r.Body)
	return f.DB.Write(ctx, done)
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) wantRows(counts, reports, jobs int) {
	f.t.Helper()
	rows := func(table string) (n int) {
		f.must(f.DB.Read(f.t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM `+table).Scan(&n)
		}))
		return n
	}
	if c, r, j := rows("day_count"), rows("day_report"), rows("job"); c != counts || r != reports || j != jobs {
		f.t.Errorf("%d counts, %d reports, %d jobs; want %d, %d, %d", c, r, j, counts, reports, jobs)
	}
}

func (f *fixture) wantSent(want ...string) {
	f.t.Helper()
	var got []string
	for len(f.sent) > 0 {
		got = append(got, <-f.sent)
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("sent %q, want %q", got, want)
	}
}

func TestADayIsReportedOnce(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ctx, day := t.Context(), f.Today()
		for _, c := range [][3]string{{"x.wants", "p", "d"}, {"x.wants", "p", "d"}, {"x.wants", "p", "e"}, {"silent", "p", "d"}} {
			f.Count(c[0], c[1], c[2])
		}
		f.must(f.Flush(ctx))
		f.Count("x.wants", "p", "d")
		f.must(f.Flush(ctx))
		f.wantRows(3, 0, 0)
		f.clock.Advance(aDay)
		f.refuse["a@x.wants"] = true
		if err := f.Report(ctx, day, "x.wants"); err == nil {
			t.Error("one was refused")
		}
		f.wantSent("b@x.wants p/d=3 p/e=1 ")
		f.wantRows(1, 1, 0)
		// What is counted late for the day is not reported once more.
		f.waiting[counter{day, "x.wants", "p", "late"}] = 1
		f.must(f.Flush(ctx))
		f.wantRows(2, 1, 0)
		f.refuse = nil
		f.must(f.Report(ctx, day, "x.wants"))
		f.must(f.Report(ctx, day, "x.wants"))
		f.wantSent("a@x.wants p/d=3 p/e=1 ")
		f.must(f.Report(ctx, day, "silent"))
		f.wantSent()
		f.wantRows(0, 0, 0)
	})
}

func TestLateReportsAreGivenUp(t *testing.T) {
	onBoth(t, func(f *fixture) {
		day := f.Today()
		f.refuse["a@a.wants"], f.refuse["b@a.wants"] = true, true
		f.Count("a.wants", "p", "d")
		f.Count("b.wants", "p", "d")
		f.must(f.Flush(t.Context()))
		f.clock.Advance(aDay)
		if err := f.Report(t.Context(), day, "a.wants"); err == nil {
			t.Error("both were refused")
		}
		f.wantRows(1, 1, 0)
		f.clock.Advance(giveUp)
		f.must(f.Report(t.Context(), day, "a.wants"))
		f.must(f.Report(t.Context(), day, "b.wants"))
		f.wantRows(0, 0, 0)
		f.wantSent()
	})
}

func TestDaysAreReportedByJobs(t *testing.T) {
	onBoth(t, func(f *fixture) {
		var spreads []int64
		f.Random = func(n int64) int64 {
			spreads = append(spreads, n)
			return 0
		}
		for i := range batch + 10 {
			f.Count(fmt.Sprintf("%03d.example", i), "p", "d")
		}
		f.Count("a.wants", "p", "d")
		runner := job.NewRunner(f.DB, f.clock, f.Log)
		f.Handle(runner)
		f.must(f.Start(t.Context()))
		f.must(f.Start(t.Context())) // as after a restart
		f.wantRows(0, 0, 1)
		f.must(f.Daily(t.Context())) // the day is not over
		f.wantRows(batch+11, 0, 1)
		f.clock.Advance(13 * time.Hour)
		f.Count("a.wants", "p", "d")
		f.must(f.Daily(t.Context()))
		f.wantRows(batch+12, 0, batch+12)
		if len(spreads) != batch+11 || spreads[0] != int64(spread) {
			t.Errorf("%d reports were spread over %d", len(spreads), spreads[0])
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- runner.Run(ctx) }()
		<-f.sent
		cancel()
		f.must(<-done)
	})
}

func TestRunWritesWhatIsLeft(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		f.Count("a.wants", "p", "d")
		cancel()
		f.must(<-done)
		f.wantRows(1, 0, 0)
	})
}

func TestCountsAreBounded(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.Count("a.wants", "p", "1")
		f.must(f.Flush(t.Context()))
		f.must(f.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO day_count (kind, day, domain, hash, policy, detail, amount)
				WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
				SELECT 'test', day, domain, CAST(i AS TEXT), 'p', CAST(i AS TEXT), 1 FROM day_count, n`, int64(maxRows))
			return err
		}))
		f.wantRows(maxRows, 0, 0)
		for range 2 {
			f.Count("a.wants", "p", "1")
			f.Count("a.wants", "p", "new")
			f.Count("a.wants", "q", "new")
			f.Count("b.wants", "p", "new")
			f.must(f.Flush(t.Context()))
		}
		f.wantRows(maxRows+2, 0, 0)
		made, err := f.build(t.Context(), f.Today(), "a.wants")
		f.must(err)
		if !bytes.HasPrefix(made.Body, []byte("/=4 p/1=3 ")) {
			t.Errorf("counted are %.30s", made.Body)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	f := newFixture(t, nil)
	for i := range maxWaiting + 5 {
		f.Count("a.wants", "p", fmt.Sprint(i))
	}
	f.Count("a.wants", "p", "1")
	if len(f.waiting) != maxWaiting || f.dropped != 5 {
		t.Errorf("%d wait, %d were dropped", len(f.waiting), f.dropped)
	}
}

func TestCountsSurviveAFailure(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.Count("a.wants", "p", "d")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Flush(ctx); err == nil {
			t.Error("written after the end")
		}
		f.Count("a.wants", "p", "d")
		f.must(f.Flush(t.Context()))
		made, err := f.build(t.Context(), f.Today(), "a.wants")
		f.must(err)
		if string(made.Body) != "p/d=2 " {
			t.Errorf("counted are %s", made.Body)
		}
	})
}

// TestTLSReportsOfBefore: what stood in the tables of TLS reports is reported from those of all kinds.
func TestTLSReportsOfBefore(t *testing.T) {
	before := []db.Migration{Migrations()[0], {Version: 5399, Name: "what was there", SQL: `
INSERT INTO tls_session (day, domain, hash, policy, failure, sessions) VALUES (1, 'a.example', 'h', '{}', '', 7);
INSERT INTO tls_report (day, domain, id, rua, body) SELECT 1, 'b.example', 'id', 'mailto:x@b.example', CAST('' AS {{.Blob}});
`}, Migrations()[1]}
	dbtest.Run(t, slices.Concat(job.Migrations(), before), func(t *testing.T, d *db.DB) {
		f := newFixture(t, d)
		f.Kind = "tls"
		var got string
		f.must(f.Counted(t.Context(), 1, "a.example", func(policy, detail string, n int64) error {
			got = fmt.Sprint(policy, detail, n)
			return nil
		}))
		made, err := f.built(t.Context(), 1, "b.example")
		f.must(err)
		if got != "{}7" || made.ID != "id" || made.To[0] != "mailto:x@b.example" {
			t.Errorf("counted are %s, and the report is %+v", got, made)
		}
	})
}
