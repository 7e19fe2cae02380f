// Package accept is what mail protocols whose clients stay for long do alike with connections: let them in, counted by client, and end
// them from outside.
package accept

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/pennypost/pennypost/internal/netblock"
	"github.com/pennypost/pennypost/internal/stack"
)

// Serve hands each connection of l to handle, in a goroutine of its own, until ctx ends, and returns when all of those have. It closes l.
// What keeps l from accepting for a while l waits out itself; the error is one that doesn't pass.
func Serve(ctx context.Context, l net.Listener, handle func(net.Conn)) error {
	var handled sync.WaitGroup
	defer handled.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			handled.Go(func() {
				stack.Deepen() // a TLS handshake is as deep
				handle(nc)
			})
		case ctx.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// Address is who a connection is with; the zero address where that is not a matter of IP.
func Address(nc net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap().WithZone("")
}

// Places are those for connections, in all and from each client (see package netblock).
type Places struct {
	most, ofClient int

	mu      sync.Mutex
	taken   int
	clients map[netip.Prefix]int
}

// NewPlaces returns as many places as most, of which a client may have ofClient.
func NewPlaces(most, ofClient int) *Places {
	return &Places{most: most, ofClient: ofClient, clients: map[netip.Prefix]int{}}
}

// Take takes a place, or says why there is none.
func (p *Places) Take(from netip.Addr) (refused string) {
	client := netblock.Of(from)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.taken >= p.most:
		return "too many connections, try again later"
	case p.clients[client] >= p.ofClient:
		return "too many connections from your address"
	}
	p.taken++
	p.clients[client]++
	return ""
}

// Free gives a place back that was taken.
func (p *Places) Free(from netip.Addr) {
	client := netblock.Of(from)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.clients[client]--; p.clients[client] <= 0 {
		delete(p.clients, client)
	}
}

// Taken is how many places are taken.
func (p *Places) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}
