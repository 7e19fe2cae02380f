package arch

import (
	"os"
	"strings"
	"testing"
)

// TestEveryDependencyHasItsLine: a module that go.mod requires for us stands in docs/dependencies.md, with what it is for.
func TestEveryDependencyHasItsLine(t *testing.T) {
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	required, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(required)) {
		path, version, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "require ")), " ")
		if !strings.HasPrefix(version, "v") || strings.Contains(version, "// indirect") {
			continue
		}
		found++
		// The parts of the AWS SDK stand behind the whole.
		part := strings.TrimPrefix(path, "github.com/aws/aws-sdk-go-v2/")
		if !strings.Contains(string(page), "`"+part) {
			t.Errorf("docs/dependencies.md does not say what %s is for", path)
		}
	}
	if found == 0 {
		t.Error("go.mod was not understood")
	}
}
