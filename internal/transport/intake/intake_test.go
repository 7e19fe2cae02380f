package intake_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// box is a Box in a world whose organisation has the domain acme.test.
type box struct {
	*intake.Box
	*transporttest.World
}

func onBoth(t *testing.T, fn func(b *box)) {
	t.Helper()
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		w.Must(w.Directory.VouchForDomain(w.T.Context(), transporttest.Admin, w.Acme.ID, "acme.test"))
		fn(&box{w.Reports, w})
	})
}

// dmarc is an aggregate report.
func dmarc(id, domain string, begin int64) string {
	return fmt.Sprintf(`<feedback><report_metadata><org_name>Far</org_name><email>dmarc@far.test</email><report_id>%s</report_id>
<date_range><begin>%d</begin><end>%d</end></date_range></report_metadata><policy_published><domain>%s</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>7</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row></record>
<record><row><source_ip>192.0.2.2</source_ip><count>2</count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row></record>
</feedback>`, id, begin, begin+86399, domain)
}

const tls = `{"organization-name":"Far","date-range":{"start-datetime":"2026-11-22T00:00:00Z","end-datetime":"2026-11-22T23:59:59Z"},"contact-info":"tls@far.test",
"report-id":"t1","policies":[{"policy":{"policy-type":"tlsa","policy-domain":"mx.host.test","policy-string":["3 1 1 00"]},
"summary":{"total-successful-session-count":5,"total-failure-session-count":4},"failure-details":[{"result-type":"certificate-expired","failed-session-count":3}]}]}`

// mail is a message with attachments, packed.
func mail(documents ...string) []byte {
	var b strings.Builder
	b.WriteString("From: dmarc@far.test\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n")
	for _, d := range documents {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write([]byte(d))
		_ = w.Close()
		b.WriteString("--x\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(packed.Bytes()) + "\r\n")
	}
	return []byte(b.String() + "--x--\r\n")
}

func (b *box) address(s string) (found *intake.Address) {
	b.T.Helper()
	a, err := message.ParseAddress(s)
	b.Must(err)
	b.Must(b.World.DB.Read(b.T.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		found, err = b.AddressTx(ctx, tx, a)
		return err
	}))
	return found
}

// receive takes a message in for acme.test.
func (b *box) receive(documents ...string) {
	b.T.Helper()
	keep, err := b.Receive(b.T.Context(), mail(documents...), "far.test", []intake.Address{*b.address("dmarc-reports@acme.test")})
	b.Must(err)
	b.Write(keep)
}

func (b *box) list(f intake.Filter, page directory.Page) ([]intake.Summary, string) {
	b.T.Helper()
	list, next, err := b.List(b.T.Context(), transporttest.Admin, b.Acme.ID, f, page)
	b.Must(err)
	return list, next
}

func (b *box) want(want intake.Stats) {
	b.T.Helper()
	if got := b.Stats(); got != want {
		b.T.Errorf("what became of reports is %+v, want %+v", got, want)
	}
}

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func TestAddresses(t *testing.T) {
	onBoth(t, func(b *box) {
		for s, domain := range map[string]string{
			"dmarc-reports@acme.test": "acme.test", "TLS-Reports@ACME.test": "acme.test", "dmarc-reports@acme.awsapps.com": "acme.awsapps.com",
			"dmarc@acme.test": "", "dmarc-reports@far.test": "", "dmarc-reports+x@acme.test": "",
		} {
			got := b.address(s)
			if (got == nil) != (domain == "") || got != nil && *got != (intake.Address{Organization: b.Acme.ID, Key: b.Acme.Key, Domain: domain}) {
				t.Errorf("%s is of %+v, want %q", s, got, domain)
			}
		}
	})
}

func TestReportsAreKeptOnce(t *testing.T) {
	onBoth(t, func(b *box) {
		b.receive(dmarc("d1", "acme.test", day.Unix()))
		b.receive(dmarc("d1", "acme.test", day.Unix()))
		b.receive(dmarc("d2", "news.acme.test", day.AddDate(0, 0, 1).Unix()), tls)
		b.receive(dmarc("d3", "far.test", day.Unix()))
		b.receive("nothing")
		b.receive()
		b.want(intake.Stats{Kept: 3, Duplicate: 1, Foreign: 1, Unreadable: 2})
		all, next := b.list(intake.Filter{}, directory.Page{Limit: 2})
		if len(all) != 2 || all[0].Kind != intake.TLS || all[1].ReportID != "d2" || next == "" {
			t.Fatalf("listed are %+v, %q", all, next)
		}
		rest, next := b.list(intake.Filter{}, directory.Page{Limit: 2, After: next})
		if len(rest) != 1 || next != "" {
			t.Fatalf("the rest is %+v, %q", rest, next)
		}
		want := intake.Summary{
			ID: rest[0].ID, Kind: intake.DMARC, Domain: "acme.test", Reporter: "Far", ReportID: "d1", Contact: "dmarc@far.test", Sender: "far.test",
			Begin: day, End: day.Add(24*time.Hour - time.Second), Received: transporttest.Start, Total: 9, Failed: 2,
		}
		if rest[0] != want {
			t.Errorf("the first is %+v, want %+v", rest[0], want)
		}
		for name, c := range map[string]struct {
			f    intake.Filter
			want int
		}{
			"domain": {intake.Filter{Domain: "Acme.test"}, 3}, "no domain": {intake.Filter{Domain: "far.test"}, 0}, "kind": {intake.Filter{Kind: intake.DMARC}, 2},
			"from": {intake.Filter{From: day.Add(time.Second)}, 1}, "until": {intake.Filter{Until: day.Add(time.Second)}, 2},
			"all": {intake.Filter{Domain: "acme.test", Kind: intake.TLS, From: day, Until: day.Add(time.Hour)}, 1},
		} {
			if got, _ := b.list(c.f, directory.Page{}); len(got) != c.want {
				t.Errorf("%s: %d are listed, want %d", name, len(got), c.want)
			}
		}
	})
}

func TestGet(t *testing.T) {
	onBoth(t, func(b *box) {
		b.receive(dmarc("d1", "acme.test", day.Unix()), tls)
		all, _ := b.list(intake.Filter{}, directory.Page{})
		get := func(id int64, page directory.Page) (*intake.Report, string) {
			r, next, err := b.Get(t.Context(), transporttest.Admin, b.Acme.ID, id, page)
			b.Must(err)
			return r, next
		}
		r, next := get(all[1].ID, directory.Page{Limit: 1})
		if r.Summary != all[1] || r.Policy.Policy != "none" || len(r.Records) != 1 || r.Records[0].Count != 7 || next == "" {
			t.Errorf("the report is %+v, %q", r, next)
		}
		if r, next = get(all[1].ID, directory.Page{Limit: 1, After: next}); len(r.Records) != 1 || r.Records[0].Source != "192.0.2.2" || next != "" {
			t.Errorf("its rest is %+v, %q", r, next)
		}
		r, _ = get(all[0].ID, directory.Page{})
		var got string
		for _, s := range r.Sessions {
			got += fmt.Sprintf("%s %q %d; ", s.Policy.Domain, s.Failure.Result, s.Failure.Sessions)
		}
		if got != `mx.host.test "" 5; mx.host.test "certificate-expired" 3; mx.host.test "unspecified" 1; ` {
			t.Errorf("the sessions are %s", got)
		}
		if _, _, err := b.Get(t.Context(), transporttest.Admin, b.Acme.ID, 7, directory.Page{}); !fault.Is(err, fault.NotFound, fault.Resource) {
			t.Errorf("one that there is not: %v", err)
		}
		if _, _, err := b.Get(t.Context(), transporttest.Admin, b.Organization("other").ID, all[0].ID, directory.Page{}); !fault.Is(err, fault.NotFound, fault.Resource) {
			t.Errorf("another's: %v", err)
		}
		if _, _, err := b.List(t.Context(), transporttest.Admin, b.Acme.ID, intake.Filter{}, directory.Page{After: "x"}); !fault.Is(err, fault.Invalid, fault.Token) {
			t.Errorf("a bad token: %v", err)
		}
	})
}

// TestADayIsBounded: who sends reports without end fills nothing.
func TestADayIsBounded(t *testing.T) {
	onBoth(t, func(b *box) {
		b.receive(dmarc("d0", "acme.test", day.Unix()))
		b.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO mail_report (id, organization, domain, kind, hash, reporter, report, contact, sender, begins, ends, received, total, failed, size, body)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
				SELECT i, organization, domain, kind, CAST(i AS TEXT), reporter, report, contact, sender, begins, ends, received, total, failed, size, body FROM mail_report, n`)
			return err
		})
		b.receive(dmarc("d1", "acme.test", day.Unix()))
		b.want(intake.Stats{Kept: 1, Excess: 1})
		b.Clock.Advance(25 * time.Hour)
		b.receive(dmarc("d1", "acme.test", day.Unix()))
		b.want(intake.Stats{Kept: 2, Excess: 1})
	})
}

func TestOldReportsGo(t *testing.T) {
	onBoth(t, func(b *box) {
		b.receive(dmarc("d1", "acme.test", day.Unix()))
		b.Clock.Advance(intake.KeptDays * 24 * time.Hour)
		b.receive(dmarc("d2", "acme.test", day.Unix()))
		if n, err := b.Prune(t.Context()); n != 0 || err != nil {
			t.Errorf("%d went on their last day (%v)", n, err)
		}
		b.Clock.Advance(time.Hour)
		runner := job.NewRunner(b.World.DB, b.Clock, b.Log)
		b.Handle(runner)
		b.Must(b.Start(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- runner.Run(ctx) }()
		for left := 2; left != 1; {
			list, _ := b.list(intake.Filter{}, directory.Page{})
			left = len(list)
		}
		cancel()
		b.Must(<-done)
	})
}

// TestTheEndOfAnOrganization: nothing of its reports is left, and nothing comes after.
func TestTheEndOfAnOrganization(t *testing.T) {
	onBoth(t, func(b *box) {
		to := b.address("tls-reports@acme.test")
		b.receive(dmarc("d1", "acme.test", day.Unix()), tls)
		keep, err := b.Receive(t.Context(), mail(dmarc("d2", "acme.test", day.Unix())), "", []intake.Address{*to})
		b.Must(err)
		b.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := b.Directory.SetStateTx(ctx, tx, b.Acme, directory.OrgActive, directory.OrgDeleting, "")
			return err
		})
		b.Write(keep)
		b.want(intake.Stats{Kept: 2, Foreign: 1})
		check := func() (faults []string) {
			b.Must(b.World.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
				faults, err = b.Check(ctx, tx)
				return err
			}))
			return faults
		}
		b.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE organization SET state = 'Deleted'`)
			return err
		})
		if got := check(); len(got) != 1 {
			t.Errorf("the check finds %q", got)
		}
		for _, want := range []int{1, 1, 0} {
			b.Write(func(ctx context.Context, tx *db.Tx) error {
				n, err := intake.EraseTx(ctx, tx, b.Acme, 1)
				if n != want {
					t.Errorf("%d were erased, want %d", n, want)
				}
				return err
			})
		}
		if got := check(); len(got) != 0 {
			t.Errorf("the check finds %q", got)
		}
	})
}
