package awsapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/sigv4"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/identity"
)

// MaxBody is how many bytes a request's body may have.
const MaxBody = 1 << 20

// DefaultTimeout is how long an operation may take.
const DefaultTimeout = 30 * time.Second

// Keys looks up access keys. It returns a NotFound fault for a key that is unknown or revoked; it is asked for every
// request, so that a revoked key is refused from the next one on.
type Keys interface {
	Lookup(ctx context.Context, accessKeyID string) (identity.Credential, error)
}

// Options are what a front is made of.
type Options struct {
	Keys Keys
	// Handlers carry out the operations; at most one each.
	Handlers []contract.Handler
	// OrganizationARN returns the resource name of an organisation that exists, in whatever state. A NotFound fault makes
	// the front ask the policy about the name the organisation would have here.
	OrganizationARN func(ctx context.Context, organization string) (string, error)
	// MessageARN returns the resource name of a message that a function was told of. A NotFound fault makes the front ask the policy about
	// message/ID, of no organisation.
	MessageARN func(ctx context.Context, id string) (string, error)
	// Account and Region are the server's own: they name callers, and organisations that do not exist.
	Account, Region string
	Clock           clock.Clock
	Log             *slog.Logger
	// Audit, where it is not nil, is told of every request that was answered. It must not block for long.
	Audit func(ctx context.Context, r Record)
	// Metrics, where it is not nil, gets the face's figures.
	Metrics *victoria.Set
	// Timeout bounds an operation; zero means DefaultTimeout.
	Timeout time.Duration
}

// Front is the HTTP handler of the APIs.
type Front struct {
	options  Options
	verifier *sigv4.Verifier
	handlers map[*contract.Op]contract.Handler
	targets  map[string]*contract.Op
	flow     map[string]*contract.Op // operations of message flow by method
	policies *policies
	arns     *arns
	metrics  *metrics
	strange  sync.Map // *contract.Op → struct{}: operations whose unknown members were logged
}

// New returns the handler of the APIs. It panics when an operation has two handlers.
func New(o Options) *Front {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	f := &Front{
		options: o, verifier: sigv4.New(o.Clock), handlers: map[*contract.Op]contract.Handler{},
		targets: map[string]*contract.Op{}, flow: map[string]*contract.Op{},
		policies: newPolicies(), arns: newARNs(), metrics: newMetrics(o.Metrics),
	}
	for _, op := range contract.Operations() {
		if op.Service == contract.MessageFlow {
			f.flow[op.Method] = op
			continue
		}
		f.targets[op.Target()] = op
	}
	for _, h := range o.Handlers {
		if _, twice := f.handlers[h.Op]; twice {
			panic("awsapi: two handlers for " + h.Op.Name)
		}
		f.handlers[h.Op] = h
	}
	return f
}

// ServeHTTP answers one request. The request's RemoteAddr is taken for the client's address.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{front: f, request: r, id: id.UUID(), began: f.options.Clock.Now(), source: source(r)}
	a := c.answerRecovered(w)
	n := a.write(w, c)
	if a.status == http.StatusOK { // a refusal may have to be recorded before it is answered
		_ = http.NewResponseController(w).Flush() // the client need not wait for the access log; one that is gone is no fault
	}
	c.record(a, n)
}

// answerRecovered is answer, with a panic turned into an internal error.
func (c *call) answerRecovered(w http.ResponseWriter) (a *answer) {
	defer func() {
		if problem := recover(); problem != nil {
			c.cause = fmt.Errorf("panic: %v\n%s", problem, debug.Stack())
			a = c.refuse(internalFailure())
		}
	}()
	return c.answer(w)
}
