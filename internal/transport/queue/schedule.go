package queue

import (
	"slices"
	"sync"
	"time"
)

// schedule is what is known in memory of the work at hand: which messages of which destinations are next, and what runs. It is a
// small window on the tables, which hold the truth: an attempt reads again what it is to do.
//
// Mail of one organisation to one destination is a lane. Organisations take turns, and in each its lanes do, so that neither can
// take all workers; lanes come in for a few messages and go again.
type schedule struct {
	limits Limits
	local  func(Destination) bool // Options.Local

	mu    sync.Mutex
	orgs  []*turn // with lanes; the next turn is the first one's
	lanes map[int64]*lane
	sites map[Destination]*site
	// busy counts attempts by organisation; runs has what runs, and what must not be begun.
	busy  map[int64]int
	total int
	// probes counts the attempts at destinations that were down, locals those at local ones.
	probes, locals int
	runs           map[run]bool
	per            map[int64]int // attempts by lane
	// dirty says that the tables may have more than is known here; next is the time at which they will.
	dirty bool
	next  int64
	bell  chan struct{}
	// reopened counts what reopen did.
	reopened uint64
}

// turn is an organisation with lanes.
type turn struct {
	org   int64
	lanes []*lane // the next is the first
}

// lane is a destination's row with messages that may be attempted.
type lane struct {
	key, org int64
	site     *site
	ready    []ID
	down     bool // came in as one to a destination that is down
}

// site is a destination, whoever's mail goes there.
type site struct {
	to    Destination
	local bool
	// window is how many attempts may run at once.
	window, busy, lanes int
	failures            int64
	// successes and downs count what was learned; an attempt compares them with what they were when it began.
	successes, downs uint64
	// closed while it is being written down that nothing is taken there, or that something is again.
	closed bool
	// reopened is the schedule's count when it was closed last: who looked before that knows nothing of it.
	reopened uint64
}

// run is one message on its way to one destination.
type run struct {
	lane int64
	m    ID
}

// attempt is a run that was begun.
type attempt struct {
	run
	org              int64
	site             *site
	successes, downs uint64
	probe            bool // the site was down before
	// settled says that its end wrote down when to look at the lane again: at next, in microseconds.
	settled bool
	next    int64
	// more says that it left recipients of its message for others.
	more bool
	// noted says that it is written down that it runs, suspect that it did so when a life of the server ended.
	noted, suspect bool
}

func newSchedule(l Limits, local func(Destination) bool) *schedule {
	return &schedule{
		limits: l, local: local, lanes: map[int64]*lane{}, sites: map[Destination]*site{}, busy: map[int64]int{}, runs: map[run]bool{}, per: map[int64]int{},
		next: never, bell: make(chan struct{}, 1),
	}
}

// poke says that the tables may have more.
func (s *schedule) poke() {
	s.mu.Lock()
	s.dirty = true
	s.mu.Unlock()
	ring(s.bell)
}

// expect says that the tables will have more at a time.
func (s *schedule) expect(at, now int64) {
	s.mu.Lock()
	if at <= now {
		s.dirty = true
	} else {
		s.next = min(s.next, at)
	}
	s.mu.Unlock()
	ring(s.bell)
}

func (s *schedule) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// seize keeps attempts from beginning, until release, or reports that one runs.
func (s *schedule) seize(r run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[r] {
		return false
	}
	s.runs[r] = true
	return true
}

func (s *schedule) release(r run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, r)
	s.dirty = true // who looked meanwhile passed it over
	ring(s.bell)
}

// begin takes the next attempt; nil where none may begin now.
func (s *schedule) begin() *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.limits.Connections {
		return nil
	}
	for i, t := range s.orgs {
		if s.busy[t.org] >= s.limits.Organization {
			continue
		}
		for j, l := range t.lanes {
			m, ok := s.take(l)
			if !ok {
				continue
			}
			rotate(t.lanes, j)
			rotate(s.orgs, i)
			a := &attempt{run: run{l.key, m}, org: l.org, site: l.site, successes: l.site.successes, downs: l.site.downs, probe: l.site.failures > 0}
			s.runs[a.run] = true
			s.busy[l.org]++
			s.per[l.key]++
			s.total++
			if a.probe {
				s.probes++
			}
			if l.site.local {
				s.locals++
			}
			l.site.busy++
			if len(l.ready) == 0 {
				s.drop(l)
			}
			return a
		}
	}
	return nil
}

// take takes the next message of a lane that may be attempted now. Destinations that were down and are tried again, where many an
// attempt waits for an answer that does not come, get half of the workers at most, local ones a quarter.
func (s *schedule) take(l *lane) (ID, bool) {
	switch x := l.site; {
	case x.closed, x.busy >= x.window, x.failures > 0 && s.probes >= max(s.limits.Connections/2, 1),
		x.local && s.locals >= max(s.limits.Connections/4, 1):
		return 0, false
	}
	for i, m := range l.ready {
		if !s.runs[run{l.key, m}] {
			l.ready = slices.Delete(l.ready, i, i+1)
			return m, true
		}
	}
	return 0, false
}

// rotate puts the i-th and what is before it behind the others.
func rotate[T any](list []T, i int) {
	if i+1 < len(list) {
		copy(list, append(slices.Clone(list[i+1:]), list[:i+1]...))
	}
}

// drop takes a lane out, which makes room for others.
func (s *schedule) drop(l *lane) {
	s.dirty = true
	delete(s.lanes, l.key)
	l.site.lanes--
	i := slices.IndexFunc(s.orgs, func(t *turn) bool { return t.org == l.org })
	t := s.orgs[i]
	if t.lanes = slices.DeleteFunc(t.lanes, func(o *lane) bool { return o == l }); len(t.lanes) == 0 {
		s.orgs = slices.Delete(s.orgs, i, i+1)
	}
}

// add lets a lane in.
func (s *schedule) add(f foundLane, x *site) {
	l := &lane{key: f.key, org: f.org, site: x, ready: f.ready, down: f.failures > 0}
	s.lanes[l.key] = l
	x.lanes++
	i := slices.IndexFunc(s.orgs, func(t *turn) bool { return t.org == l.org })
	if i < 0 {
		i = len(s.orgs)
		s.orgs = append(s.orgs, &turn{org: l.org})
	}
	s.orgs[i].lanes = append(s.orgs[i].lanes, l)
}

// maxSites is how many destinations are remembered beyond those at hand.
const maxSites = 10_000

// site returns what is known of a destination whose row counts failures.
func (s *schedule) site(to Destination, failures int64) *site {
	x := s.sites[to]
	if x == nil {
		if len(s.sites) >= maxSites {
			for d, old := range s.sites {
				if old.lanes == 0 && old.busy == 0 && !old.closed {
					delete(s.sites, d)
				}
			}
		}
		x = &site{to: to, window: 1}
		if x.local = s.local != nil && s.local(to); x.local {
			x.window = s.limits.Destination
		}
		s.sites[to] = x
	}
	if failures > 0 {
		if x.failures = max(x.failures, failures); x.busy == 0 {
			x.window = 1
		}
	}
	return x
}

// room says how many lanes of an organisation may come in, to destinations that are down or to others, and how many rows of its to
// look at to find them: some are in already, run, or go to destinations that have lanes enough. What is down has room of its own, so
// that it stands in nobody's way.
func (s *schedule) room(org int64, down bool) (lanes, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has, all := 0, 0
	for _, l := range s.lanes {
		if l.down == down {
			if all++; l.org == org {
				has++
			}
		}
	}
	lanes = min(s.limits.Connections-has, s.most()-all)
	if down {
		lanes = min(max(s.limits.Connections/4, 1)-has, s.limits.Connections-all)
	}
	return lanes, lanes + has + len(s.per) + s.most()/s.limits.Destination
}

// most is how many lanes are known at once.
func (s *schedule) most() int { return 16 * s.limits.Connections }

// admits reports whether a lane may come in, and how many messages of it run.
func (s *schedule) admits(key int64, to Destination) (ok bool, running int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.sites[to]
	return s.lanes[key] == nil && (x == nil || !x.closed && x.lanes < s.limits.Destination), s.per[key]
}

// letIn lets lanes in that were found.
func (s *schedule) letIn(found []foundLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range found {
		x := s.site(f.to, f.failures)
		if x.closed || x.reopened > f.reopened || x.lanes >= s.limits.Destination { // since it was read
			s.dirty = s.dirty || !x.closed
			continue
		}
		s.add(f, x)
	}
}

// foundLane is a row of a destination that is due, with messages that may be attempted.
type foundLane struct {
	key, org int64
	to       Destination
	failures int64
	ready    []ID
	reopened uint64 // the schedule's count before it was read
}

// verdict is what an attempt means for its destination.
type verdict struct {
	failures int64 // not 0: it is down, for so many times in a row now
	recover  bool  // it was down and is not any more
}

// judge says what an attempt means for its destination. One that finds it down while others succeeded there, or that began before the
// last one that found it down, says nothing new. The site is closed until reopen where that is to be written down.
func (s *schedule) judge(a *attempt, down, success bool) (v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := a.site
	switch {
	case !down:
		v.recover = x.failures > 0 && a.downs == x.downs
		if success {
			x.successes++
			x.window = min(x.window+1, s.limits.Destination)
		}
	case x.downs != a.downs:
	case x.successes > a.successes:
		x.window = max(x.window/2, 1)
	default:
		x.downs++
		x.failures++
		x.window = 1
		x.closed = true
		v.failures = x.failures
	}
	if v.recover {
		x.failures, x.closed = 0, true
	}
	return v
}

// reopen ends what judge began. What was known of the lanes is forgotten: the tables say when to go on.
func (s *schedule) reopen(x *site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reopened++
	x.closed, x.reopened, s.dirty = false, s.reopened, true
	for _, l := range s.lanes {
		if l.site == x {
			s.drop(l)
		}
	}
}

// reopenings is how often reopen was called.
func (s *schedule) reopenings() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reopened
}

// ending reports whether the attempt is the last of its lane that is known, so that its end must settle the lane.
func (s *schedule) ending(a *attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.per[a.lane] == 1 && s.lanes[a.lane] == nil
}

// end ends an attempt, whose results are in the tables. What they mean for the next look is said in the same moment: who looked before
// passed its message over.
func (s *schedule) end(a *attempt, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, a.run)
	s.dirty = s.dirty || a.more || a.settled && a.next <= now
	if a.settled {
		s.next = min(s.next, a.next)
	}
	s.total--
	if a.probe {
		s.probes--
	}
	if a.site.local {
		s.locals--
	}
	a.site.busy--
	if s.busy[a.org]--; s.busy[a.org] == 0 {
		delete(s.busy, a.org)
	}
	if s.per[a.lane]--; s.per[a.lane] == 0 {
		delete(s.per, a.lane)
		s.dirty = s.dirty || !a.settled
	}
	ring(s.bell)
}

// wanting reports whether the tables should be looked at, and until when there is nothing to do if not.
func (s *schedule) wanting(now time.Time) (yes bool, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next <= now.UnixMicro() {
		s.dirty, s.next = true, never
	}
	return s.dirty && s.total < s.limits.Connections, s.next
}

// looking says that the tables are being looked at: whatever is told from now on may need another look.
func (s *schedule) looking() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty, s.next = false, never
}

// idle returns the messages of a lane's deliveries that are not being attempted, each once, at most a quantum.
func (s *schedule) idle(lane int64, ids []int64) (ready []ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range ids {
		m := ID(n)
		if len(ready) < quantum && !s.runs[run{lane, m}] && !slices.Contains(ready, m) {
			ready = append(ready, m)
		}
	}
	return ready
}
