package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/certificate"
	"github.com/pennypost/pennypost/internal/server"
)

// certificates is what the verbs of certificates ask of a server, or of its store.
type certificates interface {
	Certificates(ctx context.Context) ([]certificate.Report, error)
	RetryCertificates(ctx context.Context, r server.CertificateRetry) (int, error)
}

// reachCertificates hands certificates to fn.
type reachCertificates func(ctx context.Context, fn func(certificates) error) error

func certificatesOf(load loader) reachCertificates {
	return func(ctx context.Context, fn func(certificates) error) error {
		c, err := load()
		if err != nil {
			return err
		}
		return withOperator(ctx, c, func(o *server.Operator) error { return fn(o) })
	}
}

func certificateCommand(reach reachCertificates) *cobra.Command {
	cmd := group("certificate", "Certificates by ACME")
	list := &cobra.Command{
		Use:   "list",
		Short: "List the names that have certificates or are to have some: exit 0 if all that lead here have one and none failed, 1 if not, 2 if it could not look",
		Args:  cobra.NoArgs,
	}
	asJSON := jsonFlag(list)
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		return reach(cmd.Context(), func(c certificates) error {
			reports, err := c.Certificates(cmd.Context())
			if err != nil {
				return err
			}
			if *asJSON {
				err = printJSON(cmd.OutOrStdout(), reports)
			} else {
				err = printCertificates(cmd, reports)
			}
			for _, r := range reports {
				if err == nil && r.Faulty() {
					return statusFaulty
				}
			}
			return err
		})
	}
	cmd.AddCommand(
		unanswered(list),
		certificateRetryCommand(reach, "retry", "Try again now what failed, for one name or for all", false),
		certificateRetryCommand(reach, "renew", "Replace certificates now, of one name or of all", true),
	)
	return cmd
}

func certificateRetryCommand(reach reachCertificates, use, short string, replace bool) *cobra.Command {
	cmd := &cobra.Command{Use: use + " [NAME]", Short: short, Args: cobra.MaximumNArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return reach(cmd.Context(), func(c certificates) error {
			r := server.CertificateRetry{Replace: replace}
			if len(args) > 0 {
				r.Name = args[0]
			}
			n, err := c.RetryCertificates(cmd.Context(), r)
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d due now\n", n)
			}
			return err
		})
	}
	return unanswered(cmd)
}

func printCertificates(cmd *cobra.Command, reports []certificate.Report) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTANDING\tVALID UNTIL\tRENEWAL\tNEXT\tFAILURES\tERROR")
	when := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Format(time.RFC3339)
	}
	for _, r := range reports {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", r.Name, r.Standing, when(r.NotAfter), when(r.Renew), when(r.Next), r.Attempts, orNone(r.Error))
	}
	return w.Flush()
}
