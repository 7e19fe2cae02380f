package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// journaling has an organisation's mail journaled.
func journaling(w *transporttest.World, o *directory.Organization, to, failures string) {
	w.T.Helper()
	w.Must(w.Journal.SetRules(w.T.Context(), transporttest.Admin, o.ID, journal.Settings{Enabled: true, Address: to, ReportAddress: failures}))
}

// report takes a journal report apart: the lines of its first part, and the message.
func report(t *testing.T, text string) (lines []string, original string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, ok := m.Header["X-Ms-Journal-Report"]; !ok || m.Header.Get("From") != "<amazonjournaling@acme.awsapps.com>" {
		t.Errorf("the report's header is %v", m.Header)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	var parts []string
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(p); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, b.String())
	}
	if len(parts) != 2 {
		t.Fatalf("%d parts in %s", len(parts), text)
	}
	return strings.Split(strings.TrimSuffix(parts[0], "\r\n"), "\r\n"), parts[1]
}

// archived waits for the n'th report in a mailbox, and takes the last apart.
func (a *asking) archived(box directory.EntityID, n int) (lines []string, original string) {
	a.T.Helper()
	a.until("a report is there", func() bool { return len(a.Inbox(box)) >= n && a.waits(0) })
	list := a.Inbox(box)
	if len(list) != n {
		a.T.Fatalf("%d reports, want %d", len(list), n)
	}
	return report(a.T.(*testing.T), list[n-1].Text)
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestJournal: a message gives one report, whatever its recipients: with all of them for the organisation that sends it, with its own ones for
// another. The report has the message as its recipients get it.
func TestJournal(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		monitor(a.World, a.Acme)
		archive, cyd := a.User("archive"), a.User("cyd")
		away := a.Remote("away", "away@old.example", "away@acme.test")
		a.Group("team", a.bob, cyd, a.Group("inner", cyd, away))
		a.Group("again", a.bob, cyd)
		a.Grant(a.bob, a.ann, policy.SendOnBehalf)
		journaling(a.World, a.Acme, "archive@acme.awsapps.com", "it@acme.awsapps.com")
		journaling(a.World, a.other, "archive@far.test", "it@other.awsapps.com")
		defer a.run(t)()

		const text = "From: bob@acme.test\r\nTo: Bob <BOB@acme.test>, x@far.test\r\nCc: team@acme.awsapps.com\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n" +
			"Message-ID: <1@acme.test>\r\nDate: Thu, 26 Nov 2026 04:00:00 +0000\r\nBcc: cyd@acme.awsapps.com\r\n\r\nbody\r\n"
		x, err := a.begin(a.ann, "bob@acme.test", "bob@acme.test", "bob@acme.test", "team@acme.awsapps.com", "again@acme.awsapps.com", "cyd@acme.awsapps.com", "away@acme.test", "x@far.test", external)
		a.Must(err)
		a.Must(store(t.Context(), x, text))
		lines, original := a.archived(archive, 1)
		equal(t, "sent", lines,
			"Sender: ann@acme.awsapps.com", "On-Behalf-Of: bob@acme.test", "Subject: grüße", "Message-Id: <1@acme.test>",
			"To: bob@acme.test", "Cc: bob@acme.awsapps.com, Expanded: team@acme.awsapps.com", "Cc: cyd@acme.awsapps.com, Expanded: team@acme.awsapps.com",
			"Cc: away@old.example, Expanded: team@acme.awsapps.com", "Bcc: again@acme.awsapps.com", "Bcc: cyd@acme.awsapps.com",
			"Bcc: away@old.example, Forwarded: away@acme.test", "To: x@far.test", "Bcc: eve@other.awsapps.com")
		if got := a.Inbox(cyd)[0]; got.Text[len(got.Item.Prefix):] != original || strings.Contains(original, "Bcc") {
			t.Errorf("journaled is\n%s\nand delivered\n%s", original, got.Text)
		}
		if got := a.Inbox(archive)[0].Text; !strings.HasPrefix(got, "Return-Path: <it@acme.awsapps.com>\r\nDelivered-To: archive@acme.awsapps.com\r\nFrom: ") {
			t.Errorf("the report is %s", got)
		}
		var theirs []string
		for range 3 { // the message for x and away, and the report of the other organisation
			if got := <-a.far.taken; strings.HasPrefix(got, "<it@other.awsapps.com> <archive@far.test> From: <amazonjournaling@other.awsapps.com>") {
				lines, _ := report(t, strings.Replace(got[strings.Index(got, "From:"):], "@other.", "@acme.", 1))
				theirs = append(theirs, lines...)
			}
		}
		equal(t, "received by the other", theirs, "Sender: ann@acme.awsapps.com", "On-Behalf-Of: bob@acme.test", "Subject: grüße", "Message-Id: <1@acme.test>", "Bcc: eve@other.awsapps.com")
		a.until("all is sent", func() bool { return a.waits(0) })
		told := 0
		for _, e := range untraced(t, a.Told(14)) {
			if strings.Contains(e, "JOURNALING") {
				equal(t, "told", []string{e}, `{"eventName":"JOURNALING_INITIATED","journalingAddress":"archive@acme.awsapps.com"}`)
				told++
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}

		y := outside(a.World, 0)
		for _, to := range []string{"bob@acme.test", "team@acme.awsapps.com", external} {
			add(a.World, y, to)
		}
		a.Must(store(t.Context(), y, simple))
		lines, original = a.archived(archive, 2)
		equal(t, "received", lines, "Sender: sender@other.test", "Subject: hello", "Message-Id:", "Recipient: bob@acme.test",
			"Recipient: bob@acme.awsapps.com, Expanded: team@acme.awsapps.com", "Recipient: cyd@acme.awsapps.com, Expanded: team@acme.awsapps.com",
			"Recipient: away@old.example, Expanded: team@acme.awsapps.com")
		if original != trace+simple {
			t.Errorf("journaled is %s", original)
		}
		a.takings(2) // away's, and the other organisation's report

		bounce, err := a.Begin(t.Context(), transport.Sender{})
		a.Must(err)
		add(a.World, bounce, "bob@acme.test")
		a.Must(store(t.Context(), bounce, "Subject: x\r\n\r\n"))
		lines, _ = a.archived(archive, 3)
		equal(t, "from nobody", lines, "Sender: <>", "Subject: x", "Message-Id:", "Recipient: bob@acme.test")

		// What is not taken in is not journaled, and neither is what another organisation's users write to others.
		a.SetQuota(cyd, 1)
		z, err := a.begin(a.ann, "ann@acme.test", "bob@acme.test")
		a.Must(err)
		add(a.World, z, "archive@acme.awsapps.com")
		a.SetQuota(archive, 1)
		if err := store(t.Context(), z, "From: ann@acme.test\r\n\r\nx\r\n"); err == nil {
			t.Error("a message that finds no room was taken in")
		}
		a.SetQuota(archive, 1<<20)
		a.Must(a.send(a.eve, external, external))
		a.takings(1)
		a.archived(archive, 3)
	})
}

// TestJournalAndRules: what is taken in is journaled, whatever rules and functions make of it, but nowhere before it gets there.
func TestJournalAndRules(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		archive, theirs := a.User("archive"), a.UserOf(a.other, "archive")
		journaling(a.World, a.Acme, "archive@acme.awsapps.com", "it@acme.awsapps.com")
		journaling(a.World, a.other, "archive@other.awsapps.com", "it@other.awsapps.com")
		defer a.run(t)()
		has := func(what string, ours, others int) {
			t.Helper()
			a.until(what, func() bool {
				return len(a.Inbox(archive)) >= ours && len(a.InboxOf(a.other, theirs)) >= others && a.waits(0)
			})
			if i, j := len(a.Inbox(archive)), len(a.InboxOf(a.other, theirs)); i != ours || j != others {
				t.Errorf("%s: %d and %d reports, want %d and %d", what, i, j, ours, others)
			}
		}
		outbound(a.World, flow.Drop, "", external)
		a.Must(a.send(a.ann, "ann@acme.test", external))
		has("dropped on the way out", 1, 0)
		a.Must(a.Flow.DeleteRule(t.Context(), transporttest.Admin, a.Acme.ID, flow.Outbound, "DROP"))

		inbound(a.World, a.Acme, flow.Drop, "ann@acme.test")
		inbound(a.World, a.Acme, flow.Bounce, "bob@acme.test")
		a.arrive("x@far.example", "ann@acme.test")
		has("dropped on the way in", 2, 0)
		x := outside(a.World, 0)
		add(a.World, x, "bob@acme.test")
		if err := store(t.Context(), x, fromFar); !fault.Is(err, fault.Denied, fault.Message) {
			t.Error(err)
		}
		has("refused", 2, 0)
		for _, name := range []string{"DROP", "BOUNCE"} {
			a.Must(a.Flow.DeleteRule(t.Context(), transporttest.Admin, a.Acme.ID, flow.Inbound, name))
		}

		// A function holds the message: it has left ann, and did not reach the other organisation.
		answer := make(chan string)
		a.rule(flow.Outbound, synchronous(flow.Drop, 5))
		a.answers(func(*flow.Event) (int, string) { return 200, <-answer })
		for _, action := range []string{"DROP", "DEFAULT"} {
			a.Must(a.send(a.ann, "ann@acme.test", external, "bob@acme.test"))
			before := map[string]int{"DROP": 3, "DEFAULT": 4}[action]
			a.until("it is journaled", func() bool { return len(a.Inbox(archive)) == before })
			if n := len(a.InboxOf(a.other, theirs)); n != 0 {
				t.Errorf("the other organisation has %d reports of what it did not get", n)
			}
			answer <- `{"actions":[{"action":{"type":"` + action + `"},"allRecipients":true}]}`
			a.until("the function decided", func() bool { return a.waits(0) })
		}
		has("decided", 4, 1)
	})
}

// TestJournalReportsThatFail come back to the report address, whole, and journaling them or their notices never begins anew.
func TestJournalReportsThatFail(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		it := a.User("it")
		journaling(a.World, a.Acme, "nobody@far.test", "it@acme.awsapps.com")
		stop := sync.OnceFunc(a.run(t))
		defer stop()
		failed := func(what string, n int, says string) {
			t.Helper()
			a.until(what, func() bool { return len(a.Inbox(it)) >= n && a.waits(0) })
			list := a.Inbox(it)
			text := list[len(list)-1].Text
			if len(list) != n || !strings.Contains(text, "Return-Path: <>\r\n") || !strings.Contains(text, says) || !strings.Contains(text, "\r\nX-MS-Journal-Report:\r\n") || !strings.Contains(text, "\r\n\r\nx\r\n") {
				t.Errorf("%s: %d notices, the last is %s", what, len(list), text)
			}
		}
		a.Must(a.send(a.ann, "ann@acme.test", "bob@acme.test"))
		failed("another server refuses it", 1, "550 5.1.1 who?")

		gone := a.User("gone")
		journaling(a.World, a.Acme, "gone@acme.awsapps.com", "it@acme.awsapps.com")
		a.Disable(gone)
		a.Must(a.send(a.ann, "ann@acme.test", "bob@acme.test"))
		failed("nobody has the address", 2, "nobody has the address")

		a.Group("box", a.User("box1"))
		journaling(a.World, a.Acme, "box@acme.awsapps.com", "it@acme.awsapps.com")
		a.Must(a.send(a.ann, "ann@acme.test", "bob@acme.test"))
		failed("a group", 3, "this is a group")

		// A full mailbox is tried again.
		full := a.User("full")
		a.SetQuota(full, 1)
		journaling(a.World, a.Acme, "full@acme.awsapps.com", "it@acme.awsapps.com")
		a.Must(a.send(a.ann, "ann@acme.test", "bob@acme.test"))
		a.until("it was tried", func() bool {
			list, _, err := a.queue.List(t.Context(), queue.Filter{}, queue.Cursor{}, 10)
			a.Must(err)
			return len(list) == 1 && list[0].Status == "4.2.2"
		})
		a.SetQuota(full, 1<<20)
		a.archived(full, 1)

		// A mailbox that is elsewhere gets it there.
		a.Remote("away", "away@old.example", "away@acme.test")
		journaling(a.World, a.Acme, "away@acme.test", "it@acme.awsapps.com")
		a.Must(a.send(a.ann, "ann@acme.test", "bob@acme.test"))
		returned := strings.TrimPrefix(<-a.far.taken, "<it@acme.awsapps.com> <away@old.example> ")
		report(t, returned)

		// What comes back from there ends, as does what answers it; what only says so does not.
		arrives := func(what, text string, journaled bool, to ...string) {
			t.Helper()
			x := outside(a.World, 0)
			for _, r := range to {
				add(a.World, x, r)
			}
			a.Must(store(t.Context(), x, text))
			a.until(what, func() bool { return a.waits(0) })
			select {
			case got := <-a.far.taken:
				if !journaled {
					t.Errorf("%s: journaled is %s", what, got)
				}
			default:
				if journaled {
					t.Errorf("%s: it is not journaled", what)
				}
			}
		}
		arrives("it comes back", returned, false, "bob@acme.test")
		arrives("another organisation's does", "X-MS-Journal-Report:\r\nMessage-ID: <"+a.Journal.NewID(a.other.Key)+">\r\n\r\n", true, "bob@acme.test")
		arrives("it is said to", "X-MS-Journal-Report:\r\n\r\n", true, "bob@acme.test")
		arrives("an answer to the report address", simple, false, "it@acme.awsapps.com")
		arrives("the report address and somebody", simple, true, "it@acme.awsapps.com", "bob@acme.test")
		stop() // what was committed is counted
		if s := a.Transport.Stats(); s.Journaled != 8 || s.JournalsSent != 5 || s.JournalsFailed != 3 {
			t.Errorf("counted is %+v", s)
		}
	})
}

// TestJournalReportsOfAnArchiveElsewhere wait with what goes there: a mailbox elsewhere, or at the old side of a domain that moves here, also one
// that is moved there while the report waits. So no archive that is slow holds up those here.
func TestJournalReportsOfAnArchiveElsewhere(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Relays = map[string]string{"acme.test": "old"}
		a.Remote("away", "away@old.example", "away@acme.awsapps.com")
		bob := "bob@acme.test"
		a.SetQuota(a.bob, 1)
		for _, to := range []string{"away@acme.awsapps.com", "archive@acme.test", bob, "x@far.test"} {
			journaling(a.World, a.Acme, to, "it@acme.awsapps.com")
			a.Must(a.send(a.ann, "ann@acme.test", external))
		}
		list, _, err := a.queue.List(t.Context(), queue.Filter{}, queue.Cursor{}, 10)
		a.Must(err)
		got := map[string]string{}
		for _, e := range list {
			got[e.Recipient] = e.Destination.Route + "/" + e.Destination.Domain
		}
		want := map[string]string{"away@old.example": "/old.example", "archive@acme.test": "old/", bob: "journal/", "x@far.test": "/far.test"}
		if !maps.Equal(got, want) {
			t.Errorf("queued is %v, want %v", got, want)
		}
		if !transport.Local(queue.Destination{Route: "journal"}) {
			t.Error("reports for mailboxes here are another server's")
		}
		defer a.run(t)()
		a.takings(3)
		a.until("it was tried", func() bool {
			list, _, err := a.queue.List(t.Context(), queue.Filter{}, queue.Cursor{}, 10)
			a.Must(err)
			return len(list) == 1 && list[0].Status == "4.2.2"
		})
		a.Disable(a.bob)
		if got := a.takings(1)[0]; !strings.HasPrefix(got, "<it@acme.awsapps.com> <bob@acme.test> From: ") {
			t.Errorf("passed on is %s", got)
		}
		a.until("none waits", func() bool { return a.waits(0) })
	})
}

// TestJournalReportsForAnotherOrganization arrive there as any mail does: by its rules, and journaled there, without end.
func TestJournalReportsForAnotherOrganization(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		it, theirs := a.User("it"), a.UserOf(a.other, "archive")
		journaling(a.World, a.Acme, external, "it@acme.awsapps.com")
		journaling(a.World, a.other, "archive@other.awsapps.com", "it@other.awsapps.com")
		stop := sync.OnceFunc(a.run(t))
		defer stop()
		has := func(what string, eve, archive, back int) {
			t.Helper()
			a.Must(a.send(a.ann, "ann@acme.test", "bob@acme.test"))
			a.until(what, func() bool {
				return a.waits(0) && len(a.Inbox(it)) >= back && len(a.InboxOf(a.other, theirs)) >= archive
			})
			if i, j, k := len(a.InboxOf(a.other, a.eve)), len(a.InboxOf(a.other, theirs)), len(a.Inbox(it)); i != eve || j != archive || k != back {
				t.Errorf("%s: eve has %d reports, her archive %d, and %d came back; want %d, %d and %d", what, i, j, k, eve, archive, back)
			}
		}
		rule := func(action flow.Action) {
			r := flow.Rule{Direction: flow.Inbound, Name: string(action), Action: action, Senders: []string{"*"}, Recipients: []string{external}}
			a.Must(a.Flow.CreateRule(t.Context(), transporttest.Admin, a.other.ID, r))
		}
		has("without rules", 1, 1, 0)
		rule(flow.Drop)
		has("dropped", 1, 2, 0)
		a.Must(a.Flow.DeleteRule(t.Context(), transporttest.Admin, a.other.ID, flow.Inbound, "DROP"))
		rule(flow.Bounce)
		has("bounced", 1, 2, 1)
		a.Must(a.Flow.DeleteRule(t.Context(), transporttest.Admin, a.other.ID, flow.Inbound, "BOUNCE"))
		journaling(a.World, a.other, "it@acme.awsapps.com", "it@other.awsapps.com")
		journaling(a.World, a.Acme, "archive@other.awsapps.com", "failures@acme.awsapps.com")
		has("each has the other's", 1, 3, 2)
		stop() // what was committed is counted
		if s := a.Transport.Stats(); s.Journaled != 7 || s.JournalsSent != 6 || s.JournalsFailed != 1 {
			t.Errorf("counted is %+v", s)
		}
	})
}

// courierFunc is a queue.Courier.
type courierFunc func(m *queue.Message) []queue.Outcome

func (f courierFunc) Deliver(_ context.Context, _ queue.Destination, m *queue.Message) []queue.Outcome {
	return f(m)
}

// TestJournalReportsOfStrangersMail leave the users of the organisation room in the queue, don't ask of the archive what the sender asked of the
// recipients' servers, and name an address at the old side once.
func TestJournalReportsOfStrangersMail(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.queue.Limits.OrganizationMessages = 4
		a.Relays = map[string]string{"acme.test": "old"}
		journaling(a.World, a.Acme, "archive@far.test", "it@acme.awsapps.com")
		x, err := a.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("sender@other.test"), RequireTLS: true})
		a.Must(err)
		add(a.World, x, "old@acme.test")
		a.Must(store(t.Context(), x, simple))
		y := outside(a.World, 0)
		add(a.World, y, "bob@acme.test")
		if err := store(t.Context(), y, simple); !fault.Is(err, fault.Limit, fault.Organization) {
			t.Errorf("a stranger's message past half of the room: %v", err)
		}
		a.Must(a.send(a.ann, "ann@acme.test", "bob@acme.test"))
		asks := make(chan string, 3)
		a.queue.Courier = courierFunc(func(m *queue.Message) []queue.Outcome {
			b, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
			a.Must(err)
			if strings.Contains(string(b), "Subject: hello") {
				asks <- fmt.Sprint(m.Recipients[0].Address, " ", m.RequireTLS, " ", strings.Contains(string(b), "\r\nRecipient: old@acme.test\r\n\r\n"))
			}
			return []queue.Outcome{{Result: queue.Delivered}}
		})
		defer a.run(t)()
		got := []string{<-asks, <-asks}
		slices.Sort(got)
		equal(t, "asked", got, "archive@far.test false true", "old@acme.test true false")
	})
}

// TestWritesAreInOrderOfOrganizations, so that no two messages between organisations wait for each other's rows in the queue.
func TestWritesAreInOrderOfOrganizations(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Remote("away", "away@old.example", "away@acme.test")
		journaling(a.World, a.Acme, "archive@far.test", "it@acme.awsapps.com")
		journaling(a.World, a.other, "archive@far.test", "it@other.awsapps.com")
		var orgs []int64
		a.queue.Record = func(_ context.Context, _ *db.Tx, e queue.Event) error {
			orgs = append(orgs, e.Envelope.Organization)
			return nil
		}
		x := outside(a.World, 0)
		add(a.World, x, external)
		add(a.World, x, "away@acme.test")
		a.Must(store(t.Context(), x, simple))
		if len(orgs) < 3 || !slices.IsSorted(orgs[len(orgs)-3:]) { // of the last run
			t.Errorf("written is as %v", orgs)
		}
	})
}

// TestJournalOfMailboxRules: whom rules of mailboxes pass a message on to is in its report, also for an organisation that gets it so alone, and what
// mailboxes answer by themselves is journaled as their users' mail.
func TestJournalOfMailboxRules(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		archive, theirs := a.User("archive"), a.UserOf(a.other, "archive")
		journaling(a.World, a.Acme, "archive@acme.awsapps.com", "it@acme.awsapps.com")
		journaling(a.World, a.other, "archive@other.awsapps.com", "it@other.awsapps.com")
		a.Script(a.ann, `require "copy"; redirect :copy "y@far.test"; redirect :copy "eve@other.awsapps.com";`)
		a.Must(a.Autoreply.Put(t.Context(), transporttest.Admin, a.Acme.ID, string(a.bob), reply(autoreply.Enabled, autoreply.All)))
		defer a.run(t)()

		x := outside(a.World, 0)
		add(a.World, x, "ann@acme.test")
		a.Must(store(t.Context(), x, simple))
		lines, _ := a.archived(archive, 1)
		equal(t, "passed on", lines, "Sender: sender@other.test", "Subject: hello", "Message-Id:", "Recipient: ann@acme.test",
			"Recipient: y@far.test, Forwarded: ann@acme.test", "Recipient: eve@other.awsapps.com, Forwarded: ann@acme.test")
		a.takings(1)
		a.until("the other has a report", func() bool { return len(a.InboxOf(a.other, theirs)) == 1 && a.waits(0) })
		// Those about one message and its answer come in either order.
		about := func(list []transporttest.Message, subject string) (lines []string, original string) {
			for _, m := range list {
				if lines, original = report(t, strings.Replace(m.Text, "From: <amazonjournaling@other.", "From: <amazonjournaling@acme.", 1)); lines[1] == "Subject: "+subject {
					return lines, original
				}
			}
			t.Fatalf("no report is about %q", subject)
			return nil, ""
		}
		lines, _ = about(a.InboxOf(a.other, theirs), "hello")
		equal(t, "got by a rule", lines, "Sender: sender@other.test", "Subject: hello", "Message-Id:", "Recipient: eve@other.awsapps.com, Forwarded: ann@acme.test")

		y, err := a.begin(a.eve, external, "bob@acme.test")
		a.Must(err)
		a.Must(store(t.Context(), y, "From: "+external+"\r\nTo: bob@acme.test\r\nSubject: away?\r\nMessage-ID: <2@x>\r\n\r\nx\r\n"))
		a.until("each has two reports more", func() bool {
			return len(a.InboxOf(a.other, theirs)) == 3 && len(a.Inbox(archive)) == 3 && a.waits(0)
		})
		const answer = "Automatic reply: away?"
		lines, _ = about(a.InboxOf(a.other, theirs), "away?")
		equal(t, "asked", lines, "Sender: eve@other.awsapps.com", "Subject: away?", "Message-Id: <2@x>", "To: bob@acme.test")
		lines, _ = about(a.InboxOf(a.other, theirs), answer)
		lines[2] = ""
		equal(t, "answered, for who gets it", lines, "Sender: bob@acme.test", "Subject: "+answer, "", "To: eve@other.awsapps.com")
		lines, original := about(a.Inbox(archive), answer)
		lines[2] = ""
		equal(t, "answered", lines, "Sender: bob@acme.test", "Subject: "+answer, "", "To: eve@other.awsapps.com")
		if !strings.Contains(original, "\r\nAuto-Submitted: auto-replied\r\n") {
			t.Errorf("journaled is %s", original)
		}
	})
}
