package transport_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// hanging are rules whose function answers when the test says what.
type hanging struct {
	transport.Rules
	answers chan error // nil is the decision DEFAULT
	first   int        // so many calls are answered by before instead
	before  chan error
	mu      sync.Mutex
	running int
	calls   int
	last    string // the recipient of the message that it was asked about last
}

func (h *hanging) Call(ctx context.Context, _ string, e *flow.Event) ([]byte, error) {
	h.mu.Lock()
	h.last = e.Envelope.Recipients[0].Address
	h.running++
	h.calls++
	answers := h.answers
	if h.calls <= h.first {
		answers = h.before
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.running--
	}()
	select {
	case err := <-answers:
		if err != nil {
			return nil, err
		}
		return []byte(`{"actions":[{"action":{"type":"DEFAULT"},"allRecipients":true}]}`), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// asks reports whether it is asked for the nth time, and now, about a message for the recipient.
func (h *hanging) asks(n int, to string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls == n && h.running == 1 && h.last == to
}

func (h *hanging) runs() (running, calls int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running, h.calls
}

// TestAFunctionThatHangs is asked for many messages at once until it is known to hang, and for one at a time from then on; what waits gets
// its rule's fallback when its time is over, without another call.
func TestAFunctionThatHangs(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		h := &hanging{Rules: a.Rules, answers: make(chan error), first: 10, before: make(chan error)}
		a.Rules = h
		a.rule(flow.Inbound, synchronous(flow.MoveToJunk, 1))
		const messages = 15
		for range messages {
			a.arrive("", "ann@acme.test")
		}
		stop := sync.OnceFunc(a.run(t))
		defer stop()
		hung := fault.Wrap(context.DeadlineExceeded, fault.Temporary, fault.Resource, "no answer")
		a.until("ten calls", func() bool { n, _ := h.runs(); return n == 10 })
		for range 10 { // not the eleventh, which begins as soon as the first is answered
			h.before <- hung
		}
		a.until("all were tried", func() bool {
			entries, _, err := a.queue.List(t.Context(), queue.Filter{}, queue.Cursor{}, 100)
			a.Must(err)
			tried, put := 0, 0
			for _, e := range entries {
				if e.Attempts > 0 {
					tried++
				} else if e.Reply != "" {
					put++
				}
			}
			running, _ := h.runs()
			return running == 1 && tried == 10 && put >= messages-tried-1 // it may be asked again about one that was tried
		})
		a.Clock.Advance(time.Minute)
		a.until("the fallback of all but one", func() bool { return a.waits(1) })
		if running, calls := h.runs(); running != 1 || calls != 11 {
			t.Errorf("%d calls run, of %d", running, calls)
		}
		h.answers <- hung
		a.until("the fallback of all", func() bool { return a.waits(0) })
		if got := a.folders(a.ann); got != [2]int{0, messages} {
			t.Errorf("ann has %v", got)
		}
		a.arrive("", "ann@acme.test") // the one that asks whether it answers again
		h.answers <- nil
		a.until("it decides again", func() bool { return len(a.Inbox(a.ann)) == 1 })
		stop() // what was committed is counted
		s := a.FlowStats()
		if s.Calls[transport.Synchronous] != [3]uint64{1, 0, 11} || s.Messages != [4]uint64{1, messages, 0, 0} {
			t.Errorf("counted are the calls %v and the messages %v", s.Calls, s.Messages)
		}
		if n := s.Applied[transport.AppliedRule{Direction: flow.Inbound, Action: flow.RunLambda}]; n != messages+1 {
			t.Errorf("%d applied rules are counted", n)
		}
	})
}

// TestAFunctionIsAskedOnceWhateverTheTime: what waited while the server was down, for longer than its rule's time, gets its one call; without
// an answer the rule's action is what becomes of it then, and no other call.
func TestAFunctionIsAskedOnceWhateverTheTime(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, synchronous(flow.MoveToJunk, 1))
		for i, answer := range []func(*flow.Event) (int, string){says("DEFAULT"), func(*flow.Event) (int, string) { return 500, "" }} {
			a.answers(answer)
			a.arrive("", "ann@acme.test")
			a.Clock.Advance(2 * time.Minute)
			stop := a.run(t)
			a.until("it is delivered", func() bool { return a.waits(0) })
			stop()
			if asked := a.events(); a.folders(a.ann) != [2]int{1, i} || len(asked) != 1 {
				t.Errorf("ann has %v, asked is %+v", a.folders(a.ann), asked)
			}
		}
	})
}

// TestAMessageThatMakesAFunctionHang leaves the one call at a time to others that are due, also to another organisation's, and what waits for
// that call is not put off ever longer.
func TestAMessageThatMakesAFunctionHang(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		h := &hanging{Rules: a.Rules, answers: make(chan error)}
		a.Rules = h
		l := synchronous(flow.MoveToJunk, 60)
		a.rule(flow.Inbound, l)
		a.Must(a.Flow.CreateRule(t.Context(), transporttest.Admin, a.other.ID,
			flow.Rule{Direction: flow.Inbound, Name: "ask", Action: flow.RunLambda, Senders: []string{"*"}, Recipients: []string{"*"}, Lambda: &l}))
		defer a.run(t)()
		hung := fault.Wrap(context.DeadlineExceeded, fault.Temporary, fault.Resource, "no answer")
		a.arrive("", "ann@acme.test")
		a.until("ann's is asked about", func() bool { return h.asks(1, "ann@acme.test") })
		h.answers <- hung
		a.until("ann's is asked about again", func() bool { return h.asks(2, "ann@acme.test") })
		a.arrive("", "bob@acme.test")
		put := func() (n int) {
			entries, _, err := a.queue.List(t.Context(), queue.Filter{}, queue.Cursor{}, 100)
			a.Must(err)
			for _, e := range entries {
				if e.Attempts == 0 && e.Reply != "" {
					n++
				}
			}
			return n
		}
		a.until("bob's is put off", func() bool { return put() == 1 })
		h.answers <- hung
		a.until("bob's is asked about", func() bool { return h.asks(3, "bob@acme.test") })
		a.arrive("", "eve@other.awsapps.com")
		a.until("eve's is asked about as well", func() bool { n, _ := h.runs(); return n == 2 })
		for range 3 {
			h.answers <- nil
		}
		a.until("all are decided", func() bool { return a.waits(0) })
	})
}

// TestCallsOfAFunctionThatHangsAreBounded: of one that is told of messages so many calls wait, so long; each that does not is recorded.
func TestCallsOfAFunctionThatHangsAreBounded(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, flow.Lambda{ARN: functionARN})
		a.answers(says("DEFAULT"))
		const most = 2000
		a.Write(func(ctx context.Context, tx *db.Tx) error {
			for i := range most - 1 {
				if err := job.EnqueueTx(ctx, tx, "mail-flow-function", fmt.Sprintf("%d/%s %d", a.Acme.Key, functionARN, i), nil, a.Clock.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		wait := func(what string, calls, notTold uint64) {
			t.Helper()
			n, err := a.WaitingCalls(t.Context())
			a.Must(err)
			if told := a.FlowStats().Messages[transport.NotTold]; n != calls || told != notTold {
				t.Errorf("%s: %d calls wait, %d are not told", what, n, told)
			}
		}
		for i := range uint64(2) {
			a.arrive("", "ann@acme.test")
			wait("beyond the limit", most, i)
		}
		a.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "DELETE FROM job WHERE payload = $1", []byte("null"))
			return err
		})
		wait("once others are gone", 1, 1)
		a.Clock.Advance(7 * time.Hour)
		runner := job.NewRunner(a.DB, clock.System{}, a.Log)
		a.HandleFunctions(runner)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		a.until("it is given up", func() bool { n, err := a.WaitingCalls(t.Context()); return err == nil && n == 0 })
		cancel()
		a.Must(<-ended)
		wait("after hours", 0, 2)
		if asked := a.events(); len(asked) != 0 {
			t.Errorf("asked is %+v", asked)
		}
	})
}

// TestAFunctionAddsNobodyInACircle: a message that was passed on for an address here is not passed on for it again because a function says so.
func TestAFunctionAddsNobodyInACircle(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Remote("away", "away@old.example", "away@acme.test")
		a.Remote("other", "other@old.example", "other@acme.test")
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(func(*flow.Event) (int, string) {
			return 200, `{"actions":[{"action":{"type":"DEFAULT"},"recipients":["ann@acme.test","Away@acme.test","other@acme.test"]}]}`
		})
		x := outside(a.World, 0)
		add(a.World, x, "ann@acme.test")
		a.Must(store(t.Context(), x, "Delivered-To: <AWAY@acme.test>\r\nFrom: x@far.example\r\n\r\nx\r\n"))
		defer a.run(t)()
		if got := a.takings(1)[0]; !strings.Contains(got, "<other@old.example>") {
			t.Errorf("passed on is %s", got)
		}
		a.until("it is delivered", func() bool { return a.waits(0) })
		if n := len(a.far.taken); n != 0 || len(a.Inbox(a.ann)) != 1 {
			t.Errorf("%d more are passed on, ann has %d", n, len(a.Inbox(a.ann)))
		}
	})
}

// sealer keeps what it is to seal with.
type sealer struct {
	signer
	seals chan string
}

func (s *sealer) Seal(ctx context.Context, text []byte, results string, chain arc.Chain) ([]byte, error) {
	s.seals <- fmt.Sprintf("%q %+v", results, chain)
	return s.signer.Seal(ctx, text, results, chain)
}

// TestWhatWaitedForAFunctionIsSealed as it would have been at once.
func TestWhatWaitedForAFunctionIsSealed(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		keys := &sealer{seals: make(chan string, 10)}
		a.Signer = keys
		a.Remote("away", "away@old.example", "away@acme.test")
		verdict := failed(mailauth.PolicyNone)
		verdict.Vouched = "list.example"
		verdict.DKIM = []dkim.Signature{
			{Result: dkim.Fail, Reason: "body hash", Domain: "far.example", Identity: "@far.example", Selector: "s", Algorithm: "rsa-sha256", Head: "abcdefgh", Bits: 2048},
			{Result: dkim.Pass, Domain: "list.example", Identity: "x@list.example", Selector: "t", Algorithm: "ed25519-sha256", Head: "ijklmnop"},
		}
		chains := []arc.Chain{{Result: dkim.None}, {Result: dkim.Pass, Reason: "so it is", Instance: 2, Domains: []string{"far.example", "list.example"}}}
		pass := func() (seal, text string) {
			x := outside(a.World, 0)
			add(a.World, x, "away@acme.test")
			a.Must(store(t.Context(), x, simple))
			text = a.takings(1)[0]
			select {
			case seal = <-keys.seals:
			default:
			}
			return seal, text
		}
		defer a.run(t)()
		var at []string // once
		for _, asks := range []bool{false, true} {
			if asks {
				a.rule(flow.Inbound, synchronous(flow.Drop, 5))
				a.answers(says("DEFAULT"))
			}
			for i, chain := range chains {
				verdict.ARC = chain
				a.Auth = &checker{verdict: verdict}
				seal, text := pass()
				if got := seal + "\n" + text; !asks {
					at = append(at, got)
				} else if got != at[i] {
					t.Errorf("it is sealed with and passed on as\n%s, at once it would have been\n%s", got, at[i])
				}
				if n := fmt.Sprintf("ARC-Seal: i=%d results=mail.acme.awsapps.com size=%d\r\n", chain.Instance+1, len(trace+simple)); !strings.Contains(text, n) || seal == "" {
					t.Errorf("it is passed on as %s, want %s", text, n)
				}
			}
		}
		a.Auth = nil
		if seal, got := pass(); seal != "" || strings.Contains(got, "ARC-Seal") {
			t.Errorf("one that was not checked is passed on as %s", got)
		}
		if n := len(a.events()); n != 3 {
			t.Errorf("asked is %d times", n)
		}
	})
}
