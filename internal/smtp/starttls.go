package smtp

import (
	"crypto/tls"
)

// upgrade answers STARTTLS (RFC 3207). The client must wait for the answer: whatever it sent behind the command came without
// protection, perhaps from somebody in between, and is forgotten, as is all that was said before.
func (c *session) upgrade(args string) {
	switch {
	case c.cfg.TLS == nil:
		c.protocolError(502, "5.5.1", "TLS is not offered here")
		return
	case c.secure:
		c.protocolError(503, "5.5.1", "TLS is on already")
		return
	case !c.without(args):
		return
	}
	c.reset()
	c.sayf(220, "2.0.0", "go ahead")
	if err := c.wire.out.Flush(); err != nil {
		c.quit = true
		return
	}
	c.hello, c.extended = "", false
	if !c.startTLS() {
		c.quit = true
	}
}

// startTLS makes the handshake and goes on over TLS.
func (c *session) startTLS() bool {
	conn, err := c.srv.tlsServer(c.raw)
	if err != nil {
		c.cfg.Log.Debug("a TLS handshake failed", "session", c.id, "remote", c.remote, "error", err)
		return false
	}
	c.wire.switchTo(conn)
	c.secure = true
	state := conn.ConnectionState()
	c.tlsText = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	return true
}
