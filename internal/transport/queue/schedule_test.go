package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestWaitsDoubleUpToTheLast(t *testing.T) {
	q := New(Options{Random: rand.NewPCG(7, 7)})
	for _, c := range []struct {
		failures int64
		most     time.Duration
	}{
		{0, time.Minute},
		{1, time.Minute},
		{2, 2 * time.Minute},
		{3, 4 * time.Minute},
		{7, 64 * time.Minute},
		{8, 128 * time.Minute},
		{9, 4 * time.Hour},
		{10, 4 * time.Hour},
		{40, 4 * time.Hour},
		{1 << 40, 4 * time.Hour},
	} {
		low, high := c.most, time.Duration(0)
		for range 200 {
			d := q.wait(c.failures)
			low, high = min(low, d), max(high, d)
		}
		if low < c.most*4/5 || high > c.most || high-low < c.most/10 {
			t.Errorf("after %d failures: %v to %v, want from four fifths of %v to that", c.failures, low, high, c.most)
		}
	}
}

func TestTheSameSeedWaitsTheSame(t *testing.T) {
	a, b := New(Options{Random: rand.NewPCG(1, 1)}), New(Options{Random: rand.NewPCG(1, 1)})
	for i := range int64(20) {
		if x, y := a.wait(i), b.wait(i); x != y {
			t.Errorf("%v and %v", x, y)
		}
	}
}

// fill lets n lanes of the organisation in, each with m messages.
func fill(s *schedule, org int64, n, m int, domain string) {
	var found []foundLane
	for i := range n {
		f := foundLane{key: org*1000 + int64(i), org: org, to: Destination{Domain: fmt.Sprintf("%s%d", domain, i)}, reopened: s.reopenings()}
		for j := range m {
			f.ready = append(f.ready, ID(org*1e6+int64(i*1000+j)))
		}
		found = append(found, f)
	}
	s.letIn(found)
}

func TestNoOrganisationTakesAllWorkers(t *testing.T) {
	s := newSchedule(Limits{Connections: 20}.withDefaults(), nil)
	fill(s, 1, 20, 20, "a")
	var running []*attempt
	for a := s.begin(); a != nil; a = s.begin() {
		running = append(running, a)
	}
	if len(running) != 15 {
		t.Errorf("%d attempts for one organisation of 20 workers", len(running))
	}
	fill(s, 2, 20, 20, "b")
	for a := s.begin(); a != nil; a = s.begin() {
		if a.org != 2 {
			t.Errorf("a worker for %d", a.org)
		}
		running = append(running, a)
	}
	if len(running) != 20 {
		t.Errorf("%d workers are busy", len(running))
	}
	// From now on they take turns.
	count := map[int64]int{}
	for _, a := range running {
		s.end(a, 0)
	}
	for range 20 {
		count[s.begin().org]++
	}
	if count[1] != 10 || count[2] != 10 {
		t.Errorf("turns %v", count)
	}
}

func TestADestinationsWindow(t *testing.T) {
	s := newSchedule(Limits{}.withDefaults(), nil)
	x := Destination{Domain: "x"}
	n := 0
	more := func() {
		n++
		f := foundLane{key: 1, org: 1, to: x, reopened: s.reopenings()}
		for i := range 32 {
			f.ready = append(f.ready, ID(n*100+i))
		}
		if ok, _ := s.admits(1, x); ok {
			s.letIn([]foundLane{f})
		}
	}
	all := func() (list []*attempt) {
		for {
			more()
			a := s.begin()
			if a == nil {
				return list
			}
			list = append(list, a)
		}
	}
	var widths []int
	for range 6 {
		running := all()
		widths = append(widths, len(running))
		for _, a := range running {
			s.judge(a, false, true)
			s.end(a, 0)
		}
	}
	if fmt.Sprint(widths) != "[1 2 4 8 10 10]" {
		t.Errorf("windows %v", widths)
	}
	// Some are refused a connection while others succeed: fewer at once, but not down.
	running := all()
	s.judge(running[0], false, true)
	if v := s.judge(running[1], true, false); v.failures != 0 || s.sites[x].window != 5 {
		t.Errorf("%+v, window %d", v, s.sites[x].window)
	}
	for _, a := range running {
		s.end(a, 0)
	}
	// All fail: down, once.
	running = all()
	if len(running) != 5 {
		t.Errorf("%d at once", len(running))
	}
	if v := s.judge(running[0], true, false); v.failures != 1 {
		t.Errorf("%+v", v)
	}
	if a := s.begin(); a != nil {
		t.Error("an attempt begins at a destination that is being closed")
	}
	s.reopen(s.sites[x])
	for _, a := range running[1:] {
		if v := s.judge(a, true, false); v != (verdict{}) {
			t.Errorf("%+v", v)
		}
	}
	for _, a := range running {
		s.end(a, 0)
	}
	running = all()
	if len(running) != 1 {
		t.Errorf("%d probe it", len(running))
	}
	if v := s.judge(running[0], false, false); !v.recover {
		t.Error("it answers, and is held to be down")
	}
}

func TestDeadDestinationsLeaveWorkersToOthers(t *testing.T) {
	s := newSchedule(Limits{Connections: 20, Organization: 20}.withDefaults(), nil)
	fill(s, 1, 20, 1, "dead")
	for _, x := range s.sites {
		x.failures = 3
	}
	n := 0
	for s.begin() != nil {
		n++
	}
	fill(s, 2, 20, 1, "live")
	for a := s.begin(); a != nil; a = s.begin() {
		if a.probe {
			t.Error("another probe began")
		}
		n++
	}
	if n != 20 || s.probes != 10 {
		t.Errorf("%d attempts, %d probes", n, s.probes)
	}
}

// TestLocalDestinations are asked for as much as a destination can have from the first attempt on, also where nothing succeeds; but many of
// them leave three quarters of the workers to others.
func TestLocalDestinations(t *testing.T) {
	s := newSchedule(Limits{Connections: 40, Organization: 40}.withDefaults(), func(d Destination) bool { return d.Domain[0] == 'l' })
	begin := func() (list []*attempt) {
		for a := s.begin(); a != nil; a = s.begin() {
			list = append(list, a)
		}
		return list
	}
	fill(s, 1, 1, 20, "local")
	running := begin()
	if len(running) != 10 {
		t.Errorf("%d attempts at once", len(running))
	}
	fill(s, 2, 3, 20, "lend")
	if more := begin(); len(more) != 0 {
		t.Errorf("%d attempts more than a quarter of the workers", len(more))
	}
	for _, a := range running {
		s.judge(a, false, false)
		s.end(a, 0)
	}
	if again := begin(); len(again) != 10 {
		t.Errorf("after failures %d attempts at once", len(again))
	}
	fill(s, 3, 40, 2, "far")
	if others := begin(); len(others) != 30 {
		t.Errorf("%d workers for others", len(others))
	}
}

// A look that passed a message over, because it was being attempted, must be followed by another once that is over.
func TestWhatALookPassedOverIsLookedAtAgain(t *testing.T) {
	now := time.Unix(1, 0)
	for name, end := range map[string]func(*schedule, *attempt){
		"settled":      func(_ *schedule, a *attempt) { a.settled = true },
		"not settled":  func(*schedule, *attempt) {},
		"others' left": func(s *schedule, a *attempt) { a.more, s.per[a.lane] = true, 2 },
	} {
		s := newSchedule(Limits{}.withDefaults(), nil)
		fill(s, 1, 1, 1, "a")
		a := s.begin()
		s.looking()
		if ready := s.idle(a.lane, []int64{int64(a.m)}); ready != nil {
			t.Fatalf("%v is ready and runs", ready)
		}
		end(s, a)
		s.end(a, now.UnixMicro())
		if dirty, _ := s.wanting(now); !dirty {
			t.Errorf("%s: nobody looks again", name)
		}
	}
	s := newSchedule(Limits{}.withDefaults(), nil)
	s.seize(run{1, 1})
	s.looking()
	s.release(run{1, 1})
	if dirty, _ := s.wanting(now); !dirty {
		t.Error("nobody looks again at what was seized")
	}
}

func TestALookFromBeforeADestinationWentDownLetsNothingIn(t *testing.T) {
	s := newSchedule(Limits{}.withDefaults(), nil)
	stale := foundLane{key: 2, org: 2, to: Destination{Domain: "x0"}, ready: []ID{7}, reopened: s.reopenings()}
	fill(s, 1, 1, 1, "x")
	a := s.begin()
	if v := s.judge(a, true, false); v.failures != 1 {
		t.Fatalf("judged %+v", v)
	}
	s.reopen(a.site)
	s.looking()
	s.letIn([]foundLane{stale})
	s.end(a, 0)
	if b := s.begin(); b != nil {
		t.Errorf("another attempt began: %+v", b)
	}
	if dirty, _ := s.wanting(time.Now()); !dirty {
		t.Error("nobody looks again")
	}
	stale.reopened = s.reopenings()
	s.letIn([]foundLane{stale})
	if s.begin() == nil {
		t.Error("nothing began after another look")
	}
}
