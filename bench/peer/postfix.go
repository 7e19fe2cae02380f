package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
)

// Postfix is Debian's Postfix as a relay: what is handed in goes to one place. It has no mailboxes.
type Postfix struct {
	dir, version string
	endpoint     Endpoint
	next         string
	process      *process
}

// ErrNotRoot says that Postfix can't be measured by this user.
var ErrNotRoot = errors.New("Postfix starts for root alone: run as root, or without it (-peers)")

// NewPostfix prepares a Postfix on an empty directory. Its error names the command that installs what is missing.
func NewPostfix(ctx context.Context, dir string, cert *Certificate) (*Postfix, error) {
	for _, file := range []string{"postfix", "smtp-sink"} {
		if _, err := os.Stat(findProgram(file)); err != nil {
			return nil, fmt.Errorf("%s is missing; install it with: scripts/bench-peers postfix", file)
		}
	}
	if os.Getuid() != 0 {
		return nil, ErrNotRoot
	}
	p := &Postfix{dir: dir}
	var err error
	if p.version, err = (account{}).run(ctx, dir, findProgram("postconf"), "-dh", "mail_version"); err != nil {
		return nil, err
	}
	for _, address := range []*string{&p.endpoint.Delivery, &p.next} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	p.endpoint.TLS = trust(cert.cert)
	certFile, keyFile, err := cert.write(dir)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(p.endpoint.Delivery) // we made them
	_, next, _ := net.SplitHostPort(p.next)
	names := strings.NewReplacer("@DIR@", dir, "@PORT@", port, "@NEXT@", next, "@CERT@", certFile, "@KEY@", keyFile)
	for name, text := range map[string]string{"main.cf": postfixMain, "master.cf": postfixMaster} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(names.Replace(text)), 0o644); err != nil {
			return nil, err
		}
	}
	for _, sub := range []string{"queue", "data"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	_, err = (account{}).run(ctx, dir, "chown", "postfix", filepath.Join(dir, "data"))
	return p, err
}

// Name is how the tables call it.
func (p *Postfix) Name() string { return "postfix" }

// Version says which Postfix.
func (p *Postfix) Version() string {
	return "Postfix " + p.version + ", its defaults but for names, addresses and where it keeps its log; it signs nothing"
}

// Endpoint is where mail is handed in.
func (p *Postfix) Endpoint() Endpoint { return p.endpoint }

// Setup starts it: it has no accounts.
func (p *Postfix) Setup(ctx context.Context) error {
	_, err := p.Start(ctx)
	return err
}

// NewUsers fails: it has none.
func (p *Postfix) NewUsers(context.Context, func(i int) string) (drive.Worker, error) {
	return nil, errors.New("Postfix has no users")
}

// Start starts it, and waits for its greeting.
func (p *Postfix) Start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	c := (account{}).command(context.WithoutCancel(ctx), p.dir, findProgram("postfix"), "-c", p.dir, "start-fg")
	var err error
	if p.process, err = launch(c, filepath.Join(p.dir, "output")); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		d, err := p.Submit(ctx, 0)
		if err == nil {
			return time.Since(begin), d.Close()
		}
		select {
		case <-p.process.ended:
			return 0, fmt.Errorf("Postfix ended (%w); its last words:\n%s", p.process.err, p.process.lastWords())
		case <-ctx.Done():
			return 0, fmt.Errorf("no greeting on %s: %w", p.endpoint.Delivery, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends it: its start script does not hand the signal on to its master.
func (p *Postfix) Stop(ctx context.Context) error {
	if p.process == nil {
		return nil
	}
	_, err := (account{}).run(context.WithoutCancel(ctx), p.dir, findProgram("postfix"), "-c", p.dir, "stop")
	err = errors.Join(err, p.process.stop(ctx))
	p.process = nil
	return err
}

// Memory is that of its master and all its workers.
func (p *Postfix) Memory() (int64, error) { return p.process.memory() }

// From is anybody: who is on this machine may hand in what it likes.
func (p *Postfix) From() string { return drive.Sender }

// Next is its relayhost.
func (p *Postfix) Next() string { return p.next }

// Submit connects.
func (p *Postfix) Submit(ctx context.Context, n int) (*drive.Delivery, error) {
	return drive.DialSubmission(ctx, n, p.endpoint.Delivery, p.endpoint.TLS, p.From(), "")
}

// Flush has its queue run.
func (p *Postfix) Flush(ctx context.Context) error {
	_, err := (account{}).run(ctx, p.dir, findProgram("postqueue"), "-c", p.dir, "-f")
	return err
}

// Clear deletes its queue.
func (p *Postfix) Clear(ctx context.Context) error {
	_, err := (account{}).run(ctx, p.dir, findProgram("postsuper"), "-c", p.dir, "-d", "ALL")
	return err
}

// Roots is its master.
func (p *Postfix) Roots() []int { return []int{p.process.cmd.Process.Pid} }

// Sink starts Postfix's smtp-sink at an address; it ends by itself when it has taken count messages. wait waits for that.
func Sink(ctx context.Context, address string, count int) (wait func() error, err error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	c := who.command(ctx, "/", findProgram("smtp-sink"), "-M", fmt.Sprint(count), address, "1000")
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("smtp-sink is missing (%w); install it with: scripts/bench-peers postfix", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return c.Wait, conn.Close()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("smtp-sink does not answer: %w", err), kill(c))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func kill(c *exec.Cmd) error {
	err := c.Process.Kill()
	_ = c.Wait() // killed
	return err
}

const (
	postfixMain = `compatibility_level = 3.6
queue_directory = @DIR@/queue
data_directory = @DIR@/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = @DIR@/log
maillog_file_prefixes = /
myhostname = bench.example
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_tls_cert_file = @CERT@
smtpd_tls_key_file = @KEY@
smtpd_tls_security_level = may
relayhost = [127.0.0.1]:@NEXT@
smtpd_peername_lookup = no
disable_dns_lookups = yes
`
	postfixMaster = `127.0.0.1:@PORT@ inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
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
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
)
