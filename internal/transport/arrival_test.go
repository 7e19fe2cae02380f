package transport_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// checker finds the same of every message.
type checker struct {
	verdict mailauth.Verdict
	asked   []mailauth.Client
	texts   []string
}

func (c *checker) Check(_ context.Context, client mailauth.Client, text []byte) *mailauth.Verdict {
	c.asked, c.texts = append(c.asked, client), append(c.texts, string(text))
	v := c.verdict
	v.Client = client
	return &v
}

// failed is the verdict on a message that fails the policy of its author's domain.
func failed(p mailauth.Policy) mailauth.Verdict {
	return mailauth.Verdict{
		IPRev: mailauth.Outcome{Result: dkim.PermError}, SPF: mailauth.Outcome{Result: mailauth.SoftFail, Domain: "far.example"}, Hello: mailauth.Outcome{Result: dkim.None},
		DMARC: mailauth.DMARC{Result: dkim.Fail, From: "far.example", Domain: "far.example", Policy: p, Record: &mailauth.Record{Policy: p}},
	}
}

// arrivals is a world with a second organisation, which does not enforce DMARC, and a checker.
type arrivals struct {
	*transporttest.World
	*checker
	other    *directory.Organization
	ann, eve directory.EntityID
	judged   []mailauth.Disposition
	refuse   error // of Judged
}

func onBothArrivals(t *testing.T, fn func(a *arrivals)) {
	a := &arrivals{}
	hook := func(o *transport.Options) {
		a.checker, a.judged, a.refuse = &checker{}, nil, nil
		o.Auth = a.checker
		o.Limits.Memory, o.Limits.Checked = 100<<10, 100<<10 // one large message
		o.Judged = func(_ context.Context, tx *db.Tx, v *mailauth.Verdict, d mailauth.Disposition) error {
			if a.refuse != nil {
				return a.refuse
			}
			if v.DMARC.Result != a.verdict.DMARC.Result {
				t.Errorf("judged is %+v", v)
			}
			tx.OnCommit(func() { a.judged = append(a.judged, d) }) // the function may run more than once
			return nil
		}
	}
	transporttest.OnBoth(t, hook, func(w *transporttest.World) {
		a.World, a.ann = w, w.User("ann")
		a.other = w.Organization("other")
		a.eve = w.UserOf(a.other, "eve")
		w.Write(func(ctx context.Context, tx *db.Tx) error { return w.Policy.EnforceDMARCTx(ctx, tx, a.other, false) })
		fn(a)
	})
}

// send sends text from far.example.
func (a *arrivals) send(text string, to ...string) error {
	a.T.Helper()
	p := principal.TheSystem("SMTP")
	p.Address = netip.MustParseAddr("192.0.2.1")
	x, err := a.Begin(a.T.Context(), transport.Sender{Principal: p, From: address("x@far.example"), Hello: "mx.far.example"})
	a.Must(err)
	for _, r := range to {
		a.Must(x.Add(a.T.Context(), asked(r)))
	}
	return store(a.T.Context(), x, text)
}

const (
	annsAddress, evesAddress = "ann@acme.awsapps.com", "eve@other.awsapps.com"
	fromFar                  = "From: x@far.example\r\nSubject: hello\r\n\r\nbody\r\n"
)

// has checks how many messages ann has in both folders, and eve in the inbox.
func (a *arrivals) has(inbox, junk, eve int) {
	a.T.Helper()
	if i, j, e := len(a.Inbox(a.ann)), len(a.Junk(a.ann)), len(a.InboxOf(a.other, a.eve)); i != inbox || j != junk || e != eve {
		a.T.Errorf("%d, %d and %d messages, want %d, %d and %d", i, j, e, inbox, junk, eve)
	}
}

func (a *arrivals) wasJudged(want ...mailauth.Disposition) {
	a.T.Helper()
	if !slices.Equal(a.judged, want) {
		a.T.Errorf("judged %+v, want %+v", a.judged, want)
	}
	a.judged = nil
}

// without removes the time from what log groups are told.
func without(events []string) []string {
	for i, e := range events {
		events[i] = strings.Replace(e, `,"messageTimestamp":"2026-11-23T12:00:00.000Z"`, "", 1)
	}
	return events
}

// TestDMARCRefuses shows what PutInboundDmarcSettings does with a message whose author's domain asks that it is refused.
func TestDMARCRefuses(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		a.verdict = failed(mailauth.PolicyReject)
		monitor(a.World, a.Acme)
		err := a.send(fromFar, annsAddress)
		if f := fault.As(err); !fault.Is(err, fault.Denied, fault.Message) || !strings.HasPrefix(f.Message, "DMARC: far.example asks that mail is refused") {
			t.Errorf("where all enforce: %v", err)
		}
		a.has(0, 0, 0)
		a.wasJudged(mailauth.Disposition{Applied: mailauth.PolicyReject})
		want := []string{`{"eventName":"DMARC_POLICY_APPLIED","recipients":["ann@acme.awsapps.com"],"from":"x@far.example","policy":"REJECT"}`}
		if got := untraced(t, a.Told(1)); !slices.Equal(got, want) {
			t.Errorf("told is %s", got)
		}

		a.Must(a.send(fromFar, annsAddress, evesAddress))
		a.has(0, 0, 1)
		a.wasJudged(mailauth.Disposition{Applied: mailauth.PolicyReject})
		want = []string{
			`{"eventName":"ORGANIZATION_EMAIL_RECEIVED","recipients":["ann@acme.awsapps.com"],"from":"x@far.example","subject":"hello","dkimVerdict":"GRAY","dmarcVerdict":"FAIL","dmarcPolicy":"REJECT","spfVerdict":"FAIL"}`,
			`{"eventName":"DMARC_POLICY_APPLIED","recipients":["ann@acme.awsapps.com"],"from":"x@far.example","policy":"REJECT"}`,
		}
		if got := without(untraced(t, a.Told(2))); !slices.Equal(got, want) {
			t.Errorf("told is %s", got)
		}

		a.Must(a.send(fromFar, evesAddress))
		a.has(0, 0, 2)
		a.wasJudged(mailauth.Disposition{Applied: mailauth.PolicyNone, Override: mailauth.OverrideLocal, Comment: "the recipient does not enforce DMARC"})

		a.Write(func(ctx context.Context, tx *db.Tx) error { return a.Policy.EnforceDMARCTx(ctx, tx, a.Acme, false) })
		a.Must(a.send(fromFar, annsAddress))
		a.has(1, 0, 2)
		a.Write(func(ctx context.Context, tx *db.Tx) error { return a.Policy.EnforceDMARCTx(ctx, tx, a.other, true) })
		a.Must(a.send(fromFar, annsAddress, evesAddress))
		a.has(2, 0, 2)
		a.Write(func(ctx context.Context, tx *db.Tx) error { return a.Policy.EnforceDMARCTx(ctx, tx, a.Acme, true) })
		if err := a.send(fromFar, annsAddress, evesAddress); !fault.Is(err, fault.Denied, fault.Message) {
			t.Errorf("where both enforce: %v", err)
		}
		a.has(2, 0, 2)
		if s := a.Stats(); s.Refused != 2 || s.Dropped != 2 || s.Quarantined != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDMARCQuarantines shows the same of a message that is to be treated with suspicion.
func TestDMARCQuarantines(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		a.verdict = failed(mailauth.PolicyQuarantine)
		monitor(a.World, a.Acme)
		a.Group("team", a.ann)
		a.Must(a.send(fromFar, "team@acme.awsapps.com", evesAddress))
		a.has(0, 1, 1)
		a.wasJudged(mailauth.Disposition{Applied: mailauth.PolicyQuarantine})
		want := []string{
			`{"eventName":"ORGANIZATION_EMAIL_RECEIVED","recipients":["team@acme.awsapps.com"],"from":"x@far.example","subject":"hello","dkimVerdict":"GRAY","dmarcVerdict":"FAIL","dmarcPolicy":"QUARANTINE","spfVerdict":"FAIL"}`,
			`{"eventName":"DMARC_POLICY_APPLIED","recipients":["team@acme.awsapps.com"],"from":"x@far.example","policy":"QUARANTINE"}`,
			`{"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"ann@acme.awsapps.com","folder":"Junk E-mail"}`,
		}
		if got := without(untraced(t, a.Told(3))); !slices.Equal(got, want) {
			t.Errorf("told is %s", got)
		}
		if s := a.Stats(); s.Refused+s.Dropped != 0 || s.Quarantined != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestVerdictsAreTold: in the words of SES, and the policy only of what failed.
func TestVerdictsAreTold(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		monitor(a.World, a.Acme)
		for results, want := range map[[3]dkim.Result]string{
			{dkim.Pass, dkim.Pass, dkim.Pass}:                `"dkimVerdict":"PASS","dmarcVerdict":"PASS","spfVerdict":"PASS"`,
			{"", dkim.Neutral, dkim.None}:                    `"dkimVerdict":"GRAY","dmarcVerdict":"GRAY","spfVerdict":"GRAY"`,
			{dkim.TempError, dkim.PermError, dkim.PermError}: `"dkimVerdict":"PROCESSING_FAILED","dmarcVerdict":"PROCESSING_FAILED","spfVerdict":"PROCESSING_FAILED"`,
			{dkim.Policy, dkim.Fail, dkim.Fail}:              `"dkimVerdict":"FAIL","dmarcVerdict":"FAIL","dmarcPolicy":"NONE","spfVerdict":"FAIL"`,
		} {
			a.verdict = failed(mailauth.PolicyNone)
			if a.verdict.SPF.Result, a.verdict.DMARC.Result = results[1], results[2]; results[0] != "" {
				a.verdict.DKIM = []dkim.Signature{{Result: results[0]}}
			}
			a.Must(a.send(fromFar, annsAddress))
			if got := a.Told(2)[0]; !strings.Contains(got, want) {
				t.Errorf("%v is told as %s", results, got)
			}
		}
	})
}

// TestResultsInTheHeader: in front of the trace, whatever the message says of itself.
func TestResultsInTheHeader(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		a.verdict = failed(mailauth.PolicyNone)
		const forged = "Authentication-Results: mail.acme.awsapps.com;\r\n dmarc=pass\r\n"
		const others = "Authentication-Results: elsewhere.example; dmarc=pass\r\n"
		a.Must(a.send(forged+others+fromFar, annsAddress))
		want := "Return-Path: <x@far.example>\r\nDelivered-To: ann@acme.awsapps.com\r\nAuthentication-Results: mail.acme.awsapps.com;\r\n\tiprev=permerror policy.iprev=192.0.2.1;\r\n" +
			"\tspf=softfail smtp.mailfrom=x@far.example;\r\n\tdkim=none;\r\n\tdmarc=fail (p=none) header.from=far.example polrec.p=none\r\n" + trace + others + fromFar
		if got := a.Inbox(a.ann)[0].Text; got != want {
			t.Errorf("ann has\n%s\nwant\n%s", got, want)
		}
		if c := a.asked[0]; c.Hello != "mx.far.example" || c.From != address("x@far.example") || c.Address != netip.MustParseAddr("192.0.2.1") || a.texts[0] != forged+others+fromFar {
			t.Errorf("checked was %+v %q", c, a.texts)
		}
		// One that is large, and so lies in a file.
		x, err := a.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("x@far.example")})
		a.Must(err)
		add(a.World, x, annsAddress)
		large := fromFar + strings.Repeat("line\r\n", 1000)
		m := spool.New(t.TempDir(), 1000)
		defer m.Close()
		_, err = m.Write([]byte(trace + forged + large))
		a.Must(err)
		a.Must(x.Store(t.Context(), m, len(trace)))
		if got := a.Inbox(a.ann)[1].Text; !m.OnDisk() || !strings.HasSuffix(got, trace+large) || a.texts[1] != forged+large {
			t.Error("a large message is not checked as others are")
		}
	})
}

// slow checks what says so until it is let go.
type slow struct {
	checker
	begun, end chan struct{}
}

func (s *slow) Check(ctx context.Context, c mailauth.Client, text []byte) *mailauth.Verdict {
	if strings.Contains(string(text), "Subject: slow") {
		close(s.begun)
		<-s.end
	}
	return s.checker.Check(ctx, c, text)
}

// TestWhatWaitsForDNSHoldsUpNothingElse: a large message whose look-ups are slow takes no room from those that are stored.
func TestWhatWaitsForDNSHoldsUpNothingElse(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		a.verdict = failed(mailauth.PolicyNone)
		dns := &slow{*a.checker, make(chan struct{}), make(chan struct{})}
		a.Auth = dns
		a.SetQuota(a.ann, 10<<20)
		large := func(subject string, o transport.Sender) error {
			x, err := a.Begin(t.Context(), o)
			a.Must(err)
			add(a.World, x, annsAddress)
			m := spool.New(t.TempDir(), 1000)
			defer m.Close()
			_, err = m.Write([]byte(trace + "From: " + o.From.String() + "\r\nSubject: " + subject + "\r\n\r\n" + strings.Repeat("line\r\n", 13_000)))
			a.Must(err)
			return x.Store(t.Context(), m, len(trace))
		}
		outside := transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("x@far.example")}
		done := make(chan error)
		go func() { done <- large("slow", outside) }()
		<-dns.begun
		a.Must(large("submitted", transport.Sender{
			Principal: principal.Principal{Kind: principal.User, Organization: string(a.Acme.ID), ID: string(a.ann)}, Submitted: true, From: address(annsAddress),
		}))
		a.Must(a.send(fromFar, annsAddress))
		close(dns.end)
		a.Must(<-done)
		a.has(3, 0, 0)
	})
}

// TestSlowDNSOfOneClient: its large messages wait for each other and for nobody longer than they may, and others wait only where there
// is no room at all.
func TestSlowDNSOfOneClient(t *testing.T) {
	for room, others := range map[int64]bool{320 << 10: true, 100 << 10: false} {
		var dns *slow
		hook := func(o *transport.Options) {
			dns = &slow{checker{verdict: failed(mailauth.PolicyNone)}, make(chan struct{}), make(chan struct{})}
			o.Auth, o.Limits.Checked, o.Limits.Wait = dns, room, 100*time.Millisecond
		}
		transporttest.OnBoth(t, hook, func(w *transporttest.World) {
			w.SetQuota(w.User("ann"), 10<<20)
			large := func(client, subject string) error {
				p := principal.TheSystem("SMTP")
				p.Address = netip.MustParseAddr(client)
				x, err := w.Begin(t.Context(), transport.Sender{Principal: p, From: address("x@far.example")})
				w.Must(err)
				add(w, x, annsAddress)
				m := spool.New(t.TempDir(), 1000)
				defer m.Close()
				_, err = m.Write([]byte(trace + "Subject: " + subject + "\r\n\r\n" + strings.Repeat("line\r\n", 13_000)))
				w.Must(err)
				return x.Store(t.Context(), m, len(trace))
			}
			done := make(chan error)
			go func() { done <- large("2001:db8::1", "slow") }()
			<-dns.begun
			if err := large("2001:db8::2", "hello"); !fault.Is(err, fault.Temporary, fault.Message) {
				t.Errorf("another of the same client, with room for %d: %v", room, err)
			}
			if err := large("192.0.2.2", "hello"); (err == nil) != others || err != nil && !fault.Is(err, fault.Temporary, fault.Message) {
				t.Errorf("of another client, with room for %d: %v", room, err)
			}
			close(dns.end)
			w.Must(<-done)
			w.Must(large("2001:db8::2", "hello"))
		})
	}
}

// scanner finds nothing, and says whether it asks anybody.
type scanner struct{ waits bool }

func (scanner) Scan(context.Context, []byte, bool, netip.Addr) error { return nil }
func (s scanner) Waits() bool                                        { return s.waits }

// TestUsersDoNotWaitForStrangers: slow DNS of a stranger, whose message has all the room, holds up nothing that users submit, whether or
// not that is scanned.
func TestUsersDoNotWaitForStrangers(t *testing.T) {
	for _, waits := range []bool{false, true} {
		var dns *slow
		hook := func(o *transport.Options) {
			dns = &slow{checker{verdict: failed(mailauth.PolicyNone)}, make(chan struct{}), make(chan struct{})}
			o.Auth, o.Scanner, o.Limits.Checked, o.Limits.Wait = dns, scanner{waits}, 100<<10, 100*time.Millisecond
		}
		transporttest.OnBoth(t, hook, func(w *transporttest.World) {
			ann := w.User("ann")
			w.SetQuota(ann, 10<<20)
			large := func(subject string, s transport.Sender) error {
				x, err := w.Begin(t.Context(), s)
				w.Must(err)
				add(w, x, annsAddress)
				m := spool.New(t.TempDir(), 1000)
				defer m.Close()
				_, err = m.Write([]byte(trace + "From: " + s.From.String() + "\r\nSubject: " + subject + "\r\n\r\n" + strings.Repeat("line\r\n", 13_000)))
				w.Must(err)
				return x.Store(t.Context(), m, len(trace))
			}
			done := make(chan error)
			go func() {
				done <- large("slow", transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("x@far.example")})
			}()
			<-dns.begun
			err := large("submitted", transport.Sender{
				Principal: principal.Principal{Kind: principal.User, Organization: string(w.Acme.ID), ID: string(ann)}, Submitted: true, From: address(annsAddress),
			})
			if err != nil {
				t.Errorf("a user's, where clamd is asked %v: %v", waits, err)
			}
			close(dns.end)
			w.Must(<-done)
		})
	}
}

// greylist lets all recipients pass, and counts the messages.
type greylist struct{ messages, recipients int }

func (g *greylist) Pass(mailauth.Client) func(context.Context, message.Address) error {
	g.messages++
	return func(context.Context, message.Address) error { g.recipients++; return nil }
}
func (*greylist) Delivered(*mailauth.Verdict) func(context.Context, *db.Tx) error { return nil }

// TestGreylistKnowsAMessage: it is asked for all recipients of one together, so that it looks up once what is the same for them.
func TestGreylistKnowsAMessage(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		g := &greylist{}
		a.Greylist, a.verdict = g, failed(mailauth.PolicyNone)
		for range 2 {
			a.Must(a.send(fromFar, annsAddress, evesAddress))
		}
		if g.messages != 2 || g.recipients != 4 {
			t.Errorf("%+v", g)
		}
	})
}

// TestNothingIsStoredThatIsNotJudged: the verdict is counted in the transaction that stores the message.
func TestNothingIsStoredThatIsNotJudged(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		a.verdict = failed(mailauth.PolicyNone)
		a.refuse = errors.New("no")
		if err := a.send(fromFar, annsAddress); !errors.Is(err, a.refuse) {
			t.Error(err)
		}
		a.verdict = failed(mailauth.PolicyReject)
		if err := a.send(fromFar, annsAddress); !fault.Is(err, fault.Denied, fault.Message) { // a refusal stands
			t.Error(err)
		}
		a.has(0, 0, 0)
	})
}

// TestSubmissionsAreNotChecked: a user is known; what a user's message says of checks goes all the same.
func TestSubmissionsAreNotChecked(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		a.verdict = failed(mailauth.PolicyReject)
		x, err := a.Begin(t.Context(), transport.Sender{
			Principal: principal.Principal{Kind: principal.User, Organization: string(a.Acme.ID), ID: string(a.ann)}, Submitted: true, From: address(annsAddress),
		})
		a.Must(err)
		a.Must(x.Add(t.Context(), queue.Recipient{Address: address(annsAddress)}))
		a.Must(store(t.Context(), x, "Authentication-Results: mail.acme.awsapps.com; dmarc=pass\r\nFrom: "+annsAddress+"\r\n\r\n"))
		a.wasJudged()
		if got := a.Inbox(a.ann)[0].Text; len(a.asked) > 0 || strings.Contains(got, "Authentication-Results") {
			t.Errorf("%d checks of\n%s", len(a.asked), got)
		}
	})
}

// What an organisation refuses is not passed on for it, and what another lets through is.
func TestWhatIsRefusedIsNotPassedOn(t *testing.T) {
	onBothSending(t, func(s *sending) {
		s.Auth = &checker{verdict: failed(mailauth.PolicyReject)}
		s.Remote("away", "away@old.example", "away@acme.test")
		other := s.Organization("third")
		s.Write(func(ctx context.Context, tx *db.Tx) error {
			return s.World.Policy.EnforceDMARCTx(ctx, tx, other, false)
		})
		id, err := s.World.Directory.CreateUser(t.Context(), transporttest.Admin, other.ID, directory.NewUser{Name: "away", DisplayName: "away", Role: directory.RoleRemote})
		s.Must(err)
		s.Enable(other, id, "away@old.example")
		s.Must(s.World.Directory.CreateAlias(t.Context(), transporttest.Admin, other.ID, id, "away@third.awsapps.com"))
		x := outside(s.World, 0)
		add(s.World, x, "away@acme.test")
		add(s.World, x, "away@third.awsapps.com")
		s.Must(store(t.Context(), x, simple))
		entries, _, err := s.queue.List(t.Context(), queue.Filter{}, queue.Cursor{}, 10)
		s.Must(err)
		if len(entries) != 1 || entries[0].Organization != other.Key || entries[0].Recipient != "away@old.example" {
			t.Errorf("queued are %+v", entries)
		}
	})
}
