package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// far is the other servers: it refuses nobody@…, and takes the rest.
type far struct{ taken chan string }

func (f *far) Deliver(_ context.Context, _ queue.Destination, m *queue.Message) (outcomes []queue.Outcome) {
	b, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
	for _, r := range m.Recipients {
		switch {
		case err != nil:
			outcomes = append(outcomes, queue.Outcome{Status: "4.3.0", Reply: err.Error()})
		case r.Address.Local == "nobody":
			outcomes = append(outcomes, queue.Outcome{Result: queue.Failed, Status: "5.1.1", Reply: "550 5.1.1 who?", Host: "mx.far.test"})
		default:
			f.taken <- "<" + m.From.String() + "> <" + r.Address.String() + "> " + string(b)
			outcomes = append(outcomes, queue.Outcome{Result: queue.Delivered, Status: "2.0.0", Reply: "250 ok", Host: "mx.far.test", Tells: true})
		}
	}
	return outcomes
}

// sending is a world whose mail for others goes into a queue, which works when run is called.
type sending struct {
	*senders
	queue *queue.Queue
	far   *far
}

// teller is the transport once there is one.
type teller struct{ t **transport.Transport }

func (t teller) Tell(ctx context.Context, n *queue.Notice, done func(context.Context, *db.Tx) error) error {
	return (*t.t).Tell(ctx, n, done)
}

func onBothSending(t *testing.T, fn func(s *sending)) {
	t.Helper()
	var q *queue.Queue
	var tr *transport.Transport
	f := &far{taken: make(chan string, 100)}
	onBothSendersWith(t, func(o *transport.Options) {
		q = queue.New(queue.Options{
			DB: o.DB, Clock: clock.System{}, Log: o.Log, Courier: f, Teller: teller{&tr}, Limits: queue.Limits{Gather: -1},
			Record: func(ctx context.Context, tx *db.Tx, e queue.Event) error { return tr.Record(ctx, tx, e) },
		})
		o.Queue = q
	}, func(s *senders) {
		tr = s.Transport
		fn(&sending{s, q, f})
	})
}

// run works through the queue and the jobs until the returned function is called.
func (s *sending) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.queue.Run(ctx) }()
	end := run(t, s.DB, s.Transport)
	return func() {
		end()
		cancel()
		s.Must(<-ended)
	}
}

func (s *sending) queued() (list []string) {
	s.T.Helper()
	entries, _, err := s.queue.List(s.T.Context(), queue.Filter{}, queue.Cursor{}, 100)
	s.Must(err)
	for _, e := range entries {
		list = append(list, "<"+e.From+"> <"+e.Recipient+">")
	}
	slices.Sort(list)
	return list
}

// until waits for what the server does by itself.
func (s *sending) until(what string, holds func() bool) {
	s.T.Helper()
	for end := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(end) {
			s.T.Fatalf("it never came to this: %s", what)
		}
		select {
		case <-s.T.Context().Done():
			s.T.Fatal(what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// signer signs with what it was asked, and fails for a domain.
type signer struct{ fails string }

func (s *signer) Sign(_ context.Context, org int64, domain string, text []byte) ([]byte, error) {
	if domain == s.fails {
		return nil, fault.New(fault.Temporary, fault.Message, "no key")
	}
	return fmt.Appendf(nil, "DKIM-Signature: org=%t d=%s size=%d\r\n", org != 0, domain, len(text)), nil
}

func (s *signer) Seal(_ context.Context, text []byte, results string, chain arc.Chain) ([]byte, error) {
	if s.fails != "" {
		return nil, errors.New("no key")
	}
	results, _, _ = strings.Cut(results, ";")
	return fmt.Appendf(nil, "ARC-Seal: i=%d results=%s size=%d\r\n", chain.Instance+1, results, len(text)), nil
}

// Only what leaves is signed: for each domain of its authors, or the server's own.
func TestWhatLeavesIsSigned(t *testing.T) {
	onBothSending(t, func(s *sending) {
		keys := &signer{}
		s.Signer = keys
		x, err := s.begin(s.ann, "ann@acme.test", "bob@acme.test", "one@far.test")
		s.Must(err)
		s.Must(store(t.Context(), x, "From: ann@acme.test, Ann <ann@ACME.test>\r\nSubject: both\r\n\r\nx\r\n"))
		if got := s.Inbox(s.bob); len(got) != 1 || strings.Contains(got[0].Text, "DKIM") {
			t.Errorf("bob has %+v", got)
		}
		end := s.run(t)
		_, got, _ := strings.Cut(<-s.far.taken, "> <one@far.test> ")
		if field, rest, _ := strings.Cut(got, "\r\n"); field != fmt.Sprintf("DKIM-Signature: org=true d=acme.test size=%d", len(rest)) || strings.Contains(rest, "DKIM") {
			t.Errorf("one gets %s", got)
		}
		// A notice is the server's own.
		done := func(context.Context, *db.Tx) error { return nil }
		n := &queue.Notice{
			Envelope: queue.Envelope{From: address("x@far.test"), Trace: "t"}, Body: strings.NewReader("Subject: x\r\n\r\n"), Size: 14,
			Reports: []queue.Report{{Recipient: asked("a@far.test"), Outcome: queue.Outcome{Status: "5.0.0"}}},
		}
		s.Must(s.Tell(t.Context(), n, done))
		if got := <-s.far.taken; !strings.HasPrefix(got, "<> <x@far.test> DKIM-Signature: org=false d=mail.acme.awsapps.com ") {
			t.Errorf("x gets %s", got)
		}
		end()

		// What can't be signed is nowhere.
		keys.fails = "acme.test"
		x, err = s.begin(s.ann, "ann@acme.test", "bob@acme.test", "one@far.test")
		s.Must(err)
		if err := store(t.Context(), x, "From: ann@acme.test\r\nSubject: both\r\n\r\nx\r\n"); !fault.Is(err, fault.Temporary, fault.Message) {
			t.Errorf("without a key: %v", err)
		}
		keys.fails = "mail.acme.awsapps.com"
		if err := s.Tell(t.Context(), n, done); !fault.Is(err, fault.Temporary, fault.Message) {
			t.Errorf("without a key: %v", err)
		}
		if len(s.queued()) != 0 || len(s.Inbox(s.bob)) != 1 {
			t.Errorf("queued are %q, and bob has %d messages", s.queued(), len(s.Inbox(s.bob)))
		}
	})
}

func TestMailForOthersIsQueuedWithTheRest(t *testing.T) {
	onBothSending(t, func(s *sending) {
		x, err := s.begin(s.ann, "ann@acme.test", "bob@acme.test", "one@far.test", "two@far.test", "one@FAR.test")
		s.Must(err)
		s.Must(store(t.Context(), x, "From: ann@acme.test\r\nBcc: secret@far.test\r\nSubject: both\r\n\r\nx\r\n"))
		want := []string{"<ann@acme.test> <one@far.test>", "<ann@acme.test> <two@far.test>"}
		if got := s.queued(); !slices.Equal(got, want) || len(s.Inbox(s.bob)) != 1 {
			t.Errorf("queued are %q, and bob has %d messages", got, len(s.Inbox(s.bob)))
		}
		defer s.run(t)()
		for range want {
			got := <-s.far.taken
			if !strings.Contains(got, "Subject: both") || strings.Contains(got, "secret") {
				t.Errorf("they get %q", got)
			}
		}
		s.until("the queue is empty", func() bool { return len(s.queued()) == 0 })
	})
}

// TestTwoSpellingsOfADomain: whoever names them, or leads to them, one address gets a message once.
func TestTwoSpellingsOfADomain(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Group("team", s.Remote("away", "away@old.example"))
		send := func(to ...string) {
			t.Helper()
			x, err := s.begin(s.ann, "ann@acme.test", to...)
			s.Must(err)
			s.Must(store(t.Context(), x, "From: ann@acme.test\r\n\r\nx\r\n"))
		}
		queued := 0
		more := func(what string, want int) {
			t.Helper()
			list := s.queued()
			if len(list)-queued != want {
				t.Errorf("%s: queued is %q", what, list)
			}
			queued = len(list)
		}
		for _, rules := range []string{"", " with rules"} {
			send("one@far.test", "one@FAR.test")
			more("one who is named twice"+rules, 1)
			send("team@acme.awsapps.com", "away@OLD.example")
			more("a group, and its member"+rules, 1)
			send("away@OLD.example", "team@acme.awsapps.com")
			more("a member, and its group"+rules, 1)
			if rules == "" {
				s.Must(s.Flow.CreateGateway(t.Context(), transporttest.Admin, s.Acme.ID, flow.Gateway{Name: "Relay", Host: "relay.test", Port: 465}))
				outbound(s.World, flow.RouteToSMTP, "relay", "*.far.test")
				outbound(s.World, flow.Drop, "", "nobody@old.example")
			}
		}
		s.Script(s.ann, `redirect "y@far.example";`)
		s.Script(s.bob, `redirect "y@FAR.example";`)
		s.Must(arrive(s.World, "x@far.example", "x", "ann@acme.test", "bob@acme.test"))
		more("two scripts", 1)
	})
}

func TestWhatIsRefusedIsNotQueued(t *testing.T) {
	onBothSending(t, func(s *sending) {
		x, err := s.begin(s.ann, "ann@acme.test", "one@far.test")
		s.Must(err)
		if err := store(t.Context(), x, "From: bob@acme.test\r\n\r\nx\r\n"); !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("as somebody else: %v", err)
		}
		if _, err := s.begin(s.ann, "ann@acme.awsapps.com", "one@far.test"); !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("from a test domain: %v", err)
		}
		x, err = s.begin(s.ann, "ann@acme.test", "one@far.test")
		s.Must(err)
		if err := store(t.Context(), x, "From: ann@acme.awsapps.com\r\n\r\nx\r\n"); !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("with a test domain in From: %v", err)
		}
		x = outside(s.World, 0)
		if err := x.Add(t.Context(), asked("one@far.test")); !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("from another server: %v", err)
		}
		if got := s.queued(); len(got) != 0 {
			t.Errorf("queued are %q", got)
		}
	})
}

func TestRefusalsComeBack(t *testing.T) {
	onBothSending(t, func(s *sending) {
		defer s.run(t)()
		x, err := s.begin(s.ann, "ann@acme.test", "nobody@far.test", "one@far.test")
		s.Must(err)
		s.Must(store(t.Context(), x, "From: ann@acme.test\r\nSubject: lost\r\n\r\nx\r\n"))
		s.until("a notice", func() bool { return len(s.Inbox(s.ann)) == 1 })
		text := s.Inbox(s.ann)[0].Text
		report, ok := dsn.Parse([]byte(text))
		if !ok || len(report.Recipients) != 1 || report.Recipients[0].Address != address("nobody@far.test") || report.Recipients[0].Action != dsn.Failed ||
			report.Recipients[0].Status != "5.1.1" || !strings.HasPrefix(text, "Return-Path: <>\r\n") || !strings.Contains(text, "Subject: lost") {
			t.Errorf("ann gets %s", text)
		}
	})
}

// A user who asks hears that its message is in a mailbox; a stranger, who could name anybody, does not.
func TestSuccessIsToldOnce(t *testing.T) {
	onBothSending(t, func(s *sending) {
		wanted := queue.Recipient{Address: address("bob@acme.test"), Original: "rfc822;bob@acme.test", Notify: queue.OnSuccess}
		x, err := s.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("x@far.test"), EnvelopeID: "QQ1"})
		s.Must(err)
		y, err := s.Begin(t.Context(), transport.Sender{Principal: user(s.World, s.ann), Submitted: true, From: address("ann@acme.test")})
		s.Must(err)
		for _, m := range []*transport.Transaction{x, y} {
			s.Must(m.Add(t.Context(), wanted))
			s.Must(store(t.Context(), m, "From: ann@acme.test\r\nSubject: asks\r\n\r\nx\r\n"))
		}
		defer s.run(t)()
		s.until("ann's notice", func() bool { return len(s.Inbox(s.ann)) == 1 })
		text := s.Inbox(s.ann)[0].Text
		if report, ok := dsn.Parse([]byte(text)); !ok || len(report.Recipients) != 1 || report.Recipients[0].Action != dsn.Delivered {
			t.Errorf("ann gets %s", text)
		}
		if len(s.Inbox(s.bob)) != 2 || len(s.far.taken) != 0 || len(s.queued()) != 0 {
			t.Errorf("bob has %d messages, %d were sent, queued are %q", len(s.Inbox(s.bob)), len(s.far.taken), s.queued())
		}
	})
}

// Who sends as a group hears what became of the message: the group has no mailbox, and its members did not send it.
func TestRefusalsOfAGroupsMailGoToWhoSentIt(t *testing.T) {
	onBothSending(t, func(s *sending) {
		g := s.Group("sales", s.bob)
		s.Must(s.World.Directory.CreateAlias(t.Context(), transporttest.Admin, s.Acme.ID, g, "sales@acme.test"))
		s.Grant(g, s.ann, policy.SendAs)
		defer s.run(t)()
		x, err := s.begin(s.ann, "sales@acme.test", "nobody@far.test")
		s.Must(err)
		s.Must(store(t.Context(), x, "From: sales@acme.test\r\n\r\nx\r\n"))
		s.until("ann's notice", func() bool { return len(s.Inbox(s.ann)) == 1 })
		if len(s.Inbox(s.bob)) != 0 {
			t.Error("a member of the group hears of it")
		}
	})
}

// A notice waits for room in a full mailbox, but not for ever.
func TestANoticeForAFullMailboxWaits(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.SetQuota(s.ann, 1)
		done := 0
		n := &queue.Notice{
			Envelope: queue.Envelope{From: address("ann@acme.test"), Trace: "t"}, Queued: s.Clock.Now(), Body: strings.NewReader("Subject: x\r\n\r\n"), Size: 14,
			Reports: []queue.Report{{Recipient: asked("a@far.test"), Outcome: queue.Outcome{Status: "5.0.0"}}},
		}
		tell := func() error {
			return s.Tell(t.Context(), n, func(context.Context, *db.Tx) error { done++; return nil })
		}
		done = 0
		if err := tell(); !fault.Is(err, fault.OverQuota, fault.Mailbox) {
			t.Errorf("while it is full: %v", err)
		}
		n.Queued = s.Clock.Now().Add(-15 * 24 * time.Hour)
		done = 0
		s.Must(tell())
		if done == 0 {
			t.Error("it waits for ever")
		}
	})
}

// A notice to somebody who is gone ends there.
func TestANoticeToNobodyEnds(t *testing.T) {
	onBothSending(t, func(s *sending) {
		for _, to := range []message.Address{address("gone@acme.test"), address("all@acme.test")} {
			done := 0
			n := &queue.Notice{
				Envelope: queue.Envelope{From: to, Trace: "t"}, Body: strings.NewReader("Subject: x\r\n\r\n"), Size: 14,
				Reports: []queue.Report{{Recipient: asked("a@far.test"), Outcome: queue.Outcome{Status: "5.0.0"}}},
			}
			s.Must(s.Tell(t.Context(), n, func(context.Context, *db.Tx) error { done++; return nil }))
			if done == 0 || len(s.queued()) != 0 {
				t.Errorf("%s: done %d times, queued %q", to, done, s.queued())
			}
		}
	})
}

// The log group hears of each recipient when another server took it, or would not.
func TestEventsOfMailForOthers(t *testing.T) {
	onBothSending(t, func(s *sending) {
		monitor(s.World, s.Acme)
		defer s.run(t)()
		x, err := s.begin(s.ann, "ann@acme.test", "nobody@far.test", "one@far.test")
		s.Must(err)
		s.Must(store(t.Context(), x, "From: ann@acme.test\r\nMessage-ID: <3@acme>\r\nSubject: out\r\n\r\nx\r\n"))
		got := untraced(t, s.Told(3))
		want := []string{
			`{"eventName":"OUTGOING_EMAIL_SUBMITTED","recipients":["nobody@far.test","one@far.test"],"from":"ann@acme.test","subject":"out"}`,
			`{"eventName":"OUTGOING_EMAIL_BOUNCED","bouncedRecipient":{"emailAddress":"nobody@far.test","reason":"550 5.1.1 who?","status":"5.1.1"},"destination":"nobody@far.test","reason":"550 5.1.1 who?"}`,
			`{"eventName":"OUTGOING_EMAIL_SENT","recipient":"one@far.test","from":"ann@acme.test","messageId":"<3@acme>"}`,
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("it is told as\n%s", strings.Join(got, "\n"))
		}
	})
}
