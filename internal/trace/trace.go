// Package trace tells an OpenTelemetry collector of the way of each message: spans by OTLP/HTTP in its JSON encoding, under the trace id that
// logs, events and the queue know the message by. A nil Tracer is one that is off, and costs nothing.
package trace

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/otlp"
)

const (
	maxWaiting = 8192 // spans; further ones are dropped
	batch      = 512  // spans in one request
	linger     = 2 * time.Second
	maxLinger  = 2 * time.Minute  // where the collector can't take them
	patience   = 10 * time.Second // bounds one request
	farewell   = 5 * time.Second  // bounds all of them when the server stops
	maxAnswer  = 64 << 10
)

// Options are what a Tracer needs.
type Options struct {
	URL     string // of the collector's traces: http://127.0.0.1:4318/v1/traces
	Headers http.Header
	Client  *http.Client
	Clock   clock.Clock
	Log     *slog.Logger
	// Service, Version and Host name the server: service.name, service.version, host.name.
	Service, Version, Host string
	// Farewell bounds what is still sent when the server stops; 0 means 5 seconds.
	Farewell time.Duration
}

// Tracer collects spans, and sends them. It is safe for concurrent use.
type Tracer struct {
	o Options

	mu      sync.Mutex
	waiting []span // guarded by mu
	bell    chan struct{}

	sent, dropped atomic.Uint64
}

// New returns a Tracer; Run sends what it collects.
func New(o Options) *Tracer {
	o.Farewell = cmp.Or(o.Farewell, farewell)
	return &Tracer{o: o, bell: make(chan struct{}, 1)}
}

// Kind is OpenTelemetry's SpanKind.
type Kind int

// The kinds that are used.
const (
	Internal Kind = 1
	Server   Kind = 2 // somebody asked for it
	Client   Kind = 3 // it asks somebody
)

// Attribute says something of a span: a text, a number, a truth. No address and no word of a message belongs there.
type Attribute struct {
	Key   string
	Value any // string, int, int64 or bool
}

// Way is the span of a message's arrival, which is the parent of all others of its trace, also of those that a server tells of after a restart.
func (t *Tracer) Way(trace string, start time.Time, kind Kind, err error, about ...Attribute) {
	if t != nil {
		t.add(span{Name: "receive", SpanID: rootOf(trace), Kind: kind}, trace, start, err, about)
	}
}

// Step is a span of what is done with a message on its way, from start until now. err is why it failed, nil where it did not.
func (t *Tracer) Step(trace, name string, start time.Time, kind Kind, err error, about ...Attribute) {
	if t != nil {
		var id [8]byte
		for i, n := 0, rand.Uint64()|1; i < len(id); i, n = i+1, n>>8 {
			id[i] = byte(n)
		}
		t.add(span{Name: name, SpanID: hex.EncodeToString(id[:]), ParentSpanID: rootOf(trace), Kind: kind}, trace, start, err, about)
	}
}

func (t *Tracer) add(s span, trace string, start time.Time, err error, about []Attribute) {
	s.TraceID = ID(trace)
	end := t.o.Clock.Now()
	if end.Before(start) {
		end = start
	}
	s.Start, s.End = otlp.Nanos(start), otlp.Nanos(end)
	for _, a := range about {
		s.Attributes = append(s.Attributes, otlp.Attribute{Key: a.Key, Value: otlp.Of(a.Value)})
	}
	if err != nil {
		s.Status = &status{Code: 2} // its words may name addresses: they are in the log
	}
	t.mu.Lock()
	full := len(t.waiting) >= maxWaiting
	if !full {
		t.waiting = append(t.waiting, s)
	}
	due := len(t.waiting) >= batch
	t.mu.Unlock()
	if full {
		t.dropped.Add(1)
	}
	if due {
		select {
		case t.bell <- struct{}{}:
		default:
		}
	}
}

// ID is the trace id that OpenTelemetry knows a message by: its own, which is a UUID, without the hyphens.
func ID(trace string) string {
	id := strings.ReplaceAll(trace, "-", "")
	if b, err := hex.DecodeString(id); err == nil && len(b) == 16 && !bytes.Equal(b, make([]byte, 16)) {
		return strings.ToLower(id)
	}
	sum := sha256.Sum256([]byte(trace))
	return hex.EncodeToString(sum[:16])
}

// rootOf is the id of the first span of a trace.
func rootOf(trace string) string {
	sum := sha256.Sum256([]byte("receive " + trace))
	return hex.EncodeToString(sum[:8])
}

// Stats returns how many spans were sent and dropped since the start.
func (t *Tracer) Stats() (sent, dropped uint64) { return t.sent.Load(), t.dropped.Load() }

// Run sends spans until ctx ends, and then what is left, for a few seconds at most. On a nil Tracer it returns at once.
func (t *Tracer) Run(ctx context.Context) error {
	if t == nil {
		return nil
	}
	// A request under way is not broken off by the end: the collector may have it, and would get it twice.
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(t.o.Farewell, cancel) })()
	var told time.Time
	pause := time.Duration(0) // since the collector could not take them
	for ctx.Err() == nil {
		if pause > 0 {
			_ = t.o.Clock.Sleep(ctx, pause) // spans that come meanwhile change nothing
		} else {
			clock.Rest(ctx, t.o.Clock, t.bell, linger)
		}
		err := t.flush(grace)
		pause = after(pause, err)
		if err != nil && ctx.Err() == nil {
			if now := t.o.Clock.Now(); now.Sub(told) >= time.Minute {
				told = now
				t.o.Log.WarnContext(ctx, "traces can't be sent", "error", err)
			}
		}
	}
	if err := t.flush(grace); err != nil {
		t.o.Log.WarnContext(grace, "the last traces can't be sent", "error", err)
	}
	return nil
}

// flush sends all that waits. What the collector may take later stays.
func (t *Tracer) flush(ctx context.Context) error {
	for {
		t.mu.Lock()
		list := slices.Clone(t.waiting[:min(len(t.waiting), batch)])
		t.mu.Unlock()
		if len(list) == 0 {
			return nil
		}
		err := t.send(ctx, list)
		if errors.Is(err, errLater) {
			return err
		}
		t.mu.Lock()
		t.waiting = slices.Delete(t.waiting, 0, len(list))
		t.mu.Unlock()
		if err != nil {
			t.dropped.Add(uint64(len(list)))
			return err
		}
		t.sent.Add(uint64(len(list)))
	}
}

// errLater is of failures that may pass.
var errLater = errors.New("it will be tried again")

// busy is an errLater of a collector that says when.
type busy struct {
	error
	wait time.Duration
}

func (b busy) Unwrap() error { return b.error }

// after is how long to wait behind a flush: twice as long as before, or as the collector asks, within bounds.
func after(pause time.Duration, err error) time.Duration {
	if !errors.Is(err, errLater) {
		return 0
	}
	var b busy
	if errors.As(err, &b); b.wait > 0 {
		return min(max(b.wait, linger), maxLinger)
	}
	return min(max(2*pause, linger), maxLinger)
}

// send posts spans (OTLP/HTTP, "Failures": 429, 502, 503 and 504 may pass).
func (t *Tracer) send(ctx context.Context, list []span) error {
	from := otlp.Resource{Attributes: []otlp.Attribute{
		{Key: "service.name", Value: otlp.Of(t.o.Service)}, {Key: "service.version", Value: otlp.Of(t.o.Version)}, {Key: "host.name", Value: otlp.Of(t.o.Host)},
	}}
	body, err := json.Marshal(request{[]resourceSpans{{from, []scopeSpans{{otlp.Pennypost(), list}}}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.o.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range t.o.Headers {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := t.o.Client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // the connection can be used again then
	switch {
	case answer.StatusCode/100 == 2:
		return nil
	case slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, answer.StatusCode):
		seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16) // 0 for none, and for a date
		return busy{fmt.Errorf("%w: the collector answers %s", errLater, answer.Status), time.Duration(seconds) * time.Second}
	}
	return fmt.Errorf("the collector answers %s", answer.Status)
}

// The messages of opentelemetry/proto/trace/v1/trace.proto as far as they are sent. Its ids are hex in JSON.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   otlp.Resource `json:"resource"`
		ScopeSpans []scopeSpans  `json:"scopeSpans"`
	}
	scopeSpans struct {
		Scope otlp.Scope `json:"scope"`
		Spans []span     `json:"spans"`
	}
	span struct {
		TraceID      string           `json:"traceId"`
		SpanID       string           `json:"spanId"`
		ParentSpanID string           `json:"parentSpanId,omitempty"`
		Name         string           `json:"name"`
		Kind         Kind             `json:"kind"`
		Start        string           `json:"startTimeUnixNano"`
		End          string           `json:"endTimeUnixNano"`
		Attributes   []otlp.Attribute `json:"attributes,omitempty"`
		Status       *status          `json:"status,omitempty"`
	}
	status struct {
		Code int `json:"code"`
	}
)
