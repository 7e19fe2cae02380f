package db

import "sync"

// hub carries notices of committed transactions to those in this process who wait for them.
type hub struct {
	mu        sync.Mutex
	listeners map[string]map[*func()]struct{}
}

// Notify calls the listeners of the channel once the transaction is durable. Several notices of one channel in a transaction
// are one. Nothing is kept: a listener that missed one finds the truth in the tables.
func (t *Tx) Notify(channel string) {
	if t.notices[channel] {
		return
	}
	if t.notices == nil {
		t.notices = map[string]bool{}
	}
	t.notices[channel] = true
	t.OnCommit(func() { t.hub.publish(channel) })
}

// OnNotify calls fn after each transaction that notified the channel, until stop is called. fn must not block. Transactions of
// other processes on the same database are not heard: a listener must also look by itself from time to time.
func (d *DB) OnNotify(channel string, fn func()) (stop func()) {
	return d.hub.listen(channel, fn)
}

func (h *hub) listen(channel string, fn func()) (stop func()) {
	key := &fn
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners == nil {
		h.listeners = map[string]map[*func()]struct{}{}
	}
	if h.listeners[channel] == nil {
		h.listeners[channel] = map[*func()]struct{}{}
	}
	h.listeners[channel][key] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.listeners[channel], key)
	}
}

func (h *hub) publish(channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for fn := range h.listeners[channel] {
		(*fn)()
	}
}
