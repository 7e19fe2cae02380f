// Package blobtest holds what every blob store must do, and a store that fails on command.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/fault"
)

// Run holds a store to its interface. open returns an empty store.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, test := range map[string]func(*testing.T, blob.Store){
		"what is put is read": testRead, "ranges": testRanges, "put again": testAgain, "a missing blob": testMissing,
		"delete": testDelete, "list": testList, "names": testNames, "a broken body": testBroken, "a caller that gave up": testCancelled,
		"many at once": testMany,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, s blob.Store, name string, body []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, bytes.NewReader(body)); err != nil {
		t.Fatalf("Put %s: %v", name, err)
	}
}

func get(t *testing.T, s blob.Store, name string, offset, length int64) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), name, offset, length)
	if err != nil {
		t.Fatalf("Open %s: %v", name, err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return got
}

func list(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	var names []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List %s: %v", prefix, err)
		}
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func testRead(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 1, 4096, 1 << 20, 5<<20 + 1} {
		name := fmt.Sprintf("m-1/size%d", size)
		body := noise(size)
		r := bytes.NewReader(body)
		if _, err := r.Seek(0, io.SeekEnd); err != nil { // wherever the caller left it
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), name, r); err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		if got := get(t, s, name, 0, -1); !bytes.Equal(got, body) {
			t.Errorf("of %d bytes %d came back, or others", size, len(got))
		}
	}
}

func testRanges(t *testing.T, s blob.Store) {
	body := noise(1000)
	put(t, s, "a", body)
	for _, c := range []struct{ offset, length, from, to int64 }{
		{0, 1000, 0, 1000},
		{0, 1, 0, 1},
		{999, 1, 999, 1000},
		{500, -1, 500, 1000},
		{500, 100, 500, 600},
		{990, 100, 990, 1000},
		{1000, -1, 0, 0},
		{1000, 5, 0, 0},
		{5000, 5, 0, 0},
		{10, 0, 0, 0},
	} {
		if got := get(t, s, "a", c.offset, c.length); !bytes.Equal(got, body[c.from:c.to]) {
			t.Errorf("%d bytes from %d: %d came, want those from %d to %d", c.length, c.offset, len(got), c.from, c.to)
		}
	}
}

func testAgain(t *testing.T, s blob.Store) {
	put(t, s, "m/a", []byte("first, and longer"))
	put(t, s, "m/a", []byte("second"))
	if got := get(t, s, "m/a", 0, -1); string(got) != "second" {
		t.Errorf("read %q after a second Put", got)
	}
}

func testMissing(t *testing.T, s blob.Store) {
	for _, length := range []int64{-1, 0, 10} {
		if _, err := s.Open(t.Context(), "m/none", 0, length); !errors.Is(err, fs.ErrNotExist) || fault.As(err) != nil {
			t.Errorf("Open with length %d: %v, want fs.ErrNotExist", length, err)
		}
	}
	if err := s.Delete(t.Context(), "m/none"); err != nil {
		t.Errorf("Delete: %v, want no error", err)
	}
	if names := list(t, s, ""); len(names) != 0 {
		t.Errorf("an empty store lists %q", names)
	}
}

func testDelete(t *testing.T, s blob.Store) {
	put(t, s, "m/a", []byte("a"))
	put(t, s, "m/b", []byte("b"))
	if err := s.Delete(t.Context(), "m/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "m/a", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a deleted blob: %v", err)
	}
	if got := get(t, s, "m/b", 0, -1); string(got) != "b" {
		t.Errorf("its neighbour is %q", got)
	}
}

func testList(t *testing.T, s blob.Store) {
	before := time.Now().Add(-time.Minute)
	var want []string
	for i := range 30 {
		name := fmt.Sprintf("m-1/%02d", i)
		want = append(want, name)
		put(t, s, name, noise(i))
	}
	for _, name := range []string{"m-10/x", "m-2/a/b", "top"} {
		put(t, s, name, nil)
	}
	if got := list(t, s, "m-1/"); !slices.Equal(got, want) {
		t.Errorf("List m-1/ gave %q", got)
	}
	if got := list(t, s, "m-2/a/b"); !slices.Equal(got, []string{"m-2/a/b"}) {
		t.Errorf("List m-2/a/b gave %q", got)
	}
	if got := list(t, s, ""); len(got) != 33 || !slices.Contains(got, "top") {
		t.Errorf("List of all gave %q", got)
	}
	seen := 0
	for info, err := range s.List(t.Context(), "m-1/2") {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("m-1/%02d", info.Size); info.Name != want || info.Modified.Before(before) || time.Until(info.Modified) > time.Minute {
			t.Errorf("listed %+v", info)
		}
		if seen++; seen == 3 {
			break
		}
	}
	if seen != 3 {
		t.Errorf("%d seen before the break", seen)
	}
}

func testNames(t *testing.T, s blob.Store) {
	for _, name := range []string{"", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "../a", "A", "a b", "a\x00", "é", "a.b", "a/b/c/d", string(bytes.Repeat([]byte("a"), 65))} {
		if err := s.Put(t.Context(), name, bytes.NewReader(nil)); err == nil {
			t.Errorf("Put accepted the name %q", name)
		}
		if _, err := s.Open(t.Context(), name, 0, -1); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open of %q: %v, want a refusal", name, err)
		}
		if err := s.Delete(t.Context(), name); err == nil {
			t.Errorf("Delete accepted the name %q", name)
		}
	}
}

// brokenBody fails after some bytes.
type brokenBody struct {
	io.Reader
	size int64
}

func (b *brokenBody) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return b.size, nil
	}
	return offset, nil
}

func testBroken(t *testing.T, s blob.Store) {
	broken := errors.New("the spool is broken")
	body := &brokenBody{io.MultiReader(bytes.NewReader(noise(200_000)), iotest.ErrReader(broken)), 300_000}
	if err := s.Put(t.Context(), "m/broken", body); !errors.Is(err, broken) || fault.KindOf(err) != fault.Temporary {
		t.Errorf("Put of a broken body: %v", err)
	}
	if names := list(t, s, ""); len(names) != 0 {
		t.Errorf("something is left of it: %q", names)
	}
}

func testCancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "m/late", bytes.NewReader(noise(10))); !errors.Is(err, context.Canceled) || fault.As(err) != nil {
		t.Errorf("Put: %v, want context.Canceled", err)
	}
	if names := list(t, s, ""); len(names) != 0 {
		t.Errorf("something was stored: %q", names)
	}
	if _, err := s.Open(ctx, "m/late", 0, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context.Canceled", err)
	}
}

func testMany(t *testing.T, s blob.Store) {
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 8 {
				name := fmt.Sprintf("m-%d/%d", i, w)
				body := noise(1000*w + i)
				if err := s.Put(t.Context(), name, bytes.NewReader(body)); err != nil {
					t.Errorf("Put %s: %v", name, err)
					return
				}
				r, err := s.Open(t.Context(), name, 0, -1)
				if err != nil {
					t.Errorf("Open %s: %v", name, err)
					return
				}
				got, err := io.ReadAll(r)
				if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
	group.Wait()
	if got := list(t, s, ""); len(got) != 64 {
		t.Errorf("%d blobs, want 64", len(got))
	}
}
