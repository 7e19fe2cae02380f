package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that should take a moment: a busy machine is no failure.
const patience = 60 * time.Second

// runTime is how long a program may run.
const runTime = 10 * time.Minute

// Options say how to start a server. The zero value is SQLite on free ports in a directory of the test's own.
type Options struct {
	Dir         string   // --data; empty: a temporary directory
	DatabaseURL string   // --database-url; empty: SQLite
	Flags       []string // more flags for serve; a later flag wins
	Env         []string // more environment variables, NAME=value
	// Unchecked leaves out the pennypost check at the end of the test.
	Unchecked bool
}

// Server is a server process of a test.
type Server struct {
	t       testing.TB
	options Options
	Dir     string
	// Started is how long it took from the start of the process to its line "ready".
	Started time.Duration
	Env     map[string]string // what pennypost env exports

	cmd    *exec.Cmd
	exited chan error
	log    *buffer
	stdout *buffer
}

// Start starts a server and waits until it is ready. At the end of the test it checks the store and stops the server.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "data")
	}
	s := &Server{t: t, options: o, Dir: o.Dir, log: &buffer{}, stdout: &buffer{}}
	t.Cleanup(s.finish)
	s.Start()
	return s
}

// Start starts the server again after Stop or Kill.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.launch(); err != nil {
		s.t.Fatalf("pennypost serve: %v\n%s", err, s.log)
	}
	env := s.Verb("env")
	if env.Status != 0 {
		s.t.Fatalf("pennypost env: %s", env)
	}
	s.Env = evaluated(s.t, env.Stdout)
}

// Args are the arguments of the server's serve.
func (s *Server) Args() []string {
	args := []string{"serve", "--data", s.Dir}
	for _, name := range []string{"http", "https", "smtp", "submission", "submissions", "imap", "imaps", "managesieve", "metrics"} {
		args = append(args, "--"+name, "127.0.0.1:0")
	}
	args = append(args, "--hostname", "mail.pennypost.example", "--database-url", s.options.DatabaseURL)
	return append(args, s.options.Flags...)
}

func (s *Server) launch() error {
	s.cmd = exec.Command(Binary(s.t), s.Args()...)
	s.cmd.Env = append(clean(os.Environ()), s.options.Env...)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.stdout.Reset()
	ready := make(chan struct{})
	s.exited = make(chan error, 1)
	go func() {
		said := sync.OnceFunc(func() { close(ready) })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(s.stdout, lines.Text())
			if lines.Text() == "ready" {
				said()
			}
		}
		s.exited <- s.cmd.Wait()
	}()
	select {
	case <-ready:
		s.Started = time.Since(begun)
		return nil
	case err := <-s.exited:
		s.exited = nil
		if err == nil {
			err = errors.New("it ended without an error")
		}
		return err
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("not ready after %v", patience), s.signal(syscall.SIGKILL))
	}
}

// Stop ends the server with SIGTERM, which must be clean: exit status 0.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("SIGTERM: %v\n%s", err, s.log)
	}
}

// Kill ends the server with SIGKILL, as a crash would.
func (s *Server) Kill() {
	s.t.Helper()
	var exit *exec.ExitError
	if err := s.signal(syscall.SIGKILL); !errors.As(err, &exit) {
		s.t.Errorf("SIGKILL: %v\n%s", err, s.log)
	}
}

// Signal sends sig and leaves the server to itself.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// Wait waits until the server has ended and returns how.
func (s *Server) Wait() error {
	select {
	case err := <-s.exited:
		s.exited = nil
		return err
	case <-time.After(patience):
		return fmt.Errorf("still running after %v", patience)
	}
}

func (s *Server) signal(sig syscall.Signal) error {
	if err := s.Signal(sig); err != nil {
		return err
	}
	return s.Wait()
}

// Running reports whether the process runs, as far as is known.
func (s *Server) Running() bool { return s.exited != nil }

// PID is the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is what all runs of the server wrote to standard error.
func (s *Server) Log() string { return s.log.String() }

// Stdout is what the last run of the server wrote to standard output.
func (s *Server) Stdout() string { return s.stdout.String() }

// Addr is the address of a listener: "http", "imaps" …
func (s *Server) Addr(name string) string {
	s.t.Helper()
	a := s.Env["PENNYPOST_"+strings.ToUpper(name)+"_ADDR"]
	if a == "" {
		s.t.Fatalf("the server does not listen for %s", name)
	}
	return a
}

// finish checks the store, stops the server, and shows its log where the test failed.
func (s *Server) finish() {
	if s.Running() {
		if !s.options.Unchecked {
			s.Check()
		}
		s.Stop()
	} else if !s.options.Unchecked && s.cmd != nil {
		s.Check()
	}
	if s.t.Failed() {
		s.showLog()
	}
}

// shownLines is how much of a server's log a failed test shows.
const shownLines = 25

// showLog keeps the whole log in a file, and shows its end.
func (s *Server) showLog() {
	lines := strings.SplitAfter(s.log.String(), "\n")
	path := filepath.Join(Root(), ".cache", "e2e", strings.ReplaceAll(s.t.Name(), "/", "-")+".log")
	if err := os.WriteFile(path, []byte(s.log.String()), 0o600); err != nil {
		s.t.Logf("the server's log can't be kept: %v", err)
	}
	s.t.Logf("the end of the server's log, which is whole in %s:\n%s", path, strings.Join(lines[max(0, len(lines)-shownLines):], ""))
}

// Check asks pennypost check, beside the running server or without one, and fails the test for every inconsistency.
func (s *Server) Check() {
	s.t.Helper()
	if r := s.Verb("check"); r.Status != 0 {
		s.t.Errorf("pennypost check: %s", r)
	}
}

// Result is how a command ended.
type Result struct {
	Status         int
	Stdout, Stderr string
}

func (r Result) String() string {
	return fmt.Sprintf("exit status %d\nstdout: %s\nstderr: %s", r.Status, r.Stdout, r.Stderr)
}

// Verb runs another verb of the binary on the server's data directory.
func (s *Server) Verb(args ...string) Result {
	s.t.Helper()
	args = append(slices.Clone(args), "--data", s.Dir)
	if args[0] != "env" && s.options.DatabaseURL != "" {
		args = append(args, "--database-url", s.options.DatabaseURL)
	}
	return Run(s.t, Command{Name: Binary(s.t), Args: args})
}

// Command is a program to run.
type Command struct {
	Name  string
	Args  []string
	Env   []string // beside the environment without anything of Pennypost or AWS
	Stdin string
	Dir   string
}

// Run runs a program to its end.
func Run(t testing.TB, c Command) Result {
	t.Helper()
	cmd := exec.Command(c.Name, c.Args...)
	cmd.Env = append(clean(os.Environ()), c.Env...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	cmd.Dir = c.Dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("%s: %v", c.Name, err)
		}
	case <-time.After(runTime):
		_ = cmd.Process.Kill() // reported as a failure in any case
		<-done
		t.Fatalf("%s %s: still running after %v\n%s%s", c.Name, strings.Join(c.Args, " "), runTime, &stdout, &stderr)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
