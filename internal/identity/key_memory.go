package identity

import (
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

const (
	// rememberedKeys is how many good access keys are kept in memory; of more, any is read again.
	rememberedKeys = 1024
	// rememberKey is how long a good key is believed without a look at its row. No revocation by a server waits for it: it
	// bounds what nobody announces, such as a row changed by hand, or a commit whose answer was lost with the connection.
	rememberKey = time.Minute
)

// goodKeys remembers good access keys, so that a request does not cost a read of the database and the opening of a secret.
// It is right because a store has one server: whoever revokes a key does it through this process (the key command asks the
// server that runs), and the feed's word of it comes after the commit and before the revocation is answered. Only good keys
// are remembered. Safe for concurrent use.
type goodKeys struct {
	clock clock.Clock

	mu sync.Mutex
	// changes counts the changes of keys, so that what was read before one is not remembered after it.
	changes uint64
	keys    map[string]goodKey
}

type goodKey struct {
	Credential
	until time.Time
}

func newGoodKeys(c clock.Clock) *goodKeys { return &goodKeys{clock: c, keys: map[string]goodKey{}} }

// get returns the key where it is remembered, and otherwise the number that add must be given with what is read now.
func (g *goodKeys) get(id string) (c Credential, changes uint64, ok bool) {
	now := g.clock.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.keys[id]
	return k.Credential, g.changes, ok && now.Before(k.until)
}

// add remembers a key that was read after get returned changes, unless some key changed meanwhile.
func (g *goodKeys) add(c Credential, changes uint64) {
	until := g.clock.Now().Add(rememberKey)
	g.mu.Lock()
	defer g.mu.Unlock()
	if changes != g.changes {
		return
	}
	if _, known := g.keys[c.ID]; !known && len(g.keys) >= rememberedKeys {
		for other := range g.keys { // Go's order is random: a fair choice
			delete(g.keys, other)
			break
		}
	}
	g.keys[c.ID] = goodKey{c, until}
}

// forget drops a key that changed.
func (g *goodKeys) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
	delete(g.keys, id)
}
