package sdk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// answer is what a client made of one call.
type answer struct {
	Output object `json:"output"`
	// Error is the code of an exception, and Type the client's own type for it, without its package.
	Error   string `json:"error"`
	Type    string `json:"type"`
	Message string `json:"message"`
}

// client calls operations of the API.
type client struct {
	name string
	call func(t *testing.T, operation string, in object) answer
	// absentIsEmpty says that the SDK shows an absent member as an empty one.
	absentIsEmpty bool
}

// process is a client in a language of its own: a program that reads a call a line and writes an answer a line.
func process(t *testing.T, s *harness.Server, name string, absentIsEmpty bool, program string, args ...string) client {
	t.Helper()
	cmd := exec.Command(program, args...)
	// Whatever else the test's environment says of AWS was left out by the harness.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "AWS_") }), s.Exports()...)
	cmd.Env = append(cmd.Env, "PYTHONDONTWRITEBYTECODE=1", "NO_COLOR=1")
	cmd.Dir = filepath.Join(harness.Root(), "test")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, out) // so that it can end
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended badly: %v\n%s", name, err, &complaints)
		}
	})
	lines := bufio.NewReader(out)
	return client{name: name, absentIsEmpty: absentIsEmpty, call: func(t *testing.T, operation string, input object) answer {
		t.Helper()
		request, err := json.Marshal(object{"call": operation, "input": input})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(in, "%s\n", request); err != nil {
			t.Fatalf("%s does not listen: %v\n%s", name, err, &complaints)
		}
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%s does not answer: %v\n%s", name, err, &complaints)
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("%s answered %s: %v", name, line, err)
		}
		return a
	}}
}
