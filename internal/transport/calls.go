package transport

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Calls of functions. One that gives no answer in time holds its caller for 15 seconds, so what waits for it must not wait behind such calls:
// once a synchronous one hangs, it is asked for one message at a time until it answers again. The others are put off without a call, or get
// their rule's fallback where their time is over.

// ParallelCalls is how many calls of one asynchronous function run at once for an organisation.
const ParallelCalls = 10

const (
	// maxWaitingCalls is how many calls of one asynchronous function wait at most, of one organisation's.
	maxWaitingCalls = 2000
	// maxCallAge is how long a call waits, as Lambda's do.
	maxCallAge = 6 * time.Hour
)

// FunctionRoute begins the routes of messages that wait for a synchronous function.
const FunctionRoute = functionRoute

// WaitingCalls is how many calls of asynchronous functions wait or run.
func (t *Transport) WaitingCalls(ctx context.Context) (uint64, error) {
	return job.Count(ctx, t.DB, functionKind)
}

// Local says which destinations are functions. It is queue.Options.Local.
func (Functions) Local(to queue.Destination) bool { return strings.HasPrefix(to.Route, functionRoute) }

// function is one as it is known here: what one organisation's mail makes it do is no reason not to ask it about another's.
type function struct {
	organization int64
	arn          string
}

// hanging are the functions that gave no answer in time when they were asked last.
type hanging struct {
	mu sync.Mutex
	of map[function]*hang
}

// hang is what is known of one.
type hang struct {
	probed bool      // it is being asked all the same
	fresh  time.Time // when a message that it was never asked about was put off last
}

// turn is how long after that the function is asked about no others: so long those that were put off are due again. A message that makes the
// function hang would come in between.
const turn = 2 * time.Minute

// callEnd is what a call says of whether the function hangs.
type callEnd uint8

const (
	unasked callEnd = iota // nothing
	answered
	hung
)

// begin returns what notes whether a function hangs, once it was asked; nil where it must not be asked now. again is of a message that it was
// asked about before.
func (h *hanging) begin(f function, again bool, now time.Time) (end func(callEnd)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.of[f]
	if s != nil && (s.probed || again && now.Sub(s.fresh) < turn) {
		if !again {
			s.fresh = now
		}
		return nil
	}
	if s != nil {
		s.probed = true
	}
	return func(e callEnd) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch now := h.of[f]; {
		case e == answered:
			delete(h.of, f)
		case s != nil && now == s:
			s.probed = false
		case e == hung && now == nil: // others that began before it was known say nothing new
			h.of[f] = &hang{}
		}
	}
}

// is reports whether a function is known to hang.
func (h *hanging) is(f function) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[f] != nil
}

// late reports whether the time is over in which the function decides. One that has none is asked once.
func (h *held) late(now time.Time) bool { return h.Lambda.Timeout > 0 && !now.Before(h.Until) }

// errNotAsked says that a function that hangs is being asked about another message.
var errNotAsked = &fault.Error{Kind: fault.Temporary, Subject: fault.Resource, Message: "the function gave no answer in time to others, and was not asked"}

// decide asks a function about a message and reads its answer. why is why it does not decide, err why this server can't go on. Once its time
// is over it is not asked again, nor while it is known to hang.
func (t *Transport) decide(ctx context.Context, arn string, h *held, m *queue.Message) (decisions []flow.Decision, why, err error) {
	f, again, now := function{m.Organization, arn}, m.Attempts > 0, t.Clock.Now()
	if h.late(now) && (again || t.hanging.is(f)) {
		return nil, fault.New(fault.Temporary, fault.Resource, "the function did not decide within its rule's time"), nil
	}
	end := t.hanging.begin(f, again, now)
	if end == nil {
		return nil, errNotAsked, nil
	}
	said := unasked
	defer func() { end(said) }()
	e, err := t.eventOf(ctx, h, m)
	if err != nil {
		return nil, nil, err
	}
	why = t.call(ctx, Synchronous, arn, e, func(text []byte) (err error) {
		decisions, err = flow.ReadAnswer(h.Direction, text)
		return err
	})
	switch {
	case ctx.Err() != nil:
	case flow.Hung(why):
		said = hung
	default:
		said = answered
	}
	return decisions, why, nil
}

// eventOf is what a function is asked about a message.
func (t *Transport) eventOf(ctx context.Context, h *held, m *queue.Message) (*flow.Event, error) {
	w, err := t.waiting(ctx, h, m)
	if err != nil {
		return nil, err
	}
	header, err := w.first(int64(h.Trace) + maxEventHeader)
	if err != nil {
		return nil, err
	}
	var to []string
	for _, r := range h.To {
		to = append(to, r.Address.String())
	}
	return flow.NewEvent(h.Direction, h.MessageID, h.Call, m.From, header[min(h.Trace, len(header)):], to), nil
}

// call calls a function, has its answer read, and counts that.
func (t *Transport) call(ctx context.Context, i Invocation, arn string, e *flow.Event, read func([]byte) error) error {
	began := time.Now()
	text, err := t.Rules.Call(ctx, arn, e)
	took := time.Since(began)
	outcome := CallFailed
	switch {
	case err != nil && ctx.Err() != nil: // the server stops
		return err
	case flow.Hung(err):
		outcome = CallHung
	case err == nil:
		if err = read(text); err == nil {
			outcome = CallAnswered
		}
	}
	t.flow.calls[i][outcome].Add(1)
	t.flow.took.observe(took)
	return err
}

// orderTx orders the call of an asynchronous function, unless too many wait for it already.
func (t *Transport) orderTx(ctx context.Context, tx *db.Tx, c functionCall) error {
	share := fmt.Sprintf("%d/%s", c.Organization, c.ARN)
	n, err := job.OfShareTx(ctx, tx, functionKind, share, maxWaitingCalls)
	if err != nil {
		return err
	}
	if n >= maxWaitingCalls {
		tx.OnCommit(func() { t.giveUpCall(ctx, c, fault.New(fault.Limit, fault.Resource, "%d calls of it wait", n)) })
		return nil
	}
	return job.EnqueueTx(ctx, tx, functionKind, share+" "+c.Event.Call, c, c.Since)
}

// giveUpCall is the record of a message that an asynchronous function is not told of.
func (t *Transport) giveUpCall(ctx context.Context, c functionCall, why error) {
	t.flow.messages[NotTold].Add(1)
	t.Log.ErrorContext(ctx, "a function is not told of a message", "function", c.ARN, "message", c.Event.MessageID, "error", why)
}

// Invocation is how a function is called.
type Invocation uint8

// The invocations.
const (
	Synchronous Invocation = iota
	Asynchronous
	invocations
)

// String returns the word that metrics have.
func (i Invocation) String() string { return [...]string{"synchronous", "asynchronous"}[i] }

// CallOutcome is what became of a call.
type CallOutcome uint8

// The outcomes. CallFailed has answers that can't be read too.
const (
	CallAnswered CallOutcome = iota
	CallFailed
	CallHung // no answer in time
	callOutcomes
)

// String returns the word that metrics have.
func (o CallOutcome) String() string { return [...]string{"answered", "failed", "timeout"}[o] }

// FunctionEnd is what became of a message for which a function was to be called.
type FunctionEnd uint8

// The ends: of synchronous calls, and of asynchronous ones.
const (
	Decided  FunctionEnd = iota
	FellBack             // on the rule's action
	Told
	NotTold // it failed too often, or too much waited
	functionEnds
)

// String returns the word that metrics have.
func (e FunctionEnd) String() string {
	return [...]string{"decided", "fell_back", "told", "not_told"}[e]
}

// CallSeconds are the upper bounds of FlowStats.Took.
var CallSeconds = [...]float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15}

// flowStats counts what mail flow rules did.
type flowStats struct {
	mu       sync.Mutex
	applied  map[AppliedRule]uint64
	calls    [invocations][callOutcomes]atomic.Uint64
	messages [functionEnds]atomic.Uint64
	took     durations
}

// AppliedRule is what a rule did for a recipient.
type AppliedRule struct {
	Direction flow.Direction
	Action    flow.Action
}

// count counts rules, each of which applied for a recipient.
func (s *flowStats) count(rules []*flow.Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applied == nil {
		s.applied = map[AppliedRule]uint64{}
	}
	for _, r := range rules {
		s.applied[AppliedRule{r.Direction, r.Action}]++
	}
}

// durations is a histogram.
type durations struct {
	buckets [len(CallSeconds) + 1]atomic.Uint64
	nanos   atomic.Uint64
}

func (d *durations) observe(took time.Duration) {
	i := 0
	for i < len(CallSeconds) && took.Seconds() > CallSeconds[i] {
		i++
	}
	d.buckets[i].Add(1)
	d.nanos.Add(uint64(took))
}

// FlowStats is what mail flow rules and their functions did since the start.
type FlowStats struct {
	Applied  map[AppliedRule]uint64 // recipients
	Calls    [invocations][callOutcomes]uint64
	Messages [functionEnds]uint64
	// Took has how many calls took at most so many CallSeconds and more than those before; the last took longer. Seconds is their sum.
	Took    [len(CallSeconds) + 1]uint64
	Seconds float64
}

// FlowStats returns what was counted.
func (t *Transport) FlowStats() (s FlowStats) {
	f := &t.flow
	f.mu.Lock()
	s.Applied = make(map[AppliedRule]uint64, len(f.applied))
	for k, n := range f.applied {
		s.Applied[k] = n
	}
	f.mu.Unlock()
	for i := range f.calls {
		for o := range f.calls[i] {
			s.Calls[i][o] = f.calls[i][o].Load()
		}
	}
	for i := range f.messages {
		s.Messages[i] = f.messages[i].Load()
	}
	for i := range f.took.buckets {
		s.Took[i] = f.took.buckets[i].Load()
	}
	s.Seconds = time.Duration(f.took.nanos.Load()).Seconds()
	return s
}
