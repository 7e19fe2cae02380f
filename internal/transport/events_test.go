package transport_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/audit/audittest"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// monitor has the events of an organisation's mail told, as PutEmailMonitoringConfiguration does.
func monitor(w *transporttest.World, o *directory.Organization) {
	w.Write(func(ctx context.Context, tx *db.Tx) error {
		return w.Policy.PutMonitoringTx(ctx, tx, o, policy.Monitoring{LogGroup: transporttest.LogGroup})
	})
}

// untraced parses the records, which must all have the same trace, and returns each without it as "name rest".
func untraced(t *testing.T, lines []string) (events []string) {
	t.Helper()
	traces := map[string]bool{}
	for _, line := range lines {
		var r struct {
			Event   json.RawMessage
			TraceID string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		traces[r.TraceID] = true
		audittest.Event(t, r.Event)
		events = append(events, string(r.Event))
	}
	if len(traces) != 1 || traces[""] {
		t.Errorf("the traces are %v, want one", traces)
	}
	return events
}

// TestEvents shows what PutEmailMonitoringConfiguration and DeleteEmailMonitoringConfiguration do.
func TestEvents(t *testing.T) {
	onBothSenders(t, transport.Daily{}, func(s *senders) {
		s.Group("team", s.ann, s.bob)
		s.Grant(s.bob, s.ann, policy.SendOnBehalf)
		outside := func(text string, to ...string) error {
			x, err := s.Begin(t.Context(), transport.Sender{From: address("x@far.example")})
			s.Must(err)
			for _, a := range to {
				if err := x.Add(t.Context(), asked(a)); err != nil {
					return err
				}
			}
			return store(t.Context(), x, text)
		}
		s.Must(outside("From: x@far.example\r\n\r\n", "ann@acme.awsapps.com")) // nobody is told
		monitor(s.World, s.Acme)
		s.Must(outside("From: X <x@far.example>\r\nSubject: =?utf-8?q?h=C3=A9?=\r\nMessage-ID: <1@far>\r\n\r\n", "team@acme.awsapps.com", external))
		got := untraced(t, s.Told(3))
		want := []string{
			`{"eventName":"ORGANIZATION_EMAIL_RECEIVED","recipients":["team@acme.awsapps.com"],"from":"x@far.example","subject":"hé","messageId":"<1@far>","messageTimestamp":"2026-11-23T12:00:00.000Z"}`,
			`{"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"ann@acme.awsapps.com","folder":"INBOX"}`,
			`{"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"bob@acme.awsapps.com","folder":"INBOX"}`,
		}
		if slices.Sort(got[1:]); !slices.Equal(got, want) {
			t.Errorf("mail from outside is told as\n%s", strings.Join(got, "\n"))
		}

		x, err := s.begin(s.ann, "ann@acme.awsapps.com", internal, external)
		s.Must(err)
		s.Must(store(t.Context(), x, "From: bob@acme.awsapps.com\r\nMessage-ID: <2@acme>\r\n\r\n"))
		got = untraced(t, s.Told(5))
		want = []string{
			`{"eventName":"OUTGOING_EMAIL_SUBMITTED","recipients":["bob@acme.awsapps.com","eve@other.awsapps.com"],"sender":"ann@acme.awsapps.com","from":"bob@acme.awsapps.com","subject":""}`,
			`{"eventName":"OUTGOING_EMAIL_SENT","recipient":"bob@acme.awsapps.com","sender":"ann@acme.awsapps.com","from":"bob@acme.awsapps.com","messageId":"<2@acme>"}`,
			`{"eventName":"OUTGOING_EMAIL_SENT","recipient":"eve@other.awsapps.com","sender":"ann@acme.awsapps.com","from":"bob@acme.awsapps.com","messageId":"<2@acme>"}`,
			`{"eventName":"ORGANIZATION_EMAIL_RECEIVED","recipients":["bob@acme.awsapps.com"],"sender":"ann@acme.awsapps.com","from":"bob@acme.awsapps.com","subject":"","messageId":"<2@acme>","messageTimestamp":"2026-11-23T12:00:00.000Z"}`,
			`{"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"bob@acme.awsapps.com","folder":"INBOX"}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("mail that is sent is told as\n%s", strings.Join(got, "\n"))
		}

		s.SetQuota(s.bob, 1)
		for _, to := range []string{internal, "team@acme.awsapps.com"} {
			if err := outside("x\r\n", to); !fault.Is(err, fault.OverQuota, fault.Mailbox) {
				t.Errorf("to %s: %v", to, err)
			}
			got, want := untraced(t, s.Told(1)), `{"eventName":"INCOMING_EMAIL_BOUNCED","bouncedRecipient":{"emailAddress":"`+to+`","reason":"The mailbox is full.","status":"5.2.2"}}`
			if got[0] != want {
				t.Errorf("a full mailbox is told as %s", got[0])
			}
		}
		s.Write(func(ctx context.Context, tx *db.Tx) error { return s.Policy.DeleteMonitoringTx(ctx, tx, s.Acme) })
		s.Must(outside("From: x@far.example\r\n\r\n", "ann@acme.awsapps.com"))
		if waiting := s.Audit.Groups()[0].Waiting; waiting != 0 {
			t.Errorf("%d bytes are told after the end of monitoring", waiting)
		}
	})
}

// TestNothingIsToldOfWhatIsNotStored lets the transaction that stores a message fail behind its events.
func TestNothingIsToldOfWhatIsNotStored(t *testing.T) {
	onBothSenders(t, transport.Daily{UserExternal: 1}, func(s *senders) {
		monitor(s.World, s.Acme)
		first, err := s.begin(s.ann, "ann@acme.awsapps.com", external)
		s.Must(err)
		second, err := s.begin(s.ann, "ann@acme.awsapps.com", external)
		s.Must(err)
		s.Must(store(t.Context(), first, "From: ann@acme.awsapps.com\r\n\r\n"))
		if err := store(t.Context(), second, "From: ann@acme.awsapps.com\r\n\r\n"); !exceeded(err) {
			t.Fatal(err)
		}
		s.Told(2)
		if waiting := s.Audit.Groups()[0].Waiting; waiting != 0 {
			t.Errorf("%d bytes wait of a message that was refused", waiting)
		}
	})
}

// TestSubmissionsAreTold holds the records submit_email_for_sending of WORKMAIL_MAILBOX_ACCESS_LOGS.
func TestSubmissionsAreTold(t *testing.T) {
	onBothSenders(t, transport.Daily{}, func(s *senders) {
		s.World.Audit = audit.New(s.DB, s.Clock, audit.Config{Groups: map[string]audit.Group{
			transporttest.LogGroup: {Sink: s.Sink, AuditLogs: []audit.Stream{audit.MailboxAccessLogs}},
		}})
		s.Transport.Audit = s.World.Audit
		sender := transport.Sender{Principal: user(s.World, s.ann), Submitted: true, From: address("ann@acme.awsapps.com")}
		sender.Principal.Protocol, sender.Principal.RequestID, sender.Principal.Address = "SMTP", "r1", netip.MustParseAddr("192.0.2.7")
		begin := func() *transport.Transaction {
			x, err := s.Begin(t.Context(), sender)
			s.Must(err)
			s.Must(x.Add(t.Context(), asked(internal)))
			return x
		}
		told := func(allowed string) {
			t.Helper()
			want := `{"event_timestamp":1795435200000,"request_id":"r1","user_id":"` + string(s.ann) + `","protocol":"SMTP","source_ip":"192.0.2.7",` +
				`"action":"submit_email_for_sending","owner_id":"` + string(s.ann) + `","object_type":"Message","action_allowed":` + allowed + `}`
			if got := s.Told(1)[0]; got != want {
				t.Errorf("told as\n%s\nwant\n%s", got, want)
			}
		}
		s.Must(store(t.Context(), begin(), "From: ann@acme.awsapps.com\r\n\r\n"))
		told("true")
		for text, kind := range map[string]fault.Kind{"From: bob@acme.awsapps.com\r\n\r\n": fault.Denied, "Subject: from nobody\r\n\r\n": fault.Invalid} {
			if err := store(t.Context(), begin(), text); fault.KindOf(err) != kind {
				t.Errorf("%s: %v", text, err)
			}
		}
		told("false") // for the first alone
		sender.From = address("bob@acme.awsapps.com")
		if _, err := s.Begin(t.Context(), sender); fault.KindOf(err) != fault.Denied {
			t.Error(err)
		}
		told("false")
		x, err := s.Begin(t.Context(), transport.Sender{From: address("x@far.example")}) // nobody of ours submits it
		s.Must(err)
		s.Must(x.Add(t.Context(), asked(internal)))
		s.Must(store(t.Context(), x, "From: x@far.example\r\n\r\n"))
		sender.From = address("ann@acme.awsapps.com")
		s.Must(store(t.Context(), begin(), "From: ann@acme.awsapps.com\r\n\r\n"))
		told("true") // and nothing of the mail from outside before it
	})
}
