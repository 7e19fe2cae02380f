package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/migration/imapsource"
	"github.com/pennypost/pennypost/internal/server"
)

// maxCAFile bounds the file that --ca-file names, and maxParallel what --parallel says.
const (
	maxCAFile   = 4 << 20
	maxParallel = 64
)

// imapImport is what the flags of import imap say.
type imapImport struct {
	organization, server, accounts, caFile, report string
	parallel                                       int
	startTLS, dryRun, acceptLoss                   bool
}

func importIMAPCommand(load loader) *cobra.Command {
	var f imapImport
	cmd := &cobra.Command{
		Use:   "imap",
		Short: "Bring the mail of many mailboxes from an IMAP server: exit 0 if all is here, 1 if something was left out",
		Args:  cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.organization, "organization", "", "id of the organization (m-…)")
	flags.StringVar(&f.server, "server", "", "HOST:PORT of the IMAP server; TLS from the first byte, usually port 993")
	flags.StringVar(&f.accounts, "accounts", "", "file of address,user,password for each mailbox, which only its owner may read")
	flags.StringVar(&f.caFile, "ca-file", "", "file of the certificates (PEM) that vouch for the server, instead of the system's")
	flags.BoolVar(&f.startTLS, "starttls", false, "begin TLS by STARTTLS, usually on port 143")
	flags.IntVar(&f.parallel, "parallel", 4, "how many mailboxes are read at once")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only count: change nothing")
	flags.BoolVar(&f.acceptLoss, "accept-loss", false, "remove more than half of what came from an account, if that is gone at the source")
	flags.StringVar(&f.report, "report", "", "file to write the report to, as JSON")
	for _, name := range []string{"organization", "server", "accounts"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic("pennypost: " + err.Error()) // the flag was added above
		}
	}
	return operate(cmd, load, func(ctx context.Context, o *server.Operator, out io.Writer, _ []string) error {
		return f.run(ctx, o, out, cmd.ErrOrStderr())
	})
}

func (f *imapImport) run(ctx context.Context, o *server.Operator, out, complaints io.Writer) error {
	accounts, err := imapsource.ReadAccounts(f.accounts)
	if err != nil {
		return err
	}
	if f.parallel < 1 || f.parallel > maxParallel {
		return fmt.Errorf("--parallel %d: it must be 1 to %d", f.parallel, maxParallel)
	}
	host, _, err := net.SplitHostPort(f.server)
	if err != nil || host == "" {
		return fmt.Errorf("--server %s: it must be HOST:PORT", f.server)
	}
	trust, err := trusted(f.caFile)
	if err != nil {
		return err
	}
	report, err := imapsource.Run(ctx, o, imapsource.Options{
		Organization: f.organization,
		Server: imapsource.Server{
			Address: f.server, StartTLS: f.startTLS, TLS: &tls.Config{ServerName: host, RootCAs: trust, MinVersion: tls.VersionTLS12},
		},
		Name: strings.ToLower(host), Accounts: accounts, Parallel: f.parallel, DryRun: f.dryRun, AcceptLoss: f.acceptLoss,
		Done: func(m *imapsource.MailboxReport) error { return m.Write(out) },
		Lost: func(a imapsource.Account, err error, pause time.Duration) {
			fmt.Fprintf(complaints, "pennypost: %s: %s; tried again in %s\n", a.Address, orNone(err.Error()), pause)
		},
		Sleep: clock.System{}.Sleep,
	})
	if f.report != "" {
		text, jsonErr := json.MarshalIndent(report, "", "  ")
		err = errors.Join(err, jsonErr, os.WriteFile(f.report, append(text, '\n'), 0o600))
	}
	if err == nil && report.LeftOut() {
		return statusFaulty
	}
	return err
}

// trusted returns the certificates of a file; nil, which means the system's, where there is none.
func trusted(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readBounded(path, maxCAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}
