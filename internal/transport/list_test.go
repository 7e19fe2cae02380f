package transport_test

import (
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// TestListID: who gets a message through a group sees which by List-Id, here and elsewhere; who is named does not, and a message names one list only.
func TestListID(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		cyd, dan := a.User("cyd"), a.User("dan")
		away := a.Remote("away", "away@old.example", "away@acme.test")
		team := a.Group("Team", a.bob, cyd, a.Group("inner", dan, away))
		a.Must(a.Directory.CreateAlias(t.Context(), transporttest.Admin, a.Acme.ID, team, "sales@acme.test"))
		defer a.run(t)()
		last := func(id directory.EntityID) string {
			list := a.Inbox(id)
			v, _ := message.FirstValue([]byte(list[len(list)-1].Text), "list-id")
			return v
		}
		send := func(text string, to ...string) (passedOn string) {
			t.Helper()
			x := outside(a.World, 0)
			for _, r := range to {
				add(a.World, x, r)
			}
			a.Must(store(t.Context(), x, text))
			_, passedOn, _ = strings.Cut(a.takings(1)[0], "> <away@old.example> ")
			return passedOn
		}
		const id = "<team.acme.awsapps.com>"
		for name, to := range map[string][]string{
			"the named one first":      {"bob@acme.test", "sales@acme.test", "inner@acme.awsapps.com"},
			"the group first":          {"sales@acme.test", "inner@acme.awsapps.com", "bob@acme.test"},
			"the group by two aliases": {"sales@acme.test", "team@acme.awsapps.com", "bob@acme.test"},
		} {
			passedOn := send(simple, to...)
			if b, c, d := last(a.bob), last(cyd), last(dan); b != "" || c != id || d != id {
				t.Errorf("%s: %q, %q and %q", name, b, c, d)
			}
			if !strings.HasPrefix(passedOn, "Delivered-To: sales@acme.test\r\nList-Id: "+id+"\r\n"+trace) {
				t.Errorf("%s: passed on is %s", name, passedOn)
			}
		}
		// A rule that keeps it from who is named leaves what comes through the group.
		inbound(a.World, a.Acme, flow.Drop, "bob@acme.test")
		send(fromFar, "bob@acme.test", "sales@acme.test")
		if b := last(a.bob); b != id {
			t.Errorf("bob's has %q", b)
		}

		for text, want := range map[string]string{
			"List-Id: <other.far.example>\r\n" + simple:                                     "<other.far.example>",
			"DKIM-Signature: v=1; h=from:list-unsubscribe; b=x\r\n" + simple:                id,
			"ARC-Message-Signature: i=1; h=from:list-id; b=x\r\n" + simple:                  "",
			"DKIM-Signature: v=1; h=From:\r\n\tfrom : List-Id:to; b=x\r\n" + simple:         "",
			"DKIM-Signature: v=1; d=list-id; z=h=list-id\r\nDKIM-Signature: x\r\n" + simple: id,
		} {
			passedOn := send(text, "sales@acme.test")
			ours := strings.HasPrefix(passedOn, "Delivered-To: sales@acme.test\r\nList-Id: "+id)
			if got := last(cyd); got != want || ours != (want == id) {
				t.Errorf("%q: got %q, and passed on is %s", text, got, passedOn)
			}
		}

		// A signature of what is passed on still stands.
		key := dkim.Key{Domain: "other.test", Selector: "s", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
		fields, err := dkim.Sign([]byte(simple), dkim.SignOptions{Time: transporttest.Start}, key)
		a.Must(err)
		v := dkim.Verifier{Now: func() time.Time { return transporttest.Start }, Resolver: dkim.Resolver{
			TXT: func(context.Context, string) ([]string, error) { return []string{key.Record().String()}, nil },
		}}
		passedOn := send(string(fields)+simple, "sales@acme.test")
		if got := v.Verify(t.Context(), []byte(passedOn)); len(got) != 1 || got[0].Result != dkim.Pass || !strings.Contains(passedOn, "\r\nList-Id: ") {
			t.Errorf("the signature of what is passed on is %+v, of %s", got, passedOn)
		}
	})
}

// TestBouncesToAGroup reach its members without a reverse-path: whatever becomes of them, nothing follows.
func TestBouncesToAGroup(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		gone := a.Remote("gone", "nobody@old.example")
		a.Group("team", a.bob, gone)
		defer a.run(t)()
		x, err := a.Begin(t.Context(), transport.Sender{})
		a.Must(err)
		add(a.World, x, "team@acme.awsapps.com")
		a.Must(store(t.Context(), x, "From: MAILER-DAEMON@far.test\r\nSubject: Not delivered\r\n\r\nx\r\n"))
		a.until("the other server refused it", func() bool { return a.waits(0) })
		if got := a.Inbox(a.bob); len(got) != 1 || !strings.HasPrefix(got[0].Text, "Return-Path: <>\r\n") {
			t.Errorf("bob has %+v", got)
		}
	})
}

// TestNobodyAnswersAGroup: a script's vacation sees the List-Id, and is silent also where the script says that the group's address is its user's.
func TestNobodyAnswersAGroup(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Group("team", a.bob)
		a.Script(a.bob, `require "vacation"; vacation :addresses "team@acme.awsapps.com" "away";`)
		a.Must(a.Autoreply.Put(t.Context(), transporttest.Admin, a.Acme.ID, string(a.bob), reply(autoreply.Enabled, autoreply.All)))
		defer a.run(t)()
		ask := func(to string) {
			x, err := a.begin(a.ann, "ann@acme.test", to)
			a.Must(err)
			a.Must(store(t.Context(), x, "From: ann@acme.test\r\nTo: "+to+"\r\n\r\nx\r\n"))
		}
		ask("team@acme.awsapps.com")
		ask("bob@acme.test")
		a.until("ann is answered", func() bool { return len(a.Inbox(a.ann)) > 0 })
		if n := len(a.Inbox(a.bob)); n != 2 {
			t.Errorf("bob has %d", n)
		}
		if got := a.Inbox(a.ann); len(got) != 1 {
			t.Errorf("ann has %d answers", len(got))
		}
	})
}
