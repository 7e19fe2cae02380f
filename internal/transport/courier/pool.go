package courier

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/transport/route"
)

const (
	maxIdle       = 100 // connections that are kept, in all
	maxIdleForOne = 8   // for one key
	maxIdleTime   = 30 * time.Second
	maxMessages   = 100 // over one connection
)

// key is what two messages must have in common to share a connection.
type key struct {
	route  string
	host   string
	port   uint16
	level  route.Level
	source string
	proof  string         // see proof
	roots  *x509.CertPool // the policy's own
}

// keyOf is the key of a host under its policy.
func keyOf(via, host string, port uint16, policy *route.TLS) key {
	return key{route: via, host: host, port: port, level: policy.Level, source: policy.Source, proof: proof(policy), roots: policy.Roots}
}

// proof is what the certificate was held against. What proved a host for one domain need not prove it for another: under DANE-TA it may bear
// the recipients' domain instead of its own name (RFC 7672 section 3.2.2).
func proof(policy *route.TLS) string {
	if policy.Level == route.Opportunistic {
		return ""
	}
	var records []string
	for _, r := range policy.Records {
		records = append(records, fmt.Sprintf("%d %d %d %x", r.Usage, r.Selector, r.Matching, r.Data))
	}
	slices.Sort(records) // DNS answers in any order
	return fmt.Sprintf("%q %x", policy.Names, sha256.Sum256([]byte(strings.Join(records, "\n"))))
}

// pool keeps connections that wait for another message.
type pool struct {
	clock  clock.Clock
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	filled chan struct{} // has an element after the pool became filled

	mu     sync.Mutex
	idle   []*session // the longest-waiting first
	closed bool
}

func (p *pool) open(c clock.Clock) {
	p.clock = c
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.filled = make(chan struct{}, 1)
	p.wg.Go(p.sweep)
}

// close ends all connections that wait, and waits for that.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	all := p.idle
	p.idle = nil
	p.mu.Unlock()
	p.cancel()
	for _, s := range all {
		p.quit(s)
	}
	p.wg.Wait()
}

// take returns a connection for k, the last that was put, or nil.
func (p *pool) take(k key) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if s := p.idle[i]; s.key == k && p.clock.Now().Sub(s.since) < maxIdleTime {
			p.idle = slices.Delete(p.idle, i, i+1)
			return s
		}
	}
	return nil
}

// put keeps a connection that can take another message, or ends it.
func (p *pool) put(s *session) {
	if s.client.Err() != nil {
		s.client.Close()
		return
	}
	s.since = p.clock.Now()
	p.mu.Lock()
	same := 0
	for _, other := range p.idle {
		if other.key == s.key {
			same++
		}
	}
	keep := !p.closed && s.messages < maxMessages && len(p.idle) < maxIdle && same < maxIdleForOne
	if keep {
		p.idle = append(p.idle, s)
		select {
		case p.filled <- struct{}{}:
		default:
		}
	} else if !p.closed {
		p.quit(s)
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		s.client.Close()
	}
}

// quit says good-bye, which may take the server some seconds, and closes the connection.
func (p *pool) quit(s *session) {
	p.wg.Go(func() { s.client.Quit(context.Background()) })
}

// len is how many connections wait.
func (p *pool) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// sweep ends connections that waited too long. While there are none it sleeps for ever.
func (p *pool) sweep() {
	for {
		wait, some := p.expire()
		if some {
			if p.clock.Sleep(p.ctx, wait) != nil {
				return
			}
			continue
		}
		select {
		case <-p.filled:
		case <-p.ctx.Done():
			return
		}
	}
}

// expire ends connections that waited too long, and says when to look again; some is false where none is left.
func (p *pool) expire() (wait time.Duration, some bool) {
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		s := p.idle[0]
		if left := maxIdleTime - now.Sub(s.since); left > 0 {
			return left, true
		}
		p.idle = slices.Delete(p.idle, 0, 1)
		p.quit(s)
	}
	return 0, false
}
