package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// fakeSink keeps what it takes; take says what it answers.
type fakeSink struct {
	mu    sync.Mutex
	take  func(records []LogRecord) error
	got   []string
	calls int
}

func (f *fakeSink) Send(_ context.Context, records []LogRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.take != nil {
		if err := f.take(records); err != nil {
			return err
		}
	}
	for _, r := range records {
		f.got = append(f.got, string(r.JSON))
	}
	return nil
}

func (f *fakeSink) set(take func([]LogRecord) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.take = take
}

func (f *fakeSink) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

func (f *fakeSink) tried() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

type shipping struct {
	*Log
	t    *testing.T
	db   *db.DB
	sink *fakeSink
}

// inBubble runs fn with a log of two groups on each engine: "one" to the sink, which also takes m-1's sign-ins, and "stuck".
func inBubble(t *testing.T, fn func(s *shipping)) {
	t.Helper()
	dbtest.Bubble(t, Migrations(), func(t *testing.T, d *db.DB) {
		s := &shipping{t: t, db: d, sink: &fakeSink{}}
		s.Log = New(d, clock.System{}, Config{Groups: map[string]Group{
			"one":   {Sink: s.sink, AuditLogs: []Stream{AuthenticationLogs}, Organizations: []string{"m-1"}},
			"stuck": {Sink: &fakeSink{take: func([]LogRecord) error { return errors.New("down") }}},
		}, OrganizationARN: func(_ context.Context, id string) (string, error) { return "arn:" + id, nil }})
		fn(s)
	})
}

func (s *shipping) emit(group string, events ...any) {
	s.t.Helper()
	err := s.db.Write(s.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return s.EmitTx(ctx, tx, group, EmailEvents, "m-1", events...)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// running runs the log while fn runs.
func (s *shipping) running(fn func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	fn()
	cancel()
	if err := <-ended; err != nil {
		s.t.Error(err)
	}
}

func (s *shipping) state(name string) GroupState {
	for _, g := range s.Groups() {
		if g.Name == name {
			return g
		}
	}
	s.t.Fatalf("no group %s", name)
	return GroupState{}
}

type event struct {
	N int `json:"n"`
}

func (s *shipping) want(lines ...string) {
	s.t.Helper()
	synctest.Wait()
	if got := s.sink.all(); !slices.Equal(got, lines) {
		s.t.Errorf("the sink got %q, want %q", got, lines)
	}
}

func TestRecordsReachTheirSink(t *testing.T) {
	inBubble(t, func(s *shipping) {
		s.emit("one", event{1}, event{2}) // before the start
		s.emit("stuck", event{9})
		s.emit("unknown", event{10})
		one, two := `{"organizationArn":"arn:m-1","n":1}`, `{"organizationArn":"arn:m-1","n":2}`
		s.running(func() {
			s.want(one, two)
			s.emit("one", event{1})
			s.want(one, two, one)
			undone := errors.New("undone")
			err := s.db.Write(s.t.Context(), func(ctx context.Context, tx *db.Tx) error {
				return errors.Join(s.EmitTx(ctx, tx, "one", EmailEvents, "m-1", event{3}), undone)
			})
			if !errors.Is(err, undone) {
				s.t.Fatal(err)
			}
			s.want(one, two, one)
			s.Access(AuthenticationLogs, "m-1", event{4})
			s.Access(AuthenticationLogs, "m-2", event{5})
			s.Access(AuthenticationLogs, "", event{6})
			s.Access(MailboxAccessLogs, "m-1", event{7})
			s.want(one, two, one, `{"organization_arn":"arn:m-1","n":4}`)
		})
		if g := s.state("one"); g.Waiting != 0 || g.Sent != 4 || g.Lost != 0 {
			s.t.Errorf("the group is %+v", g)
		}
		if g := s.state("stuck"); g.Waiting == 0 || g.Sent != 0 {
			s.t.Errorf("the group that hangs is %+v", g)
		}
	})
}

// TestASinkThatIsDown holds that nothing is lost meanwhile, and that all comes when it is back.
func TestASinkThatIsDown(t *testing.T) {
	inBubble(t, func(s *shipping) {
		s.sink.set(func([]LogRecord) error { return errors.New("full") })
		s.running(func() {
			s.emit("one", event{1})
			for range 6 {
				synctest.Wait()
				_ = clock.System{}.Sleep(s.t.Context(), lastRetry)
			}
			if n := s.sink.tried(); n < 8 || n > 20 {
				s.t.Errorf("tried %d times in six minutes", n)
			}
		})
		s.sink.set(nil)
		s.running(func() { s.want(`{"organizationArn":"arn:m-1","n":1}`) })
	})
}

// hangingSink answers nothing until it is released, and then takes what comes.
type hangingSink struct {
	fakeSink
	released chan struct{}
	tries    atomic.Int64
}

// Send waits.
func (h *hangingSink) Send(ctx context.Context, records []LogRecord) error {
	h.tries.Add(1)
	select {
	case <-h.released:
		return h.fakeSink.Send(ctx, records)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestASinkThatHangs holds that it is given up after its time, that meanwhile what is told is stored and another log group gets its
// records, and that nothing is lost.
func TestASinkThatHangs(t *testing.T) {
	dbtest.Bubble(t, Migrations(), func(t *testing.T, d *db.DB) {
		hangs := &hangingSink{released: make(chan struct{})}
		s := &shipping{t: t, db: d, sink: &fakeSink{}}
		s.Log = New(d, clock.System{}, Config{Groups: map[string]Group{"one": {Sink: s.sink}, "hangs": {Sink: hangs}}})
		s.running(func() {
			for i := range 3 {
				s.emit("hangs", event{i})
				s.emit("one", event{i})
				synctest.Wait()
				if n := len(s.sink.all()); n != i+1 {
					t.Errorf("beside a group that hangs %d of %d records are taken", n, i+1)
				}
				_ = clock.System{}.Sleep(t.Context(), 2*sendTimeout)
			}
			if n := hangs.tries.Load(); n < 3 || n > 10 {
				t.Errorf("a sink that hangs was tried %d times in three minutes", n)
			}
			close(hangs.released)
			_ = clock.System{}.Sleep(t.Context(), 2*lastRetry)
			synctest.Wait()
		})
		if got := hangs.all(); !slices.Equal(got, []string{`{"n":0}`, `{"n":1}`, `{"n":2}`}) {
			t.Errorf("in the end it has %q", got)
		}
		if g := s.state("hangs"); g.Waiting != 0 || g.Lost != 0 || g.Sent != 3 {
			t.Errorf("the group is %+v", g)
		}
	})
}

// TestARecordThatIsRefused holds that one bad record is found and dropped, and holds up no other for long.
func TestARecordThatIsRefused(t *testing.T) {
	inBubble(t, func(s *shipping) {
		s.sink.set(func(records []LogRecord) error {
			for _, r := range records {
				if strings.Contains(string(r.JSON), `"n":3`) {
					return fmt.Errorf("no: %w", ErrRefused)
				}
			}
			return nil
		})
		for i := range 6 {
			s.emit("one", event{i})
		}
		s.running(func() {
			synctest.Wait()
			_ = clock.System{}.Sleep(s.t.Context(), 2*lastRetry)
			synctest.Wait()
		})
		if g := s.state("one"); len(s.sink.all()) != 5 || g.Lost != 1 || g.Waiting != 0 {
			s.t.Errorf("sent %q; the group is %+v", s.sink.all(), g)
		}
		s.sink.set(func([]LogRecord) error { return &Rejected{Records: 1, Why: "too old"} })
		s.emit("one", event{7})
		s.running(synctest.Wait)
		if g := s.state("one"); g.Lost != 2 || g.Waiting != 0 {
			s.t.Errorf("after a rejection the group is %+v", g)
		}
	})
}

func TestTheOldestIsDropped(t *testing.T) {
	inBubble(t, func(s *shipping) {
		for i := range 5 {
			s.emit("one", event{i}, event{i})
		}
		size := s.state("one").Waiting / 5
		if err := s.trim(s.t.Context(), s.groups["one"], 2*size); err != nil {
			s.t.Fatal(err)
		}
		if g := s.state("one"); g.Lost != 6 || g.Waiting != 2*size {
			s.t.Errorf("the group is %+v", g)
		}
		if total, err := s.total(s.t.Context(), "one"); total != 2*size || err != nil {
			s.t.Errorf("%d bytes wait, %v", total, err)
		}
		s.running(synctest.Wait)
		if got := s.sink.all(); len(got) != 4 || !strings.Contains(got[0], `"n":3`) {
			s.t.Errorf("what came is %q", got)
		}
	})
}

// TestWhatWaitsIsKeptAsLongAsTheTrail prunes while a log group is down.
func TestWhatWaitsIsKeptAsLongAsTheTrail(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		now := clock.NewFake(newYear)
		s := &shipping{t: t, db: d, sink: &fakeSink{}}
		s.Log = New(d, now, Config{Groups: map[string]Group{"one": {Sink: s.sink}}, Retention: time.Hour})
		s.emit("one", event{1}, event{2})
		now.Advance(time.Hour)
		s.emit("one", event{3})
		for lost := range 2 {
			if _, err := s.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			if g := s.state("one"); g.Lost != int64(2*lost) {
				t.Errorf("the group is %+v", g)
			}
			now.Advance(time.Second)
		}
		if rows, err := s.waitingRows(t.Context(), "one", 10); err != nil || len(rows) != 1 || string(rows[0].body) != "{\"n\":3}\n" {
			t.Errorf("there wait %v, %v", rows, err)
		}
	})
}

// TestRecordsThatComeTogetherAreSentTogether tells some, one after the other, within the time that the first lingers.
func TestRecordsThatComeTogetherAreSentTogether(t *testing.T) {
	inBubble(t, func(s *shipping) {
		s.linger = time.Second
		s.running(func() {
			synctest.Wait()
			for i := range 3 {
				s.emit("one", event{i})
				s.Access(AuthenticationLogs, "m-1", event{i})
				_ = clock.System{}.Sleep(s.t.Context(), time.Second/5)
			}
			if n := s.sink.tried(); n > 0 {
				s.t.Errorf("sent %d times at once", n)
			}
			_ = clock.System{}.Sleep(s.t.Context(), 3*time.Second)
			synctest.Wait()
			if got, n := s.sink.all(), s.sink.tried(); len(got) != 6 || n > 2 { // what Access kept may come apart
				s.t.Errorf("sent %q in %d requests", got, n)
			}
		})
	})
}

// TestAFullBufferDoesNotLinger: what waits is more than a batch, so that waiting for more would only make the buffer overflow.
func TestAFullBufferDoesNotLinger(t *testing.T) {
	inBubble(t, func(s *shipping) {
		s.linger = time.Second
		for i := range accessBuffer {
			s.Access(AuthenticationLogs, "m-1", event{i})
		}
		s.running(func() {
			_ = clock.System{}.Sleep(s.t.Context(), 5*time.Second)
			synctest.Wait()
			if g := s.state("one"); g.Sent != accessBuffer {
				s.t.Errorf("in five seconds the group is %+v", g)
			}
		})
	})
}

// TestRowsAreRemovedOnce: Prune drops what waited too long while it is being sent.
func TestRowsAreRemovedOnce(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		s := &shipping{t: t, db: d, sink: &fakeSink{}}
		s.Log = New(d, clock.NewFake(newYear), Config{Groups: map[string]Group{"one": {Sink: s.sink}}, Retention: time.Hour})
		s.emit("one", event{1}, event{2})
		g := s.groups["one"]
		rows, err := s.waitingRows(t.Context(), "one", 10)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%v, %v", rows, err)
		}
		for want := 1; want >= 0; want-- {
			gone, err := s.removeRows(t.Context(), g, rows)
			if err != nil || len(gone) != want || g.waiting.Load() != 0 {
				t.Errorf("%d of a row went, not %d, and %d bytes wait: %v", len(gone), want, g.waiting.Load(), err)
			}
		}
	})
}

// TestNobodyWaitsForTheAccessLog tells more than is taken.
func TestNobodyWaitsForTheAccessLog(t *testing.T) {
	inBubble(t, func(s *shipping) {
		for i := range accessBuffer + 3 {
			s.Access(AuthenticationLogs, "m-1", event{i})
		}
		s.running(synctest.Wait)
		if g := s.state("one"); g.Lost != 3 || g.Sent != accessBuffer {
			s.t.Errorf("the group is %+v", g)
		}
	})
}
