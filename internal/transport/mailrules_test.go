package transport_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// arrive brings a message with the subject from another server.
func arrive(w *transporttest.World, from, subject string, to ...string) error {
	s := transport.Sender{Principal: principal.TheSystem("SMTP")}
	if from != "" {
		s.From = address(from)
	}
	x, err := w.Begin(w.T.Context(), s)
	w.Must(err)
	for _, a := range to {
		add(w, x, a)
	}
	return store(w.T.Context(), x, "From: <x@far.example>\r\nTo: "+strings.Join(to, ", ")+"\r\nX-Old: 1\r\nMessage-ID: <1@far.example>\r\nSubject: "+subject+"\r\n\r\nbody\r\n")
}

// holdings are the folders of an entity of acme with how many messages each has.
func holdings(w *transporttest.World, id directory.EntityID) string {
	w.T.Helper()
	list, err := w.Mailboxes.Folders(w.T.Context(), w.Box(id))
	w.Must(err)
	var out []string
	for _, f := range list.Folders {
		if f.Messages > 0 {
			out = append(out, fmt.Sprint(f.Path, " ", f.Messages))
		}
	}
	return strings.Join(out, ", ")
}

// items are the messages in a folder of an entity of acme.
func items(w *transporttest.World, id directory.EntityID, path string) (list []mailbox.Item) {
	w.T.Helper()
	f, err := w.Mailboxes.Folder(w.T.Context(), w.Box(id), path)
	w.Must(err)
	for it, err := range w.Mailboxes.Fetch(w.T.Context(), w.Box(id), f.ID, mailbox.AllUIDs(), 0, 0) {
		w.Must(err)
		list = append(list, *it)
	}
	return list
}

const rules = `require ["fileinto", "mailbox", "imap4flags", "editheader", "copy", "special-use", "reject", "duplicate", "variables", "relational", "comparator-i;ascii-numeric"];
if header :is "subject" "file" { fileinto :create :flags ["\\Flagged", "project"] "Work/Deep"; keep; }
elsif header :is "subject" "missing" { fileinto "Nowhere"; }
elsif header :is "subject" "trash" { fileinto :specialuse "\\Trash" "Nowhere"; }
elsif header :is "subject" "gone" { discard; }
elsif header :is "subject" "add" { addheader "X-Ruled" "yes"; keep; }
elsif header :is "subject" "edit" { deleteheader "X-Old"; fileinto :copy "Drafts"; keep; }
elsif header :is "subject" "on" { redirect :copy "y@far.example"; }
elsif header :is "subject" "changed" { deleteheader "X-Old"; deleteheader "From"; addheader "From" "bob@acme.test"; redirect "y@far.example"; }
elsif header :is "subject" "bob" { redirect "bob@acme.test"; }
elsif header :is "subject" "back" { redirect "bob@acme.test"; }
elsif header :is "subject" "self" { redirect "ann@acme.test"; }
elsif header :is "subject" "no" { reject "not here"; }
elsif header :is "subject" "twice" { if duplicate { discard; } }
elsif header :is "subject" "fail" { redirect "1@far.example"; redirect "2@far.example"; redirect "3@far.example"; redirect "4@far.example"; redirect "5@far.example"; }
`

// TestRulesOfAMailbox does what each rule says, to mail of other servers and of users, in the transaction that stores the message.
func TestRulesOfAMailbox(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Script(s.ann, rules)
		s.Script(s.bob, `if header :is "subject" "back" { redirect "ann@acme.test"; }`)
		defer s.run(t)()
		has := func(id directory.EntityID, want string) {
			t.Helper()
			if got := holdings(s.World, id); got != want {
				t.Errorf("there is %s, want %s", got, want)
			}
		}
		ann := func(subject, want string) {
			t.Helper()
			s.Must(arrive(s.World, "x@far.example", subject, "ann@acme.test"))
			has(s.ann, want)
		}
		ann("other", "INBOX 1")
		ann("file", "INBOX 2, Work/Deep 1")
		k, err := s.Mailboxes.Keywords(t.Context(), s.Box(s.ann))
		s.Must(err)
		if f := items(s.World, s.ann, "Work/Deep")[0].Flags; !f.Has(mailbox.Flagged) || !slices.Equal(k.Names(f), []string{"project"}) {
			t.Errorf("the flags are %v %q", f, k.Names(f))
		}
		ann("missing", "INBOX 3, Work/Deep 1")
		ann("trash", "INBOX 3, Deleted Items 1, Work/Deep 1")
		ann("gone", "INBOX 3, Deleted Items 1, Work/Deep 1")
		ann("add", "INBOX 4, Deleted Items 1, Work/Deep 1")
		if got := s.Inbox(s.ann)[3].Text; !strings.HasPrefix(got, "Return-Path: <x@far.example>\r\nDelivered-To: ann@acme.test\r\nX-Ruled: yes\r\nReceived:") {
			t.Errorf("with a field added it is %s", got)
		}
		ann("edit", "INBOX 5, Deleted Items 1, Drafts 1, Work/Deep 1")
		if got := s.Inbox(s.ann)[4].Text; strings.Contains(got, "X-Old") || strings.Count(got, "Return-Path") != 1 || !strings.HasSuffix(got, "\r\n\r\nbody\r\n") {
			t.Errorf("without a field it is %s", got)
		}
		ann("twice", "INBOX 6, Deleted Items 1, Drafts 1, Work/Deep 1")
		ann("twice", "INBOX 6, Deleted Items 1, Drafts 1, Work/Deep 1")

		ann("on", "INBOX 7, Deleted Items 1, Drafts 1, Work/Deep 1")
		ann("changed", "INBOX 7, Deleted Items 1, Drafts 1, Work/Deep 1")
		const passed = "<x@far.example> <y@far.example> "
		got := s.takings(2)
		if !strings.HasPrefix(got[1], passed+"Delivered-To: ann@acme.test\r\n"+trace) || !strings.Contains(got[1], "X-Old") {
			t.Errorf("passed on as it came is %s", got[1])
		}
		if !strings.HasPrefix(got[0], passed+"Delivered-To: ann@acme.test\r\n"+trace) || strings.Contains(got[0], "X-Old") || strings.Contains(got[0], "bob") {
			t.Errorf("passed on as edited is %s", got[0])
		}
		// What comes back is kept, and so is what has no sender.
		s.Must(arrive(s.World, "x@far.example", "changed\r\nDelivered-To: ann@acme.test", "ann@acme.test"))
		s.Must(arrive(s.World, "", "changed", "ann@acme.test"))
		s.Must(arrive(s.World, "", "no", "ann@acme.test", "bob@acme.test"))
		ann("fail", "INBOX 11, Deleted Items 1, Drafts 1, Work/Deep 1")
		ann("self", "INBOX 12, Deleted Items 1, Drafts 1, Work/Deep 1")
		has(s.bob, "INBOX 1")

		ann("bob", "INBOX 12, Deleted Items 1, Drafts 1, Work/Deep 1")
		has(s.bob, "INBOX 2")
		if got := s.Inbox(s.bob)[1].Text; !strings.HasPrefix(got, "Return-Path: <x@far.example>\r\nDelivered-To: bob@acme.test\r\nDelivered-To: ann@acme.test\r\n"+trace) {
			t.Errorf("passed on here is %s", got)
		}
		ann("back", "INBOX 12, Deleted Items 1, Drafts 1, Work/Deep 1") // bob would send it back, and keeps it
		has(s.bob, "INBOX 3")

		// The only recipient refuses it to the sender's face, of two one.
		if err := arrive(s.World, "x@far.example", "no", "ann@acme.test"); !fault.Is(err, fault.Denied, fault.Message) || !strings.Contains(err.Error(), "not here") {
			t.Errorf("refused with %v", err)
		}
		x, err := s.begin(s.bob, "bob@acme.test", "ann@acme.test", "bob@acme.test")
		s.Must(err)
		s.Must(store(t.Context(), x, "From: bob@acme.test\r\nSubject: no\r\n\r\nx\r\n"))
		s.until("bob is told", func() bool { return len(s.Inbox(s.bob)) == 5 })
		if report, ok := dsn.Parse([]byte(s.Inbox(s.bob)[4].Text)); !ok || report.Recipients[0].Address != address("ann@acme.test") || !strings.Contains(s.Inbox(s.bob)[4].Text, "not here") {
			t.Errorf("bob is told %s", s.Inbox(s.bob)[4].Text)
		}
		has(s.ann, "INBOX 12, Deleted Items 1, Drafts 1, Work/Deep 1")
		want := transport.RuleStats{Acted: 11, Rejected: 1, Discarded: 2, Failed: 1}
		if got := s.RuleStats(); got.Discarded != want.Discarded || got.Failed != want.Failed || got.Rejected != want.Rejected || got.Kept == 0 || got.Acted == 0 {
			t.Errorf("counted is %+v", got)
		}
	})
}

// TestNobodyIsMadeToSayWhatHeDidNot: a script that changes a user's message and has it go on would have it signed, and sent in his name; and
// one that changes another's, in a mailbox here, would have it with what was found out before.
func TestNobodyIsMadeToSayWhatHeDidNot(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Script(s.ann, `require ["editheader", "copy", "fileinto"]; deleteheader "Subject"; addheader "Subject" "changed"; redirect "y@far.example"; redirect "eve@acme.awsapps.com"; keep;`)
		eve := s.User("eve")
		s.Script(eve, `redirect "z@far.example"; keep;`)
		defer s.run(t)()
		x, err := s.begin(s.bob, "bob@acme.test", "ann@acme.test")
		s.Must(err)
		s.Must(store(t.Context(), x, "From: bob@acme.test\r\nSubject: as it was\r\n\r\nx\r\n"))
		got := s.takings(2)
		s.Must(arrive(s.World, "x@far.example", "as it was", "ann@acme.test"))
		of := s.takings(2)
		got = append(got, of[1], s.Inbox(eve)[0].Text, s.Inbox(eve)[1].Text)
		for _, got := range got {
			if strings.Contains(got, "changed") || !strings.Contains(got, "as it was") {
				t.Errorf("passed on is %s", got)
			}
		}
		for _, got := range []string{of[0], s.Inbox(s.ann)[0].Text, s.Inbox(s.ann)[1].Text} {
			if !strings.Contains(got, "changed") {
				t.Errorf("changed is %s", got)
			}
		}
	})
}

// TestWhatIsEditedIsNotVouchedFor: what was found out about a message goes nowhere with what a script made of it.
func TestWhatIsEditedIsNotVouchedFor(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Signer = &signer{}
		s.Auth = &checker{verdict: mailauth.Verdict{DMARC: mailauth.DMARC{Result: dkim.Pass, From: "far.example"}}}
		s.Group("team", s.ann)
		defer s.run(t)()
		pass := func(script, to string) string {
			t.Helper()
			s.Script(s.ann, `require "editheader"; `+script+` redirect "y@far.example";`)
			s.Must(arrive(s.World, "x@far.example", "x", to))
			return s.takings(1)[0]
		}
		if got := pass("", "ann@acme.test"); !strings.Contains(got, "ARC-Seal: ") {
			t.Errorf("passed on as it came is %s", got)
		}
		for to, script := range map[string]string{"ann@acme.test": `addheader "X-New" "1";`, "team@acme.awsapps.com": `deleteheader "List-Id"; addheader :last "X-New" "1";`} {
			got := pass(script, to)
			if !strings.Contains(got, "X-New: 1\r\n") || strings.Contains(got, "ARC-") || strings.Contains(got, "Authentication-Results") || strings.Contains(got, "List-Id") {
				t.Errorf("for %s, passed on as edited is %s", to, got)
			}
		}
	})
}

// TestRulesAreTold to the log group of an organisation that wants to know of its mail.
func TestRulesAreTold(t *testing.T) {
	onBothSending(t, func(s *sending) {
		monitor(s.World, s.Acme)
		s.Script(s.ann, rules)
		s.Must(arrive(s.World, "x@far.example", "file", "ann@acme.test"))
		got := untraced(t, s.Told(3))
		for i, want := range []string{
			`{"eventName":"ORGANIZATION_EMAIL_RECEIVED"`,
			`{"eventName":"RULE_APPLIED","ruleName":"rules","ruleType":"MAILBOX_RULE","ruleActions":[{"action":"MOVE","recipients":["ann@acme.test"]}],"targetFolder":"Work/Deep"}`,
			`{"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"ann@acme.test","folder":"Work/Deep"}`,
		} {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("told is %s, want %s", got[i], want)
			}
		}
	})
}

// TestRejectionsAreTold: to the sender of what a rule passed on to who rejects it, and of what was taken before anybody asked.
func TestRejectionsAreTold(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Script(s.ann, `redirect "bob@acme.test";`)
		s.Script(s.bob, `require "reject"; reject "not here";`)
		defer s.run(t)()
		s.Must(arrive(s.World, "x@far.example", "x", "ann@acme.test"))
		if got := s.takings(1)[0]; !strings.HasPrefix(got, "<> <x@far.example>") || !strings.Contains(got, "ann@acme.test") || !strings.Contains(got, "not here") {
			t.Errorf("told is %s", got)
		}
		x, err := s.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SES"), From: address("z@far.example"), Taken: true})
		s.Must(err)
		add(s.World, x, "bob@acme.test")
		s.Must(store(t.Context(), x, "From: <z@far.example>\r\n\r\nx\r\n"))
		if got := s.takings(1)[0]; !strings.HasPrefix(got, "<> <z@far.example>") {
			t.Errorf("told is %s", got)
		}
		if got := holdings(s.World, s.ann) + holdings(s.World, s.bob); got != "" {
			t.Errorf("kept is %s", got)
		}
	})
}

// TestWhatIsPassedOnTooOftenIsKept by each mailbox whose rule could not do it.
func TestWhatIsPassedOnTooOftenIsKept(t *testing.T) {
	onBothSending(t, func(s *sending) {
		var to []string
		kept := 0
		ids := make([]directory.EntityID, 22)
		for i := range ids {
			name := fmt.Sprint("u", i)
			ids[i] = s.User(name)
			s.Script(ids[i], `redirect "`+fmt.Sprint(min(i, 20))+`@far.example";`)
			to = append(to, name+"@acme.awsapps.com")
		}
		s.Must(arrive(s.World, "x@far.example", "x", to...))
		for _, id := range ids {
			kept += len(s.Inbox(id))
		}
		if q := s.queued(); len(q) != 20 || kept != 2 {
			t.Errorf("%d kept, queued is %q", kept, q)
		}
	})
}

// TestRedirectsMeetWhatMailMeets: DMARC and the rules of another organisation, and the outbound rules of the own.
func TestRedirectsMeetWhatMailMeets(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		d, err := a.Mailboxes.ByOwner(t.Context(), mailbox.Owner{Org: mailbox.OrgKey(a.other.Key), Entity: string(a.eve)})
		a.Must(err)
		p := principal.Principal{Kind: principal.User, ID: string(a.eve), Organization: string(a.other.ID)}
		a.Must(a.Scripts.Put(t.Context(), p, d.ID, "rules", []byte(`redirect "ann@acme.awsapps.com";`)))
		a.Must(a.Scripts.Activate(t.Context(), p, d.ID, "rules"))
		pass := func(inbox, junk, eve int) {
			t.Helper()
			a.Must(arrive(a.World, "x@far.example", "x", evesAddress))
			a.has(inbox, junk, eve)
		}
		pass(1, 0, 0)
		a.verdict = failed(mailauth.PolicyReject)
		pass(1, 0, 1)
		a.verdict = failed(mailauth.PolicyQuarantine)
		pass(1, 1, 1)
		a.verdict = mailauth.Verdict{}
		inbound(a.World, a.Acme, flow.Drop, annsAddress)
		pass(1, 1, 2)
	})
	onBothSending(t, func(s *sending) {
		outbound(s.World, flow.Drop, "", "y@far.example")
		s.Script(s.ann, `redirect "y@far.example"; redirect "z@far.example";`)
		s.Must(arrive(s.World, "x@far.example", "x", "ann@acme.test"))
		if got, q := holdings(s.World, s.ann), s.queued(); got != "INBOX 1" || len(q) != 1 || !strings.Contains(q[0], "z@far.example") {
			t.Errorf("there is %s, queued is %q", got, q)
		}
	})
}

// TestRulesNeedNoMoreRoom than there is: a mailbox that has room for the message alone gets that, and keeps nobody from it.
func TestRulesNeedNoMoreRoom(t *testing.T) {
	onBothSending(t, func(s *sending) {
		size := func(id directory.EntityID) int64 {
			d, err := s.Mailboxes.Details(t.Context(), s.Box(id))
			s.Must(err)
			return d.Bytes
		}
		both := func() error { return arrive(s.World, "x@far.example", "x", "ann@acme.test", "bob@acme.test") }
		s.Must(both())
		whole := size(s.ann)
		for i, edit := range []string{`addheader "X-A" "`, `deleteheader "X-Old"; addheader "X-A" "`} {
			s.SetQuota(s.ann, int64(2+i)*whole+100)
			s.Script(s.ann, `require ["editheader", "fileinto", "copy"]; `+edit+strings.Repeat("abcdefghi ", 60)+`"; fileinto :copy "Drafts"; keep;`)
			if err := both(); err != nil || size(s.ann) != int64(2+i)*whole {
				t.Errorf("%d: %v, %d bytes, each has %d", i, err, size(s.ann), whole)
			}
		}
		s.SetQuota(s.ann, 1<<20)
		cyd := s.User("cyd")
		s.Script(s.ann, `redirect "cyd@acme.awsapps.com";`)
		for room := whole - 100; room < whole+50; room += 10 { // what goes by ann has a line more
			s.SetQuota(cyd, size(cyd)+room)
			if err := both(); err != nil {
				t.Errorf("with room for %d: %v", room, err)
			}
		}
		if got := len(s.Inbox(cyd)); got == 0 || got == 15 {
			t.Errorf("%d had room", got)
		}
	})
}

func reply(s autoreply.State, audience autoreply.Audience) autoreply.Setting {
	return autoreply.Setting{State: s, Start: transporttest.Start, End: transporttest.Start.Add(time.Hour), Internal: "in", External: "<p>out<br>of<script>x</script> office</p>", Audience: audience}
}

// TestAutomaticReplies go once to each sender while the setting stands, and to no program.
func TestAutomaticReplies(t *testing.T) {
	onBothSending(t, func(s *sending) {
		put := func(id directory.EntityID, r autoreply.Setting) {
			t.Helper()
			s.Must(s.Autoreply.Put(t.Context(), transporttest.Admin, s.Acme.ID, string(id), r))
		}
		defer s.run(t)()
		send := func(from directory.EntityID, as string, header string, to ...string) {
			t.Helper()
			x, err := s.begin(from, as, to...)
			s.Must(err)
			s.Must(store(t.Context(), x, "From: "+as+"\r\n"+header+"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <m@acme.test>\r\nReferences: <l@acme.test>\r\n\r\nx\r\n"))
		}
		put(s.ann, reply(autoreply.Enabled, autoreply.NoAudience))
		put(s.bob, reply(autoreply.Enabled, autoreply.All)) // two who are away
		send(s.bob, "bob@acme.test", "To: ann@acme.test\r\n", "ann@acme.test")
		s.until("bob is answered", func() bool { return len(s.Inbox(s.bob)) == 1 })
		send(s.bob, "bob@acme.test", "To: ann@acme.test\r\n", "ann@acme.test")
		want := "Return-Path: <>\r\nDelivered-To: bob@acme.test\r\nFrom: \"The ann\" <ann@acme.test>\r\nTo: <bob@acme.test>\r\n" +
			"Subject: =?utf-8?q?Automatic_reply:_gr=C3=BC=C3=9Fe?=\r\nDate: "
		text := s.Inbox(s.bob)[0].Text
		if !strings.HasPrefix(text, want) || !strings.Contains(text, "\r\nIn-Reply-To: <m@acme.test>\r\nReferences: <l@acme.test>\r\n <m@acme.test>\r\nAuto-Submitted: auto-replied\r\n") ||
			!strings.HasSuffix(text, "\r\n\r\nin\r\n") {
			t.Errorf("the reply is %s", text)
		}
		// Not to programs, lists, bounces, oneself, or where one is not named; not outside.
		for _, header := range []string{"", "To: ann@acme.test\r\nPrecedence: bulk\r\n", "To: ann@acme.test\r\nList-Id: <x>\r\n", "To: ann@acme.test\r\nAuto-Submitted: auto-generated\r\n"} {
			send(s.eve, external, header, "ann@acme.test")
		}
		send(s.eve, external, "To: ann@acme.test\r\n", "ann@acme.test")
		send(s.ann, "ann@acme.test", "To: ann@acme.test\r\n", "ann@acme.test")
		s.Must(arrive(s.World, "", "x", "ann@acme.test"))
		put(s.ann, reply(autoreply.Enabled, autoreply.All)) // renewed: bob can have it again, and others as well
		send(s.bob, "bob@acme.test", "To: ann@acme.test\r\n", "ann@acme.test")
		s.Must(arrive(s.World, "z@far.example", "x", "ann@acme.awsapps.com")) // nothing leaves from a test domain
		s.Must(arrive(s.World, "x@far.example", "x", "ann@acme.test"))
		s.until("bob is answered again", func() bool { return len(s.Inbox(s.bob)) == 2 })
		if got := s.takings(1)[0]; !strings.HasPrefix(got, "<> <x@far.example> From: \"The ann\" <ann@acme.test>\r\nTo: <x@far.example>\r\nSubject: Automatic reply: x\r\n") ||
			!strings.HasSuffix(got, "\r\n\r\nout\r\nof office\r\n") {
			t.Errorf("outside goes %s", got)
		}
		if n := len(s.InboxOf(s.other, s.eve)); n != 0 {
			t.Errorf("eve has %d messages", n)
		}
		// Only those whom ann wrote to; and for an hour, which is over.
		put(s.ann, reply(autoreply.Scheduled, autoreply.Known))
		send(s.eve, external, "To: ann@acme.test\r\n", "ann@acme.test")
		sent := "From: ann@acme.test\r\nTo: Eve <EVE@other.awsapps.com>\r\n\r\n"
		_, err := s.Mailboxes.Deliver(t.Context(), contentOf(sent), mailbox.Target{Mailbox: s.Box(s.ann), Folder: mailbox.SentID})
		s.Must(err)
		send(s.eve, external, "To: ann@acme.test\r\n", "ann@acme.test")
		s.until("eve is answered", func() bool { return len(s.InboxOf(s.other, s.eve)) == 1 })
		s.Clock.Advance(time.Hour)
		send(s.bob, "bob@acme.test", "To: ann@acme.test\r\n", "ann@acme.test")
		if got := s.RuleStats(); got.Replies != 4 || len(s.Inbox(s.bob)) != 2 {
			t.Errorf("%+v replies, and bob has %d", got, len(s.Inbox(s.bob)))
		}
	})
}

// TestStrangersAreLookedForOnce in what was sent, however often they write.
func TestStrangersAreLookedForOnce(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Must(s.Autoreply.Put(t.Context(), transporttest.Admin, s.Acme.ID, string(s.ann), reply(autoreply.Enabled, autoreply.Known)))
		send := func(to string) {
			_, err := s.Mailboxes.Deliver(t.Context(), contentOf("From: ann@acme.test\r\nTo: <"+to+">\r\n\r\n"), mailbox.Target{Mailbox: s.Box(s.ann), Folder: mailbox.SentID})
			s.Must(err)
		}
		reads := func(from string) uint64 {
			before := s.DB.Stats().Reads
			s.Must(arrive(s.World, from, "x", "ann@acme.test"))
			return s.DB.Stats().Reads - before
		}
		send("z@far.example")
		reads("x@far.example") // and what is read once
		if other, again := reads("w@far.example"), reads("x@far.example"); again >= other {
			t.Errorf("%d reads, and %d again", other, again)
		}
		send("x@far.example")
		if reads("x@far.example"); s.RuleStats().Replies != 1 {
			t.Errorf("counted is %+v", s.RuleStats())
		}
	})
}

// TestVacation is Sieve's: once in its time for each sender, also for a message that is discarded.
func TestVacation(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Script(s.ann, `require ["vacation", "editheader"]; deleteheader "Feedback-ID"; vacation :days 1 :subject "away" :from "Not Ann <bob@acme.test>" "gone"; discard;`)
		s.Must(s.Autoreply.Put(t.Context(), transporttest.Admin, s.Acme.ID, string(s.ann), reply(autoreply.Enabled, autoreply.All)))
		defer s.run(t)()
		for range 2 {
			s.Must(arrive(s.World, "x@far.example", "x", "ann@acme.test"))
		}
		s.Must(arrive(s.World, "z@far.example", "x\r\nFeedback-ID: 1", "ann@acme.test")) // of a program
		if got := s.takings(1)[0]; !strings.HasPrefix(got, "<> <x@far.example> From: \"Not Ann\" <ann@acme.test>\r\nTo: <x@far.example>\r\nSubject: away\r\n") {
			t.Errorf("the reply is %s", got)
		}
		s.Clock.Advance(25 * time.Hour) // the jobs go by the real time, which is later
		s.Must(arrive(s.World, "x@far.example", "x", "ann@acme.test"))
		s.takings(1)
		if got := s.RuleStats(); got.Vacations != 2 || got.Replies != 0 || len(s.Inbox(s.ann)) != 0 {
			t.Errorf("counted is %+v, ann has %d", got, len(s.Inbox(s.ann)))
		}
	})
}

// TestNoBackscatterByRules: who is not proven to have sent a message hears nothing of it; and junk meets no rule.
func TestNoBackscatterByRules(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		bob := a.User("bob")
		a.Script(bob, `require ["reject", "vacation", "fileinto"]; if header :is "subject" "no" { reject "no"; } else { vacation "away"; fileinto "Drafts"; }`)
		a.Must(a.Autoreply.Put(t.Context(), transporttest.Admin, a.Acme.ID, string(a.ann), reply(autoreply.Enabled, autoreply.All)))
		a.verdict = mailauth.Verdict{SPF: mailauth.Outcome{Result: dkim.None}, DMARC: mailauth.DMARC{Result: dkim.None, From: "other.test"}}
		for _, subject := range []string{"no", "x"} {
			a.Must(arrive(a.World, "eve@other.awsapps.com", subject, "ann@acme.awsapps.com", "bob@acme.awsapps.com"))
		}
		if got := holdings(a.World, bob); got != "Drafts 1" {
			t.Errorf("bob has %s", got)
		}
		if got := a.RuleStats(); got.Vacations+got.Replies != 0 {
			t.Errorf("counted is %+v", got)
		}
		a.verdict = failed(mailauth.PolicyQuarantine)
		a.Must(arrive(a.World, "x@far.example", "x", "bob@acme.awsapps.com"))
		if got := holdings(a.World, bob); got != "Drafts 1, Junk E-mail 1" {
			t.Errorf("bob has %s", got)
		}
	})
}

// TestRulesForANotice may file it, and do no more.
func TestRulesForANotice(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Script(s.ann, `require ["fileinto", "mailbox", "copy", "reject"]; if header :contains "content-type" "multipart/report" { redirect :copy "y@far.example"; fileinto :create "Bounces"; }`)
		defer s.run(t)()
		s.Must(s.send(s.ann, "ann@acme.test", "nobody@far.example"))
		s.until("ann is told", func() bool { return holdings(s.World, s.ann) == "Bounces 1" })
		if q := s.queued(); len(q) != 0 {
			t.Errorf("queued is %q", q)
		}
	})
}

func contentOf(text string) mailbox.Message {
	return content.Message([]byte(text), mailbox.Source{Bytes: []byte(text)})
}

// TestRulesRunOnceAFunctionDecided on the message, and not before.
func TestRulesRunOnceAFunctionDecided(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Script(a.ann, `require ["fileinto", "reject"]; if header :is "subject" "grüße" { fileinto "Drafts"; }`)
		a.Script(a.bob, `require "reject"; reject "no";`)
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		a.arrive("eve@other.awsapps.com", "ann@acme.test", "bob@acme.test")
		if got := a.RuleStats(); got != (transport.RuleStats{}) {
			t.Errorf("before, counted is %+v", got)
		}
		defer a.run(t)()
		a.until("ann has it and eve is told of bob", func() bool { return holdings(a.World, a.ann) == "Drafts 1" && len(a.InboxOf(a.other, a.eve)) == 1 })
	})
}

// TestWhatRulesPassOnCounts into the limits of the mailbox's user; what is over them is kept.
func TestWhatRulesPassOnCounts(t *testing.T) {
	onBothSenders(t, transport.Daily{UserExternal: 1}, func(s *senders) {
		s.Script(s.ann, `redirect "`+external+`";`)
		for range 2 {
			s.Must(arrive(s.World, "x@far.example", "x", "ann@acme.test"))
		}
		if got := fmt.Sprint(holdings(s.World, s.ann), ", ", len(s.InboxOf(s.other, s.eve)), s.counted()); got != "INBOX 1, 1 map["+s.key(s.ann)+":1]" {
			t.Errorf("there is %s", got)
		}
	})
}

// TestNoRulesCostNothing: a delivery to who has neither rules nor a reply reads nothing more than without them on the server.
func TestNoRulesCostNothing(t *testing.T) {
	reads := map[string]uint64{}
	for _, with := range []bool{false, true} {
		transporttest.OnBoth(t, func(o *transport.Options) {
			if !with {
				o.Scripts, o.Replies = nil, nil
			}
		}, func(w *transporttest.World) {
			w.Script(w.User("bob"), "keep;")
			w.User("ann")
			w.Must(arrive(w, "x@far.example", "x", "ann@acme.awsapps.com")) // what is read once
			before := w.DB.Stats().Reads
			w.Must(arrive(w, "x@far.example", "x", "ann@acme.awsapps.com"))
			n := w.DB.Stats().Reads - before
			engine := w.T.Name()[strings.LastIndexByte(w.T.Name(), '/')+1:]
			if engine, _, _ = strings.Cut(engine, "#"); with && n != reads[engine] {
				t.Errorf("%s: %d reads, and %d without", engine, n, reads[engine])
			}
			reads[engine] = n
		})
	}
}
