package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // damages a store behind the server's back

	"github.com/pennypost/pennypost/test/harness"
)

func TestCheckExitStatus(t *testing.T) {
	s := harness.Start(t, harness.Options{Unchecked: true})
	if r := s.Verb("check"); r.Status != 0 || r.Stdout+r.Stderr != "" {
		t.Errorf("check beside the server: %s", r)
	}
	s.Stop()
	if r := s.Verb("check"); r.Status != 0 || r.Stdout+r.Stderr != "" {
		t.Errorf("check without the server: %s", r)
	}
	damage(t, s.Dir, `INSERT INTO organization_tag (organization, tag, value) VALUES (7, 'orphan-one', ''), (7, 'orphan-two', '')`)
	r := s.Verb("check")
	if r.Status != 1 || r.Stderr != "" || strings.Count(r.Stdout, "\n") != 2 || !strings.Contains(r.Stdout, "orphan-two") {
		t.Errorf("check of an inconsistent store, without a server: %s", r)
	}
	s.Start()
	if beside := s.Verb("check"); beside != r {
		t.Errorf("check of an inconsistent store, beside a server: %s", beside)
	}
	s.Stop()
	r = harness.Run(t, harness.Command{Name: harness.Binary(t), Args: []string{"check", "--data", filepath.Join(t.TempDir(), "none")}})
	if r.Status != 2 || r.Stdout != "" || r.Stderr == "" {
		t.Errorf("check of no store: %s", r)
	}
	r = harness.Run(t, harness.Command{Name: harness.Binary(t), Args: []string{"check", "--no-such-flag"}})
	if r.Status != 2 {
		t.Errorf("check that could not look for its flags: %s", r)
	}
}

// TestWhoMayNotEnterIsTold: to another user a server that runs must not seem to be none.
func TestWhoMayNotEnterIsTold(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	if err := os.Chmod(s.Dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(s.Dir, 0o700) }) // else the check at the end says so
	stranger := []string{harness.Binary(t)}
	if os.Geteuid() == 0 { // who may enter everywhere
		dir, err := os.MkdirTemp("", "pennypost-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) }) // it holds a copy
		program := filepath.Join(dir, "pennypost")
		if r := harness.Run(t, harness.Command{Name: "install", Args: []string{stranger[0], program}}); r.Status != 0 {
			t.Fatal(r)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		stranger = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program}
	}
	for verb, status := range map[string]int{"env": 1, "check": 2, "key list": 1} {
		args := append(append(stranger[1:len(stranger):len(stranger)], strings.Fields(verb)...), "--data", s.Dir)
		r := harness.Run(t, harness.Command{Name: stranger[0], Args: args})
		if r.Status != status || r.Stdout != "" || !strings.Contains(r.Stderr, "permission denied") {
			t.Errorf("%s: %s", verb, r)
		}
	}
}

// damage runs statements on the SQLite database of a server that does not run.
func damage(t *testing.T, dir string, statements ...string) {
	t.Helper()
	d, err := sql.Open("sqlite", filepath.Join(dir, "pennypost.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := d.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestTheAuditTrailIsKeptAsLongAsTheSettingSays restarts a server whose trail has records of five and three days ago.
func TestTheAuditTrailIsKeptAsLongAsTheSettingSays(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	s.Stop()
	for name, days := range map[string]int{"Older": 5, "Old": 3, "Young": 0} {
		damage(t, s.Dir, fmt.Sprintf(`INSERT INTO audit_record (organization, time, key, operation, subject, outcome, detail, actor_kind, actor_id, actor_name, protocol, address, request)
			VALUES ('', %d, %d, '%s', '', '', '', 0, '', '', '', '', '')`, time.Now().AddDate(0, 0, -days).UnixMicro(), days, name))
	}
	for _, c := range []struct{ days, want string }{{"4", "Old Young"}, {"2", "Young"}} {
		s = harness.Start(t, harness.Options{Dir: s.Dir, Flags: []string{"--audit-retention-days", c.days}})
		harness.Eventually(t, "with "+c.days+" days there is left: "+c.want, func() bool { return kept(t, s.Dir) == c.want })
		s.Stop()
	}
}

// kept are the operations Older, Old and Young of the audit trail, by their age.
func kept(t *testing.T, dir string) string {
	t.Helper()
	d, err := sql.Open("sqlite", filepath.Join(dir, "pennypost.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var names sql.NullString
	err = d.QueryRowContext(t.Context(), `SELECT GROUP_CONCAT(operation, ' ') FROM (SELECT operation FROM audit_record
		WHERE operation IN ('Older', 'Old', 'Young') ORDER BY time)`).Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names.String
}

func TestKeyVerbs(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		s := harness.Start(t, harness.Options{DatabaseURL: url})
		policy := filepath.Join(t.TempDir(), "policy.json")
		document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"workmail:List*","Resource":"*"}]}`
		if err := os.WriteFile(policy, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, running := range []bool{true, false} {
			if !running {
				s.Stop()
			}
			for _, c := range []struct {
				args   []string
				status int
				says   string
			}{
				{[]string{"key", "create", "--label", "reader", "--policy-file", policy}, 0, "aws_secret_access_key = "},
				{[]string{"key", "list"}, 0, "AdministratorAccess"},
				{[]string{"key", "create"}, 0, "aws_secret_access_key = "},
				{[]string{"key", "list"}, 0, "AmazonWorkMailFullAccess"},
				{[]string{"key", "create", "--policy", "NoSuchPolicy"}, 1, "NoSuchPolicy"},
				{[]string{"key", "create", "--policy-file", filepath.Join(t.TempDir(), "none")}, 1, "none"},
				{[]string{"key", "create", "--policy", "x", "--policy-file", policy}, 1, "policy-file"},
				{[]string{"key", "list"}, 0, `"reader"`},
				{[]string{"key", "list"}, 0, `"first administrator"`},
				{[]string{"key", "revoke", "AKIANOBODY"}, 1, "AKIANOBODY"},
				{[]string{"key", "revoke"}, 1, "arg"},
				{[]string{"domain", "verify", "example.com"}, 1, "organization"},
				{[]string{"domain", "verify", "example.com", "--organization", "m-0123456789abcdef0123456789abcdef"}, 1, "m-0123456789abcdef"},
			} {
				r := s.Verb(c.args...)
				if r.Status != c.status || !strings.Contains(r.Stdout+r.Stderr, c.says) {
					t.Errorf("%v (server running: %v): %s\nwant status %d and %q", c.args, running, r, c.status, c.says)
				}
				if c.status != 0 && r.Stdout != "" {
					t.Errorf("%v writes its complaint to standard output: %s", c.args, r)
				}
			}
		}
		if secret := s.Env["AWS_SECRET_ACCESS_KEY"]; strings.Contains(s.Log()+s.Verb("key", "list").Stdout, secret) {
			t.Error("the administrator's secret is shown")
		}
	})
}

// TestTheDatabaseAloneRevealsNoSecret looks for the secret in every file of the data directory but admin.key.
func TestTheDatabaseAloneRevealsNoSecret(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	s.Stop()
	seen := 0
	err := filepath.Walk(s.Dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), s.Env["AWS_SECRET_ACCESS_KEY"]) {
			seen++
			if filepath.Base(path) != "admin.key" {
				t.Errorf("%s holds the secret as it is", path)
			}
		}
		return err
	})
	if err != nil || seen != 1 {
		t.Errorf("the secret is in %d files, want admin.key alone (%v)", seen, err)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "--data", t.TempDir()}} {
		r := harness.Run(t, harness.Command{Name: harness.Binary(t), Args: args})
		if r.Status != 0 || !strings.HasPrefix(r.Stdout, "pennypost ") {
			t.Errorf("%v: %s", args, r)
		}
	}
}

// TestMisspelledVerbIsRefused: a script that revokes a key by a verb that isn't there must hear of it.
func TestMisspelledVerbIsRefused(t *testing.T) {
	for _, args := range [][]string{{"chek"}, {"key", "revok", "AKIANOBODY"}, {"domain", "verfy", "example.com"}} {
		r := harness.Run(t, harness.Command{Name: harness.Binary(t), Args: args})
		if r.Status != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, "unknown command") {
			t.Errorf("%v: %s", args, r)
		}
	}
	for _, args := range [][]string{nil, {"key"}, {"domain"}} {
		r := harness.Run(t, harness.Command{Name: harness.Binary(t), Args: args})
		if r.Status != 0 || !strings.Contains(r.Stdout, "Available Commands:") {
			t.Errorf("%v alone shows no help: %s", args, r)
		}
	}
}
