package queue

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
)

// Prepared is a message's bytes, ready to be enqueued: in memory, or in Blobs already. It becomes one message.
type Prepared struct {
	queue *Queue
	data  []byte
	ref   string // in Blobs; empty for data
	size  int64
	taken atomic.Bool // a transaction that enqueued it is durable
}

// Size is how many bytes the message has.
func (p *Prepared) Size() int64 { return p.size }

// Prepare makes a message ready, which is given in parts. It keeps what is small, which must not change until EnqueueTx's transaction is over; what
// is large is on disk when it returns, and was not copied in memory. Faults: Temporary Message.
func (q *Queue) Prepare(ctx context.Context, parts ...[]byte) (*Prepared, error) {
	size := int64(0)
	readers := make([]io.Reader, len(parts))
	for i, b := range parts {
		size += int64(len(b))
		readers[i] = bytes.NewReader(b)
	}
	switch {
	case size > q.Limits.Inline:
		return q.upload(ctx, io.MultiReader(readers...), size)
	case len(parts) == 1:
		return &Prepared{queue: q, data: parts[0], size: size}, nil
	}
	return &Prepared{queue: q, data: slices.Concat(parts...), size: size}, nil
}

// elsewhere stands in place of the key in Blobs for messages whose bytes who enqueued them keeps.
const elsewhere = "-"

// Elsewhere is a message of a size whose bytes the caller keeps: couriers get none. It counts as any other.
func (q *Queue) Elsewhere(size int64) *Prepared {
	return &Prepared{queue: q, ref: elsewhere, size: size}
}

// upload writes a row that names the bytes, then the bytes: a crash in between leaves the row, by which they are found.
func (q *Queue) upload(ctx context.Context, r io.Reader, size int64) (*Prepared, error) {
	p := &Prepared{queue: q, ref: fmt.Sprintf("queue/%x", id.Key()), size: size}
	err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, insertUpload, q.life, p.ref)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("prepare a message: %w", err)
	}
	n, err := q.Blobs.Put(ctx, p.ref, r)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came where %d were announced", n, size)
	}
	if err != nil {
		p.Discard(context.WithoutCancel(ctx))
		return nil, fault.Wrap(err, fault.Temporary, fault.Message, "the message can't be stored now; try again later")
	}
	return p, nil
}

// Discard removes the bytes of a message that was not enqueued; it does nothing for one that was, and may be called always. What it
// fails to remove, the next start does.
func (p *Prepared) Discard(ctx context.Context) {
	if p.ref == "" || p.ref == elsewhere || p.taken.Load() {
		return
	}
	q := p.queue
	var n int64
	// The answer to a commit may have been lost: only the table knows whether the message was enqueued.
	err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		n, err = tx.Exec(ctx, disownUpload, q.life, p.ref)
		return err
	})
	if err == nil && n > 0 {
		err = q.removeGarbage(ctx, []string{p.ref})
	}
	if err != nil {
		q.Log.WarnContext(ctx, "the bytes of a message that was not queued could not be removed; the next start does it", "key", p.ref, "error", err)
	}
}

// disownUploads makes garbage of what earlier lives were about to store.
func (q *Queue) disownUploads(ctx context.Context) error {
	return q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, disownUploads, q.life)
		return err
	})
}

// sweepBatch is how many bodies are removed at once.
const sweepBatch = 100

// sweep removes the bytes of messages that are gone.
func (q *Queue) sweep(ctx context.Context) error {
	for {
		var refs []string
		err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			refs = refs[:0]
			return tx.Each(ctx, func(row db.Row) error {
				var ref string
				err := row.Scan(&ref)
				refs = append(refs, ref)
				return err
			}, selectGarbage, sweepBatch)
		})
		if err != nil || len(refs) == 0 {
			return err
		}
		if err := q.removeGarbage(ctx, refs); err != nil {
			return err
		}
	}
}

// removeGarbage removes the bytes first and the rows that name them last, so that a crash in between repeats it.
func (q *Queue) removeGarbage(ctx context.Context, refs []string) error {
	var failed error
	var removed []string
	for _, ref := range refs {
		if err := q.Blobs.Delete(ctx, ref); err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove %s: %w", ref, err))
			continue
		}
		removed = append(removed, ref)
	}
	return errors.Join(failed, q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, ref := range removed {
			if _, err := tx.Exec(ctx, deleteUpload, 0, ref); err != nil {
				return err
			}
		}
		return nil
	}))
}

// bodyOf is a message's bytes, open for reading.
type bodyOf interface {
	io.ReaderAt
	io.Closer
}

type inlineBody struct{ *bytes.Reader }

func (inlineBody) Close() error { return nil }

// errNoBody says that a message's bytes are not in the table.
var errNoBody = errors.New("the message's bytes are missing")

// bodyTx reads the bytes of a small message.
func bodyTx(ctx context.Context, tx *db.Tx, m ID) ([]byte, error) {
	var data []byte
	err := tx.QueryRow(ctx, selectBody, int64(m)).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoBody
	}
	return data, err
}

// open opens the body of a message that was read.
func (q *Queue) open(ctx context.Context, m *stock) (bodyOf, error) {
	if m.ref == "" || m.ref == elsewhere {
		return inlineBody{bytes.NewReader(m.data)}, nil
	}
	b, err := q.Blobs.Open(ctx, m.ref)
	if err != nil {
		return nil, fmt.Errorf("open the bytes of message %d: %w", m.id, err)
	}
	return b, nil
}
