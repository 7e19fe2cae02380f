package transport_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport/dmarcrpt"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// TestReportsOfTwoServers: what one server saw in the name of another's domain arrives there as a report, and nowhere else; so does what
// it saw in the name of its own.
func TestReportsOfTwoServers(t *testing.T) {
	onBothSending(t, func(s *sending) {
		out := dmarcrpt.New(dmarcrpt.Options{
			DB: s.DB, Clock: s.Clock, Log: s.Log, Mailer: s.Transport, Organization: "mail.acme.test", From: "postmaster@mail.acme.test",
			Organizational: func(_ context.Context, domain string) (string, error) { return domain, nil },
		})
		for _, domain := range []string{"there.test", "acme.test"} {
			v := &mailauth.Verdict{
				Client: mailauth.Client{Address: netip.MustParseAddr("192.0.2.9"), From: address("x@evil.test")},
				SPF:    mailauth.Outcome{Result: dkim.Pass, Domain: "evil.test"},
				DMARC: mailauth.DMARC{
					Result: dkim.Fail, From: domain, Domain: domain, Policy: mailauth.PolicyReject,
					Record: &mailauth.Record{Policy: mailauth.PolicyReject, Subdomains: mailauth.PolicyReject, Aggregate: []string{"mailto:dmarc-reports@" + domain}},
				},
			}
			s.Write(func(ctx context.Context, tx *db.Tx) error {
				return out.Judged(ctx, tx, v, mailauth.Disposition{Applied: mailauth.PolicyReject})
			})
		}
		s.Must(out.Flush(t.Context()))
		day := out.Today()
		s.Clock.Advance(24 * time.Hour)
		s.Must(out.Report(t.Context(), day, "there.test"))
		s.Must(out.Report(t.Context(), day, "acme.test"))
		defer s.run(t)()
		envelope, text, _ := strings.Cut(<-s.far.taken, "> From: ")
		if envelope != "<> <dmarc-reports@there.test" {
			t.Errorf("the report goes %s", envelope)
		}

		there := transporttest.OnSQLite(t)
		there.Must(there.Directory.VouchForDomain(t.Context(), transporttest.Admin, there.Acme.ID, "there.test"))
		for _, local := range []string{"dmarc-reports", "TLS-reports", "dmarc-reports"} {
			x := outside(there, 0)
			add(there, x, local+"@there.test")
			there.Must(store(t.Context(), x, "From: "+text))
		}
		if got := there.Reports.Stats(); got != (intake.Stats{Kept: 1, Duplicate: 2}) {
			t.Errorf("there it came to %+v", got)
		}
		for domain, w := range map[string]*transporttest.World{"there.test": there, "acme.test": s.World} {
			list, _, err := w.Reports.List(t.Context(), transporttest.Admin, w.Acme.ID, intake.Filter{}, directory.Page{})
			w.Must(err)
			if len(list) != 1 || list[0].Domain != domain || list[0].Total != 1 || list[0].Failed != 1 || list[0].Reporter != "mail.acme.test" {
				t.Fatalf("%s has the reports %+v", domain, list)
			}
			r, _, err := w.Reports.Get(t.Context(), transporttest.Admin, w.Acme.ID, list[0].ID, directory.Page{})
			w.Must(err)
			if one := r.Records[0]; one.Source != "192.0.2.9" || one.Disposition != "reject" || one.EnvelopeFrom != "evil.test" || r.Policy.Policy != "reject" {
				t.Errorf("%s has the report %+v", domain, r)
			}
		}
	})
}

// TestMailToAddressesOfReports: it is accepted whatever it is, unless somebody has the address, who then gets it.
func TestMailToAddressesOfReports(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		x := outside(w, 0)
		add(w, x, "dmarc-reports@acme.awsapps.com")
		add(w, x, "ann@acme.awsapps.com")
		add(w, x, "dmarc-reports@acme.awsapps.com")
		refused(w, x, "reports@acme.awsapps.com", fault.NotFound, fault.Address)
		w.Must(store(t.Context(), x, "Subject: no report\r\n\r\nhello\r\n"))
		if n := len(w.Inbox(ann)); n != 1 || w.Reports.Stats() != (intake.Stats{Unreadable: 1}) {
			t.Errorf("ann has %d messages, and it came to %+v", n, w.Reports.Stats())
		}
		w.Must(w.Directory.CreateAlias(t.Context(), transporttest.Admin, w.Acme.ID, ann, "dmarc-reports@acme.awsapps.com"))
		x = outside(w, 0)
		add(w, x, "dmarc-reports@acme.awsapps.com")
		w.Must(store(t.Context(), x, "Subject: hers\r\n\r\nhello\r\n"))
		if n := len(w.Inbox(ann)); n != 2 || w.Reports.Stats() != (intake.Stats{Unreadable: 1}) {
			t.Errorf("ann has %d messages, and it came to %+v", n, w.Reports.Stats())
		}
	})
}

// TestWhoSentAReport: what DMARC proves of the sender is kept with the report, and who refuses a message by its policy gets none of its reports.
func TestWhoSentAReport(t *testing.T) {
	onBothArrivals(t, func(a *arrivals) {
		report := func(id string) string {
			return "From: dmarc@far.example\r\nContent-Type: text/xml\r\n\r\n<feedback><report_metadata><org_name>Far</org_name><report_id>" + id + `</report_id>
<date_range><begin>1795478400</begin><end>1795564799</end></date_range></report_metadata><policy_published><domain>acme.awsapps.com</domain></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>7</count></row></record></feedback>` + "\r\n"
		}
		to := []string{"dmarc-reports@acme.awsapps.com", "tls-reports@other.awsapps.com"}
		a.verdict = failed(mailauth.PolicyReject)
		a.Must(a.send(report("forged"), to...))
		if got := a.Reports.Stats(); got != (intake.Stats{Foreign: 1}) { // of the organisation that does not enforce
			t.Errorf("the forged one came to %+v", got)
		}
		for result, sender := range map[dkim.Result]string{dkim.Pass: "far.example", dkim.None: ""} {
			a.verdict.DMARC = mailauth.DMARC{Result: result, From: "far.example"}
			a.Must(a.send(report(string(result)), to...))
			list, _, err := a.Reports.List(t.Context(), transporttest.Admin, a.Acme.ID, intake.Filter{}, directory.Page{Limit: 1})
			a.Must(err)
			if list[0].ReportID != string(result) || list[0].Sender != sender {
				t.Errorf("the last report is %+v", list[0])
			}
		}
		if got := a.Reports.Stats(); got != (intake.Stats{Kept: 2, Foreign: 3}) {
			t.Errorf("they came to %+v", got)
		}
	})
}
