package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/figure"
	"github.com/pennypost/pennypost/bench/peer"
	"github.com/pennypost/pennypost/internal/db"
)

// machine is the name under which the limits are kept.
const machine = "machine"

// bench is one run of everything.
type bench struct {
	options
	room    string         // the directory for all data, removed at the end
	cluster *peer.Postgres // nil when Pennypost is not measured on PostgreSQL
	targets []*target
	results *figure.Results
}

// target is a server with what the loads keep about it.
type target struct {
	peer.Server
	counters []*drive.IMAP // a connection to each user's mailbox, to count what has arrived; opened when needed
	// api is the organisation in which users are made; described says that it has the users that are asked for;
	// ruled is the user about whom it has access rules.
	api       string
	described bool
	ruled     string
	many      *many // a server beside this one; made when first needed
}

// own is the server when it is a Pennypost.
func (t *target) own() (p *peer.Pennypost, ok bool) {
	p, ok = t.Server.(*peer.Pennypost)
	return p, ok
}

// load is one thing that is measured.
type load struct {
	name string
	// run measures it once on one server. An error is a failure of the server, which the other loads outlive.
	run   func(ctx context.Context, b *bench, t *target, round int) error
	api   bool // only Pennypost has a face for it
	relay bool // of mail for other servers, which some take, and one takes nothing else
	large bool // it works on the large mailbox
	// calm waits a little first: Dovecot reads a whole Maildir again at every look while its last change is seconds old.
	calm bool
}

// setup starts the servers and makes their accounts, and fills the large mailboxes if a load needs them.
func (b *bench) setup(ctx context.Context) error {
	cert, err := peer.NewCertificate(time.Now())
	if err != nil {
		return err
	}
	var servers []peer.Server
	for _, engine := range b.engines {
		s, err := b.own(ctx, cert, "pennypost", engine)
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	for _, name := range b.peers {
		dir, err := b.directory(name)
		if err != nil {
			return err
		}
		var s peer.Server
		switch name {
		case "dovecot":
			s, err = peer.NewDovecot(ctx, dir, cert)
		case "maddy":
			s, err = peer.NewMaddy(ctx, b.maddy, dir, cert)
		case "maddy-full":
			s, err = peer.NewMaddyFull(ctx, b.maddy, dir, cert)
		case "postfix":
			s, err = peer.NewPostfix(ctx, dir, cert)
		default:
			err = fmt.Errorf("no such peer: %q; there are dovecot, maddy, maddy-full and postfix", name)
		}
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	if len(servers) == 0 {
		return errors.New("there is no server to measure")
	}
	for _, s := range servers {
		b.say("setting up %s", s.Version())
		b.targets = append(b.targets, &target{Server: s})
		if err := s.Setup(ctx); err != nil {
			return fmt.Errorf("set up %s: %w", s.Name(), err)
		}
	}
	return nil
}

// own prepares a Pennypost on an engine, and the cluster that PostgreSQL wants when it is the first on it.
func (b *bench) own(ctx context.Context, cert *peer.Certificate, name string, engine db.Engine) (*peer.Pennypost, error) {
	var cluster *peer.Postgres
	if engine == db.PostgreSQL {
		if b.cluster == nil {
			dir, err := b.directory("postgres")
			if err != nil {
				return nil, err
			}
			if b.cluster, err = peer.NewPostgres(ctx, dir); err != nil {
				return nil, err
			}
		}
		cluster = b.cluster
	}
	dir, err := b.directory(name + "-" + string(engine))
	if err != nil {
		return nil, err
	}
	return peer.NewPennypost(ctx, b.pennypost, dir, cert, cluster)
}

func (b *bench) directory(name string) (string, error) {
	dir := filepath.Join(b.room, name)
	return dir, os.Mkdir(dir, 0o755)
}

// rounds does every load once a round, on one server after the other; who begins changes from load to load.
func (b *bench) rounds(ctx context.Context) error {
	list := b.selected()
	if len(list) == 0 {
		return fmt.Errorf("no load has a name like %q", b.only)
	}
	for round := range b.scale.rounds {
		if err := b.limits(ctx, round); err != nil {
			return fmt.Errorf("measure the machine: %w", err)
		}
		for i, l := range list {
			for turn := range b.targets {
				t := b.targets[(turn+i+round)%len(b.targets)]
				if !t.takes(l) {
					continue
				}
				b.say("round %d of %d: %s, %s", round+1, b.scale.rounds, l.name, t.Name())
				if l.calm {
					rest(ctx, 2*settle)
				}
				err := l.run(ctx, b, t, round)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					b.say("  failed: %v", err)
					b.results.Fail(round, t.Name(), l.name, err)
				}
			}
		}
	}
	return nil
}

// takes reports whether a load is of what the server does.
func (t *target) takes(l load) bool {
	_, own := t.own()
	return own || !l.api && l.relay == (t.relay() != nil)
}

// selected are the loads that were asked for, and the filling of the large mailbox if one of them works on it.
func (b *bench) selected() []load {
	var list []load
	large := false
	for _, l := range slices.Backward(loads()) {
		if b.only.MatchString(l.name) || l.name == fillName && large {
			list = append(list, l)
			large = large || l.large
		}
	}
	slices.Reverse(list)
	return list
}

// stop ends all servers, and PostgreSQL behind those that use it.
func (b *bench) stop(ctx context.Context) error {
	var errs []error
	for _, t := range b.targets {
		t.forget()
		errs = append(errs, t.Stop(ctx))
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.Stop(ctx))
	}
	return errors.Join(errs...)
}

// say tells how far it is, on standard error.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// add records a sample and says it.
func (b *bench) add(round int, server string, f figure.Figure, value float64) {
	b.say("  %s, %s: %s", f.Load, f.Name, figure.Of([]float64{value}))
	b.results.Add(round, server, f, value)
}

// The figures most loads have.
func rate(section, load string) figure.Figure {
	return figure.Figure{Section: section, Load: load, Name: "per second"}
}

func took(section, load, name string) figure.Figure {
	return figure.Figure{Section: section, Load: load, Name: name, LowerIsBetter: true}
}

// addRate records the rate of a load of which each operation did times as many things, and with latency its median and
// 99th percentile. Operations that failed are an error, and there is no rate where most did: it would praise the refusal.
func (b *bench) addRate(round int, server, section, load string, out drive.Outcome, times int, latency bool) error {
	some := out.Done > 0 && out.Done >= out.Failed
	if some {
		b.add(round, server, rate(section, load), out.PerSecond()*float64(times))
	}
	if latency && some {
		b.add(round, server, took(section, load, "ms, median"), milliseconds(figure.Percentile(out.Latencies, 0.5)))
		b.add(round, server, took(section, load, "ms, 99 %"), milliseconds(figure.Percentile(out.Latencies, 0.99)))
	}
	if out.Failed > 0 {
		return fmt.Errorf("%d of %d operations failed; the first: %w", out.Failed, out.Failed+out.Done, out.FirstFail)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
