// Pennypost is a self-hosted server with the API and the behaviour of Amazon WorkMail: an administrator drives it with the
// AWS SDKs and CLI, people reach their mail with any client.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pennypost/pennypost/internal/config"
)

func main() {
	// What the server writes is for its owner alone: mail, keys, the database.
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for a clean stop; a second one ends the process at once, unless it comes with the first: timeout(1), make and
	// others send it to their child and to their group, and the child is in both.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	err := root().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	status := exitStatus(1)
	if !errors.As(err, &status) || !status.silent() {
		fmt.Fprintln(os.Stderr, "pennypost:", err)
	}
	os.Exit(int(status))
}

// exitStatus is an error that chooses the process's exit status. Alone it says nothing; wrapped, the wrapping error is said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// silent reports whether everything was said already.
func (s exitStatus) silent() bool { return s == statusFaulty }

const (
	statusFaulty   exitStatus = 1 // not all is well, and the verb has listed what is not
	statusNoAnswer exitStatus = 2 // the verb could not look, or act
)

// failure is an error with an exit status of its own.
type failure struct {
	status exitStatus
	cause  error
}

func (f failure) Error() string   { return f.cause.Error() }
func (f failure) Unwrap() []error { return []error{f.status, f.cause} }

func root() *cobra.Command {
	cmd := group("pennypost", "A mail server with the API of Amazon WorkMail")
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.CompletionOptions.DisableDefaultCmd = true
	load := settings(cmd.PersistentFlags()) // all verbs take the same, so that a script need not tell them apart
	cmd.AddCommand(serveCommand(load), envCommand(load), keyCommand(load), domainCommand(load, domainsOf(load)), importCommand(load), queueCommand(queueOf(load)), certificateCommand(certificatesOf(load)), checkCommand(load), versionCommand())
	return cmd
}

// group makes a command that holds others. Alone it shows its help; a word that is none of them is refused, as a script that
// misspells a verb must not go on as if it had been carried out.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// loader loads the settings, from the command line, the environment, a file and the defaults.
type loader func() (*config.Config, error)

// settings adds a flag for each of the settings, and --config, and returns the function that loads them. The verbs beside
// serve take all settings too: without a running server they open the store themselves, and it may lie anywhere.
func settings(flags *pflag.FlagSet) loader {
	file := flags.String("config", "", "file of settings in TOML")
	for _, s := range config.Settings() {
		flags.String(s.Flag, s.Default, s.Help+" [$"+s.Env+"]")
	}
	return func() (*config.Config, error) {
		return config.Load(config.Sources{
			Flag: func(name string) (string, bool) {
				f := flags.Lookup(name)
				return f.Value.String(), f.Changed
			},
			Env:  os.LookupEnv,
			File: *file,
		})
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which Pennypost this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "pennypost", version())
			return err
		},
	}
}

// version is what the build recorded: a release's number, or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
