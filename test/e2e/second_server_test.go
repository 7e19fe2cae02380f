package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// TestASecondServerOnTheDatabaseIsRefused starts a server with a data directory of its own on another's PostgreSQL database,
// with that one's secret key, so that only the database itself can tell.
func TestASecondServerOnTheDatabaseIsRefused(t *testing.T) {
	url := harness.Database(t)
	first := harness.Start(t, harness.Options{DatabaseURL: url, Unchecked: true})
	other := filepath.Join(t.TempDir(), "other")
	flags := []string{"--data", other, "--secret-key-file", filepath.Join(first.Dir, "secret.key")}
	r := harness.Run(t, harness.Command{Name: harness.Binary(t), Args: append(first.Args(), flags...)})
	if r.Status != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, "another pennypost") || !strings.Contains(r.Stderr, "--database-url") {
		t.Errorf("a second server on the database: %s", r)
	}
	first.Check()
	// PostgreSQL gives the database to the next one when the first is gone, however it went.
	first.Kill()
	key, err := os.ReadFile(filepath.Join(first.Dir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "admin.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	second := harness.Start(t, harness.Options{Dir: other, DatabaseURL: url, Flags: flags[2:], Unchecked: true})
	second.Check()
	second.Stop()
}
