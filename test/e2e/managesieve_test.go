package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// TestSieveConnect manages scripts by sieve-connect.
func TestSieveConnect(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	office(t, s, "sieve", "ann")
	_, port, err := net.SplitHostPort(s.Addr("managesieve"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const rules = "require \"fileinto\";\r\nfileinto \"Junk E-mail\";\r\n"
	good, bad := file("good.sieve", rules), file("bad.sieve", "fileinto \"Junk E-mail\";\r\n")
	fetched := filepath.Join(dir, "fetched.sieve")
	for _, c := range []struct {
		name     string
		password string
		args     []string
		status   int
		says     string
	}{
		{"a wrong password", "wrong", []string{"--list"}, 255, "user name or the password is wrong"},
		{"a certificate that is not trusted", password, []string{"--tlscafile", "/dev/null", "--list"}, 255, ""},
		{"upload", password, []string{"--localsieve", good, "--remotesieve", "rules", "--upload"}, 0, ""},
		{"upload of a wrong script", password, []string{"--localsieve", bad, "--remotesieve", "rules", "--upload"}, 1, "line 1"},
		{"activate", password, []string{"--remotesieve", "rules", "--activate"}, 0, ""},
		{"list", password, []string{"--list"}, 0, `"rules" ACTIVE`},
		{"download", password, []string{"--remotesieve", "rules", "--localsieve", fetched, "--download"}, 0, ""},
	} {
		r := harness.Run(t, harness.Command{
			Name: harness.Tool(t, "sieve-connect"), Stdin: c.password + "\n",
			Args: append([]string{
				"--server", "localhost", "--port", port, "--nosrv", "--user", "ann@sieve.awsapps.com", "--passwordfd", "0", "--noclearchan",
				"--tlscafile", s.Env["PENNYPOST_CA_FILE"],
			}, c.args...),
		})
		if r.Status != c.status || !strings.Contains(r.Stdout+r.Stderr, c.says) {
			t.Errorf("%s: %s\nwant status %d and %q", c.name, r, c.status, c.says)
		}
	}
	if got, err := os.ReadFile(fetched); err != nil || string(got) != rules {
		t.Errorf("the script came back as %q, %v", got, err)
	}
}
