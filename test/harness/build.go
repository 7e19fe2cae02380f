package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Root is the folder of the project: go test runs a package's tests in its own folder, below it.
func Root() string { return root() }

var root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic("harness: " + err.Error())
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		} else if d == filepath.Dir(d) {
			panic("harness: " + dir + " is not in the project")
		}
	}
})

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(Root(), ".cache", "e2e", "pennypost")
	// Another package's tests may be starting the one that is there: it is replaced in one step.
	next := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", "build", "-trimpath", "-o", next, "./cmd/pennypost")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", wrap(err, string(out))
	}
	return path, os.Rename(next, path)
})

// Binary builds the server, once for all tests of the process, and returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("go build ./cmd/pennypost: %v", err)
	}
	return path
}

// Tool returns the path of a program that scripts/setup-test installs into .cache/venv/bin, or of one on the PATH.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(), ".cache", "venv", "bin", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil || strings.HasPrefix(name, "python") {
		t.Fatalf("%s is not installed: run scripts/setup-test (make test does)", name)
	}
	return path
}
