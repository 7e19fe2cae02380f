package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pennypost/pennypost/internal/owner"
)

// ErrHeld says that another process works on the data directory.
var ErrHeld = errors.New("another pennypost works on it")

// lock is the right to work on a data directory. The operating system takes it back when the process ends, however it ends.
type lock struct{ file *os.File }

// lockDir takes the directory, which must exist, or fails with ErrHeld.
func lockDir(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		owner.Inherit(f.Name())
		return &lock{f}, nil
	}
	_ = f.Close() // nothing was written
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("data directory %s: %w", dir, ErrHeld)
	}
	return nil, fmt.Errorf("lock the data directory %s: %w", dir, err)
}

// release gives the directory back.
func (l *lock) release() error { return l.file.Close() }
