// Package owner leaves what root makes in the server's directories to the server's user.
package owner

import (
	"os"
	"path/filepath"
	"syscall"
)

// Inherit gives the directory or file at path, which this process made or found, to the owner of the directory that it is in, if both are
// root's: a verb that root runs without a server would else leave files that the server, which has a user of its own, can't open. What
// can't be given away, as on a file system that knows no owners, stays as it is: whoever can't open it says so.
//
// The server's user may put anything in place of path: links are not followed, and a file with a second name stays root's.
func Inherit(path string) {
	if os.Geteuid() != 0 {
		return
	}
	owner, ok := stat(os.Stat(filepath.Dir(path)))
	if !ok || owner.Uid == 0 {
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && (info.IsDir() || info.Mode().IsRegular()) {
		if made, ok := stat(info, nil); ok && made.Uid == 0 && (info.IsDir() || made.Nlink == 1) {
			_ = f.Chown(int(owner.Uid), int(owner.Gid)) // see above
		}
	}
}

func stat(info os.FileInfo, err error) (*syscall.Stat_t, bool) {
	if err != nil {
		return nil, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return s, ok
}
