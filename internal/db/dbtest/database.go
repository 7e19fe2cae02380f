package dbtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
)

var (
	databases atomic.Int64
	files     sync.Map // the SQLite databases with migrations applied, by sumOf
)

// migrated makes an SQLite database with the migrations applied. A copy of another takes a fraction of the time.
func migrated(path string, migrations []db.Migration) error {
	sum := sumOf(migrations)
	if file, ok := files.Load(sum); ok {
		return os.WriteFile(path, file.([]byte), 0o600)
	}
	d, err := db.Open(context.Background(), db.Options{Path: path, NoSync: true, Migrations: migrations})
	if err != nil {
		return err
	}
	if err := d.Close(); err != nil {
		return err
	}
	file, err := os.ReadFile(path)
	files.Store(sum, file)
	return err
}

func sumOf(migrations []db.Migration) string {
	sum := sha256.New()
	for _, m := range migrations {
		fmt.Fprintf(sum, "%d\x00%s\x00%s\x00", m.Version, m.SQL, m.PostgreSQL)
	}
	return hex.EncodeToString(sum.Sum(nil)[:12])
}

// PostgresURL returns the URL of a PostgreSQL database with the migrations applied and nothing else in it. It is the test's until that ends.
func PostgresURL(t testing.TB, migrations []db.Migration) string {
	t.Helper()
	ctx := context.Background()
	address, err := clusterURL()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	name, err := database(ctx, conn, address, migrations)
	if err != nil {
		t.Fatalf("make a test database: %v", err)
	}
	t.Cleanup(func() {
		if len(migrations) == 0 {
			_, err = conn.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		} else {
			_, err = conn.ExecContext(ctx, "SELECT pg_advisory_unlock_all()")
		}
		if err := errors.Join(err, conn.Close()); err != nil {
			t.Errorf("give the test database back: %v", err)
		}
	})
	return withDatabase(address, name)
}

// database returns the name of a database with the migrations applied that is locked by conn: one that an earlier test left, or a new one, which
// costs many times as much.
func database(ctx context.Context, conn *sql.Conn, address string, migrations []db.Migration) (string, error) {
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if len(migrations) == 0 {
		_, err := conn.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
		return name, err
	}
	template, err := template(ctx, conn, address, migrations)
	if err != nil {
		return "", fmt.Errorf("the template: %w", err)
	}
	if left, err := left(ctx, conn, address, template); left != "" || err != nil {
		return left, err
	}
	name = template + "_" + name
	// CREATE DATABASE copies its template, which is many times faster than migrating, as files twice as fast as by the log.
	for _, statement := range []string{
		"SELECT pg_advisory_lock(hashtextextended('" + name + "', 0))", "CREATE DATABASE " + name + " TEMPLATE " + template + " STRATEGY FILE_COPY",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return "", err
		}
	}
	state, err := inside(ctx, withDatabase(address, name), func(ctx context.Context, conn *sql.Conn) (string, error) {
		is, err := shape(ctx, conn)
		if err != nil {
			return "", err
		}
		rows, err := seeds(ctx, conn)
		return is + ";" + rows, err
	})
	if err == nil {
		err = conn.QueryRowContext(ctx, "SELECT format('COMMENT ON DATABASE %I IS %L', $1::text, $2::text)", name, state).Scan(&state)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, state)
	}
	return name, err
}

// left empties and locks a database of the template that an earlier test left, and returns its name; "" where there is none. One whose tables a
// test changed, or analyzed, is dropped.
func left(ctx context.Context, conn *sql.Conn, address, template string) (string, error) {
	for after := ""; ; {
		var name, state string
		var locked bool
		err := conn.QueryRowContext(ctx, `SELECT datname, coalesce(shobj_description(oid, 'pg_database'), ''), pg_try_advisory_lock(hashtextextended(datname, 0))
			FROM (SELECT oid, datname FROM pg_database WHERE starts_with(datname, $1) AND datname > $2 ORDER BY datname LIMIT 1) one`, template+"_", after).Scan(&name, &state, &locked)
		if errors.Is(err, sql.ErrNoRows) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		after = name
		if !locked {
			continue
		}
		was, rows, _ := strings.Cut(state, ";")
		is, err := inside(ctx, withDatabase(address, name), func(ctx context.Context, conn *sql.Conn) (string, error) {
			return emptied(ctx, conn, rows)
		})
		if err == nil && is == was {
			return name, nil
		}
		for _, statement := range []string{"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)", "SELECT pg_advisory_unlock_all()"} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return "", err
			}
		}
	}
}

// inside calls fn with a connection to a database.
func inside(ctx context.Context, url string, fn func(context.Context, *sql.Conn) (string, error)) (string, error) {
	pool, err := sql.Open("pgx", url)
	if err != nil {
		return "", err
	}
	defer pool.Close() // as the connection
	conn, err := pool.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close() // what was done is known
	return fn(ctx, conn)
}

// emptied empties the tables, puts back the rows that they have from the beginning, and returns the shape then.
func emptied(ctx context.Context, conn *sql.Conn, rows string) (string, error) {
	// Of a server that was killed.
	if _, err := conn.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
		return "", err
	}
	tables, err := full(ctx, conn)
	if err != nil {
		return "", err
	}
	if len(tables) > 0 {
		if _, err := conn.ExecContext(ctx, "TRUNCATE "+strings.Join(tables, ", ")+" CASCADE"); err != nil {
			return "", err
		}
	}
	if rows != "" {
		if _, err := conn.ExecContext(ctx, rows); err != nil {
			return "", err
		}
	}
	return shape(ctx, conn)
}

// full are the tables that hold anything, which are few behind most tests, but for that of the migrations.
func full(ctx context.Context, conn *sql.Conn) (tables []string, err error) {
	var ask string
	err = conn.QueryRowContext(ctx, `SELECT string_agg(format('SELECT %L WHERE EXISTS (SELECT 1 FROM %I)', quote_ident(relname), relname), ' UNION ALL ')
		FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'schema_history'`).Scan(&ask)
	if err != nil {
		return nil, err
	}
	rows, err := conn.QueryContext(ctx, ask)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // rows.Err tells
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	return tables, rows.Err()
}

// seeds is a statement that puts back the rows which the tables have, from the migrations.
func seeds(ctx context.Context, conn *sql.Conn) (string, error) {
	tables, err := full(ctx, conn)
	for i, table := range tables {
		err = errors.Join(err, conn.QueryRowContext(ctx, "SELECT format('one_%s AS (INSERT INTO %s SELECT * FROM json_populate_recordset(NULL::%s, %L))', $1::int, $2::text, $2::text, (SELECT json_agg(t) FROM "+
			table+" t))", i, table).Scan(&tables[i]))
	}
	if err != nil || len(tables) == 0 {
		return "", err
	}
	return "WITH " + strings.Join(tables, ", ") + " SELECT", nil
}

// shape tells what the tables are, and what is known of them by ANALYZE: those of one database are the same if and only if nobody changed them.
func shape(ctx context.Context, conn *sql.Conn) (sum string, err error) {
	err = conn.QueryRowContext(ctx, `SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
		SELECT concat_ws(' ', oid, relname, relkind, relnatts, relchecks, relhastriggers, reloptions, CASE relkind WHEN 'r' THEN reltuples END) AS line FROM pg_class WHERE oid >= 16384
		UNION ALL SELECT concat_ws(' ', attrelid, attname, atttypid, attnotnull, attisdropped) FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
		UNION ALL SELECT concat_ws(' ', indexrelid, indisvalid) FROM pg_index WHERE indexrelid >= 16384
		UNION ALL SELECT concat_ws(' ', 'default', oid) FROM pg_attrdef
		UNION ALL SELECT concat_ws(' ', 'constraint', oid) FROM pg_constraint WHERE oid >= 16384
		UNION ALL SELECT concat_ws(' ', 'trigger', oid) FROM pg_trigger WHERE oid >= 16384
		UNION ALL SELECT concat_ws(' ', 'function', oid) FROM pg_proc WHERE oid >= 16384
		UNION ALL SELECT concat_ws(' ', 'setting', setdatabase, setconfig) FROM pg_db_role_setting
		UNION ALL SELECT concat_ws(' ', 'statistics', count(*)) FROM pg_statistic WHERE starelid >= 16384
		UNION ALL SELECT concat_ws(' ', 'migrations', count(*)) FROM schema_history) lines`).Scan(&sum)
	return sum, err
}

// template returns the name of a database with the migrations applied, made once per cluster and set of migrations. An advisory
// lock keeps test processes that share the cluster apart.
func template(ctx context.Context, conn *sql.Conn, address string, migrations []db.Migration) (_ string, err error) {
	name := "template_" + sumOf(migrations)
	lock := fnv.New32a()
	_, _ = lock.Write([]byte(name))
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(lock.Sum32())); err != nil {
		return "", err
	}
	defer conn.ExecContext(ctx, "SELECT pg_advisory_unlock_all()") // closing the connection does it too
	var made bool
	err = conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate)", name).Scan(&made)
	if err != nil || made {
		return name, err
	}
	if _, err := conn.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name); err != nil { // one half made
		return "", err
	}
	if _, err := conn.ExecContext(ctx, "CREATE DATABASE "+name+" ENCODING 'UTF8' TEMPLATE template0"); err != nil {
		return "", err
	}
	d, err := db.Open(ctx, db.Options{URL: withDatabase(address, name), NoSync: true, Migrations: migrations})
	if err != nil {
		return "", err
	}
	if err := d.Close(); err != nil {
		return "", err
	}
	_, err = conn.ExecContext(ctx, "ALTER DATABASE "+name+" IS_TEMPLATE true")
	return name, err
}

func withDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic("dbtest: the cluster's URL was parsed before: " + err.Error())
	}
	u.Path = "/" + name
	return u.String()
}
