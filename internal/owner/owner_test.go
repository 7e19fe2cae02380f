package owner

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestInherit looks at what is left of files and directories that this process made in another's directory. Where it is not root, nobody
// can make such a directory, and Inherit has nothing to do.
func TestInherit(t *testing.T) {
	dir, elsewhere, user := t.TempDir(), t.TempDir(), os.Geteuid()
	own := filepath.Join(elsewhere, "own")
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(own, nil, 0o600), os.WriteFile(in("file"), nil, 0o600), os.Mkdir(in("directory"), 0o700),
		os.Symlink(own, in("symbolic link")), os.Link(own, in("second name")), os.WriteFile(in("another's"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	another := user
	if user == 0 {
		user, another = 65534, 65533
		if err := errors.Join(os.Chown(dir, user, user), os.Chown(in("another's"), another, another)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{
		in("file"): user, in("directory"): user, in("symbolic link"): os.Geteuid(), in("second name"): os.Geteuid(), in("another's"): another,
		in("missing"): -1, own: os.Geteuid(),
	} {
		Inherit(path)
		info, err := os.Lstat(path)
		if want < 0 && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Sys().(*syscall.Stat_t).Uid); got != want {
			t.Errorf("%s is %d's, want %d's", path, got, want)
		}
	}
}
