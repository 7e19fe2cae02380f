package owner

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestRootLeavesItToTheOwnerOfTheDirectory(t *testing.T) {
	dir, user := t.TempDir(), os.Geteuid()
	if user == 0 { // only root can make a directory somebody else's; anybody else's is not root's as it is
		user = 65534
		if err := os.Chown(dir, user, user); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "file")
	for name, c := range map[string]struct {
		euid   int
		says   error // by chown
		called bool
		fails  bool
	}{
		"root":                            {0, nil, true, false},
		"the user":                        {user, nil, false, false},
		"a file system without owners":    {0, syscall.EPERM, true, false},
		"a file system that is read only": {0, syscall.EROFS, true, true},
	} {
		called := false
		err := inherit(path, c.euid, func(p string, uid, _ int) error {
			called = true
			if p != path || uid != user {
				t.Errorf("%s: %s is given to %d, want %s to %d", name, p, uid, path, user)
			}
			return c.says
		})
		if called != c.called || (err != nil) != c.fails || c.fails && !errors.Is(err, c.says) {
			t.Errorf("%s: given away: %v, %v", name, called, err)
		}
	}
	if err := inherit("/", 0, func(string, int, int) error { return errors.New("called") }); err != nil {
		t.Errorf("what root makes in root's directory: %v", err)
	}
}
