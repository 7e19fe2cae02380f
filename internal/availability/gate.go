package availability

import "sync"

// How many questions may wait for providers at a time. A provider that doesn't answer must not keep others waiting, so nobody
// queues: what is beyond is busy.
const (
	perProvider     = 4
	perOrganization = 16
	perServer       = 64
)

// gate counts the questions that wait.
type gate struct {
	mu      sync.Mutex
	waiting map[string]int // guarded by mu
}

// enter lets a question through unless too many wait; the caller must call leave when it is answered.
func (g *gate) enter(org, domain string) (leave func(), ok bool) {
	keys := map[string]int{"": perServer, org: perOrganization, org + "/" + domain: perProvider}
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, limit := range keys {
		if g.waiting[key] >= limit {
			return nil, false
		}
	}
	if g.waiting == nil {
		g.waiting = map[string]int{}
	}
	for key := range keys {
		g.waiting[key]++
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for key := range keys {
			if g.waiting[key]--; g.waiting[key] == 0 {
				delete(g.waiting, key)
			}
		}
	}, true
}
