package server

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/transport/intake"
)

// ReportFilter chooses reports of others on a domain.
type ReportFilter struct {
	Organization string `json:"organization,omitempty"` // "m-…"; empty for the one that has proven the domain
	Domain       string `json:"domain"`
	Kind         string `json:"kind,omitempty"`          // DMARC or TLS
	Report       int64  `json:"report,omitempty,string"` // the number of one
}

// MailReport is a report of others without what it counts; the names are the API's.
type MailReport struct {
	ID       int64     `json:"id,string"`
	Kind     string    `json:"kind"`
	Domain   string    `json:"domain"`
	Reporter string    `json:"reporter"`
	ReportID string    `json:"reporterReportId"`
	Contact  string    `json:"contact"`
	Sender   string    `json:"authenticatedDomain"` // empty where none is proven
	Begin    time.Time `json:"begin"`
	End      time.Time `json:"end"`
	Received time.Time `json:"received"`
	Total    int64     `json:"total"`
	Failed   int64     `json:"failed"`
}

// MailReportPage is a report with a part of what it counts: records of one on DMARC, sessions of one on TLS.
type MailReportPage struct {
	Report   MailReport           `json:"report"`
	Policy   *dmarcreport.Policy  `json:"policy,omitempty"`
	Records  []dmarcreport.Record `json:"records,omitempty"`
	Sessions []TLSSessions        `json:"sessions,omitempty"`
	Omitted  int                  `json:"omitted,omitempty"`
	Next     string               `json:"next"`
}

// TLSSessions counts sessions that are alike.
type TLSSessions struct {
	PolicyType   string `json:"policyType"`
	PolicyDomain string `json:"policyDomain"`
	Result       string `json:"result"` // empty for those that succeeded
	Host         string `json:"host"`
	Address      string `json:"address"`
	Local        string `json:"local"` // the sender's address
	Count        int64  `json:"count"`
	Info         string `json:"info"`
}

// reportAsk asks for a page.
type reportAsk struct {
	ReportFilter
	After string `json:"after,omitempty"`
}

// reportVerbs adds what operators see of the reports of others.
func (c *core) reportVerbs(verbs map[string]verb) {
	verbs["report-list"] = typed(func(ctx context.Context, r reportAsk) (QueuePage[MailReport], error) {
		org, err := c.reportedOrganization(ctx, r.ReportFilter)
		if err != nil {
			return QueuePage[MailReport]{}, err
		}
		f := intake.Filter{Domain: r.Domain, Kind: intake.Kind(r.Kind)}
		list, next, err := c.reports.List(ctx, operator, org, f, directory.Page{After: r.After, Limit: queuePageSize})
		return pageOf(list, next, mailReport), err
	})
	verbs["report-get"] = typed(func(ctx context.Context, r reportAsk) (MailReportPage, error) {
		org, err := c.reportedOrganization(ctx, r.ReportFilter)
		if err != nil {
			return MailReportPage{}, err
		}
		found, next, err := c.reports.Get(ctx, operator, org, r.Report, directory.Page{After: r.After, Limit: queuePageSize})
		if fault.Is(err, fault.NotFound, fault.Resource) {
			return MailReportPage{}, nil // an answer, which the command line tells from a question that it could not ask
		}
		if err != nil {
			return MailReportPage{}, err
		}
		page := MailReportPage{Report: mailReport(&found.Summary), Policy: found.Policy, Records: found.Records, Omitted: found.Omitted, Next: next}
		for _, s := range found.Sessions {
			f := &s.Failure
			page.Sessions = append(page.Sessions, TLSSessions{
				s.Policy.Type, s.Policy.Domain, f.Result, f.Host, f.Address, f.Local, f.Sessions, f.Info,
			})
		}
		return page, nil
	})
}

// reportedOrganization is the organisation that is meant.
func (c *core) reportedOrganization(ctx context.Context, f ReportFilter) (id directory.OrgID, err error) {
	if f.Organization != "" {
		return directory.OrgID(f.Organization), nil
	}
	return id, c.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := c.directory.DomainOrganizationTx(ctx, tx, f.Domain)
		if err == nil {
			id = o.ID
		}
		return err
	})
}

func mailReport(s *intake.Summary) MailReport {
	return MailReport{
		s.ID, string(s.Kind), s.Domain, s.Reporter, s.ReportID, s.Contact, s.Sender, s.Begin, s.End, s.Received, s.Total, s.Failed,
	}
}

// ListReports returns a page of the reports that f chooses, the last that came first.
func (o *Operator) ListReports(ctx context.Context, f ReportFilter, after string) (page QueuePage[MailReport], err error) {
	return page, o.do(ctx, "report-list", reportAsk{f, after}, &page)
}

// GetReport returns a page of the report f.Report; one with the ID 0 where there is none.
func (o *Operator) GetReport(ctx context.Context, f ReportFilter, after string) (page MailReportPage, err error) {
	return page, o.do(ctx, "report-get", reportAsk{f, after}, &page)
}
