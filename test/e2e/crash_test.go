package e2e

import (
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/test/harness"
)

var (
	rounds = flag.Int("rounds", 8, "how often TestKill kills the server on each engine; make soak asks for many more")
	seed   = flag.Uint64("seed", 0, "what TestKill and TestDay draw their lots from, to repeat what a failure printed; 0 draws one")
)

// load is a client that works until its server is gone, and knows afterwards what it was promised.
type load interface {
	// connect is called once in each round, by the test.
	connect(t *testing.T, s *harness.Server)
	// work works until its connection breaks, and calls acknowledged after each success. An answer that is no success is a
	// fault of the server, which is not yet told to stop.
	work(t *testing.T, lots *rand.Rand, acknowledged func())
	// verify compares what the restarted server has with what was acknowledged: nothing missing, and what was under way when
	// the server died is there as a whole or not at all. Unless whole is set it may pass over what earlier rounds verified.
	verify(t *testing.T, s *harness.Server, whole bool)
}

// TestKill kills the server with SIGKILL in the middle of deliveries, IMAP commands and API writes, again and again on the same
// store. After each crash the store must be consistent, and each client must find what it was promised.
func TestKill(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		seed := *seed
		if seed == 0 {
			seed = rand.Uint64()
		}
		s := harness.Start(t, harness.Options{DatabaseURL: url})
		org := office(t, s, "crash", "ann", "bob")
		in := &inboxes{of: map[string]*inbox{"ann": {}, "bob": {}}, sent: map[string]*sent{}}
		loads := []load{
			&sender{inboxes: in, name: "d1", to: []string{"ann"}},
			&sender{inboxes: in, name: "d2", to: []string{"ann", "bob"}},
			&sender{inboxes: in, name: "d3", to: []string{"bob"}},
			&reader{name: "f1", user: "ann"}, &reader{name: "f2", user: "ann"},
			newAdministrator("a1", org), newAdministrator("a2", org),
		}
		for round := range *rounds {
			under(t, s, loads, seed, round, s.Kill)
			s.Check()
			s.Start()
			for _, l := range loads {
				l.verify(t, s, round == *rounds-1)
			}
			in.verify(t, s, round == *rounds-1)
			if t.Failed() {
				t.Fatalf("in round %d; -seed %d draws the same lots again", round, seed)
			}
		}
		in.sawFiles(t, s)
		t.Logf("seed %d, %d rounds: %d messages sent, %d acknowledged", seed, *rounds, len(in.sent), in.acknowledged())
	})
}

// under lets the loads work, ends the server soon after a number of acknowledgements that is drawn by lot, and waits for the
// loads to notice.
func under(t *testing.T, s *harness.Server, loads []load, seed uint64, round int, end func()) {
	t.Helper()
	lots := rand.New(rand.NewPCG(seed, uint64(round)<<8))
	limit := int64(1 + lots.IntN(200))
	var count atomic.Int64
	enough, ended := make(chan struct{}), make(chan struct{})
	acknowledged := func() {
		if count.Add(1) == limit {
			close(enough)
		}
	}
	for _, l := range loads {
		l.connect(t, s)
	}
	var working sync.WaitGroup
	for i, l := range loads {
		own := rand.New(rand.NewPCG(seed, uint64(round)<<8+uint64(i)+1))
		working.Go(func() { l.work(t, own, acknowledged) })
	}
	go func() {
		defer close(ended)
		working.Wait()
	}()
	select {
	case <-enough:
		// Not just behind an acknowledgement, where a commit has ended: anywhere in what follows.
		<-time.After(time.Duration(lots.IntN(5000)) * time.Microsecond)
	case <-ended:
		t.Errorf("all clients gave up after %d acknowledgements, before the server ended", count.Load())
	}
	end()
	<-ended
}
