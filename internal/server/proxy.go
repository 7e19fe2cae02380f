package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
)

// behindProxies puts the client's address into RemoteAddr where a trusted proxy tells it. With onlyTrusted, a peer that is
// neither on this machine nor trusted is turned away: plain HTTP is not for it.
func behindProxies(next http.Handler, trusted proxies, onlyTrusted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "the client's address is unknown", http.StatusInternalServerError)
			return
		}
		addr := from.Addr().Unmap()
		peer, ok := r.Context().Value(peerKey{}).(netip.Addr)
		if !ok {
			peer = addr
		}
		if onlyTrusted && !peer.IsLoopback() && !trusted.trust(peer) {
			http.Error(w, "plain HTTP is for trusted proxies: use HTTPS", http.StatusForbidden)
			return
		}
		if trusted.trust(addr) {
			client, ok, agreed := forwardedClient(r.Header, trusted.trust)
			if !agreed {
				http.Error(w, "X-Forwarded-For and Forwarded tell different clients: the proxy must remove the one that it does not write", http.StatusBadRequest)
				return
			}
			if ok {
				r.RemoteAddr = net.JoinHostPort(client.String(), "0")
			}
		}
		next.ServeHTTP(w, r)
	})
}

// peerKey is the key of the address of the proxy that brought a connection, in the contexts of the connection's requests.
type peerKey struct{}

// withPeer is a http.Server.ConnContext.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*proxiedConn); ok {
		return context.WithValue(ctx, peerKey{}, p.proxy)
	}
	return ctx
}
