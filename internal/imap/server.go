package imap

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"github.com/pennypost/pennypost/internal/accept"
	"github.com/pennypost/pennypost/internal/imap/wire"
)

// Server serves IMAP on any number of listeners.
type Server struct {
	Config
	recent  recents
	buffers sync.Pool     // *[]byte of wire.BufferSize
	large   chan struct{} // a place for each large message that is parsed at once
	places  *accept.Places
}

// maxLargeAtOnce is how many messages larger than spoolAbove are in memory at once, to be parsed.
const maxLargeAtOnce = 2

// New returns a server.
func New(c Config) *Server {
	c.setDefaults()
	s := &Server{Config: c, places: accept.NewPlaces(c.MaxConnections, c.MaxPerAddress), large: make(chan struct{}, maxLargeAtOnce)}
	s.recent.told = map[folderKey]recentMark{}
	s.buffers.New = func() any { b := make([]byte, 0, wire.BufferSize+4<<10); return &b }
	return s
}

// Connections returns how many connections are open.
func (s *Server) Connections() int { return s.places.Taken() }

// Serve accepts connections of l until ctx ends, and returns when all of them have ended: idle ones at once with BYE, the
// others after their command, or after Config.Grace. It closes l. A connection that l hands out as a *tls.Conn is
// protected from its first byte; the others may use STARTTLS. What keeps l from accepting for a while l waits out itself;
// the error is one that doesn't pass.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return accept.Serve(ctx, l, func(nc net.Conn) { s.handle(ctx, nc) })
}

// handle serves one connection, if there is room for it.
func (s *Server) handle(ctx context.Context, nc net.Conn) {
	address := accept.Address(nc)
	if reason := s.places.Take(address); reason != "" {
		s.Log.WarnContext(ctx, "IMAP connection refused", "reason", reason, "address", address)
		if _, isTLS := nc.(*tls.Conn); !isTLS {
			c := newConn(s, nc, address)
			c.w.Status("*", "BYE", "", reason)
			_ = c.w.Flush() // it is going away in any case
		}
		_ = nc.Close()
		return
	}
	defer s.places.Free(address)
	newConn(s, nc, address).serve(ctx)
}

func (s *Server) buffer() []byte { return (*s.buffers.Get().(*[]byte))[:0] }

func (s *Server) release(b []byte) {
	if cap(b) <= 4*wire.BufferSize { // one that grew for a large response is not kept
		s.buffers.Put(&b)
	}
}
