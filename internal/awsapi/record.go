package awsapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/principal"
)

// Record is what the audit is told of one request.
type Record struct {
	Time      time.Time
	RequestID string
	// Service is the signing name; Operation is "unknown" where the request names none.
	Service, Operation string
	// Actor is the zero principal with the address while the signature was not good.
	Actor principal.Principal
	// Claim is the access key id that the request named, good or not.
	Claim string
	// Organization is the id that the input names, Resource the ARN that the policy was asked about. Both may be empty.
	Organization, Resource string
	UserAgent              string
	// Code is the exception, empty for success.
	Code   contract.ErrorCode
	Status int
}

// record writes the request's line in the access log, tells the audit, and counts.
func (c *call) record(a *answer, written int) {
	o := &c.front.options
	r := Record{
		Time: c.began, RequestID: c.id, Service: c.route.signingName(), Operation: c.route.name(), Actor: c.actor, Claim: c.claim,
		Resource: c.target, UserAgent: c.userAgent(), Code: a.code, Status: a.status,
	}
	if c.actor.ID == "" {
		r.Actor = principal.Principal{Kind: principal.Administrator, Protocol: "API", Address: c.source, RequestID: c.id}
	}
	if c.input != nil {
		r.Organization = c.route.op.Organization(c.input)
	}
	took := o.Clock.Now().Sub(c.began)
	c.front.metrics.answered(r.Operation, string(r.Code), took)
	attributes := []slog.Attr{
		slog.String("request_id", c.id), slog.String("service", r.Service), slog.String("operation", r.Operation),
		slog.String("organization", r.Organization), slog.String("access_key", c.claim), slog.String("client", c.source.String()),
		slog.Int("status", a.status), slog.String("code", string(a.code)), slog.Int("bytes_in", len(c.body)),
		slog.Int("bytes_out", written), slog.Duration("took", took), slog.String("user_agent", r.UserAgent),
	}
	level := slog.LevelInfo
	if c.cause != nil {
		attributes = append(attributes, slog.String("cause", c.cause.Error()))
	}
	if a.status >= http.StatusInternalServerError && a.status != http.StatusNotImplemented {
		level = slog.LevelError
	}
	// A client that hangs up must not keep its request out of the log and the audit.
	ctx := context.WithoutCancel(c.request.Context())
	o.Log.LogAttrs(ctx, level, "api request", attributes...)
	if o.Audit != nil {
		o.Audit(ctx, r)
	}
}

// metrics are the face's figures.
type metrics struct {
	set     *victoria.Set
	buckets []float64 // upper bounds in seconds

	mu      sync.Mutex
	answers map[answerName]answerFigures // guarded by mu
}

// answerName is what the figures of an answer are found by, answerFigures those of the set: to make their names for each answer
// anew costs more than the rest of them.
type answerName struct{ operation, code string }

type answerFigures struct {
	requests *victoria.Counter
	seconds  *victoria.PrometheusHistogram
}

func newMetrics(set *victoria.Set) *metrics {
	if set == nil {
		set = victoria.NewSet() // nobody reads it
	}
	return &metrics{set: set, buckets: victoria.ExponentialBuckets(0.0005, 4, 8), answers: map[answerName]answerFigures{}}
}

// answered counts a request by its operation and exception (none for success), and the time from its headers to its answer.
func (m *metrics) answered(operation, code string, took time.Duration) {
	f := m.figures(answerName{operation, code})
	f.requests.Inc()
	f.seconds.Update(took.Seconds())
}

func (m *metrics) figures(name answerName) answerFigures {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.answers[name]
	if !ok {
		f.requests = m.set.GetOrCreateCounter(fmt.Sprintf(`pennypost_api_requests_total{code=%q,operation=%q}`, name.code, name.operation))
		f.seconds = m.set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf(`pennypost_api_request_seconds{operation=%q}`, name.operation), m.buckets)
		m.answers[name] = f
	}
	return f
}

// strange counts members that the API does not have.
func (m *metrics) strange(operation string, n int) {
	m.set.GetOrCreateCounter(fmt.Sprintf(`pennypost_api_unknown_members_total{operation=%q}`, operation)).Add(n)
}
