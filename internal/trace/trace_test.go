package trace

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pennypost/pennypost/internal/clock"
)

// taker is a collector that reads requests by OpenTelemetry's own messages.
type taker struct {
	*httptest.Server
	mu    sync.Mutex
	got   []*spans.Span // guarded by mu
	fails []int         // the statuses of the next answers
	asked int
}

func newTaker(t *testing.T) *taker {
	k := &taker{}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.asked++
		if len(k.fails) > 0 {
			w.WriteHeader(k.fails[0])
			k.fails = k.fails[1:]
			return
		}
		text, err := io.ReadAll(r.Body)
		var m spans.TracesData
		if err = errors.Join(err, protojson.Unmarshal(text, &m)); err != nil || r.Header.Get("K") != "v" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v, %v: %s", err, r.Header, text)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, rs := range m.ResourceSpans {
			if len(rs.Resource.Attributes) != 3 || rs.Resource.Attributes[0].Value.GetStringValue() != "pennypost" {
				t.Errorf("the resource is %v", rs.Resource)
			}
			for _, ss := range rs.ScopeSpans {
				k.got = append(k.got, ss.Spans...)
			}
		}
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *taker) taken() []*spans.Span {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.got
}

func newTracer(k *taker, c clock.Clock) *Tracer {
	return New(Options{
		URL: k.URL, Headers: http.Header{"K": {"v"}}, Client: k.Client(), Clock: c, Log: slog.New(slog.DiscardHandler), Service: "pennypost", Version: "1", Host: "mail.example",
		Farewell: time.Minute, // a test's patience
	})
}

const message = "6f0e9c1a-3b52-4c2e-9a53-0d6f7f1e2a3b"

// asText is an id as it was sent: in hex, which protojson takes for base64.
func asText(id []byte) string { return base64.StdEncoding.EncodeToString(id) }

// TestSpans sends the way of a message, whose spans are one trace, when the tracer ends.
func TestSpans(t *testing.T) {
	k := newTaker(t)
	c := clock.NewFake(time.Unix(1_800_000_000, 5))
	tr := newTracer(k, c)
	tr.Step(message, "store", c.Now(), Internal, nil, Attribute{"mail.mailboxes", 2}, Attribute{"mail.bytes", int64(3)})
	began := c.Now()
	c.Advance(time.Second)
	tr.Way(message, began, Server, nil, Attribute{"mail.submitted", true}, Attribute{"mail.route", "a\xff"})
	tr.Step(message, "attempt", c.Now(), Client, errors.New("ann@example.com is unknown"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Run(ctx); err != nil {
		t.Fatal(err)
	}
	got := k.taken()
	if len(got) != 3 {
		t.Fatalf("%d spans", len(got))
	}
	root := got[1]
	for i, s := range got {
		if asText(s.TraceId) != "6f0e9c1a3b524c2e9a530d6f7f1e2a3b" || len(asText(s.SpanId)) != 16 || i != 1 && string(s.ParentSpanId) != string(root.SpanId) {
			t.Errorf("%d: %v", i, s)
		}
	}
	if len(root.ParentSpanId) != 0 || root.Name != "receive" || root.Kind != spans.Span_SPAN_KIND_SERVER || root.EndTimeUnixNano-root.StartTimeUnixNano != uint64(time.Second) ||
		!root.Attributes[0].Value.GetBoolValue() || root.Attributes[1].Value.GetStringValue() != "a\uFFFD" || root.Status != nil {
		t.Errorf("the first is %v", root)
	}
	if s := got[0]; s.Attributes[0].Value.GetIntValue() != 2 || s.Attributes[1].Value.GetIntValue() != 3 || s.Kind != spans.Span_SPAN_KIND_INTERNAL || s.Name != "store" {
		t.Errorf("the second is %v", s)
	}
	if s := got[2]; s.Status.Code != spans.Status_STATUS_CODE_ERROR || s.Status.Message != "" || s.Kind != spans.Span_SPAN_KIND_CLIENT {
		t.Errorf("the third is %v", s)
	}
	if sent, dropped := tr.Stats(); sent != 3 || dropped != 0 {
		t.Errorf("%d sent, %d dropped", sent, dropped)
	}
}

// TestCollectorThatFails gets spans again where that may help, and bounds what waits for it.
func TestCollectorThatFails(t *testing.T) {
	k := newTaker(t)
	k.fails = []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadRequest}
	c := clock.NewFake(time.Unix(1_800_000_000, 0))
	tr := newTracer(k, c)
	for range maxWaiting + 10 {
		tr.Step("report", "store", c.Now(), Internal, nil)
	}
	for i, want := range []bool{true, true, false} { // later, later, lost
		if err := tr.flush(t.Context()); errors.Is(err, errLater) != want || err == nil {
			t.Errorf("flush %d: %v", i, err)
		}
	}
	if err := tr.flush(t.Context()); err != nil {
		t.Error(err)
	}
	if sent, dropped := tr.Stats(); sent != maxWaiting-batch || dropped != batch+10 {
		t.Errorf("%d sent, %d dropped", sent, dropped)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	k.Close()
	tr.Step("report", "store", c.Now(), Internal, nil)
	if err := tr.Run(ended); err != nil { // says so, and ends
		t.Error(err)
	}
}

// TestOff does nothing.
func TestOff(t *testing.T) {
	var tr *Tracer
	n := testing.AllocsPerRun(100, func() {
		tr.Way(message, time.Time{}, Server, nil)
		tr.Step(message, "store", time.Time{}, Internal, nil)
	})
	if err := tr.Run(t.Context()); err != nil || n != 0 {
		t.Errorf("%v, %v allocations", err, n)
	}
}

// TestRunsUntilItEnds sends a full batch at once, and the rest at the end.
func TestRunsUntilItEnds(t *testing.T) {
	k := newTaker(t)
	tr := newTracer(k, clock.System{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx) }()
	for range batch {
		tr.Step(message, "store", time.Now(), Internal, nil)
	}
	for len(k.taken()) < batch {
		select {
		case <-t.Context().Done():
			t.Fatal("nothing came")
		case <-time.After(time.Millisecond):
		}
	}
	tr.Step(message, "store", time.Now(), Internal, nil)
	cancel()
	if err := <-ended; err != nil || len(k.taken()) != batch+1 {
		t.Errorf("%v, %d spans", err, len(k.taken()))
	}
}

// sleeper is a clock whose sleep is told, and ended.
type sleeper struct {
	clock.System
	asleep chan time.Duration
	wake   chan struct{}
}

func (s sleeper) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case s.asleep <- d:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.wake:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// TestCollectorThatIsBusy is asked again when its time has come, however many spans wait.
func TestCollectorThatIsBusy(t *testing.T) {
	k := newTaker(t)
	k.fails = []int{http.StatusServiceUnavailable}
	asked := make(chan struct{}, 10)
	of := k.Config.Handler
	k.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { asked <- struct{}{} }()
		w.Header().Set("Retry-After", "60")
		of.ServeHTTP(w, r)
	})
	c := sleeper{clock.System{}, make(chan time.Duration), make(chan struct{})}
	tr := newTracer(k, c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx) }()
	first := <-c.asleep
	for range batch {
		tr.Step(message, "store", c.Now(), Internal, nil)
	}
	<-asked
	tr.Step(message, "store", c.Now(), Internal, nil) // rings
	if second := <-c.asleep; first != linger || second != time.Minute {
		t.Errorf("it rests for %s and %s", first, second)
	}
	c.wake <- struct{}{}
	<-asked
	cancel()
	if err := <-ended; err != nil || len(k.taken()) != batch+1 {
		t.Errorf("%v, %d spans", err, len(k.taken()))
	}
	later, asks := fmt.Errorf("%w: x", errLater), busy{errLater, time.Hour}
	if got := []time.Duration{after(0, later), after(linger, later), after(maxLinger, later), after(0, asks), after(linger, nil)}; !slices.Equal(got, []time.Duration{linger, 2 * linger, maxLinger, maxLinger, 0}) {
		t.Errorf("the pauses are %v", got)
	}
}

// TestCollectorThatHangs holds up the end of the server for no longer than it may.
func TestCollectorThatHangs(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-release }))
	defer s.Close()
	defer close(release)
	tr := New(Options{URL: s.URL, Client: s.Client(), Clock: clock.NewFake(time.Unix(1_800_000_000, 0)), Log: slog.New(slog.DiscardHandler), Farewell: time.Millisecond})
	for range batch {
		tr.Step(message, "store", time.Unix(0, 0), Internal, nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx) }()
	<-asked
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
