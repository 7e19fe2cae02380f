package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// MemoryBucket is a bucket for tests, which holds what it is given to what S3 demands.
type MemoryBucket struct {
	// before is asked before each call, one after the other; its error is the call's. It may block.
	before func(ctx context.Context, verb string, part int) error

	mu      sync.Mutex
	turn    chan struct{}
	uploads map[string]map[int][]byte // guarded by mu
	begun   int
	Objects map[string][]byte // guarded by mu, as the next is
	Keys    map[string]string
	Calls   []string
}

func (m *MemoryBucket) call(ctx context.Context, verb string, part int) error {
	m.mu.Lock()
	m.Calls = append(m.Calls, verb)
	before := m.before
	if m.turn == nil {
		m.turn = make(chan struct{}, 1)
	}
	turn := m.turn
	m.mu.Unlock()
	if before == nil {
		return ctx.Err()
	}
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-turn }()
	return errors.Join(before(ctx, verb, part), ctx.Err())
}

func (m *MemoryBucket) begin(ctx context.Context, path, key string) (string, error) {
	if err := m.call(ctx, "begin", 0); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads == nil {
		m.uploads, m.Objects, m.Keys = map[string]map[int][]byte{}, map[string][]byte{}, map[string]string{}
	}
	m.begun++
	upload := fmt.Sprint(path, "#", m.begun)
	m.uploads[upload], m.Keys[path] = map[int][]byte{}, key
	return upload, nil
}

func (m *MemoryBucket) put(ctx context.Context, _, upload string, part int, _ int64, body io.ReadSeeker, size int64) (string, error) {
	if err := m.call(ctx, "put", part); err != nil {
		return "", err
	}
	data, err := io.ReadAll(body)
	if err != nil || int64(len(data)) != size {
		return "", fmt.Errorf("a body of %d bytes where %d were announced: %w", len(data), size, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads[upload] == nil {
		return "", errGone
	}
	m.uploads[upload][part] = data
	return fmt.Sprintf("%d-%x", part, data[:min(8, len(data))]), nil
}

func (m *MemoryBucket) complete(ctx context.Context, path, upload string, etags []string, size int64) error {
	if err := m.call(ctx, "complete", 0); err != nil {
		return err
	}
	m.mu.Lock()
	parts := m.uploads[upload]
	if parts == nil {
		m.mu.Unlock()
		return errGone
	}
	var all bytes.Buffer
	for i, etag := range etags {
		data := parts[i+1]
		if fmt.Sprintf("%d-%x", i+1, data[:min(8, len(data))]) != etag || i < len(etags)-1 && len(data) != len(parts[1]) {
			m.mu.Unlock()
			return &refusal{fmt.Sprintf("InvalidPart %d", i+1), errors.New("a test's bucket")}
		}
		all.Write(data)
	}
	if int64(all.Len()) != size {
		m.mu.Unlock()
		return &refusal{fmt.Sprintf("%d bytes, want %d", all.Len(), size), errors.New("a test's bucket")}
	}
	delete(m.uploads, upload)
	m.Objects[path] = all.Bytes()
	m.mu.Unlock()
	return m.call(ctx, "completed", 0)
}

func (m *MemoryBucket) size(ctx context.Context, path string) (int64, error) {
	if err := m.call(ctx, "size", 0); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.Objects[path]; ok {
		return int64(len(data)), nil
	}
	return 0, errGone
}

func (m *MemoryBucket) abort(ctx context.Context, path, _ string) error {
	if err := m.call(ctx, "abort", 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for upload := range m.uploads {
		if len(upload) > len(path) && upload[:len(path)] == path {
			delete(m.uploads, upload)
		}
	}
	return nil
}

func (m *MemoryBucket) remove(ctx context.Context, path string) error {
	if err := m.call(ctx, "remove", 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.Objects, path)
	return nil
}

// Uploads counts the unfinished uploads.
func (m *MemoryBucket) Uploads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.uploads)
}

// Forget loses all unfinished uploads.
func (m *MemoryBucket) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.uploads)
}

// Object returns an object, nil where it is not there.
func (m *MemoryBucket) Object(path string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Objects[path]
}

// Set changes what is asked before each call.
func (m *MemoryBucket) Set(before func(ctx context.Context, verb string, part int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

// UseBucket gives the service a bucket of a test's, and checkpoints often.
func (s *Service) UseBucket(name string, m *MemoryBucket) {
	s.buckets[name], s.checkpointBytes, s.checkpointMessages = m, 100<<10, 5
}

// Refused is a failure that is final.
func Refused(text string) error { return &refusal{text, errors.New("a test's bucket")} }

func (m *MemoryBucket) get(ctx context.Context, path, version string) (io.ReadCloser, error) {
	if err := m.call(ctx, "get", 0); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.Objects[path]; ok && version == "" {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	return nil, errGone
}
