package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
)

// goodSecrets remembers, in memory and by HMAC, the password that each user last signed in with, so that a client that signs
// in often costs one hash, not hundreds. An entry is good for one version of the user's password only: the version comes
// from the directory at each sign-in, so that a changed password is never accepted from here. Safe for concurrent use.
type goodSecrets struct {
	key [32]byte
	max int

	mu      sync.Mutex
	entries map[string]goodSecret
}

type goodSecret struct {
	version int64
	mac     [sha256.Size]byte
}

func newGoodSecrets(size int) *goodSecrets {
	g := &goodSecrets{max: size, entries: map[string]goodSecret{}}
	_, _ = rand.Read(g.key[:]) // documented never to fail
	return g
}

func (g *goodSecrets) mac(user, password string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, g.key[:])
	_, _ = h.Write([]byte(user + "\x00" + password)) // a user key holds no NUL
	h.Sum(sum[:0])
	return sum
}

// has reports whether password is the one remembered for this version of the user's password.
func (g *goodSecrets) has(user, password string, version int64) bool {
	g.mu.Lock()
	e, ok := g.entries[user]
	g.mu.Unlock()
	mac := g.mac(user, password)
	return hmac.Equal(mac[:], e.mac[:]) && ok && e.version == version
}

// add remembers a password that was just verified.
func (g *goodSecrets) add(user, password string, version int64) {
	e := goodSecret{version: version, mac: g.mac(user, password)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.entries[user]; !ok && len(g.entries) >= g.max {
		for other := range g.entries { // Go's order is random: a fair choice
			delete(g.entries, other)
			break
		}
	}
	g.entries[user] = e
}

// forget drops what is remembered of a user.
func (g *goodSecrets) forget(user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.entries, user)
}
