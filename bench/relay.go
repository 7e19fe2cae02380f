package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/figure"
	"github.com/pennypost/pennypost/bench/peer"
)

// relayLoads are those of mail for other servers. Nobody listens where it goes until it is drained.
func relayLoads() []load {
	var list []load
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, n := range []int{1, 16, 64} {
			name := fmt.Sprintf("accept-c%d-%dk", n, size>>10)
			list = append(list, load{name: name, relay: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
				out, err := submit(ctx, b, t, round, name, n, relayed(b, n, size), size)
				if err == nil {
					err = b.addRate(round, t.Name(), sectionRelay, name, out, 1, true)
				}
				return errors.Join(err, t.relay().Clear(ctx))
			}})
		}
	}
	return append(list, load{name: "drain-4k", relay: true, run: drain},
		load{name: "syncs-c1", relay: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
			return syncs(ctx, b, t, round, "syncs-c1", 1)
		}},
		load{name: "syncs-c16", relay: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
			return syncs(ctx, b, t, round, "syncs-c16", 16)
		}})
}

// relayed is how many messages a load hands in.
func relayed(b *bench, n, size int) int {
	count := b.scale.small
	if size > 4<<10 {
		count = b.scale.large
	}
	if n > 1 {
		count *= 3
	}
	return count
}

// relay is the server as one that takes mail for others; nil for one that does not.
func (t *target) relay() peer.Relay {
	r, _ := t.Server.(peer.Relay)
	return r
}

// submit hands in count messages for other servers, by n connections that are kept.
func submit(ctx context.Context, b *bench, t *target, round int, name string, n, count, size int) (drive.Outcome, error) {
	r := t.relay()
	maker := drive.NewMaker(size, fmt.Sprintf("%s.%d", name, round)).From(r.From())
	return drive.Closed(ctx, n, count, b.scale.most, func(ctx context.Context, i int) (drive.Worker, error) {
		d, err := r.Submit(ctx, i)
		return &submitter{d: d, maker: maker}, err
	})
}

type submitter struct {
	d     *drive.Delivery
	maker *drive.Maker
	buf   []byte
}

func (s *submitter) Do(i int) error {
	const to = "somebody@far.example"
	s.buf = s.maker.Append(s.buf[:0], i, to)
	return s.d.Deliver(to, s.buf)
}

func (s *submitter) Close() error { return s.d.Close() }

// drain fills the queue while nobody takes mail, and measures how long it takes to run empty once somebody does.
func drain(ctx context.Context, b *bench, t *target, round int) error {
	const name = "drain-4k"
	r := t.relay()
	count := relayed(b, 16, 4<<10)
	out, err := submit(ctx, b, t, round, name, 16, count, 4<<10)
	if err != nil || out.Failed > 0 {
		return errors.Join(err, out.FirstFail, r.Clear(ctx))
	}
	rest(ctx, 3*settle) // what came last is found to be undeliverable, too
	limited, cancel := context.WithTimeout(ctx, 4*b.scale.most)
	defer cancel()
	wait, err := peer.Sink(limited, r.Next(), out.Done)
	if err != nil {
		return errors.Join(err, r.Clear(ctx))
	}
	began := time.Now()
	flushErr := r.Flush(limited)
	waitErr := wait()
	took := time.Since(began)
	if err := errors.Join(flushErr, waitErr); err != nil {
		return errors.Join(fmt.Errorf("%d messages did not all leave: %w", out.Done, err), r.Clear(ctx))
	}
	b.add(round, t.Name(), rate(sectionRelay, name), float64(out.Done)/took.Seconds())
	return nil
}

// syncs counts how often a server's processes call for a sync while it takes a known number of messages.
func syncs(ctx context.Context, b *bench, t *target, round int, name string, n int) error {
	r := t.relay()
	file := filepath.Join(b.room, "strace")
	tracer, err := trace(ctx, r, file)
	if err != nil {
		return err
	}
	out, err := submit(ctx, b, t, round, name, n, relayed(b, n, 4<<10)/5, 4<<10)
	err = errors.Join(err, tracer.Process.Signal(syscall.SIGINT))
	_ = tracer.Wait() // it ends by that signal
	if err = errors.Join(err, out.FirstFail, r.Clear(ctx)); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	b.add(round, t.Name(), figure.Figure{Section: sectionRelay, Load: name, Name: "syncs per message", LowerIsBetter: true}, float64(countSyncs(text))/float64(out.Done))
	return os.Remove(file)
}

// countSyncs counts the calls in what strace wrote. One that it shows in two parts has its name in the second as well.
func countSyncs(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(" resumed>")) && bytes.Contains(line, []byte("sync")) {
			n++
		}
	}
	return n
}

// trace has strace write to file whatever sync the processes of a server call for, and returns once it does.
func trace(ctx context.Context, r peer.Relay, file string) (*exec.Cmd, error) {
	pids, err := peer.Descendants(r.Roots())
	if err != nil {
		return nil, err
	}
	args := []string{"-f", "-qq", "-e", "trace=fsync,fdatasync,msync,sync_file_range,syncfs,sync", "-e", "signal=none", "-o", file}
	for _, pid := range pids {
		args = append(args, "-p", fmt.Sprint(pid))
	}
	c := exec.CommandContext(ctx, "strace", args...)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("strace is missing (%w); install it with: scripts/bench-peers postfix", err)
	}
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for !isTraced(pids) {
		select {
		case <-limited.Done():
			_ = c.Process.Kill()
			_ = c.Wait() // killed
			return nil, fmt.Errorf("strace does not follow: %s", bytes.TrimSpace(said.Bytes()))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return c, nil
}

// isTraced reports whether all threads of processes that are there still are being traced.
func isTraced(pids []int) bool {
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			return false
		}
		for _, name := range tasks {
			if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte("\nTracerPid:\t0\n")) {
				return false
			}
		}
	}
	return true
}
