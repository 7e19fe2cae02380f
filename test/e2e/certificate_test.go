package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// TestOwnCertificate serves with an operator's certificate, and with the next one as soon as the files have changed.
func TestOwnCertificate(t *testing.T) {
	// Two certificates, made by servers that had none.
	issuer := func() *harness.Server {
		return harness.Start(t, harness.Options{Flags: []string{"--memory"}, Unchecked: true})
	}
	first, second := issuer(), issuer()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	use := func(s *harness.Server) {
		t.Helper()
		for to, name := range map[string]string{cert: "cert.pem", key: "key.pem"} {
			text, err := os.ReadFile(filepath.Join(s.Dir, "tls", name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	use(first)
	s := harness.Start(t, harness.Options{Flags: []string{"--memory", "--tls-cert", cert, "--tls-key", key}, Unchecked: true})
	if file, ok := s.Env["PENNYPOST_CA_FILE"]; ok {
		t.Errorf("env names %s to trust, though the issuer is somebody else", file)
	}
	shown := func(listener string, by *harness.Server) bool {
		pem, err := os.ReadFile(by.Env["PENNYPOST_CA_FILE"])
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		conn, err := tls.Dial("tcp", s.Addr(listener), &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}
	listeners := []string{"https", "imaps", "submissions"}
	for _, l := range listeners {
		if !shown(l, first) || shown(l, second) {
			t.Errorf("%s does not show the operator's certificate", l)
		}
	}
	use(second)
	for _, l := range listeners {
		harness.Eventually(t, l+" shows the next certificate", func() bool { return shown(l, second) })
	}
}
