package blobtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for _, err = os.Stat(filepath.Join(root, "go.mod")); err != nil && root != filepath.Dir(root); _, err = os.Stat(filepath.Join(root, "go.mod")) {
		root = filepath.Dir(root)
	}
	program := filepath.Join(root, ".cache", "venv", "bin", "moto_server")
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

// anybody is an Authorization that satisfies that server, for a service.
const anybody = "AWS4-HMAC-SHA256 Credential=test/20261126/us-east-1/%s/aws4_request, SignedHeaders=host, Signature=0"

// Moto returns the URL of an S3 server that others wrote, which takes any credentials and ends with this process.
func Moto(t testing.TB) string {
	t.Helper()
	m, err := startMoto()
	if err != nil {
		t.Fatal(err)
	}
	return m.url
}

// MotoQueue makes an SQS queue of that server's, which gives messages again after so many seconds, and returns its URL.
func MotoQueue(t testing.TB, again int) string {
	t.Helper()
	body := fmt.Sprintf(`{"QueueName": "queue%d", "Attributes": {"VisibilityTimeout": "%d"}}`, buckets.Add(1), again)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, Moto(t), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AmazonSQS.CreateQueue")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("Authorization", fmt.Sprintf(anybody, "sqs"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var made struct{ QueueUrl string }
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil || made.QueueUrl == "" {
		t.Fatalf("make the queue: %s, %v", res.Status, err)
	}
	return made.QueueUrl
}

// MotoObjects counts the objects of a bucket of that server's with a prefix, a thousand at most.
func MotoObjects(t testing.TB, bucket, prefix string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, Moto(t)+"/"+bucket+"?list-type=2&prefix="+prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("list the bucket: %s, %v", res.Status, err)
	}
	return strings.Count(string(text), "<Contents>")
}

// MotoBucket makes a bucket of that server's and returns its name.
func MotoBucket(t testing.TB) string {
	t.Helper()
	bucket := fmt.Sprintf("bucket%d", buckets.Add(1))
	motoPut(t, bucket, nil)
	return bucket
}

// MotoVersions makes a bucket of that server's keep versions.
func MotoVersions(t testing.TB, bucket string) {
	t.Helper()
	motoPut(t, bucket+"?versioning", []byte(`<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`))
}

// MotoObject puts an object into a bucket of that server's, and returns its version where those are kept.
func MotoObject(t testing.TB, bucket, key string, body []byte) string {
	t.Helper()
	return motoPut(t, bucket+"/"+key, body).Get("X-Amz-Version-Id")
}

func motoPut(t testing.TB, path string, body []byte) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, Moto(t)+"/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", fmt.Sprintf(anybody, "s3"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("put %s: %s", path, res.Status)
	}
	return res.Header
}
