package harness

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pennypost/pennypost/internal/id"
)

// Engines runs fn once on SQLite and once on PostgreSQL, as subtests; url is empty or names a new, empty database.
func Engines(t *testing.T, fn func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, "") })
	t.Run("postgres", func(t *testing.T) { fn(t, Database(t)) })
}

// Database makes an empty PostgreSQL database, which is dropped at the end of the test, and returns its URL.
func Database(t testing.TB) string {
	t.Helper()
	cluster := os.Getenv("PENNYPOST_TEST_POSTGRES")
	if cluster == "" {
		t.Fatal("there is no PostgreSQL for the test: run it by make test, make e2e, or scripts/with-postgres go test …")
	}
	name := "e2e_" + strings.ReplaceAll(id.UUID(), "-", "")
	statement(t, cluster, fmt.Sprintf("CREATE DATABASE %s", name))
	t.Cleanup(func() { statement(t, cluster, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)) })
	u, err := url.Parse(cluster)
	if err != nil {
		t.Fatalf("PENNYPOST_TEST_POSTGRES: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func statement(t testing.TB, cluster, sql string) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, cluster)
	if err != nil {
		t.Fatalf("PostgreSQL for the tests: %v", err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
