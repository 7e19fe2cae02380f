package server

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/stack"
)

// parts are the goroutines of what works at one time. When one fails, the context of all ends.
type parts struct{ group *errgroup.Group }

func newParts(ctx context.Context) (parts, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return parts{g}, ctx
}

// Go begins a part.
func (p parts) Go(part func() error) {
	p.group.Go(func() error {
		stack.Deepen()
		return part()
	})
}

// Wait returns the first failure once all have ended.
func (p parts) Wait() error { return p.group.Wait() }
