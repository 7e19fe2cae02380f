package blobtest

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/leash"
)

// moto is an S3 server that others wrote.
type moto struct {
	url   string
	leash *leash.Leash
}

var startMoto = sync.OnceValues(func() (*moto, error) {
	program, err := filepath.Abs("../../.cache/venv/bin/moto_server")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("the S3 tests need moto's server, which scripts/setup-test installs: %w", err)
	}
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", "0")
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	l, err := leash.Start(cmd, "KILL", "")
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	var said strings.Builder
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if at := regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`).FindStringSubmatch(lines.Text()); at != nil {
			go func() {
				for lines.Scan() { // until the server ends: its log must not fill the pipe
				}
			}()
			return &moto{at[1], l}, nil
		}
	}
	return nil, fmt.Errorf("moto's server did not start:\n%s", said.String())
})

var buckets atomic.Int64

// Moto returns the URL of an S3 server that others wrote, which takes any credentials and ends with this process.
func Moto(t testing.TB) string {
	t.Helper()
	m, err := startMoto()
	if err != nil {
		t.Fatal(err)
	}
	return m.url
}

// MotoBucket makes a bucket of that server's and returns its name.
func MotoBucket(t testing.TB) string {
	t.Helper()
	bucket := fmt.Sprintf("bucket%d", buckets.Add(1))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, Moto(t)+"/"+bucket, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("make the bucket: %s", res.Status)
	}
	return bucket
}
