// Command bench measures Pennypost, on SQLite and on PostgreSQL, beside Dovecot, maddy and Postfix: the same loads, on the same
// machine, in the same minutes, load by load in turn, together with what the disk and the bare storage engines can do.
//
//	go run ./bench [-quick] [-engines sqlite,postgres] [-peers dovecot,maddy,maddy-full,postfix] [-run REGEXP] [-rounds N] [-o FILE]
//
// It prints tables in Markdown; with -o it also writes them to FILE.md, and every sample to FILE.json. All load stays on
// loopback, every part of it is bounded in count and time, and what it starts and writes is gone at the end. It exits 1
// when Pennypost failed at a load; what a peer fails at is reported and no more.
//
// IMAP is measured over TLS, with one certificate for all servers and with the handshake outside of the measured time,
// but for LOGIN. Delivery is measured in the clear: nothing secret is said there.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/pennypost/pennypost/bench/figure"
	"github.com/pennypost/pennypost/bench/limit"
	"github.com/pennypost/pennypost/internal/db"
)

// options are the command line.
type options struct {
	scale     scale
	args      []string // the command line itself
	pennypost string
	engines   []db.Engine
	maddy     string
	peers     []string
	only      *regexp.Regexp
	output    string
	room      string
}

func main() {
	// The servers are asked to end when the thread that started them does; this one lives as long as the program.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == limit.Verb { // this is the server of a limit, see limit.Calls
		if err := limit.Answer(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = measure(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	short := flags.Bool("quick", false, "do little: about three minutes, too little to publish")
	engines := flags.String("engines", "sqlite,postgres", "databases to measure Pennypost on, separated by commas; empty to measure the peers alone")
	beside := "dovecot,maddy,maddy-full"
	if os.Getuid() == 0 { // as Postfix must be started
		beside += ",postfix"
	}
	peers := flags.String("peers", beside, "servers to measure beside Pennypost, separated by commas; empty for none. postfix is one for root alone")
	only := flags.String("run", "", "measure only loads whose name matches this `regexp`")
	rounds := flags.Int("rounds", 0, "how often to do everything (default 3, quick 1)")
	output := flags.String("o", "", "also write `FILE`.md and FILE.json")
	room := flags.String("dir", os.TempDir(), "where the servers keep their data while they are measured: a real disk")
	pennypost := flags.String("pennypost", "bin/pennypost", "the server to measure")
	maddy := flags.String("maddy", ".cache/bench/maddy-v0.8.1", "where scripts/bench-peers built maddy")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("arguments are not understood: %q", flags.Args())
	}
	o := options{scale: full, args: args, pennypost: *pennypost, maddy: *maddy, output: *output, room: *room}
	if *short {
		o.scale = quick
	}
	if *rounds > 0 {
		o.scale.rounds = *rounds
	}
	for _, name := range strings.FieldsFunc(*engines, func(r rune) bool { return r == ',' }) {
		engine := db.Engine(name)
		if engine != db.SQLite && engine != db.PostgreSQL || slices.Contains(o.engines, engine) {
			return options{}, fmt.Errorf("-engines: %q is not one of %s and %s, or there twice", name, db.SQLite, db.PostgreSQL)
		}
		o.engines = append(o.engines, engine)
	}
	if *peers != "" {
		o.peers = strings.Split(*peers, ",")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return options{}, fmt.Errorf("-run: %w", err)
	}
	return o, nil
}

// measure does everything the options ask for.
func measure(ctx context.Context, o options) (err error) {
	room, err := os.MkdirTemp(o.room, "pennypost-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(room)) }()
	if err := os.Chmod(room, 0o711); err != nil { // peers run as another user
		return err
	}
	if room, err = filepath.Abs(room); err != nil {
		return err
	}
	b := &bench{options: o, room: room, results: &figure.Results{}}
	defer func() { err = errors.Join(err, b.stop(ctx)) }()
	if err := b.setup(ctx); err != nil {
		return err
	}
	if err := b.rounds(ctx); err != nil {
		return err
	}
	return b.report()
}

// report prints the tables, and writes them where -o says.
func (b *bench) report() error {
	report := b.summary()
	if err := report.Markdown(os.Stdout); err != nil {
		return err
	}
	if b.output != "" {
		base := strings.TrimSuffix(strings.TrimSuffix(b.output, ".md"), ".json")
		md, err := os.Create(base + ".md")
		if err != nil {
			return err
		}
		if err := errors.Join(report.Markdown(md), md.Close()); err != nil {
			return err
		}
		data, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(base+".json", append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	own := report.Servers[:report.Ours]
	for _, f := range b.results.Failures {
		if slices.Contains(own, f.Server) {
			return errors.New("Pennypost failed at a load; the report says at what")
		}
	}
	return nil
}
