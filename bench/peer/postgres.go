package peer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Postgres is a PostgreSQL cluster of its own, as it comes: every commit is synced. It listens on a socket in its directory.
type Postgres struct {
	dir     string
	who     account
	bin     string
	version string
	process *process
}

// NewPostgres makes a cluster in an empty directory and starts it. An error names the command that installs what is missing.
func NewPostgres(ctx context.Context, dir string) (*Postgres, error) {
	who, err := unprivileged() // it refuses to run as root
	if err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir, who: who}
	if p.bin, err = findPostgres(); err != nil {
		return nil, err
	}
	if err := who.give(dir); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil { // whoever reaches the socket is trusted
		return nil, err
	}
	if p.version, err = who.run(ctx, dir, filepath.Join(p.bin, "postgres"), "--version"); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if _, err := who.run(ctx, dir, filepath.Join(p.bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"); err != nil {
		return nil, err
	}
	c := who.command(context.WithoutCancel(ctx), dir, filepath.Join(p.bin, "postgres"), "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+dir)
	if p.process, err = launch(c, filepath.Join(dir, "output")); err != nil {
		return nil, err
	}
	if err := p.await(ctx); err != nil {
		return nil, errors.Join(err, p.Stop(ctx))
	}
	return p, nil
}

// findPostgres is the directory of PostgreSQL's programs, which Debian keeps out of a user's path.
func findPostgres() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	program, err := exec.LookPath("initdb")
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is missing (%w); install it with: scripts/bench-peers postgres", err)
	}
	return filepath.Dir(program), nil
}

// await asks until it takes connections.
func (p *Postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := p.who.run(ctx, p.dir, filepath.Join(p.bin, "pg_isready"), "-h", p.dir)
		if err == nil {
			return nil
		}
		select {
		case <-p.process.ended:
			return fmt.Errorf("PostgreSQL ended (%w); its last words:\n%s", p.process.err, p.process.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%w; its last words:\n%s", err, p.process.lastWords())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Version says which PostgreSQL.
func (p *Postgres) Version() string {
	return strings.Replace(p.version, "postgres (PostgreSQL)", "PostgreSQL", 1) + " with its defaults, fsync on, over a Unix socket"
}

// NewDatabase makes an empty database and gives back its URL.
func (p *Postgres) NewDatabase(ctx context.Context, name string) (address string, err error) {
	err = p.client(ctx, "createdb", name)
	return "postgres://postgres@/" + name + "?host=" + url.QueryEscape(p.dir), err
}

// DropDatabase removes a database that nobody uses any more.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.client(ctx, "dropdb", name)
}

// tidy does what PostgreSQL would do by itself some minutes after a database was filled.
func (p *Postgres) tidy(ctx context.Context, name string) error {
	return p.client(ctx, "psql", "-c", "VACUUM ANALYZE", "-c", "CHECKPOINT", name)
}

// client runs one of PostgreSQL's programs as its superuser.
func (p *Postgres) client(ctx context.Context, program string, args ...string) error {
	_, err := p.who.run(ctx, p.dir, filepath.Join(p.bin, program), append([]string{"-h", p.dir, "-U", "postgres"}, args...)...)
	return err
}

// Stop ends it; those who use it end before.
func (p *Postgres) Stop(ctx context.Context) error { return p.process.stop(ctx) }
