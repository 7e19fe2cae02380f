package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// keptRow is a row that is to go.
type keptRow struct {
	id, ref string
	size    int64
}

func rowsTx(ctx context.Context, tx *db.Tx, query string, args ...any) (list []keptRow, err error) {
	return db.All(ctx, tx, func(row db.Row) (r keptRow, err error) {
		err = row.Scan(&r.id, &r.ref, &r.size)
		return r, err
	}, query, args...)
}

func (c *Contents) dropTx(ctx context.Context, tx *db.Tx, list []keptRow) error {
	for _, r := range list {
		n, err := tx.Exec(ctx, deleteContent, r.id)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := c.markTx(ctx, tx, r.ref); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sweep removes a batch of what is kept no longer, and reports whether there may be more; at the end what organisations have too much of.
func (c *Contents) Sweep(ctx context.Context) (more bool, err error) {
	var gone []keptRow
	var refs []string
	err = c.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		now := c.Clock.Now()
		if gone, err = rowsTx(ctx, tx, selectExpired, now.UnixMicro(), pruneBatch); err != nil {
			return err
		}
		if err = c.dropTx(ctx, tx, gone); err != nil {
			return err
		}
		refs, err = marksTx(ctx, tx, now.Add(-grace).UnixMicro())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("remove what functions were told of: %w", err)
	}
	for _, ref := range refs {
		err = errors.Join(err, c.remove(ctx, ref))
	}
	if err == nil && (len(gone) == pruneBatch || len(refs) == pruneBatch) {
		return true, nil
	}
	return false, errors.Join(err, c.trim(ctx))
}

func marksTx(ctx context.Context, tx *db.Tx, before int64) (refs []string, err error) {
	return db.All(ctx, tx, db.Value[string], selectMarks, before, pruneBatch)
}

// remove removes bytes that no row names, then their mark.
func (c *Contents) remove(ctx context.Context, ref string) error {
	if err := c.Blobs.Delete(ctx, ref); err != nil {
		return err
	}
	return c.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, deleteMark, ref)
		return err
	})
}

// trim removes the oldest of organisations that have more than MaxKept. What they have is summed up once, and by a transaction that reads:
// that looks at every row.
func (c *Contents) trim(ctx context.Context) error {
	if c.MaxKept <= 0 {
		return nil
	}
	var over map[int64]int64
	err := c.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		over, err = tooMuchTx(ctx, tx, c.MaxKept)
		return err
	})
	for org, much := range over {
		for err == nil && much > c.MaxKept {
			var size int64
			if size, err = c.dropOldest(ctx, org, much-c.MaxKept); size == 0 {
				break
			}
			much -= size
		}
	}
	return err
}

// dropOldest removes a batch at most of the oldest that an organisation has, until they were more than too many bytes, and returns their size.
func (c *Contents) dropOldest(ctx context.Context, org, tooMany int64) (size int64, err error) {
	err = c.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		list, err := rowsTx(ctx, tx, selectOldest, org, pruneBatch)
		if err != nil {
			return err
		}
		n := 0
		for size = 0; n < len(list) && size < tooMany; n++ {
			size += list[n].size
		}
		return c.dropTx(ctx, tx, list[:n])
	})
	return size, err
}

func tooMuchTx(ctx context.Context, tx *db.Tx, limit int64) (over map[int64]int64, err error) {
	over = map[int64]int64{}
	err = tx.Each(ctx, func(row db.Row) error {
		var org, much int64
		if err := row.Scan(&org, &much); err != nil {
			return err
		}
		over[org] = much
		return nil
	}, selectTooMuch, limit)
	return over, err
}

// EraseTx removes at most limit contents of an organisation that is being deleted, and returns how many.
func (c *Contents) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error) {
	list, err := rowsTx(ctx, tx, selectOfOrg, o.Key, limit)
	if err == nil {
		err = c.dropTx(ctx, tx, list)
	}
	if err != nil {
		return 0, fmt.Errorf("erase what functions of organization %s were told of: %w", o.ID, err)
	}
	return len(list), nil
}

// Check returns a line for each content whose bytes are about to be removed.
func (c *Contents) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		var id string
		var org int64
		if err := row.Scan(&id, &org); err != nil {
			return err
		}
		faults = append(faults, fmt.Sprintf("message flow: the bytes of message %s of organization %d are marked as garbage", id, org))
		return nil
	}, selectWrong)
	if err != nil {
		return nil, fmt.Errorf("check what functions were told of: %w", err)
	}
	return faults, nil
}

// CheckBodies returns a line for each content whose bytes are not whole in Blobs. One that goes meanwhile is none.
func (c *Contents) CheckBodies(ctx context.Context) (faults []string, err error) {
	for after := ""; ; {
		var page []keptRow
		err := c.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			page, err = rowsTx(ctx, tx, selectLargeOnes, after, pruneBatch)
			return err
		})
		if err != nil || len(page) == 0 {
			return faults, err
		}
		for _, r := range page {
			after = r.id
			if err := c.checkBody(ctx, r); err != nil {
				if now, gone := c.Current(ctx, r.id); gone == nil && now.ref == r.ref {
					faults = append(faults, fmt.Sprintf("message flow: the bytes of message %s are not whole: %v", r.id, err))
				}
			}
		}
	}
}

func (c *Contents) checkBody(ctx context.Context, r keptRow) error {
	b, err := c.Blobs.Open(ctx, r.ref)
	if err != nil {
		return err
	}
	defer b.Close() // it was only looked at
	if b.Size() != r.size {
		return fmt.Errorf("%d bytes are there where %d were stored", b.Size(), r.size)
	}
	return nil
}
