package smtp

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
)

// timed runs a test of limits in time in a bubble, where time passes once all wait, however slow the machine is.
func timed(t *testing.T, fn func(t *testing.T, start func(change func(*Config)) *testServer)) {
	synctest.Test(t, func(t *testing.T) {
		fn(t, func(change func(*Config)) *testServer {
			p := pipes{make(chan net.Conn), make(chan struct{})}
			ts := serveOn(t, p, change)
			ts.connect = p.connect
			return ts
		})
	})
}

// pipes is a listener whose connections are pipes, which heed the time of a bubble.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
}

func (p pipes) connect() (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- movedConn{there, netip.AddrFrom4([4]byte{192, 0, 2, 1})}:
		return here, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.ended)
	return nil
}

func (p pipes) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 99}), 25))
}
