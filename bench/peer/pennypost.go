package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/internal/db"
)

// Pennypost is our server as it comes, with SQLite and files in its data directory, or on PostgreSQL.
type Pennypost struct {
	dir      string
	cluster  *Postgres // nil for SQLite
	url      string    // of its database in the cluster
	who      account
	program  string
	version  string
	cert     string
	key      string
	api      drive.API
	endpoint Endpoint
	process  *process
	// Organization is that of the users with mailboxes.
	Organization string
	// submission is where mail for others is handed in, next where it goes.
	submission, next string
}

// relayDomain is the domain of the user whose mail goes to other servers: that from a test domain stays here.
const relayDomain = "relay.example"

// NewPennypost prepares a server on an empty directory; with a cluster, on a new database of it with the directory's name.
func NewPennypost(ctx context.Context, binary, dir string, cert *Certificate, cluster *Postgres) (*Pennypost, error) {
	program, err := filepath.Abs(filepath.Join(dir, "pennypost"))
	if err != nil {
		return nil, err
	}
	if err := copyProgram(program, binary); err != nil {
		return nil, fmt.Errorf("Pennypost is missing (%w); build it with: make build", err)
	}
	// It runs as whoever runs the benchmark: it has nothing to refuse root for.
	p := &Pennypost{dir: dir, cluster: cluster, who: account{}, program: program}
	if p.version, err = p.who.run(ctx, dir, program, "version"); err != nil {
		return nil, err
	}
	for _, address := range []*string{&p.api.Address, &p.endpoint.Delivery, &p.endpoint.IMAPS, &p.submission, &p.next} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if cluster != nil {
		if p.url, err = cluster.NewDatabase(ctx, filepath.Base(dir)); err != nil {
			return nil, err
		}
	}
	p.endpoint.TLS = trust(cert.cert)
	if p.cert, p.key, err = cert.write(dir); err != nil {
		return nil, err
	}
	return p, os.WriteFile(p.settings(), fmt.Appendf(nil, `outbound = "next"
limit_queue_messages = 0
limit_queue_mb = 0
[gateway.next]
address = %q
tls = "none"
`, p.next), 0o600)
}

func (p *Pennypost) settings() string { return filepath.Join(p.dir, "settings.toml") }

// Name is how the tables call it.
func (p *Pennypost) Name() string {
	if p.cluster != nil {
		return "pennypost-postgres"
	}
	return "pennypost"
}

// Engine is the database it runs on.
func (p *Pennypost) Engine() db.Engine {
	if p.cluster != nil {
		return db.PostgreSQL
	}
	return db.SQLite
}

// Version says which Pennypost, on what.
func (p *Pennypost) Version() string {
	engine := "SQLite"
	if p.cluster != nil {
		engine = p.cluster.Version()
	}
	return "Pennypost " + strings.TrimPrefix(p.version, "pennypost ") + ", " + engine + ", every answer after its sync"
}

// Endpoint is where it is spoken to about mail.
func (p *Pennypost) Endpoint() Endpoint { return p.endpoint }

// API is where and as whom its API is called.
func (p *Pennypost) API() drive.API { return p.api }

// Data is its data directory.
func (p *Pennypost) Data() string { return filepath.Join(p.dir, "data") }

// Setup makes an organisation whose users have mailboxes.
func (p *Pennypost) Setup(ctx context.Context) error {
	if _, err := p.Start(ctx); err != nil {
		return err
	}
	var err error
	if p.Organization, p.endpoint.Domain, err = p.NewOrganization(ctx, "bench"); err != nil {
		return err
	}
	if err := makeUsers(ctx, p, 4); err != nil { // two hashes run at a time
		return err
	}
	if _, err := p.verb(ctx, "domain", "verify", relayDomain, "--organization", p.Organization); err != nil {
		return err
	}
	c, err := drive.DialAPI(ctx, p.api)
	if err != nil {
		return err
	}
	return errors.Join(apiUsers{c, p, nil}.makeUser("relay", p.From()), c.Close())
}

// verb runs the command line beside the server.
func (p *Pennypost) verb(ctx context.Context, args ...string) (string, error) {
	return p.who.run(ctx, p.dir, p.program, append(args, "--data", p.Data(), "--database-url", p.url)...)
}

// From is a user of its own domain.
func (p *Pennypost) From() string { return "relay@" + relayDomain }

// Next is where its gateway is.
func (p *Pennypost) Next() string { return p.next }

// Submit signs in as that user.
func (p *Pennypost) Submit(ctx context.Context, n int) (*drive.Delivery, error) {
	return drive.DialSubmission(ctx, n, p.submission, p.endpoint.TLS, p.From(), Password)
}

// Flush makes everything due.
func (p *Pennypost) Flush(ctx context.Context) error {
	_, err := p.verb(ctx, "queue", "retry", "--all")
	return err
}

// Clear drops everything, if there is anything.
func (p *Pennypost) Clear(ctx context.Context) error {
	_, err := p.verb(ctx, "queue", "drop", "--all")
	if err != nil && strings.HasSuffix(err.Error(), ": 0 dropped") {
		return nil
	}
	return err
}

// Roots are it and its PostgreSQL.
func (p *Pennypost) Roots() []int {
	roots := []int{p.process.cmd.Process.Pid}
	if p.cluster != nil {
		roots = append(roots, p.cluster.process.cmd.Process.Pid)
	}
	return roots
}

// NewUsers makes two calls of the API a user.
func (p *Pennypost) NewUsers(ctx context.Context, name func(i int) string) (drive.Worker, error) {
	c, err := drive.DialAPI(ctx, p.api)
	return apiUsers{c, p, name}, err
}

type apiUsers struct {
	*drive.APIConn
	p    *Pennypost
	name func(i int) string
}

func (u apiUsers) Do(i int) error {
	name := u.name(i)
	return u.makeUser(name, u.p.endpoint.Address(name))
}

func (u apiUsers) makeUser(name, email string) error {
	var user struct{ UserId string }
	if err := u.Make("CreateUser", map[string]string{
		"OrganizationId": u.p.Organization, "Name": name, "DisplayName": name, "Password": Password,
	}, &user); err != nil {
		return err
	}
	return u.Make("RegisterToWorkMail", map[string]string{
		"OrganizationId": u.p.Organization, "EntityId": user.UserId, "Email": email,
	}, nil)
}

// NewOrganization makes one and waits until it is active.
func (p *Pennypost) NewOrganization(ctx context.Context, alias string) (id, domain string, err error) {
	c, err := drive.DialAPI(ctx, p.api)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = c.Close() }() // nothing hangs on it
	var made struct{ OrganizationId string }
	if err := c.Make("CreateOrganization", map[string]string{"Alias": alias}, &made); err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var now struct{ State, DefaultMailDomain string }
		if err := c.Make("DescribeOrganization", made, &now); err != nil {
			return "", "", err
		}
		if now.State == "Active" {
			return made.OrganizationId, now.DefaultMailDomain, nil
		}
		select {
		case <-ctx.Done():
			return "", "", fmt.Errorf("organization %s is still %s", made.OrganizationId, now.State)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Start starts it.
func (p *Pennypost) Start(ctx context.Context) (time.Duration, error) {
	c := p.who.command(context.WithoutCancel(ctx), p.dir, p.program, "serve", "--data", p.Data(), "--config", p.settings(),
		"--http", p.api.Address, "--smtp", p.endpoint.Delivery, "--imaps", p.endpoint.IMAPS,
		"--database-url", p.url, "--https", "", "--submission", "", "--submissions", p.submission, "--imap", "", "--managesieve", "",
		"--tls-cert", p.cert, "--tls-key", p.key)
	begin := time.Now()
	var err error
	if p.process, err = launch(c, filepath.Join(p.dir, "output")); err != nil {
		return 0, err
	}
	if err := awaitGreeting(ctx, p.endpoint, p.process); err != nil {
		return 0, err
	}
	ready := time.Since(begin)
	return ready, p.credentials(ctx)
}

// credentials asks for the administrator's access key as a shell would.
func (p *Pennypost) credentials(ctx context.Context) error {
	out, err := p.who.run(ctx, p.dir, "/bin/sh", "-c",
		`e=$("$1" env --data "$2") || exit; eval "$e"; printf '%s\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_REGION"`,
		"sh", p.program, p.Data())
	if err != nil {
		return err
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 3 {
		return errors.New("pennypost env did not name an access key and a region")
	}
	p.api.KeyID, p.api.Secret, p.api.Region = lines[0], lines[1], lines[2]
	return nil
}

// Stop ends it.
func (p *Pennypost) Stop(ctx context.Context) error {
	err := p.process.stop(ctx)
	p.process = nil
	return err
}

// Memory is that of its process and of its PostgreSQL.
func (p *Pennypost) Memory() (int64, error) {
	n, err := p.process.memory()
	if err != nil || p.cluster == nil {
		return n, err
	}
	m, err := p.cluster.process.memory()
	return n + m, err
}
