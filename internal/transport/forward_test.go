package transport_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// takings are what the other servers take, n of them.
func (s *sending) takings(n int) (list []string) {
	for range n {
		list = append(list, <-s.far.taken)
	}
	slices.Sort(list)
	return list
}

// Mail for a user whose mailbox is elsewhere, and for a group with such a member, goes there: from other servers and from users, with
// the reverse-path that it had, none included.
func TestMailForThoseElsewhereIsPassedOn(t *testing.T) {
	onBothSending(t, func(s *sending) {
		away := s.Remote("away", "away@old.example", "away@acme.test")
		other := s.Remote("other", "other@old.example")
		s.Group("team", s.bob, away, s.Group("inner", other, away))
		defer s.run(t)()

		x := outside(s.World, 0)
		add(s.World, x, "Away+tag@acme.test")
		s.Must(store(t.Context(), x, simple))
		got := s.takings(1)[0]
		if !strings.HasPrefix(got, "<sender@other.test> <away@old.example> Delivered-To: Away+tag@acme.test\r\n"+trace+"From: Sender") {
			t.Errorf("it is passed on as %s", got)
		}

		bounce, err := s.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP")})
		s.Must(err)
		add(s.World, bounce, "team@acme.awsapps.com")
		add(s.World, bounce, "away@acme.test") // has it already
		s.Must(store(t.Context(), bounce, simple))
		for i, got := range s.takings(2) {
			if want := "<> <" + []string{"away", "other"}[i] + "@old.example> Delivered-To: team@acme.awsapps.com\r\n"; !strings.HasPrefix(got, want) {
				t.Errorf("%s is passed on, want %s", got, want)
			}
		}

		y, err := s.begin(s.ann, "ann@acme.test", "team@acme.awsapps.com", "third@old.example")
		s.Must(err)
		s.Must(store(t.Context(), y, "From: ann@acme.test\r\n\r\nx\r\n"))
		list := s.takings(3)
		for i, want := range []string{"<away@old.example> Delivered-To: team@", "<other@old.example> Delivered-To: team@", "<third@old.example> Received:"} {
			if !strings.HasPrefix(list[i], "<ann@acme.test> "+want) {
				t.Errorf("%s is passed on, want %s", list[i], want)
			}
		}
		if n := len(s.Inbox(s.bob)); n != 2 {
			t.Errorf("bob has %d messages", n)
		}
		s.until("the queue is empty", func() bool { return len(s.queued()) == 0 })
	})
}

func TestWhatIsNotPassedOn(t *testing.T) {
	onBothSending(t, func(s *sending) {
		away := s.Remote("away", "away@old.example", "away@acme.test")
		s.Group("team", s.bob, away)
		back := s.Remote("back", "back@late.example", "back@acme.test")
		s.Group("circle", s.bob, back)
		s.Must(s.World.Directory.VouchForDomain(t.Context(), transporttest.Admin, s.Acme.ID, "late.example"))

		x := outside(s.World, 0)
		refused(s.World, x, "back@acme.test", fault.Unsupported, fault.Address)
		refused(s.World, x, "back@late.example", fault.Unsupported, fault.Address)
		refused(s.World, x, "circle@acme.awsapps.com", fault.Unsupported, fault.Address)
		refused(s.World, x, "away@old.example", fault.Denied, fault.Address)
		add(s.World, x, "team@acme.awsapps.com")
		if err := store(t.Context(), x, "Delivered-To: Team@acme.awsapps.com\r\n"+simple); !fault.Is(err, fault.Limit, fault.Message) {
			t.Errorf("a message that was here before: %v", err)
		}
		if _, err := s.begin(s.ann, "ann@acme.awsapps.com", "team@acme.awsapps.com"); !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("from a test domain: %v", err)
		}
		y, err := s.begin(s.ann, "ann@acme.test", "team@acme.awsapps.com")
		s.Must(err)
		if err := store(t.Context(), y, "From: ann@acme.awsapps.com\r\n\r\nx\r\n"); !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("with a test domain in From: %v", err)
		}
		z := outside(s.World, 0)
		for i := range 20 {
			s.Remote("r"+string(rune('a'+i)), "r"+string(rune('a'+i))+"@old.example", "r"+string(rune('a'+i))+"@acme.test")
			add(s.World, z, "r"+string(rune('a'+i))+"@acme.test")
		}
		refused(s.World, z, "away@acme.test", fault.Limit, fault.Address)
		if len(s.queued()) != 0 || len(s.Inbox(s.bob)) != 0 {
			t.Errorf("queued are %q, bob has %d messages", s.queued(), len(s.Inbox(s.bob)))
		}
	})
}

// What a sender hears of those elsewhere is what RFC 3461 says of aliases: one keeps what was asked, of a group it hears that it was
// expanded, and then of failures.
func TestNoticesOfThoseElsewhere(t *testing.T) {
	onBothSending(t, func(s *sending) {
		nobody := s.Remote("nobody", "nobody@old.example", "gone@acme.test")
		s.Group("team", s.bob, nobody)
		defer s.run(t)()
		all := queue.OnSuccess | queue.OnFailure
		x, err := s.Begin(t.Context(), transport.Sender{Principal: user(s.World, s.ann), Submitted: true, From: address("ann@acme.test")})
		s.Must(err)
		s.Must(x.Add(t.Context(), queue.Recipient{Address: address("team@acme.awsapps.com"), Notify: all}))
		s.Must(store(t.Context(), x, "From: ann@acme.test\r\n\r\nx\r\n"))
		s.until("two notices", func() bool { return len(s.Inbox(s.ann)) == 2 })
		var told []string
		for _, m := range s.Inbox(s.ann) {
			if r, ok := dsn.Parse([]byte(m.Text)); ok {
				told = append(told, string(r.Recipients[0].Action)+" "+r.Recipients[0].Address.String()+" "+r.Recipients[0].Original)
			}
		}
		slices.Sort(told)
		if want := []string{"expanded team@acme.awsapps.com ", "failed nobody@old.example rfc822;team@acme.awsapps.com"}; !slices.Equal(told, want) {
			t.Errorf("ann hears %q, want %q", told, want)
		}

		// A stranger who is proven to be whom it says hears of the failure, by another server.
		s.Auth = &checker{verdict: mailauth.Verdict{SPF: mailauth.Outcome{Result: dkim.Pass}}}
		y := outside(s.World, 0)
		add(s.World, y, "gone@acme.test")
		s.Must(store(t.Context(), y, simple))
		got := s.takings(1)[0]
		if !strings.HasPrefix(got, "<> <sender@other.test> ") || !strings.Contains(got, "Action: failed") {
			t.Errorf("the stranger gets %s", got)
		}
	})
}

// lastQueued keeps the recipients of what was queued last.
type lastQueued struct {
	transport.Outbound
	to []queue.Recipient
}

func (l *lastQueued) EnqueueTx(ctx context.Context, tx *db.Tx, p *queue.Prepared, e queue.Envelope, to []queue.Recipient) (queue.ID, error) {
	l.to = to
	return l.Outbound.EnqueueTx(ctx, tx, p, e, to)
}

// TestBackscatter: a reverse-path that may be forged is told of nothing that is passed on.
func TestBackscatter(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Remote("away", "away@old.example", "away@acme.test")
		seen := &lastQueued{Outbound: s.Queue}
		s.Queue = seen
		passes := mailauth.DMARC{Result: dkim.Pass, From: "other.test"}
		for name, c := range map[string]struct {
			auth transport.Checker
			want queue.Notify
		}{
			"not checked":                {nil, queue.Never},
			"nothing passes":             {&checker{verdict: failed(mailauth.PolicyNone)}, queue.Never},
			"SPF passes":                 {&checker{verdict: mailauth.Verdict{SPF: mailauth.Outcome{Result: dkim.Pass}}}, queue.OnFailure},
			"SPF could not be looked up": {&checker{verdict: mailauth.Verdict{SPF: mailauth.Outcome{Result: dkim.TempError}}}, queue.Never},
			"DMARC passes":               {&checker{verdict: mailauth.Verdict{DMARC: passes}}, queue.OnFailure},
			"DMARC of another passes":    {&checker{verdict: mailauth.Verdict{DMARC: mailauth.DMARC{Result: dkim.Pass, From: "evil.test"}}}, queue.Never},
		} {
			s.Auth = c.auth
			x := outside(s.World, 0)
			add(s.World, x, "away@acme.test")
			s.Must(store(t.Context(), x, simple))
			if seen.to[0].Notify != c.want {
				t.Errorf("%s: notify is %d, want %d", name, seen.to[0].Notify, c.want)
			}
		}
	})
}

// A notice for the address here of a mailbox elsewhere goes there.
func TestANoticeForOneElsewhere(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Remote("away", "away@old.example", "away@acme.test")
		defer s.run(t)()
		s.Auth = &checker{verdict: mailauth.Verdict{SPF: mailauth.Outcome{Result: dkim.Pass}}}
		x, err := s.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("away@acme.test")})
		s.Must(err)
		s.Remote("nobody", "nobody@old.example", "nobody@acme.test")
		add(s.World, x, "nobody@acme.test")
		s.Must(store(t.Context(), x, simple))
		if got := s.takings(1)[0]; !strings.HasPrefix(got, "<> <away@old.example> ") {
			t.Errorf("it goes as %s", got)
		}
	})
}

// What is passed on is the mail of whose address led there, and fills that organisation's queue.
func TestWhoseQueueFills(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Remote("away", "away@old.example", "away@acme.test")
		s.queue.Limits.OrganizationMessages = 1
		x := outside(s.World, 0)
		add(s.World, x, "away@acme.test")
		late := outside(s.World, 0)
		add(s.World, late, "away@acme.test")
		s.Must(store(t.Context(), x, simple))
		if err := store(t.Context(), late, simple); !fault.Is(err, fault.Limit, fault.Organization) {
			t.Errorf("a message more: %v", err)
		}
		refused(s.World, outside(s.World, 0), "away@acme.test", fault.Limit, fault.Organization)
		if _, err := s.begin(s.ann, "ann@acme.test", "x@far.test"); !fault.Is(err, fault.Limit, fault.Organization) {
			t.Errorf("submitted: %v", err)
		}
		entries, _, err := s.queue.List(t.Context(), queue.Filter{Organization: s.Acme.Key}, queue.Cursor{}, 10)
		s.Must(err)
		if len(entries) != 1 || entries[0].Recipient != "away@old.example" {
			t.Errorf("queued are %+v", entries)
		}
	})
}

// TestStrangersFillHalfAQueue: by number and by size, so that users can send however much is passed on.
func TestStrangersFillHalfAQueue(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Remote("away", "away@old.example", "away@acme.test")
		pass := func() error {
			x := outside(s.World, 0)
			if err := x.Add(t.Context(), asked("away@acme.test")); err != nil {
				return err
			}
			return store(t.Context(), x, simple)
		}
		send := func() error {
			x, err := s.begin(s.ann, "ann@acme.test", "x@far.test")
			if err != nil {
				return err
			}
			return store(t.Context(), x, "From: ann@acme.test\r\n\r\nx\r\n")
		}
		full := func(what string, err error) {
			t.Helper()
			if !fault.Is(err, fault.Limit, fault.Organization) {
				t.Errorf("%s: %v", what, err)
			}
		}
		s.queue.Limits.OrganizationMessages = 4
		s.Must(pass())
		s.Must(pass())
		late := outside(s.World, 0)
		full("a third one that is passed on", pass())
		s.queue.Limits.OrganizationMessages, s.queue.Limits.OrganizationBytes = 100, 600
		full("one that is passed on beyond half of the size", pass())
		s.queue.Limits.OrganizationBytes = 0
		add(s.World, late, "away@acme.test")
		s.queue.Limits.OrganizationMessages = 4
		full("one whose recipient was accepted before", store(t.Context(), late, simple))
		s.Must(send())
		s.Must(send())
		full("a fifth", send())
	})
}

// What another server sent is sealed with what was found of it (RFC 8617), and passed on all the same where that is not possible.
func TestWhatIsPassedOnIsSealed(t *testing.T) {
	onBothSending(t, func(s *sending) {
		keys := &signer{}
		s.Signer = keys
		s.Remote("away", "away@old.example", "away@acme.test")
		defer s.run(t)()
		send := func(want string) {
			t.Helper()
			x := outside(s.World, 0)
			add(s.World, x, "away@acme.test")
			s.Must(store(t.Context(), x, simple))
			if got := s.takings(1)[0]; !strings.HasPrefix(got, "<sender@other.test> <away@old.example> Delivered-To: away@acme.test\r\n"+want+trace) {
				t.Errorf("it is passed on as %s, want %s", got, want)
			}
		}
		send("") // not checked
		verdict := failed(mailauth.PolicyNone)
		verdict.ARC.Instance = 2
		s.Auth = &checker{verdict: verdict}
		send(fmt.Sprintf("ARC-Seal: i=3 results=mail.acme.awsapps.com size=%d\r\n", len(trace+simple)))
		keys.fails = "all"
		send("")
	})
}

// TestRulesKeepWhoIsToldOfFailures: that any rule was looked for doesn't take from a proven sender what it is told.
func TestRulesKeepWhoIsToldOfFailures(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		away := a.Remote("away", "away@old.example", "away@acme.test")
		a.Group("team", a.bob, away)
		inbound(a.World, a.Acme, flow.Drop, "nobody@acme.test")
		seen := &lastQueued{Outbound: a.Queue}
		a.Queue = seen
		check := func(what string, want queue.Notify) {
			t.Helper()
			if seen.to[0].Address != address("away@old.example") || seen.to[0].Notify != want {
				t.Errorf("%s: queued is %+v", what, seen.to[0])
			}
		}
		checks := &checker{verdict: mailauth.Verdict{SPF: mailauth.Outcome{Result: dkim.Pass}}}
		a.Auth = checks
		a.arrive("x@far.example", "away@acme.test")
		check("by a rule", queue.OnFailure)
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		for i, want := range []queue.Notify{queue.OnFailure, queue.Never} {
			a.arrive("y@far.example", "team@acme.awsapps.com")
			stop := a.run(t)
			a.until("it is delivered", func() bool { return len(a.Inbox(a.bob)) == i+1 })
			stop()
			check("by a function", want)
			checks.verdict = mailauth.Verdict{}
		}
	})
}
