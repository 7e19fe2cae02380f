package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/server"
)

// maxPolicyFile bounds the file that --policy-file names.
const maxPolicyFile = 1 << 20

// operate makes a verb that works on the store, beside a running server or without one.
func operate(cmd *cobra.Command, load loader, fn func(ctx context.Context, o *server.Operator, out io.Writer, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		return withOperator(cmd.Context(), c, func(o *server.Operator) error {
			return fn(cmd.Context(), o, cmd.OutOrStdout(), args)
		})
	}
	return cmd
}

func withOperator(ctx context.Context, c *config.Config, fn func(*server.Operator) error) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o, err := server.Connect(ctx, c, log)
	if err != nil {
		return err
	}
	return errors.Join(fn(o), o.Close())
}

func keyCommand(load loader) *cobra.Command {
	cmd := group("key", "Administrators' access keys")
	create := &cobra.Command{
		Use:   "create",
		Short: "Make an access key and print its id and secret, which is shown this once",
		Args:  cobra.NoArgs,
	}
	label := create.Flags().String("label", "", "what to call the key")
	policy := create.Flags().String("policy", server.DefaultPolicy, "name of a managed policy: "+strings.Join(server.ManagedPolicies(), " or "))
	file := create.Flags().String("policy-file", "", "file of an IAM-style policy, instead of --policy")
	create.MarkFlagsMutuallyExclusive("policy", "policy-file")
	operate(create, load, func(ctx context.Context, o *server.Operator, out io.Writer, _ []string) error {
		request := server.KeyCreate{Label: *label, Policy: *policy}
		if *file != "" {
			text, err := readBounded(*file, maxPolicyFile)
			if err != nil {
				return err
			}
			if !json.Valid([]byte(text)) { // it would be taken for the name of a managed policy
				return fmt.Errorf("--policy-file %s: it is not JSON", *file)
			}
			request.Policy = text
		}
		key, err := o.CreateKey(ctx, request)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "aws_access_key_id = %s\naws_secret_access_key = %s\n", key.ID, key.Secret)
		return err
	})
	list := operate(&cobra.Command{
		Use:   "list",
		Short: "List the access keys, revoked ones included",
		Args:  cobra.NoArgs,
	}, load, func(ctx context.Context, o *server.Operator, out io.Writer, _ []string) error {
		keys, err := o.Keys(ctx)
		if err != nil {
			return err
		}
		return printKeys(out, keys)
	})
	revoke := operate(&cobra.Command{
		Use:   "revoke ID",
		Short: "End an access key for good, from the next request on",
		Args:  cobra.ExactArgs(1),
	}, load, func(ctx context.Context, o *server.Operator, _ io.Writer, args []string) error {
		return o.RevokeKey(ctx, args[0])
	})
	cmd.AddCommand(create, list, revoke)
	return cmd
}

func printKeys(out io.Writer, keys []server.KeyInfo) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCREATED\tREVOKED\tPOLICY\tLABEL")
	for _, k := range keys {
		revoked := "-"
		if k.Revoked != nil {
			revoked = k.Revoked.Format(time.RFC3339)
		}
		policy := k.Policy
		if strings.HasPrefix(strings.TrimSpace(policy), "{") {
			policy = "(document)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%q\n", k.ID, k.Created.Format(time.RFC3339), revoked, policy, k.Label)
	}
	return w.Flush()
}

func checkCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that the store is consistent: exit 0 if it is, 1 with a line per fault, 2 if it could not look",
		Args:  cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var faults []string
		c, err := load()
		if err == nil {
			err = withOperator(cmd.Context(), c, func(o *server.Operator) (err error) {
				faults, err = o.Check(cmd.Context())
				return err
			})
		}
		if err != nil {
			return err
		}
		for _, fault := range faults {
			fmt.Fprintln(cmd.OutOrStdout(), fault)
		}
		if len(faults) > 0 {
			return statusFaulty
		}
		return nil
	}
	return unanswered(cmd)
}

// unanswered makes any failure of a verb exit status 2, so that 1 is left for what it has to say.
func unanswered(cmd *cobra.Command) *cobra.Command {
	args, run := cmd.Args, cmd.RunE
	status := func(err error) error {
		if err == nil || errors.As(err, new(exitStatus)) {
			return err
		}
		return failure{statusNoAnswer, err}
	}
	cmd.Args = func(cmd *cobra.Command, words []string) error { return status(args(cmd, words)) }
	cmd.RunE = func(cmd *cobra.Command, words []string) error { return status(run(cmd, words)) }
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return status(err) })
	return cmd
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return "", err
	}
	if int64(len(text)) > limit {
		return "", fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return string(text), nil
}
