package mailbox

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// sweepBatch is how many pieces of each kind of work one Sweep does.
const sweepBatch = 50

// Sweep does a bounded piece of upkeep and returns true while there is more: it finishes deletions of folders and purges of
// mailboxes that were interrupted, and removes recoverable items whose time is over and the blobs of bodies that are gone. It is
// to be called at the start and then now and then, by one caller at a time.
func (s *Store) Sweep(ctx context.Context) (more bool, err error) {
	for _, part := range []func(context.Context) (bool, error){s.sweepFolders, s.sweepMailboxes, s.sweepRecoverable, s.sweepBlobs} {
		m, err := part(ctx)
		if err != nil {
			return false, fmt.Errorf("sweep the mailboxes: %w", err)
		}
		more = more || m
	}
	return more, nil
}

func (s *Store) sweepFolders(ctx context.Context) (bool, error) {
	ids, err := s.ids(ctx, `SELECT DISTINCT mailbox FROM folder WHERE gone AND messages > 0 ORDER BY mailbox LIMIT $1`, sweepBatch)
	for _, id := range ids {
		if _, err := s.emptyGone(ctx, ID(id)); err != nil {
			return false, err
		}
	}
	return len(ids) > 0, err
}

func (s *Store) sweepMailboxes(ctx context.Context) (bool, error) {
	ids, err := s.ids(ctx, `SELECT id FROM mailbox WHERE state = 2 ORDER BY id LIMIT $1`, sweepBatch)
	for _, id := range ids {
		if _, err := s.PurgeBatch(ctx, ID(id)); err != nil {
			return false, err
		}
	}
	return len(ids) > 0, err
}

// ids reads one column of numbers.
func (s *Store) ids(ctx context.Context, query string, args ...any) (ids []int64, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		ids = ids[:0]
		return tx.Each(ctx, func(r db.Row) error {
			var id int64
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		}, query, args...)
	})
	return ids, err
}

const readGarbage = `SELECT key FROM blob_garbage WHERE due <= $1 ORDER BY due LIMIT $2`

// sweepBlobs removes blobs that no body refers to: first the bytes, then the mark, so that a crash in between repeats it.
func (s *Store) sweepBlobs(ctx context.Context) (bool, error) {
	var keys []string
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		keys = keys[:0]
		return tx.Each(ctx, func(r db.Row) error {
			var key string
			err := r.Scan(&key)
			keys = append(keys, key)
			return err
		}, readGarbage, micros(s.clock.Now()), sweepBatch)
	})
	if err != nil || len(keys) == 0 {
		return false, err
	}
	for _, key := range keys {
		if err := s.blobs.Delete(ctx, key); err != nil {
			return false, err
		}
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, key := range keys {
			if _, err := tx.Exec(ctx, `DELETE FROM blob_garbage WHERE key = $1`, key); err != nil {
				return err
			}
		}
		return nil
	})
	return true, err
}
