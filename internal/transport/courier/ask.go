package courier

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/smtpclient"
)

const (
	askTimeout = 30 * time.Second
	maxAnswers = 10_000
	knownFor   = time.Hour
	unknownFor = 5 * time.Minute
	unsureFor  = 10 * time.Second
	maxAsking  = 8 // questions of a route that are open at once
)

// question is whether the gateway of a route takes mail for an address.
type question struct{ route, address string }

// answer is what it said, for how long that is believed.
type answer struct {
	taken, sure bool
	until       time.Time
}

// answers remembers what gateways said of addresses.
type answers struct {
	mu    sync.Mutex
	known map[question]answer
	open  map[question]chan struct{} // closed with the answer
	slots map[string]chan struct{}   // of routes; each holds as many as are asked
}

// Ask asks the gateway of a route whether it takes mail for an address, and sends none. Answers are remembered for a while, also that there is
// none, for seconds. Strangers can name any address, so a gateway hears few questions at a time, and the others wait. Who asks because somebody
// else asks (probe) waits for none that is under way: that may be the gateway, which wants to know of us before it answers us. Faults: NotFound
// Address (it does not), Temporary Address (it does not say).
func (c *Courier) Ask(ctx context.Context, route string, to message.Address, probe bool) error {
	q := question{route, path(to)}
	said, open, mine := c.asked.look(q, c.o.Clock.Now(), true)
	switch {
	case mine:
		said.taken, said.sure = c.ask(ctx, q, probe)
		c.asked.close(q, said, c.o.Clock.Now(), ctx.Err() == nil && !probe)
	case open != nil && !probe:
		select {
		case <-open:
			said, _, _ = c.asked.look(q, c.o.Clock.Now(), false) // what was found holds for all who waited
		case <-ctx.Done():
		}
	}
	switch {
	case !said.sure:
		return fault.New(fault.Temporary, fault.Address, "whether %s takes mail can't be found out now; send it again", to)
	case said.taken:
		return nil
	}
	return fault.New(fault.NotFound, fault.Address, "nobody has the address %s", to)
}

// look returns what is known of a question. Where that is nothing, open is closed once there is more, and mine says that the caller, who would
// ask, has to find out.
func (a *answers) look(q question, now time.Time, ask bool) (said answer, open chan struct{}, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if said, known := a.known[q]; known && now.Before(said.until) {
		return said, nil, false
	}
	if open = a.open[q]; open == nil && ask {
		a.open[q] = make(chan struct{})
		mine = true
	}
	return answer{}, open, mine
}

// slot is where a question of a route takes its place.
func (a *answers) slot(route string) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slots[route] == nil {
		a.slots[route] = make(chan struct{}, maxAsking)
	}
	return a.slots[route]
}

// close ends a question, and notes its answer; one that is none only where note says so: who asked may have gone away.
func (a *answers) close(q question, said answer, now time.Time, note bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.open[q])
	delete(a.open, q)
	keep := unsureFor
	switch {
	case said.sure && said.taken:
		keep = knownFor
	case said.sure:
		keep = unknownFor
	case !note:
		return
	}
	if len(a.known) >= maxAnswers { // the load of forgetting all is that of a restart
		clear(a.known)
	}
	said.until = now.Add(keep)
	a.known[q] = said
}

// ask asks. Only a refusal that is for good and about the address says that nobody is there: a gateway may refuse us for other reasons.
func (c *Courier) ask(ctx context.Context, q question, probe bool) (taken, sure bool) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	slot := c.asked.slot(q.route)
	select {
	case slot <- struct{}{}:
	default:
		if probe {
			return false, false
		}
		select {
		case slot <- struct{}{}:
		case <-ctx.Done():
			return false, false
		}
	}
	defer func() { <-slot }()
	targets, why := c.gateway(ctx, q.route)
	if why != nil {
		c.o.Log.Warn("a gateway can't be asked for an address", "route", q.route, "reason", why.text)
		return false, false
	}
	s := c.kept(ctx, &targets[0])
	if s == nil {
		if s, why = c.connect(ctx, &targets[0]); why != nil {
			c.o.Log.Warn("a gateway can't be asked for an address", "route", q.route, "reason", why.text)
			return false, false
		}
	}
	defer c.pool.put(s)
	s.messages++
	r, err := s.client.Ask(ctx, s.gateway.NullSender, q.address)
	switch {
	case err == nil && r.Code/100 == 2:
		return true, true
	case err == nil && ofAddress(r):
		return false, true
	}
	c.o.Log.Info("a gateway does not say whether it takes mail for an address", "route", q.route, "reply", r.String(), "error", err)
	return false, false
}

// ofAddress reports whether a refusal is about the address (RFC 5321 section 4.2.3, RFC 3463 section 3.2). Exchange Online says of one who is not in
// its directory "550 5.4.1 Recipient address rejected: Access denied".
func ofAddress(r smtpclient.Reply) bool {
	switch r.Code {
	case 550, 551, 553:
		return strings.HasPrefix(r.Status, "5.1.") || r.Status == "5.0.0" || strings.HasPrefix(r.Status, "5.2.1") || r.Status == "5.4.1"
	}
	return false
}
