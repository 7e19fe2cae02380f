package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport"
)

// settings returns settings on free ports with the data directory dir.
func settings(t *testing.T, dir string, more ...string) *config.Config {
	t.Helper()
	values := map[string]string{"data": dir, "hostname": "mail.example"}
	for _, l := range []string{"http", "https", "smtp", "submission", "submissions", "imap", "imaps", "managesieve", "metrics"} {
		values[l] = "127.0.0.1:0"
	}
	for i := 0; i < len(more); i += 2 {
		values[more[i]] = more[i+1]
	}
	c, err := config.Load(config.Sources{Flag: func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var quiet = slog.New(slog.DiscardHandler)

// start runs a server until the returned function is called, or the test ends.
func start(t *testing.T, c *config.Config, o Options) (*Server, func()) {
	t.Helper()
	o.Log = quiet
	s, err := New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	stopped := false
	stop := func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server stopped with an error: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("the server did not start: %v", err)
	}
	return s, stop
}

func TestSecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, settings(t, dir), Options{})
	_, err := New(t.Context(), settings(t, dir), Options{Log: quiet})
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second server on the directory: %v", err)
	}
	if _, err := Inspect(t.Context(), dir, ""); err != nil {
		t.Errorf("the first server was disturbed: %v", err)
	}
	stop()
	_, stop = start(t, settings(t, dir), Options{})
	stop()
}

func TestTakenPortIsNamedAndNothingStaysOpen(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := filepath.Join(t.TempDir(), "data")
	_, err = New(t.Context(), settings(t, dir, "imaps", taken.Addr().String()), Options{Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "--imaps") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a taken port: %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 || filepath.Base(files[0]) != "lock" {
		t.Errorf("the failed start left %v", files)
	}
	start(t, settings(t, dir), Options{}) // the directory is free again
}

// TestTwoSettingsWithOnePortAreBothNamed: it was called another program's.
func TestTwoSettingsWithOnePortAreBothNamed(t *testing.T) {
	imap, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer imap.Close()
	_, port, _ := net.SplitHostPort(imap.Addr().String())
	for host, taken := range map[string]bool{"127.0.0.1": true, "0.0.0.0": true, "[::]": true, "127.0.0.2": false, "[::1]": false} {
		c := settings(t, t.TempDir(), "imap", imap.Addr().String(), "imaps", host+":"+port)
		l := config.Listener{Key: "imaps", Address: c.IMAPS}
		address, err := net.ResolveTCPAddr("tcp", l.Address)
		if err != nil {
			t.Fatal(err)
		}
		err = &net.OpError{Op: "listen", Addr: address, Err: syscall.EADDRINUSE} // as a listener says it
		if got := overlap(err, imap.Addr()); got != taken {
			t.Errorf("%s overlaps: %v", l.Address, got)
		}
		if !taken {
			continue
		}
		want := "--imaps: " + l.Address + " is taken by the setting imap, which is " + c.IMAP + " (--imap): give another address with --imaps or --imap"
		if err := listenError(c, l, map[string]net.Listener{"imap": imap}, err); err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if err := listenError(c, l, map[string]net.Listener{}, err); !strings.Contains(err.Error(), "another program") {
			t.Errorf("where no setting has it: %v", err)
		}
	}
}

func TestFirstKeySurvivesACrashBeforeTheDatabase(t *testing.T) {
	dir := t.TempDir()
	written := AccessKey{ID: "AKIAAAAAAAAAAAAAAAAA", Secret: "written before the crash"}
	if err := writeAdminKey(dir, written); err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, settings(t, dir), Options{})
	if !s.FirstStart() {
		t.Error("this is not called the first start")
	}
	e, err := Inspect(t.Context(), dir, "")
	if err != nil || e.Key != written {
		t.Errorf("the key is %v (%v), want the one on disk", e.Key.ID, err)
	}
	// The database must know that very secret.
	if e, err = Inspect(t.Context(), dir, written.ID); err != nil || e.Key != written {
		t.Errorf("the database's key is %v (%v)", e.Key, err)
	}
	stop()
	s, _ = start(t, settings(t, dir), Options{})
	if s.FirstStart() {
		t.Error("the second start is called the first")
	}
}

func TestRemovedAdminKeyIsNotMadeAgain(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, settings(t, dir), Options{})
	stop()
	if err := os.Remove(filepath.Join(dir, adminKeyName)); err != nil {
		t.Fatal(err)
	}
	start(t, settings(t, dir), Options{})
	if _, err := Inspect(t.Context(), dir, ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key that was taken away is back: %v", err)
	}
}

func TestSpoolIsEmptiedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "spool", "message-1")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("half a mess"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, settings(t, dir), Options{})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed server left is still there: %v", err)
	}
}

func TestMissingSecretKeyFileStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, settings(t, dir), Options{})
	stop()
	path := filepath.Join(dir, "secret.key")
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.Rename(path, kept); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), settings(t, dir), Options{Log: quiet})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--secret-key-file") {
		t.Errorf("a missing key file: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("another key was made in its place")
	}
	start(t, settings(t, dir, "secret-key-file", kept), Options{})
}

func TestWrongSecretKeyFileStopsTheStart(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		_, stop := start(t, settings(t, d), Options{})
		stop()
	}
	_, err := New(t.Context(), settings(t, dir, "secret-key-file", filepath.Join(other, "secret.key")), Options{Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "sealed under key") {
		t.Errorf("another server's key file: %v", err)
	}
}

func TestMemoryKeepsNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c := settings(t, t.TempDir())
	c.Data = ""
	s, stop := start(t, c, Options{Memory: true})
	if _, err := Inspect(t.Context(), s.config.Data, ""); err != nil {
		t.Errorf("without a directory of its own: %v", err)
	}
	stop()
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	dir := t.TempDir()
	_, stop = start(t, settings(t, dir), Options{Memory: true})
	first, err := Inspect(t.Context(), dir, "")
	if err != nil {
		t.Errorf("with a directory: %v", err)
	}
	for _, name := range []string{"pennypost.db", "secret.key", "blobs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is kept in the directory", name)
		}
	}
	stop()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 || filepath.Base(left[0]) != "lock" {
		t.Errorf("left in the directory: %v", left)
	}
	// What others keep there is theirs, an own certificate among it.
	certificate := filepath.Join(dir, "tls", "cert.pem")
	_, stop = start(t, settings(t, dir), Options{Memory: true})
	for _, path := range []string{filepath.Join(dir, "tls", "own.pem"), filepath.Join(dir, "run", "own.pid")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair := map[string][]byte{}
	for _, path := range []string{certificate, filepath.Join(dir, "tls", "key.pem")} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pair[path] = text
	}
	stop()
	if _, err := os.Stat(certificate); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the development certificate is kept: %v", err)
	}
	for path, text := range pair {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, stop = start(t, settings(t, dir, "tls-cert", certificate, "tls-key", filepath.Join(dir, "tls", "key.pem")), Options{Memory: true})
	stop()
	for _, path := range []string{certificate, filepath.Join(dir, "tls", "own.pem"), filepath.Join(dir, "run", "own.pid")} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("somebody else's file is gone: %v", err)
		}
	}
	// A killed one leaves its key, which the next must not believe in.
	if err := writeAdminKey(dir, first.Key); err != nil {
		t.Fatal(err)
	}
	start(t, settings(t, dir), Options{Memory: true})
	second, err := Inspect(t.Context(), dir, "")
	if err != nil || second.Key == first.Key {
		t.Errorf("the key of a server that is gone was taken over (%v)", err)
	}
}

func TestMemoryRefusesAStoreThatIsKept(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, settings(t, dir), Options{})
	stop()
	before, err := ReadAdminKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), settings(t, dir), Options{Memory: true, Log: quiet}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("--memory on a real data directory: %v", err)
	}
	if after, err := ReadAdminKey(dir); err != nil || after != before {
		t.Errorf("the administrator's key was touched: %v", err)
	}
	// Nor may it take the key of one that keeps database and secret key elsewhere.
	for _, name := range []string{"pennypost.db", "pennypost.db-wal", "pennypost.db-shm", "secret.key"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if s, err := New(t.Context(), settings(t, dir), Options{Memory: true, Log: quiet}); err == nil {
		t.Error("--memory in the directory of a server on PostgreSQL was let go", s.close())
	}
	if after, err := ReadAdminKey(dir); err != nil || after != before {
		t.Errorf("the administrator's key was touched: %v", err)
	}
	c := settings(t, t.TempDir(), "database-url", "postgres://127.0.0.1:1/x")
	if _, err := New(t.Context(), c, Options{Memory: true, Log: quiet}); err == nil || !strings.Contains(err.Error(), "database_url") {
		t.Errorf("--memory with a database: %v", err)
	}
}

func TestVerbsActBesideAServerAndWithoutOne(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, settings(t, dir), Options{})
	created := map[string]bool{}
	for _, beside := range []bool{true, false} {
		if !beside {
			stop()
		}
		t.Run(fmt.Sprintf("beside=%v", beside), func(t *testing.T) {
			o, err := Connect(t.Context(), settings(t, dir), quiet)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := o.Close(); err != nil {
					t.Error(err)
				}
			}()
			if (o.core == nil) != beside {
				t.Errorf("the verb opened the store itself: %v", o.core != nil)
			}
			key, err := o.CreateKey(t.Context(), KeyCreate{Label: "l", Policy: "AmazonWorkMailReadOnlyAccess"})
			if err != nil {
				t.Fatal(err)
			}
			created[key.ID] = true
			if err := o.RevokeKey(t.Context(), key.ID); err != nil {
				t.Fatal(err)
			}
			if err := o.RevokeKey(t.Context(), "AKIANOBODY"); err == nil || !strings.Contains(err.Error(), "AKIANOBODY") {
				t.Errorf("revoking an unknown key: %v", err)
			}
			if _, err := o.CreateKey(t.Context(), KeyCreate{Policy: `{"Statement":{"Effect":"Allow","NotAction":"x","Resource":"*"}}`}); err == nil ||
				fault.KindOf(err) == fault.Internal || strings.Count(err.Error(), "NotAction") != 1 {
				t.Errorf("a policy that can't be enforced: %v", err)
			}
			keys, err := o.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) != 1+len(created) {
				t.Errorf("%d keys are listed, want %d", len(keys), 1+len(created))
			}
			for _, k := range keys {
				if created[k.ID] != (k.Revoked != nil) {
					t.Errorf("key %s: revoked %v", k.ID, k.Revoked)
				}
			}
			if faults, err := o.Check(t.Context()); err != nil || len(faults) > 0 {
				t.Errorf("check: %v %v", faults, err)
			}
		})
	}
}

func TestManyKeysAreListedInPages(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, settings(t, dir), Options{Memory: true})
	for range keyPageSize + 1 {
		if _, err := s.core.keys.Create(t.Context(), operator, "", DefaultPolicy); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := (&Operator{dir: dir}).Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range keys {
		seen[k.ID] = true
	}
	if len(keys) != keyPageSize+2 || len(seen) != len(keys) {
		t.Errorf("%d keys, %d different, want %d", len(keys), len(seen), keyPageSize+2)
	}
}

func TestConnectRefusesWhatIsNoDataDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := Connect(t.Context(), settings(t, dir), quiet); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("an empty directory: %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > 0 {
		t.Errorf("looking made %v", files)
	}
	_, stop := start(t, settings(t, dir), Options{Memory: true})
	stop()
	if _, err := Connect(t.Context(), settings(t, dir), quiet); err == nil || !strings.Contains(err.Error(), "no store") {
		t.Errorf("what a server that kept nothing left: %v", err)
	}
}

// TestConnectToWhatWasPutBack: a backup is of the files that hold something, and so has no lock.
func TestConnectToWhatWasPutBack(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, settings(t, dir), Options{})
	stop()
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	user := os.Geteuid()
	if user == 0 { // who puts it back is root, and gives it to the server's user before the check
		user = 65534
		if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error { return os.Chown(path, user, user) }); err != nil {
			t.Fatal(err)
		}
	}
	o, err := Connect(t.Context(), settings(t, dir), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		info, err := d.Info()
		if err == nil && int(info.Sys().(*syscall.Stat_t).Uid) != user {
			t.Errorf("%s is not the server's user's any more", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	database := filepath.Join(dir, "pennypost.db")
	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(t.Context(), settings(t, dir), quiet); err == nil || !strings.Contains(err.Error(), database) {
		t.Errorf("without its database: %v", err)
	}
}

func TestSocketIsTheOwnersAlone(t *testing.T) {
	// A path longer than a socket's may be must work too.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	start(t, settings(t, dir), Options{})
	if _, err := Inspect(t.Context(), dir, ""); err != nil {
		t.Errorf("a long path: %v", err)
	}
	for path, want := range map[string]os.FileMode{socketDir(dir): 0o700, filepath.Join(socketDir(dir), socketName): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
	err := callControl(t.Context(), dir, "unheard-of", nothing{}, &nothing{})
	if err == nil || !strings.Contains(err.Error(), "unheard-of") {
		t.Errorf("an unknown verb: %v", err)
	}
	err = callControl(t.Context(), dir, "key-create", []int{1}, &nothing{})
	if err == nil || !strings.Contains(err.Error(), "not understood") {
		t.Errorf("a request of another shape: %v", err)
	}
}

func TestInspectTriesEveryListener(t *testing.T) {
	dir := t.TempDir()
	if _, err := Inspect(t.Context(), dir, ""); err == nil || !strings.Contains(err.Error(), "no server runs") {
		t.Errorf("without a server: %v", err)
	}
	s, _ := start(t, settings(t, dir), Options{})
	if _, err := Inspect(t.Context(), dir, "AKIANOBODY"); err == nil || !strings.Contains(err.Error(), "AKIANOBODY") {
		t.Errorf("an unknown key: %v", err)
	}
	if err := s.listeners["smtp"].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(t.Context(), dir, ""); err == nil || !strings.Contains(err.Error(), "smtp") {
		t.Errorf("a listener that does not accept: %v", err)
	}
}

// TestAllAddressesAreReachedWithoutIPv6: Go listens on [::] for 0.0.0.0 too, and where the machine has no IPv6, as in many containers, nobody
// is at [::1].
func TestAllAddressesAreReachedWithoutIPv6(t *testing.T) {
	dir := t.TempDir()
	start(t, settings(t, dir, "imaps", "0.0.0.0:0", "smtp", "[::]:0"), Options{Memory: true})
	e, err := Inspect(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"imaps", "smtp"} {
		if !strings.HasPrefix(e.Addresses[key], "127.0.0.1:") {
			t.Errorf("%s is to be reached at %s", key, e.Addresses[key])
		}
	}
}

func TestMetricsAndHealth(t *testing.T) {
	s, _ := start(t, settings(t, t.TempDir()), Options{Version: "1.2.3"})
	from := func(listener, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.listeners[listener].Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	get := func(path string) (int, string) { t.Helper(); return from("metrics", path) }
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	for path, want := range map[string]int{"/sign-in": 200, "/sign-in/style.css": 200, "/set-password?link=x": 403} {
		if code, body := from("http", path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	code, body := get("/metrics")
	for _, want := range []string{
		`pennypost_info{database="sqlite",version="1.2.3"} 1`, "# TYPE pennypost_database_commits_total counter\n",
		"go_goroutines ", "process_resident_memory_bytes ", "process_open_fds ", `pennypost_database_writes_total{outcome="committed"}`,
		`pennypost_connections_accepted_total{listener="metrics"}`,
		`pennypost_page_requests_total{code="200",page="sign-in"} 2`, `pennypost_page_requests_total{code="403",page="set-password"} 1`,
		`pennypost_retention_runs_total{outcome="finished"} 0`,
		`pennypost_retention_items_total{action="expire"} 0`, "pennypost_retention_mailboxes_total 0",
	} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("/metrics (%d) lacks %s", code, want)
		}
	}
}

func TestHealthWithoutADatabase(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "x.db")})
	if err != nil {
		t.Fatal(err)
	}
	h := newMetrics(d, "").handler(d)
	for _, want := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
		if w.Code != want {
			t.Errorf("/healthz: %d, want %d", w.Code, want)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunningRequestsMayFinish(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "finished")
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- serveHTTP(ctx, l, nil, h, quiet) }()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stop()
	select {
	case err := <-served:
		t.Fatalf("the server stopped while a request ran: %v", err)
	default:
	}
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "finished" {
		t.Errorf("%q %v", body, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestBrokenListenerEndsTheServer(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serveHTTP(t.Context(), l, nil, http.NotFoundHandler(), quiet) }()
	l.Close()
	select {
	case err := <-served:
		if err == nil {
			t.Error("a listener that broke is no error")
		}
	case <-time.After(time.Minute):
		t.Error("the server waits for a listener that broke")
	}
}

// outage is a listener that can't accept while there are errors left, and then is closed.
type outage struct {
	net.Listener
	errors []error
}

func (l *outage) Accept() (net.Conn, error) {
	err := net.ErrClosed
	if len(l.errors) > 0 {
		err, l.errors = l.errors[0], l.errors[1:]
	}
	return nil, err
}

func (l *outage) Addr() net.Addr { return &net.TCPAddr{} }

func TestWhatPassesEndsNoListener(t *testing.T) {
	m := &metrics{victoria.NewSet()}
	l := &outage{errors: []error{os.NewSyscallError("accept4", syscall.EMFILE), os.NewSyscallError("accept4", syscall.EHOSTUNREACH)}}
	if _, err := m.count("smtp", l, quiet).Accept(); !errors.Is(err, net.ErrClosed) || len(l.errors) > 0 {
		t.Errorf("%v with %d errors left", err, len(l.errors))
	}
	if _, err := m.count("imap", &outage{errors: []error{syscall.EBADF}}, quiet).Accept(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a listener that broke: %v", err)
	}
}

func TestDailyLimitsReachTheCore(t *testing.T) {
	s, _ := start(t, settings(t, t.TempDir(),
		"limit-daily-user-external", "3", "limit-daily-account-external", "5", "limit-daily-account-test", "7"), Options{})
	if want := (transport.Daily{UserExternal: 3, AccountExternal: 5, AccountTest: 7}); s.core.transport.Daily != want {
		t.Errorf("the core has %+v, want %+v", s.core.transport.Daily, want)
	}
}
