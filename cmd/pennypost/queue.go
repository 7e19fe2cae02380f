package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/server"
)

// mailQueue is what the verbs of the queue ask of a server, or of its store.
type mailQueue interface {
	ListQueue(ctx context.Context, f server.QueueFilter, after string) (server.QueuePage[server.QueueEntry], error)
	ChangeQueue(ctx context.Context, change string, r server.QueueChange) (int, error)
	TraceQueue(ctx context.Context, organization, trace, after string) (server.QueuePage[server.QueueEvent], error)
}

// reachQueue hands a queue to fn.
type reachQueue func(ctx context.Context, fn func(mailQueue) error) error

func queueOf(load loader) reachQueue {
	return func(ctx context.Context, fn func(mailQueue) error) error {
		c, err := load()
		if err != nil {
			return err
		}
		return withOperator(ctx, c, func(o *server.Operator) error { return fn(o) })
	}
}

func queueCommand(reach reachQueue) *cobra.Command {
	cmd := group("queue", "The outbound queue")
	cmd.Long = "See and change what waits for other servers. A message has one entry for each recipient. All verbs exit with 0 when done, 1 when " +
		"there is no such message, and 2 when they could not look or act."
	cmd.AddCommand(
		queueListCommand(reach), queueShowCommand(reach), queueTraceCommand(reach),
		queueChangeCommand(reach, "hold", "Keep messages from being tried until they are released; they don't expire meanwhile", "held"),
		queueChangeCommand(reach, "release", "Let held messages go on", "released"),
		queueChangeCommand(reach, "retry", "Make the next attempt due now", "due now"),
		queueChangeCommand(reach, "drop", "Remove messages; nobody is told, but for --bounce", "dropped"),
	)
	return cmd
}

// queueFlags adds the filters to a command, and returns what reads them.
func queueFlags(cmd *cobra.Command) func() server.QueueFilter {
	var f server.QueueFilter
	flags := cmd.Flags()
	flags.StringVar(&f.Organization, "organization", "", "id of the organization (m-…; empty: all)")
	flags.Int64Var(&f.Message, "message", 0, "number of a message")
	flags.StringVar(&f.Trace, "trace", "", "trace of a message")
	flags.StringVar(&f.From, "from", "", "address of the sender")
	flags.StringVar(&f.Recipient, "recipient", "", "address of a recipient")
	flags.StringVar(&f.Domain, "domain", "", "domain that messages go to")
	held := flags.Bool("held", false, "only those that are held; --held=false for the others")
	return func() server.QueueFilter {
		if flags.Changed("held") {
			f.Held = held
		}
		return f
	}
}

func queueListCommand(reach reachQueue) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List what waits, the oldest first", Args: cobra.NoArgs}
	filter := queueFlags(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return reach(cmd.Context(), func(q mailQueue) error {
			show := func(page []server.QueueEntry, first bool) error { return printEntries(cmd.OutOrStdout(), page, first) }
			_, err := printPages(cmd.OutOrStdout(), *asJSON, show, func(after string) (server.QueuePage[server.QueueEntry], error) {
				return q.ListQueue(cmd.Context(), filter(), after)
			})
			return err
		})
	}
	return unanswered(cmd)
}

func queueShowCommand(reach reachQueue) *cobra.Command {
	cmd := &cobra.Command{Use: "show MESSAGE", Short: "Show a message, by its number, with each of its recipients", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		number, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || number <= 0 {
			return fmt.Errorf("%q is not the number of a message", args[0])
		}
		return reach(cmd.Context(), func(q mailQueue) error {
			show := func(page []server.QueueEntry, first bool) error { return printMessage(cmd.OutOrStdout(), page, first) }
			n, err := printPages(cmd.OutOrStdout(), *asJSON, show, func(after string) (server.QueuePage[server.QueueEntry], error) {
				return q.ListQueue(cmd.Context(), server.QueueFilter{Message: number}, after)
			})
			if err == nil && n == 0 {
				return nothingThere(cmd, "there is no message %d in the queue", number)
			}
			return err
		})
	}
	return unanswered(cmd)
}

func queueTraceCommand(reach reachQueue) *cobra.Command {
	cmd := &cobra.Command{Use: "trace TRACE", Short: "Tell what happened to the messages of a trace", Args: cobra.ExactArgs(1)}
	organization := cmd.Flags().String("organization", "", "id of the organization (m-…; empty: any)")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return reach(cmd.Context(), func(q mailQueue) error {
			show := func(page []server.QueueEvent, first bool) error { return printEvents(cmd.OutOrStdout(), page, first) }
			n, err := printPages(cmd.OutOrStdout(), *asJSON, show, func(after string) (server.QueuePage[server.QueueEvent], error) {
				return q.TraceQueue(cmd.Context(), *organization, args[0], after)
			})
			if err == nil && n == 0 {
				return nothingThere(cmd, "nothing is known of a message with the trace %q: queue show and the log tell a message's", args[0])
			}
			return err
		})
	}
	return unanswered(cmd)
}

func queueChangeCommand(reach reachQueue, change, short, done string) *cobra.Command {
	cmd := &cobra.Command{Use: change, Short: short, Args: cobra.NoArgs}
	var r server.QueueChange
	filter := queueFlags(cmd)
	cmd.Flags().BoolVar(&r.All, "all", false, "all messages, of the organization or of the server, in place of other filters")
	if change == "drop" {
		cmd.Flags().BoolVar(&r.Bounce, "bounce", false, "tell the senders, as of a failed delivery")
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r.QueueFilter = filter()
		if r.All != (r.QueueFilter == server.QueueFilter{Organization: r.Organization}) {
			return errors.New("say which messages are meant: by --message, --trace, --from, --recipient, --domain or --held, or else by --all")
		}
		return reach(cmd.Context(), func(q mailQueue) error {
			n, err := q.ChangeQueue(cmd.Context(), change, r)
			if err != nil {
				return err
			}
			if *asJSON {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "{\"count\":%d}\n", n)
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", n, done)
			}
			if err == nil && n == 0 {
				return statusFaulty
			}
			return err
		})
	}
	return unanswered(cmd)
}

// nothingThere says that what was asked for is not there.
func nothingThere(cmd *cobra.Command, format string, args ...any) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "pennypost: "+format+"\n", args...)
	return statusFaulty
}

func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON, an object a line")
}

// printPages prints all pages of a list, as JSON or by show, and returns how many items they had.
func printPages[T any](out io.Writer, asJSON bool, show func(page []T, first bool) error, ask func(after string) (server.QueuePage[T], error)) (n int, err error) {
	for after := ""; ; {
		page, err := ask(after)
		if err != nil {
			return n, err
		}
		if asJSON {
			err = printJSON(out, page.Items)
		} else {
			err = show(page.Items, after == "")
		}
		n += len(page.Items)
		if after = page.Next; err != nil || after == "" {
			return n, err
		}
	}
}

func printJSON[T any](out io.Writer, items []T) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for i := range items {
		if err := e.Encode(items[i]); err != nil {
			return err
		}
	}
	return nil
}

func printEntries(out io.Writer, entries []server.QueueEntry, first bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if first {
		fmt.Fprintln(w, "MESSAGE\tQUEUED\tNEXT\tTRIES\tFROM\tRECIPIENT\tLAST")
	}
	for _, e := range entries {
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\t%s\n", e.Message, at(e.Queued), next(e), e.Attempts, orNone(e.From), orNone(e.Recipient), orNone(last(e)))
	}
	return w.Flush()
}

func printMessage(out io.Writer, entries []server.QueueEntry, first bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, e := range entries {
		if first && i == 0 {
			fmt.Fprintf(w, "message\t%d\ntrace\t%s\norganization\t%s\nfrom\t%s\nsize\t%d\nqueued\t%s\nexpires\t%s\n",
				e.Message, orNone(e.Trace), orNone(e.Organization), orNone(e.From), e.Size, at(e.Queued), at(e.Expires))
		}
		fmt.Fprintf(w, "\nrecipient\t%s\nby\t%s\nnext\t%s\ntries\t%d\nlast\t%s\n", orNone(e.Recipient), by(e), next(e), e.Attempts, orNone(last(e)))
	}
	return w.Flush()
}

func printEvents(out io.Writer, events []server.QueueEvent, first bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if first && len(events) > 0 {
		fmt.Fprintln(w, "TIME\tEVENT\tMESSAGE\tRECIPIENT\tTRIES\tHOST\tTLS\tREPLY")
	}
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", at(e.Time), e.Event, e.Message, orNone(e.Recipient), e.Attempts, orNone(e.Host), orNone(e.TLS), orNone(said(e.Status, e.Reply)))
	}
	return w.Flush()
}

// next is when an entry is tried next.
func next(e server.QueueEntry) string {
	if e.Held {
		return "held"
	}
	return at(e.Due)
}

// by is who takes mail for an entry's recipient.
func by(e server.QueueEntry) string {
	if e.Gateway != "" {
		return "the gateway " + orNone(e.Gateway)
	}
	return "the servers of " + orNone(e.Domain)
}

// last is what the last attempt at an entry came to.
func last(e server.QueueEntry) string {
	if e.Host == "" {
		return said(e.Status, e.Reply)
	}
	return e.Host + ": " + said(e.Status, e.Reply)
}

// said is a reply with its status, which most replies repeat.
func said(status, reply string) string {
	if strings.Contains(reply, status) {
		return reply
	}
	return strings.TrimSpace(status + " " + reply)
}

func at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// orNone is a text of somebody else's as a terminal may show it, on one line: "-" for an empty one.
func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, s)
}
