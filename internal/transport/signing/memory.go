package signing

import (
	"crypto"
	"sync"
)

// remembered is how many opened keys are kept in memory; of more, any is opened again.
const remembered = 1024

// memory holds opened private keys. What it lacks or has too much of changes nothing: the rows say which key signs. Safe for
// concurrent use.
type memory struct {
	mu sync.Mutex
	// changes counts the clearings, so that what was read before one is not kept after it.
	changes uint64
	keys    map[keyName]crypto.Signer
}

// keyName names a key in all of the store.
type keyName struct{ domain, selector string }

// generation is what add must be given with what is read from now on.
func (m *memory) generation() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changes
}

// get returns a key; nil for one that is not here.
func (m *memory) get(name keyName) crypto.Signer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[name]
}

func (m *memory) add(name keyName, key crypto.Signer, changes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if changes != m.changes {
		return
	}
	if m.keys == nil {
		m.keys = map[keyName]crypto.Signer{}
	}
	if len(m.keys) >= remembered {
		for other := range m.keys { // Go's order is random: a fair choice
			delete(m.keys, other)
			break
		}
	}
	m.keys[name] = key
}

// clear forgets all keys. Keys go so rarely that the others are opened again for it.
func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	m.keys = nil
}
