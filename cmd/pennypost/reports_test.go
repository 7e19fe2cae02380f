package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/server"
)

// received answers with reports, two a page, and of number 7 with two pages.
type received struct {
	list  []server.MailReport
	asked []server.ReportFilter
}

func (r *received) ListReports(_ context.Context, f server.ReportFilter, after string) (server.QueuePage[server.MailReport], error) {
	r.asked = append(r.asked, f)
	return page(r.list, after), nil
}

func (r *received) GetReport(_ context.Context, f server.ReportFilter, after string) (p server.MailReportPage, err error) {
	r.asked = append(r.asked, f)
	switch {
	case f.Report == 8:
		p.Report = r.list[1]
		p.Sessions = []server.TLSSessions{{PolicyType: "sts", PolicyDomain: "acme.example", Count: 5}, {PolicyType: "sts", Result: "certificate-expired", Host: "mx\x1b", Count: 1}}
	case f.Report != 7:
	case after == "":
		p.Report, p.Next, p.Omitted = r.list[0], "1", 3
		p.Policy = &dmarcreport.Policy{Policy: "reject"}
		p.Records = []dmarcreport.Record{{
			Source: "192.0.2.1", Count: 5, Disposition: "none", DKIM: "fail", SPF: "fail", HeaderFrom: "acme.example", Reasons: []dmarcreport.Reason{{Type: "local_policy", Comment: "x\ny"}},
		}}
	default:
		p.Report, p.Records = r.list[0], []dmarcreport.Record{{Source: "192.0.2.2", Count: 1, Disposition: "none"}}
	}
	return p, nil
}

func runReports(r *received, args ...string) (string, error) {
	cmd := domainReportsCommand(func(_ context.Context, fn func(mailReports) error) error { return fn(r) })
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func TestDomainReports(t *testing.T) {
	begin := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	r := &received{list: []server.MailReport{
		{ID: 7, Kind: "DMARC", Domain: "acme.example", Reporter: "Far\x1b[2J", Sender: "far.example", Begin: begin, Total: 6, Failed: 5},
		{ID: 8, Kind: "TLS", Domain: "acme.example", Reporter: "Far", Begin: begin, Total: 6, Failed: 1},
		{ID: 9, Kind: "TLS", Domain: "acme.example", Reporter: "Other", Begin: begin, Total: 1},
	}}
	for _, c := range []struct {
		args   string
		want   []string // in this order
		status error
	}{
		{"acme.example", []string{"REPORT", "7       DMARC  2026-11-24T00:00:00Z  Far\uFFFD[2J   6      5       far.example\n", "8 ", "9 "}, nil},
		{"acme.example --json --kind tls", []string{`{"id":"7","kind":"DMARC"`, "\n{\"id\":\"8\"", "\n{\"id\":\"9\""}, nil},
		{"acme.example --report 7", []string{
			"report    7\n", "from      far.example\n", "policy    p=reject sp=-", "omitted   3 records\n", "SOURCE", "192.0.2.1  5", "local_policy x y\n", "192.0.2.2  1",
		}, nil},
		{"acme.example --report 7 --json", []string{`{"report":{"id":"7"`, `"source":"192.0.2.1"`, "\n{\"report\":{\"id\":\"7\""}, nil},
		{"acme.example --report 8", []string{"sts of acme.example  5      success", "sts of -             1      certificate-expired  mx\uFFFD"}, nil},
		{"acme.example --report 1", []string{"there is no report 1"}, statusFaulty},
	} {
		out, err := runReports(r, strings.Fields(c.args)...)
		if !errors.Is(err, c.status) {
			t.Errorf("%s: %v", c.args, err)
		}
		rest := out
		for _, want := range c.want {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Errorf("%s lacks %q in\n%s", c.args, want, out)
				break
			}
			rest = after
		}
	}
	if f := r.asked[2]; f != (server.ReportFilter{Domain: "acme.example", Kind: "TLS"}) {
		t.Errorf("asked was for %+v", f)
	}
	for _, args := range []string{"", "acme.example --kind x", "acme.example --report x"} {
		if _, err := runReports(r, strings.Fields(args)...); err == nil {
			t.Errorf("%q is understood", args)
		}
	}
}
