package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/owner"
)

const (
	// incoming is where blobs are written before they get their name. No name segment has a dot.
	incoming = "incoming.tmp"
	// staleAfter is how old a leftover of a crash must be before NewFiles removes it: another process may be writing.
	staleAfter = time.Hour
	copyBuffer = 128 << 10
)

// Files keeps each blob in a file. The last segment of the name is below a directory chosen by a hash of the name, one of 256,
// so that no directory grows without bound: m-1/abc is in m-1/7f.d/abc.
type Files struct {
	root string
	sync func(*os.File) error
	// made remembers the directories that are on disk.
	made sync.Map
}

// NewFiles opens the store in dir and removes what a crash left half written.
func NewFiles(dir string, noSync bool) (*Files, error) {
	dir = filepath.Clean(dir)
	f := &Files{root: dir, sync: (*os.File).Sync}
	if noSync {
		f.sync = func(*os.File) error { return nil }
	}
	// Not synced: nothing stays there, and Put syncs the directories that a blob's name stands in.
	if err := os.MkdirAll(filepath.Join(dir, incoming), 0o700); err != nil {
		return nil, fmt.Errorf("blobs in %s: %w", dir, err)
	}
	owner.Inherit(dir)
	owner.Inherit(filepath.Join(dir, incoming))
	if err := f.sweep(); err != nil {
		return nil, fmt.Errorf("blobs in %s: %w", dir, err)
	}
	return f, nil
}

func (f *Files) sweep() error {
	entries, err := os.ReadDir(filepath.Join(f.root, incoming))
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > staleAfter {
			err = os.Remove(filepath.Join(f.root, incoming, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// path returns the directory and the file of a name.
func (f *Files) path(name string) (dir, file string, err error) {
	if err := CheckName(name); err != nil {
		return "", "", err
	}
	sum := sha256.Sum256([]byte(name))
	parent, base := filepath.Split(filepath.FromSlash(name))
	dir = filepath.Join(f.root, parent, hex.EncodeToString(sum[:1])+".d")
	return dir, filepath.Join(dir, base), nil
}

// Put writes a temporary file on the same file system, syncs it, renames it and syncs the directory that now names it.
func (f *Files) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	dir, file, err := f.path(name)
	if err != nil {
		return err
	}
	return unavailable(f.put(ctx, dir, file, body), "store", name)
}

func (f *Files) put(ctx context.Context, dir, file string, body io.ReadSeeker) (err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Join(f.root, incoming), "blob") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	owner.Inherit(tmp.Name())
	_, werr := io.CopyBuffer(struct{ io.Writer }{tmp}, &contextReader{ctx, body}, make([]byte, copyBuffer))
	if werr == nil {
		werr = f.sync(tmp)
	}
	if err := errors.Join(werr, tmp.Close()); err != nil {
		return err
	}
	if err := f.makeDir(dir); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	if serr := f.syncDir(dir); serr != nil {
		return fmt.Errorf("sync the directory: %w", errors.Join(serr, os.Rename(file, tmp.Name())))
	}
	return nil
}

// makeDir makes a directory and its parents, each on disk in its own parent before anything is put into it.
func (f *Files) makeDir(dir string) error {
	if _, known := f.made.Load(dir); known {
		return nil
	}
	if dir != f.root {
		if err := f.makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		owner.Inherit(dir) // even if it was there, as below
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// Synced even if it was there: a crash may have come between.
	if err := f.syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	f.made.Store(dir, struct{}{})
	return nil
}

func (f *Files) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.sync(d), d.Close())
}

// Open opens the file.
func (f *Files) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	_, file, err := f.path(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h, err := os.Open(file)
	if err != nil {
		return nil, unavailable(err, "open", name)
	}
	if length < 0 {
		length = 1<<63 - 1 - offset
	}
	return section{io.NewSectionReader(h, offset, length), h}, nil
}

// Stat says how large the file is.
func (f *Files) Stat(_ context.Context, name string) (Info, error) {
	_, file, err := f.path(name)
	if err != nil {
		return Info{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return Info{}, unavailable(err, "look at", name)
	}
	return Info{Name: name, Size: info.Size(), Modified: info.ModTime().UTC()}, nil
}

// Delete removes the file.
func (f *Files) Delete(_ context.Context, name string) error {
	_, file, err := f.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unavailable(err, "delete", name)
	}
	return nil
}

// List walks the directories.
func (f *Files) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		err := filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // deleted while we walk
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case d.IsDir() && d.Name() == incoming:
				return fs.SkipDir
			case d.IsDir():
				return nil
			}
			rel, err := filepath.Rel(f.root, path)
			if err != nil {
				return err
			}
			name := nameOf(rel)
			if !strings.HasPrefix(name, prefix) {
				return nil
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if !yield(Info{Name: name, Size: info.Size(), Modified: info.ModTime().UTC()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(Info{}, unavailable(err, "list", prefix))
		}
	}
}

// nameOf takes the directory chosen by the hash out of a path.
func nameOf(rel string) string {
	dir, base := filepath.Split(rel)
	return filepath.ToSlash(filepath.Join(filepath.Dir(filepath.Clean(dir)), base))
}

// section is a part of an open file.
type section struct {
	*io.SectionReader
	file *os.File
}

// Close closes the file.
func (s section) Close() error { return s.file.Close() }

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
