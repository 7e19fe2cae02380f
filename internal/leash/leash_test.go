package leash

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestTheServerEndsWithItsLeash(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "cleaned")
	cmd := exec.Command("/bin/sh", "-c", `echo $$; trap "" TERM INT; while :; do sleep 60; done`)
	cmd.Env = append(os.Environ(), "MARK="+mark)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Start(cmd, "KILL", `touch "$MARK"`)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join("/proc", strings.TrimSpace(pid))); err == nil {
		t.Errorf("process %s lives on", pid)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error("the cleanup did not run:", err)
	}
}

func TestAMissingProgram(t *testing.T) {
	if _, err := Start(exec.Command("no-such-program-anywhere"), "KILL", ""); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestNobodyGetsAPortTwice(t *testing.T) {
	var taken sync.Map
	var everyone sync.WaitGroup
	for range 10 {
		everyone.Go(func() {
			for range 50 {
				port, err := FreePort()
				if err != nil {
					t.Error(err)
					return
				}
				if _, again := taken.LoadOrStore(port, true); again {
					t.Errorf("port %d was given twice", port)
				}
			}
		})
	}
	everyone.Wait()
}
