package intake

import (
	"context"
	"errors"
	"testing"
)

// TestOneAtATime: a message waits while another is read, and not for ever.
func TestOneAtATime(t *testing.T) {
	b := New(Options{})
	if err := b.reading.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if keep, err := b.Receive(ctx, nil, "", []Address{{}}); keep != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("another is read meanwhile: %v", err)
	}
}
