package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Dovecot is Debian's Dovecot on a directory of its own: IMAP with TLS on one port, STARTTLS on another.
type Dovecot struct {
	IMAPS, IMAP string // 127.0.0.1:port
	CAFile      string // vouches for it
	Home        string // Home/USER/Maildir is the mail of a user
	pool        *x509.CertPool
}

// StartDovecot starts a Dovecot with users, who have the password. It ends with the test. capability, unless empty, is all that it
// says it can.
func StartDovecot(t testing.TB, capability, password string, users ...string) *Dovecot {
	t.Helper()
	for _, program := range []string{dovecotProgram, "/usr/lib/dovecot/imap"} {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("Dovecot's %s is missing: run scripts/setup-test (make test does)", program)
		}
	}
	dir, err := os.MkdirTemp("", "dovecot") // sockets lie in it, whose paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &Dovecot{IMAPS: FreeAddress(t), IMAP: FreeAddress(t), CAFile: filepath.Join(dir, "cert.pem"), Home: filepath.Join(dir, "mail")}
	d.pool = certify(t, dir)
	who := account(t)
	var lines strings.Builder
	for _, u := range users {
		fmt.Fprintf(&lines, "%s:{PLAIN}%s\n", u, password)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("users", lines.String())
	_, imaps, _ := net.SplitHostPort(d.IMAPS) // we made them
	_, imap, _ := net.SplitHostPort(d.IMAP)
	write("dovecot.conf", strings.NewReplacer("@DIR@", dir, "@USER@", who.Username, "@UID@", who.Uid, "@GID@", who.Gid, "@IMAPS@", imaps, "@IMAP@", imap, "@CAPABILITY@", capability).
		Replace(dovecotConfiguration))
	if err := os.Mkdir(d.Home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if os.Geteuid() == 0 {
		if err := os.Chown(d.Home, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(dovecotProgram, "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	log := &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it reports the signal
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot says: %s%s", log, text)
		}
	})
	Eventually(t, "Dovecot answers", func() bool {
		c, err := tls.Dial("tcp", d.IMAPS, d.TLS())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return d
}

// TLS trusts its certificate.
func (d *Dovecot) TLS() *tls.Config { return &tls.Config{RootCAs: d.pool, ServerName: "127.0.0.1"} }

const dovecotProgram = "/usr/sbin/dovecot" // where Debian puts it, often not in a user's path

// account is whom Dovecot's processes are: us, or somebody without rights where we are root.
func account(t testing.TB) *user.User {
	t.Helper()
	who, err := user.Current()
	if err == nil && who.Uid == "0" {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// Certificate makes a certificate for 127.0.0.1 and the names that vouches for itself, and returns the files of it and its key.
func Certificate(t testing.TB, names ...string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certify(t, dir, names...)
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

// certify makes a certificate for 127.0.0.1 and the names that vouches for itself, in cert.pem and key.pem of dir.
func certify(t testing.TB, dir string, names ...string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// The namespace of others is there so that an import meets one.
const dovecotConfiguration = `base_dir = @DIR@/run
state_dir = @DIR@/run
log_path = @DIR@/log
protocols = imap
listen = 127.0.0.1
default_internal_user = @USER@
default_login_user = @USER@
first_valid_uid = 1
mail_uid = @UID@
mail_gid = @GID@
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
disable_plaintext_auth = yes
imap_capability = @CAPABILITY@
ssl = yes
ssl_cert = <@DIR@/cert.pem
ssl_key = <@DIR@/key.pem
namespace inbox {
  inbox = yes
  separator = .
  mailbox Papierkorb {
    special_use = \Trash
  }
}
namespace others {
  type = public
  prefix = shared.
  separator = .
  location = maildir:@DIR@/mail/shared
}
passdb {
  driver = passwd-file
  args = username_format=%u @DIR@/users
}
userdb {
  driver = static
  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u
}
service imap-login {
  chroot =
  inet_listener imap {
    port = @IMAP@
  }
  inet_listener imaps {
    port = @IMAPS@
    ssl = yes
  }
}
service anvil {
  chroot =
}
`
