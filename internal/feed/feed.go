// Package feed carries word of committed changes to those who wait for them: IMAP IDLE, the sign-in cache, open sessions.
// A notice says that something changed, never what: the listener reads the truth from the store, so that a lost or merged
// notice costs nothing. Publish after the commit (db.Tx.OnCommit), never before.
package feed

import (
	"sync"
	"sync/atomic"
)

// Topic is what a listener waits for: a kind of thing and its key.
type Topic struct {
	Kind string // "mailbox", "user", "key", "organization"
	Key  string
}

// Feed connects publishers and listeners of one process. The zero value is not usable; see New.
type Feed struct {
	mu       sync.Mutex
	topics   map[Topic]*audience
	watchers map[string][]func(key string)
	notices  uint64
}

// audience is who listens to a topic.
type audience struct {
	listeners map[*Listener]struct{}
	version   uint64
}

// New returns an empty feed.
func New() *Feed {
	return &Feed{topics: map[Topic]*audience{}, watchers: map[string][]func(string){}}
}

// Watch calls fn with the key of every change of the kind, for as long as the feed lives. It is for the few that care about
// all keys (the sign-in door). fn runs inside Publish and must neither block nor call the feed.
func (f *Feed) Watch(kind string, fn func(key string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[kind] = append(f.watchers[kind], fn)
}

// Listener hears of changes of its topic. C holds at most one notice: those that come before it is read are merged.
type Listener struct {
	C     <-chan struct{}
	c     chan struct{}
	feed  *Feed
	topic Topic
	count atomic.Uint64
}

// Count returns how often the topic was published since Listen, merged notices included. Who has published itself and knows what
// came of it sees by that whether others did.
func (l *Listener) Count() uint64 { return l.count.Load() }

// Listen starts to hear of topic. The caller must Close the listener.
func (f *Feed) Listen(topic Topic) *Listener {
	c := make(chan struct{}, 1)
	l := &Listener{C: c, c: c, feed: f, topic: topic}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.topics[topic]
	if a == nil {
		f.notices++
		a = &audience{listeners: map[*Listener]struct{}{}, version: f.notices}
		f.topics[topic] = a
	}
	a.listeners[l] = struct{}{}
	return l
}

// Version returns a number that is another one after each notice of topic, for as long as somebody listens; without a
// listener it returns false. What was read after a version was returned is as new as every notice that came before.
func (f *Feed) Version(topic Topic) (uint64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.topics[topic]
	if a == nil {
		return 0, false
	}
	return a.version, true
}

// Close ends the listening. It may be called twice.
func (l *Listener) Close() {
	l.feed.mu.Lock()
	defer l.feed.mu.Unlock()
	a := l.feed.topics[l.topic]
	if a == nil {
		return
	}
	delete(a.listeners, l)
	if len(a.listeners) == 0 {
		delete(l.feed.topics, l.topic)
	}
}

// Publish wakes the listeners of topic. It never blocks.
func (f *Feed) Publish(topic Topic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fn := range f.watchers[topic.Kind] {
		fn(topic.Key)
	}
	a := f.topics[topic]
	if a == nil {
		return
	}
	f.notices++
	a.version = f.notices
	for l := range a.listeners {
		l.count.Add(1) // before the notice: who has it sees the count
		select {
		case l.c <- struct{}{}:
		default: // one notice waits already: it covers this change too
		}
	}
}
