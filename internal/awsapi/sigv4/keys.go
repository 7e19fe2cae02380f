package sigv4

import (
	"crypto/sha256"
	"sync"
)

// maxSigningKeys bounds the cache of derived keys: enough for 500 access keys in two regions on one day.
const maxSigningKeys = 1024

// signingKeys remembers derived signing keys, which are the same for a whole day. The secret's digest is part of what a
// key is found by, so that a key made from another secret is never found under the same id.
type signingKeys struct {
	max int

	mu   sync.Mutex
	keys map[signingKeyName][sha256.Size]byte // guarded by mu
}

type signingKeyName struct {
	id, day, region, service string
	secret                   [sha256.Size]byte
}

func newSigningKeys(most int) *signingKeys {
	return &signingKeys{max: most, keys: map[signingKeyName][sha256.Size]byte{}}
}

func nameOf(key Key, s *Signature) signingKeyName {
	return signingKeyName{key.ID, s.Day, s.Region, s.Service, sha256.Sum256([]byte(key.Secret))}
}

func (k *signingKeys) get(key Key, s *Signature) ([sha256.Size]byte, bool) {
	name := nameOf(key, s)
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.keys[name]
	return found, ok
}

// put remembers a key. When the cache is full, keys of other days go, and if there are none, any.
func (k *signingKeys) put(key Key, s *Signature, derived [sha256.Size]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) >= k.max {
		for name := range k.keys {
			if name.day != s.Day {
				delete(k.keys, name)
			}
		}
	}
	for name := range k.keys {
		if len(k.keys) < k.max {
			break
		}
		delete(k.keys, name)
	}
	k.keys[nameOf(key, s)] = derived
}
