package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestExportToABucket lets Python's own modules and boto3 make a mailbox, export it to an S3 server that others wrote, and compare
// the zip with what IMAP shows: StartMailboxExportJob and its effect. The export is cancelled in the middle once
// (CancelMailboxExportJob), and the next is killed in the middle, meets a store that is down, and goes on.
func TestExportToABucket(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		store := newStore(t)
		dir, bucket := t.TempDir(), blobtest.MotoBucket(t)
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		secret := write("secret", "test\n")
		config := write("pennypost.toml", `allowed_networks = "127.0.0.1"
[export_bucket.archive]
url = "s3://`+bucket+`/kept?endpoint=`+store.URL+`&path_style=true&region=us-east-1"
access_key_id = "test"
secret_access_key_file = "`+secret+`"
`)
		s := harness.Start(t, harness.Options{DatabaseURL: database, Flags: []string{"--config", config}})
		text, err := json.Marshal(map[string]string{"s3": blobtest.Moto(t), "bucket": bucket, "prefix": "kept/"})
		if err != nil {
			t.Fatal(err)
		}
		state := write("state.json", string(text))
		step := func(name string) {
			t.Helper()
			r := harness.Run(t, harness.Command{
				Name: harness.Tool(t, "python"), Args: []string{"export.py", name, state}, Dir: filepath.Join(harness.Root(), "test", "python"),
				Env: append(s.Exports(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1"),
			})
			if r.Status != 0 {
				t.Fatalf("%s: %s", name, r)
			}
		}
		step("furnish")

		store.holdAt("partNumber=3")
		step("start")
		<-store.held
		step("cancel")

		store.holdAt("partNumber=4")
		step("start")
		<-store.held
		step("running")
		s.Kill()
		store.holdAt("")
		store.failing(3)
		s.Start()
		step("check")
		if store.left() != 0 {
			t.Errorf("the store was to fail %d times more", store.left())
		}
	})
}

// store stands in front of moto's server, and breaks when it is told to.
type store struct {
	*httptest.Server
	held chan struct{} // a request is held

	mu      sync.Mutex
	hold    string // guarded by mu, as the next are
	release context.CancelFunc
	until   context.Context
	fails   int
}

func newStore(t *testing.T) *store {
	t.Helper()
	moto, err := url.Parse(blobtest.Moto(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &store{held: make(chan struct{}, 100)}
	s.holdAt("")
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(moto); r.Out.Host = r.In.Host }}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		hold, until := s.hold != "" && strings.Contains(r.URL.RawQuery, s.hold), s.until
		fail := s.fails > 0
		if fail {
			s.fails--
		}
		s.mu.Unlock()
		if fail {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if hold {
			s.held <- struct{}{}
			select {
			case <-until.Done():
			case <-r.Context().Done():
			}
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { s.holdAt(""); s.Close() })
	return s
}

// holdAt holds requests with the text in their query, and lets go of those that were held before.
func (s *store) holdAt(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.release != nil {
		s.release()
	}
	s.hold = query
	s.until, s.release = context.WithCancel(context.Background())
}

// failing lets the next requests fail.
func (s *store) failing(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = n
}

func (s *store) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fails
}
