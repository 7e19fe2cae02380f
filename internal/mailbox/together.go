package mailbox

import "sync"

// together lets those who ask the same at the same time share an answer: a message that comes wakes every session that idles
// on its folder, and all of them ask what came after the same number.
type together struct {
	mu   sync.Mutex
	open map[question]*reading
}

// question is what was asked, and the version of the mailbox's topic when it was. Whoever has heard of a change before asking
// has its version, so a reading of that version was begun after the change too.
type question struct {
	mailbox ID
	folder  FolderID
	since   ModSeq
	version uint64
}

type reading struct {
	done   chan struct{}
	answer Changes
	err    error
}

// changes returns what read does, or what it does for another who asks q. The failure of another is not taken over: it may be
// that only its caller gave up.
func (t *together) changes(q question, read func() (Changes, error)) (Changes, error) {
	t.mu.Lock()
	if r := t.open[q]; r != nil {
		t.mu.Unlock()
		if <-r.done; r.err != nil {
			return read()
		}
		return r.answer, nil
	}
	r := &reading{done: make(chan struct{})}
	if t.open == nil {
		t.open = map[question]*reading{}
	}
	t.open[q] = r
	t.mu.Unlock()

	r.answer, r.err = read()
	t.mu.Lock()
	delete(t.open, q)
	t.mu.Unlock()
	close(r.done)
	return r.answer, r.err
}
