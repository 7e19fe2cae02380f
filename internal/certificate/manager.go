// Package certificate has certificates issued by a CA (ACME, RFC 8555), keeps them in the store, shows them in handshakes and
// replaces them in time. It knows nothing of mail: whose names are to have certificates is handed in.
//
// One goroutine (Run) does all that speaks to the CA, one name after the other. What it will do is in the table acme_certificate, so that
// a restart goes on from there and orders nothing that is there. A store has one server, so there is no other who would order the same.
package certificate

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/secret"
)

// Authority issues certificates.
type Authority interface {
	// Directory names it.
	Directory() string
	// Obtain has a certificate issued, and returns it with its chain, PEM.
	Obtain(ctx context.Context, o Order) ([]byte, error)
	// Renewal returns when the authority wants a certificate replaced, and when to ask again; zero where it does not say.
	Renewal(ctx context.Context, leaf *x509.Certificate) (replace, again time.Time, err error)
	// Tidy removes what orders left that were cut off.
	Tidy(ctx context.Context) error
}

// Order is for a certificate.
type Order struct {
	Name     string
	Key      crypto.Signer
	Replaces *x509.Certificate // nil for none of the same authority
}

// Options are what a Manager is made of. All but Authority, More, Leads and KeepKey are required.
type Options struct {
	DB    *db.DB
	Root  *secret.Key
	Clock clock.Clock
	Log   *slog.Logger
	// Authority is whom to ask; nil where nobody is, and what is in the store stays there.
	Authority Authority
	// Names are to have certificates, whatever happens. The first is shown to clients that ask for no name, or one that has none.
	Names []string
	// More are further names, which may change while the server runs.
	More func(ctx context.Context) ([]string, error)
	// Leads returns why nothing can be ordered for one of them yet.
	Leads func(ctx context.Context, name string) error
	// KeepKey has a new certificate for the key of the one before.
	KeepKey bool
}

const (
	// survey is how often, at least, the names of More are looked at.
	survey = 10 * time.Minute
	// claim is how soon a name is due again whose order is cut off.
	claim = 5 * time.Second
	// orderTime bounds an order.
	orderTime = 6 * time.Minute
	// askEvery and askMost are how often the CA is asked when to replace a certificate, where it does not say itself, and at most.
	askEvery, askMost = 12 * time.Hour, time.Hour
	// burst and refill bound the orders for names that come and go: Let's Encrypt allows 300 in three hours.
	burst  = 20
	refill = time.Minute
	// stretch is how many names are attended to before the own ones are looked at again; survey is how long.
	stretch = 50
)

// Manager keeps certificates. It is safe for concurrent use.
type Manager struct {
	Options
	store store
	wake  chan struct{} // holds one notice

	// Of Run alone.
	tokens   int // orders for More that are left
	refilled time.Time
	unkept   map[string]*unkept // what was issued and could not be written yet

	mu     sync.RWMutex
	held   map[string]*held // names that have a certificate
	loaded int              // of More, with the certificate in memory
}

// unkept is a certificate that is in memory alone.
type unkept struct {
	row   *row
	chain []byte
	key   crypto.Signer
}

// New returns a Manager.
func New(o Options) *Manager {
	return &Manager{Options: o, store: store{o.DB, o.Root}, wake: make(chan struct{}, 1), tokens: burst, unkept: map[string]*unkept{}, held: map[string]*held{}}
}

// Run keeps the certificates until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	if m.Authority == nil {
		return nil
	}
	for ctx.Err() == nil {
		wait, err := m.round(ctx)
		if err != nil && ctx.Err() == nil {
			m.Log.ErrorContext(ctx, "the certificates could not be looked after; trying again", "error", err)
			wait = refill
		}
		clock.Rest(ctx, m.Clock, m.wake, wait)
	}
	return nil
}

// poke begins another round.
func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// round does what is due, and returns how long there is nothing to do.
func (m *Manager) round(ctx context.Context) (time.Duration, error) {
	if err := m.Authority.Tidy(ctx); err != nil && ctx.Err() == nil {
		m.Log.WarnContext(ctx, "what an order left could not be removed", "error", err)
	}
	wanted := slices.Clone(m.Names)
	if m.More != nil {
		more, err := m.More(ctx)
		if err != nil {
			return 0, err
		}
		for _, name := range more {
			if !slices.Contains(m.Names, name) {
				wanted = append(wanted, name)
			}
		}
	}
	rows, err := m.store.sync(ctx, wanted, m.Clock.Now())
	if err != nil {
		return 0, err
	}
	for name, u := range m.unkept {
		if rows[name] != nil {
			if err := m.keep(ctx, u.row); err != nil {
				return 0, err
			}
			if rows, err = m.store.rows(ctx); err != nil {
				return 0, err
			}
		}
		delete(m.unkept, name)
	}
	m.remember(ctx, rows)
	next, attended := m.Clock.Now().Add(askEvery), 0
	if m.More != nil {
		next = m.Clock.Now().Add(survey)
	}
	begun := m.Clock.Now()
	for _, r := range m.queue(rows, wanted) {
		now, own := m.Clock.Now(), slices.Contains(m.Names, r.Name)
		if !r.due.After(now) {
			switch good := r.has() && r.Directory == m.Authority.Directory() && r.renew.After(now); {
			case good:
				err = m.ask(ctx, r)
			case !own && !m.allowed(now):
				r.due = now.Add(refill)
				attended-- // nothing was done
			default:
				err = m.attend(ctx, r, own)
			}
			if err != nil {
				return 0, err
			}
			if attended++; !own && (attended >= stretch || m.Clock.Now().Sub(begun) >= survey) {
				return 0, nil
			}
		}
		if r.due.Before(next) {
			next = r.due
		}
	}
	return max(next.Sub(m.Clock.Now()), 0), nil
}

// queue is the order in which names are looked at: the own ones, then those that lose something, and of each who waits longest. So none
// that fails can keep another from its turn.
func (m *Manager) queue(rows map[string]*row, wanted []string) []*row {
	class := func(r *row) int {
		switch {
		case slices.Contains(m.Names, r.Name):
			return 0
		case r.has():
			return 1
		}
		return 2
	}
	list := make([]*row, len(wanted))
	for i, name := range wanted {
		r := rows[name]
		if r.Directory != m.Authority.Directory() && r.attempts == 0 {
			r.due = time.Time{} // another CA is to issue it
		}
		list[i] = r
	}
	slices.SortStableFunc(list, func(a, b *row) int { return cmp.Or(class(a)-class(b), a.due.Compare(b.due)) })
	return list
}

// attend orders a certificate, and writes down what came of it. It fails where the store does, or ctx ended.
func (m *Manager) attend(ctx context.Context, r *row, own bool) error {
	var err error
	if !own && m.Leads != nil {
		if err = m.Leads(ctx, r.Name); err != nil {
			err = elsewhere{err}
		}
	}
	if err == nil {
		// A store that takes nothing takes no certificate either. And a server that dies of it does not order again at once.
		r.due = m.Clock.Now().Add(claim)
		if err := m.store.schedule(ctx, r); err != nil {
			return err
		}
		if !own {
			m.tokens--
		}
		err = m.order(ctx, r)
	}
	if err == nil {
		return m.keep(context.WithoutCancel(ctx), r) // or a server that stops would order it again
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.attempts++
	r.failed, r.trouble, r.standing = m.Clock.Now(), shown(err), Wanted
	if errors.As(err, new(elsewhere)) {
		r.standing = Elsewhere
	}
	pause, advice := judge(err, r.attempts)
	r.due = r.failed.Add(pause + time.Duration(mathrand.Int64N(int64(pause/10)+1)))
	level := slog.LevelError
	if !own {
		level = slog.LevelWarn // somebody else's DNS
	}
	m.Log.Log(ctx, level, "a certificate could not be had; it will be tried again", "name", r.Name, "error", err, "advice", advice, "attempt", r.attempts,
		"next", r.due, "held_until", orNever(r.NotAfter))
	return m.store.schedule(ctx, r)
}

// orNever is a time for the log.
func orNever(t time.Time) any {
	if t.IsZero() {
		return "never"
	}
	return t
}

// allowed reports whether another order for the names of More may begin.
func (m *Manager) allowed(now time.Time) bool {
	if n := int(now.Sub(m.refilled) / refill); n > 0 {
		m.tokens, m.refilled = min(m.tokens+n, burst), now
	}
	return m.tokens > 0
}

// ask asks the CA when to replace a certificate, and writes it down. What it says counts, but for one that is new: then something is
// wrong there.
func (m *Manager) ask(ctx context.Context, r *row) error {
	now := m.Clock.Now()
	r.due = now.Add(askEvery)
	c, err := m.store.load(ctx, r.Name)
	if err != nil {
		m.Log.ErrorContext(ctx, "a certificate can't be read and is ordered anew", "name", r.Name, "error", err)
		r.renew, r.due = now, now
		return m.store.schedule(ctx, r)
	}
	replace, again, err := m.Authority.Renewal(ctx, c.Leaf)
	if err != nil {
		m.Log.DebugContext(ctx, "the CA does not say when to replace a certificate", "name", r.Name, "error", err)
	}
	if !replace.IsZero() {
		r.renew = later(replace, r.Issued.Add(r.NotAfter.Sub(r.Issued)/10))
	}
	if !again.IsZero() {
		r.due = later(again, now.Add(askMost))
	}
	if r.renew.Before(r.due) {
		r.due = r.renew
	}
	return m.store.schedule(ctx, r)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// keep writes a certificate that was issued. What can't be written is not lost: the next round tries again.
func (m *Manager) keep(ctx context.Context, r *row) error {
	u := m.unkept[r.Name]
	if err := m.store.keep(ctx, r, u.chain, u.key); err != nil {
		return err
	}
	delete(m.unkept, r.Name)
	return nil
}

// order has a certificate issued and shows it from then on; it is to be kept.
func (m *Manager) order(ctx context.Context, r *row) error {
	o := Order{Name: r.Name}
	var before *tls.Certificate
	if r.has() {
		var err error
		if before, err = m.store.load(ctx, r.Name); err != nil {
			m.Log.ErrorContext(ctx, "the certificate before can't be read", "name", r.Name, "error", err)
		}
	}
	if before != nil && r.Directory == m.Authority.Directory() {
		o.Replaces = before.Leaf
	}
	if before != nil && m.KeepKey && !r.renew.IsZero() { // without a time an operator wants another
		o.Key, _ = before.PrivateKey.(crypto.Signer) // it is one that we made
	}
	if o.Key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		o.Key = key
	}
	limited, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	chain, err := m.Authority.Obtain(limited, o)
	if err != nil {
		return err
	}
	now := m.Clock.Now()
	c, err := pair(chain, o.Key)
	if err == nil {
		err = c.Leaf.VerifyHostname(r.Name)
	}
	if err == nil && !c.Leaf.NotAfter.After(now) {
		err = errors.New("it has expired: is the clock right?")
	}
	if err != nil {
		return fmt.Errorf("the CA's certificate is of no use: %w", err)
	}
	r.Directory, r.Issued, r.NotAfter = m.Authority.Directory(), now, c.Leaf.NotAfter.UTC()
	r.renew = r.NotAfter.Add(-r.NotAfter.Sub(now) / 3)
	if r.due = now.Add(askEvery); r.renew.Before(r.due) {
		r.due = r.renew
	}
	r.attempts, r.failed, r.trouble = 0, time.Time{}, ""
	m.unkept[r.Name] = &unkept{r, chain, o.Key}
	m.hold(r, c)
	m.Log.InfoContext(ctx, "a certificate was issued and is shown from now on", "name", r.Name, "valid_until", r.NotAfter)
	return nil
}

// pair is a chain, PEM, with its key.
func pair(chain []byte, key crypto.Signer) (*tls.Certificate, error) {
	c := &tls.Certificate{PrivateKey: key}
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c.Certificate = append(c.Certificate, block.Bytes)
		}
	}
	if len(c.Certificate) == 0 {
		return nil, errors.New("the chain holds no certificate")
	}
	var err error
	if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
		return nil, err
	}
	public, ok := c.Leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("it is for another key")
	}
	return c, nil
}
