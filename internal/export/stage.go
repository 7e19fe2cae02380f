package export

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
)

// uploadsAtOnce is how many parts of one job are on their way at once, while the next is written.
const uploadsAtOnce = 2

// stage cuts a stream into parts of equal size, which some stores insist on, and uploads each that is full. The parts lie in files
// until a checkpoint has passed them.
type stage struct {
	dir  string
	size int64 // of a part
	put  func(ctx context.Context, part int, body *io.SectionReader) (etag string, err error)

	offset  int64 // of the stream
	file    *os.File
	out     *bufio.Writer
	uploads *errgroup.Group
	ctx     context.Context // of the uploads

	mu    sync.Mutex
	etags map[int]string // guarded by mu; of parts that were uploaded since the last checkpoint
}

// errUnstaged says that what was written since the last whole part is lost.
var errUnstaged = errors.New("the files of the unfinished part are lost")

// openStage goes on at offset, with what was written since the last whole part before it in the directory.
func openStage(ctx context.Context, dir string, size, offset int64, put func(context.Context, int, *io.SectionReader) (string, error)) (*stage, error) {
	s := &stage{dir: dir, size: size, put: put, offset: offset, out: bufio.NewWriterSize(nil, 256<<10), etags: map[int]string{}}
	s.uploads, s.ctx = errgroup.WithContext(ctx)
	s.uploads.SetLimit(uploadsAtOnce)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := s.without(func(part int) bool { return part != s.part() }); err != nil {
		return nil, err
	}
	within := offset % size
	flags := os.O_RDWR
	if within == 0 {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(s.name(s.part()), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errUnstaged
	}
	if err != nil {
		return nil, err
	}
	s.file = file
	if info, err := file.Stat(); err != nil || info.Size() < within {
		return nil, errors.Join(errUnstaged, err, s.close())
	}
	err = file.Truncate(within)
	if err == nil {
		_, err = file.Seek(within, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.out.Reset(file)
	return s, nil
}

// part is the number of the part that is being written; they begin at 1.
func (s *stage) part() int { return int(s.offset/s.size) + 1 }

func (s *stage) name(part int) string { return filepath.Join(s.dir, fmt.Sprintf("part-%05d", part)) }

// Write appends to the stream. After an error the stage can only be closed.
func (s *stage) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		room := min(s.size-s.offset%s.size, int64(len(p)))
		k, err := s.out.Write(p[:room])
		n, s.offset, p = n+k, s.offset+int64(k), p[k:]
		if err != nil {
			return n, err
		}
		if s.offset%s.size == 0 {
			if err := s.turn(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// turn uploads the part that has become full, and begins the next.
func (s *stage) turn() error {
	if err := s.out.Flush(); err != nil {
		return err
	}
	s.upload(s.part()-1, s.file, s.size)
	s.file = nil
	file, err := os.OpenFile(s.name(s.part()), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	s.file = file
	s.out.Reset(file)
	return s.ctx.Err() // an upload has failed, or all is over: wait says why
}

func (s *stage) upload(part int, file *os.File, size int64) {
	s.uploads.Go(func() error {
		etag, err := s.put(s.ctx, part, io.NewSectionReader(file, 0, size))
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.etags[part] = etag
		return nil
	})
}

// wait waits for the uploads, and makes sure that what was written since the last whole part is on disk.
func (s *stage) wait(ctx context.Context) (etags map[int]string, err error) {
	err = s.uploads.Wait()
	s.uploads, s.ctx = errgroup.WithContext(ctx)
	s.uploads.SetLimit(uploadsAtOnce)
	if err == nil {
		err = s.out.Flush()
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	etags, s.etags = s.etags, map[int]string{}
	return etags, err
}

// passed removes the parts that a checkpoint has passed.
func (s *stage) passed() error {
	return s.without(func(part int) bool { return part < s.part() })
}

func (s *stage) without(drop func(part int) bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		part, err := strconv.Atoi(e.Name()[min(len("part-"), len(e.Name())):])
		if err == nil && drop(part) {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish uploads the last part, which may be short, and waits for all.
func (s *stage) finish(ctx context.Context) (map[int]string, error) {
	if within := s.offset % s.size; within > 0 {
		if err := s.out.Flush(); err != nil {
			return nil, err
		}
		s.upload(s.part(), s.file, within)
		s.file = nil
	}
	err := s.uploads.Wait()
	return s.etags, err
}

// close lets go of the files, which stay. It waits for uploads that are under way.
func (s *stage) close() error {
	_ = s.uploads.Wait() // whoever needed to know has asked
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
