package gate

import "sync/atomic"

// Reason is why somebody was turned away.
type Reason int

// The reasons.
const (
	tooManyConnections Reason = iota
	tooManyConnects
	tooManyMessages
	tooManyRecipients
	early
	tarpitFull
	onList
	reasons
)

var reasonNames = [reasons]string{"connections", "connects", "messages", "recipients", "early_talker", "tarpit", "dns_list"}

// String returns the reason as logs and metrics have it.
func (r Reason) String() string { return reasonNames[r] }

type stats struct {
	refused [reasons]atomic.Uint64
	delayed atomic.Uint64
	lists   []listStats
}

type listStats struct{ listed, passed, failed atomic.Uint64 }

// Stats is what a gate counted since the start.
type Stats struct {
	Refused   map[string]uint64 // by reason
	Delayed   uint64            // answers about recipients that were refused
	Lists     []ListStats
	Clients   int // that are remembered
	Tarpitted int // sessions that are held up now
}

// ListStats is what a list said of connections.
type ListStats struct {
	Zone                   string
	Listed, Passed, Failed uint64
}

// Stats returns what was counted.
func (g *Gate) Stats() Stats {
	s := Stats{Refused: map[string]uint64{}, Delayed: g.stats.delayed.Load()}
	for r := range reasons {
		s.Refused[r.String()] = g.stats.refused[r].Load()
	}
	for i := range g.stats.lists {
		c := &g.stats.lists[i]
		s.Lists = append(s.Lists, ListStats{g.Lists[i].Zone, c.listed.Load(), c.passed.Load(), c.failed.Load()})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Clients, s.Tarpitted = g.clients.size(), g.tarpitted
	return s
}
