package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// OpenID is a process of oidc-provider, an OpenID Connect provider that others wrote and that is certified.
type OpenID struct {
	t      testing.TB
	Issuer string
	secret string

	in  io.Writer
	out *bufio.Reader
}

const openIDClient = "pennypost"

// StartOpenID starts a provider, which knows no client yet. The test's end ends it.
func StartOpenID(t testing.TB) *OpenID {
	t.Helper()
	cmd := exec.Command(Tool(t, "node"), "openid.js")
	cmd.Dir = filepath.Join(Root(), "test", "js")
	cmd.Env = clean(os.Environ())
	log := &buffer{}
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // its end is the process's
		killer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer killer.Stop()
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("the provider ended with %v:\n%s", err, log)
		}
	})
	p := &OpenID{t: t, secret: "the client's secret", in: in, out: bufio.NewReader(out)}
	p.Issuer = p.line()
	return p
}

func (p *OpenID) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("the provider ended: %v", err)
	}
	return line[:len(line)-1]
}

// Config writes a configuration file that maps an Identity Center instance to the provider, and returns its path.
func (p *OpenID) Config(instance string) string {
	return OpenIDConfig(p.t, instance, p.Issuer, p.secret)
}

// OpenIDConfig writes a configuration file that maps an instance to the provider with the issuer.
func OpenIDConfig(t testing.TB, instance, issuer, secret string) string {
	t.Helper()
	dir := t.TempDir()
	file, held := filepath.Join(dir, "pennypost.toml"), filepath.Join(dir, "client.secret")
	text := fmt.Sprintf("allowed_networks = ['127.0.0.1']\n\n[identity_center.%q]\nissuer = %q\nclient_id = %q\nclient_secret_file = %q\n",
		instance, issuer, openIDClient, held)
	if err := errors.Join(os.WriteFile(held, []byte(secret+"\n"), 0o600), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return file
}

// Register makes a server the provider's client, and gives the provider accounts: claims by what is typed to sign in, which is
// the subject.
func (p *OpenID) Register(s *Server, accounts map[string]map[string]any) {
	p.t.Helper()
	err := json.NewEncoder(p.in).Encode(map[string]any{
		"clientId": openIDClient, "clientSecret": p.secret, "redirectUri": "https://" + s.Addr("https") + "/sign-in/callback", "accounts": accounts,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if line := p.line(); line != "ready" {
		p.t.Fatalf("the provider says %q", line)
	}
}

// Append adds text to a configuration file.
func Append(t testing.TB, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
