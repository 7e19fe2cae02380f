package harness

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// BIND is Debian's BIND, a name server of zones that takes updates signed by a key.
type BIND struct {
	Addr    string // 127.0.0.1:port, over UDP and TCP
	KeyName string // of the key, for HMAC-SHA256
	KeyFile string // of its secret, in base64
}

// bindProgram is where Debian puts it, often not in a user's path.
const bindProgram = "/usr/sbin/named"

// StartBIND starts a BIND with zones of records, each as a line of its zone's file has it, beside their SOA and NS. It ends with the test.
func StartBIND(t testing.TB, zones map[string][]string) *BIND {
	t.Helper()
	if _, err := os.Stat(bindProgram); err != nil {
		t.Fatal("BIND is missing: run scripts/setup-test (make test does)")
	}
	dir := t.TempDir()
	b := &BIND{Addr: FreeAddress(t), KeyName: "pennypost", KeyFile: filepath.Join(dir, "secret")}
	_, port, _ := net.SplitHostPort(b.Addr) // we made it
	secret := base64.StdEncoding.EncodeToString([]byte("a secret of the tests, of 32 byte"))
	files := map[string]string{"secret": secret + "\n"}
	var conf strings.Builder
	fmt.Fprintf(&conf, `options {
	directory "%[1]s"; pid-file none; session-keyfile "%[1]s/session.key"; lock-file none;
	listen-on port %[2]s { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; empty-zones-enable no; dnssec-validation no; notify no;
};
controls {};
key %[3]s { algorithm hmac-sha256; secret "%[4]s"; };
`, dir, port, b.KeyName, secret)
	for zone, lines := range zones {
		files[zone] = "$TTL 60\n@ SOA ns.test. root.test. 1 3600 600 86400 60\n@ NS ns.test.\n" + strings.Join(lines, "\n") + "\n"
		fmt.Fprintf(&conf, "zone %q { type primary; file %q; allow-update { key %[3]s; }; allow-transfer { key %[3]s; }; };\n", zone, zone, b.KeyName)
	}
	files["named.conf"] = conf.String()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd, log := exec.Command(bindProgram, "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf")), &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it reports the signal
		if t.Failed() {
			t.Logf("BIND says: %s", log)
		}
	})
	Eventually(t, "BIND answers", func() bool { return strings.Contains(log.String(), " running\n") })
	return b
}
