package awsapi

import (
	"context"
	"strconv"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/intake"
)

// reportHandlers are our own operations on the reports of others; none where none are taken in.
func (a *API) reportHandlers() []contract.Handler {
	if a.Reports == nil {
		return nil
	}
	return []contract.Handler{
		contract.ListMailReports.Handle(a.listMailReports),
		contract.GetMailReport.Handle(a.getMailReport),
	}
}

func (a *API) listMailReports(ctx context.Context, p principal.Principal, in *contract.ListMailReportsInput) (*contract.ListMailReportsOutput, error) {
	page, err := a.page(ctx, &contract.ListMailReports.Op, in)
	if err != nil {
		return nil, err
	}
	var f intake.Filter
	if in.Filters != nil {
		f.Domain, f.Kind = text(in.Filters.DomainName), intake.Kind(in.Filters.Kind)
		if in.Filters.BeginsFrom != nil {
			f.From = *in.Filters.BeginsFrom
		}
		if in.Filters.BeginsBefore != nil {
			f.Until = *in.Filters.BeginsBefore
		}
	}
	list, next, err := a.Reports.List(ctx, p, directory.OrgID(in.OrganizationId), f, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListMailReportsOutput{Reports: each(list, mailReport), NextToken: page.token(next)}, nil
}

func mailReport(s *intake.Summary) contract.MailReport {
	return contract.MailReport{
		ReportId: always(strconv.FormatInt(s.ID, 10)), Kind: contract.MailReportKind(s.Kind), DomainName: always(s.Domain), Reporter: some(s.Reporter),
		ReporterReportId: some(s.ReportID), Contact: some(s.Contact), AuthenticatedDomain: some(s.Sender), BeginDate: when(s.Begin), EndDate: when(s.End),
		ReceivedDate: when(s.Received), TotalCount: s.Total, FailedCount: s.Failed,
	}
}

func (a *API) getMailReport(ctx context.Context, p principal.Principal, in *contract.GetMailReportInput) (*contract.GetMailReportOutput, error) {
	page, err := a.page(ctx, &contract.GetMailReport.Op, in)
	if err != nil {
		return nil, err
	}
	// Digits, by the pattern. Those beyond the range become its largest number, which is no report's.
	id, _ := strconv.ParseInt(in.ReportId, 10, 64)
	r, next, err := a.Reports.Get(ctx, p, directory.OrgID(in.OrganizationId), id, page.Page)
	if err != nil {
		return nil, err
	}
	report := mailReport(&r.Summary)
	out := &contract.GetMailReportOutput{Report: &report, ErrorMessages: r.Errors, OmittedRecords: int32(r.Omitted), NextToken: page.token(next)}
	if r.Kind == intake.TLS {
		out.TlsSessions = each(r.Sessions, tlsSession)
		return out, nil
	}
	out.DmarcRecords = each(r.Records, dmarcRecord)
	if d := r.Policy; d != nil {
		out.DmarcPolicy = &contract.PublishedDmarcPolicy{
			DomainName: some(d.Domain), Policy: some(d.Policy), SubdomainPolicy: some(d.Subdomains), NonexistentPolicy: some(d.NonExistent),
			DkimAlignment: some(d.DKIM), SpfAlignment: some(d.SPF), Percent: some(d.Percent), Testing: some(d.Testing), FailureOptions: some(d.FailureOptions),
		}
	}
	return out, nil
}

func dmarcRecord(r *dmarcreport.Record) contract.DmarcRecord {
	return contract.DmarcRecord{
		SourceIp: some(r.Source), Count: r.Count, Disposition: some(r.Disposition), Dkim: some(r.DKIM), Spf: some(r.SPF), HeaderFrom: some(r.HeaderFrom),
		EnvelopeFrom: some(r.EnvelopeFrom), EnvelopeTo: some(r.EnvelopeTo),
		Reasons: each(r.Reasons, func(r *dmarcreport.Reason) contract.DmarcReason {
			return contract.DmarcReason{Type: some(r.Type), Comment: some(r.Comment)}
		}),
		DkimResults: each(r.DKIMResults, func(r *dmarcreport.DKIMResult) contract.DkimResult {
			return contract.DkimResult{DomainName: some(r.Domain), Selector: some(r.Selector), Result: some(r.Result), Comment: some(r.Human)}
		}),
		SpfResults: each(r.SPFResults, func(r *dmarcreport.SPFResult) contract.SpfResult {
			return contract.SpfResult{DomainName: some(r.Domain), Scope: some(r.Scope), Result: some(r.Result), Comment: some(r.Human)}
		}),
	}
}

func tlsSession(s *intake.Sessions) contract.TlsSession {
	f := &s.Failure
	return contract.TlsSession{
		PolicyType: some(s.Policy.Type), PolicyDomain: some(s.Policy.Domain), PolicyStrings: s.Policy.Strings, MxHosts: s.Policy.MX, ResultType: some(f.Result),
		Count: f.Sessions, SendingMtaIp: some(f.Local), ReceivingMxHostname: some(f.Host), ReceivingMxHelo: some(f.Helo), ReceivingIp: some(f.Address),
		AdditionalInformation: some(f.Info), FailureReasonCode: some(f.Reason),
	}
}
