// Package spool holds a message while it comes in: in memory while it is small, in a file when it is large, so that many
// slow senders of large messages take disk and not memory. The faces that take messages in use it.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// DefaultMemory is how many bytes of one message stay in memory.
const DefaultMemory = 256 << 10

// Spool is one message on its way in. It is an io.Writer; it is not safe for concurrent use. The zero value is not usable;
// see New.
type Spool struct {
	dir    string
	memory int
	buf    []byte
	file   *os.File
	size   int64
}

// New returns an empty spool that moves to a file in dir (the system's directory for such files where it is empty) when it
// grows beyond memory bytes (DefaultMemory where it is 0). The caller must Close it.
func New(dir string, memory int) *Spool {
	if memory == 0 {
		memory = DefaultMemory
	}
	return &Spool{dir: dir, memory: memory}
}

// Write appends to the message. After an error the spool can only be closed.
func (s *Spool) Write(p []byte) (int, error) {
	if s.file == nil && len(s.buf)+len(p) > s.memory {
		if err := s.toFile(); err != nil {
			return 0, err
		}
	}
	s.size += int64(len(p))
	if s.file == nil {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	// buf gathers small writes for the file.
	if len(s.buf)+len(p) > cap(s.buf) {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) >= cap(s.buf) {
		return s.file.Write(p)
	}
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// toFile moves what is in memory to a file. The file has no name from the start where the system allows that, so that a
// crash leaves none behind.
func (s *Spool) toFile() error {
	f, err := os.CreateTemp(s.dir, "message-*")
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.file = f
	_ = os.Remove(f.Name()) // Close tries again where an open file can't be removed
	if _, err := f.Write(s.buf); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.buf = make([]byte, 0, 64<<10)
	return nil
}

func (s *Spool) flush() error {
	if _, err := s.file.Write(s.buf); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.buf = s.buf[:0]
	return nil
}

// Size returns how many bytes were written.
func (s *Spool) Size() int64 { return s.size }

// OnDisk reports whether the message lies in a file.
func (s *Spool) OnDisk() bool { return s.file != nil }

// Bytes returns the whole message. Of a message in memory it returns the spool's own bytes, valid until Close; one on disk
// is read into new memory.
func (s *Spool) Bytes() ([]byte, error) {
	if s.file == nil {
		return s.buf, nil
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	b := make([]byte, s.size)
	if _, err := s.file.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && s.size == 0) {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return b, nil
}

// Reader reads the whole message from its start, any number of times, until the next Write or Close.
func (s *Spool) Reader() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.buf), nil
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	return io.NewSectionReader(s.file, 0, s.size), nil
}

// Close lets go of memory and file. It may be called twice.
func (s *Spool) Close() error {
	s.buf = nil
	if s.file == nil {
		return nil
	}
	name := s.file.Name()
	err := s.file.Close()
	if rm := os.Remove(name); rm != nil && !errors.Is(rm, os.ErrNotExist) && err == nil {
		err = rm
	}
	s.file = nil
	return err
}
