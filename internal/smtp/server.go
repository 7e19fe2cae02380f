package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/pennypost/pennypost/internal/stack"
)

// Server takes mail in on any number of listeners. It is made by New.
type Server struct {
	cfg Config
	// ctx is what core calls run under; it ends when Shutdown gives up waiting.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // one for each Serve and each session

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
}

// New returns a server. It panics where the configuration lacks what no server can do without.
func New(c Config) *Server {
	if c.Begin == nil || c.Clock == nil || c.Log == nil {
		panic("smtp: Config needs Begin, Clock and Log")
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		cfg: c.withDefaults(), ctx: ctx, cancel: cancel,
		listeners: map[net.Listener]struct{}{}, sessions: map[*session]struct{}{},
	}
}

// Serve accepts connections of l until Shutdown, which closes l; then it returns nil. What keeps l from accepting for a while
// l waits out itself; the error is one that doesn't pass. With implicit TLS the handshake comes before everything else (RFC
// 8314 section 3.3).
func (s *Server) Serve(l net.Listener, implicitTLS bool) error {
	if implicitTLS && s.cfg.TLS == nil {
		return errors.New("smtp: implicit TLS needs a TLS configuration")
	}
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return l.Close()
	}
	s.listeners[l] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.start(conn, implicitTLS)
		case s.isDraining() || errors.Is(err, net.ErrClosed):
			return nil
		default:
			return fmt.Errorf("smtp: serve %s: %w", l.Addr(), err)
		}
	}
}

// start gives a connection its session, or refuses it where there are too many.
func (s *Server) start(conn net.Conn, implicitTLS bool) {
	c := newSession(s, conn)
	s.mu.Lock()
	full := ""
	switch {
	case s.draining:
		full = "the server is shutting down"
	case len(s.sessions) >= s.cfg.Limits.Connections:
		full = "too many connections, try again later"
	}
	if full == "" {
		s.sessions[c] = struct{}{}
	}
	s.wg.Add(1)
	s.mu.Unlock()
	go func() {
		stack.Deepen() // a TLS handshake is as deep
		defer s.wg.Done()
		if full != "" {
			c.refuse("4.3.2", full, implicitTLS)
			return
		}
		defer s.ended(c)
		c.run(implicitTLS)
	}()
}

func (s *Server) ended(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// Shutdown stops accepting, tells idle clients so, and waits until the messages that are on their way in are answered. When
// ctx ends first it closes what is left, waits for that, and returns ctx's error. It may be called twice.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		_ = l.Close() // Serve ends either way
	}
	for c := range s.sessions {
		c.interrupt(421, "4.3.2", s.cfg.Hostname+" is shutting down", false)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.cancel()
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	s.mu.Lock()
	for c := range s.sessions {
		_ = c.raw.Close()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

// tlsServer returns conn's TLS side after the handshake.
func (s *Server) tlsServer(conn net.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeouts.Handshake)
	defer cancel()
	t := tls.Server(conn, s.cfg.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return t, nil
}
