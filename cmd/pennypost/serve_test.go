package main

import (
	"context"
	"testing"
)

// TestStopBeforeReady: a server that is told to stop while it starts has not failed.
func TestStopBeforeReady(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := root()
	args := []string{"serve", "--data", t.TempDir()}
	for _, listener := range []string{"http", "https", "smtp", "submission", "submissions", "imap", "imaps", "managesieve"} {
		args = append(args, "--"+listener, "127.0.0.1:0")
	}
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(ctx); err != nil {
		t.Error(err)
	}
}
