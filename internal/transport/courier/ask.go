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
)

// question is whether the gateway of a route takes mail for an address.
type question struct{ route, address string }

// answer is what it said, for how long that is believed.
type answer struct {
	taken bool
	until time.Time
}

// answers remembers what gateways said of addresses.
type answers struct {
	mu    sync.Mutex
	known map[question]answer
	open  map[question]chan struct{} // closed with the answer
}

// Ask asks the gateway of a route whether it takes mail for an address, and sends none. Answers are remembered for a while. Who asks
// because somebody else asks (probe) does not wait for an answer that is under way: that may be the gateway, which wants to know of us
// before it answers us. Faults: NotFound Address (it does not), Temporary Address (it does not say).
func (c *Courier) Ask(ctx context.Context, route string, to message.Address, probe bool) error {
	q := question{route, path(to)}
	unsure := fault.New(fault.Temporary, fault.Address, "whether %s takes mail can't be found out now; send it again", to)
	for {
		c.asked.mu.Lock()
		a, known := c.asked.known[q]
		open := c.asked.open[q]
		known = known && c.o.Clock.Now().Before(a.until)
		if !known && open == nil {
			c.asked.open[q] = make(chan struct{})
		}
		c.asked.mu.Unlock()
		switch {
		case known && a.taken:
			return nil
		case known:
			return fault.New(fault.NotFound, fault.Address, "nobody has the address %s", to)
		case open != nil && probe:
			return unsure
		case open != nil:
			select {
			case <-open:
			case <-ctx.Done():
				return unsure
			}
			continue
		}
		taken, sure := c.ask(ctx, q)
		c.asked.close(q, answer{taken, c.o.Clock.Now()}, sure)
		switch {
		case !sure:
			return unsure
		case taken:
			return nil
		}
		return fault.New(fault.NotFound, fault.Address, "nobody has the address %s", to)
	}
}

// close notes an answer; one that is not sure is noted by nobody, and the next asks again.
func (a *answers) close(q question, said answer, sure bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.open[q])
	delete(a.open, q)
	if !sure {
		return
	}
	if len(a.known) >= maxAnswers { // the load of forgetting all is that of a restart
		clear(a.known)
	}
	keep := unknownFor
	if said.taken {
		keep = knownFor
	}
	said.until = said.until.Add(keep)
	a.known[q] = said
}

// ask asks. Only a refusal that is for good and about the address says that nobody is there: a gateway may refuse us for other reasons.
func (c *Courier) ask(ctx context.Context, q question) (taken, sure bool) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
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

// ofAddress reports whether a refusal is about the address (RFC 5321 section 4.2.3, RFC 3463 section 3.2).
func ofAddress(r smtpclient.Reply) bool {
	switch r.Code {
	case 550, 551, 553:
		return strings.HasPrefix(r.Status, "5.1.") || r.Status == "5.0.0" || strings.HasPrefix(r.Status, "5.2.1")
	}
	return false
}
