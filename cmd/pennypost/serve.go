package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/server"
)

func serveCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server until SIGTERM or SIGINT",
		Long: "Run the server until SIGTERM or SIGINT. It says \"ready\" on one line of standard output when all listeners accept; " +
			"everything else it says goes to standard error.\n\nEach setting is a flag, over its environment variable, over the file " +
			"that --config names, over the default.",
		Args: cobra.NoArgs,
	}
	memory := cmd.Flags().Bool("memory", false, "keep nothing: for tests of other software (--data then holds only what env reads)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		if *memory && c.Origin["data"] == "the default" {
			c.Data = ""
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		s, err := server.New(cmd.Context(), c, server.Options{Memory: *memory, Version: version(), Log: log})
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			return nil // it was told to stop before it was ready
		}
		if err != nil {
			return err
		}
		var said error
		err = s.Run(cmd.Context(), sync.OnceFunc(func() {
			if s.FirstStart() {
				fmt.Fprint(os.Stderr, whatNext(os.Args[0], c.Data, *memory))
			}
			_, said = fmt.Fprintln(cmd.OutOrStdout(), "ready")
		}))
		return errors.Join(err, said)
	}
	return cmd
}

// whatNext tells a newcomer how to go on, ready to paste.
func whatNext(program, data string, memory bool) string {
	what := "This is the first start on " + data + "."
	if memory {
		what = "This server keeps nothing."
	}
	return fmt.Sprintf(`
%s An administrator's access key and a certificate for this machine were made.
In another terminal:

    eval "$(%s env --data %s)"
    aws workmail create-organization --alias first

`, what, quote(program), quote(data))
}
