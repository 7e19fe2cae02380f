package leash

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Kill starts this test program once more, with more in its environment, hands each line that it says to said, and kills it when that has
// heard enough. What is said before the death is heard, too. A program that ends by itself fails the test.
func Kill(t testing.TB, said func(line string) (enough bool), environment ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said(lines.Text()) && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // its state tells
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !killed || !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended by itself: %v", cmd.ProcessState)
	}
}
