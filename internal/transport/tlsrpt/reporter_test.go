package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// noon is when the tests begin: the day of RFC 8460 appendix B.
var noon = time.Date(2016, 4, 1, 12, 0, 0, 0, time.UTC)

type fixture struct {
	t testing.TB
	*Reporter
	dns   *dnstest.Server
	clock *clock.Fake

	sent chan struct{} // one for each mail

	mu     sync.Mutex
	mails  []*dayreport.Mail
	refuse error
	posts  [][]byte
	status int
	url    string // of the web server
}

// Send is the Mailer's.
func (f *fixture) Send(ctx context.Context, m *dayreport.Mail, done func(context.Context, *db.Tx) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.mails = append(f.mails, m)
	f.sent <- struct{}{}
	return f.DB.Write(ctx, done)
}

// ServeHTTP takes reports.
func (f *fixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/tlsrpt+gzip" || err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.status == 0 {
		f.posts = append(f.posts, body)
		w.WriteHeader(http.StatusCreated)
		return
	}
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(f.status)
}

func onBoth(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	migrations := slices.Concat(job.Migrations(), dayreport.Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) { fn(newFixture(t, d)) })
}

func newFixture(t testing.TB, d *db.DB) *fixture {
	f := &fixture{t: t, dns: dnstest.New(t), clock: clock.NewFake(noon), sent: make(chan struct{}, 10)}
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	f.url = server.URL
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	resolver := dns.New(f.dns.Address)
	f.Reporter = New(Options{
		DB: d, Clock: f.clock, Log: slog.New(slog.DiscardHandler), Resolver: resolver, Roots: roots, Mailer: f,
		Dialer:       dial.New(resolver.Net(), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}),
		Organization: "Company-X", Contact: "sts-reporting@company-x.example", From: "noreply-tls@company-x.example",
	})
	t.Cleanup(f.client.CloseIdleConnections)
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) ask(domain, rua string) {
	f.dns.Add(`_smtp._tls.` + domain + `. 60 IN TXT "v=TLSRPTv1; rua=` + rua + `"`)
}

func (f *fixture) rows(table string) (n int) {
	f.t.Helper()
	f.must(f.DB.Read(f.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM `+table).Scan(&n)
	}))
	return n
}

func (f *fixture) wantRows(sessions, reports, jobs int) {
	f.t.Helper()
	if s, r, j := f.rows("day_count"), f.rows("day_report"), f.rows("job"); s != sessions || r != reports || j != jobs {
		f.t.Errorf("%d sessions, %d reports, %d jobs; want %d, %d, %d", s, r, j, sessions, reports, jobs)
	}
}

// unpack reads a report.
func (f *fixture) unpack(body []byte) (out map[string]any) {
	f.t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(body))
	f.must(err)
	f.must(json.NewDecoder(r).Decode(&out))
	return out
}

func (f *fixture) day() dayreport.Day { return dayreport.DayOf(noon) }

var (
	sts = route.Policy{
		Type: route.PolicySTS, Domain: "company-y.example", MX: []string{"*.mail.company-y.example"},
		Strings: []string{"version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"},
	}
	session = route.Session{Domain: "company-y.example", Policy: sts}
)

// theExample is the report of RFC 8460 appendix B, with examples' addresses and names.
const theExample = `{
	"organization-name": "Company-X",
	"date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
	"contact-info": "sts-reporting@company-x.example",
	"report-id": "ID",
	"policies": [{
		"policy": {
			"policy-type": "sts",
			"policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
			"policy-domain": "company-y.example",
			"mx-host": ["*.mail.company-y.example"]
		},
		"summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
		"failure-details": [
			{"result-type": "starttls-not-supported", "sending-mta-ip": "2001:db8:abcd:13::1",
				"receiving-mx-hostname": "mx2.mail.company-y.example", "receiving-ip": "203.0.113.56", "failed-session-count": 200,
				"additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"},
			{"result-type": "certificate-expired", "sending-mta-ip": "2001:db8:abcd:12::1",
				"receiving-mx-hostname": "mx1.mail.company-y.example", "failed-session-count": 100},
			{"result-type": "validation-failure", "sending-mta-ip": "198.51.100.62", "receiving-ip": "203.0.113.58",
				"receiving-mx-hostname": "mx-backup.mail.company-y.example", "receiving-mx-helo": "mx", "failed-session-count": 3,
				"failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"}
		]
	}]
}`

func (f *fixture) reportTheExample() {
	f.t.Helper()
	report := func(n int, change func(s *route.Session)) {
		for range n {
			s := session
			change(&s)
			f.Session(f.t.Context(), s)
		}
		f.must(f.Flush(f.t.Context()))
	}
	report(5000, func(*route.Session) {})
	report(326, func(*route.Session) {})
	report(60, func(s *route.Session) {
		s.Result, s.Local, s.Host = route.CertificateExpired, netip.MustParseAddr("2001:db8:abcd:12::1"), "mx1.mail.company-y.example"
	})
	report(200, func(s *route.Session) {
		s.Result, s.Local, s.Host = route.StartTLSNotSupported, netip.MustParseAddr("2001:db8:abcd:13::1"), "mx2.mail.company-y.example"
		s.Address = netip.MustParseAddr("203.0.113.56")
		s.Info = "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
	})
	report(40, func(s *route.Session) {
		s.Result, s.Local, s.Host = route.CertificateExpired, netip.MustParseAddr("2001:db8:abcd:12::1"), "mx1.mail.company-y.example"
	})
	report(3, func(s *route.Session) {
		s.Result, s.Local, s.Host = route.ValidationFailure, netip.MustParseAddr("198.51.100.62"), "mx-backup.mail.company-y.example"
		s.Address, s.Helo, s.Reason = netip.MustParseAddr("203.0.113.58"), "mx", "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
	})
}

func TestTheReportOfTheRFC(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.ask("company-y.example", "mailto:reports@company-y.example,"+f.url+"/tlsrpt")
		f.reportTheExample()
		f.wantRows(4, 0, 0)
		f.clock.Advance(24 * time.Hour)
		f.must(f.Report(f.t.Context(), f.day(), "company-y.example"))
		f.wantRows(0, 0, 0)
		if len(f.mails) != 1 || len(f.posts) != 1 {
			f.t.Fatalf("%d mails, %d posts; want one of each", len(f.mails), len(f.posts))
		}
		m := f.mails[0]
		got := f.unpack(m.Parts[1].Body)
		var want map[string]any
		f.must(json.Unmarshal([]byte(strings.Replace(theExample, `"ID"`, `"`+m.ID+`"`, 1)), &want))
		if !reflect.DeepEqual(got, want) {
			f.t.Errorf("the report is %v, want %v", got, want)
		}
		if !bytes.Equal(f.posts[0], m.Parts[1].Body) {
			f.t.Error("what was posted is another report than what was mailed")
		}
		m.Parts[1].Body, m.Parts[0].Body = nil, nil
		wantMail := &dayreport.Mail{
			ID: m.ID, From: "noreply-tls@company-x.example", To: "reports@company-y.example",
			Subject:     "Report Domain: company-y.example Submitter: company-x.example Report-ID: <" + m.ID + "@company-x.example>",
			Header:      [][2]string{{"TLS-Report-Domain", "company-y.example"}, {"TLS-Report-Submitter", "company-x.example"}},
			ContentType: `multipart/report; report-type="tlsrpt"`,
			Parts: []dayreport.Part{
				{ContentType: "text/plain; charset=us-ascii"},
				{ContentType: "application/tlsrpt+gzip", FileName: "company-x.example!company-y.example!1459468800!1459555199!" + m.ID + ".json.gz"},
			},
		}
		if !reflect.DeepEqual(m, wantMail) {
			f.t.Errorf("the mail is %+v, want %+v", m, wantMail)
		}
		// It is not sent again.
		f.must(f.Report(f.t.Context(), f.day(), "company-y.example"))
		if len(f.mails) != 1 || len(f.posts) != 1 {
			f.t.Errorf("%d mails, %d posts; want no more", len(f.mails), len(f.posts))
		}
	})
}

func TestWhoGetsAReport(t *testing.T) {
	onBoth(t, func(f *fixture) {
		none := route.Policy{Type: route.PolicyNone, Domain: "none.example"}
		tlsa := route.Policy{Type: route.PolicyTLSA, Domain: "mx.host.example", Strings: []string{"3 1 1 00"}}
		for _, s := range []route.Session{
			{Domain: "none.example", Policy: none},
			{Domain: "dane.example", Policy: tlsa},
			{Domain: "dane.example", Policy: tlsa},
			{Domain: "other.example", Policy: tlsa, Result: route.DNSSECInvalid},
			{Domain: "[192.0.2.1]", Policy: route.Policy{Type: route.PolicyNone, Domain: "[192.0.2.1]"}},
			{Domain: "skipped.example"},
			{Domain: "silent.example", Policy: none},
		} {
			f.Session(f.t.Context(), s)
		}
		for _, domain := range []string{"none.example", "dane.example", "mx.host.example"} {
			f.ask(domain, "mailto:tls@"+domain)
		}
		f.clock.Advance(24 * time.Hour)
		f.must(f.Flush(f.t.Context()))
		f.wantRows(6, 0, 0)
		for _, domain := range []string{"none.example", "dane.example", "mx.host.example", "silent.example", "other.example"} {
			f.must(f.Report(f.t.Context(), f.day(), domain))
		}
		f.wantRows(0, 0, 0)
		var got []string
		for _, m := range f.mails {
			got = append(got, m.To)
		}
		if want := []string{"tls@none.example", "tls@dane.example", "tls@mx.host.example"}; !slices.Equal(got, want) {
			f.t.Fatalf("reports to %q, want %q", got, want)
		}
		summary := f.unpack(f.mails[2].Parts[1].Body)["policies"].([]any)[0].(map[string]any)["summary"]
		if want := (map[string]any{"total-successful-session-count": 2.0, "total-failure-session-count": 1.0}); !reflect.DeepEqual(summary, want) {
			f.t.Errorf("what the host is told: %v, want %v", summary, want)
		}
	})
}

func TestWhatOneDoesNotTakeHoldsUpNoOther(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const domain = "company-y.example"
		f.ask(domain, "mailto:a@company-y.example,"+f.url+"/tlsrpt,mailto:b@company-y.example")
		f.Session(f.t.Context(), session)
		f.must(f.Flush(f.t.Context()))
		f.clock.Advance(24 * time.Hour)
		f.dns.Fail("_smtp._tls.company-y.example.", mdns.TypeTXT, mdns.RcodeServerFailure)
		if err := f.Report(f.t.Context(), f.day(), domain); err == nil {
			f.t.Error("without DNS the report is done")
		}
		f.wantRows(1, 0, 0)
		f.dns.Repair("_smtp._tls.company-y.example.", mdns.TypeTXT)
		f.refuse = errors.New("the queue is full")
		for _, status := range []int{http.StatusInternalServerError, http.StatusFound} {
			f.status = status
			if err := f.Report(f.t.Context(), f.day(), domain); err == nil || len(f.mails)+len(f.posts) > 0 {
				f.t.Errorf("when nobody takes it: %v, %d mails, %d posts", err, len(f.mails), len(f.posts))
			}
			f.wantRows(0, 1, 0)
		}
		f.refuse = nil
		if err := f.Report(f.t.Context(), f.day(), domain); err == nil || len(f.mails) != 2 {
			f.t.Errorf("when the mail goes: %v, %d mails", err, len(f.mails))
		}
		f.status = 0
		f.must(f.Report(f.t.Context(), f.day(), domain))
		f.wantRows(0, 0, 0)
		if len(f.mails) != 2 || len(f.posts) != 1 || !bytes.Equal(f.mails[0].Parts[1].Body, f.posts[0]) || f.mails[0].ID != f.mails[1].ID {
			f.t.Errorf("%d mails, %d posts; want the same report to three", len(f.mails), len(f.posts))
		}
	})
}

func TestFailuresAreBounded(t *testing.T) {
	f := newFixture(t, dbtest.SQLite(t, slices.Concat(job.Migrations(), dayreport.Migrations())))
	for i := range maxFailures + 5 {
		s := session
		s.Result, s.Info = route.ValidationFailure, fmt.Sprint(i)
		f.Session(t.Context(), s)
	}
	f.Session(t.Context(), route.Session{Domain: "company-y.example", Policy: sts, Result: route.ValidationFailure, Info: "1"})
	f.must(f.Flush(t.Context()))
	made, err := f.compose(t.Context(), f.day(), "company-y.example")
	f.must(err)
	p := made.Policies[0]
	if p.Summary.Failed != maxFailures+6 || len(p.Failures) != maxFailures || p.Failures[0].Sessions != 2 {
		t.Errorf("%d failures of %d kinds", p.Summary.Failed, len(p.Failures))
	}
	if got := shorten([]string{strings.Repeat("x", maxPolicy), "y"}); len(got) != 1 {
		t.Errorf("%d strings", len(got))
	}
}
