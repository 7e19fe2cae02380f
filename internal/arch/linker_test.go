package arch

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheLinkerDropsMethods: where the program can call methods by names that only it knows, as text/template does, the linker
// must keep every exported method of every type: six megabytes of program, three of an idle server's memory.
func TestTheLinkerDropsMethods(t *testing.T) {
	// The flags are those of scripts/build, so that little is compiled for this.
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-dumpdep", "-o", filepath.Join(t.TempDir(), "pennypost"), "../../cmd/pennypost")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 1000 {
		t.Fatalf("the linker did not say what depends on what:\n%s", out)
	}
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(l, "<ReflectMethod>") }); i >= 0 {
		t.Errorf("something in the program calls methods by name: %s", lines[i])
	}
}
