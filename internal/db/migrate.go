package db

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Migration is one forward step of the schema. Steps that are released never change.
type Migration struct {
	// Version orders the steps; each package has a range of its own.
	Version int64
	// Name says in a few words what the step does.
	Name string
	// SQL holds statements, separated by ";" at the end of a line. All of a step runs in one transaction.
	// The words that differ between the engines are
	//
	//	{{.Blob}}          bytes
	//	{{.RowID}}         a primary key of one integer by which the rows lie in order (SQLite's rowid, which no other word gives)
	//	{{.CollateC}}      behind TEXT that is sorted or searched by prefix: bytewise order
	//	{{.WithoutRowID}}  behind a table whose rows lie in the order of its primary key, whatever that is
	SQL string
	// PostgreSQL holds what is done there alone, behind SQL: how rows are laid down.
	PostgreSQL string
}

// historyTable remembers the steps that were applied, in the columns of the library that once wrote it.
const (
	historyTable  = "schema_history"
	createHistory = `CREATE TABLE IF NOT EXISTS ` + historyTable + ` (
		version_id BIGINT PRIMARY KEY, is_applied BOOLEAN NOT NULL, tstamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)`
	// migrationLock is PostgreSQL's advisory lock that orders nodes which start at once.
	migrationLock = 5887940537704921958
)

// wordsOf are the words that differ between the engines, each after the name that stands for it. They are replaced by hand: with
// text/template in the program, which calls methods by names that only it knows, the linker keeps every method of every type.
func wordsOf(e Engine) []string {
	if e == PostgreSQL {
		return []string{"{{.Blob}}", "BYTEA", "{{.RowID}}", "BIGINT", "{{.CollateC}}", `COLLATE "C"`, "{{.WithoutRowID}}", ""}
	}
	return []string{"{{.Blob}}", "BLOB", "{{.RowID}}", "INTEGER", "{{.CollateC}}", "", "{{.WithoutRowID}}", "WITHOUT ROWID"}
}

// statements renders the step for the engine and cuts it at each ";" that ends a line.
func (m Migration) statements(e Engine) ([]string, error) {
	text := m.SQL
	if e == PostgreSQL {
		text += "\n" + m.PostgreSQL
	}
	text = strings.NewReplacer(wordsOf(e)...).Replace(text)
	if _, odd, found := strings.Cut(text, "{{"); found {
		return nil, fmt.Errorf("migration %d %s: unknown word {{%.20s", m.Version, m.Name, odd)
	}
	var out []string
	var part strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		part.WriteString(line + "\n")
		if strings.HasSuffix(line, ";") {
			out = append(out, strings.TrimSpace(part.String()))
			part.Reset()
		}
	}
	if rest := strings.TrimSpace(part.String()); rest != "" {
		out = append(out, rest)
	}
	return out, nil
}

// migrate applies the steps that are missing, each in its own transaction, and refuses a database with steps it does not know.
func migrate(ctx context.Context, d *sql.DB, e Engine, steps []Migration, log *slog.Logger) error {
	if len(steps) == 0 {
		return nil
	}
	// At almost every start nothing is missing, which one query tells. Where it fails there is no history yet, or what
	// follows fails the same way.
	history, err := appliedSteps(ctx, d)
	if err != nil || slices.ContainsFunc(steps, func(m Migration) bool { return !slices.Contains(history, m.Version) }) {
		if err := applySteps(ctx, d, e, steps, len(history) > 0, log); err != nil {
			return err
		}
		if history, err = appliedSteps(ctx, d); err != nil {
			return err
		}
	}
	// A newer server may have changed the database.
	for _, v := range history {
		if !slices.ContainsFunc(steps, func(m Migration) bool { return m.Version == v }) {
			return fmt.Errorf("the database was changed by a newer version of this program (step %d is unknown): use that version", v)
		}
	}
	return nil
}

// applySteps makes the history if there is none, and applies what it lacks in the order of the versions. Packages have ranges of
// versions, so a new step of one often comes before an old one of another. An upgrade tells of each.
func applySteps(ctx context.Context, d *sql.DB, e Engine, steps []Migration, upgrade bool, log *slog.Logger) error {
	conn, err := d.Conn(ctx)
	if err != nil {
		return fmt.Errorf("bring the tables up to date: %w", err)
	}
	defer conn.Close() // back to the pool, with nothing open
	err = alone(ctx, conn, e, func() error {
		_, err := conn.ExecContext(ctx, createHistory)
		return err
	})
	if err != nil {
		return fmt.Errorf("make the history of the tables: %w", err)
	}
	for _, step := range slices.SortedFunc(slices.Values(steps), func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) }) {
		parts, err := step.statements(e)
		if err != nil {
			return err
		}
		began := time.Now()
		var known bool
		err = alone(ctx, conn, e, func() error {
			row := conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+historyTable+" WHERE version_id = $1)", step.Version)
			if err := row.Scan(&known); err != nil || known {
				return err
			}
			for _, part := range parts {
				if _, err := conn.ExecContext(ctx, part); err != nil {
					return fmt.Errorf("%w\n%s", err, part)
				}
			}
			_, err := conn.ExecContext(ctx, "INSERT INTO "+historyTable+" (version_id, is_applied) VALUES ($1, TRUE)", step.Version)
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %d %s: %w", step.Version, step.Name, err)
		}
		if !known && upgrade {
			log.InfoContext(ctx, "the tables were changed", "step", step.Version, "name", step.Name, "duration", time.Since(began))
		}
	}
	return nil
}

// alone runs fn in a transaction of conn while no other process of either engine runs one of these.
func alone(ctx context.Context, conn *sql.Conn, e Engine, fn func() error) error {
	begin := []string{"BEGIN IMMEDIATE"}
	if e == PostgreSQL {
		begin = []string{beginWrite, "SELECT pg_advisory_xact_lock(" + strconv.Itoa(migrationLock) + ")"}
	}
	err := func() error {
		for _, statement := range begin {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		if err := fn(); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, "COMMIT")
		return err
	}()
	if err == nil {
		return nil
	}
	if _, undo := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); undo != nil {
		drop(conn) // what is open on it ends with it
	}
	return err
}

// appliedSteps are the versions in the database's history.
func appliedSteps(ctx context.Context, d *sql.DB) ([]int64, error) {
	rows, err := d.QueryContext(ctx, "SELECT version_id FROM "+historyTable+" WHERE version_id > 0 ORDER BY version_id")
	if err != nil {
		return nil, fmt.Errorf("read the history of the tables: %w", err)
	}
	defer rows.Close() // rows.Err tells
	var history []int64
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		history = append(history, v)
	}
	return history, rows.Err()
}
