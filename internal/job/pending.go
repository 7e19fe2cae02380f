package job

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// Pending is a job that waits or runs, for metrics and for people.
type Pending struct {
	ID       int64
	Kind     string
	Key      string
	Due      time.Time
	Running  bool
	Attempts int    // failures so far
	Error    string // of the last attempt
}

// List returns up to limit jobs with an id above after, in order of id.
func List(ctx context.Context, d *db.DB, after int64, limit int) ([]Pending, error) {
	var list []Pending
	err := d.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		list = nil
		return tx.Each(ctx, func(row db.Row) error {
			var p Pending
			var due, lease int64
			if err := row.Scan(&p.ID, &p.Kind, &p.Key, &due, &lease, &p.Attempts, &p.Error); err != nil {
				return err
			}
			p.Due, p.Running = time.UnixMicro(due).UTC(), lease != 0
			list = append(list, p)
			return nil
		}, pendingSQL, after, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return list, nil
}

// ExistsTx reports whether a job of the kind and key waits or runs.
func ExistsTx(ctx context.Context, tx *db.Tx, kind, key string) (bool, error) {
	var n int
	if err := tx.QueryRow(ctx, existsSQL, kind, key).Scan(&n); err != nil {
		return false, fmt.Errorf("look for job %s %s: %w", kind, key, err)
	}
	return n > 0, nil
}

// OfShareTx counts the jobs of a kind that are of a share, up to limit.
func OfShareTx(ctx context.Context, tx *db.Tx, kind, share string, limit int) (n int, err error) {
	if err := tx.QueryRow(ctx, ofShareSQL, kind, share, limit).Scan(&n); err != nil {
		return 0, fmt.Errorf("count jobs %s of %s: %w", kind, share, err)
	}
	return n, nil
}

// Count counts the jobs of a kind that wait or run.
func Count(ctx context.Context, d *db.DB, kind string) (n uint64, err error) {
	err = d.Read(ctx, func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, countSQL, kind).Scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("count jobs %s: %w", kind, err)
	}
	return n, nil
}

// maxError bounds the error text that is kept.
const maxError = 1000

// shown makes an error's text fit to be stored: valid UTF-8 without NUL, not too long.
func shown(err error) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", "�"), "�")
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "")
	}
	return text
}
