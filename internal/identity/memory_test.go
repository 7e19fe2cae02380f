package identity

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

// try begins a try and ends it as a failure, unless key is blocked.
func try(t *testing.T, g *guessLimit, key string) (allowed bool) {
	t.Helper()
	may, err := g.begin(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if may {
		g.end(key, true)
	}
	return may
}

func TestGuessLimitBlocksAndForgives(t *testing.T) {
	c := clock.NewFake(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	g := newGuessLimit(3, time.Minute, c)
	for i := range 3 {
		if !try(t, g, "joe") {
			t.Fatalf("blocked after %d failures of 3", i)
		}
	}
	if try(t, g, "joe") || !try(t, g, "ann") {
		t.Error("three failures must block joe, and nobody else")
	}
	c.Advance(59 * time.Second)
	if try(t, g, "joe") {
		t.Error("forgiven before a token came back")
	}
	c.Advance(time.Second)
	if !try(t, g, "joe") {
		t.Error("still blocked when a token came back")
	}
	if try(t, g, "joe") {
		t.Error("the one token that came back allowed two failures")
	}
}

func TestGuessesAtOnceDoNotShareAToken(t *testing.T) {
	g := newGuessLimit(3, time.Minute, clock.NewFake(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)))
	var tries atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if may, _ := g.begin(t.Context(), "joe"); may {
				tries.Add(1)
				runtime.Gosched() // as a hash would take its time
				g.end("joe", true)
			}
		})
	}
	all.Wait()
	if n := tries.Load(); n != 3 {
		t.Errorf("%d wrong guesses at once were tried, want 3", n)
	}
}

func TestRightPasswordsAtOnceAreNotRefused(t *testing.T) {
	g := newGuessLimit(3, time.Minute, clock.NewFake(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			may, err := g.begin(t.Context(), "joe")
			if !may || err != nil {
				t.Errorf("refused: %v", err)
				return
			}
			runtime.Gosched()
			g.end("joe", false)
		})
	}
	all.Wait()
	if len(g.buckets) != 0 {
		t.Error("a key without failures is held")
	}
}

func TestWaitingToGuessEndsWithItsCaller(t *testing.T) {
	g := newGuessLimit(1, time.Minute, clock.NewFake(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)))
	if may, err := g.begin(t.Context(), "joe"); !may || err != nil {
		t.Fatal(may, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if may, err := g.begin(ctx, "joe"); may || !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v, %v", may, err)
	}
}

func TestGuessLimitHoldsBoundedMemory(t *testing.T) {
	g := newGuessLimit(3, time.Minute, clock.NewFake(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)))
	for i := range maxGuessKeys + 1000 {
		try(t, g, fmt.Sprint(i))
	}
	if len(g.buckets) > maxGuessKeys {
		t.Errorf("%d buckets, want at most %d", len(g.buckets), maxGuessKeys)
	}
}

func TestGoodSecretIsGoodForOneVersionOnly(t *testing.T) {
	g := newGoodSecrets(2)
	g.add("m-1/joe", "swordfish", 7)
	if !g.has("m-1/joe", "swordfish", 7) {
		t.Fatal("a remembered password was not known")
	}
	if g.has("m-1/joe", "swordfish", 8) || g.has("m-1/joe", "Swordfish", 7) || g.has("m-1/ann", "swordfish", 7) || g.has("m-1/x", "", 0) {
		t.Error("another version, password or user was accepted")
	}
	g.forget("m-1/joe")
	if g.has("m-1/joe", "swordfish", 7) {
		t.Error("a forgotten password was accepted")
	}
	for i := range 10 {
		g.add(fmt.Sprint(i), "x", 1)
	}
	if len(g.entries) != 2 {
		t.Errorf("%d entries, want the bound of 2", len(g.entries))
	}
}
