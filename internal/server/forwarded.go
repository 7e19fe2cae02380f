package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwardedClient returns the client that trusted proxies tell of in X-Forwarded-For or Forwarded (RFC 7239). Both are believed
// only as far as trusted proxies wrote them: read from the right, the first address that is not a trusted proxy's is the
// client's. A proxy writes one of the two, and may let through what the client wrote into the other: agreed is false where they
// tell different clients.
func forwardedClient(h http.Header, isTrusted func(netip.Addr) bool) (client netip.Addr, ok, agreed bool) {
	plain, structured := h.Values("X-Forwarded-For"), h.Values("Forwarded")
	switch {
	case len(structured) == 0:
		client, ok = rightmost(strings.Split(strings.Join(plain, ","), ","), plainNode, isTrusted)
		return client, ok, true
	case len(plain) == 0:
		client, ok = rightmost(elements(strings.Join(structured, ",")), forNode, isTrusted)
		return client, ok, true
	}
	client, ok = rightmost(strings.Split(strings.Join(plain, ","), ","), plainNode, isTrusted)
	same, sameOK := rightmost(elements(strings.Join(structured, ",")), forNode, isTrusted)
	return client, ok, ok == sameOK && client == same
}

// rightmost returns the rightmost address that is no trusted proxy's. What stands left of something unreadable was written by
// nobody we trust.
func rightmost(entries []string, parse func(string) (netip.Addr, bool), isTrusted func(netip.Addr) bool) (client netip.Addr, ok bool) {
	for _, entry := range slices.Backward(entries) {
		addr, readable := parse(strings.Trim(entry, " \t"))
		if !readable {
			return client, ok
		}
		client, ok = addr.Unmap().WithZone(""), true
		if !isTrusted(client) {
			return client, true
		}
	}
	return client, ok
}

// plainNode reads an entry of X-Forwarded-For: an address, of IPv6 also in brackets, and perhaps a port.
func plainNode(entry string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(entry, "[]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(entry)
		return withPort.Addr(), err == nil
	}
	return addr, true
}

// elements splits a Forwarded header at its commas. It reads from the right, since what is to the left may be a client's: a quote
// that it left open must not swallow what a proxy appended.
func elements(header string) []string {
	var reversed []string
	end, quoted := len(header), false
	for i := len(header) - 1; i >= 0; i-- {
		switch {
		case header[i] == '"' && (!quoted || !escaped(header[:i])):
			quoted = !quoted
		case header[i] == ',' && !quoted:
			reversed = append(reversed, header[i+1:end])
			end = i
		}
	}
	reversed = append(reversed, header[:end])
	slices.Reverse(reversed)
	return reversed
}

// escaped reports whether the character behind text stands behind a backslash that is not itself escaped.
func escaped(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

// forNode reads the one parameter "for" of an element of Forwarded: an IPv4 address, or an IPv6 one in brackets and quotes, and
// perhaps a port, which may be hidden. Hidden and unknown names are no addresses.
func forNode(element string) (addr netip.Addr, ok bool) {
	for pair := range strings.SplitSeq(element, ";") { // no address has a semicolon, quoted or not
		name, value, has := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !has || !strings.EqualFold(name, "for") {
			continue
		}
		if ok {
			return netip.Addr{}, false // two of them
		}
		if addr, ok = node(value); !ok {
			return netip.Addr{}, false
		}
	}
	return addr, ok
}

func node(value string) (netip.Addr, bool) {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1] // no address has anything to escape
	}
	text, port, is6 := strings.Cut(value, "]")
	if is6 {
		if text, is6 = strings.CutPrefix(text, "["); !is6 {
			return netip.Addr{}, false
		}
		if port != "" && port[0] != ':' {
			return netip.Addr{}, false
		}
	} else {
		text, _, _ = strings.Cut(value, ":")
	}
	addr, err := netip.ParseAddr(text)
	return addr, err == nil && addr.Is6() == is6
}
