package managesieve

import (
	"context"
	"net"

	"github.com/pennypost/pennypost/internal/accept"
)

// Server serves ManageSieve on any number of listeners.
type Server struct {
	Config
	places *accept.Places
}

// New returns a server.
func New(c Config) *Server {
	c.setDefaults()
	return &Server{Config: c, places: accept.NewPlaces(c.MaxConnections, c.MaxPerAddress)}
}

// Serve accepts connections of l until ctx ends, and returns when all of them have ended: idle ones at once with BYE, the others after
// their command, or after Config.Grace. It closes l. What keeps l from accepting for a while l waits out itself; the error is one that doesn't pass.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return accept.Serve(ctx, l, func(nc net.Conn) { s.handle(ctx, nc) })
}

// handle serves one connection, if there is room for it.
func (s *Server) handle(ctx context.Context, nc net.Conn) {
	c := newConn(s, nc)
	if reason := s.places.Take(c.address); reason != "" {
		s.Log.WarnContext(ctx, "ManageSieve connection refused", "reason", reason, "address", c.address)
		c.bye("TRYLATER", reason)
		_ = nc.Close()
		return
	}
	defer s.places.Free(c.address)
	c.serve(ctx)
}
