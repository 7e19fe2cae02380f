package transport_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
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

// inbound makes an inbound rule of an organisation for mail from x@far.example, named as its action.
func inbound(w *transporttest.World, o *directory.Organization, a flow.Action, recipients ...string) {
	w.T.Helper()
	r := flow.Rule{Direction: flow.Inbound, Name: string(a), Action: a, Senders: []string{"x@far.example"}, Recipients: recipients}
	w.Must(w.Flow.CreateRule(w.T.Context(), transporttest.Admin, o.ID, r))
}

// outbound makes an outbound rule of acme for everybody's mail.
func outbound(w *transporttest.World, a flow.Action, gateway string, recipients ...string) {
	w.T.Helper()
	r := flow.Rule{Direction: flow.Outbound, Name: string(a), Action: a, Senders: []string{"*"}, Recipients: recipients, Gateway: gateway}
	w.Must(w.Flow.CreateRule(w.T.Context(), transporttest.Admin, w.Acme.ID, r))
}

// TestInboundRules shows each action on mail that arrives, for the recipients it is for.
func TestInboundRules(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		monitor(a.World, a.Acme)
		bob := a.User("bob")
		a.Group("team", a.ann, bob)
		inbound(a.World, a.Acme, flow.Drop, "ann@acme.awsapps.com")
		a.Must(a.send(fromFar, annsAddress, evesAddress))
		a.has(0, 0, 1)
		want := []string{
			`{"eventName":"ORGANIZATION_EMAIL_RECEIVED","recipients":["ann@acme.awsapps.com"],"from":"x@far.example","subject":"hello","dkimVerdict":"GRAY","dmarcVerdict":"GRAY","spfVerdict":"GRAY"}`,
			`{"eventName":"RULE_APPLIED","ruleName":"DROP","ruleType":"INBOUND_RULE","ruleActions":[{"action":"DROP","recipients":["ann@acme.awsapps.com"]}]}`,
		}
		if got := without(untraced(t, a.Told(2))); !slices.Equal(got, want) {
			t.Errorf("told is %s", got)
		}
		a.Must(a.send(fromFar, annsAddress)) // nobody is left
		a.has(0, 0, 1)
		a.Told(2)
		// Who gets the message by another recipient too gets it.
		a.Must(a.send(fromFar, annsAddress, "team@acme.awsapps.com"))
		a.has(1, 0, 1)
		a.Told(4)
		if n := len(a.Inbox(bob)); n != 1 {
			t.Errorf("bob has %d", n)
		}

		inbound(a.World, a.Acme, flow.MoveToJunk, "bob@acme.awsapps.com")
		a.Must(a.send(fromFar, "bob@acme.awsapps.com"))
		if i, j := len(a.Inbox(bob)), len(a.Junk(bob)); i != 1 || j != 1 {
			t.Errorf("bob has %d and %d", i, j)
		}
		if got := untraced(t, a.Told(3)); got[2] != `{"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"bob@acme.awsapps.com","folder":"Junk E-mail"}` {
			t.Errorf("told is %s", got)
		}

		inbound(a.World, a.other, flow.Bounce, "*")
		if err := a.send(fromFar, evesAddress); !fault.Is(err, fault.Denied, fault.Message) || !strings.Contains(err.Error(), "blocked by the administrator") {
			t.Errorf("where it bounces for all: %v", err)
		}
		if n := a.FlowStats().Applied[transport.AppliedRule{Direction: flow.Inbound, Action: flow.Bounce}]; n != 1 {
			t.Errorf("%d times a rule is counted that bounced one", n)
		}
		a.has(1, 0, 1)
		a.Must(a.send(strings.Replace(fromFar, "x@", "y@", 1), evesAddress))
		a.has(1, 0, 2)
	})
}

// TestRulesAndDMARC: what the author's domain asks for comes first, and a rule that lets no verdict on spam count doesn't undo it.
func TestRulesAndDMARC(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		inbound(a.World, a.Acme, flow.BypassSpam, "*")
		a.verdict = failed(mailauth.PolicyQuarantine)
		a.Must(a.send(fromFar, annsAddress))
		a.has(0, 1, 0)
		a.verdict = failed(mailauth.PolicyReject)
		a.Must(a.send(fromFar, annsAddress, evesAddress))
		a.has(0, 1, 1)
		if err := a.send(fromFar, annsAddress); !fault.Is(err, fault.Denied, fault.Message) {
			t.Error(err)
		}
		a.verdict = mailauth.Verdict{}
		a.Must(a.send(fromFar, annsAddress))
		a.has(1, 1, 1)
	})
}

// TestInboundBouncesAreTold: where a message bounces for some, by a notice; but not to whom it is most likely not from.
func TestInboundBouncesAreTold(t *testing.T) {
	checks := &checker{}
	onBothSendersWith(t, func(o *transport.Options) { o.Auth = checks }, func(s *senders) {
		inbound(s.World, s.Acme, flow.Bounce, "bob@acme.test")
		defer run(t, s.DB, s.Transport)()
		for _, v := range []mailauth.Verdict{
			{SPF: mailauth.Outcome{Result: dkim.Fail}},
			{},
			{DMARC: mailauth.DMARC{Result: dkim.Pass, From: "evil.test"}},
			{DMARC: mailauth.DMARC{Result: dkim.Pass, From: "acme.test"}},
		} {
			checks.verdict = v
			x, err := s.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("ann@acme.test")}) // the notice comes here
			s.Must(err)
			add(s.World, x, "bob@acme.test")
			add(s.World, x, "ann@acme.test")
			s.Must(store(t.Context(), x, fromFar))
		}
		(&sending{senders: s}).until("a notice", func() bool { return len(s.Inbox(s.ann)) >= 5 })
		report, ok := dsn.Parse([]byte(s.Inbox(s.ann)[4].Text))
		if !ok || len(report.Recipients) != 1 || report.Recipients[0].Address != address("bob@acme.test") || report.Recipients[0].Action != dsn.Failed ||
			report.Recipients[0].Status != "5.7.1" || !strings.Contains(s.Inbox(s.ann)[4].Text, "blocked by the administrator") {
			t.Errorf("ann gets %s", s.Inbox(s.ann)[4].Text)
		}
		if n := len(s.Inbox(s.ann)); n != 5 {
			t.Errorf("ann has %d, so one was told who is not proven", n)
		}
		if n := len(s.Inbox(s.bob)); n != 0 {
			t.Errorf("bob has %d", n)
		}
	})
}

// TestOutboundRules shows each action on mail that users send, and that what stays in the organisation meets the inbound rules too.
func TestOutboundRules(t *testing.T) {
	onBothSending(t, func(s *sending) {
		monitor(s.World, s.Acme)
		send := func(to ...string) {
			s.T.Helper()
			x, err := s.begin(s.ann, "ann@acme.test", to...)
			s.Must(err)
			s.Must(store(s.T.Context(), x, "From: ann@acme.test\r\nMessage-ID: <1@acme.test>\r\nSubject: out\r\n\r\nx\r\n"))
		}
		s.Must(s.Flow.CreateGateway(t.Context(), transporttest.Admin, s.Acme.ID, flow.Gateway{Name: "Relay", Host: "relay.test", Port: 465}))
		outbound(s.World, flow.RouteToSMTP, "relay", "*.far.test", "cyd@acme.awsapps.com")
		outbound(s.World, flow.Drop, "", "dropped@far.test")
		outbound(s.World, flow.Bounce, "", "bounced@far.test")
		s.User("cyd")
		send("bob@acme.test", "cyd@acme.awsapps.com", "one@far.test", "one@near.test", "dropped@far.test", "bounced@far.test")
		entries, _, err := s.queue.List(t.Context(), queue.Filter{}, queue.Cursor{}, 100)
		s.Must(err)
		var got []string
		for _, e := range entries {
			got = append(got, e.Recipient+" "+strings.Replace(e.Destination.Route, flow.RouteOf(s.Acme.Key, ""), "gateway ", 1)+e.Destination.Domain)
		}
		slices.Sort(got)
		if want := []string{"cyd@acme.awsapps.com gateway relay", "one@far.test gateway relay", "one@near.test near.test"}; !slices.Equal(got, want) {
			t.Errorf("queued are %q", got)
		}
		if n := len(s.Inbox(s.bob)); n != 1 {
			t.Errorf("bob has %d", n)
		}
		var events []string
		for _, e := range untraced(t, s.Told(8)) {
			if strings.Contains(e, "RULE_APPLIED") || strings.Contains(e, "BOUNCED") || strings.Contains(e, "SENT") {
				events = append(events, e)
			}
		}
		want := []string{
			`{"eventName":"OUTGOING_EMAIL_SENT","recipient":"bob@acme.test","from":"ann@acme.test","messageId":"<1@acme.test>"}`,
			`{"eventName":"RULE_APPLIED","ruleName":"ROUTE_TO_SMTP_GATEWAY","ruleType":"OUTBOUND_RULE","ruleActions":[{"action":"ROUTE_TO_SMTP_GATEWAY","recipients":["cyd@acme.awsapps.com","one@far.test"]}]}`,
			`{"eventName":"RULE_APPLIED","ruleName":"DROP","ruleType":"OUTBOUND_RULE","ruleActions":[{"action":"DROP","recipients":["dropped@far.test"]}]}`,
			`{"eventName":"RULE_APPLIED","ruleName":"BOUNCE","ruleType":"OUTBOUND_RULE","ruleActions":[{"action":"BOUNCE","recipients":["bounced@far.test"]}]}`,
			`{"eventName":"OUTGOING_EMAIL_BOUNCED","bouncedRecipient":{"emailAddress":"bounced@far.test","reason":"the message was blocked by the administrator","status":"5.7.1"},"destination":"bounced@far.test","reason":"the message was blocked by the administrator"}`,
		}
		if !slices.Equal(events, want) {
			t.Errorf("told is %s", strings.Join(events, "\n"))
		}
		s.Write(func(ctx context.Context, tx *db.Tx) error { return s.Policy.DeleteMonitoringTx(ctx, tx, s.Acme) })
		stop := run(t, s.DB, s.Transport)
		s.until("a notice", func() bool { return len(s.Inbox(s.ann)) == 1 })
		stop()
		if report, ok := dsn.Parse([]byte(s.Inbox(s.ann)[0].Text)); !ok || len(report.Recipients) != 1 || report.Recipients[0].Address != address("bounced@far.test") {
			t.Errorf("ann gets %s", s.Inbox(s.ann)[0].Text)
		}

		// Internal mail goes out, and then in.
		r := flow.Rule{Direction: flow.Inbound, Name: "in", Action: flow.MoveToJunk, Senders: []string{"ann@acme.test"}, Recipients: []string{"*"}}
		s.Must(s.Flow.CreateRule(t.Context(), transporttest.Admin, s.Acme.ID, r))
		send("bob@acme.test")
		outbound(s.World, flow.Default, "", "bob@acme.test")
		send("bob@acme.test")
		if i, j := len(s.Inbox(s.bob)), len(s.Junk(s.bob)); i != 1 || j != 2 {
			t.Errorf("bob has %d and %d", i, j)
		}

		s.Queue = nil
		x, err := s.begin(s.ann, "ann@acme.test", "cyd@acme.awsapps.com")
		s.Must(err)
		if err := store(t.Context(), x, "From: ann@acme.test\r\n\r\nx\r\n"); !fault.Is(err, fault.Unsupported, fault.Message) {
			t.Errorf("through a gateway, where no mail leaves: %v", err)
		}
	})
}

// TestAGatewayIsElsewhere: mail for recipients here that a rule sends through a gateway leaves the server, with all that holds for that.
func TestAGatewayIsElsewhere(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Must(s.Flow.CreateGateway(t.Context(), transporttest.Admin, s.Acme.ID, flow.Gateway{Name: "Relay", Host: "relay.test", Port: 465}))
		outbound(s.World, flow.RouteToSMTP, "relay", "bob@acme.test")
		s.Daily = transport.Daily{UserExternal: 1}
		send := func(reversePath, from string) error {
			x, err := s.begin(s.ann, reversePath, "bob@acme.test", "ann@acme.test")
			s.Must(err)
			return store(t.Context(), x, "From: "+from+"\r\n\r\nx\r\n")
		}
		for _, c := range [][2]string{{"ann@acme.awsapps.com", "ann@acme.awsapps.com"}, {"ann@acme.test", "ann@acme.awsapps.com"}, {"ann@acme.awsapps.com", "ann@acme.test"}} {
			if err := send(c[0], c[1]); !fault.Is(err, fault.Denied, fault.Address) {
				t.Errorf("from a test domain, by %s as %s: %v", c[0], c[1], err)
			}
		}
		s.Must(send("ann@acme.test", "ann@acme.test"))
		if err := send("ann@acme.test", "ann@acme.test"); !exceeded(err) {
			t.Errorf("beyond the limit of a day: %v", err)
		}
		if n := len(s.Inbox(s.ann)); n != 1 || len(s.queued()) != 1 {
			t.Errorf("ann has %d, queued are %v", n, s.queued())
		}
	})
}
