package blob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/internal/fault"
)

func files(t *testing.T, dir string) *blob.Files {
	t.Helper()
	f, err := blob.NewFiles(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFiles(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return files(t, filepath.Join(t.TempDir(), "not", "there", "yet")) })
}

func TestFilesWithoutSync(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := blob.New(t.Context(), blob.Options{Dir: t.TempDir(), NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestOthersCanNotReadFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	if err := files(t, dir).Put(t.Context(), "m-1/a", strings.NewReader("secret")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRootLeavesFilesToTheOwnerOfTheDirectory: the server, which is another user, could not open what an import by root left.
func TestRootLeavesFilesToTheOwnerOfTheDirectory(t *testing.T) {
	dir, user := t.TempDir(), os.Geteuid()
	if user == 0 { // whoever is not root makes files that are its own anyway
		user = 65534
		if err := os.Chown(dir, user, user); err != nil {
			t.Fatal(err)
		}
	}
	if err := files(t, filepath.Join(dir, "blobs")).Put(t.Context(), "m-1/a", strings.NewReader("body")); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var stat unix.Stat_t
		if err := errors.Join(err, unix.Lstat(path, &stat)); err != nil {
			return err
		}
		if seen++; int(stat.Uid) != user {
			t.Errorf("%s is %d's, want %d's", path, stat.Uid, user)
		}
		return nil
	})
	if err != nil || seen != 6 { // with blobs, incoming.tmp, m-1, the directory of the hash, and the file
		t.Fatalf("%d files and directories, %v", seen, err)
	}
}

func TestHalfWrittenFilesAreSweptWhenOld(t *testing.T) {
	dir := t.TempDir()
	files(t, dir)
	old, fresh := filepath.Join(dir, "incoming.tmp", "blob1"), filepath.Join(dir, "incoming.tmp", "blob2")
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	s := files(t, dir)
	if _, err := os.Stat(old); err == nil {
		t.Error("an old leftover is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("one that may be being written was removed:", err)
	}
	for info, err := range s.List(t.Context(), "") {
		t.Errorf("listed %+v, %v", info, err)
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	// The shard's directory can't be made: a file has its name.
	for i := range 256 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02x.d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Put(t.Context(), "a", bytes.NewReader([]byte("body")))
	if fault.KindOf(err) != fault.Temporary {
		t.Errorf("Put: %v, want a temporary fault", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "incoming.tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestABlobIsOnDiskBeforeItIsAcknowledged: its bytes before it has its name, each directory on the way to it before that, and its own
// directory afterwards. What a sync fails at is not acknowledged, and not there.
func TestABlobIsOnDiskBeforeItIsAcknowledged(t *testing.T) {
	want := []string{"incoming.tmp unnamed", ".. unnamed", ". unnamed", "m-1 unnamed", "m-1/d named"}
	for failing := range len(want) + 1 { // 0: none
		dir := t.TempDir()
		s := files(t, dir)
		named := func() bool {
			found, err := filepath.Glob(filepath.Join(dir, "m-1", "*", "a"))
			return err != nil || len(found) > 0
		}
		var synced []string
		s.OnSync(func(f *os.File) error {
			name, err := filepath.Rel(dir, f.Name())
			if parent := filepath.Dir(name); parent == "incoming.tmp" {
				name = parent
			} else if parent == "m-1" {
				name = "m-1/d"
			}
			state := " unnamed"
			if named() {
				state = " named"
			}
			if synced = append(synced, name+state); len(synced) == failing {
				return unix.EIO
			}
			return err
		})
		err := s.Put(t.Context(), "m-1/a", strings.NewReader("body"))
		if failing > 0 {
			if fault.KindOf(err) != fault.Temporary || named() {
				t.Errorf("when sync %d fails: %v; the blob is there: %v", failing, err, named())
			}
			continue
		}
		if err != nil || !slices.Equal(synced, want) {
			t.Errorf("synced were %q, want %q; %v", synced, want, err)
		}
		synced = nil
		if err := s.Put(t.Context(), "m-1/a", strings.NewReader("again")); err != nil || len(synced) != 2 {
			t.Errorf("where the directories are there, %q were synced: %v", synced, err)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, u := range []string{"gs://bucket", "s3://", "s3://b?colour=red", "s3://b?path_style=maybe", "s3://me:secret@b", ":"} {
		_, err := blob.New(t.Context(), blob.Options{URL: u})
		if err == nil || !strings.Contains(err.Error(), "blob_url") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error that names blob_url", u, err)
		}
	}
}

func TestAFullDisk(t *testing.T) {
	s := files(t, t.TempDir())
	const room = 8 << 20 // the whole process's limit: go test's log of what tests open, and coverage, must have room
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: room, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	err := s.Put(t.Context(), "m/large", bytes.NewReader(make([]byte, room+100<<10)))
	if rerr := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); rerr != nil {
		t.Fatal(rerr)
	}
	if fault.KindOf(err) != fault.Temporary || !errors.Is(err, unix.EFBIG) {
		t.Errorf("Put: %v, want a temporary fault", err)
	}
	for info, err := range s.List(t.Context(), "") {
		t.Errorf("left behind: %+v, %v", info, err)
	}
	if err := s.Put(t.Context(), "m/large", bytes.NewReader(make([]byte, room+100<<10))); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// BenchmarkPut is the rate of durable files.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{8 << 10, 64 << 10} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, writers), func(b *testing.B) {
				s, err := blob.NewFiles(b.TempDir(), false)
				if err != nil {
					b.Fatal(err)
				}
				body := make([]byte, size)
				var next atomic.Int64
				var group sync.WaitGroup
				b.ResetTimer()
				for range writers {
					group.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							if err := s.Put(b.Context(), fmt.Sprintf("m-1/%d", i), bytes.NewReader(body)); err != nil {
								b.Error(err)
							}
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "per-second")
			})
		}
	}
}
