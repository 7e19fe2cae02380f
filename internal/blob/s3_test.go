package blob_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/internal/fault"
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

func s3(t *testing.T, prefix string) (blob.Store, string) {
	t.Helper()
	m, err := startMoto()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // must not matter
	bucket := fmt.Sprintf("bucket%d", buckets.Add(1))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, m.url+"/"+bucket, nil)
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
	u := "s3://" + bucket + prefix + "?" + url.Values{"endpoint": {m.url}, "region": {"us-east-1"}, "path_style": {"true"}}.Encode()
	s, err := blob.New(t.Context(), blob.Options{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	return s, u
}

func TestS3(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { s, _ := s3(t, ""); return s })
}

func TestS3WithPrefix(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { s, _ := s3(t, "/mail/bodies/"); return s })
}

func TestABucketThatIsNotThere(t *testing.T) {
	_, u := s3(t, "")
	_, err := blob.New(t.Context(), blob.Options{URL: strings.Replace(u, "s3://bucket", "s3://other", 1)})
	if err == nil || !strings.Contains(err.Error(), "bucket other") {
		t.Errorf("New: %v, want an error that names the bucket", err)
	}
}

func TestAStoreThatWentAway(t *testing.T) {
	s, _ := s3(t, "")
	if err := s.Put(t.Context(), "m/a", strings.NewReader("a")); err != nil {
		t.Fatal(err)
	}
	// The bucket goes while the server runs: as a revoked permission does, it must be a fault and not a missing blob.
	m, err := startMoto()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.url+"/moto-api/reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if err := s.Put(t.Context(), "m/b", strings.NewReader("b")); fault.KindOf(err) != fault.Temporary {
		t.Errorf("Put: %v, want a temporary fault", err)
	}
	if _, err := s.Open(t.Context(), "m/a", 0, -1); fault.KindOf(err) != fault.Temporary {
		t.Errorf("Open: %v, want a temporary fault", err)
	}
}
