// Package owner leaves what root makes in the server's directories to the server's user.
package owner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Inherit gives path to the owner of the directory that it is in, if this process is root's: a verb that root runs without a server would
// else leave files that the server, which has a user of its own, can't open. (SQLite does so with its files.) A file system that knows no
// owners is left as it is.
func Inherit(path string) error { return inherit(path, os.Geteuid(), os.Lchown) }

func inherit(path string, euid int, chown func(path string, uid, gid int) error) error {
	if euid != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("owner of %s: %w", path, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 {
		return nil
	}
	if err := chown(path, int(stat.Uid), int(stat.Gid)); err != nil && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("owner of %s: %w", path, err)
	}
	return nil
}
