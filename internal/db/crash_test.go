package db_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/leash"
)

// Some faults can only be suffered by a process of its own: this test program starts itself again in a role.
const (
	roleVariable = "PENNYPOST_TEST_ROLE"
	pathVariable = "PENNYPOST_TEST_PATH"
)

func TestMain(m *testing.M) {
	role, ok := map[string]func(*db.DB) error{"": nil, "writers": writeUntilKilled, "sync": writeWithoutSync, "limit": writeToTheLimit}[os.Getenv(roleVariable)]
	switch {
	case !ok:
		fmt.Fprintln(os.Stderr, "unknown role")
		os.Exit(2)
	case role == nil:
		os.Exit(m.Run())
	}
	d, err := db.Open(context.Background(), db.Options{Path: os.Getenv(pathVariable), Migrations: notes})
	if err == nil {
		err = role(d)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child starts this program in a role on the database at path. It dies with the test.
func child(t *testing.T, role, path string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// twoRows is a write of two rows that belong together.
func twoRows(key int64) db.Func {
	return func(ctx context.Context, tx *db.Tx) error {
		if err := add(ctx, tx, key, "ann", strconv.FormatInt(key, 10)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO reply (id, note) VALUES ($1, $1)", key)
		return err
	}
}

// writeUntilKilled writes from 16 goroutines, half of it so large that the log is moved into the file all the time, and prints
// each key once it was acknowledged.
func writeUntilKilled(d *db.DB) error {
	failed := make(chan error)
	for range 16 {
		go func() {
			for {
				key := id.Key()
				err := d.Write(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					if key%2 == 0 {
						if err := add(ctx, tx, -key, "bulk", strings.Repeat("x", 20_000)+strconv.FormatInt(key, 10)); err != nil {
							return err
						}
					}
					return twoRows(key)(ctx, tx)
				})
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d\n", key) // one write, so that lines never mix
			}
		}()
	}
	return <-failed
}

func TestKilledInTheMiddleNothingAcknowledgedIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	var acknowledged []int64
	for range 6 {
		n := 20 + rand.IntN(200)
		leash.Kill(t, func(line string) bool {
			if key, err := strconv.ParseInt(line, 10, 64); err == nil { // else cut off by the kill
				acknowledged = append(acknowledged, key)
				n--
			}
			return n == 0
		}, roleVariable+"=writers", pathVariable+"="+path)
		d, err := db.Open(t.Context(), db.Options{Path: path, Migrations: notes})
		if err != nil {
			t.Fatalf("after the kill: %v", err)
		}
		for _, fault := range d.Check(t.Context()) {
			t.Error(fault)
		}
		there := map[int64]bool{}
		err = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.Each(ctx, func(row db.Row) error {
				var key int64
				var whole bool
				err := row.Scan(&key, &whole)
				if there[key] = true; !whole {
					t.Errorf("%d is there by half", key)
				}
				return err
			}, "SELECT note.id, reply.id IS NOT NULL FROM note LEFT JOIN reply ON reply.id = note.id WHERE author = 'ann'")
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range acknowledged {
			if !there[key] {
				t.Errorf("%d was acknowledged and is not there", key)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged writes over 6 kills", len(acknowledged))
}

// refuseSync makes the kernel answer fdatasync with an I/O error from now on, for this process. A fsync still works: switching
// the driver to it heals the disk.
func refuseSync() error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_FDATASYNC, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	return installFilter(filter)
}

// writeWithoutSync writes a group of 16 whose sync fails, heals the disk when the ninth function is run again, and prints what
// became of each.
func writeWithoutSync(d *db.DB) error {
	if err := d.Write(context.Background(), twoRows(100)); err != nil {
		return err
	}
	if err := refuseSync(); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	var group sync.WaitGroup
	holding, goOn := make(chan struct{}), make(chan struct{})
	for i := range int64(16) {
		runs := 0
		fn := func(ctx context.Context, tx *db.Tx) error {
			if runs++; i == 0 && runs == 1 {
				close(holding)
				<-goOn
			}
			if i == 8 && runs == 2 {
				if _, err := sqlite.Fdatasync(false); err != nil {
					return err
				}
			}
			return twoRows(i)(ctx, tx)
		}
		group.Go(func() {
			err := d.Write(context.Background(), fn)
			fmt.Printf("%d %d %v\n", i, runs, err == nil || fault.KindOf(err) != fault.Temporary)
		})
		if i == 0 {
			<-holding
		}
		for d.Waiting() < int(i) {
			runtime.Gosched()
		}
	}
	close(goOn)
	group.Wait()
	if err := d.Write(context.Background(), twoRows(200)); err != nil {
		return err
	}
	fmt.Println("end")
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func TestAFailingSyncInAGroupOf16(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	cmd, out := child(t, "sync", path)
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 17 || lines[16] != "end" {
		t.Fatalf("the child said %q", lines)
	}
	want := []string{"100", "200"}
	for _, line := range lines[:16] {
		var i, runs int
		var acknowledged bool
		if _, err := fmt.Sscan(line, &i, &runs, &acknowledged); err != nil {
			t.Fatal(err)
		}
		// All failed together; then each was tried alone, and the disk was well again from the ninth on.
		if runs != 2 || acknowledged != (i >= 8) {
			t.Errorf("function %d ran %d times; acknowledged: %v", i, runs, acknowledged)
		}
		if acknowledged {
			want = append(want, strconv.Itoa(i))
		}
	}
	d := openSQLite(t, path) // after a kill: from the log alone
	got := strings.Fields(ids(t, d))
	if missing := difference(want, got); len(missing) > 0 {
		t.Errorf("acknowledged and not there: %v", missing)
	}
	if more := difference(got, want); len(more) > 0 {
		t.Errorf("there and not acknowledged: %v", more)
	}
}

// difference returns what a has and b has not.
func difference(a, b []string) (rest []string) {
	for _, x := range a {
		if !strings.Contains(" "+strings.Join(b, " ")+" ", " "+x+" ") {
			rest = append(rest, x)
		}
	}
	return rest
}

// writeToTheLimit writes from 16 goroutines until the kernel lets the files grow no more, prints each key that was acknowledged,
// then deletes the bulk and goes on.
func writeToTheLimit(d *db.DB) error {
	limit := unix.Rlimit{Cur: 2 << 20, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	var group sync.WaitGroup
	var odd atomic.Pointer[error]
	for range 16 {
		group.Go(func() {
			for range 1000 {
				key := id.Key()
				err := d.Write(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					if err := add(ctx, tx, -key, "bulk", strings.Repeat("x", 20_000)+strconv.FormatInt(key, 10)); err != nil {
						return err
					}
					return twoRows(key)(ctx, tx)
				})
				if err != nil {
					if fault.KindOf(err) != fault.Temporary {
						odd.Store(&err)
					}
					return
				}
				fmt.Printf("%d\n", key)
			}
		})
	}
	group.Wait()
	if err := odd.Load(); err != nil {
		return fmt.Errorf("a full disk must be a temporary fault: %w", *err)
	}
	limit.Cur = unix.RLIM_INFINITY
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := d.Write(context.Background(), twoRows(7)); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	fmt.Println(7)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func TestAtTheFileSizeLimitEveryAcknowledgedRowIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	cmd, out := child(t, "limit", path)
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	acknowledged := strings.Fields(string(text))
	if len(acknowledged) < 10 || len(acknowledged) > 15_000 || acknowledged[len(acknowledged)-1] != "7" {
		t.Fatalf("%d acknowledged, last %q", len(acknowledged), acknowledged[max(len(acknowledged)-1, 0):])
	}
	d := openSQLite(t, path)
	there := map[string]bool{}
	for _, key := range strings.Fields(ids(t, d)) {
		there[key] = true
	}
	for _, key := range acknowledged {
		if !there[key] {
			t.Errorf("%s was acknowledged and is not there", key)
		}
	}
	if len(there) != 2*len(acknowledged)-1 { // each but the last came with its bulk
		t.Errorf("%d rows of %d acknowledged writes", len(there), len(acknowledged))
	}
}
