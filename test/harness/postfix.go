package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Postfix is Debian's Postfix on a directory of its own: it takes mail for a domain on one port, and sends the rest to a relay.
type Postfix struct {
	SMTP   string // 127.0.0.1:port
	CAFile string // vouches for it as Host
	Host   string
	Mail   string // Mail/USER/ is the maildir of a user of its domain
	dir    string
}

// StartPostfix starts a Postfix that is Host mx.<domain>, has the users of domain, refuses others there, and sends all other mail
// to relay (host:port). It ends with the test, which must be root's, as Postfix is.
func StartPostfix(t testing.TB, domain, relay string, users ...string) *Postfix {
	t.Helper()
	if _, err := os.Stat(postfixProgram); err != nil {
		t.Fatal("Postfix is missing: run scripts/setup-test (make test does)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("Postfix starts for root alone: this test must be run as root")
	}
	dir, err := os.MkdirTemp("", "postfix") // sockets lie in it, whose paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Postfix{SMTP: FreeAddress(t), Host: "mx." + domain, CAFile: filepath.Join(dir, "cert.pem"), Mail: filepath.Join(dir, "mail"), dir: dir}
	certify(t, dir, p.Host)
	who := account(t)
	var boxes strings.Builder
	for _, u := range users {
		fmt.Fprintf(&boxes, "%s@%s %s/\n", u, domain, u)
	}
	_, port, _ := net.SplitHostPort(p.SMTP) // we made it
	relayHost, relayPort, err := net.SplitHostPort(relay)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer("@DIR@", dir, "@PORT@", port, "@DOMAIN@", domain, "@HOST@", p.Host, "@UID@", who.Uid, "@GID@", who.Gid,
		"@RELAY@", "["+relayHost+"]:"+relayPort)
	for name, text := range map[string]string{"main.cf": postfixMain, "master.cf": postfixMaster, "boxes": boxes.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(names.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"queue", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) error {
		out, err := exec.Command(name, args...).CombinedOutput()
		return wrap(err, string(out))
	}
	if err := run("chown", who.Uid+":"+who.Gid, p.Mail); err != nil {
		t.Fatal(err)
	}
	if err := run("chown", "postfix", filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run(postfixProgram, "-c", dir, "stop")
		if t.Failed() {
			t.Logf("Postfix says: %s", p.Log())
		}
	})
	if err := run(postfixProgram, "-c", dir, "start"); err != nil {
		t.Fatalf("postfix start: %v\n%s", err, p.Log())
	}
	Answers(t, "Postfix", p.SMTP)
	return p
}

// Log is what it wrote.
func (p *Postfix) Log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log")) // none yet
	return string(text)
}

// Messages are those in a user's mailbox.
func (p *Postfix) Messages(t testing.TB, user string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Mail, user, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

const (
	postfixProgram = "/usr/sbin/postfix" // where Debian puts it, often not in a user's path
	postfixMain    = `compatibility_level = 3.6
queue_directory = @DIR@/queue
data_directory = @DIR@/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = @DIR@/log
maillog_file_prefixes = /tmp, /var
myhostname = @HOST@
mydomain = @DOMAIN@
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = @DOMAIN@
virtual_mailbox_base = @DIR@/mail
virtual_mailbox_maps = texthash:@DIR@/boxes
virtual_minimum_uid = 1
virtual_uid_maps = static:@UID@
virtual_gid_maps = static:@GID@
smtpd_tls_cert_file = @DIR@/cert.pem
smtpd_tls_key_file = @DIR@/key.pem
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtp_tls_security_level = may
smtp_tls_loglevel = 1
relayhost = @RELAY@
smtpd_peername_lookup = no
disable_dns_lookups = yes
`
	postfixMaster = `127.0.0.1:@PORT@ inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
)
