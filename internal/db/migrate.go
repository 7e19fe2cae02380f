package db

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
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
}

// historyTable remembers the steps that were applied.
const historyTable = "schema_history"

// wordsOf are the words that differ, by engine, each after the name that stands for it. They are replaced by hand: with
// text/template in the program, which calls methods by names that only it knows, the linker keeps every method of every type.
var wordsOf = map[Engine][]string{
	SQLite:     {"{{.Blob}}", "BLOB", "{{.RowID}}", "INTEGER", "{{.CollateC}}", "", "{{.WithoutRowID}}", "WITHOUT ROWID"},
	PostgreSQL: {"{{.Blob}}", "BYTEA", "{{.RowID}}", "BIGINT", "{{.CollateC}}", `COLLATE "C"`, "{{.WithoutRowID}}", ""},
}

// statements renders the step for the engine and cuts it at each ";" that ends a line.
func (m Migration) statements(e Engine) ([]string, error) {
	text := strings.NewReplacer(wordsOf[e]...).Replace(m.SQL)
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
func migrate(ctx context.Context, d *sql.DB, e Engine, steps []Migration, log *slog.Logger, more ...goose.ProviderOption) error {
	if len(steps) == 0 {
		return nil
	}
	// At almost every start nothing is missing, which one query tells. Where it fails there is no history yet, or what
	// follows fails the same way.
	history, err := appliedSteps(ctx, d)
	if err != nil || slices.ContainsFunc(steps, func(m Migration) bool { return !slices.Contains(history, m.Version) }) {
		if err := applySteps(ctx, d, e, steps, log, more...); err != nil {
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

func applySteps(ctx context.Context, d *sql.DB, e Engine, steps []Migration, log *slog.Logger, more ...goose.ProviderOption) error {
	dialect := goose.DialectSQLite3
	if e == PostgreSQL {
		dialect = goose.DialectPostgres
	}
	var list []*goose.Migration
	for _, step := range steps {
		parts, err := step.statements(e)
		if err != nil {
			return err
		}
		list = append(list, goose.NewGoMigration(step.Version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			for _, part := range parts {
				if _, err := tx.ExecContext(ctx, part); err != nil {
					return fmt.Errorf("migration %d %s: %w\n%s", step.Version, step.Name, err, part)
				}
			}
			return nil
		}}, nil))
	}
	// Packages have ranges of versions, so a new step of one often comes before an old one of another.
	options := append([]goose.ProviderOption{
		goose.WithGoMigrations(list...), goose.WithTableName(historyTable), goose.WithAllowOutofOrder(true),
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(log),
	}, more...)
	p, err := goose.NewProvider(dialect, d, nil, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the tables up to date: %w", err)
	}
	return nil
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
