package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pennypost/pennypost/internal/fault"
)

// Content is a message's bytes, prefix and body as one. It must be closed, and may be read from several goroutines.
type Content interface {
	io.ReaderAt
	io.Closer
	// Size is the length in bytes: the item's Size.
	Size() int64
	// Bytes returns everything if it is in memory already (a body from the database), else nil.
	Bytes() []byte
}

// Open returns the message of an item that Fetch gave WithBody, its prefix first. Large bodies are read from disk as the
// content is read. Faults: NotFound Message when the message was removed meanwhile, Temporary when the store of
// bodies is not available.
func (s *Store) Open(ctx context.Context, it *Item) (Content, error) {
	b := &it.body
	if !b.read {
		return nil, errors.New("mailbox: Open needs an item that was fetched WantBody")
	}
	if b.store == inline {
		data, err := s.zip.unpack(it.Prefix, b.data, b.codec, b.size)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", it.ID, err)
		}
		if n := len(data) - len(it.Prefix); int64(n) != b.size {
			return nil, fmt.Errorf("item %d: its body has %d bytes where %d were stored", it.ID, n, b.size)
		}
		return inMemory{bytes.NewReader(data), data}, nil
	}
	blob, err := s.blobs.Open(ctx, b.ref)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotFound, fault.Message, "the message's bytes are not there any more")
	}
	if err != nil {
		return nil, err
	}
	if blob.Size() != b.size {
		return nil, errors.Join(fmt.Errorf("item %d: blob %s has %d bytes where %d were stored", it.ID, b.ref, blob.Size(), b.size), blob.Close())
	}
	return &behindPrefix{bytes.Clone(it.Prefix), blob}, nil
}

// inMemory is the content of an inline body.
type inMemory struct {
	*bytes.Reader
	data []byte
}

func (m inMemory) Bytes() []byte { return m.data }
func (inMemory) Close() error    { return nil }

// behindPrefix is the content of a body in Blobs.
type behindPrefix struct {
	prefix []byte
	blob   Blob
}

func (c *behindPrefix) Size() int64   { return int64(len(c.prefix)) + c.blob.Size() }
func (c *behindPrefix) Bytes() []byte { return nil }
func (c *behindPrefix) Close() error  { return c.blob.Close() }

// ReadAt implements io.ReaderAt.
func (c *behindPrefix) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("mailbox: a negative offset")
	}
	if off < int64(len(c.prefix)) {
		n = copy(p, c.prefix[off:])
		if n == len(p) {
			return n, nil
		}
	}
	m, err := c.blob.ReadAt(p[n:], off+int64(n)-int64(len(c.prefix)))
	return n + m, err
}
