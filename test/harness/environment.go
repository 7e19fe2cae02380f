package harness

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// evaluated lets a POSIX shell evaluate what pennypost env printed, and returns what it exports.
func evaluated(t testing.TB, lines string) map[string]string {
	t.Helper()
	// The NUL ends a value: what is quoted may hold line ends.
	r := Run(t, Command{Name: "sh", Args: []string{"-c", `eval "$1" && env -0`, "sh", lines}, Env: []string{"PATH=/usr/bin:/bin"}})
	if r.Status != 0 {
		t.Fatalf("eval: %s", r)
	}
	env := map[string]string{}
	for entry := range strings.SplitSeq(r.Stdout, "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "PENNYPOST_") {
			env[name] = value
		}
	}
	return env
}

// Exports is Env as NAME=value, for a client's environment. AWS clients are kept from asking the network for credentials,
// and from reading this user's configuration; boto3 and the AWS CLI find the model of our own operations.
func (s *Server) Exports() []string {
	out := []string{"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=", "AWS_DATA_PATH=" + filepath.Join(Root(), "docs", "models")}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		out = append(out, name+"="+s.Env[name])
	}
	return out
}

// clean leaves out of an environment what would reach the server or a client by accident.
func clean(env []string) []string {
	return slices.DeleteFunc(env, func(entry string) bool {
		return strings.HasPrefix(entry, "AWS_") || strings.HasPrefix(entry, "PENNYPOST_")
	})
}

// buffer is a bytes.Buffer that a process writes while a test reads.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Reset()
}

func wrap(err error, detail string) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w\n%s", err, detail)
	}
	return err
}
