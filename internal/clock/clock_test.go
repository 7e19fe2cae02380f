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

func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
		bell := make(chan struct{}, 1)
		bell <- struct{}{}
		if Rest(t.Context(), f, bell, 0) {
			t.Error("a bell that has rung was not heard")
		}
		ctx, cancel := context.WithCancel(t.Context())
		for _, c := range []struct {
			by   string
			wake func()
		}{{"the bell", func() { bell <- struct{}{} }}, {"time", func() { f.Advance(time.Minute) }}, {"the end", cancel}} {
			slept := make(chan bool)
			go func() { slept <- Rest(ctx, f, bell, time.Minute) }()
			synctest.Wait()
			c.wake()
			if got := <-slept; got == (c.by == "the bell") {
				t.Errorf("woken by %s: slept %v", c.by, got)
			}
		}
		if len(f.sleepers) != 0 {
			t.Errorf("%d sleepers are left behind", len(f.sleepers))
		}
	})
}
