package imap

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/netblock"
)

// Server serves IMAP on any number of listeners.
type Server struct {
	Config
	recent  recents
	buffers sync.Pool     // *[]byte of wire.BufferSize
	large   chan struct{} // a place for each large message that is parsed at once
	open    atomic.Int64

	mu        sync.Mutex
	addresses map[netip.Prefix]int
}

// maxLargeAtOnce is how many messages larger than spoolAbove are in memory at once, to be parsed.
const maxLargeAtOnce = 2

// New returns a server.
func New(c Config) *Server {
	c.setDefaults()
	s := &Server{Config: c, addresses: map[netip.Prefix]int{}, large: make(chan struct{}, maxLargeAtOnce)}
	s.recent.told = map[folderKey]recentMark{}
	s.buffers.New = func() any { b := make([]byte, 0, wire.BufferSize+4<<10); return &b }
	return s
}

// Connections returns how many connections are open.
func (s *Server) Connections() int { return int(s.open.Load()) }

// Serve accepts connections of l until ctx ends, and returns when all of them have ended: idle ones at once with BYE, the
// others after their command, or after Config.Grace. It closes l. A connection that l hands out as a *tls.Conn is
// protected from its first byte; the others may use STARTTLS. What keeps l from accepting for a while l waits out itself;
// the error is one that doesn't pass.
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
	address := remoteAddress(nc)
	if reason := s.enter(address); reason != "" {
		s.Log.WarnContext(ctx, "IMAP connection refused", "reason", reason, "address", address)
		if _, isTLS := nc.(*tls.Conn); !isTLS {
			c := newConn(s, nc, address)
			c.w.Status("*", "BYE", "", reason)
			_ = c.w.Flush() // it is going away in any case
		}
		_ = nc.Close()
		return
	}
	defer s.leave(address)
	newConn(s, nc, address).serve(ctx)
}

// enter counts a connection in, or says why it can't come in.
func (s *Server) enter(a netip.Addr) string {
	if s.open.Add(1) > int64(s.MaxConnections) {
		s.open.Add(-1)
		return "too many connections, try again later"
	}
	of := netblock.Of(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addresses[of] >= s.MaxPerAddress {
		s.open.Add(-1)
		return "too many connections from your address"
	}
	s.addresses[of]++
	return ""
}

func (s *Server) leave(a netip.Addr) {
	s.open.Add(-1)
	of := netblock.Of(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addresses[of]--; s.addresses[of] <= 0 {
		delete(s.addresses, of)
	}
}

func remoteAddress(nc net.Conn) netip.Addr {
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		return a.Addr().Unmap()
	}
	return netip.Addr{}
}

func (s *Server) buffer() []byte { return (*s.buffers.Get().(*[]byte))[:0] }

func (s *Server) release(b []byte) {
	if cap(b) <= 4*wire.BufferSize { // one that grew for a large response is not kept
		s.buffers.Put(&b)
	}
}
