package blob_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/internal/fault"
)

func s3(t *testing.T, prefix string) (blob.Store, string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // must not matter
	bucket := blobtest.MotoBucket(t)
	u := "s3://" + bucket + prefix + "?" + url.Values{"endpoint": {blobtest.Moto(t)}, "region": {"us-east-1"}, "path_style": {"true"}}.Encode()
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
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, blobtest.Moto(t)+"/moto-api/reset", nil)
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
