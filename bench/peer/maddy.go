package peer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
)

// Maddy is maddy as its own configuration has it, with files for bodies and SQLite for passwords and the rest, without checks and limits.
type Maddy struct {
	dir      string
	name     string
	dsn      string // what is added to that of its mailboxes
	sync     string // how its version speaks of that
	who      account
	program  string
	version  string
	endpoint Endpoint
	process  *process
}

// NewMaddy prepares a maddy on an empty directory. binary is where it was built; an error names the command that does.
func NewMaddy(ctx context.Context, binary, dir string, cert *Certificate) (*Maddy, error) {
	return newMaddy(ctx, binary, dir, cert, &Maddy{name: "maddy", sync: "its default synchronous=NORMAL (what it answers 250 may be lost with the power)"})
}

// NewMaddyFull prepares a maddy whose mailboxes sync each commit, so that its answers promise what ours do.
func NewMaddyFull(ctx context.Context, binary, dir string, cert *Certificate) (*Maddy, error) {
	return newMaddy(ctx, binary, dir, cert, &Maddy{name: "maddy-full", dsn: "?_sync=FULL", sync: "synchronous=FULL, as durable as ours"})
}

func newMaddy(ctx context.Context, binary, dir string, cert *Certificate, m *Maddy) (*Maddy, error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	m.dir, m.who, m.program = dir, who, filepath.Join(dir, "maddy")
	if err := copyProgram(m.program, binary); err != nil {
		return nil, fmt.Errorf("maddy is missing (%w); build it with: scripts/bench-peers maddy", err)
	}
	imaps, err := freeAddress()
	if err != nil {
		return nil, err
	}
	smtp, err := freeAddress()
	if err != nil {
		return nil, err
	}
	m.endpoint = Endpoint{IMAPS: imaps, Delivery: smtp, Domain: "bench.example", TLS: trust(cert.cert)}
	certFile, keyFile, err := cert.write(dir)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.config(), []byte(m.configuration(certFile, keyFile)), 0o600); err != nil {
		return nil, err
	}
	for _, sub := range []string{"state", "run"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	if err := who.give(dir); err != nil {
		return nil, err
	}
	version, err := who.run(ctx, dir, m.program, "version")
	m.version, _, _ = strings.Cut(version, "\n")
	return m, err
}

// Name is how the tables call it.
func (m *Maddy) Name() string { return m.name }

// Version says which maddy.
func (m *Maddy) Version() string {
	return m.name + ": maddy " + m.version + ", bodies in files, SQLite at " + m.sync
}

// Endpoint is where it listens.
func (m *Maddy) Endpoint() Endpoint { return m.endpoint }

// Setup makes the accounts before the first start.
func (m *Maddy) Setup(ctx context.Context) error {
	if err := makeUsers(ctx, m, 1); err != nil { // its commands would wait for each other's locks
		return err
	}
	_, err := m.Start(ctx)
	return err
}

// NewUsers runs maddy's own commands on its databases, two processes a user.
func (m *Maddy) NewUsers(ctx context.Context, name func(i int) string) (drive.Worker, error) {
	return maddyUsers{ctx, m, name}, nil
}

type maddyUsers struct {
	ctx  context.Context
	m    *Maddy
	name func(i int) string
}

func (u maddyUsers) Do(i int) error {
	address := u.m.endpoint.Address(u.name(i))
	for _, command := range [][]string{
		{"creds", "create", "--password", Password, address},
		{"imap-acct", "create", address},
	} {
		if _, err := u.m.who.run(u.ctx, u.m.dir, u.m.program, append([]string{"--config", u.m.config()}, command...)...); err != nil {
			return err
		}
	}
	return nil
}

func (u maddyUsers) Close() error { return nil }

// Start starts it.
func (m *Maddy) Start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	p, err := launch(m.who.command(context.WithoutCancel(ctx), m.dir, m.program, "--config", m.config(), "run"), filepath.Join(m.dir, "output"))
	if err != nil {
		return 0, err
	}
	m.process = p
	err = awaitGreeting(ctx, m.endpoint, p)
	return time.Since(begin), err
}

// Stop ends it.
func (m *Maddy) Stop(ctx context.Context) error {
	err := m.process.stop(ctx)
	m.process = nil
	return err
}

// Memory is that of its process.
func (m *Maddy) Memory() (int64, error) { return m.process.memory() }

func (m *Maddy) config() string { return filepath.Join(m.dir, "maddy.conf") }

func (m *Maddy) configuration(cert, key string) string {
	return strings.NewReplacer(
		"@DIR@", m.dir, "@IMAPS@", m.endpoint.IMAPS, "@SMTP@", m.endpoint.Delivery, "@DOMAIN@", m.endpoint.Domain, "@CERT@", cert, "@KEY@", key, "@DSN@", m.dsn,
	).Replace(`state_dir @DIR@/state
runtime_dir @DIR@/run
hostname mail.@DOMAIN@
tls file @CERT@ @KEY@

auth.pass_table local_authdb {
    table sql_table {
        driver sqlite3
        dsn credentials.db
        table_name passwords
    }
}

storage.imapsql local_mailboxes {
    driver sqlite3
    dsn imapsql.db@DSN@
}

smtp tcp://@SMTP@ {
    tls off
    deliver_to &local_mailboxes
}

imap tls://@IMAPS@ {
    auth &local_authdb
    storage &local_mailboxes
}
`)
}
