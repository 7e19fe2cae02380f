package spam

import (
	"sync"
	"time"
)

// throttle lets one of many complaints through at a time.
type throttle struct {
	mu    sync.Mutex
	until time.Time
	n     int
}

// tell reports whether to complain now, and of how many failures.
func (t *throttle) tell(now time.Time) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	if now.Before(t.until) {
		return 0, false
	}
	n := t.n
	t.n, t.until = 0, now.Add(complainEvery)
	return n, true
}
