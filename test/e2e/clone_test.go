package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pennypost/pennypost/test/harness"
)

// clone makes a clean clone of what is committed.
func clone(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pennypost")
	r := harness.Run(t, harness.Command{Name: "git", Args: []string{"clone", "-q", "--no-hardlinks", harness.Root(), dir}})
	if r.Status != 0 {
		t.Fatalf("git clone: %s", r)
	}
	return dir
}

// withoutCompiler is a PATH with the programs named and no C compiler.
func withoutCompiler(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range programs {
		r := harness.Run(t, harness.Command{Name: "sh", Args: []string{"-c", `command -v "$1"`, "sh", p}})
		if r.Status != 0 {
			t.Fatalf("there is no %s", p)
		}
		if err := os.Symlink(strings.TrimSpace(r.Stdout), filepath.Join(dir, p)); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + dir
}

// TestCleanCloneBuilds builds what is committed with nothing but Go.
func TestCleanCloneBuilds(t *testing.T) {
	dir := clone(t)
	goRoot := harness.Run(t, harness.Command{Name: "go", Args: []string{"env", "GOROOT"}})
	path := withoutCompiler(t, "git", "sh")
	r := harness.Run(t, harness.Command{
		Name: filepath.Join(strings.TrimSpace(goRoot.Stdout), "bin", "go"), Args: []string{"build", "./cmd/pennypost"}, Dir: dir, Env: []string{path},
	})
	if r.Status != 0 {
		t.Fatalf("go build ./cmd/pennypost: %s", r)
	}
	if r := harness.Run(t, harness.Command{Name: filepath.Join(dir, "pennypost"), Args: []string{"version"}}); r.Status != 0 {
		t.Errorf("the built program: %s", r)
	}
	if r := harness.Run(t, harness.Command{Name: "git", Args: []string{"status", "--porcelain"}, Dir: dir}); r.Stdout != "?? pennypost\n" && r.Stdout != "" {
		t.Errorf("the build changed the tree: %s", r)
	}
}

// TestOldGoGetsOneSentence runs the build with a go command that says it is old, and without any.
func TestOldGoGetsOneSentence(t *testing.T) {
	for name, script := range map[string]string{
		"older than toolchains": "#!/bin/sh\ncase $1 in version) echo 'go version go1.19.8 linux/amd64' ;; *) echo 'go: errors parsing go.mod' >&2; exit 1 ;; esac\n",
		"closed network":        "#!/bin/sh\ncase $1 in version) echo 'go version go1.24.1 linux/amd64' ;; *) echo 'go: download failed' >&2; exit 1 ;; esac\n",
		"none":                  "",
	} {
		t.Run(name, func(t *testing.T) {
			path := withoutCompiler(t, "sh", "sed", "sort", "head", "dirname", "make")
			if script != "" {
				if err := os.WriteFile(filepath.Join(strings.TrimPrefix(path, "PATH="), "go"), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, target := range []string{"build", "test"} {
				r := harness.Run(t, harness.Command{Name: "make", Args: []string{"-s", target}, Dir: harness.Root(), Env: []string{path}})
				lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
				if r.Status == 0 || !strings.Contains(lines[0], "Pennypost needs Go 1.26") {
					t.Errorf("make %s: %s", target, r)
				}
				for _, line := range lines[1:] {
					if !strings.HasPrefix(line, "make") {
						t.Errorf("make %s says more than one sentence: %q", target, line)
					}
				}
			}
		})
	}
}

// TestSetupTellsWhoIsNotRoot runs the set-up as a user who may not install anything, on a machine that lacks everything, while another set-up of
// this checkout works: it waits for that one, and says so.
func TestSetupTellsWhoIsNotRoot(t *testing.T) {
	path := withoutCompiler(t, "sh", "sed", "sort", "head", "dirname", "mkdir", "flock")
	dir := strings.TrimPrefix(path, "PATH=")
	for name, script := range map[string]string{
		"go": "#!/bin/sh\necho 'go version go1.99.0 linux/amd64'\n",
		"id": "#!/bin/sh\necho 1000\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	other, err := os.Create(filepath.Join(harness.Root(), ".cache", "setup-test.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	setup := exec.Command(filepath.Join(harness.Root(), "scripts", "setup-test"))
	setup.Env = []string{path}
	said, err := setup.StderrPipe()
	if err == nil {
		err = setup.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	if !lines.Scan() || lines.Text() != "waiting for another scripts/setup-test here to end" {
		t.Errorf("beside another set-up it says %q", lines.Text())
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	var rest []string
	for lines.Scan() {
		rest = append(rest, strings.TrimSpace(lines.Text()))
	}
	if err := setup.Wait(); err == nil || setup.ProcessState.ExitCode() != 1 || len(rest) != 2 {
		t.Fatalf("setup-test ends with %v and says %q", err, rest)
	}
	command := rest[1]
	if !strings.HasPrefix(command, "sudo sh -c 'apt-get update && apt-get install ") {
		t.Errorf("the command is %q", command)
	}
	for _, p := range []string{" gcc ", " python3 ", " python3-venv ", " swaks ", " isync ", " curl ", " maven"} {
		if !strings.Contains(command, p) {
			t.Errorf("the command lacks %q: %s", p, command)
		}
	}
}
