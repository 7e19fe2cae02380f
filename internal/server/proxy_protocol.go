package server

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/pennypost/pennypost/internal/accept"
)

const (
	// proxyHeaderWait is how long a trusted proxy may take to say whose connection it brings.
	proxyHeaderWait = 5 * time.Second
	// maxProxyHeaders is how many connections may be waited for at once.
	maxProxyHeaders = 1024
)

// proxies are the addresses that may say whose connection they bring.
type proxies []netip.Prefix

func (p proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(trusted netip.Prefix) bool { return trusted.Contains(a) })
}

// proxyListener hands out connections of trusted proxies with the client's address, which they tell by a header of the PROXY
// protocol (versions 1 and 2), and all others as they are: what looks like a header there is the client's own text. Headers are
// waited for beside each other, so that a slow one holds up nobody.
type proxyListener struct {
	net.Listener
	proxies proxies
	// optional takes a proxy that sends no header for the client: HTTP has headers of its own. Elsewhere it is refused, as the
	// protocol demands, since it would be taken for each of its clients.
	optional bool
	log      *slog.Logger

	ready chan net.Conn // with their addresses known
	ctx   context.Context
	stop  context.CancelFunc
	ended chan struct{} // when run has returned, with err set
	err   error
}

// behind lets l believe trusted proxies; without any it is l. The listener must be closed; then Accept returns when nothing of
// it runs any more.
func behind(l net.Listener, trusted proxies, optional bool, log *slog.Logger) net.Listener {
	if len(trusted) == 0 {
		return l
	}
	p := &proxyListener{Listener: l, proxies: trusted, optional: optional, log: log, ready: make(chan net.Conn), ended: make(chan struct{})}
	p.ctx, p.stop = context.WithCancel(context.Background())
	go p.run()
	return p
}

// run accepts until the listener is closed, and waits for those whose header is being read.
func (l *proxyListener) run() {
	defer close(l.ended)
	var reading sync.WaitGroup
	defer reading.Wait()
	places := make(chan struct{}, maxProxyHeaders)
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			l.err = err
			l.stop()
			return
		}
		peer := accept.Address(conn)
		if !l.proxies.trust(peer) {
			l.hand(conn)
			continue
		}
		select {
		case places <- struct{}{}:
			reading.Go(func() {
				defer func() { <-places }()
				l.read(conn, peer)
			})
		default:
			l.log.Warn("too many connections of trusted proxies wait for their PROXY header: one is closed", "proxy", peer)
			_ = conn.Close()
		}
	}
}

// hand gives a connection to who accepts.
func (l *proxyListener) hand(conn net.Conn) {
	select {
	case l.ready <- conn:
	case <-l.ctx.Done():
		_ = conn.Close()
	}
}

// read reads the header of a proxy's connection.
func (l *proxyListener) read(conn net.Conn, peer netip.Addr) {
	release := context.AfterFunc(l.ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer release()
	_ = conn.SetReadDeadline(time.Now().Add(proxyHeaderWait)) // a closed connection says so at the next read
	c := &proxiedConn{Conn: conn, buffered: bufio.NewReader(conn), proxy: peer, client: conn.RemoteAddr()}
	header, err := proxyproto.Read(c.buffered)
	var network net.Error
	switch none := errors.Is(err, proxyproto.ErrNoProxyProtocol) || errors.As(err, &network) && network.Timeout() && c.buffered.Buffered() == 0; {
	case err == nil:
		if source, ok := header.SourceAddr.(*net.TCPAddr); ok && header.Command.IsProxy() {
			c.client = source // else it is the proxy's own: a look whether we are there
		}
	case !l.optional || !none:
		l.log.Warn("a trusted proxy sent no PROXY header: its connection is closed", "proxy", peer, "listener", l.Addr().String(), "error", err)
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	l.hand(c)
}

// Accept returns the next connection whose client is known.
func (l *proxyListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.ended:
		return nil, l.err
	}
}

// Close stops accepting and closes the connections that nobody has accepted.
func (l *proxyListener) Close() error {
	err := l.Listener.Close()
	l.stop()
	<-l.ended
	return err
}

// proxiedConn is a connection that a proxy brought.
type proxiedConn struct {
	net.Conn
	buffered *bufio.Reader // of Conn: what came behind the header
	proxy    netip.Addr
	client   net.Addr
}

// Read reads what the client sent.
func (c *proxiedConn) Read(b []byte) (int, error) {
	if c.buffered == nil {
		return c.Conn.Read(b)
	}
	if c.buffered.Buffered() == 0 {
		c.buffered = nil
		return c.Conn.Read(b)
	}
	return c.buffered.Read(b)
}

// RemoteAddr is the client's address.
func (c *proxiedConn) RemoteAddr() net.Addr { return c.client }
