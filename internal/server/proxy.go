package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// behindProxies puts the client's address into RemoteAddr. It believes X-Forwarded-For only as far as trusted proxies wrote
// it: read from the right, the first address that is not a trusted proxy's is the client's. With onlyTrusted, a peer that is
// neither on this machine nor trusted is turned away: plain HTTP is not for it.
func behindProxies(next http.Handler, trusted []netip.Prefix, onlyTrusted bool) http.Handler {
	isTrusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "the client's address is unknown", http.StatusInternalServerError)
			return
		}
		addr := peer.Addr().Unmap()
		if onlyTrusted && !addr.IsLoopback() && !isTrusted(addr) {
			http.Error(w, "plain HTTP is for trusted proxies: use HTTPS", http.StatusForbidden)
			return
		}
		if isTrusted(addr) {
			if client, ok := forwardedFor(r.Header.Values("X-Forwarded-For"), isTrusted); ok {
				r.RemoteAddr = net.JoinHostPort(client.String(), "0")
			}
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedFor returns the rightmost address that is no trusted proxy's. What stands left of something unreadable was
// written by nobody we trust.
func forwardedFor(headers []string, isTrusted func(netip.Addr) bool) (client netip.Addr, ok bool) {
	entries := strings.Split(strings.Join(headers, ","), ",")
	for _, entry := range slices.Backward(entries) {
		entry = strings.TrimSpace(entry)
		addr, err := netip.ParseAddr(strings.Trim(entry, "[]"))
		if err != nil {
			withPort, err := netip.ParseAddrPort(entry)
			if err != nil {
				return client, ok
			}
			addr = withPort.Addr()
		}
		client, ok = addr.Unmap().WithZone(""), true
		if !isTrusted(client) {
			return client, true
		}
	}
	return client, ok
}
