package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// bodies lets mailboxes keep their large bodies in a blob store.
type bodies struct {
	store blob.Store
	spool string // directory of bodies on their way in
}

var _ mailbox.Blobs = bodies{}

// Put stores a body.
func (b bodies) Put(ctx context.Context, key string, r io.Reader) (n int64, err error) {
	if s, ok := r.(io.ReadSeeker); ok {
		return b.put(ctx, key, s)
	}
	if _, ok := b.store.(*blob.Files); ok { // reads once, from the start
		s := &stream{r: r}
		err := b.store.Put(ctx, key, s)
		return s.n, err
	}
	// S3 wants the length first, and may have to send twice.
	f, err := os.CreateTemp(b.spool, "body-*")
	if err != nil {
		return 0, fmt.Errorf("spool body %s: %w", key, err)
	}
	// The name goes at once, so that a crash leaves nothing behind.
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil {
		return 0, fmt.Errorf("spool body %s: %w", key, err)
	}
	if _, err := io.Copy(f, r); err != nil {
		return 0, fmt.Errorf("spool body %s: %w", key, err)
	}
	return b.put(ctx, key, f)
}

func (b bodies) put(ctx context.Context, key string, body io.ReadSeeker) (int64, error) {
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("measure body %s: %w", key, err)
	}
	return size, b.store.Put(ctx, key, body)
}

// stream is a reader that can be put back to its start as long as nothing was read.
type stream struct {
	r io.Reader
	n int64
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	return n, err
}

func (s *stream) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart || s.n != 0 {
		return 0, errors.New("a stream can't be read twice")
	}
	return 0, nil
}

// Open returns a body for reading anywhere in it.
func (b bodies) Open(ctx context.Context, key string) (mailbox.Blob, error) {
	info, err := b.store.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	return &body{ctx: ctx, store: b.store, key: key, size: info.Size}, nil
}

// Delete removes a body.
func (b bodies) Delete(ctx context.Context, key string) error { return b.store.Delete(ctx, key) }

// body is an open body. Each reading is one request to the store.
type body struct {
	ctx   context.Context // of Open: a body does not outlive the request that opened it
	store blob.Store
	key   string
	size  int64
}

func (b *body) Size() int64 { return b.size }

func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read body %s at %d", b.key, off)
	}
	if off >= b.size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), b.size-off)
	r, err := b.store.Open(b.ctx, b.key, off, want)
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r, p[:want])
	err = errors.Join(err, r.Close())
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (b *body) Close() error { return nil }
