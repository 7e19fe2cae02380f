package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account is the system user a peer runs as.
type account struct {
	name, group string
	uid, gid    int
	other       bool // not the one who runs the benchmark
}

// unprivileged is nobody when the benchmark is run by root, since mail servers refuse to keep mail as root, and whoever
// runs it otherwise.
func unprivileged() (account, error) {
	who, err := user.Current()
	if err == nil && who.Uid == "0" {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return account{}, fmt.Errorf("find a user to run the peers as: %w", err)
	}
	group, err := user.LookupGroupId(who.Gid)
	if err != nil {
		return account{}, fmt.Errorf("find the group of %s: %w", who.Username, err)
	}
	uid, uidErr := strconv.Atoi(who.Uid)
	gid, gidErr := strconv.Atoi(who.Gid)
	return account{who.Username, group.Name, uid, gid, uid != os.Getuid()}, errors.Join(uidErr, gidErr)
}

// give makes the account the owner of a directory and what is in it.
func (a account) give(dir string) error {
	if !a.other {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, a.uid, a.gid)
	})
}

// command is exec.CommandContext as the account.
func (a account) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{}
	if a.other {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return c
}

// run runs a program to its end and gives back what it printed.
func (a account) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	out, err := a.command(ctx, dir, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(program), err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// process is a running server.
type process struct {
	cmd   *exec.Cmd
	log   string        // where its output goes
	ended chan struct{} // closed when it has ended, with err set
	err   error
}

// launch starts a server whose output is added to the file log. The server is asked to end when the thread that started
// it does, so that nothing is left running by a benchmark that was killed: the caller's goroutine must be locked to a
// thread that lives as long.
func launch(c *exec.Cmd, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr.Setpgid = true
	c.SysProcAttr.Pdeathsig = syscall.SIGTERM
	startErr := c.Start()
	if err := errors.Join(startErr, out.Close()); err != nil {
		return nil, err
	}
	p := &process{cmd: c, log: log, ended: make(chan struct{})}
	go func() { // ends with the process, which stop waits for
		p.err = c.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end, and makes it and the rest of its group end when it takes too long.
func (p *process) stop(ctx context.Context) error {
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
	}
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
	return errors.Join(fmt.Errorf("process %d did not end on SIGTERM and was killed", p.cmd.Process.Pid), err)
}

// lastWords are the end of its log.
func (p *process) lastWords() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-2000):]))
}

// copyProgram copies a program to where the user it runs as may read it. It is also what makes the memory of two of them comparable:
// Linux maps a file's large folios whole, and how the file was written decides how large they are (as one writes 32 KiB or 1 MiB at a
// time, the same idle server has 30 or 38 MB).
func copyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // was only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close() // the copy's error says more
		return err
	}
	return out.Close()
}

// memory sums the PSS of the process and all its descendants.
func (p *process) memory() (int64, error) {
	children, err := processTree()
	if err != nil {
		return 0, err
	}
	var sum int64
	queue := []int{p.cmd.Process.Pid}
	for len(queue) > 0 {
		pid := queue[0]
		queue = append(queue[1:], children[pid]...)
		n, err := pss(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended since
		}
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// processTree lists the children of every process.
func processTree() (map[int][]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended since
		}
		// pid (name) state ppid …, where the name may hold anything
		_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		pid, pidErr := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parent, parentErr := strconv.Atoi(fields[1])
		if err := errors.Join(pidErr, parentErr); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		children[parent] = append(children[parent], pid)
	}
	return children, nil
}

// pss is the proportional set size of one process in bytes.
func pss(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss in smaps_rollup of process %d", pid)
}
