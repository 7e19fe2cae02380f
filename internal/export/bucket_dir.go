package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// directoryBucket is a directory that stands for a bucket: an object's key is its path below. It must exist, so that a disk that
// isn't mounted is noticed. Nothing outside of it is reached, whatever a key or a symbolic link says.
type directoryBucket struct{ dir string }

// partial is the file in which an object grows.
func partial(key string) string { return path.Join(path.Dir(key), "."+path.Base(key)+".partial") }

func (b directoryBucket) within(ctx context.Context, fn func(*os.Root) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := os.OpenRoot(b.dir)
	if err == nil {
		err = errors.Join(fn(root), root.Close())
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &refusal{"the server may not write to the bucket's directory", err}
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ENOTDIR):
		return &refusal{"the bucket's directory can't have such a key", err}
	}
	return err
}

func (b directoryBucket) begin(ctx context.Context, key, _ string) (string, error) {
	return "file", b.within(ctx, func(root *os.Root) error {
		if err := root.MkdirAll(path.Dir(key), 0o700); err != nil {
			return err
		}
		f, err := root.OpenFile(partial(key), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

func (b directoryBucket) put(ctx context.Context, key, _ string, _ int, offset int64, body io.ReadSeeker, _ int64) (string, error) {
	return "", b.within(ctx, func(root *os.Root) error {
		f, err := root.OpenFile(partial(key), os.O_WRONLY, 0)
		if err != nil {
			return missing(err)
		}
		_, err = io.Copy(io.NewOffsetWriter(f, offset), body)
		if err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
}

func (b directoryBucket) complete(ctx context.Context, key, _ string, _ []string, size int64) error {
	return b.within(ctx, func(root *os.Root) error {
		f, err := root.OpenFile(partial(key), os.O_WRONLY, 0)
		if err != nil {
			return missing(err)
		}
		info, err := f.Stat()
		if err == nil && info.Size() < size {
			err = fmt.Errorf("%d bytes of %d are there: %w", info.Size(), size, errGone)
		}
		if err == nil {
			err = f.Truncate(size) // an attempt before may have written more
		}
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if err := root.Rename(partial(key), key); err != nil {
			return err
		}
		dir, err := root.Open(path.Dir(key))
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	})
}

func (b directoryBucket) size(ctx context.Context, key string) (size int64, err error) {
	err = b.within(ctx, func(root *os.Root) error {
		info, err := root.Stat(key)
		if err != nil {
			return missing(err)
		}
		size = info.Size()
		return nil
	})
	return size, err
}

func (b directoryBucket) abort(ctx context.Context, key, _ string) error {
	return b.without(ctx, partial(key))
}

func (b directoryBucket) remove(ctx context.Context, key string) error { return b.without(ctx, key) }

// get opens an object; it has no versions.
func (b directoryBucket) get(ctx context.Context, key, version string) (body io.ReadCloser, err error) {
	if version != "" {
		return nil, errGone
	}
	err = b.within(ctx, func(root *os.Root) error {
		f, err := root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe waits for no writer
		if err != nil {
			return missing(err)
		}
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return errors.Join(err, errGone, f.Close())
		}
		body = f
		return nil
	})
	return body, err
}

func (b directoryBucket) without(ctx context.Context, name string) error {
	return b.within(ctx, func(root *os.Root) error {
		if err := root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}
