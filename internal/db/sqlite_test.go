package db_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
)

// Every reader costs memory and a reading of the schema: those that come one after the other share one.
func TestReadsInTurnShareAReader(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "x.db"), NoSync: true, Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	for range 10 {
		if err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, "SELECT count(*) FROM note").Scan(new(int))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.OpenConnections(); n != 2 {
		t.Errorf("%d connections are open, want the writer's and one reader's", n)
	}
}
