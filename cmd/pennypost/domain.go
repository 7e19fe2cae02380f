package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/server"
	"github.com/pennypost/pennypost/internal/transport/domain"
)

// mailDomains is what the verbs of domains ask of a server, or of its store.
type mailDomains interface {
	DomainRecords(ctx context.Context, r server.DomainRef) ([]domain.Record, error)
	CheckDomain(ctx context.Context, r server.DomainRef) ([]domain.Finding, error)
}

// reachDomains hands domains to fn.
type reachDomains func(ctx context.Context, fn func(mailDomains) error) error

func domainsOf(load loader) reachDomains {
	return func(ctx context.Context, fn func(mailDomains) error) error {
		c, err := load()
		if err != nil {
			return err
		}
		return withOperator(ctx, c, func(o *server.Operator) error { return fn(o) })
	}
}

func domainCommand(load loader, reach reachDomains) *cobra.Command {
	cmd := group("domain", "Mail domains")
	cmd.Long = "Say what a domain's owner publishes in DNS, check it, and write it. records, check and publish exit with 2 when they could not look or act."
	cmd.AddCommand(domainVerifyCommand(load), domainRecordsCommand(reach), domainCheckCommand(reach), domainPublishCommand(load, reach), domainReportsCommand(reportsOf(load)))
	return cmd
}

func domainVerifyCommand(load loader) *cobra.Command {
	verify := &cobra.Command{
		Use:   "verify DOMAIN",
		Short: "Vouch that a domain is its organization's, where DNS can't prove it",
		Args:  cobra.ExactArgs(1),
	}
	organization := verify.Flags().String("organization", "", "id of the organization (m-…)")
	if err := verify.MarkFlagRequired("organization"); err != nil {
		panic("pennypost: " + err.Error()) // the flag was added in the line above
	}
	return operate(verify, load, func(ctx context.Context, o *server.Operator, _ io.Writer, args []string) error {
		return o.VerifyDomain(ctx, server.DomainRef{Organization: *organization, Domain: args[0]})
	})
}

// organizationFlag adds the flag that says whose domain is meant.
func organizationFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("organization", "", "id of the organization (m-…; empty: the one that has the domain)")
}

func domainRecordsCommand(reach reachDomains) *cobra.Command {
	cmd := &cobra.Command{Use: "records DOMAIN", Short: "Print the DNS records that a domain should have, as a zone file has them", Args: cobra.ExactArgs(1)}
	organization, asJSON := organizationFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return reach(cmd.Context(), func(d mailDomains) error {
			records, err := d.DomainRecords(cmd.Context(), server.DomainRef{Organization: *organization, Domain: args[0]})
			switch {
			case err != nil:
				return err
			case *asJSON:
				return printJSON(cmd.OutOrStdout(), records)
			case len(records) == 0:
				_, err := fmt.Fprintln(cmd.OutOrStdout(), noRecords)
				return err
			}
			return printRecords(cmd.OutOrStdout(), records)
		})
	}
	return unanswered(cmd)
}

// noRecords is said of a test domain.
const noRecords = "; a test domain has no records: it is the server's own"

func printRecords(out io.Writer, records []domain.Record) error {
	said := domain.Purpose("")
	for _, r := range records {
		if r.Purpose != said {
			said = r.Purpose
			if _, err := fmt.Fprintf(out, "; %s: %s\n", r.Purpose, purpose(r.Purpose)); err != nil {
				return err
			}
		}
		if r.Type == "MX" && !strings.Contains(r.Value, ".") { // on a machine whose own name is like that, where the setting was forgotten
			if _, err := fmt.Fprintln(out, "; nobody elsewhere can look up this server's name: set hostname to one that they can, then publish"); err != nil {
				return err
			}
		}
		line := r.Line()
		if r.Detail != "" {
			line += " ; " + r.Detail
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// purpose says in words what records are for.
func purpose(p domain.Purpose) string {
	switch p {
	case domain.Ownership:
		return "proves that the domain is its organization's"
	case domain.MX:
		return "brings the domain's mail here"
	case domain.SPF:
		return "lets this server send for the domain"
	case domain.DKIM:
		return "the keys that the domain's mail is signed by, and those that will be next"
	case domain.DMARC:
		return "asks others to distrust what is neither, and to report"
	case domain.TLSReports:
		return "asks others to report how their connections to here were protected"
	case domain.Autodiscover:
		return "leads Outlook and phones here"
	case domain.Autoconfig:
		return "leads Thunderbird and others here"
	case domain.MTASTS:
		return "says that mail comes here under TLS alone"
	case domain.Services:
		return "tells programs the servers for reading and sending mail"
	default:
		return ""
	}
}

func domainCheckCommand(reach reachDomains) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check DOMAIN",
		Short: "Look up a domain's DNS records: exit 0 if all are right, 1 if one is not, 2 if it could not look",
		Args:  cobra.ExactArgs(1),
	}
	organization, asJSON := organizationFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var findings []domain.Finding
		err := reach(cmd.Context(), func(d mailDomains) (err error) {
			findings, err = d.CheckDomain(cmd.Context(), server.DomainRef{Organization: *organization, Domain: args[0]})
			return err
		})
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), findings)
		} else {
			err = printFindings(cmd.OutOrStdout(), findings)
		}
		if err != nil {
			return err
		}
		return verdict(findings)
	}
	return unanswered(cmd)
}

// verdict is the exit status of findings.
func verdict(findings []domain.Finding) error {
	n := count(findings)
	switch {
	case n[domain.Missing]+n[domain.Inconsistent] > 0:
		return statusFaulty
	case n[domain.Unknown] > 0:
		return failure{statusNoAnswer, fmt.Errorf("%d of %d could not be looked up", n[domain.Unknown], len(findings))}
	}
	return nil
}

func count(findings []domain.Finding) map[domain.Status]int {
	n := map[domain.Status]int{}
	for _, f := range findings {
		n[f.Status]++
	}
	return n
}

func printFindings(out io.Writer, findings []domain.Finding) error {
	var b strings.Builder
	if len(findings) == 0 {
		b.WriteString(noRecords + "\n")
	}
	const more = "              "
	for _, f := range findings {
		fmt.Fprintf(&b, "%-12s  %-14s  %-6s  %s\n", f.Status, f.Purpose, f.Type, f.Name)
		if f.Status != domain.Right {
			if f.Value != "" {
				fmt.Fprintf(&b, "%swanted  %s\n", more, f.Value)
			}
			for _, found := range f.Found {
				fmt.Fprintf(&b, "%sfound   %s\n", more, orNone(found))
			}
		}
		if f.Note != "" {
			fmt.Fprintf(&b, "%s%s\n", more, orNone(f.Note))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
