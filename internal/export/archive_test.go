package export

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// behind is a stream of which only what lies behind base was kept: before it are zeros.
type behind struct {
	base int64
	data bytes.Buffer
}

func (b *behind) ReadAt(p []byte, at int64) (int, error) {
	for i := range p {
		switch j := at + int64(i) - b.base; {
		case j >= int64(b.data.Len()):
			return i, io.EOF
		case j < 0:
			p[i] = 0
		default:
			p[i] = b.data.Bytes()[j]
		}
	}
	return len(p), nil
}

// TestArchive has another implementation read what is written at ordinary offsets and beyond those of 32 bits.
func TestArchive(t *testing.T) {
	noise := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	text := []byte(strings.Repeat("all work and no play ", 200_000))
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, base := range []int64{0, max32 - 1<<20, max32 + 5} {
		b := &behind{base: base}
		a, err := newArchive(&b.data, base, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]byte{"empty": {}, "small/ü": []byte("small"), "packs": text[:5000], "noise": noise[:5000], "long text": text, "long noise": noise, "long and empty": {}}
		for name, data := range want {
			if strings.HasPrefix(name, "long") {
				err = a.stream(name, at, int64(len(data)), func() io.Reader { return bytes.NewReader(data) })
			} else {
				err = a.add(name, at, data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		begin := a.offset
		if err := a.write(a.directory.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := a.end(begin); err != nil {
			t.Fatal(err)
		}
		r, err := zip.NewReader(b, a.offset)
		if err != nil {
			t.Fatalf("at %d: %v", base, err)
		}
		for _, f := range r.File {
			body, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, want[f.Name]) || !f.Modified.Equal(at) {
				t.Errorf("at %d, %s has %d bytes of %v, %v", base, f.Name, len(got), f.Modified, err)
			}
			if packed := f.Method == zip.Deflate; packed != strings.Contains(f.Name, "text") && packed != (f.Name == "packs") {
				t.Errorf("%s has method %d", f.Name, f.Method)
			}
			delete(want, f.Name)
		}
		if len(want) != 0 {
			t.Errorf("at %d, %d files are missing", base, len(want))
		}
	}
}

// TestManyFiles has more files than 16 bits count.
func TestManyFiles(t *testing.T) {
	var b bytes.Buffer
	a, err := newArchive(&b, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	const files = 70_000
	for i := range files {
		if err := a.add(fmt.Sprint(i), time.Time{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	begin := a.offset
	if err := a.write(a.directory.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := a.end(begin); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil || len(r.File) != files {
		t.Errorf("%d files, %v", len(r.File), err)
	}
}
