package gate

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/netblock"
)

// Options are what a Gate stands on. Clock and Log are needed, Resolver for Lists.
type Options struct {
	Clock    clock.Clock
	Log      *slog.Logger
	Resolver Resolver
	// Exempt are networks that are let in like this machine.
	Exempt []netip.Prefix
	Limits Limits
	// Lists are asked about each client that is not exempt.
	Lists []List
	// Quiet is how long a client must wait for its greeting without a word (RFC 5321 section 3.1); 0 means that it need not.
	Quiet time.Duration
}

// Limits bound what one address (an IPv6 /64) or user may take. 0 is no limit, where nothing else is said.
type Limits struct {
	Connections int // at once
	Connects    int // new ones a minute
	Messages    int // a minute
	Recipients  int // a minute, of all messages

	UserMessages, UserRecipients int // the same for a user, wherever the user is

	Tarpitted int // sessions that are held up at the same time, a tenth of them of one address; 100 where 0
	Addresses int // that are remembered; 20,000 where 0
}

const (
	// tarpitStep is what each refused recipient adds to the time that the next one takes, tarpitMost the end of that.
	tarpitStep = time.Second
	tarpitMost = 10
	// tarpitFew is how many refused recipients an address may have of late and still go on while all places are taken.
	tarpitFew = 3
	// forgiven is how long it takes until one refused recipient is forgotten.
	forgiven = time.Minute
)

// Gate lets clients in. It is safe for concurrent use.
type Gate struct {
	Options
	stats stats

	mu        sync.Mutex
	clients   *recent[client, state]
	tarpitted int
}

// client is who is counted: a network, or a user.
type client struct {
	network netip.Prefix
	user    string
}

// state is what is known of a client.
type state struct {
	open                           int // connections
	tarpitted                      int // of them, held up
	connects, messages, recipients rate
	refused                        time.Time // when the last of the refused recipients will be forgotten
	told                           time.Time // when the log last told of it
	listings
}

// New returns a gate.
func New(o Options) *Gate {
	if o.Limits.Tarpitted <= 0 {
		o.Limits.Tarpitted = 100
	}
	if o.Limits.Addresses <= 0 {
		o.Limits.Addresses = 20_000
	}
	g := &Gate{Options: o, clients: newRecent[client](o.Limits.Addresses, func(s *state) bool { return s.open > 0 })}
	g.stats.lists = make([]listStats, len(o.Lists))
	return g
}

// Visit is a connection that was let in. It belongs to one goroutine. Its owner calls Close.
type Visit struct {
	gate    *Gate
	from    netip.Addr
	client  client
	exempt  bool
	begun   time.Time // of the machine's clock: what is waited for is a client
	listed  []hit
	refuses *hit
}

// Admit lets a client in, or says why not (Limit Client). It may wait some seconds for DNS.
func (g *Gate) Admit(ctx context.Context, from netip.Addr) (*Visit, error) {
	v := &Visit{gate: g, from: from, client: client{network: netblock.Of(from)}, exempt: exempt(g.Exempt).has(from), begun: time.Now()}
	if v.exempt {
		return v, nil
	}
	if err := g.open(v); err != nil {
		return nil, err
	}
	for _, h := range g.lookUp(ctx, v) {
		if h.list.Refuse && v.refuses == nil {
			v.refuses = &h
		}
		v.listed = append(v.listed, h)
	}
	return v, nil
}

// open counts a connection.
func (g *Gate) open(v *Visit) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.clients.get(v.client)
	switch {
	case g.Limits.Connections > 0 && s.open >= g.Limits.Connections:
		return g.refuse(v, s, tooManyConnections, fault.New(fault.Limit, fault.Client,
			"too many connections from your address: %d at once; try again later", g.Limits.Connections))
	case !s.connects.take(g.Clock.Now(), g.Limits.Connects):
		return g.refuse(v, s, tooManyConnects, fault.New(fault.Limit, fault.Client,
			"too many connections from your address: %d a minute; try again later", g.Limits.Connects))
	}
	s.open++
	return nil
}

// refuse counts a refusal, and tells the log of it once a minute for each client. It is called with the lock.
func (g *Gate) refuse(v *Visit, s *state, why Reason, err *fault.Error) error {
	g.stats.refused[why].Add(1)
	if now := g.Clock.Now(); now.Sub(s.told) >= time.Minute || s.told.IsZero() {
		s.told = now
		g.Log.Info("turned away", "remote", v.from, "user", v.client.user, "reason", why, "answer", err.Message)
	}
	return err
}

// Close ends the visit.
func (v *Visit) Close() {
	if v.exempt {
		return
	}
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.gate.clients.get(v.client).open--
}

// Quiet is how long the client has still to wait before it is greeted; 0 where it may be at once.
func (v *Visit) Quiet() time.Duration {
	if v.exempt || v.gate.Options.Quiet <= 0 {
		return 0
	}
	return max(v.gate.Options.Quiet-time.Since(v.begun), time.Millisecond) // what has come by now is seen in any case
}

// Spoke counts a client that did not wait, and returns what it is told: Denied Client.
func (v *Visit) Spoke() error {
	return v.refuse(early, fault.New(fault.Denied, fault.Client, "a client waits for the greeting before it speaks"))
}

func (v *Visit) refuse(why Reason, err *fault.Error) error {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	return v.gate.refuse(v, v.gate.clients.get(v.client), why, err)
}

// Listed are the DNS lists that have the client, but refuse nothing.
func (v *Visit) Listed() (names []string) {
	for _, h := range v.listed {
		if !h.list.Refuse {
			names = append(names, h.list.Zone)
		}
	}
	return names
}

// Mail counts a message: of the user, or of the address where user is empty. Limit Client.
func (v *Visit) Mail(user string) error {
	l := &v.gate.Limits
	return v.count(user, func(s *state, now time.Time) bool {
		if user == "" {
			return s.messages.take(now, l.Messages)
		}
		return s.messages.take(now, l.UserMessages)
	}, tooManyMessages, "messages", l.Messages, l.UserMessages)
}

// Recipient counts a recipient likewise, and refuses it where a DNS list does: Limit Client, Denied Client.
func (v *Visit) Recipient(user string) error {
	l := &v.gate.Limits
	err := v.count(user, func(s *state, now time.Time) bool {
		if user == "" {
			return s.recipients.take(now, l.Recipients)
		}
		return s.recipients.take(now, l.UserRecipients)
	}, tooManyRecipients, "recipients", l.Recipients, l.UserRecipients)
	if err != nil || v.refuses == nil || user != "" {
		return err
	}
	return v.refuse(onList, fault.New(fault.Denied, fault.Client, "%s", v.refuses.answer(v.from)))
}

// count takes one of the rates of who is counted.
func (v *Visit) count(user string, take func(*state, time.Time) bool, why Reason, what string, ofAddress, ofUser int) error {
	who, limit, whose := v.client, ofAddress, "from your address"
	if user != "" {
		who, limit, whose = client{user: user}, ofUser, "of yours"
	} else if v.exempt {
		return nil
	}
	if limit <= 0 {
		return nil
	}
	g := v.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.clients.get(who)
	if take(s, g.Clock.Now()) {
		return nil
	}
	counted := *v
	counted.client = who
	return g.refuse(&counted, s, why, fault.New(fault.Limit, fault.Client, "too many %s %s: %d a minute; try again later", what, whose, limit))
}

// Answered is told what became of a recipient, before the client is. Refused ones cost the more time the more there were of late from the
// address, also on other connections: who tries names until one is somebody's has no use of it. Limit Client: too many of the address's
// sessions are held up already, or of all and the address tries many names, and this one must end. Of users nothing is asked.
func (v *Visit) Answered(ctx context.Context, user string, err error) error {
	if v.exempt || user != "" || !guessed(err) {
		return nil
	}
	g := v.gate
	wait, tired := g.holdUp(v)
	if wait == 0 {
		return tired
	}
	g.stats.delayed.Add(1)
	_ = g.Clock.Sleep(ctx, wait) // who ends the session says so to its owner as well
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tarpitted--
	g.clients.get(v.client).tarpitted--
	return nil
}

// guessed reports whether a recipient was refused as those are that nobody here has.
func guessed(err error) bool {
	f := fault.As(err)
	return f != nil && f.Subject == fault.Address && (f.Kind == fault.NotFound || f.Kind == fault.Denied)
}

// holdUp counts a refused recipient and returns how long its answer takes. Where all places are taken, an honest server with a misspelt
// recipient is answered at once: it must not pay for those who hold them.
func (g *Gate) holdUp(v *Visit) (time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, now := g.clients.get(v.client), g.Clock.Now()
	if s.refused.Before(now) {
		s.refused = now
	}
	s.refused = s.refused.Add(forgiven)
	if limit := now.Add(tarpitMost * forgiven); s.refused.After(limit) {
		s.refused = limit
	}
	refused := (s.refused.Sub(now) + forgiven - 1) / forgiven
	full := g.tarpitted >= g.Limits.Tarpitted
	switch {
	case s.tarpitted >= max(g.Limits.Tarpitted/10, 1), full && (s.tarpitted > 0 || refused > tarpitFew):
		return 0, g.refuse(v, s, tarpitFull, fault.New(fault.Limit, fault.Client, "too many recipients were refused; try again later"))
	case full:
		return 0, nil
	}
	g.tarpitted++
	s.tarpitted++
	return time.Duration(refused) * tarpitStep, nil
}
