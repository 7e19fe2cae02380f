package e2e

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

func TestEnv(t *testing.T) {
	// A name that a shell would take apart.
	dir := filepath.Join(t.TempDir(), `it's "a" $(test) \ name`)
	s := harness.Start(t, harness.Options{Dir: dir})
	r := s.Verb("env")
	if r.Stderr != "" {
		t.Errorf("standard error: %q", r.Stderr)
	}
	for line := range strings.Lines(r.Stdout) {
		if !regexp.MustCompile(`^(export [A-Za-z_]+='.*'|unset [A-Z_]+)\n$`).MatchString(line) {
			t.Errorf("a line that is neither export nor unset, or not quoted: %q", line)
		}
	}
	for _, name := range []string{"HTTP", "HTTPS", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "MANAGESIEVE"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Env["PENNYPOST_"+name+"_ADDR"])
		if err != nil {
			t.Errorf("PENNYPOST_%s_ADDR: %v", name, err)
			continue
		}
		conn.Close()
	}
	endpoint := "http://" + s.Addr("http")
	for name, want := range map[string]string{
		"AWS_ENDPOINT_URL_WORKMAIL": endpoint, "AWS_ENDPOINT_URL_WORKMAILMESSAGEFLOW": endpoint, "AWS_ENDPOINT_URL_PENNYPOST": endpoint,
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "PENNYPOST_CA_FILE": filepath.Join(dir, "tls", "ca.pem"),
	} {
		if s.Env[name] != want {
			t.Errorf("%s is %q, want %q", name, s.Env[name], want)
		}
	}
	if s.Env["AWS_ACCESS_KEY_ID"] == "" || s.Env["AWS_SECRET_ACCESS_KEY"] == "" {
		t.Error("there is no access key")
	}
}

// TestEnvClearsWhatIsInTheWay evaluates the lines in a shell that has variables which would lead an AWS client elsewhere.
func TestEnvClearsWhatIsInTheWay(t *testing.T) {
	s := harness.Start(t, harness.Options{Flags: []string{"--memory", "--imap", ""}, Unchecked: true})
	var stale []string
	for _, name := range []string{
		"AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "PENNYPOST_IMAP_ADDR",
	} {
		stale = append(stale, name+"=stale")
	}
	stale = append(stale, "http_proxy=http://"+s.Addr("smtp"), "NO_PROXY=", "no_proxy=")
	for _, shell := range []string{"sh", "bash"} {
		r := harness.Run(t, harness.Command{
			Name: shell, Args: []string{"-c", `eval "$(` + harness.Binary(t) + ` env --data "$1")" && env`, shell, s.Dir}, Env: stale,
		})
		if r.Status != 0 || strings.Contains(r.Stdout, "=stale") {
			t.Errorf("%s: %s", shell, r)
		}
		if !strings.Contains(r.Stdout, "AWS_ENDPOINT_URL_WORKMAIL="+s.Env["AWS_ENDPOINT_URL_WORKMAIL"]+"\n") {
			t.Errorf("%s: the endpoint is missing: %s", shell, r)
		}
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			if !strings.Contains(r.Stdout, name+"=127.0.0.1\n") {
				t.Errorf("%s: the proxy would be asked for the endpoint, %s: %s", shell, name, r)
			}
		}
	}
}

func TestEnvWithoutAServer(t *testing.T) {
	for name, dir := range map[string]string{"no directory": filepath.Join(t.TempDir(), "none"), "empty directory": t.TempDir()} {
		r := harness.Run(t, harness.Command{Name: harness.Binary(t), Args: []string{"env", "--data", dir}})
		if r.Status != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, dir) {
			t.Errorf("%s: %s", name, r)
		}
	}
	s := harness.Start(t, harness.Options{})
	s.Stop()
	if r := s.Verb("env"); r.Status != 1 || r.Stdout != "" || r.Stderr == "" {
		t.Errorf("after the stop: %s", r)
	}
}

func TestEnvWithAnotherKey(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	made := s.Verb("key", "create", "--label", "reader", "--policy", "AmazonWorkMailReadOnlyAccess")
	id := regexp.MustCompile(`aws_access_key_id = (\S+)\naws_secret_access_key = (\S+)\n`).FindStringSubmatch(made.Stdout)
	if id == nil {
		t.Fatalf("key create: %s", made)
	}
	r := s.Verb("env", "--key", id[1])
	if !strings.Contains(r.Stdout, "export AWS_ACCESS_KEY_ID='"+id[1]+"'\n") ||
		!strings.Contains(r.Stdout, "export AWS_SECRET_ACCESS_KEY='"+id[2]+"'\n") {
		t.Errorf("env --key: %s", r)
	}
	if r := s.Verb("key", "revoke", id[1]); r.Status != 0 {
		t.Errorf("key revoke: %s", r)
	}
	if r := s.Verb("env", "--key", id[1]); r.Status != 1 || r.Stdout != "" {
		t.Errorf("env with a revoked key: %s", r)
	}
	if r := s.Verb("key", "revoke", s.Env["AWS_ACCESS_KEY_ID"]); r.Status != 0 {
		t.Errorf("key revoke: %s", r)
	}
	if r := s.Verb("env"); r.Status != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, "--key") {
		t.Errorf("env when the first administrator's key is revoked: %s", r)
	}
	if err := os.Remove(filepath.Join(s.Dir, "admin.key")); err != nil { // as in what was restored from a backup without it
		t.Fatal(err)
	}
	if r := s.Verb("env"); r.Status != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, "--key") {
		t.Errorf("env when the first administrator's key is gone: %s", r)
	}
}

// TestVerbsOfAServerThatDoesNotAnswer: all but env waited for as long as it was stopped.
func TestVerbsOfAServerThatDoesNotAnswer(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var check harness.Result
	var both sync.WaitGroup
	both.Go(func() { check = s.Verb("check") })
	results := map[string]harness.Result{"env": s.Verb("env")}
	both.Wait()
	results["check"] = check
	if err := s.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for verb, status := range map[string]int{"env": 1, "check": 2} {
		if r := results[verb]; r.Status != status || r.Stdout != "" || !strings.Contains(r.Stderr, "does not answer within 5s") {
			t.Errorf("%s: %s", verb, r)
		}
	}
}
