package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/spam"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

const (
	functionARN = "arn:aws:lambda:us-east-1:000000000000:function:mail"
	secondARN   = "arn:aws:lambda:us-east-1:000000000000:function:other"
)

// asking is a world whose queue asks a function, which answers as the test says.
type asking struct {
	*sending
	mu     sync.Mutex
	answer func(e *flow.Event) (status int, body string)
	asked  []flow.Event
}

func (a *asking) answers(fn func(e *flow.Event) (int, string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = fn
}

// events returns what the function was asked so far, and forgets it.
func (a *asking) events() (list []flow.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, a.asked = a.asked, nil
	return list
}

func (a *asking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e flow.Event
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil || r.Header.Get("Authorization") != "Bearer key" || r.Header.Get("Content-Type") != "application/json" {
		a.T.Errorf("asked is %s (%v) with %v", text, err, r.Header)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, e)
	status, body := a.answer(&e)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// says is an answer with one action for everybody.
func says(action string) func(*flow.Event) (int, string) {
	return func(*flow.Event) (int, string) {
		return 200, `{"actions":[{"action":{"type":"` + action + `"},"allRecipients":true}]}`
	}
}

func onBothAsking(t *testing.T, fn func(a *asking)) {
	t.Helper()
	var q *queue.Queue
	var tr *transport.Transport
	var service *flow.Service
	a := &asking{}
	server := httptest.NewTLSServer(a)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	endpoint := availability.Function{URL: server.URL, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Secret: "key"}
	f := &far{taken: make(chan string, 100)}
	onBothSendersWith(t, func(o *transport.Options) {
		service = flow.New(flow.Options{
			DB: o.DB, Directory: o.Directory, Clock: o.Clock, Root: secret.Ephemeral(), Dialer: dial.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}),
			Functions: map[string]availability.Function{functionARN: endpoint},
		})
		q = queue.New(queue.Options{
			DB: o.DB, Clock: clock.System{}, Log: o.Log, Courier: courierOf{&tr, f}, Teller: teller{&tr}, Limits: queue.Limits{Gather: -1, FirstRetry: time.Millisecond, LastRetry: 2 * time.Millisecond}, Local: transport.Local,
			Record: func(ctx context.Context, tx *db.Tx, e queue.Event) error { return tr.Record(ctx, tx, e) },
		})
		o.Queue, o.Holding, o.Rules = q, q, service
	}, func(s *senders) {
		tr, s.Flow = s.Transport, service
		a.sending, a.asked = &sending{s, q, f}, nil
		fn(a)
	})
}

// courierOf is the transport's, once there is one.
type courierOf struct {
	t    **transport.Transport
	next queue.Courier
}

func (c courierOf) Deliver(ctx context.Context, to queue.Destination, m *queue.Message) []queue.Outcome {
	return transport.Functions{Transport: *c.t, Next: transport.JournalCourier{Transport: *c.t, Next: c.next}}.Deliver(ctx, to, m)
}

// rule makes a rule that asks the function.
func (a *asking) rule(d flow.Direction, l flow.Lambda) {
	a.T.Helper()
	r := flow.Rule{Direction: d, Name: "ask", Action: flow.RunLambda, Senders: []string{"*"}, Recipients: []string{"*"}, Lambda: &l}
	a.Must(a.Flow.CreateRule(a.T.Context(), transporttest.Admin, a.Acme.ID, r))
}

func synchronous(fallback flow.Action, minutes int) flow.Lambda {
	return flow.Lambda{ARN: functionARN, Synchronous: true, Fallback: fallback, Timeout: time.Duration(minutes) * time.Minute}
}

// arrive brings a message from another server for the recipients.
func (a *asking) arrive(from string, to ...string) {
	a.T.Helper()
	s := transport.Sender{Principal: principal.TheSystem("SMTP")}
	if from != "" {
		s.From = address(from)
	}
	x, err := a.Begin(a.T.Context(), s)
	a.Must(err)
	for _, r := range to {
		add(a.World, x, r)
	}
	a.Must(store(a.T.Context(), x, "From: Far <x@far.example>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\nbody\r\n"))
}

func (a *asking) waits(n int) bool {
	entries, _, err := a.queue.List(a.T.Context(), queue.Filter{}, queue.Cursor{}, 100)
	a.Must(err)
	return len(entries) == n
}

func (a *asking) folders(id directory.EntityID) [2]int {
	a.T.Helper()
	return [2]int{len(a.Inbox(id)), len(a.Junk(id))}
}

// TestAFunctionDecides for each recipient; the message is in the queue once it is acknowledged, and nowhere else.
func TestAFunctionDecides(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		monitor(a.World, a.Acme)
		cyd, dan := a.User("cyd"), a.User("dan")
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(func(*flow.Event) (int, string) {
			return 200, `{"actions":[
				{"action":{"type":"MOVE_TO_JUNK"},"recipients":["ANN@acme.test"]},
				{"action":{"type":"BYPASS_SPAM_CHECK"},"recipients":["dan@acme.awsapps.com","eve@other.awsapps.com","nobody@acme.test"]},
				{"action":{"type":"BOUNCE","parameters":{"bounceMessage":"not  you"}},"recipients":["cyd@acme.awsapps.com"]},
				{"action":{"type":"DEFAULT"},"allRecipients":true}]}`
		})
		a.arrive("eve@other.awsapps.com", "ann@acme.test", "bob@acme.test", "cyd@acme.awsapps.com")
		if !a.waits(1) || a.folders(a.ann) != [2]int{} {
			t.Error("the message does not wait for the function")
		}
		before := without(untraced(t, a.Told(2)))
		if !strings.Contains(before[0], "ORGANIZATION_EMAIL_RECEIVED") || !strings.Contains(before[1], `"ruleActions":[{"action":"RUN_LAMBDA","recipients":["ann@acme.test","bob@acme.test","cyd@acme.awsapps.com"]}]`) {
			t.Errorf("told is %s", before)
		}
		stop := a.run(t)
		a.until("it is delivered", func() bool { return a.waits(0) && len(a.InboxOf(a.other, a.eve)) == 1 })
		stop()
		if got := fmt.Sprint(a.folders(a.ann), a.folders(a.bob), a.folders(cyd), a.folders(dan)); got != "[0 1] [1 0] [0 0] [1 0]" {
			t.Errorf("they have %s", got)
		}
		if text := a.Inbox(a.bob)[0].Text; !strings.HasPrefix(text, "Return-Path: <eve@other.awsapps.com>\r\nDelivered-To: bob@acme.test\r\n"+trace) {
			t.Errorf("bob has %s", text)
		}
		notice := a.InboxOf(a.other, a.eve)[0].Text
		if report, ok := dsn.Parse([]byte(notice)); !ok || report.Recipients[0].Address != address("cyd@acme.awsapps.com") || !strings.Contains(notice, "not you") {
			t.Errorf("eve gets %s", notice)
		}
		events := a.events()
		if len(events) != 1 {
			t.Fatalf("asked is %+v", events)
		}
		e := events[0]
		if len(e.Call) != 32 || len(e.MessageID) != 36 {
			t.Errorf("asked is %+v", e)
		}
		e.Call, e.MessageID = "", ""
		want := `{"summaryVersion":"2019-07-28","envelope":{"mailFrom":{"address":"eve@other.awsapps.com"},"recipients":[{"address":"ann@acme.test"},{"address":"bob@acme.test"},{"address":"cyd@acme.awsapps.com"}]},` +
			`"subject":"grüße","messageId":"","invocationId":"","flowDirection":"INBOUND","truncated":false}`
		if got, _ := json.Marshal(e); string(got) != want {
			t.Errorf("asked is %s", got)
		}
		var names []string
		actions := ""
		for _, line := range untraced(t, a.Told(5)) {
			var e struct {
				EventName, Recipient, Folder string
				RuleActions                  []struct{ Action string }
			}
			a.Must(json.Unmarshal([]byte(line), &e))
			actions += fmt.Sprint(e.RuleActions)
			names = append(names, strings.TrimSpace(e.EventName+" "+e.Recipient+" "+e.Folder))
		}
		if got := strings.Join(names, ", "); got != "RULE_APPLIED, INCOMING_EMAIL_BOUNCED, "+
			"MAILBOX_EMAIL_DELIVERED ann@acme.test Junk E-mail, MAILBOX_EMAIL_DELIVERED bob@acme.test INBOX, MAILBOX_EMAIL_DELIVERED dan@acme.awsapps.com INBOX" {
			t.Errorf("told is %s", got)
		}
		if actions != "[{MOVE_TO_JUNK} {DEFAULT} {BOUNCE} {BYPASS_SPAM_CHECK}][][][][]" {
			t.Errorf("told are the actions %s", actions)
		}
	})
}

// TestWhatAFunctionCantDecideItsRuleDoes, once its time is over, and not before.
func TestWhatAFunctionCantDecideItsRuleDoes(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, synchronous(flow.MoveToJunk, 1))
		defer a.run(t)()
		junk := 0
		for name, answer := range map[string]struct {
			status int
			body   string
		}{
			"an error": {500, ""}, "no JSON": {200, "fine"}, "nothing": {200, "{}"}, "no action": {200, `{"actions":[{"allRecipients":true}]}`},
			"another direction's": {200, `{"actions":[{"action":{"type":"ROUTE_TO_SMTP_GATEWAY"},"allRecipients":true}]}`},
			"for nobody":          {200, `{"actions":[{"action":{"type":"DROP"}}]}`},
			"too many":            {200, `{"actions":[` + strings.TrimSuffix(strings.Repeat(`{"action":{"type":"DROP"},"allRecipients":true},`, 11), ",") + `]}`},
			"too large":           {200, `{"actions":[]` + strings.Repeat(" ", 300<<10) + `}`},
		} {
			a.answers(func(*flow.Event) (int, string) { return answer.status, answer.body })
			a.arrive("", "ann@acme.test")
			a.until(name+" is asked again", func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				return len(a.asked) >= 2
			})
			if !a.waits(1) || len(a.Junk(a.ann)) != junk {
				t.Errorf("%s: it does not wait", name)
			}
			a.Clock.Advance(time.Minute)
			junk++
			a.until(name+": the fallback", func() bool { return a.waits(0) })
			if a.folders(a.ann) != [2]int{0, junk} {
				t.Errorf("%s: ann has %v", name, a.folders(a.ann))
			}
			calls := map[string]bool{}
			for _, e := range a.events() {
				calls[e.Call+e.MessageID] = true
			}
			if len(calls) != 1 {
				t.Errorf("%s: asked with %v", name, calls)
			}
		}
	})
}

// TestAFunctionForWhatIsSent: what it lets pass meets the inbound rules where it stays, and is signed where it leaves.
func TestAFunctionForWhatIsSent(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Signer = &signer{}
		a.rule(flow.Outbound, synchronous(flow.Bounce, 5))
		a.Must(a.Flow.CreateRule(t.Context(), transporttest.Admin, a.Acme.ID,
			flow.Rule{Direction: flow.Inbound, Name: "in", Action: flow.MoveToJunk, Senders: []string{"*"}, Recipients: []string{"bob@acme.test"}}))
		a.answers(func(*flow.Event) (int, string) {
			return 200, `{"actions":[{"action":{"type":"DEFAULT"},"recipients":["bob@acme.test","one@far.test","added@far.test"]}]}`
		})
		x, err := a.begin(a.ann, "ann@acme.test", "bob@acme.test", "one@far.test", "two@far.test")
		a.Must(err)
		a.Must(store(t.Context(), x, "From: ann@acme.test\r\nSubject: out\r\n\r\nx\r\n"))
		if !a.waits(1) {
			t.Error("it does not wait")
		}
		stop := a.run(t)
		got := []string{<-a.far.taken, <-a.far.taken}
		a.until("a notice", func() bool { return a.waits(0) && len(a.Inbox(a.ann)) == 1 })
		stop()
		slices.Sort(got)
		for i, to := range []string{"added", "one"} {
			if !strings.HasPrefix(got[i], "<ann@acme.test> <"+to+"@far.test> DKIM-Signature: org=true d=acme.test ") {
				t.Errorf("%s gets %s", to, got[i])
			}
		}
		if a.folders(a.bob) != [2]int{0, 1} {
			t.Errorf("bob has %v", a.folders(a.bob))
		}
		if report, ok := dsn.Parse([]byte(a.Inbox(a.ann)[0].Text)); !ok || report.Recipients[0].Address != address("two@far.test") {
			t.Errorf("ann gets %s", a.Inbox(a.ann)[0].Text)
		}
		if e := a.events(); len(e) != 1 || e[0].Direction != "OUTBOUND" || e[0].Envelope.From.Address != "ann@acme.test" {
			t.Errorf("asked is %+v", e)
		}
	})
}

// TestLimitsOfADayCountWhoAFunctionAdds: one for whom they leave no room is left out.
func TestLimitsOfADayCountWhoAFunctionAdds(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Daily.UserExternal = 3
		a.rule(flow.Outbound, synchronous(flow.Drop, 5))
		a.answers(func(*flow.Event) (int, string) {
			return 200, `{"actions":[{"action":{"type":"DEFAULT"},"recipients":["one@far.test","two@far.test","bob@acme.test","three@far.test","four@far.test"]}]}`
		})
		x, err := a.begin(a.ann, "ann@acme.test", "one@far.test")
		a.Must(err)
		a.Must(store(t.Context(), x, "From: ann@acme.test\r\n\r\nx\r\n"))
		defer a.run(t)()
		got := strings.Join(a.takings(3), " ")
		a.until("it is sent", func() bool { return a.waits(0) })
		if strings.Contains(got, "four@far.test") || len(a.Inbox(a.bob)) != 1 {
			t.Errorf("sent is %s, bob has %d", got, len(a.Inbox(a.bob)))
		}
		if x, err = a.begin(a.ann, "ann@acme.test"); err == nil {
			err = x.Add(t.Context(), queue.Recipient{Address: address("five@far.test")})
		}
		if !fault.Is(err, fault.Limit, fault.Allowance) {
			t.Errorf("another recipient of the day: %v", err)
		}
	})
}

// TestRecipientsWhoAreGoneMeanwhile come back to the sender, and keep nobody else from the message.
func TestRecipientsWhoAreGoneMeanwhile(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		cyd, dan := a.User("cyd"), a.User("dan")
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		a.arrive("eve@other.awsapps.com", "ann@acme.test", "cyd@acme.awsapps.com", "dan@acme.awsapps.com")
		a.Disable(cyd)
		a.SetQuota(dan, 1)
		defer a.run(t)()
		a.until("it is delivered", func() bool { return a.waits(0) && len(a.InboxOf(a.other, a.eve)) == 2 })
		if a.folders(a.ann) != [2]int{1, 0} || a.folders(dan) != [2]int{} {
			t.Errorf("ann has %v", a.folders(a.ann))
		}
		var status []string
		for _, m := range a.InboxOf(a.other, a.eve) {
			report, _ := dsn.Parse([]byte(m.Text))
			status = append(status, report.Recipients[0].Address.Local+" "+report.Recipients[0].Status)
		}
		slices.Sort(status)
		if fmt.Sprint(status) != "[cyd 5.1.1 dan 5.2.2]" {
			t.Errorf("eve is told %v", status)
		}
	})
}

// tellAll calls asynchronous functions until they were told n times, and returns of what.
func (a *asking) tellAll(n int) (events []flow.Event) {
	a.T.Helper()
	runner := job.NewRunner(a.DB, a.Clock, a.Log)
	a.HandleFunctions(runner)
	ctx, cancel := context.WithCancel(a.T.Context())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	a.until("it is told", func() bool {
		a.Clock.Advance(time.Second) // what failed is tried again after some
		events = append(events, a.events()...)
		return len(events) >= n
	})
	cancel()
	a.Must(<-ended)
	return events
}

// TestAFunctionIsTold of what happens anyway.
func TestAFunctionIsTold(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, flow.Lambda{ARN: functionARN})
		failures := 1
		a.answers(func(*flow.Event) (int, string) {
			if failures--; failures >= 0 {
				return 500, ""
			}
			return 200, "thanks"
		})
		a.arrive("x@far.example", "ann@acme.test", "bob@acme.test")
		if a.folders(a.ann) != [2]int{1, 0} || a.folders(a.bob) != [2]int{1, 0} || !a.waits(0) {
			t.Error("it is not delivered")
		}
		events := a.tellAll(2)
		if e := events[1]; e.Call != events[0].Call || len(e.Envelope.Recipients) != 2 || e.Envelope.From.Address != "x@far.example" {
			t.Errorf("told is %+v", events)
		}
	})
}

// TestAFunctionThatIsNotThere is as one that fails; where nothing can wait, the message is refused for now.
func TestAFunctionThatIsNotThere(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		l := synchronous(flow.Default, 0)
		l.ARN = secondARN
		a.rule(flow.Inbound, l)
		a.arrive("", "ann@acme.test")
		stop := a.run(t)
		a.until("the fallback", func() bool { return a.waits(0) })
		stop()
		if a.folders(a.ann) != [2]int{1, 0} {
			t.Errorf("ann has %v", a.folders(a.ann))
		}
		a.Holding = nil
		x := outside(a.World, 0)
		add(a.World, x, "ann@acme.test")
		if err := store(t.Context(), x, simple); err == nil || !strings.Contains(err.Error(), "can't wait") {
			t.Errorf("without a queue: %v", err)
		}
		if n := a.FlowStats().Applied[transport.AppliedRule{Direction: flow.Inbound, Action: flow.RunLambda}]; n != 1 {
			t.Errorf("%d applied rules are counted of one message that was taken", n)
		}
	})
}

// TestRulesAndSpam: what is spam goes to Junk E-mail unless a rule, or its function, says that no verdict counts; also after it waited.
func TestRulesAndSpam(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Spam = spam.New(spam.Options{DB: a.DB, Mailboxes: a.Mailboxes, Clock: a.Clock, Log: a.Log, Key: []byte("key")})
		send := func() {
			x, err := a.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("x@far.example"), Listed: []string{"bl.example"}})
			a.Must(err)
			add(a.World, x, "ann@acme.test")
			a.Must(store(t.Context(), x, fromFar))
		}
		has := func(what string, inbox, junk int) {
			t.Helper()
			if got := a.folders(a.ann); got != [2]int{inbox, junk} {
				t.Errorf("%s: ann has %v", what, got)
			}
		}
		send()
		has("without a rule", 0, 1)
		inbound(a.World, a.Acme, flow.BypassSpam, "*")
		send()
		has("by a rule", 1, 1)
		a.Must(a.Flow.DeleteRule(t.Context(), transporttest.Admin, a.Acme.ID, flow.Inbound, string(flow.BypassSpam)))
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		for i, action := range []string{"DEFAULT", "BYPASS_SPAM_CHECK"} {
			a.answers(says(action))
			send()
			stop := a.run(t)
			a.until("it is delivered", func() bool { return a.waits(0) })
			stop()
			has("by a function", 1+i, 2)
		}
		if text := a.Junk(a.ann)[1].Text; !strings.Contains(text, "X-Spam-Status: Yes") {
			t.Errorf("ann has %s", text)
		}
	})
}

// TestWhatCanNotGoOnComesBack: a message that no attempt would bring further, and one that an administrator takes from the queue.
func TestWhatCanNotGoOnComesBack(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Outbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		rules := a.Rules
		submit := func() {
			a.Rules = rules
			x, err := a.begin(a.ann, "ann@acme.test", "bob@acme.test", "x@far.test")
			a.Must(err)
			a.Must(store(t.Context(), x, "From: ann@acme.test\r\nSubject: out\r\n\r\nx\r\n"))
		}
		comesBack := func(what string, n int) {
			t.Helper()
			a.until(what, func() bool { return a.waits(0) && len(a.Inbox(a.ann)) == n })
			text := a.Inbox(a.ann)[n-1].Text
			report, _ := dsn.Parse([]byte(text))
			if len(report.Recipients) != 2 || report.Recipients[1].Address != address("x@far.test") || report.Recipients[0].Action != dsn.Failed ||
				report.Recipients[0].Status[0] != '5' || !strings.Contains(text, "Subject: out") {
				t.Errorf("%s: ann is told %s", what, text)
			}
		}
		submit()
		a.Rules = failing{rules, fault.New(fault.Unsupported, fault.Message, "not here")}
		stop := a.run(t)
		comesBack("for good", 1)
		stop()

		submit()
		n, err := a.queue.Drop(t.Context(), queue.Filter{}, true)
		a.Must(err)
		if n != 1 {
			t.Errorf("dropped are %d", n)
		}
		stop = a.run(t)
		comesBack("dropped", 2)
		stop()

		submit()
		a.events()
		a.Rules = failing{rules, fault.New(fault.Limit, fault.Organization, "full")}
		stop = a.run(t)
		asked := 0
		a.until("it is asked again", func() bool { asked += len(a.events()); return asked > 1 })
		if !a.waits(1) {
			t.Error("what may pass does not wait")
		}
		a.Clock.Advance(6 * 24 * time.Hour)
		a.until("it waits no longer", func() bool { return a.waits(0) }) // its notice is due by that clock
		stop()
		if a.folders(a.bob) != [2]int{} {
			t.Errorf("bob has %v", a.folders(a.bob))
		}
	})
}

// failing are rules that can't be read once a message goes on.
type failing struct {
	transport.Rules
	err error
}

func (f failing) Sets(context.Context, flow.Direction, ...int64) (map[int64]*flow.Set, error) {
	return nil, f.err
}

// TestAnyNameOnBehalf: the Sender that the server writes is one address whatever the user is called, and what waited goes on with it.
func TestAnyNameOnBehalf(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		jo, err := a.World.Directory.CreateUser(t.Context(), transporttest.Admin, a.Acme.ID, directory.NewUser{Name: "jo", DisplayName: "Müller, Jörg (<x@y.test"})
		a.Must(err)
		a.Enable(a.Acme, jo, "jo@acme.awsapps.com")
		a.Grant(a.bob, jo, policy.SendOnBehalf)
		a.rule(flow.Outbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		x, err := a.begin(jo, "bob@acme.test", "ann@acme.test")
		a.Must(err)
		a.Must(store(t.Context(), x, "From: bob@acme.test\r\n\r\nx\r\n"))
		defer a.run(t)()
		a.until("it is delivered", func() bool { return a.waits(0) && len(a.Inbox(a.ann)) == 1 })
		for f := range message.Fields([]byte(a.Inbox(a.ann)[0].Text)) {
			if list := message.ParseAddressList(f.Value()); f.Is("sender") && (len(list) != 1 || list[0].Local+list[0].Domain != "joacme.awsapps.com") {
				t.Errorf("Sender is %s: %+v", f.Value(), list)
			}
		}
	})
}

// TestRoomForTheLinesInFront: a mailbox that would take the message but for its own lines keeps nobody else from it.
func TestRoomForTheLinesInFront(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		dan := a.User("dan")
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		a.arrive("eve@other.awsapps.com", "ann@acme.test", "dan@acme.awsapps.com")
		a.SetQuota(dan, int64(len(trace+"From: Far <x@far.example>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\nbody\r\n")))
		defer a.run(t)()
		a.until("it is delivered", func() bool { return a.waits(0) && len(a.InboxOf(a.other, a.eve)) == 1 })
		if a.folders(a.ann) != [2]int{1, 0} || a.folders(dan) != [2]int{} {
			t.Errorf("ann has %v, dan %v", a.folders(a.ann), a.folders(dan))
		}
	})
}

// TestNoMoreThanAMessageCanGoTo: what a function adds beyond that is left out, and one who was there and is more now is lost.
func TestNoMoreThanAMessageCanGoTo(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		cyd, dan := a.User("cyd"), a.User("dan")
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(func(*flow.Event) (int, string) {
			return 200, `{"actions":[{"action":{"type":"DEFAULT"},"recipients":["bob@acme.test"]},{"action":{"type":"DEFAULT"},"allRecipients":true}]}`
		})
		a.arrive("eve@other.awsapps.com", "ann@acme.test", "dan@acme.awsapps.com", "cyd@acme.awsapps.com")
		a.Limits.Mailboxes = 2
		defer a.run(t)()
		a.until("it is delivered", func() bool { return a.waits(0) && len(a.InboxOf(a.other, a.eve)) == 1 })
		if got := fmt.Sprint(a.folders(a.ann), a.folders(dan), a.folders(cyd), a.folders(a.bob)); got != "[1 0] [1 0] [0 0] [0 0]" {
			t.Errorf("they have %s", got)
		}
	})
}

// TestAGroupUnderManyTags: of a group that a stranger names again and again no more is kept than of one named once.
func TestAGroupUnderManyTags(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		const members, tags = 3, 200
		var ids []directory.EntityID
		for i := range members {
			ids = append(ids, a.User(fmt.Sprint("user", i)))
		}
		a.Group("all", ids...)
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		x, err := a.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), Listed: []string{"bl.example"}})
		a.Must(err)
		for i := range tags {
			add(a.World, x, fmt.Sprintf("all+%d@acme.awsapps.com", i))
		}
		a.Must(store(t.Context(), x, simple))
		var kept struct {
			Held struct{ Opinions []struct{ Mailboxes []int64 } }
		}
		var text []byte
		a.Must(a.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, "SELECT about FROM queue_message").Scan(&text)
		}))
		a.Must(json.Unmarshal(text, &kept))
		if o := kept.Held.Opinions; len(o) != 1 || len(o[0].Mailboxes) != members {
			t.Errorf("kept are the opinions %+v", o)
		}
		defer a.run(t)()
		a.until("it is delivered", func() bool { return a.waits(0) })
		for _, id := range ids {
			if got := a.folders(id); got != [2]int{0, 1} {
				t.Errorf("a member has %v", got)
			}
		}
	})
}
