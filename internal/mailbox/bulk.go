package mailbox

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/pennypost/pennypost/internal/db"
)

// bulk is a statement over many rows of numbers, in one text per batch size, so that the texts stay few and prepared. In the
// text, VALUES stands for the rows (a table of columns column1, column2 … on both engines), and $1 … $fixed for arguments
// that are the same for all rows. The first lead of these are also the first columns of every row: joined to a key by all its
// columns, the rows are looked up one by one on both engines. With the key's first columns compared to constants instead,
// both were seen to read all of a folder and join it to the rows.
type bulk struct {
	sizes []int
	texts []func() string // made when first asked for: most of a process's batches are small
	cols  int
}

func newBulk(text string, fixed, lead, cols int) bulk {
	b := bulk{sizes: []int{128, 16, 4, 1}, cols: cols}
	for _, n := range b.sizes {
		b.texts = append(b.texts, sync.OnceValue(func() string { return bulkText(text, n, fixed, lead, cols) }))
	}
	return b
}

// bulkText is the statement over n rows.
func bulkText(text string, n, fixed, lead, cols int) string {
	var v strings.Builder
	v.WriteString("VALUES ")
	p := fixed
	for row := range n {
		if row > 0 {
			v.WriteString(", ")
		}
		sep := "("
		for col := range lead {
			fmt.Fprintf(&v, "%sCAST($%d AS BIGINT)", sep, col+1)
			sep = ", "
		}
		for range cols {
			p++
			fmt.Fprintf(&v, "%sCAST($%d AS BIGINT)", sep, p)
			sep = ", "
		}
		v.WriteByte(')')
	}
	return strings.Replace(text, "VALUES", v.String(), 1)
}

// exec runs the statement for rows, which holds cols numbers for each row, and returns the rows affected.
func (b *bulk) exec(ctx context.Context, tx *db.Tx, fixed []any, rows []int64) (int64, error) {
	total := int64(0)
	err := b.each(fixed, rows, func(text string, args []any) error {
		n, err := tx.Exec(ctx, text, args...)
		total += n
		return err
	})
	return total, err
}

// query runs the statement for rows and scans what it returns.
func (b *bulk) query(ctx context.Context, tx *db.Tx, fixed []any, rows []int64, scan func(db.Row) error) error {
	return b.each(fixed, rows, func(text string, args []any) error {
		return tx.Each(ctx, scan, text, args...)
	})
}

func (b *bulk) each(fixed []any, rows []int64, run func(text string, args []any) error) error {
	args := make([]any, 0, len(fixed)+min(len(rows), b.sizes[0]*b.cols))
	for i, size := range b.sizes {
		for len(rows) >= size*b.cols {
			args = append(args[:0], fixed...)
			for _, v := range rows[:size*b.cols] {
				args = append(args, v)
			}
			if err := run(b.texts[i](), args); err != nil {
				return err
			}
			rows = rows[size*b.cols:]
		}
	}
	return nil
}
