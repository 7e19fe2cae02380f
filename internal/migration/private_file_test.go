package migration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/migration"
)

func TestReadPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := migration.ReadPrivate(path, 4); err != nil || string(text) != "four" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := migration.ReadPrivate(path, 3); err == nil || !strings.Contains(err.Error(), "longer than 3 bytes") {
		t.Errorf("a file that is too long: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := migration.ReadPrivate(path, 4); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("a file that the group may read: %v", err)
	}
	if _, err := migration.ReadPrivate(filepath.Dir(path), 4); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a folder: %v", err)
	}
}
