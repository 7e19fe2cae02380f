package dmarcrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

type fixture struct {
	t testing.TB
	*Reporter
	dns   *dnstest.Server
	clock *clock.Fake
	mails []*dayreport.Mail
}

// Send is the Mailer's.
func (f *fixture) Send(ctx context.Context, m *dayreport.Mail, done func(context.Context, *db.Tx) error) error {
	f.mails = append(f.mails, m)
	return f.DB.Write(ctx, done)
}

func onBoth(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	dbtest.Run(t, slices.Concat(job.Migrations(), dayreport.Migrations()), func(t *testing.T, d *db.DB) { fn(newFixture(t, d)) })
}

func newFixture(t testing.TB, d *db.DB) *fixture {
	f := &fixture{t: t, dns: dnstest.New(t), clock: clock.NewFake(noon)}
	f.Reporter = New(Options{
		DB: d, Clock: f.clock, Log: slog.New(slog.DiscardHandler), Resolver: dns.New(f.dns.Address), Mailer: f,
		Organization: "mail.here.example", From: "postmaster@mail.here.example", Generator: "Pennypost",
		Organizational: func(_ context.Context, domain string) (string, error) {
			labels := strings.Split(domain, ".")
			return strings.Join(labels[max(0, len(labels)-2):], "."), nil
		},
	})
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) judged(v *mailauth.Verdict, d mailauth.Disposition) {
	f.t.Helper()
	f.must(f.DB.Write(f.t.Context(), func(ctx context.Context, tx *db.Tx) error { return f.Judged(ctx, tx, v, d) }))
}

// report makes the day over, reports it to the domain and returns what was sent since; nil where nothing was.
func (f *fixture) report(domain string) *dmarcreport.Report {
	f.t.Helper()
	f.must(f.Flush(f.t.Context()))
	f.clock.Advance(24 * time.Hour)
	f.mails = nil
	f.must(f.Report(f.t.Context(), f.Today()-1, domain))
	if len(f.mails) == 0 {
		return nil
	}
	g, err := gzip.NewReader(bytes.NewReader(f.mails[0].Parts[1].Body))
	f.must(err)
	text, err := io.ReadAll(g)
	f.must(err)
	r, err := dmarcreport.Read(text)
	f.must(err)
	return r
}

func (f *fixture) to() (list []string) {
	for _, m := range f.mails {
		list = append(list, m.To)
	}
	return list
}

// verdict is of a message in the name of news.far.example, which fails.
func verdict(rua ...string) *mailauth.Verdict {
	return &mailauth.Verdict{
		Client: mailauth.Client{Address: netip.MustParseAddr("::ffff:192.0.2.9"), Hello: "x", From: message.Address{Local: "secret", Domain: "other.example"}},
		SPF:    mailauth.Outcome{Result: dkim.Pass, Domain: "other.example"},
		DKIM: []dkim.Signature{
			{Result: dkim.Fail, Domain: "far.example", Selector: "a"}, {Result: dkim.Pass, Domain: "other.example", Selector: "b"},
		},
		DMARC: mailauth.DMARC{
			Result: dkim.Fail, From: "news.far.example", Domain: "far.example", Policy: mailauth.PolicyQuarantine,
			Record: &mailauth.Record{
				Policy: mailauth.PolicyReject, Subdomains: mailauth.PolicyQuarantine, NonExistent: mailauth.PolicyReject, StrictSPF: true, Percent: 100,
				Aggregate: rua, FailureOptions: "1",
			},
		},
	}
}

var quarantined = mailauth.Disposition{Applied: mailauth.PolicyQuarantine}

func TestReport(t *testing.T) {
	onBoth(t, func(f *fixture) {
		fails := verdict("mailto:dmarc@far.example")
		f.judged(fails, quarantined)
		f.judged(fails, quarantined)
		f.judged(fails, mailauth.Disposition{Applied: mailauth.PolicyNone, Override: mailauth.OverrideLocal, Comment: "not enforced"})
		passes := verdict("mailto:dmarc@far.example")
		passes.DKIM, passes.DMARC.From, passes.DMARC.Policy = nil, "far.example", mailauth.PolicyReject
		passes.DMARC.Result, passes.DMARC.SPFAligned = dkim.Pass, true
		passes.SPF, passes.Client.From = mailauth.Outcome{Result: dkim.Pass, Domain: "mx.far.example"}, message.Address{}
		for range 3 {
			f.judged(passes, mailauth.Disposition{})
		}
		got := f.report("far.example")
		if len(f.mails) != 1 {
			t.Fatalf("mails to %q", f.to())
		}
		common := dmarcreport.Record{
			Source: "192.0.2.9", DKIM: "fail", SPF: "fail", HeaderFrom: "news.far.example", EnvelopeFrom: "other.example",
			DKIMResults: []dmarcreport.DKIMResult{{Domain: "other.example", Selector: "b", Result: "pass"}, {Domain: "far.example", Selector: "a", Result: "fail"}},
			SPFResults:  []dmarcreport.SPFResult{{Domain: "other.example", Scope: "mfrom", Result: "pass"}},
		}
		two, one := common, common
		two.Count, two.Disposition = 2, "quarantine"
		one.Count, one.Disposition, one.Reasons = 1, "none", []dmarcreport.Reason{{Type: "local_policy", Comment: "not enforced"}}
		want := &dmarcreport.Report{
			Version: "1.0", Organization: "mail.here.example", Email: "postmaster@mail.here.example", ID: got.ID, Generator: "Pennypost",
			Begin: noon.Truncate(24 * time.Hour).Unix(), End: noon.Truncate(24*time.Hour).Unix() + 86399,
			Policy: dmarcreport.Policy{
				Domain: "far.example", Policy: "reject", Subdomains: "quarantine", NonExistent: "reject", DKIM: "r", SPF: "s", FailureOptions: "1", Testing: "n",
			},
			Records: []dmarcreport.Record{
				{
					Source: "192.0.2.9", Count: 3, Disposition: "pass", DKIM: "fail", SPF: "pass", HeaderFrom: "far.example",
					SPFResults: []dmarcreport.SPFResult{{Domain: "mx.far.example", Scope: "mfrom", Result: "pass"}},
				},
				two, one,
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the report is\n%+v, want\n%+v", got, want)
		}
		m := f.mails[0]
		if bytes.Contains(m.Parts[0].Body, []byte("secret")) {
			t.Error("it tells of addresses")
		}
		m.Parts[0].Body, m.Parts[1].Body = nil, nil
		wantMail := &dayreport.Mail{
			ID: got.ID, From: "postmaster@mail.here.example", To: "dmarc@far.example",
			Subject:     "Report Domain: far.example Submitter: mail.here.example Report-ID: <" + got.ID + ">",
			ContentType: "multipart/mixed",
			Parts: []dayreport.Part{
				{ContentType: "text/plain; charset=us-ascii"},
				{ContentType: "application/gzip", FileName: "mail.here.example!far.example!1795564800!1795651199!" + got.ID + ".xml.gz"},
			},
		}
		if !reflect.DeepEqual(m, wantMail) || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(got.ID) {
			t.Errorf("the mail is %+v, want %+v", m, wantMail)
		}
	})
}

func TestWhatIsNotCounted(t *testing.T) {
	f := newFixture(t, dbtest.SQLite(t, slices.Concat(job.Migrations(), dayreport.Migrations())))
	for name, change := range map[string]func(v *mailauth.Verdict){
		"no record":          func(v *mailauth.Verdict) { v.DMARC.Record, v.DMARC.Result = nil, dkim.None },
		"nobody to tell":     func(v *mailauth.Verdict) { v.DMARC.Record.Aggregate = nil },
		"from this machine":  func(v *mailauth.Verdict) { v.Local = true },
		"no client":          func(v *mailauth.Verdict) { v.Client.Address = netip.Addr{} },
		"DNS did not answer": func(v *mailauth.Verdict) { v.DMARC.Result = dkim.TempError },
	} {
		v := verdict("mailto:dmarc@far.example")
		change(v)
		f.judged(v, quarantined)
		if r := f.report("far.example"); r != nil {
			t.Errorf("%s: reported is %+v", name, r)
		}
	}
	// What is rolled back is not counted.
	failed := errors.New("no")
	err := f.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		f.must(f.Judged(ctx, tx, verdict("mailto:dmarc@far.example"), quarantined))
		return failed
	})
	if r := f.report("far.example"); r != nil || !errors.Is(err, failed) {
		t.Errorf("reported is %+v, %v", r, err)
	}
}

// TestAChangedPolicy: the report has the policy of most messages, and goes where that says.
func TestAChangedPolicy(t *testing.T) {
	onBoth(t, func(f *fixture) {
		before, after := verdict("mailto:before@far.example"), verdict("mailto:after@far.example")
		after.DMARC.Record.Policy = mailauth.PolicyNone
		f.judged(before, quarantined)
		f.judged(after, quarantined)
		f.judged(after, quarantined)
		r := f.report("far.example")
		if r == nil || r.Policy.Policy != "none" || len(r.Records) != 1 || r.Records[0].Count != 3 || !slices.Equal(f.to(), []string{"after@far.example"}) {
			t.Errorf("reported to %q is %+v", f.to(), r)
		}
	})
}

func TestTooManyKinds(t *testing.T) {
	f := newFixture(t, dbtest.SQLite(t, slices.Concat(job.Migrations(), dayreport.Migrations())))
	v := verdict("mailto:dmarc@far.example")
	f.judged(v, quarantined)
	f.Count("far.example", "", "")
	f.Count("far.example", "", "")
	if r := f.report("far.example"); len(r.Records) != 1 || !strings.HasPrefix(r.Errors[0], "2 messages ") {
		t.Errorf("the report is %+v", r)
	}
	for range 3 * maxSignatures {
		v.DKIM = append(v.DKIM, dkim.Signature{Result: dkim.Pass, Domain: strings.Repeat("x", 1000)})
	}
	f.judged(v, quarantined)
	if r := f.report("far.example"); len(r.Records[0].DKIMResults) != maxSignatures || len(r.Records[0].DKIMResults[1].Domain) > 256 {
		t.Errorf("the report is %+v", r)
	}
}

func TestDestinations(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.dns.Add(`far.example._report._dmarc.agreed.example. 60 IN TXT "v=DMARC1"`)
		f.dns.Add(`far.example._report._dmarc.agreed.example. 60 IN TXT "v=spf1 -all"`)
		f.dns.Add(`far.example._report._dmarc.anybody.example. 60 IN TXT "v=DMARC1;"`)
		f.dns.Add(`far.example._report._dmarc.other.example. 60 IN TXT "v=DMARC1; rua=mailto:there@other.example!1m,mailto:too@other.example"`)
		f.dns.Add(`far.example._report._dmarc.evil.example. 60 IN TXT "v=DMARC1; rua=mailto:victim@agreed.example"`)
		f.dns.Add(`far.example._report._dmarc.no.example. 60 IN TXT "rua=mailto:x@no.example; v=DMARC1"`)
		long := strings.Repeat("a.", 115) + "example"
		for _, c := range []struct{ rua, want []string }{
			{[]string{"mailto:a@far.example"}, []string{"a@far.example"}},
			{[]string{"mailto:a@reports.far.example!10m", "mailto:A@reports.FAR.example", "mailto:b@far.example"}, []string{"a@reports.far.example", "b@far.example"}},
			{[]string{"mailto:a@far.example", "mailto:b@far.example", "mailto:c@far.example"}, []string{"a@far.example", "b@far.example"}},
			{[]string{"https://far.example/", "ftp:x", "mailto:nobody", "mailto:b@far.example?subject=x"}, []string{"b@far.example"}},
			{[]string{"mailto:a@far.example!1", "mailto:b@far.example!10000000", "mailto:c@far.example!x"}, []string{"b@far.example"}},
			{[]string{"mailto:a@silent.example", "mailto:b@no.example", "mailto:c@evil.example"}, nil},
			{[]string{"mailto:a@agreed.example", "mailto:b@anybody.example"}, []string{"a@agreed.example", "b@anybody.example"}},
			{[]string{"mailto:a@other.example", "mailto:b@far.example"}, []string{"there@other.example", "too@other.example"}},
			{[]string{"mailto:a@" + long}, nil},
		} {
			f.judged(verdict(c.rua...), quarantined)
			f.report("far.example")
			if got := f.to(); !slices.Equal(got, c.want) {
				t.Errorf("%q: reports go to %q, want %q", c.rua, got, c.want)
			}
		}
		// Where DNS does not answer it is asked again.
		const name = "far.example._report._dmarc.agreed.example."
		f.dns.Fail(name, mdns.TypeTXT, mdns.RcodeServerFailure)
		f.judged(verdict("mailto:a@agreed.example"), quarantined)
		f.must(f.Flush(t.Context()))
		f.clock.Advance(24 * time.Hour)
		f.mails = nil
		if err := f.Report(t.Context(), f.Today()-1, "far.example"); err == nil || len(f.mails) > 0 {
			t.Errorf("without DNS: %v, mails to %q", err, f.to())
		}
		f.dns.Repair(name, mdns.TypeTXT)
		f.must(f.Report(t.Context(), f.Today()-1, "far.example"))
		if len(f.mails) != 1 {
			t.Errorf("mails to %q", f.to())
		}
		// Where it never answers, the others don't wait for ever.
		f.dns.Fail(name, mdns.TypeTXT, mdns.RcodeServerFailure)
		f.judged(verdict("mailto:a@agreed.example", "mailto:b@far.example"), quarantined)
		f.must(f.Flush(t.Context()))
		f.clock.Advance(48 * time.Hour)
		f.mails = nil
		f.must(f.Report(t.Context(), f.Today()-2, "far.example"))
		if got := f.to(); !slices.Equal(got, []string{"b@far.example"}) {
			t.Errorf("mails to %q", got)
		}
	})
}

func FuzzDestination(f *testing.F) {
	f.Add("mailto:reports@example.com!10m")
	f.Add("mailto:a%40b@c?x!k")
	f.Fuzz(func(t *testing.T, uri string) {
		a, limit := destination(uri)
		if limit < 0 || strings.ContainsAny(a.String(), "\r\n\x00") {
			t.Errorf("%q is %q, %d", uri, a, limit)
		}
		agreement(uri)
	})
}
