package peer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/bench/limit"
	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/principal"
)

// A server with a child is started, weighed and stopped; nothing of it is left.
func TestProcess(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	// The shell says that its child runs, then both wait; on SIGTERM it ends the child and itself.
	c := account{}.command(ctx, dir, "/bin/sh", "-c", `sleep 300 & child=$!; trap 'kill $child; echo bye; exit 3' TERM; echo child $child; wait`)
	p, err := launch(c, filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop(ctx)
	awaitChild(t, p)
	alone, err := pss(p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := p.memory(); err != nil || alone <= 0 || all <= alone {
		t.Errorf("with its child it takes %d bytes, alone %d: %v", all, alone, err)
	}
	if err := p.stop(ctx); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.err.Error(), "exit status 3") || !strings.HasSuffix(p.lastWords(), "bye") {
		t.Errorf("it ended with %v, saying %q", p.err, p.lastWords())
	}
	if err := p.stop(ctx); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
	if err := (*process)(nil).stop(ctx); err != nil {
		t.Errorf("stopping what never ran: %v", err)
	}
}

func awaitChild(t *testing.T, p *process) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		children, err := processTree()
		if err != nil {
			t.Fatal(err)
		}
		// The shell's child is still the shell until it becomes sleep; either way it has memory of its own.
		if own := children[p.cmd.Process.Pid]; len(own) == 1 && strings.HasPrefix(p.lastWords(), "child ") {
			return
		}
		select {
		case <-p.ended:
			t.Fatal(p.err, p.lastWords())
		case <-deadline:
			t.Fatal("no child")
		default:
		}
	}
}

func TestMissingPeersNameTheirCommand(t *testing.T) {
	cert, err := NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := NewMaddy(ctx, filepath.Join(t.TempDir(), "absent"), t.TempDir(), cert); err == nil || !strings.Contains(err.Error(), "scripts/bench-peers maddy") {
		t.Errorf("without maddy: %v", err)
	}
	if _, err := NewPennypost(ctx, filepath.Join(t.TempDir(), "absent"), t.TempDir(), cert, nil); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("without Pennypost: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if d := findProgram("dovecot"); d != "/usr/sbin/dovecot" {
		t.Errorf("Dovecot is looked for at %s", d)
	}
}

func TestCertificateIsForLoopback(t *testing.T) {
	now := time.Now()
	c, err := NewCertificate(now)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := c.write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1"} {
		if err := c.cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(cert); err != nil {
		t.Error(err)
	}
}

// A rate of PostgreSQL's commits is one only while each is synced.
func TestPostgresIsDurable(t *testing.T) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "postgres-") // not t.TempDir, where root's other users may not go
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p, err := NewPostgres(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(ctx)
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		got, err := p.who.run(ctx, dir, filepath.Join(p.bin, "psql"), "-h", dir, "-U", "postgres", "-Atc", "SHOW "+setting)
		if err != nil || got != "on" {
			t.Errorf("%s is %q, %v", setting, got, err)
		}
	}
	address, err := p.NewDatabase(ctx, "a-limit")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := limit.Commits(ctx, address, 2, 20, time.Minute); err != nil || out.Done != 20 {
		t.Errorf("%+v, %v", out, err)
	}
	if err := p.tidy(ctx, "a-limit"); err != nil {
		t.Error(err)
	}
	if err := p.DropDatabase(ctx, "a-limit"); err != nil {
		t.Error(err)
	}
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// Seeded users are those of the core's own verb, in a database that a server has made.
func TestSeed(t *testing.T) {
	ctx := context.Background()
	p := &Pennypost{dir: t.TempDir()}
	if err := os.Mkdir(p.Data(), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(ctx, db.Options{
		Path:       filepath.Join(p.Data(), "pennypost.db"),
		Migrations: append(audit.Migrations(), directory.Migrations()...),
	})
	if err != nil {
		t.Fatal(err)
	}
	service := directory.New(directory.Config{DB: d, Audit: audit.New(d, clock.System{}, audit.Config{}), Clock: clock.System{}, Feed: feed.New()})
	var org directory.OrgID
	err = d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := service.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: "seeded"})
		if err != nil {
			return err
		}
		org = o.ID
		for _, step := range []directory.OrgState{directory.OrgCreating, directory.OrgActive} {
			if _, err := service.SetStateTx(ctx, tx, o, o.State, step, ""); err != nil {
				return err
			}
			if o, err = service.OrganizationTx(ctx, tx, org); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Seed(ctx, string(org), 300); err != nil {
		t.Fatal(err)
	}
	if d, err = db.Open(ctx, db.Options{Path: filepath.Join(p.Data(), "pennypost.db")}); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	service = directory.New(directory.Config{DB: d, Audit: audit.New(d, clock.System{}, audit.Config{}), Clock: clock.System{}, Feed: feed.New()})
	u, err := service.DescribeUser(ctx, principal.TheSystem("test"), org, "user.0000299")
	if err != nil || u.DisplayName != "User 299" {
		t.Errorf("%+v, %v", u, err)
	}
}
