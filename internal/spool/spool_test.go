package spool

import (
	"bytes"
	"io"
	"os"
	"testing"
)

func TestSpoolKeepsWhatIsWritten(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes []int
		onDisk bool
	}{
		{"nothing", nil, false},
		{"small", []int{1, 99}, false},
		{"one byte too many", []int{100, 1}, true},
		{"many small ones", bytesOf(3000, 70), true},
		{"large ones", []int{1, 200_000, 5, 70_000}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := New(dir, 100)
			var want []byte
			for i, n := range c.writes {
				p := bytes.Repeat([]byte{byte(i)}, n)
				want = append(want, p...)
				if got, err := s.Write(p); got != n || err != nil {
					t.Fatalf("Write of %d bytes: %d, %v", n, got, err)
				}
			}
			for range 2 {
				if got, err := s.Bytes(); err != nil || !bytes.Equal(got, want) || s.Size() != int64(len(want)) {
					t.Fatalf("%d bytes came back of %d, size %d, %v", len(got), len(want), s.Size(), err)
				}
				r, err := s.Reader()
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes were read of %d, %v", len(got), len(want), err)
				}
			}
			if s.OnDisk() != c.onDisk {
				t.Errorf("on disk: %v", s.OnDisk())
			}
			for range 2 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left in the directory: %v, %v", left, err)
			}
		})
	}
}

func bytesOf(n, size int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func TestSpoolSaysWhenItCannotWrite(t *testing.T) {
	s := New(t.TempDir()+"/missing", 10)
	if _, err := s.Write(make([]byte, 11)); err == nil {
		t.Error("a spool wrote to a directory that is not there")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
