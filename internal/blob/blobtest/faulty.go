package blobtest

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/fault"
)

// Faulty is a store whose Put and Delete fail on command, on either side of the work: a crash or a lost answer looks the same to
// the caller, yet leaves different things behind.
type Faulty struct {
	blob.Store
	// Before makes the next calls fail without doing anything; After makes them fail once the work is done.
	Before, After atomic.Bool
}

func (f *Faulty) around(work func() error) error {
	if f.Before.Load() {
		return fault.New(fault.Temporary, fault.None, "the blob store fails, as the test asked")
	}
	if err := work(); err != nil {
		return err
	}
	if f.After.Load() {
		return fault.New(fault.Temporary, fault.None, "the blob store did its work and then failed, as the test asked")
	}
	return nil
}

// Put stores the blob or fails, as it was told.
func (f *Faulty) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	return f.around(func() error { return f.Store.Put(ctx, name, body) })
}

// Delete removes the blob or fails, as it was told.
func (f *Faulty) Delete(ctx context.Context, name string) error {
	return f.around(func() error { return f.Store.Delete(ctx, name) })
}
