package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// bodyStore is where a body's bytes are.
type bodyStore uint8

const (
	inline  bodyStore = iota // in body.data
	inBlobs                  // under body.ref in Blobs, as they are
)

// bodyRef is what an item knows of its body's bytes.
type bodyRef struct {
	size  int64
	store bodyStore
	ref   string
	codec codec
	data  []byte
	read  bool // the fields above were read
}

// Source is where a message's bytes come from: in memory, or a spool that can be read more than once.
type Source struct {
	Bytes []byte
	Open  func() (io.ReadCloser, error) // used when Bytes is nil; a reader that can seek saves a copy
	Size  int64                         // the exact length of what Open gives
}

func (s *Source) size() int64 {
	if s.Bytes != nil || s.Open == nil {
		return int64(len(s.Bytes))
	}
	return s.Size
}

// read returns all bytes of a small source.
func (s *Source) read() ([]byte, error) {
	if s.Bytes != nil || s.Open == nil {
		return s.Bytes, nil
	}
	r, err := s.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, s.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("read a message of %d bytes: %w", s.Size, err)
	}
	return data, nil
}

// storedBody is a body that is ready to be written to the table: its bytes are packed, or in Blobs already.
type storedBody struct {
	id BodyID
	bodyRef
}

// garbageDelay is how long a blob may stand without a body before Sweep removes it: far longer than a delivery takes.
const garbageDelay = 24 * time.Hour

// prepare makes one body per organisation of the source, outside any transaction. A large one is in Blobs when it returns,
// and in the garbage table until its body is written, so that a crash in between leaves nothing behind.
func (s *Store) prepare(ctx context.Context, src *Source, bodies map[OrgKey]*storedBody) error {
	size := src.size()
	if size <= s.limits.InlineLimit {
		data, err := src.read()
		if err != nil {
			return err
		}
		packed, c := s.zip.pack(data)
		if packed == nil {
			packed = []byte{}
		}
		for _, b := range bodies {
			b.bodyRef = bodyRef{size: size, store: inline, codec: c, data: packed}
		}
		return nil
	}
	for org, b := range bodies {
		b.bodyRef = bodyRef{size: size, store: inBlobs, ref: fmt.Sprintf("%d/%x", org, int64(b.id))}
	}
	due := s.clock.Now().Add(garbageDelay)
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, b := range bodies {
			if err := addGarbage(ctx, tx, b.ref, due); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range bodies {
		if err := s.put(ctx, src, b.ref); err != nil {
			return fault.Wrap(err, fault.Temporary, fault.Message, "the message can't be stored now; try again later")
		}
	}
	return nil
}

func (s *Store) put(ctx context.Context, src *Source, key string) error {
	var r io.Reader = bytes.NewReader(src.Bytes)
	if src.Bytes == nil {
		spooled, err := src.Open()
		if err != nil {
			return err
		}
		defer spooled.Close()
		r = spooled
	}
	n, err := s.blobs.Put(ctx, key, r)
	if err == nil && n != src.size() {
		err = fmt.Errorf("%d bytes came where %d were announced", n, src.size())
	}
	return err
}

// insertBody writes the body's row, which has refs items.
func insertBody(ctx context.Context, tx *db.Tx, org OrgKey, b *storedBody, refs int) error {
	var data any // NULL for a body in Blobs
	if b.store == inline {
		data = b.data
	}
	err := tx.Send(ctx, `INSERT INTO body (id, org, size, store, ref, codec, key_id, data) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)`,
		int64(b.id), int64(org), b.size, b.store, b.ref, b.codec, data)
	if err != nil {
		return fmt.Errorf("store a body: %w", err)
	}
	if refs > 1 {
		if err := tx.Send(ctx, `INSERT INTO body_share (body, extra) VALUES ($1, $2)`, int64(b.id), refs-1); err != nil {
			return fmt.Errorf("share a body: %w", err)
		}
	}
	if b.store == inBlobs {
		n, err := tx.Exec(ctx, `DELETE FROM blob_garbage WHERE key = $1`, b.ref)
		if err == nil && n == 0 {
			err = fault.New(fault.Temporary, fault.Message, "the message took too long to store; try again")
		}
		return err
	}
	return nil
}

// addGarbage lets Sweep remove a blob from due on.
func addGarbage(ctx context.Context, tx *db.Tx, key string, due time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO blob_garbage (key, due) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET due = excluded.due`,
		key, micros(due))
	if err != nil {
		return fmt.Errorf("mark blob %s as garbage: %w", key, err)
	}
	return nil
}
