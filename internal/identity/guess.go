package identity

import (
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

// guessLimit bounds how often somebody may be wrong: a bucket of tokens per key, one taken by each failure, refilled with
// time. A key whose bucket is empty is blocked. Memory is bounded: full buckets are forgotten, and when maxKeys others
// are held the fullest of a few is.
type guessLimit struct {
	burst  float64
	refill time.Duration // the time in which one token comes back
	clock  clock.Clock

	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

const maxGuessKeys = 100_000

func newGuessLimit(burst int, refill time.Duration, c clock.Clock) *guessLimit {
	return &guessLimit{burst: float64(burst), refill: refill, clock: c, buckets: map[string]bucket{}}
}

func (g *guessLimit) tokens(b bucket, now time.Time) float64 {
	return min(g.burst, b.tokens+float64(now.Sub(b.at))/float64(g.refill))
}

// blocked reports whether key has used up its failures.
func (g *guessLimit) blocked(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.buckets[key]
	return ok && g.tokens(b, g.clock.Now()) < 1
}

// failed counts a failure of key.
func (g *guessLimit) failed(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	b, ok := g.buckets[key]
	if !ok {
		g.makeRoom(now)
		b = bucket{tokens: g.burst, at: now}
	}
	g.buckets[key] = bucket{tokens: max(0, g.tokens(b, now)-1), at: now}
}

// makeRoom forgets one bucket when the map is full: of a handful met first (Go's order is random), the fullest.
func (g *guessLimit) makeRoom(now time.Time) {
	if len(g.buckets) < maxGuessKeys {
		return
	}
	fullest, most, looked := "", -1.0, 0
	for key, b := range g.buckets {
		t := g.tokens(b, now)
		if t >= g.burst {
			delete(g.buckets, key)
		} else if t > most {
			fullest, most = key, t
		}
		if looked++; looked == 16 {
			break
		}
	}
	if len(g.buckets) >= maxGuessKeys {
		delete(g.buckets, fullest)
	}
}
