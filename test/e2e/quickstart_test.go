package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pennypost/pennypost/test/harness"
)

// TestQuickStart runs the quick start of README.md as it is written there, in two terminals. Only two things differ from a
// newcomer's machine: the clone comes from this checkout, and the ports are free ones, as others may be in use.
func TestQuickStart(t *testing.T) {
	blocks := quickStart(t)
	home := t.TempDir()
	env := append(os.Environ(),
		"PATH="+filepath.Dir(harness.Tool(t, "aws"))+string(os.PathListSeparator)+os.Getenv("PATH"),
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+harness.Root()+".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/pennypost/pennypost",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	)
	for _, name := range []string{"HTTP", "HTTPS", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "MANAGESIEVE"} {
		env = append(env, "PENNYPOST_"+name+"=127.0.0.1:0")
	}
	output := &strings.Builder{}
	server := exec.Command("sh", "-e", "-c", blocks[0])
	server.Dir, server.Env = home, env
	server.Stderr = output
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	go func() { ready <- sawLine(out, "ready") }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGTERM) // make and the server alike, as Ctrl-C in a terminal
		_ = server.Wait()                                      // make reports the signal as a failure
	}
	defer stop()
	select {
	case ok := <-ready:
		if !ok {
			stop()
			t.Fatalf("the first terminal ended before ready:\n%s", output)
		}
	case <-time.After(5 * time.Minute):
		stop()
		t.Fatalf("the first terminal does not say ready:\n%s", output)
	}
	second := exec.Command("sh", "-e", "-c", blocks[1])
	second.Dir, second.Env = filepath.Join(home, "pennypost"), env
	said, err := second.CombinedOutput()
	if err != nil {
		t.Fatalf("the second terminal: %v\n%s", err, said)
	}
	for _, want := range []string{"Subject: Hello", "It works.", `"UserId": "`} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the second terminal does not show %q:\n%s", want, said)
		}
	}
	stop()
	if r := harness.Run(t, harness.Command{
		Name: filepath.Join(home, "pennypost", "bin", "pennypost"), Args: []string{"check", "--data", filepath.Join(home, "pennypost", "data")},
	}); r.Status != 0 {
		t.Errorf("check afterwards: %s", r)
	}
}

// quickStart returns the two shell blocks of the README's quick start.
func quickStart(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Quick start\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, m[1])
	}
	if !found || len(blocks) != 2 {
		t.Fatalf("README.md's quick start has %d blocks of shell, want one for each of two terminals", len(blocks))
	}
	return blocks
}
