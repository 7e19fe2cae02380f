package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
)

// Dovecot is Debian's Dovecot: LMTP into Maildir, IMAP, users in a file with SHA512-CRYPT passwords.
type Dovecot struct {
	dir      string
	who      account
	program  string
	version  string
	endpoint Endpoint
	process  *process
}

// NewDovecot prepares a Dovecot on an empty directory. Its error names the command that installs what is missing.
func NewDovecot(ctx context.Context, dir string, cert *Certificate) (*Dovecot, error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	d := &Dovecot{dir: dir, who: who, program: findProgram("dovecot")}
	for _, file := range []string{d.program, "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp"} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("Dovecot's %q is missing; install it with: scripts/bench-peers dovecot", file)
		}
	}
	if d.version, err = who.run(ctx, dir, d.program, "--version"); err != nil {
		return nil, err
	}
	imaps, err := freeAddress()
	if err != nil {
		return nil, err
	}
	lmtp, err := freeAddress()
	if err != nil {
		return nil, err
	}
	d.endpoint = Endpoint{IMAPS: imaps, Delivery: lmtp, LMTP: true, Domain: "bench.example", TLS: trust(cert.cert)}
	certFile, keyFile, err := cert.write(dir)
	if err != nil {
		return nil, err
	}
	return d, os.WriteFile(d.config(), []byte(d.configuration(certFile, keyFile)), 0o600)
}

func findProgram(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name // where Debian puts daemons, often not in a user's path
}

// Name is how the tables call it.
func (d *Dovecot) Name() string { return "dovecot" }

// Version says which Dovecot.
func (d *Dovecot) Version() string {
	return "Dovecot " + d.version + ", LMTP into Maildir, one login process for many connections (its high-performance mode)"
}

// Endpoint is where it listens.
func (d *Dovecot) Endpoint() Endpoint { return d.endpoint }

// Setup writes the users' file.
func (d *Dovecot) Setup(ctx context.Context) error {
	for _, sub := range []string{"mail", "run"} {
		if err := os.Mkdir(filepath.Join(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := d.who.give(d.dir); err != nil { // the configuration too
		return err
	}
	if err := makeUsers(ctx, d, 1); err != nil {
		return err
	}
	if err := d.who.give(d.dir); err != nil {
		return err
	}
	_, err := d.Start(ctx)
	return err
}

// NewUsers hashes a password by Dovecot's command, a process a user, and adds a line to the users' file: Dovecot keeps no
// users of its own.
func (d *Dovecot) NewUsers(ctx context.Context, name func(i int) string) (drive.Worker, error) {
	f, err := os.OpenFile(filepath.Join(d.dir, "users"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return dovecotUsers{f, ctx, d, name}, err
}

type dovecotUsers struct {
	*os.File
	ctx  context.Context
	d    *Dovecot
	name func(i int) string
}

func (u dovecotUsers) Do(i int) error {
	hash, err := u.d.who.run(u.ctx, u.d.dir, filepath.Join(filepath.Dir(u.d.program), "../bin/doveadm"), "-c", u.d.config(),
		"pw", "-s", "SHA512-CRYPT", "-p", Password)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(u.File, "%s:%s\n", u.d.endpoint.Address(u.name(i)), hash)
	return err
}

// Start starts it.
func (d *Dovecot) Start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	p, err := launch(d.who.command(context.WithoutCancel(ctx), d.dir, d.program, "-F", "-c", d.config()), filepath.Join(d.dir, "output"))
	if err != nil {
		return 0, err
	}
	d.process = p
	err = awaitGreeting(ctx, d.endpoint, p)
	return time.Since(begin), err
}

// Stop ends it.
func (d *Dovecot) Stop(ctx context.Context) error {
	err := d.process.stop(ctx)
	d.process = nil
	return err
}

// Memory is that of its master and all its workers.
func (d *Dovecot) Memory() (int64, error) { return d.process.memory() }

func (d *Dovecot) config() string { return filepath.Join(d.dir, "dovecot.conf") }

// configuration is Dovecot's defaults but for what lets it run without root, the addresses, and limits that would end
// the load: sign-ins per user, and one process per login.
func (d *Dovecot) configuration(cert, key string) string {
	_, imaps, _ := net.SplitHostPort(d.endpoint.IMAPS) // we made them
	_, lmtp, _ := net.SplitHostPort(d.endpoint.Delivery)
	return strings.NewReplacer(
		"@DIR@", d.dir, "@USER@", d.who.name, "@GROUP@", d.who.group, "@UID@", fmt.Sprint(d.who.uid), "@GID@", fmt.Sprint(d.who.gid),
		"@IMAPS@", imaps, "@LMTP@", lmtp, "@CERT@", cert, "@KEY@", key,
	).Replace(`base_dir = @DIR@/run
state_dir = @DIR@/run
log_path = @DIR@/log
protocols = imap lmtp
listen = 127.0.0.1
default_internal_user = @USER@
default_internal_group = @GROUP@
default_login_user = @USER@
first_valid_uid = 1
mail_uid = @UID@
mail_gid = @GID@
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
postmaster_address = postmaster@bench.example
ssl = yes
ssl_cert = <@CERT@
ssl_key = <@KEY@
passdb {
  driver = passwd-file
  args = scheme=SHA512-CRYPT username_format=%u @DIR@/users
}
userdb {
  driver = static
  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u
}
service imap-login {
  chroot =
  service_count = 0
  process_min_avail = 2
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = @IMAPS@
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    port = @LMTP@
  }
}
service anvil {
  chroot =
}
`)
}
