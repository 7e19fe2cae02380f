package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/migration/workmail"
	"github.com/pennypost/pennypost/internal/server"
)

func importWorkMailCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workmail",
		Short: "Make an organization of Amazon WorkMail here, with all its ids: exit 0 if both sides are alike, 1 if not",
		Long: "Reads an organization through the WorkMail API and makes it here, with all its ids. Run again, it goes on where it was\n" +
			"interrupted, and takes over what changed there since. Credentials are found where the AWS tools find them.",
		Args: cobra.NoArgs,
	}
	var s workmail.Settings
	organization := cmd.Flags().String("organization", "", "id of the organization (m-…)")
	cmd.Flags().StringVar(&s.Endpoint, "endpoint-url", "", "URL of the source, if it is not AWS's own of the region [$AWS_ENDPOINT_URL_WORKMAIL]")
	cmd.Flags().StringVar(&s.Profile, "profile", "", "profile of the AWS credentials file")
	var options migration.Options
	cmd.Flags().BoolVar(&options.AcceptLoss, "accept-loss", false, "disable and delete more than half of all who are enabled here, if that is so at the source")
	cmd.Flags().BoolVar(&options.Dry, "dry-run", false, "change nothing, and say what would be made, changed, removed and refused")
	report := cmd.Flags().String("report", "", "file to write the report to, as JSON")
	if err := cmd.MarkFlagRequired("organization"); err != nil {
		panic("pennypost: " + err.Error()) // the flag was added above
	}
	// The setting of that name is of no use here: the organization keeps the region that it has there.
	cmd.Flags().StringVar(&s.Region, "region", "", "region of the source [$AWS_REGION]")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		client, err := workmail.Connect(s)
		if err != nil {
			return err
		}
		inv, err := workmail.Read(cmd.Context(), client, *organization, progress(cmd.ErrOrStderr()))
		if err != nil {
			return err
		}
		return withOperator(cmd.Context(), c, func(o *server.Operator) error {
			return importInventory(cmd.Context(), o, inv, options, *report, cmd.OutOrStdout())
		})
	}
	return cmd
}

// progressEvery is how often a reading that takes long says where it is.
const progressEvery = 10 * time.Second

// progress returns what tells how far the reading came.
func progress(out io.Writer) func(done, total int) {
	var (
		mu   sync.Mutex
		last = time.Now()
	)
	return func(done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) >= progressEvery {
			last = time.Now()
			fmt.Fprintf(out, "read %d of %d users, groups and resources\n", done, total)
		}
	}
}

// importInventory imports what was read, and reports. An import that ends early reports nothing: it is to be run again.
func importInventory(ctx context.Context, t migration.Target, inv migration.Inventory, options migration.Options, file string, out io.Writer) error {
	r, err := migration.Import(ctx, inv, t, options)
	if err != nil {
		if !options.Dry && fault.As(err) == nil {
			return fmt.Errorf("the import stopped before its end, run it again to go on: %w", err)
		}
		return err
	}
	if file != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err == nil {
			err = os.WriteFile(file, append(text, '\n'), 0o600)
		}
		if err != nil {
			return errors.Join(err, r.Write(out))
		}
	}
	if err := r.Write(out); err != nil {
		return err
	}
	if !r.Good() {
		return statusFaulty
	}
	return nil
}
