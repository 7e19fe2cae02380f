package identity

import (
	"context"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

// guessLimit bounds how often somebody may be wrong: a bucket of tokens per key, one taken by each failure, refilled with
// time. A key whose bucket is empty is blocked. No more tries of a key run at once than it has tokens, or many at once would
// all be let through by the last one; the others wait. Memory is bounded: full buckets are forgotten, and when maxKeys
// others are held the fullest of a few is.
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
	trying int           // tries that have begun and not ended
	ended  chan struct{} // closed when the next one ends; nil while nobody waits for that
}

const maxGuessKeys = 100_000

func newGuessLimit(burst int, refill time.Duration, c clock.Clock) *guessLimit {
	return &guessLimit{burst: float64(burst), refill: refill, clock: c, buckets: map[string]bucket{}}
}

func (g *guessLimit) tokens(b bucket, now time.Time) float64 {
	return min(g.burst, b.tokens+float64(now.Sub(b.at))/float64(g.refill))
}

// begin lets a try of key go ahead, which the caller must end, or reports false when key has used up its failures. It waits
// where the tries that run could use up all that are left. The error is the context's.
func (g *guessLimit) begin(ctx context.Context, key string) (bool, error) {
	for {
		ended, may := g.tryToBegin(key)
		if ended == nil {
			return may, nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// tryToBegin is begin without waiting: a channel says when to ask again.
func (g *guessLimit) tryToBegin(key string) (ended <-chan struct{}, may bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	b, ok := g.buckets[key]
	if !ok {
		g.makeRoom(now)
		b = bucket{tokens: g.burst, at: now}
	}
	switch left := g.tokens(b, now); {
	case left < 1 && b.trying == 0:
		return nil, false
	case left < float64(b.trying+1):
		if b.ended == nil {
			b.ended = make(chan struct{})
		}
	default:
		b.trying++
		may = true
	}
	g.buckets[key] = b
	if may {
		return nil, true
	}
	return b.ended, false
}

// end ends a try of key and counts it if it failed.
func (g *guessLimit) end(key string, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	b := g.buckets[key]
	if b.tokens, b.at = g.tokens(b, now), now; failed {
		b.tokens = max(0, b.tokens-1)
	}
	b.trying--
	if b.ended != nil {
		close(b.ended)
		b.ended = nil
	}
	if b.trying == 0 && b.tokens >= g.burst {
		delete(g.buckets, key)
		return
	}
	g.buckets[key] = b
}

// makeRoom forgets one bucket when the map is full: of a handful met first (Go's order is random), the fullest.
func (g *guessLimit) makeRoom(now time.Time) {
	if len(g.buckets) < maxGuessKeys {
		return
	}
	fullest, most, looked := "", -1.0, 0
	for key, b := range g.buckets {
		switch t := g.tokens(b, now); {
		case b.trying > 0: // its end will look for it
		case t >= g.burst:
			delete(g.buckets, key)
		case t > most:
			fullest, most = key, t
		}
		if looked++; looked == 16 {
			break
		}
	}
	if len(g.buckets) >= maxGuessKeys && most >= 0 {
		delete(g.buckets, fullest)
	}
}
