package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFakeWakesThoseWhoseTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
		ctx, cancel := context.WithCancel(t.Context())
		soon, late := make(chan error, 1), make(chan error, 1)
		go func() { soon <- f.Sleep(ctx, time.Minute) }()
		go func() { late <- f.Sleep(ctx, time.Hour) }()
		synctest.Wait()
		f.Advance(time.Minute)
		if err := <-soon; err != nil {
			t.Errorf("a sleeper whose time has come got %v", err)
		}
		synctest.Wait()
		if len(late) != 0 {
			t.Error("a sleeper woke an hour early")
		}
		cancel()
		if err := <-late; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled sleeper got %v", err)
		}
	})
}
