package transport_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// TestWhoIsNotHereYet is reached at the old side of a domain that is moving here, if that knows them: nobody else is, no other domain's
// are, and what comes back does not go there again.
func TestWhoIsNotHereYet(t *testing.T) {
	onBothSending(t, func(s *sending) {
		var asked []string
		s.Relays = map[string]string{"acme.test": "old", "far.test": "old"}
		s.Callout = func(_ context.Context, route string, to message.Address, probe bool) error {
			asked = append(asked, fmt.Sprint(route, " ", to, " ", probe))
			switch to.Local {
			case "old", "away+x":
				return nil
			case "down":
				return fault.New(fault.Temporary, fault.Address, "later")
			}
			return fault.New(fault.NotFound, fault.Address, "nobody has the address %s", to)
		}
		defer s.run(t)()

		x := outside(s.World, 0)
		add(s.World, x, "old@acme.test")
		add(s.World, x, "bob@acme.test")
		add(s.World, x, "away+x@ACME.test")
		for to, want := range map[string]fault.Kind{"nobody@acme.test": fault.NotFound, "down@acme.test": fault.Temporary, "old@acme.awsapps.com": fault.NotFound, "x@far.test": fault.Denied} {
			if err := x.Add(t.Context(), queue.Recipient{Address: address(to)}); fault.KindOf(err) != want || err == nil {
				t.Errorf("%s: %v", to, err)
			}
		}
		s.Must(store(t.Context(), x, simple))
		for i, got := range s.takings(2) {
			to := []string{"away+x@ACME.test", "old@acme.test"}[i]
			if !strings.HasPrefix(got, "<sender@other.test> <"+to+"> Delivered-To: "+to+"\r\n"+trace) {
				t.Errorf("%s goes on as %s", to, got)
			}
		}
		if len(s.Inbox(s.bob)) != 1 {
			t.Error("who is here gets nothing")
		}

		// It comes back.
		x = outside(s.World, 0)
		add(s.World, x, "old@acme.test")
		if err := store(t.Context(), x, "Delivered-To: old@acme.test\r\n"+simple); !fault.Is(err, fault.Limit, fault.Message) {
			t.Errorf("what comes back: %v", err)
		}

		// A user's waits for an old side that does not answer; a bounce asks as a probe.
		y, err := s.begin(s.ann, "ann@acme.test", "down@acme.test")
		s.Must(err)
		s.Must(store(t.Context(), y, "From: ann@acme.test\r\n\r\nx\r\n"))
		if got := s.takings(1)[0]; !strings.HasPrefix(got, "<ann@acme.test> <down@acme.test> ") {
			t.Errorf("a user's goes on as %s", got)
		}
		z, err := s.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP")})
		s.Must(err)
		add(s.World, z, "old@acme.test")
		if last := asked[len(asked)-1]; last != "old old@acme.test true" {
			t.Errorf("asked was %q", asked)
		}
		s.until("the queue is empty", func() bool { return len(s.queued()) == 0 })

		// Who is put off asks nobody.
		s.Greylist = puttingOff{}
		n := len(asked)
		if err := outside(s.World, 0).Add(t.Context(), queue.Recipient{Address: address("old@acme.test")}); !fault.Is(err, fault.Temporary, fault.Client) || len(asked) > n {
			t.Errorf("who is put off hears %v, and %q was asked", err, asked[n:])
		}
	})
}

type puttingOff struct{ *greylist }

func (puttingOff) Pass(mailauth.Client) func(context.Context, message.Address) error {
	return func(context.Context, message.Address) error { return fault.New(fault.Temporary, fault.Client, "later") }
}

// TestTakenByAnotherServer shows a message that can't be refused any more: who can't get it is lost to them alone, and their sender hears of
// it where it is proven to be the sender.
func TestTakenByAnotherServer(t *testing.T) {
	onBothSending(t, func(s *sending) {
		defer s.run(t)()
		sender := transport.Sender{Principal: principal.TheSystem("SES"), From: address("ann@acme.test"), Taken: true}
		x, err := s.Begin(t.Context(), sender)
		s.Must(err)
		add(s.World, x, "bob@acme.test")
		lost := queue.Recipient{Address: address("nobody@acme.test")}
		why := fault.As(x.Add(t.Context(), lost))
		s.Must(x.Lose(t.Context(), lost, why))
		s.Must(store(t.Context(), x, simple))
		s.until("ann is told", func() bool { return len(s.Inbox(s.ann)) == 1 })
		if text := s.Inbox(s.ann)[0].Text; !strings.Contains(text, "nobody@acme.test") || !strings.Contains(text, "Status: 5.1.1") {
			t.Errorf("ann is told\n%s", text)
		}
		if len(s.Inbox(s.bob)) != 1 {
			t.Error("bob gets nothing")
		}

		// Nobody gets it, and the transaction that says so fails.
		failing := errors.New("the job is another's by now")
		sender.Also = func(context.Context, *db.Tx) error { return failing }
		x, err = s.Begin(t.Context(), sender)
		s.Must(err)
		s.Must(x.Lose(t.Context(), lost, why))
		if err := store(t.Context(), x, simple); !errors.Is(err, failing) {
			t.Errorf("stored: %v", err)
		}
		if n := len(s.Inbox(s.ann)); n != 1 {
			t.Errorf("ann has %d messages", n)
		}
	})
}
