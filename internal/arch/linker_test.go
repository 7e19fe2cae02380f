package arch

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWhatTheProgramHolds asks the linker.
//
// Where the program can call methods by names that only it knows, as text/template does, the linker must keep every exported method of
// every type: six megabytes of program, three of an idle server's memory.
//
// A package with something to do at the start, as for a variable that a call or a map makes, costs every start that, and keeps what stands
// around it in the program in memory: all of ours together cost more than a megabyte. Package lazy has a way without.
func TestWhatTheProgramHolds(t *testing.T) {
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
	for _, l := range lines {
		from, to, _ := strings.Cut(l, " -> ")
		path, isTask := strings.CutSuffix(from, "..inittask")
		if isTask && (path == "main" || strings.HasPrefix(path, module)) && path != module+"internal/stack" {
			t.Errorf("%s does something at the start: %s", path, to)
		}
	}
}
