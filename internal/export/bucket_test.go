package export

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/fault"
)

const testKey = "arn:aws:kms:us-east-1:111122223333:key/1"

func s3URL(t *testing.T, bucket string) string {
	t.Helper()
	return "s3://" + bucket + "/in/it?" + url.Values{"endpoint": {blobtest.Moto(t)}, "path_style": {"true"}, "region": {"us-east-1"}}.Encode()
}

// TestBuckets holds both kinds of buckets to the same.
func TestBuckets(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_SESSION_TOKEN", "")
	for name, of := range map[string]Bucket{"directory": {URL: "file://" + t.TempDir()}, "s3": {URL: s3URL(t, blobtest.MotoBucket(t))}} {
		t.Run(name, func(t *testing.T) {
			b, err := of.open(anywhere(), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			ctx, path := t.Context(), "a/b (c)!/job.zip"
			upload, err := b.begin(ctx, path, testKey)
			if err != nil {
				t.Fatal(err)
			}
			const size = 5 << 20 // the least that S3 takes
			put := func(part int, with byte, n int) string {
				t.Helper()
				etag, err := b.put(ctx, path, upload, part, int64(part-1)*size, bytes.NewReader(bytes.Repeat([]byte{with}, n)), int64(n))
				if err != nil {
					t.Fatal(err)
				}
				return etag
			}
			put(1, 'x', size)
			put(3, 'x', size) // an attempt before came further
			first, second := put(1, 'a', size), put(2, 'b', 100)
			if _, err := b.size(ctx, path); !errors.Is(err, errGone) {
				t.Errorf("before its time the object is there: %v", err)
			}
			if err := b.complete(ctx, path, upload, []string{first, second}, size+100); err != nil {
				t.Fatal(err)
			}
			if n, err := b.size(ctx, path); n != size+100 || err != nil {
				t.Errorf("the object has %d bytes, %v", n, err)
			}
			// Some stores say yes again, as Amazon's does for a while.
			if err := b.complete(ctx, path, upload, []string{first, second}, size+100); err != nil && !errors.Is(err, errGone) {
				t.Errorf("completed again: %v", err)
			}
			if _, err := b.put(ctx, path, upload, 1, 0, bytes.NewReader(nil), 0); err == nil {
				t.Error("a part of what is completed was taken")
			}
			// One that nobody noted, and one that is known.
			if _, err := b.begin(ctx, "left.zip", testKey); err != nil {
				t.Fatal(err)
			}
			known, err := b.begin(ctx, "left.zip", testKey)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := errors.Join(b.abort(ctx, "left.zip", known), b.remove(ctx, path)); err != nil {
					t.Error(err)
				}
			}
			if _, err := b.put(ctx, "left.zip", known, 1, 0, bytes.NewReader(nil), 0); err == nil {
				t.Error("a part of what is aborted was taken")
			}
			if s, ok := b.(*s3Bucket); ok {
				left, err := s.client.ListMultipartUploads(ctx, s.name, "", "", "", "", 10)
				if err != nil || len(left.Uploads) != 0 {
					t.Errorf("uploads are left: %+v, %v", left.Uploads, err)
				}
			}
			if _, err := b.size(ctx, path); !errors.Is(err, errGone) {
				t.Errorf("the removed object is there: %v", err)
			}
		})
	}
}

func TestWhatS3Says(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	begin := func(url string, d *dial.Dialer) error {
		b, err := Bucket{URL: url}.open(d, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.begin(t.Context(), "x.zip", testKey)
		return err
	}
	if refused, ok := errors.AsType[*refusal](begin(s3URL(t, "no-such-bucket"), anywhere())); !ok || !strings.Contains(refused.text, "NoSuchBucket") {
		t.Errorf("a bucket that is not there: %v", refused)
	}
	if err := begin("s3://b?endpoint=http://127.0.0.1:1&path_style=true", anywhere()); err == nil || errors.As(err, new(*refusal)) {
		t.Errorf("a store that is down: %v", err)
	}
}

// anywhere is a dialer to wherever the tests' servers are.
func anywhere() *dial.Dialer {
	return dial.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
}

// TestPrivateEndpointsAreRefused names addresses of the server's own network as the endpoint, and the store of the tests by a name too;
// a redirect is not followed at all.
func TestPrivateEndpointsAreRefused(t *testing.T) {
	moto, err := url.Parse(blobtest.Moto(t))
	if err != nil {
		t.Fatal(err)
	}
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inner server was reached") }))
	t.Cleanup(inner.Close)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inner.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(outer.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	const refused = "has not allowed it"
	for endpoint, c := range map[string]struct{ allowed, says string }{
		moto.String():                     {"10.0.0.0/8", refused},
		"http://localhost:" + moto.Port(): {"10.0.0.0/8", refused},
		"http://[::1]:" + moto.Port():     {"127.0.0.0/8", refused},
		"http://10.1.2.3":                 {"127.0.0.0/8", refused},
		"https://192.168.1.1":             {"127.0.0.0/8", refused},
		"http://169.254.169.254":          {"127.0.0.0/8", refused},
		outer.URL:                         {"127.0.0.0/8", "HTTP status 307"},
	} {
		b, err := Bucket{URL: "s3://bucket?path_style=true&region=us-east-1&endpoint=" + endpoint}.open(dial.New(nil, []netip.Prefix{netip.MustParsePrefix(c.allowed)}), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.begin(t.Context(), "x.zip", testKey)
		if said, ok := errors.AsType[*refusal](err); !ok || !strings.Contains(said.text, c.says) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestNothingOutsideOfADirectory(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	b, err := Bucket{URL: "file://" + dir}.open(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"link/x.zip", "../x.zip", filepath.Join(outside, "x.zip")} {
		if _, err := b.begin(t.Context(), path, ""); err == nil {
			t.Errorf("%s was begun", path)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside are %v, %v", entries, err)
	}
	long := strings.Repeat("x", 300) + "/x.zip"
	if _, err := b.begin(t.Context(), long, ""); !errors.As(err, new(*refusal)) {
		t.Errorf("a name that is too long: %v", err)
	}
	if _, err := (directoryBucket{filepath.Join(dir, "unmounted")}).begin(t.Context(), "x.zip", ""); err == nil || errors.As(err, new(*refusal)) || errors.Is(err, errGone) {
		t.Errorf("a directory that isn't there: %v", err)
	}
}

func TestBucketSettings(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(" s \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bucket Bucket
		says   string
	}{
		{Bucket{URL: "s3://b/p"}, ""},
		{Bucket{URL: "s3://b/p?endpoint=https://h:9000", AccessKeyID: "K", SecretAccessKeyFile: secret, Encryption: "none"}, ""},
		{Bucket{URL: "file:///x"}, ""},
		{Bucket{URL: "file:///x", Organizations: []string{"m-0123456789abcdef0123456789abcdef"}}, ""},
		{Bucket{URL: "file:///x", Organizations: []string{"acme"}}, "organizations"},
		{Bucket{URL: "file://x"}, "file:///directory"},
		{Bucket{URL: "file:///x", AccessKeyID: "K"}, "file:///directory"},
		{Bucket{URL: "ftp://x"}, "neither"},
		{Bucket{}, "neither"},
		{Bucket{URL: "s3://b", Encryption: "aes"}, "encryption"},
		{Bucket{URL: "s3://b", AccessKeyID: "K"}, "together"},
		{Bucket{URL: "s3://b", AccessKeyID: "K", SecretAccessKeyFile: secret + "x"}, "secret_access_key_file"},
		{Bucket{URL: "s3://b?end=x"}, "unknown parameter"},
	} {
		if _, err := c.bucket.open(dial.New(nil, nil), 1<<20); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.bucket, err, c.says)
		}
	}
}

// TestObjects are read whole from buckets of both kinds, and by nobody else's organisation; why one is not, its caller can read.
func TestObjects(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_SESSION_TOKEN", "")
	name, dir := blobtest.MotoBucket(t), t.TempDir()
	s3 := "?path_style=true&region=us-east-1&endpoint="
	s, err := New(Config{Dialer: anywhere(), MaxObject: s3Answer + 10, Buckets: map[string]Bucket{
		"s3": {URL: "s3://" + name + "/in" + s3 + blobtest.Moto(t), Functions: true}, "dir": {URL: "file://" + dir, Organizations: []string{mine}},
		"theirs": {URL: "file://" + dir, Organizations: []string{other}, Functions: true}, "exports": {URL: "file://" + dir},
		"none": {URL: "s3://not-there" + s3 + blobtest.Moto(t), Functions: true}, "down": {URL: "s3://bucket" + s3 + "http://127.0.0.1:1", Functions: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", s3Answer+10)
	for key, text := range map[string]string{"a/small": "text", "a/large": large, "a/larger": large + "x"} {
		if _, err := s.buckets["s3"].(*s3Bucket).client.Client.PutObject(t.Context(), name, "in/"+key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a"), 0o700), os.WriteFile(filepath.Join(dir, key), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"s3", "dir"} {
		for key, want := range map[string]string{"a/small": "text", "a/large": large} {
			if got, err := s.Object(t.Context(), mine, bucket, key, ""); string(got) != want || err != nil {
				t.Errorf("%s of %s has %d bytes, %v", key, bucket, len(got), err)
			}
		}
		if _, err := s.Object(t.Context(), mine, bucket, "a/larger", ""); !fault.Is(err, fault.TooLarge, fault.Location) {
			t.Errorf("of %s: %v", bucket, err)
		}
		for _, key := range []string{"b", "a", "/a/small", "a//b", "pipe"} {
			if _, err := s.Object(t.Context(), mine, bucket, key, ""); !fault.Is(err, fault.Invalid, fault.Location) {
				t.Errorf("%s of %s: %v", key, bucket, err)
			}
		}
		if _, err := s.Object(t.Context(), mine, bucket, "a/small", "00000000-0000-0000-0000-000000000000"); !fault.Is(err, fault.Invalid, fault.Location) {
			t.Errorf("a version of %s: %v", bucket, err)
		}
	}
	for bucket, says := range map[string]string{
		"theirs": "is none that this server reads for organization " + mine, "nowhere": "is none that this server reads", "exports": "with the organization or functions = true",
		"none": "can't be read: the bucket refused it: NoSuchBucket", "down": "can't be read now",
	} {
		if _, err := s.Object(t.Context(), mine, bucket, "a/small", ""); !fault.Is(err, fault.Invalid, fault.Location) || !strings.Contains(fault.As(err).Message, says) {
			t.Errorf("%s: %v", bucket, err)
		}
	}
}

const mine, other = "m-00000000000000000000000000000001", "m-00000000000000000000000000000002"
