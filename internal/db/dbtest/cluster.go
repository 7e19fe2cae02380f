package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/leash"
)

// URLVariable names the environment variable with the URL of a cluster that was started for several test processes. The role
// in it must be allowed to create databases.
const URLVariable = "PENNYPOST_TEST_POSTGRES"

const howToInstall = "the storage tests need PostgreSQL: apt-get install postgresql"

// cluster starts once per process, when a test first asks for it.
var cluster = sync.OnceValues(startCluster)

// running is a cluster of this process, which ends with it.
type running struct {
	url   string
	alive *leash.Leash
}

// clusterURL returns the URL of the database "postgres" of the test cluster.
func clusterURL() (string, error) {
	if u := os.Getenv(URLVariable); u != "" {
		return u, nil
	}
	c, err := cluster()
	if err != nil {
		return "", err
	}
	return c.url, nil
}

// startCluster makes a PostgreSQL cluster in a temporary directory, reachable by a socket in it alone. The processes end and the
// directory goes with this process, however it ends.
func startCluster() (*running, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
		"--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = who, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	// No durability and little memory: the tests about durability are SQLite's and the end-to-end ones.
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "full_page_writes=off", "-c", "max_connections=300", "-c", "shared_buffers=64MB", "-c", "autovacuum=off")
	server.Env, server.Dir, server.Stdout, server.Stderr = append(os.Environ(), "PGTEST_DIR="+dir), dir, log, log
	attributes := *who
	attributes.Setpgid = true // a Ctrl-C for the tests must not end the shell before it cleaned up
	server.SysProcAttr = &attributes
	alive, err := leash.Start(server, "QUIT", `rm -rf "$PGTEST_DIR"`)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	address := (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}).String()
	if err := answers(address); err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("PostgreSQL did not start: %w\n%s", err, bytes.TrimSpace(said))
	}
	return &running{address, alive}, nil
}

// programs returns the directory of PostgreSQL's server programs.
func programs() (string, error) {
	// Debian's own directories first: what it puts in the PATH are wrappers for its own clusters.
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for i := len(dirs) - 1; i >= 0; i-- {
		if _, err := os.Stat(filepath.Join(dirs[i], "initdb")); err == nil {
			return dirs[i], nil
		}
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New(howToInstall)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// unprivileged says as whom to run PostgreSQL, which refuses root, and gives that user the directory.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody: %w", err)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// answers waits until the server takes connections.
func answers(address string) error {
	pool, err := sql.Open("pgx", address)
	if err != nil {
		return err
	}
	defer pool.Close() // nothing was written
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err := pool.PingContext(ctx)
		if err == nil {
			return nil
		}
		if (clock.System{}).Sleep(ctx, 20*time.Millisecond) != nil {
			return err
		}
	}
}
