package managesieve

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/pennypost/pennypost/internal/netblock"
)

// Server serves ManageSieve on any number of listeners.
type Server struct {
	Config

	mu        sync.Mutex
	open      int
	addresses map[netip.Prefix]int // by the network of a client
}

// New returns a server.
func New(c Config) *Server {
	c.setDefaults()
	return &Server{Config: c, addresses: map[netip.Prefix]int{}}
}

// Serve accepts connections of l until ctx ends, and returns when all of them have ended: idle ones at once with BYE, the others after
// their command, or after Config.Grace. It closes l. What keeps l from accepting for a while l waits out itself; the error is one that doesn't pass.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			sessions.Go(func() { s.handle(ctx, nc) })
		case ctx.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// handle serves one connection, if there is room for it.
func (s *Server) handle(ctx context.Context, nc net.Conn) {
	c := newConn(s, nc)
	if reason := s.enter(c.address); reason != "" {
		s.Log.WarnContext(ctx, "ManageSieve connection refused", "reason", reason, "address", c.address)
		c.bye("TRYLATER", reason)
		_ = nc.Close()
		return
	}
	defer s.leave(c.address)
	c.serve(ctx)
}

// enter counts a connection in, or says why it can't come in.
func (s *Server) enter(a netip.Addr) string {
	client := netblock.Of(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open >= s.MaxConnections:
		return "too many connections, try again later"
	case s.addresses[client] >= s.MaxPerAddress:
		return "too many connections from your address"
	}
	s.open++
	s.addresses[client]++
	return ""
}

func (s *Server) leave(a netip.Addr) {
	client := netblock.Of(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.addresses[client]--; s.addresses[client] <= 0 {
		delete(s.addresses, client)
	}
}

func remoteAddress(nc net.Conn) netip.Addr {
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		return a.Addr().Unmap()
	}
	return netip.Addr{}
}
