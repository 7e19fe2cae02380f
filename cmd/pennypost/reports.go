package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/server"
)

// mailReports is what the verb asks of a server, or of its store.
type mailReports interface {
	ListReports(ctx context.Context, f server.ReportFilter, after string) (server.QueuePage[server.MailReport], error)
	GetReport(ctx context.Context, f server.ReportFilter, after string) (server.MailReportPage, error)
}

// reachReports hands them to fn.
type reachReports func(ctx context.Context, fn func(mailReports) error) error

func reportsOf(load loader) reachReports {
	return func(ctx context.Context, fn func(mailReports) error) error {
		c, err := load()
		if err != nil {
			return err
		}
		return withOperator(ctx, c, func(o *server.Operator) error { return fn(o) })
	}
}

func domainReportsCommand(reach reachReports) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reports DOMAIN",
		Short: "List the reports of DMARC and TLS that others sent on a domain, the last that came first, or show one",
		Long: "List the reports of DMARC and TLS that others sent on a domain, the last that came first, or show one. What stands in them are their " +
			"authors' words; FROM is the domain that a report is proven to be from. Exit with 0 when done, 1 when there is no such report, and 2 when " +
			"they could not be seen.",
		Args: cobra.ExactArgs(1),
	}
	var f server.ReportFilter
	flags := cmd.Flags()
	flags.StringVar(&f.Organization, "organization", "", "id of the organization (m-…; empty: the one that has the domain)")
	kind := flags.String("kind", "", "dmarc or tls")
	flags.Int64Var(&f.Report, "report", 0, "number of the report to show")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.Domain, f.Kind = args[0], strings.ToUpper(*kind)
		if f.Kind != "" && f.Kind != "DMARC" && f.Kind != "TLS" {
			return fmt.Errorf("%q is no kind of reports: there are dmarc and tls", *kind)
		}
		return reach(cmd.Context(), func(r mailReports) error {
			if f.Report != 0 {
				return showReport(cmd, r, f, *asJSON)
			}
			show := func(page []server.MailReport, first bool) error { return printReports(cmd.OutOrStdout(), page, first) }
			_, err := printPages(cmd.OutOrStdout(), *asJSON, show, func(after string) (server.QueuePage[server.MailReport], error) {
				return r.ListReports(cmd.Context(), f, after)
			})
			return err
		})
	}
	return unanswered(cmd)
}

func showReport(cmd *cobra.Command, r mailReports, f server.ReportFilter, asJSON bool) error {
	out := cmd.OutOrStdout()
	for after := ""; ; {
		page, err := r.GetReport(cmd.Context(), f, after)
		switch {
		case err != nil:
			return err
		case page.Report.ID == 0:
			return nothingThere(cmd, "there is no report %d", f.Report)
		}
		if asJSON {
			err = printJSON(out, []server.MailReportPage{page})
		} else {
			err = printReport(out, &page, after == "")
		}
		if after = page.Next; err != nil || after == "" {
			return err
		}
	}
}

func printReports(out io.Writer, reports []server.MailReport, first bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if first {
		fmt.Fprintln(w, "REPORT\tKIND\tBEGIN\tREPORTER\tTOTAL\tFAILED\tFROM")
	}
	for _, r := range reports {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%s\n", r.ID, r.Kind, at(r.Begin), orNone(r.Reporter), r.Total, r.Failed, orNone(r.Sender))
	}
	return w.Flush()
}

func printReport(out io.Writer, page *server.MailReportPage, first bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if r := &page.Report; first {
		fmt.Fprintf(w, "report\t%d\nkind\t%s\ndomain\t%s\nreporter\t%s\nid\t%s\ncontact\t%s\nfrom\t%s\nbegin\t%s\nend\t%s\nreceived\t%s\ntotal\t%d\nfailed\t%d\n",
			r.ID, r.Kind, r.Domain, orNone(r.Reporter), orNone(r.ReportID), orNone(r.Contact), orNone(r.Sender), at(r.Begin), at(r.End), at(r.Received), r.Total, r.Failed)
		if p := page.Policy; p != nil {
			fmt.Fprintf(w, "policy\tp=%s sp=%s np=%s adkim=%s aspf=%s\n", orNone(p.Policy), orNone(p.Subdomains), orNone(p.NonExistent), orNone(p.DKIM), orNone(p.SPF))
		}
		if page.Omitted > 0 {
			fmt.Fprintf(w, "omitted\t%d records\n", page.Omitted)
		}
		fmt.Fprintln(w)
		if len(page.Records) > 0 {
			fmt.Fprintln(w, "SOURCE\tCOUNT\tDONE\tDKIM\tSPF\tHEADER FROM\tENVELOPE FROM\tWHY")
		}
		if len(page.Sessions) > 0 {
			fmt.Fprintln(w, "POLICY\tCOUNT\tRESULT\tHOST\tADDRESS\tINFORMATION")
		}
	}
	for i := range page.Records {
		r := &page.Records[i]
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Source, r.Count, orNone(r.Disposition), orNone(r.DKIM), orNone(r.SPF), orNone(r.HeaderFrom),
			orNone(r.EnvelopeFrom), orNone(why(r)))
	}
	for _, s := range page.Sessions {
		result := s.Result
		if result == "" {
			result = "success"
		}
		fmt.Fprintf(w, "%s of %s\t%d\t%s\t%s\t%s\t%s\n", orNone(s.PolicyType), orNone(s.PolicyDomain), s.Count, orNone(result), orNone(s.Host), orNone(s.Address), orNone(s.Info))
	}
	return w.Flush()
}

// why is why something else was done than the policy asks for.
func why(r *dmarcreport.Record) string {
	var all []string
	for _, reason := range r.Reasons {
		all = append(all, strings.TrimSpace(reason.Type+" "+reason.Comment))
	}
	return strings.Join(all, "; ")
}
